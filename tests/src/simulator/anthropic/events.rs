//! A message being spoken, as events and as a document.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::simulator::script;
use crate::simulator::token;

/// Frames one event.
pub(super) fn frame(event: &Value) -> Bytes {
    let kind = event["type"].as_str().unwrap_or_default();
    Bytes::from(format!("event: {kind}\ndata: {event}\n\n"))
}

pub(super) struct Speech {
    message: Value,
    events: Vec<Bytes>,
    deltas: usize,
    spoken: usize,
}

impl Speech {
    pub(super) fn open(model: &str, input_tokens: usize, deltas: usize) -> Self {
        let usage = json!({
            "input_tokens": input_tokens, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0,
            "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
            "output_tokens": 1, "output_tokens_details": null, "server_tool_use": null,
            "service_tier": "standard", "inference_geo": null, "speed": null,
        });
        let message = json!({
            "id": format!("msg_{}", token::random()), "type": "message", "role": "assistant", "model": model,
            "content": [], "stop_reason": null, "stop_sequence": null, "stop_details": null, "container": null,
            "diagnostics": null, "usage": usage,
        });
        let events = vec![
            frame(&json!({"type": "message_start", "message": message})),
            frame(&json!({"type": "ping"})),
        ];
        Self { message, events, deltas, spoken: 0 }
    }

    fn block(&mut self, opening: &Value, whole: Value, deltas: Vec<Value>) {
        let index = self.message["content"].as_array().map_or(0, Vec::len);
        self.events
            .push(frame(&json!({"type": "content_block_start", "index": index, "content_block": opening})));
        for delta in deltas {
            self.events.push(frame(&json!({"type": "content_block_delta", "index": index, "delta": delta})));
        }
        self.events.push(frame(&json!({"type": "content_block_stop", "index": index})));
        if let Some(content) = self.message["content"].as_array_mut() {
            content.push(whole);
        }
    }

    pub(super) fn text(&mut self, text: &str) {
        let block = |text: &str| json!({"type": "text", "text": text, "citations": null});
        let pieces = script::pieces(text, self.deltas);
        let deltas = pieces.iter().map(|piece| json!({"type": "text_delta", "text": piece})).collect();
        self.block(&block(""), block(text), deltas);
        self.spoken += script::count_tokens(text.len());
    }

    pub(super) fn thinking(&mut self, thought: &str) {
        let signature = token::random();
        let block = |thought: &str, signature: &str| json!({"type": "thinking", "thinking": thought, "signature": signature});
        let pieces = script::pieces(thought, self.deltas);
        let mut deltas: Vec<Value> =
            pieces.iter().map(|piece| json!({"type": "thinking_delta", "thinking": piece})).collect();
        deltas.push(json!({"type": "signature_delta", "signature": signature}));
        self.block(&block("", ""), block(thought, &signature), deltas);
        self.spoken += script::count_tokens(thought.len());
    }

    pub(super) fn tool(&mut self, name: &str, input: &Value) {
        let id = format!("toolu_{}", token::random());
        let block = |input: &Value| json!({"type": "tool_use", "id": id, "name": name, "input": input});
        let text = input.to_string();
        let pieces = script::pieces(&text, self.deltas);
        let deltas =
            pieces.iter().map(|piece| json!({"type": "input_json_delta", "partial_json": piece})).collect();
        self.block(&block(&json!({})), block(input), deltas);
        self.spoken += script::count_tokens(text.len());
    }

    /// The whole message.
    pub(super) fn document(mut self, stop_reason: &str) -> Value {
        self.message["stop_reason"] = json!(stop_reason);
        self.message["usage"]["output_tokens"] = json!(self.spoken);
        self.message
    }

    /// All events. Usage in the last of them is cumulative.
    pub(super) fn events(mut self, stop_reason: &str) -> Vec<Bytes> {
        let input = &self.message["usage"]["input_tokens"];
        self.events.push(frame(&json!({
            "type": "message_delta",
            "delta": {"stop_reason": stop_reason, "stop_sequence": null, "stop_details": null, "container": null},
            "usage": {
                "input_tokens": input, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0,
                "output_tokens": self.spoken, "output_tokens_details": null, "server_tool_use": null,
            },
        })));
        self.events.push(frame(&json!({"type": "message_stop"})));
        self.events
    }

    /// The beginning, and then an error.
    pub(super) fn fail(mut self, error: &Value) -> Vec<Bytes> {
        self.events.push(failed(error));
        self.events
    }
}

/// The event that ends a stream which went wrong.
pub(crate) fn failed(error: &Value) -> Bytes {
    let id = format!("req_{}", token::random());
    frame(&json!({"type": "error", "error": error, "request_id": id}))
}
