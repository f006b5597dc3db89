use super::{AccountsCommand, EXIT_CONFIGURATION};
use crate::{settings::Settings, upstream::install_crypto};
use pollux_sdk::Method;
use serde_json::{Map, Value};
use std::{process::ExitCode, time::Duration};

/// `pollux accounts ...`: asks the running gateway, which alone may touch its store.
pub async fn accounts(settings: &Settings, command: &AccountsCommand) -> ExitCode {
    let key = settings.basic.admin_key.as_ref();
    if key.is_none() && !settings.basic.local {
        eprintln!("pollux: set basic.admin_key first, and restart the gateway");
        return ExitCode::from(EXIT_CONFIGURATION);
    }
    let (method, path, body) = match request(command) {
        Ok(request) => request,
        Err(mistake) => {
            eprintln!("pollux: {mistake}");
            return ExitCode::FAILURE;
        }
    };
    let url = format!("http://{}/admin/accounts{path}", settings.local_address());
    install_crypto();
    let answer = async {
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(30)).build()?;
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
        Err(error) if error.is_connect() => {
            eprintln!("pollux: no gateway answers at {}; start it first", settings.local_address());
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("pollux: {}", error.without_url());
            ExitCode::FAILURE
        }
        Ok((status, text)) => {
            let value: Value = serde_json::from_str(&text).unwrap_or_default();
            if status.is_success() {
                print!("{}", told(&value));
                return ExitCode::SUCCESS;
            }
            let message =
                value.pointer("/error/message").and_then(Value::as_str).unwrap_or("the gateway refused");
            eprintln!("pollux: {message} ({status})");
            ExitCode::FAILURE
        }
    }
}

fn request(command: &AccountsCommand) -> Result<(Method, String, Option<Value>), String> {
    use AccountsCommand::{Approve, List, Pause, Refresh, Remove, Resume, Set, Show};
    let act = |id: &str, action: &str| (Method::POST, format!("/{}/{action}", segment(id)), None);
    Ok(match command {
        List => (Method::GET, String::new(), None),
        Show { id } => (Method::GET, format!("/{}", segment(id)), None),
        Remove { id } => (Method::DELETE, format!("/{}", segment(id)), None),
        Approve { id } => act(id, "approve"),
        Pause { id } => act(id, "pause"),
        Resume { id } => act(id, "resume"),
        Refresh { id } => act(id, "refresh"),
        Set { id, values } => (Method::PATCH, format!("/{}", segment(id)), Some(change(values)?)),
    })
}

fn segment(id: &str) -> String {
    url::form_urlencoded::byte_serialize(id.as_bytes()).collect()
}

/// `priority` and `max_in_flight` are the pool's; everything else is the provider's.
fn change(values: &[(String, String)]) -> Result<Value, String> {
    let (mut change, mut extra) = (Map::new(), Map::new());
    for (key, value) in values {
        let unset = value.is_empty().then_some(Value::Null);
        match key.as_str() {
            "priority" | "max_in_flight" => {
                let number = || value.parse::<i32>().ok().filter(|number| key == "priority" || *number > 0);
                let wanted = if key == "priority" { "a whole number" } else { "a whole number above zero" };
                let number = unset.or_else(|| number().map(Value::from));
                change.insert(key.clone(), number.ok_or(format!("{key} is {wanted}, not `{value}`"))?);
            }
            _ => drop(extra.insert(key.clone(), unset.unwrap_or_else(|| value.as_str().into()))),
        }
    }
    change.insert("extra".into(), extra.into());
    Ok(change.into())
}

/// One account as lines, or all of them as a table.
fn told(value: &Value) -> String {
    let Some(accounts) = value["accounts"].as_array() else {
        return format!("{}\n", serde_json::to_string_pretty(value).unwrap_or_default());
    };
    let text = |account: &Value, key: &str| match &account[key] {
        Value::String(text) => text.clone(),
        Value::Null => "-".to_owned(),
        other => other.to_string(),
    };
    let mut lines = vec![format!("{:<6} {:<12} {:<16} {:<32} REASON", "ID", "PROVIDER", "STATE", "LABEL")];
    for account in accounts {
        let reason = account.pointer("/reason/text").and_then(Value::as_str).unwrap_or("");
        let link = account.pointer("/reason/link").and_then(Value::as_str).unwrap_or("");
        let [id, provider, state, label] = ["id", "provider", "state", "label"].map(|key| text(account, key));
        lines.push(format!("{id:<6} {provider:<12} {state:<16} {label:<32} {reason} {link}"));
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn tells_the_pools_facts_from_the_providers() {
        let set =
            |text: &str| text.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned())).unwrap();
        let values = ["project=my-project", "priority=2", "max_in_flight=", "note="].map(set);
        assert_eq!(
            change(&values).unwrap(),
            json!({"priority": 2, "max_in_flight": null, "extra": {"project": "my-project", "note": null}})
        );
        for wrong in ["priority=high", "max_in_flight=many", "max_in_flight=-1", "max_in_flight=0"] {
            assert!(
                change(&[set(wrong)]).unwrap_err().starts_with(wrong.split('=').next().unwrap()),
                "{wrong}"
            );
        }
    }
}
