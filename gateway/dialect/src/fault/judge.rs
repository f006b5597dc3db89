//! What a vendor's failure means in HTTP.

use super::{retell, words};
use crate::{Dialect, Payload};
use bytes::Bytes;
use serde_json::{Map, Value};

/// The status which the API would have answered, had it failed before the stream began.
///
/// Takes the data of an error event (or of a socket's error frame); 502 where it says nothing.
pub fn status_of(dialect: Dialect, event: &Bytes) -> u16 {
    let error = error(event).unwrap_or_default();
    let word = |key| error.get(key).and_then(Value::as_str).unwrap_or_default();
    let known = match dialect {
        Dialect::Gemini => number(error.get("code")).or_else(|| words::google_status(word("status"))),
        Dialect::Messages => words::anthropic_status(word("type")),
        Dialect::Responses | Dialect::Chat => {
            outer_status(event).or_else(|| openai_status(word("code"), word("type")))
        }
    };
    known.or_else(|| number(error.get("code"))).unwrap_or(502)
}

/// Whether a 429 is one that its clients give up on, so that it must not carry `retry-after`.
pub fn terminal(dialect: Dialect, body: &Bytes) -> bool {
    let body = retell(dialect, 429, body);
    let error = error(&body).unwrap_or_default();
    let details = || error.get("details").and_then(Value::as_array).into_iter().flatten();
    match dialect {
        Dialect::Responses | Dialect::Chat => ["type", "code"].iter().any(|key| {
            matches!(
                error.get(*key).and_then(Value::as_str),
                Some("usage_limit_reached" | "usage_not_included" | "insufficient_quota")
            )
        }),
        Dialect::Gemini => details().any(|detail| {
            let violations = detail.get("violations").and_then(Value::as_array).into_iter().flatten();
            let daily =
                |violation: &Value| violation["quotaId"].as_str().is_some_and(|id| id.contains("PerDay"));
            detail["reason"] == "QUOTA_EXHAUSTED" || violations.into_iter().any(daily)
        }),
        Dialect::Messages => false,
    }
}

/// The error object of a body or event, wherever the dialects put it.
pub(super) fn error(failure: &Bytes) -> Option<Map<String, Value>> {
    let mut document: Value = serde_json::from_slice(failure).ok()?;
    for place in ["/response/error", "/error"] {
        if let Some(Value::Object(error)) = document.pointer_mut(place).map(Value::take) {
            return Some(error);
        }
    }
    // The flat `error` event of Responses streams.
    let Value::Object(mut flat) = document else { return None };
    if flat.get("type").is_none_or(|kind| kind != "error") {
        return None;
    }
    flat.retain(|key, _| {
        !matches!(&**key, "type" | "sequence_number" | "status" | "status_code" | "headers")
    });
    Some(flat)
}

/// Sockets put the status beside the error, under either name.
fn outer_status(event: &Bytes) -> Option<u16> {
    let event = Payload::new(event.clone());
    let read = |key| std::str::from_utf8(&event.raw(key)?).ok()?.parse::<u16>().ok();
    read("status").or_else(|| read("status_code")).filter(|status| (400..600).contains(status))
}

fn number(value: Option<&Value>) -> Option<u16> {
    let code = u16::try_from(value?.as_u64()?).ok()?;
    (400..600).contains(&code).then_some(code)
}

fn openai_status(code: &str, kind: &str) -> Option<u16> {
    Some(match (code, kind) {
        (
            "rate_limit_exceeded"
            | "insufficient_quota"
            | "usage_limit_reached"
            | "usage_not_included"
            | "organization_spend_limit_exceeded"
            | "organization_usage_limit_exceeded",
            _,
        )
        | ("", "usage_limit_reached" | "usage_not_included" | "insufficient_quota" | "rate_limit_error") => {
            429
        }
        (
            "invalid_api_key"
            | "token_invalidated"
            | "token_revoked"
            | "token_expired"
            | "account_deactivated",
            _,
        )
        | ("", "authentication_error") => 401,
        ("deactivated_workspace", _) => 402,
        ("server_is_overloaded" | "slow_down" | "overloaded_error", _)
        | ("", "service_unavailable_error") => 503,
        ("server_error" | "internal_server_error", _) | ("", "server_error") => 500,
        ("vector_store_timeout", _) => 504,
        (
            "context_length_exceeded"
            | "invalid_prompt"
            | "cyber_policy"
            | "bio_policy"
            | "misalignment_policy_violation"
            | "previous_response_not_found"
            | "unsupported_parameter"
            | "unsupported_value"
            | "missing_required_parameter"
            | "model_not_found",
            _,
        ) => 400,
        (code, _) if code.starts_with("invalid_") || code.contains("image") => 400,
        (_, "invalid_request_error" | "invalid_request") => 400,
        (_, "permission_error") => 403,
        (_, "rate_limit_error" | "usage_limit_reached" | "usage_not_included") => 429,
        (_, "service_unavailable_error") => 503,
        (_, "server_error") => 500,
        _ => return None,
    })
}
