//! What the backend checks in a request, in a fixed order, and what the request asks of the model.

use serde_json::Value;

use super::Habits;
use super::refusal::Refusal;
use crate::simulator::script::{Prompt, Tool};

/// Parameters of the public API that this backend refuses, collected 2026; the first in this order is named.
const UNSUPPORTED: [&str; 14] = [
    "max_output_tokens",
    "max_completion_tokens",
    "temperature",
    "top_p",
    "truncation",
    "user",
    "metadata",
    "safety_identifier",
    "context_management",
    "generate",
    "stream_options",
    "prompt_cache_retention",
    "prompt_cache_options",
    "previous_response_id",
];

/// The items that answer a call, with the items they answer.
const ANSWERS: [(&str, &str); 2] =
    [("function_call_output", "function_call"), ("custom_tool_call_output", "custom_tool_call")];

fn detail(text: &str) -> Refusal {
    Refusal::Detail(text.to_owned())
}

/// The first thing wrong with the body, apart from its model.
pub(super) fn check(body: &Value, lite: bool, habits: Habits) -> Result<(), Refusal> {
    if let Some(name) = UNSUPPORTED.iter().find(|name| body.get(**name).is_some()) {
        let text = format!("Unsupported parameter: {name}");
        return Err(if habits.error_lane {
            Refusal::Invalid("unsupported_parameter".into(), text, Some((*name).to_owned()))
        } else {
            Refusal::Detail(text)
        });
    }
    if body["store"] != false {
        return Err(detail("Store must be set to false"));
    }
    if body["stream"] != true {
        return Err(detail("Stream must be set to true"));
    }
    if !lite && body["instructions"].as_str().is_none_or(str::is_empty) {
        return Err(detail("Instructions are required"));
    }
    let Some(input) = body["input"].as_array() else { return Err(detail("Input must be a list")) };
    if input.iter().any(|item| item["role"] == "system") {
        return Err(detail("System messages are not allowed"));
    }
    if let Some(tier @ ("auto" | "default" | "fast")) = body["service_tier"].as_str() {
        return Err(Refusal::Detail(format!("Unsupported service_tier: {tier}")));
    }
    check_items(input)?;
    if habits.strict_dialect && lite {
        let opens = input.first().is_some_and(|item| item["type"] == "additional_tools");
        if !opens || body.get("tools").is_some() || body.get("instructions").is_some() {
            return Err(detail("Request does not match the model's dialect"));
        }
    }
    Ok(())
}

fn check_items(input: &[Value]) -> Result<(), Refusal> {
    for (index, item) in input.iter().enumerate() {
        let Some((answer, call)) = ANSWERS.iter().find(|(answer, _)| item["type"] == *answer) else {
            continue;
        };
        let Some(id) = item["call_id"].as_str() else {
            let param = format!("input[{index}].call_id");
            let message = format!("Missing required parameter: '{param}'.");
            return Err(Refusal::Invalid("missing_required_parameter".into(), message, Some(param)));
        };
        if !input[..index].iter().any(|earlier| earlier["type"] == *call && earlier["call_id"] == id) {
            let kind = answer.replace('_', " ");
            let message = format!("No tool call found for {kind} with call_id {id}.");
            return Err(Refusal::Invalid("invalid_value".into(), message, Some("input".into())));
        }
    }
    Ok(())
}

/// Whether the request asks to compact the conversation.
pub(super) fn compacts(body: &Value) -> bool {
    body["input"]
        .as_array()
        .and_then(|input| input.last())
        .is_some_and(|item| item["type"] == "compaction_trigger")
}

/// What the request asks of the model.
pub(super) fn prompt(body: &Value) -> Prompt {
    let input = body["input"].as_array().map_or(&[][..], Vec::as_slice);
    let outputs: Vec<_> = input
        .iter()
        .rev()
        .take_while(|item| ANSWERS.iter().any(|(answer, _)| item["type"] == *answer))
        .map(|item| text(&item["output"]))
        .collect();
    let tool_output = (!outputs.is_empty()).then(|| outputs.into_iter().rev().collect::<Vec<_>>().join("\n"));
    let user = input.iter().rev().find(|item| item["role"] == "user").unwrap_or(&Value::Null);
    let format = &body["text"]["format"];
    Prompt {
        text: text(&user["content"]),
        tool_output,
        tools: tools(body, input),
        json: (format["type"] == "json_schema").then(|| format["schema"].clone()),
    }
}

/// The text of a string, or of a list of parts.
fn text(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => {
            parts.iter().filter_map(|part| part["text"].as_str()).collect::<Vec<_>>().join("\n")
        }
        _ => String::new(),
    }
}

fn tools(body: &Value, input: &[Value]) -> Vec<Tool> {
    let mut tools = Vec::new();
    let additional =
        input.iter().filter(|item| item["type"] == "additional_tools").map(|item| &item["tools"]);
    for list in std::iter::once(&body["tools"]).chain(additional) {
        collect(list, None, &mut tools);
    }
    tools
}

fn collect(list: &Value, namespace: Option<&str>, tools: &mut Vec<Tool>) {
    for tool in list.as_array().into_iter().flatten() {
        let name = tool["name"].as_str().unwrap_or_default();
        match tool["type"].as_str() {
            Some("namespace") => collect(&tool["tools"], Some(name), tools),
            Some(kind @ ("function" | "custom")) => tools.push(Tool {
                name: name.to_owned(),
                namespace: namespace.map(str::to_owned),
                freeform: kind == "custom",
                schema: tool["parameters"].clone(),
            }),
            _ => {}
        }
    }
}
