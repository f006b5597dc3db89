//! The event stream of a response, every event with its required fields.

use bytes::Bytes;
use serde_json::{Value, json};

use super::Record;
use super::refusal::limits_event;
use crate::simulator::{script, token};

/// Frames one event.
pub(super) fn frame(event: &Value) -> Bytes {
    let kind = event["type"].as_str().unwrap_or_default();
    Bytes::from(format!("event: {kind}\ndata: {event}\n\n"))
}

/// A response being spoken.
pub(super) struct Stream {
    events: Vec<Bytes>,
    sequence: usize,
    response: Value,
    items: Vec<Value>,
    deltas: usize,
    input_tokens: usize,
    spoken: usize,
    thought: usize,
}

impl Stream {
    pub(super) fn open(body: &Value, deltas: usize, limits: Option<&Record>) -> Self {
        let or = |name: &str, other: Value| {
            body.get(name).filter(|value| !value.is_null()).cloned().unwrap_or(other)
        };
        let response = json!({
            "id": format!("resp_{}", token::random()), "object": "response", "created_at": token::now(),
            "status": "in_progress", "background": false, "error": null, "incomplete_details": null,
            "instructions": or("instructions", Value::Null), "metadata": {}, "model": body["model"], "output": [],
            "parallel_tool_calls": or("parallel_tool_calls", json!(true)), "previous_response_id": null,
            "prompt_cache_key": or("prompt_cache_key", Value::Null), "reasoning": or("reasoning", Value::Null),
            "service_tier": or("service_tier", json!("default")), "store": false, "temperature": null,
            "text": or("text", json!({"format": {"type": "text"}})), "tool_choice": or("tool_choice", json!("auto")),
            "tools": or("tools", json!([])), "top_p": null, "truncation": "disabled", "usage": null,
        });
        let mut stream = Self {
            events: Vec::new(),
            sequence: 0,
            response,
            items: Vec::new(),
            deltas,
            input_tokens: script::count_tokens(body["input"].to_string().len()),
            spoken: 0,
            thought: 0,
        };
        if let Some(record) = limits {
            stream.events.push(frame(&limits_event(record)));
        }
        stream.life("response.created");
        stream.life("response.in_progress");
        stream
    }

    fn emit(&mut self, kind: &str, mut event: Value) {
        let mut whole = json!({"type": kind, "sequence_number": self.sequence});
        if let (Some(whole), Some(event)) = (whole.as_object_mut(), event.as_object_mut()) {
            whole.append(event);
        }
        self.sequence += 1;
        self.events.push(frame(&whole));
    }

    fn life(&mut self, kind: &str) {
        let response = self.response.clone();
        self.emit(kind, json!({ "response": response }));
    }

    fn add(&mut self, item: &Value) -> usize {
        let output_index = self.items.len();
        self.emit("response.output_item.added", json!({"output_index": output_index, "item": item}));
        output_index
    }

    fn done(&mut self, item: Value) {
        self.emit("response.output_item.done", json!({"output_index": self.items.len(), "item": item}));
        self.items.push(item);
    }

    /// A message, as one part of text.
    pub(super) fn text(&mut self, text: &str, status: &str) {
        let id = format!("msg_{}", token::random());
        let message = |status: &str, content: Value| json!({"id": id, "type": "message", "status": status, "role": "assistant", "content": content});
        let part =
            |text: &str| json!({"type": "output_text", "annotations": [], "logprobs": [], "text": text});
        let output_index = self.add(&message("in_progress", json!([])));
        let at = json!({"item_id": id, "output_index": output_index, "content_index": 0});
        let with = |name: &str, value: Value| {
            let mut event = at.clone();
            event[name] = value;
            event
        };
        self.emit("response.content_part.added", with("part", part("")));
        for piece in script::pieces(text, self.deltas) {
            let mut event = with("delta", json!(piece));
            event["logprobs"] = json!([]);
            self.emit("response.output_text.delta", event);
        }
        let mut whole = with("text", json!(text));
        whole["logprobs"] = json!([]);
        self.emit("response.output_text.done", whole);
        self.emit("response.content_part.done", with("part", part(text)));
        self.done(message(status, json!([part(text)])));
        self.spoken += script::count_tokens(text.len());
    }

