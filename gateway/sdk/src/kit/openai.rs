//! How OpenAI's APIs say no and count: the same behind `ChatGPT` and behind API keys.

use super::span;
use crate::{Bytes, Payload, StatusCode, Summary, Usage};
use serde_json::Value;
use std::{borrow::Cow, time::Duration};

/// An error in any of the forms met: `{"error":{..}}`, `{"error":".."}`, `{"detail":".."}`, `{"detail":{..}}`,
/// `{"response":{"error":{..}}}` or flat.
#[derive(Debug)]
pub struct OpenAiError<'a> {
    root: &'a Value,
    error: &'a Value,
    /// The `code`; quota errors have a `type` instead.
    pub code: &'a str,
    /// The `type`.
    pub kind: &'a str,
    /// The message in lower case.
    pub text: String,
}

impl<'a> OpenAiError<'a> {
    /// Reads a body or an event; what is none has empty texts.
    pub fn read(root: &'a Value) -> Self {
        let inside = |path: &&str| root.pointer(path).filter(|inside| !inside.is_null());
        let error = ["/response/error", "/error", "/detail"].iter().find_map(inside).unwrap_or(root);
        let member = |key: &str| error[key].as_str().filter(|text| !text.is_empty());
        let kind = member("type").unwrap_or_default();
        let code = member("code").filter(|_| !kind.starts_with("usage_")).or(error.as_str()).unwrap_or(kind);
        let text = member("message").or(member("detail")).or(error.as_str()).unwrap_or_default();
        Self { root, error, code, kind, text: text.to_ascii_lowercase() }
    }

    /// The status that an error event may carry.
    pub fn status(&self) -> Option<StatusCode> {
        let status = self.root["status"].as_u64().or(self.root["status_code"].as_u64())?;
        StatusCode::from_u16(u16::try_from(status).ok()?).ok().filter(|status| status.as_u16() >= 400)
    }

    /// A number beside the message.
    pub fn number(&self, key: &str) -> Option<f64> {
        self.error[key].as_f64()
    }

    /// "Please try again in 1.5s." or "in 20ms".
    pub fn delay(&self) -> Option<Duration> {
        span(self.text.split_once("try again in ")?.1)
    }
}

/// Learns id and tokens from the last event of a response.
pub fn learn(summary: &mut Summary, event: &Bytes) {
    let Some(response) = Payload::new(event.clone()).child("response") else { return };
    summary.id = response.text("id").map(Cow::into_owned);
    let usage = response.value("usage");
    let count = |path: &str| usage.pointer(path).and_then(Value::as_u64);
    summary.usage = usage.is_object().then(|| Usage {
        input: count("/input_tokens").unwrap_or_default(),
        cache_read: count("/input_tokens_details/cached_tokens"),
        cache_write: count("/input_tokens_details/cache_write_tokens"),
        output: count("/output_tokens").unwrap_or_default(),
        reasoning: count("/output_tokens_details/reasoning_tokens"),
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_error_is_found_in_every_form() {
        let inner = json!({"code": "c", "type": "t", "message": "Try AGAIN in 2 seconds"});
        for body in [
            json!({"error": inner}),
            json!({"detail": inner}),
            json!({"response": {"error": inner}, "error": null}),
            inner.clone(),
        ] {
            let error = OpenAiError::read(&body);
            assert_eq!(
                (error.code, error.kind, error.delay()),
                ("c", "t", Some(Duration::from_secs(2))),
                "{body}"
            );
        }
        for body in [json!({"error": "c"}), json!({"detail": "c"})] {
            assert_eq!(OpenAiError::read(&body).code, "c", "{body}");
        }
        let limit = json!({"error": {"type": "usage_limit_reached", "code": "x", "resets_at": 5}, "status_code": 429});
        let limit = OpenAiError::read(&limit);
        assert_eq!((limit.code, limit.number("resets_at")), ("usage_limit_reached", Some(5.0)));
        assert_eq!(limit.status(), Some(StatusCode::TOO_MANY_REQUESTS));
        for odd in [json!(null), json!([]), json!({"status": 200}), json!({"status": 99_999})] {
            let error = OpenAiError::read(&odd);
            assert_eq!((error.code, error.status()), ("", None), "{odd}");
        }
    }
}
