//! A vendor's failure, told in the client's dialect with everything the vendor said.

use super::{Fault, judge, status_of, words};
use crate::{Dialect, Payload, elements};
use bytes::Bytes;
use serde::de::IgnoredAny;
use serde_json::{Map, Value, json};

/// The body of a vendor's failure as the client's dialect has it.
///
/// A body with an error object keeps its bytes. Other JSON gets one and keeps its members. What is no JSON object
/// (HTML of a proxy, nothing at all) is replaced by a plain statement of the status.
pub fn retell(dialect: Dialect, status: u16, body: &Bytes) -> Bytes {
    let body = if is_json(body) { body.clone() } else { mended(body) };
    // Google wraps the failures of streaming calls into a list of one.
    let body = elements(&body).and_then(|list| list.into_iter().next()).unwrap_or(body);
    let document = Payload::new(body);
    if !document.is_object() || !is_json(document.bytes()) {
        return Fault::new(
            status,
            words::openai_code(status).unwrap_or("upstream_error"),
            unreadable(status),
        )
        .body(dialect);
    }
    let said = document.raw("error").and_then(|error| serde_json::from_slice::<Value>(&error).ok());
    let error = match said {
        Some(Value::Object(error)) if error.contains_key("message") || !error.contains_key("detail") => {
            return document.bytes().clone();
        }
        Some(Value::Object(error)) => {
            let mut all = shaped(dialect, status, error.get("detail"));
            all.extend(error);
            all
        }
        Some(Value::String(code)) => {
            let message = ["error_description", "message"].iter().find_map(|key| document.text(key));
            let message = message.map_or_else(|| code.clone(), Into::into);
            shaped(dialect, status, Some(&json!({"code": code, "message": message})))
        }
        _ => {
            let detail = document.raw("detail").and_then(|detail| serde_json::from_slice(&detail).ok());
            let detail = detail.or_else(|| document.text("message").map(|text| Value::String(text.into())));
            shaped(dialect, status, detail.as_ref())
        }
    };
    let error = Value::Object(error).to_string();
    let kind = (dialect == Dialect::Messages).then_some(&b"\"error\""[..]);
    document.with(&[("error", Some(error.as_bytes())), ("type", kind.or(document.raw("type").as_deref()))])
}

/// Status and body that a unary call gets where its folded stream ended with this failure event.
pub fn failure(dialect: Dialect, event: &Bytes) -> (u16, Bytes) {
    let status = status_of(dialect, event);
    if !matches!(dialect, Dialect::Responses) {
        return (status, retell(dialect, status, event));
    }
    let Some(error) = judge::error(event) else { return (status, retell(dialect, status, &Bytes::new())) };
    let mut all = shaped(dialect, status, error.get("detail"));
    if error.contains_key("type") {
        // A vendor that names the type alone means no code.
        all.insert("code".into(), Value::Null);
    }
    all.extend(error);
    // Codex CLI reads the type, which in-band errors lack.
    let limit = all.get("code").and_then(Value::as_str);
    if let Some(limit @ ("usage_limit_reached" | "usage_not_included")) = limit {
        let limit = limit.to_owned();
        all.insert("type".into(), limit.into());
    }
    (status, json!({"error": all}).to_string().into())
}

/// An error object with all members that the dialect's clients expect, filled from what the vendor gave instead.
fn shaped(dialect: Dialect, status: u16, detail: Option<&Value>) -> Map<String, Value> {
    let code = detail.and_then(|detail| detail.get("code")).and_then(Value::as_str);
    let message = match detail {
        Some(Value::String(text)) if !text.is_empty() => text.clone(),
        Some(detail) => match detail.get("message").and_then(Value::as_str).or(code) {
            Some(text) => text.to_owned(),
            None if detail.is_array() => detail.to_string(),
            None => unreadable(status),
        },
        None => unreadable(status),
    };
    // The Codex backend says in words (seen November 2026) what the public API says in `code` and `param`.
    let param = message.strip_prefix("Unsupported parameter: ");
    let code = code.or(param.map(|_| "unsupported_parameter"));
    let error = match dialect {
        Dialect::Gemini => json!({"code": status, "message": message, "status": words::google(status)}),
        Dialect::Messages => json!({"type": words::anthropic(status), "message": message}),
        Dialect::Responses | Dialect::Chat => json!({
            "message": message,
            "type": words::openai(status),
            "param": param,
            "code": code.or(words::openai_code(status)),
        }),
    };
    if let Value::Object(error) = error { error } else { Map::new() }
}

fn unreadable(status: u16) -> String {
    format!("upstream answered with status {status} and no readable error")
}

fn is_json(body: &[u8]) -> bool {
    serde_json::from_slice::<IgnoredAny>(body).is_ok()
}

/// Without the doubled and trailing commas that Google's error JSON has at times.
fn mended(body: &Bytes) -> Bytes {
    let mut out = Vec::with_capacity(body.len());
    let (mut quoted, mut escaped) = (false, false);
    for &byte in body {
        if !quoted && matches!(byte, b',' | b']' | b'}') {
            let kept = out.iter().rposition(|last: &u8| !last.is_ascii_whitespace());
            if let Some(kept) = kept.filter(|kept| out[*kept] == b',') {
                out.truncate(kept);
            }
        }
        (quoted, escaped) = match byte {
            b'"' if !escaped => (!quoted, false),
            b'\\' if quoted => (true, !escaped),
            _ => (quoted, false),
        };
        out.push(byte);
    }
    out.into()
}
