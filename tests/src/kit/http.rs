//! A plain HTTP client: no proxy, no redirects, no retries, nothing parsed unasked.

use std::sync::Once;
use std::time::Duration;

use bytes::Bytes;
use reqwest::Method;
use reqwest::header::HeaderMap;
use serde_json::Value;

/// Chooses rustls' crypto, once; reqwest cannot be built without, even for plain HTTP.
pub fn install_crypto() {
    static ONCE: Once = Once::new();
    // An error means that somebody chose before, which serves as well.
    ONCE.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
}

/// The client behind the functions of this module, for what they do not cover.
pub fn client() -> reqwest::Client {
    install_crypto();
    let builder = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
    builder.timeout(Duration::from_secs(30)).build().expect("a client without TLS roots can be built")
}

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Answer {
    /// The body as JSON, null where it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// A header's value, if it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// Headers as pairs.
pub(super) type Headers<'a> = [(&'a str, &'a str)];

/// Sends a request and reads the whole answer.
pub async fn send(
    method: &str,
    url: &str,
    headers: &Headers<'_>,
    body: impl Into<reqwest::Body>,
) -> Result<Answer, reqwest::Error> {
    let method = Method::from_bytes(method.as_bytes()).expect("tests use methods that exist");
    let mut request = client().request(method, url).body(body);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = request.send().await?;
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    Ok(Answer { status, headers, body: response.bytes().await? })
}

/// GET, which has to be answered.
pub async fn get(url: &str, headers: &Headers<'_>) -> Answer {
    send("GET", url, headers, "")
        .await
        .unwrap_or_else(|error| panic!("GET {url} was not answered: {error:?}"))
}

/// POST of JSON, which has to be answered.
pub async fn post(url: &str, headers: &Headers<'_>, body: &Value) -> Answer {
    let headers = [&[("content-type", "application/json")], headers].concat();
    let sent = send("POST", url, &headers, body.to_string()).await;
    sent.unwrap_or_else(|error| panic!("POST {url} was not answered: {error:?}"))
}

/// POST of a form, which has to be answered.
pub async fn form(url: &str, headers: &Headers<'_>, fields: &[(&str, &str)]) -> Answer {
    let headers = [&[("content-type", "application/x-www-form-urlencoded")], headers].concat();
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let sent = send("POST", url, &headers, body).await;
    sent.unwrap_or_else(|error| panic!("POST {url} was not answered: {error:?}"))
}
