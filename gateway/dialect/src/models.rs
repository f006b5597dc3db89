//! Lists of models in the dialects' own shapes.

use crate::{Dialect, Operation};
use bytes::Bytes;
use serde_json::{Value, json};

/// A model as a list shows it. What is unknown is left out, never null: strict clients refuse nulls.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Listed<'a> {
    /// Id, without `models/`.
    pub id: &'a str,
    /// Name for people; the id where there is none.
    pub title: Option<&'a str>,
    /// Input tokens it takes.
    pub input_limit: Option<u64>,
    /// Output tokens it gives.
    pub output_limit: Option<u64>,
    /// What can be done with it; only Gemini's lists say so.
    pub operations: &'a [Operation],
    /// Who owns it; only `OpenAI`'s lists say so.
    pub owned_by: &'a str,
    /// What the vendor itself says of it. Told as it is where it is of the list's own kind.
    pub entry: Option<&'a Value>,
    /// When it came, in unix seconds. `OpenAI`'s clients require a number, so unknown is 0.
    pub created: u64,
}

/// The answer of `GET /models`.
pub fn models_list(dialect: Dialect, models: &[Listed<'_>]) -> Bytes {
    let list: Vec<Value> = models.iter().map(|model| object(dialect, model)).collect();
    let value = match dialect {
        Dialect::Responses | Dialect::Chat => json!({"object": "list", "data": list}),
        Dialect::Gemini => json!({"models": list}),
        Dialect::Messages => json!({
            "data": list,
            "has_more": false,
            "first_id": models.first().map(|model| model.id),
            "last_id": models.last().map(|model| model.id),
        }),
    };
    value.to_string().into()
}

/// The answer of `GET /models/{model}`.
pub fn model_object(dialect: Dialect, model: &Listed<'_>) -> Bytes {
    object(dialect, model).to_string().into()
}

fn object(dialect: Dialect, model: &Listed<'_>) -> Value {
    if let Some(entry) = model.entry.filter(|entry| is_of(dialect, entry, model.id)) {
        return entry.clone();
    }
    let title = model.title.unwrap_or(model.id);
    match dialect {
        Dialect::Responses | Dialect::Chat => json!({
            "id": model.id,
            "object": "model",
            "created": model.created,
            "owned_by": model.owned_by,
        }),
        Dialect::Messages => json!({
            "type": "model",
            "id": model.id,
            "display_name": title,
            "created_at": rfc3339(model.created),
        }),
        Dialect::Gemini => {
            let mut told = json!({"name": format!("models/{}", model.id), "displayName": title});
            for (key, limit) in
                [("inputTokenLimit", model.input_limit), ("outputTokenLimit", model.output_limit)]
            {
                if let Some(limit) = limit {
                    told[key] = limit.into();
                }
            }
            let methods: Vec<&str> =
                model.operations.iter().flat_map(|operation| methods(*operation)).copied().collect();
            if !methods.is_empty() {
                told["supportedGenerationMethods"] = methods.into();
            }
            told
        }
    }
}

/// Whether it is an entry of this dialect's lists, for this model.
fn is_of(dialect: Dialect, entry: &Value, id: &str) -> bool {
    match dialect {
        Dialect::Gemini => entry["name"].as_str().and_then(|name| name.strip_prefix("models/")) == Some(id),
        Dialect::Messages => entry["type"] == "model" && entry["id"] == id,
        Dialect::Responses | Dialect::Chat => false,
    }
}

const fn methods(operation: Operation) -> &'static [&'static str] {
    match operation {
        Operation::Generate => &["generateContent", "streamGenerateContent"],
        Operation::CountTokens => &["countTokens"],
        Operation::Embed => &["embedContent", "batchEmbedContents"],
        _ => &[],
    }
}

/// Unix seconds as `2026-11-21T10:00:00Z`, by the proleptic calendar; years beyond 9999 stop there.
pub fn rfc3339(unix: u64) -> String {
    let unix = unix.min(253_402_300_799);
    let (days, second) = (unix / 86_400, unix % 86_400);
    // Counting years from March puts the leap day at their end.
    let since = days + 719_468;
    let (era, day) = (since / 146_097, since % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let date = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year + u64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{date:02}T{:02}:{:02}:{:02}Z",
        second / 3_600,
        second / 60 % 60,
        second % 60
    )
}

#[cfg(test)]
mod tests;
