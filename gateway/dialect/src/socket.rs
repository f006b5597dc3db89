//! WebSocket frames: which of them ask for an answer, and how a failure looks in one.

use crate::{Dialect, Fault, Payload, failure};
use bytes::Bytes;
use serde_json::{Map, Value, json};

/// Failures that clients know by their code alone, and to which a status would give another meaning.
const KNOWN_BY_CODE: [&str; 2] = ["websocket_connection_limit_reached", "previous_response_not_found"];

/// Whether a client's frame asks for an answer. Others are about the connection and get none.
pub fn asks(frame: &Payload) -> bool {
    frame.text("type").is_some_and(|kind| kind == "response.create")
}

/// The frame that tells a client of a failed answer: `body` as an HTTP answer has it, its status, its headers.
pub fn error_frame(status: u16, body: &Bytes, headers: &[(&str, String)]) -> Bytes {
    let error = Payload::new(body.clone()).value("error");
    let mut frame = json!({"type": "error", "status": status, "error": error});
    if !headers.is_empty() {
        let headers: Map<String, Value> =
            headers.iter().map(|(name, value)| ((*name).to_owned(), value.as_str().into())).collect();
        frame["headers"] = headers.into();
    }
    frame.to_string().into()
}

/// A vendor's error frame with the status that Codex CLI 0.169.0 needs: without one it waits for minutes. All else
/// keeps its bytes.
pub fn with_status(frame: &Bytes) -> Bytes {
    let event = Payload::new(frame.clone());
    if event.text("type").is_none_or(|kind| kind != "error") {
        return frame.clone();
    }
    let (status, told) = failure(Dialect::Responses, frame);
    let error = event.child("error");
    let code = error.as_ref().and_then(|error| error.text("code").map(String::from));
    let known = code.is_some_and(|code| KNOWN_BY_CODE.contains(&code.as_str()));
    let has = |key: &str| event.raw(key).is_some_and(|raw| &raw[..] != b"null");
    if known || has("status") || has("status_code") {
        return frame.clone();
    }
    let status = status.to_string();
    // The flat form of event streams has its error beside the type.
    let inner = Payload::new(told).raw("error");
    let inner = inner.filter(|_| !error.is_some_and(|error| error.is_object()));
    let mut changes = vec![("status", Some(status.as_bytes()))];
    changes.extend(inner.as_ref().map(|inner| ("error", Some(&inner[..]))));
    event.with(&changes)
}

impl Fault {
    /// The frame that tells a socket's client.
    pub fn frame(&self, dialect: Dialect) -> Bytes {
        error_frame(self.status, &self.body(dialect), &self.headers())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(text: &'static str) -> String {
        String::from_utf8(with_status(&Bytes::from_static(text.as_bytes())).to_vec()).unwrap()
    }

    #[test]
    fn only_one_kind_of_frame_asks_for_an_answer() {
        for (frame, answer) in [
            (r#"{"type":"response.create","model":"m"}"#, true),
            (r#"{"type":"response.processed","response_id":"r"}"#, false),
            (r#"{"type":"x","\u0074ype":"response.create"}"#, true),
            (r#"{"model":"m"}"#, false),
            ("[]", false),
        ] {
            assert_eq!(asks(&Payload::new(Bytes::from_static(frame.as_bytes()))), answer, "{frame}");
        }
    }

    #[test]
    fn an_error_frame_without_status_gets_one() {
        let busy = r#"{"type":"error","error":{"type":"service_unavailable_error","code":"server_is_overloaded","message":".."},"sequence_number":2}"#;
        let told: Value = serde_json::from_str(&with(busy)).unwrap();
        assert_eq!((&told["status"], &told["error"]["code"]), (&json!(503), &json!("server_is_overloaded")));
        assert_eq!(told["sequence_number"], 2);
        let flat = r#"{"type":"error","code":"server_error","message":"boom","param":null}"#;
        let told: Value = serde_json::from_str(&with(flat)).unwrap();
        assert_eq!((&told["status"], &told["error"]["message"]), (&json!(500), &json!("boom")));
    }

    #[test]
    fn what_a_client_understands_keeps_its_bytes() {
        for frame in [
            r#"{"error":{"detail":"Unsupported parameter: x"},"status":400,"type":"error"}"#,
            r#"{"type":"error", "status_code":429,"error":{"type":"usage_limit_reached"}}"#,
            r#"{"type":"error","error":{"code":"websocket_connection_limit_reached","message":"m"}}"#,
            r#"{"type":"response.failed","response":{"error":{"code":"server_error"}}}"#,
            r#"{"type":"codex.rate_limits"}"#,
            "no json",
        ] {
            assert_eq!(with(frame), frame);
        }
    }

    #[test]
    fn a_fault_of_ours_has_the_vendors_form() {
        let fault = Fault::busy();
        let told: Value = serde_json::from_slice(&fault.frame(Dialect::Responses)).unwrap();
        assert_eq!((&told["type"], &told["status"]), (&json!("error"), &json!(429)));
        assert_eq!(told["error"]["code"], "rate_limit_exceeded");
        assert_eq!(told["headers"]["retry-after"], "2");
        let plain: Value =
            serde_json::from_slice(&Fault::bad_request(Some("model"), "no").frame(Dialect::Responses))
                .unwrap();
        assert_eq!((plain.get("headers"), &plain["error"]["param"]), (None, &json!("model")));
    }
}
