//! What the model says.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

/// Printed by the command that tool calls run, so that a second request can be told to carry its output.
pub const TOOL_OUTPUT: &str = "TOOL-RAN-42";

/// A user text that contains this asks for a tool call; `TOOL:name` picks the tool.
pub const TOOL_MARKER: &str = "TOOL:";

/// One turn of the model.
#[derive(Clone, Debug)]
pub enum Answer {
    /// Repeats the last user text (at most 4096 characters of it), runs a tool when asked to, and reports a
    /// tool's output when given one.
    Default,
    /// Says this.
    Text(String),
    /// Thinks the first, then says the second.
    Thought(String, String),
    /// Calls the named tool with these arguments (for a freeform tool: a JSON string).
    Tool(String, Value),
    /// Calls several tools in one turn.
    Tools(Vec<(String, Value)>),
    /// Stops for this reason (`MAX_TOKENS`, `SAFETY`; `max_output_tokens`, `content_filter`) after this text.
    Cut(String, String),
    /// Sends these bytes as the stream, one chunk each.
    Raw(Vec<Bytes>),
    /// Sends this JSON as a unary answer, or as the only event of a stream.
    Json(Value),
}

#[derive(Debug)]
struct Inner {
    queue: VecDeque<Answer>,
    usual: Answer,
    deltas: usize,
    pace: Duration,
}

/// The answers a vendor's models give.
#[derive(Debug)]
pub struct Script(Mutex<Inner>);

impl Default for Script {
    fn default() -> Self {
        let inner = Inner { queue: VecDeque::new(), usual: Answer::Default, deltas: 3, pace: Duration::ZERO };
        Self(Mutex::new(inner))
    }
}

impl Script {
    /// Queues an answer for one request; queued answers come before the usual one.
    pub fn next(&self, answer: Answer) {
        super::lock(&self.0).queue.push_back(answer);
    }

    /// Sets the answer for all requests without a queued one.
    pub fn always(&self, answer: Answer) {
        super::lock(&self.0).usual = answer;
    }

    /// Sets into how many events a text is split.
    pub fn set_deltas(&self, deltas: usize) {
        super::lock(&self.0).deltas = deltas.max(1);
    }

    /// Sets the time between two events.
    pub fn set_pace(&self, pace: Duration) {
        super::lock(&self.0).pace = pace;
    }

    pub(crate) fn pace(&self) -> Duration {
        super::lock(&self.0).pace
    }

    pub(crate) fn deltas(&self) -> usize {
        super::lock(&self.0).deltas
    }

    pub(crate) fn take(&self) -> Answer {
        let mut inner = super::lock(&self.0);
        inner.queue.pop_front().unwrap_or_else(|| inner.usual.clone())
    }
}

/// A tool the client offers.
#[derive(Clone, Debug)]
pub(crate) struct Tool {
    pub(crate) name: String,
    pub(crate) namespace: Option<String>,
    pub(crate) freeform: bool,
    pub(crate) schema: Value,
}

/// What the request's end asks for.
#[derive(Debug)]
pub(crate) struct Prompt {
    pub(crate) text: String,
    /// Set when the request ends with the outputs of tools instead of a user's text.
    pub(crate) tool_output: Option<String>,
    pub(crate) tools: Vec<Tool>,
    /// Set when the answer has to be JSON of this schema.
    pub(crate) json: Option<Value>,
}

/// The default turn in terms of the others.
pub(crate) fn default_turn(prompt: &Prompt) -> Answer {
    if let Some(schema) = &prompt.json {
        return Answer::Text(sample(schema).to_string());
    }
    if let Some(output) = &prompt.tool_output {
        return Answer::Text(format!("The tool said: {output}"));
    }
    if let Some(name) = asked_tool(&prompt.text)
        && let Some(tool) = choose(&prompt.tools, name)
    {
        return Answer::Tool(tool.name.clone(), arguments(tool));
    }
    Answer::Text(prompt.text.chars().take(4096).collect())
}

fn asked_tool(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once(TOOL_MARKER)?;
    let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '-')).unwrap_or(rest.len());
    Some(&rest[..end])
}

/// The named tool, else the one that runs a command, else the first.
fn choose<'a>(tools: &'a [Tool], name: &str) -> Option<&'a Tool> {
    const RUNNERS: [&str; 6] =
        ["exec", "exec_command", "shell_command", "shell", "run_shell_command", "Bash"];
    let named = |wanted: &str| tools.iter().find(|tool| tool.name == wanted);
    named(name).or_else(|| RUNNERS.iter().find_map(|runner| named(runner))).or_else(|| tools.first())
}

