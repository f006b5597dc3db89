//! What Code Assist checks in a generation request before a model sees it.

use std::collections::HashSet;

use serde_json::{Map, Value};

use crate::simulator::script::{Prompt, Tool};

/// The documented way to say that a signature was lost (the Gemini CLI sends it, 2026-08).
pub(super) const PLACEHOLDER: &str = "skip_thought_signature_validator";

const DATA: [&str; 7] = [
    "text",
    "inlineData",
    "functionCall",
    "functionResponse",
    "fileData",
    "executableCode",
    "codeExecutionResult",
];

/// A part's member under its camel-case or snake-case name: Google's JSON reader takes both.
fn member<'a>(object: &'a Value, name: &str) -> Option<&'a Value> {
    object.get(name).or_else(|| {
        let snake = name.chars().fold(String::new(), |mut snake, letter| {
            if letter.is_ascii_uppercase() {
                snake.push('_');
            }
            snake.push(letter.to_ascii_lowercase());
            snake
        });
        object.get(snake)
    })
}

fn parts(content: &Value) -> &[Value] {
    content["parts"].as_array().map_or(&[], Vec::as_slice)
}

/// The first thing wrong with the contents.
pub(super) fn check(request: &Value, model: &str, issued: &HashSet<String>) -> Result<(), String> {
    let contents = match request.get("contents") {
        Some(Value::Array(contents)) if !contents.is_empty() => contents,
        _ => return Err("* GenerateContentRequest.contents: contents is not specified".into()),
    };
    if let Some(system) = member(request, "systemInstruction")
        && !system.is_object()
    {
        return Err("Invalid value at 'request.system_instruction'.".into());
    }
    let strict = model.starts_with("gemini-3");
    for (index, content) in contents.iter().enumerate() {
        check_content(index, content)?;
        if content["role"] != "model" {
            continue;
        }
        let calls: Vec<_> =
            parts(content).iter().filter(|part| member(part, "functionCall").is_some()).collect();
        // Of parallel calls only the first carries a signature.
        if strict && let Some(first) = calls.first() {
            check_signature(index, first, issued)?;
        }
        let responses = contents.get(index + 1).map_or(0, |next| {
            parts(next).iter().filter(|part| member(part, "functionResponse").is_some()).count()
        });
        if !calls.is_empty() && responses != calls.len() {
            return Err(
                "Please ensure that the number of function response parts is equal to the number of \
                        function call parts of the function call turn."
                    .into(),
            );
        }
    }
    Ok(())
}

fn check_content(index: usize, content: &Value) -> Result<(), String> {
    if !matches!(content["role"].as_str(), None | Some("user" | "model" | "function")) {
        return Err("Please use a valid role: user, model.".into());
    }
    if parts(content).is_empty() {
        return Err(format!(
            "* GenerateContentRequest.contents[{index}].parts: contents.parts must not be empty."
        ));
    }
    for part in parts(content) {
        match DATA.iter().filter(|name| member(part, name).is_some()).count() {
            1 => {}
            0 => {
                return Err(format!(
                    "* GenerateContentRequest.contents[{index}].parts: required oneof field 'data' must have one initialized field"
                ));
            }
            _ => return Err("Invalid value at 'request.contents': oneof field 'data' is already set.".into()),
        }
    }
    Ok(())
}

fn check_signature(index: usize, call: &Value, issued: &HashSet<String>) -> Result<(), String> {
    match member(call, "thoughtSignature").and_then(Value::as_str) {
        None | Some("") => {
            let name =
                member(call, "functionCall").and_then(|call| call["name"].as_str()).unwrap_or_default();
            Err(format!(
                "Function call is missing a thought_signature in functionCall parts. This is required for \
                 tools to work correctly. Function call `{name}`, position {index}."
            ))
        }
        Some(signature) if signature == PLACEHOLDER || issued.contains(signature) => Ok(()),
        Some(_) => Err("Corrupted thought signature.".into()),
    }
}

/// What the request asks of the model.
pub(super) fn prompt(request: &Value) -> Prompt {
    let contents = request["contents"].as_array().map_or(&[][..], Vec::as_slice);
    let last = contents.last().unwrap_or(&Value::Null);
    let outputs: Vec<_> = parts(last).iter().filter_map(|part| member(part, "functionResponse")).collect();
    let tool_output = (!outputs.is_empty())
        .then(|| outputs.iter().map(|output| output["response"].to_string()).collect::<Vec<_>>().join("\n"));
    let asked = contents.iter().rev().find(|content| content["role"] != "model").unwrap_or(&Value::Null);
    let text: Vec<_> = parts(asked).iter().filter_map(|part| part["text"].as_str()).collect();
    let config = member(request, "generationConfig").cloned().unwrap_or_default();
    let wants_json = member(&config, "responseMimeType").is_some_and(|kind| kind == "application/json");
    let schema = member(&config, "responseJsonSchema").or_else(|| member(&config, "responseSchema"));
    Prompt {
        text: text.join("\n"),
        tool_output,
        tools: tools(request),
        json: wants_json.then(|| schema.cloned().unwrap_or_else(|| Value::Object(Map::new()))),
    }
}

fn tools(request: &Value) -> Vec<Tool> {
    let groups = request["tools"].as_array().into_iter().flatten();
    groups
        .filter_map(|group| member(group, "functionDeclarations")?.as_array())
        .flatten()
        .map(|declaration| Tool {
            name: declaration["name"].as_str().unwrap_or_default().to_owned(),
            namespace: None,
            freeform: false,
            schema: member(declaration, "parametersJsonSchema")
                .or_else(|| declaration.get("parameters"))
                .cloned()
                .unwrap_or_default(),
        })
        .collect()
}
