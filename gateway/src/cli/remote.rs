use crate::{settings::Settings, upstream::install_crypto};
use pollux_sdk::{Method, Secret};
use serde_json::Value;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(30);

/// What a running gateway said.
#[derive(Debug)]
pub(super) enum Answer {
    /// It did as asked.
    Done(Value),
    /// It would not, and said why.
    Refused(String),
    /// There is no gateway where the configuration says.
    Nobody,
}

/// Asks the gateway of this configuration.
pub(super) async fn ask(
    settings: &Settings,
    key: Option<&Secret>,
    method: Method,
    path: &str,
    body: Option<&Value>,
) -> Answer {
    install_crypto();
    let url = format!("http://{}{path}", settings.local_address());
    let answer = async {
        let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build()?;
        let mut request = client.request(method, url);
        if let Some(key) = key {
            request = request.bearer_auth(key.expose());
        }
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let reply = request.send().await?;
        Ok::<_, reqwest::Error>((reply.status(), reply.text().await?))
    };
    match answer.await {
        Err(error) if error.is_connect() => Answer::Nobody,
        Err(error) => Answer::Refused(error.without_url().to_string()),
        Ok((status, text)) => {
            let value: Value = serde_json::from_str(&text).unwrap_or_default();
            if status.is_success() {
                return Answer::Done(value);
            }
            let said = value.pointer("/error/message").and_then(Value::as_str);
            Answer::Refused(format!("{} ({status})", said.unwrap_or("the gateway refused")))
        }
    }
}

/// Whether a gateway runs where the configuration says.
pub(super) async fn is_there(settings: &Settings) -> bool {
    !matches!(ask(settings, None, Method::GET, "/healthz", None).await, Answer::Nobody)
}
