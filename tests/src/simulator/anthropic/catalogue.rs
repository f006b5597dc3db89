//! The models, and the list of them.

use serde_json::{Value, json};

use super::State;
use super::refusal::Refusal;
use crate::simulator::reply::Reply;
use crate::simulator::server::Asked;

/// With the one that is known under a short name, too.
pub(super) fn usual() -> Vec<String> {
    [
        "claude-opus-5-5",
        "claude-sonnet-5-5",
        "claude-haiku-5-5",
        "claude-opus-4-8",
        "claude-haiku-4-5-20251001",
    ]
    .map(str::to_owned)
    .to_vec()
}

/// The model that a request names, by its own or its short name.
pub(super) fn find<'a>(state: &'a State, label: &str, name: &str) -> Option<&'a str> {
    let own = state.accounts[label].models.as_deref().unwrap_or(&state.models);
    let named =
        |model: &&String| *model == name || model.rsplit_once("-20").is_some_and(|(short, _)| short == name);
    // The list is the state's or the record's; both outlive the answer.
    own.iter().find(named).map(String::as_str)
}

fn entry(id: &str) -> Value {
    json!({
        "type": "model", "id": id, "display_name": id.replace('-', " "), "created_at": "2026-05-01T00:00:00Z",
        "deprecated_at": null, "retires_at": null, "lifecycle": "active", "line": "opus",
        "max_input_tokens": 200_000, "max_tokens": 64_000, "capabilities": null,
    })
}

/// `GET /v1/models`.
pub(super) fn list(state: &State, asked: &Asked) -> Reply {
    let label = match state.caller_with(asked, "user:inference") {
        Ok(access) => access.label,
        Err(refusal) => return refusal.reply(""),
    };
    if asked.request.header("anthropic-version").is_none() {
        return Refusal::Invalid("anthropic-version: header is required".into()).reply("");
    }
    let limit = asked.query("limit").and_then(|limit| limit.parse().ok()).unwrap_or(20);
    let all = state.accounts[&label].models.as_ref().unwrap_or(&state.models);
    let shown: Vec<&String> = all.iter().take(limit).collect();
    Reply::json(
        200,
        &json!({
            "data": shown.iter().map(|id| entry(id)).collect::<Vec<_>>(), "has_more": shown.len() < all.len(),
            "first_id": shown.first(), "last_id": shown.last(),
        }),
    )
}
