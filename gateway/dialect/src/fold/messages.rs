use crate::Payload;
use bytes::Bytes;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Anthropic Messages: blocks between `message_start` and `message_stop`.
#[derive(Debug, Default)]
pub(super) struct Messages {
    message: Option<Map<String, Value>>,
    blocks: BTreeMap<u64, Block>,
    stopped: bool,
}

#[derive(Debug, Default)]
struct Block {
    members: Map<String, Value>,
    /// `input` as it comes, piece by piece. It goes out byte for byte, numbers and all.
    input: String,
}

impl Messages {
    pub(super) fn push(&mut self, data: &Bytes) -> Option<usize> {
        let Value::Object(mut event) = serde_json::from_slice(data).ok()? else { return None };
        let kind = event.shift_remove("type")?;
        let index = event.get("index").and_then(Value::as_u64).unwrap_or_default();
        match kind.as_str()? {
            "message_start" => self.message = Some(object(event.shift_remove("message"))?),
            "content_block_start" => {
                let members = object(event.shift_remove("content_block"))?;
                self.blocks.insert(index, Block { members, input: String::new() });
            }
            "content_block_delta" => self.blocks.get_mut(&index)?.push(object(event.shift_remove("delta"))?),
            "message_delta" => self.finish_message(event)?,
            "message_stop" => self.stopped = true,
            "error" => return None,
            // `ping`, `content_block_stop`, and what may come one day.
            _ => return Some(0),
        }
        Some(data.len())
    }

    /// Stop reason and counts. Usage is cumulative, so each number replaces the former.
    fn finish_message(&mut self, mut event: Map<String, Value>) -> Option<()> {
        let message = self.message.as_mut()?;
        message.extend(object(event.shift_remove("delta")).unwrap_or_default());
        let usage = object(event.shift_remove("usage")).unwrap_or_default();
        if let Some(Value::Object(held)) = message.get_mut("usage") {
            held.extend(usage.into_iter().filter(|(_, value)| !value.is_null()));
        } else {
            message.insert("usage".into(), usage.into());
        }
        message.extend(event);
        Some(())
    }

    pub(super) fn finish(self) -> Option<Bytes> {
        let message = self.message.filter(|_| self.stopped)?;
        // Only an answer that ran out of room may end inside a tool's input.
        let cut = message.get("stop_reason").and_then(Value::as_str);
        let cut = matches!(cut, Some("max_tokens" | "model_context_window_exceeded"));
        let blocks: Option<Vec<Bytes>> = self.blocks.into_values().map(|block| block.finish(cut)).collect();
        let content = [&b"["[..], &blocks?.join(&b","[..]), b"]"].concat();
        let message = Payload::new(Value::Object(message).to_string().into());
        Some(message.with(&[("content", Some(&content))]))
    }
}

impl Block {
    fn push(&mut self, mut delta: Map<String, Value>) {
        let kind = delta.shift_remove("type").unwrap_or_default();
        match (kind.as_str().unwrap_or_default(), &mut self.members) {
            ("input_json_delta", _) => {
                self.input.push_str(delta.get("partial_json").and_then(Value::as_str).unwrap_or_default());
            }
            ("text_delta", members) => grow(members, "text", &delta),
            ("thinking_delta", members) => grow(members, "thinking", &delta),
            ("signature_delta", members) => members.extend(delta),
            ("citations_delta", members) => {
                let citation = delta.shift_remove("citation").unwrap_or_default();
                match members.get_mut("citations") {
                    Some(Value::Array(held)) => held.push(citation),
                    _ => {
                        members.insert("citations".into(), vec![citation].into());
                    }
                }
            }
            _ => {}
        }
    }

    fn finish(self, cut: bool) -> Option<Bytes> {
        let block = Payload::new(Value::Object(self.members).to_string().into());
        if self.input.is_empty() {
            return Some(block.bytes().clone());
        }
        match serde_json::from_str::<serde::de::IgnoredAny>(&self.input) {
            Ok(_) => Some(block.with(&[("input", Some(self.input.trim().as_bytes()))])),
            Err(_) => cut.then(|| block.bytes().clone()),
        }
    }
}

fn object(value: Option<Value>) -> Option<Map<String, Value>> {
    if let Some(Value::Object(map)) = value { Some(map) } else { None }
}

fn grow(members: &mut Map<String, Value>, key: &str, delta: &Map<String, Value>) {
    let more = delta.get(key).and_then(Value::as_str).unwrap_or_default();
    if let Some(Value::String(held)) = members.get_mut(key) {
        held.push_str(more);
    } else {
        members.insert(key.into(), more.into());
    }
}
