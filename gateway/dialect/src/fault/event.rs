//! The last event of a stream that cannot go on.

use super::{judge, retell, words};
use crate::{Dialect, Payload, encode};
use bytes::Bytes;
use serde_json::{Map, Value, json};

/// What is known of the answer that broke.
#[derive(Debug, Clone, Copy, Default)]
pub struct Broken<'a> {
    /// Its id, if it had one.
    pub id: Option<&'a str>,
    /// Model the client asked for.
    pub model: &'a str,
    /// Number of the next event.
    pub sequence: u64,
    /// When it began, in unix seconds.
    pub created_at: u64,
}

/// Turns a failure (an error body, or the data of an error event) into the framed event that ends a stream.
///
/// Codex CLI 0.169.0 does not understand `error` events, so a Responses stream ends with `response.failed`.
///
/// Gemini CLI 0.61.0 (its SDK is @google/genai 1.30.0) takes `data: {"error":…}` for an empty answer and ends with
/// exit code 0, as if the partial text were all. The error repeated bare, without `data:`, it cannot overlook; to an
/// SSE parser that is an unknown field, and Google's newer SDKs have stopped at the event before.
pub fn ending(dialect: Dialect, failure: &Bytes, broken: &Broken<'_>) -> Bytes {
    match dialect {
        Dialect::Responses => {
            let body = Payload::new(failure.clone());
            if body.text("type").as_deref() == Some("response.failed") {
                return encode("response.failed", failure);
            }
            encode("response.failed", failed(failure, broken).to_string().as_bytes())
        }
        Dialect::Messages => encode("error", &told(dialect, failure)),
        Dialect::Chat => encode("", &told(dialect, failure)),
        Dialect::Gemini => {
            let error = told(dialect, failure);
            [&encode("", &error)[..], &error, b"\n\n"].concat().into()
        }
    }
}

/// On one line: some SDKs read no more of an event than its first `data:`, and vendors print errors over many.
fn told(dialect: Dialect, failure: &Bytes) -> Vec<u8> {
    let body = retell(dialect, judge::status_of(dialect, failure), failure);
    // No JSON string holds a bare line end, so these are spaces.
    body.iter().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte }).collect()
}

/// A whole response object: SDKs with strict types want every member of it.
fn failed(failure: &Bytes, broken: &Broken<'_>) -> Value {
    let error = judge::error(failure)
        .or_else(|| judge::error(&told(Dialect::Responses, failure).into()))
        .unwrap_or_default();
    json!({
        "type": "response.failed",
        "sequence_number": broken.sequence,
        "response": {
            "id": broken.id.unwrap_or("resp_failed"),
            "object": "response",
            "created_at": broken.created_at,
            "status": "failed",
            "error": in_band(&error),
            "incomplete_details": null,
            "instructions": null,
            "metadata": {},
            "model": broken.model,
            "output": [],
            "parallel_tool_calls": true,
            "temperature": null,
            "tool_choice": "auto",
            "tools": [],
            "top_p": null,
            "usage": null,
        },
    })
}

/// The error as it stands in a response: never without a code, for the code decides what Codex CLI does.
fn in_band(error: &Map<String, Value>) -> Value {
    let word = |key| error.get(key).and_then(Value::as_str).unwrap_or_default();
    let code = match (word("code"), word("type")) {
        // Terminal in-band only by this code (Codex CLI 0.169.0); the type keeps the exact reason.
        ("usage_limit_reached", _) | ("", "usage_limit_reached") => "insufficient_quota",
        ("", "usage_not_included") => "usage_not_included",
        // Its own name for what is worth a repetition: any other code is closed in the SDKs' types.
        ("", "rate_limit_error") => "rate_limit_exceeded",
        // The only code of a client's own mistake that ends its turn at once.
        ("invalid_request", _) => "invalid_prompt",
        ("", kind) if kind == words::openai(400) => "invalid_prompt",
        (
            ""
            | "internal_error"
            | "upstream_error"
            | "upstream_timeout"
            | "shutting_down"
            | "no_available_credential",
            _,
        ) => "server_error",
        (code, _) => code,
    };
    let message = if word("message").is_empty() { "the answer broke off" } else { word("message") };
    let mut told = json!({"code": code, "message": message});
    for (key, value) in error {
        if !value.is_null() && told.get(key).is_none() {
            told[key] = value.clone();
        }
    }
    told
}