    /// A reasoning item with its summary, and the content only its own account can read back.
    pub(super) fn reasoning(&mut self, summary: &str, account: &str) {
        let id = format!("rs_{}", token::random());
        let item = |summary: Value| json!({"id": id, "type": "reasoning", "summary": summary, "encrypted_content": format!("enc-{account}-{id}")});
        let output_index = self.add(&item(json!([])));
        let at = json!({"item_id": id, "output_index": output_index, "summary_index": 0});
        let with = |name: &str, value: Value| {
            let mut event = at.clone();
            event[name] = value;
            event
        };
        let part = |text: &str| json!({"type": "summary_text", "text": text});
        self.emit("response.reasoning_summary_part.added", with("part", part("")));
        for piece in script::pieces(summary, self.deltas) {
            self.emit("response.reasoning_summary_text.delta", with("delta", json!(piece)));
        }
        self.emit("response.reasoning_summary_text.done", with("text", json!(summary)));
        self.emit("response.reasoning_summary_part.done", with("part", part(summary)));
        self.done(item(json!([part(summary)])));
        self.thought += script::count_tokens(summary.len());
    }

    /// A call of a tool with a schema.
    pub(super) fn function(&mut self, name: &str, namespace: Option<&str>, arguments: &str) {
        let (id, call_id) = (format!("fc_{}", token::random()), format!("call_{}", token::random()));
        let item = |status: &str, arguments: &str| {
            let mut item = json!({
                "id": id, "type": "function_call", "status": status, "arguments": arguments, "call_id": call_id, "name": name,
            });
            if let Some(namespace) = namespace {
                item["namespace"] = json!(namespace);
            }
            item
        };
        let output_index = self.add(&item("in_progress", ""));
        for piece in script::pieces(arguments, self.deltas) {
            let event = json!({"item_id": id, "output_index": output_index, "delta": piece});
            self.emit("response.function_call_arguments.delta", event);
        }
        let event =
            json!({"item_id": id, "output_index": output_index, "name": name, "arguments": arguments});
        self.emit("response.function_call_arguments.done", event);
        self.done(item("completed", arguments));
        self.spoken += script::count_tokens(arguments.len());
    }

    /// A call of a freeform tool.
    pub(super) fn custom(&mut self, name: &str, input: &str) {
        let (id, call_id) = (format!("ctc_{}", token::random()), format!("call_{}", token::random()));
        let item = |status: &str, input: &str| json!({"id": id, "type": "custom_tool_call", "status": status, "call_id": call_id, "name": name, "input": input});
        let output_index = self.add(&item("in_progress", ""));
        for piece in script::pieces(input, self.deltas) {
            let event = json!({"item_id": id, "output_index": output_index, "delta": piece});
            self.emit("response.custom_tool_call_input.delta", event);
        }
        let event = json!({"item_id": id, "output_index": output_index, "input": input});
        self.emit("response.custom_tool_call_input.done", event);
        self.done(item("completed", input));
        self.spoken += script::count_tokens(input.len());
    }

    /// The one item a compaction answers with.
    pub(super) fn compaction(&mut self, account: &str) {
        let id = format!("cmp_{}", token::random());
        self.done(
            json!({"type": "compaction", "id": id, "encrypted_content": format!("enc-{account}-{id}")}),
        );
    }

    /// Ends the response as completed, or as incomplete for a reason.
    pub(super) fn close(mut self, incomplete: Option<&str>, empty_output: bool) -> Vec<Bytes> {
        let output = self.spoken + self.thought;
        self.response["usage"] = json!({
            "input_tokens": self.input_tokens, "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": output, "output_tokens_details": {"reasoning_tokens": self.thought},
            "total_tokens": self.input_tokens + output,
        });
        if !empty_output {
            self.response["output"] = json!(self.items);
        }
        let kind = match incomplete {
            None => "completed",
            Some(reason) => {
                self.response["incomplete_details"] = json!({ "reason": reason });
                "incomplete"
            }
        };
        self.response["status"] = json!(kind);
        self.life(&format!("response.{kind}"));
        self.events
    }

    /// Ends the response as failed, right after it was created.
    pub(super) fn fail(mut self, error: &Value) -> Vec<Bytes> {
        self.response["status"] = json!("failed");
        self.response["error"] = error.clone();
        self.life("response.failed");
        self.events
    }
}
