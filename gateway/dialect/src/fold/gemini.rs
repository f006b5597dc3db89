use bytes::Bytes;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Gemini: every chunk is a document of its own; parts pile up, the rest is replaced.
#[derive(Debug, Default)]
pub(super) struct Gemini {
    /// Kept as it came while it is the only one.
    only: Option<Bytes>,
    chunks: usize,
    document: Map<String, Value>,
    candidates: BTreeMap<u64, Candidate>,
}

#[derive(Debug, Default)]
struct Candidate {
    members: Map<String, Value>,
    content: Option<Map<String, Value>>,
    parts: Option<Vec<Value>>,
}

impl Gemini {
    pub(super) fn push(&mut self, data: &Bytes) -> Option<usize> {
        let Value::Object(chunk) = serde_json::from_slice(data).ok()? else { return None };
        if chunk.contains_key("error") {
            return None;
        }
        self.chunks += 1;
        self.only = (self.chunks == 1).then(|| data.clone());
        for (key, value) in chunk {
            match (&*key, value) {
                ("candidates", Value::Array(candidates)) => {
                    for candidate in candidates {
                        let Value::Object(candidate) = candidate else { return None };
                        let index = candidate.get("index").and_then(Value::as_u64).unwrap_or_default();
                        self.candidates.entry(index).or_default().push(candidate);
                    }
                }
                ("candidates", _) | (_, Value::Null) => {}
                (_, value) => {
                    self.document.insert(key, value);
                }
            }
        }
        Some(data.len())
    }

    pub(super) fn finish(self) -> Option<Bytes> {
        let blocked =
            || self.document.get("promptFeedback").is_some_and(|told| told.get("blockReason").is_some());
        let ended = |candidate: &Candidate| candidate.members.contains_key("finishReason");
        let whole = if self.candidates.is_empty() { blocked() } else { self.candidates.values().all(ended) };
        if !whole {
            return None;
        }
        if let Some(only) = self.only {
            return Some(only);
        }
        let mut document = Map::new();
        if !self.candidates.is_empty() {
            let candidates: Vec<Value> = self.candidates.into_values().map(Candidate::finish).collect();
            document.insert("candidates".into(), candidates.into());
        }
        document.extend(self.document);
        Some(Value::Object(document).to_string().into())
    }
}

impl Candidate {
    fn push(&mut self, candidate: Map<String, Value>) {
        for (key, value) in candidate {
            match (&*key, value) {
                ("content", Value::Object(mut content)) => {
                    // A chunk without `parts` is legal, and does not make an empty list of them.
                    if let Some(Value::Array(parts)) = content.shift_remove("parts") {
                        let held = self.parts.get_or_insert_default();
                        for part in parts {
                            add(held, part);
                        }
                    }
                    self.content.get_or_insert_default().extend(content);
                }
                ("citationMetadata", Value::Object(more)) => match self.members.get_mut(&key) {
                    Some(Value::Object(held)) => cite(held, more),
                    _ => {
                        self.members.insert(key, more.into());
                    }
                },
                (_, Value::Null) => {}
                (_, value) => {
                    self.members.insert(key, value);
                }
            }
        }
    }

    fn finish(self) -> Value {
        let mut candidate = Map::new();
        if let Some(mut content) = self.content {
            content.extend(self.parts.map(|parts| ("parts".to_owned(), parts.into())));
            candidate.insert("content".into(), content.into());
        }
        candidate.extend(self.members);
        candidate.into()
    }
}

/// Joins a text to the text before it if nothing else is said of either: a signature belongs to its own part.
fn add(parts: &mut Vec<Value>, part: Value) {
    if let (Some(Value::Object(last)), Value::Object(next)) = (parts.last_mut(), &part)
        && let (Some(_), Some(more)) = (plain(last), plain(next))
        && thought(last) == thought(next)
        && let Some(Value::String(held)) = last.get_mut("text")
    {
        held.push_str(more);
        return;
    }
    parts.push(part);
}

fn plain(part: &Map<String, Value>) -> Option<&str> {
    let text = part.get("text")?.as_str()?;
    part.keys().all(|key| matches!(&**key, "text" | "thought")).then_some(text)
}

fn thought(part: &Map<String, Value>) -> bool {
    part.get("thought").is_some_and(|value| *value == Value::Bool(true))
}

/// Sources are told as they occur, none twice.
fn cite(held: &mut Map<String, Value>, more: Map<String, Value>) {
    for (key, value) in more {
        match (held.get_mut(&key), value) {
            (Some(Value::Array(held)), Value::Array(more)) => {
                for source in more {
                    if !held.contains(&source) {
                        held.push(source);
                    }
                }
            }
            (_, value) => {
                held.insert(key, value);
            }
        }
    }
}
