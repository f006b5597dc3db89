use bytes::Bytes;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// `OpenAI` Chat Completions: deltas of choices.
#[derive(Debug, Default)]
pub(super) struct Chat {
    /// Everything but the choices, last value first come.
    document: Map<String, Value>,
    choices: BTreeMap<u64, Choice>,
    done: bool,
}

#[derive(Debug, Default)]
struct Choice {
    message: Map<String, Value>,
    tool_calls: BTreeMap<u64, Map<String, Value>>,
    rest: Map<String, Value>,
}

impl Chat {
    pub(super) fn push(&mut self, data: &Bytes) -> Option<usize> {
        if data.trim_ascii() == b"[DONE]" {
            self.done = true;
            return Some(0);
        }
        let Value::Object(chunk) = serde_json::from_slice(data).ok()? else { return None };
        if chunk.get("error").is_some_and(|error| !error.is_null()) {
            return None;
        }
        for (key, value) in chunk {
            match (&*key, value) {
                ("choices", Value::Array(choices)) => {
                    for choice in choices {
                        let Value::Object(choice) = choice else { return None };
                        self.choices.entry(index(&choice)).or_default().push(choice);
                    }
                }
                ("choices" | "object", _) | (_, Value::Null) => {}
                (_, value) => {
                    self.document.insert(key, value);
                }
            }
        }
        Some(data.len())
    }

    pub(super) fn finish(self) -> Option<Bytes> {
        let ended = |choice: &Choice| choice.rest.contains_key("finish_reason");
        if self.choices.is_empty() || !(self.done || self.choices.values().all(ended)) {
            return None;
        }
        let choices: Vec<Value> =
            self.choices.into_iter().map(|(index, choice)| choice.finish(index)).collect();
        let mut document = Map::new();
        let mut rest = self.document;
        document.insert("id".into(), rest.shift_remove("id").unwrap_or_default());
        document.insert("object".into(), "chat.completion".into());
        for key in ["created", "model"] {
            document.extend(rest.shift_remove(key).map(|value| (key.to_owned(), value)));
        }
        document.insert("choices".into(), choices.into());
        document.extend(rest);
        Some(Value::Object(document).to_string().into())
    }
}

impl Choice {
    fn push(&mut self, choice: Map<String, Value>) {
        for (key, value) in choice {
            match (&*key, value) {
                ("delta", Value::Object(mut delta)) => {
                    if let Some(Value::Array(calls)) = delta.shift_remove("tool_calls") {
                        for call in calls {
                            let Value::Object(mut call) = call else { continue };
                            let at = index(&call);
                            call.shift_remove("index");
                            merge(self.tool_calls.entry(at).or_default(), call);
                        }
                    }
                    merge(&mut self.message, delta);
                }
                ("index" | "delta", _) | (_, Value::Null) => {}
                ("logprobs", Value::Object(logprobs)) => {
                    let held = self.rest.entry("logprobs").or_insert_with(|| json!({}));
                    if let Value::Object(held) = held {
                        merge(held, logprobs);
                    }
                }
                (_, value) => {
                    self.rest.insert(key, value);
                }
            }
        }
    }

    fn finish(self, index: u64) -> Value {
        let mut message = Map::new();
        message.insert("role".into(), "assistant".into());
        message.insert("content".into(), Value::Null);
        message.insert("refusal".into(), Value::Null);
        message.extend(self.message);
        if !self.tool_calls.is_empty() {
            let calls: Vec<Value> = self.tool_calls.into_values().map(Value::Object).collect();
            message.insert("tool_calls".into(), calls.into());
        }
        let mut choice = Map::new();
        choice.insert("index".into(), index.into());
        choice.insert("message".into(), message.into());
        choice.insert("logprobs".into(), Value::Null);
        choice.insert("finish_reason".into(), Value::Null);
        choice.extend(self.rest);
        choice.into()
    }
}

fn index(of: &Map<String, Value>) -> u64 {
    of.get("index").and_then(Value::as_u64).unwrap_or_default()
}

/// Texts and lists grow, objects merge, all else is replaced. Unknown members (`reasoning_content`) fare alike.
fn merge(held: &mut Map<String, Value>, delta: Map<String, Value>) {
    for (key, value) in delta {
        match (held.get_mut(&key), value) {
            (_, Value::Null) => {}
            // Names and ids come whole; some vendors repeat them in every chunk.
            (Some(Value::String(held)), Value::String(_))
                if !held.is_empty() && matches!(&*key, "role" | "id" | "type" | "name") => {}
            (Some(Value::String(held)), Value::String(more)) => held.push_str(&more),
            (Some(Value::Array(held)), Value::Array(more)) => held.extend(more),
            (Some(Value::Object(held)), Value::Object(more)) => merge(held, more),
            (_, value) => {
                held.insert(key, value);
            }
        }
    }
}