/// Arguments that make the clients' own tools print [`TOOL_OUTPUT`], and others a value of their schema.
fn arguments(tool: &Tool) -> Value {
    let command = format!("echo {TOOL_OUTPUT}");
    match tool.name.as_str() {
        "exec" if tool.freeform => json!(format!(
            "const result = await tools.exec_command({{cmd: \"{command}\"}});\ntext(result.output);"
        )),
        "exec_command" => json!({"cmd": command}),
        "shell_command" | "run_shell_command" | "Bash" => json!({"command": command}),
        "shell" => json!({"command": ["echo", TOOL_OUTPUT]}),
        _ if tool.freeform => json!(TOOL_OUTPUT),
        _ => sample(&tool.schema),
    }
}

/// A small value that a JSON schema (or an `OpenAPI` one, with its types in capitals) accepts.
pub(crate) fn sample(schema: &Value) -> Value {
    if let Some(first) = schema["enum"].as_array().and_then(|values| values.first()) {
        return first.clone();
    }
    if let Some(constant) = schema.get("const") {
        return constant.clone();
    }
    if let Some(first) = schema["anyOf"].as_array().and_then(|choices| choices.first()) {
        return sample(first);
    }
    let kind = match &schema["type"] {
        Value::Array(kinds) => kinds.first().and_then(Value::as_str).unwrap_or("object").to_owned(),
        kind => kind.as_str().unwrap_or("object").to_owned(),
    };
    match kind.to_ascii_lowercase().as_str() {
        "string" => json!(TOOL_OUTPUT),
        "integer" | "number" => json!(
            schema["minimum"].as_i64().unwrap_or(0).max(42.min(schema["maximum"].as_i64().unwrap_or(42)))
        ),
        "boolean" => json!(true),
        "array" => json!([sample(&schema["items"])]),
        "null" => Value::Null,
        _ => {
            let required: Vec<_> = match schema["required"].as_array() {
                Some(names) => names.iter().filter_map(Value::as_str).collect(),
                None => Vec::new(),
            };
            let members = schema["properties"].as_object().into_iter().flatten();
            members
                .filter(|(name, _)| required.contains(&name.as_str()))
                .map(|(name, schema)| (name.clone(), sample(schema)))
                .collect::<serde_json::Map<_, _>>()
                .into()
        }
    }
}

/// Splits a text into at most `count` pieces of about the same length.
pub(crate) fn pieces(text: &str, count: usize) -> Vec<String> {
    let letters: Vec<char> = text.chars().collect();
    let size = letters.len().div_ceil(count.max(1)).max(1);
    letters.chunks(size).map(|piece| piece.iter().collect()).collect()
}

/// A stand-in for a tokenizer: a quarter of the length, and one.
pub(crate) fn count_tokens(bytes: usize) -> usize {
    bytes / 4 + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tool(name: &str, freeform: bool) -> Tool {
        let schema = json!({"type": "OBJECT", "required": ["city"], "properties": {
            "city": {"type": "STRING"}, "days": {"type": "INTEGER"}}});
        Tool { name: name.into(), namespace: None, freeform, schema }
    }

    fn prompt(text: &str, tools: Vec<Tool>) -> Prompt {
        Prompt { text: text.into(), tool_output: None, tools, json: None }
    }

    #[test]
    fn an_asked_tool_is_called_in_the_form_it_was_offered() {
        let turn = default_turn(&prompt("TOOL:", vec![tool("apply_patch", true), tool("exec", true)]));
        let Answer::Tool(name, Value::String(input)) = turn else { panic!("{turn:?}") };
        assert_eq!(name, "exec");
        assert!(input.contains("echo TOOL-RAN-42"));

        let turn = default_turn(&prompt(
            "please TOOL:get_weather!",
            vec![tool("shell", false), tool("get_weather", false)],
        ));
        let Answer::Tool(name, arguments) = turn else { panic!("{turn:?}") };
        assert_eq!((name.as_str(), arguments), ("get_weather", json!({"city": "TOOL-RAN-42"})));
    }

    #[test]
    fn a_tool_is_not_called_when_none_is_offered() {
        assert!(matches!(default_turn(&prompt("TOOL:", vec![])), Answer::Text(text) if text == "TOOL:"));
    }

    #[test]
    fn samples_stay_inside_their_bounds() {
        assert_eq!(sample(&json!({"type": "integer", "minimum": 1, "maximum": 10})), json!(10));
        assert_eq!(sample(&json!({"type": "number"})), json!(42));
        assert_eq!(sample(&json!({"type": ["string", "null"], "enum": ["low", "high"]})), json!("low"));
        assert_eq!(sample(&json!({"type": "array", "items": {"type": "boolean"}})), json!([true]));
    }

    #[test]
    fn pieces_join_to_the_text_again() {
        for count in 1..9 {
            assert_eq!(pieces("grüße 🦀 end", count).concat(), "grüße 🦀 end");
            assert!(pieces("grüße 🦀 end", count).len() <= count);
        }
    }
}
