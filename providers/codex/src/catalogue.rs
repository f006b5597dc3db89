use pollux_sdk::{Call, Model, Operation, PoolView, Reply};
use serde_json::{Value, json};

/// Codex CLI's own reviewer: usable, but nothing a person picks.
pub(crate) const REVIEWER: &str = "codex-auto-review";

/// The models in the shape Codex CLI reads, for a client that says which version of it; `None` for all others.
pub(crate) fn answer(call: &Call, pool: &PoolView<'_>) -> Option<Reply> {
    let asked = call.query.split('&').any(|pair| pair.split('=').next() == Some("client_version"));
    if call.endpoint.operation != Operation::Models || !asked {
        return None;
    }
    let models: Vec<Value> = pool.models.iter().zip(1..).map(|(model, place)| entry(model, place)).collect();
    Some(Reply::json(&json!({"models": models})))
}

/// The vendor's own entry, filled up: one missing field fails the whole list in an older client (2026-06).
fn entry(model: &Model, place: u32) -> Value {
    let mut entry: Value = serde_json::from_str(include_str!("model.json")).unwrap_or_default();
    for key in ["slug", "display_name"] {
        entry[key] = model.id.as_str().into();
    }
    entry["priority"] = place.into();
    if model.id == REVIEWER {
        entry["visibility"] = "hide".into();
    }
    if let (Value::Object(all), Value::Object(known)) = (&mut entry, &model.entry) {
        all.extend(known.clone());
    }
    entry
}
