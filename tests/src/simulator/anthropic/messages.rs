//! `POST /v1/messages` and `/v1/messages/count_tokens`.

use serde_json::{Value, json};

use super::events::{Speech, frame};
use super::refusal::Refusal;
use super::usage::limits;
use super::{Access, State, catalogue};
use crate::simulator::quota;
use crate::simulator::reply::Reply;
use crate::simulator::script::{self, Answer, Prompt, Script, Tool};
use crate::simulator::server::Asked;

pub(super) fn create(state: &mut State, script: &Script, asked: &Asked) -> Reply {
    let (access, body, model) = match admit(state, asked, true) {
        Ok(admitted) => admitted,
        Err(reply) => return *reply,
    };
    let spent = match state.accounts.get_mut(&access.label) {
        Some(record) => quota::spend(&mut record.quotas, &model),
        None => Ok(()),
    };
    if let Err(refusal) = spent {
        return refuse(state, &access, &refusal, &model);
    }
    let mut speech = Speech::open(&model, tokens(&body), script.deltas());
    if let Some(refusal @ Refusal::InBand(..)) = &state.accounts[&access.label].refusal {
        let events = speech.fail(&refusal.error(&model));
        return limits(Reply::events(events), &state.accounts[&access.label], &access, false);
    }
    let streams = body["stream"] == true;
    let reply = match speak(&mut speech, script, &body) {
        Spoken::All(stop) if streams => Reply::events(speech.events(&stop)),
        Spoken::All(stop) => Reply::json(200, &speech.document(&stop)),
        Spoken::Instead(reply) => reply,
    };
    limits(reply, &state.accounts[&access.label], &access, false)
}

pub(super) fn count(state: &mut State, asked: &Asked) -> Reply {
    match admit(state, asked, false) {
        Ok((_, body, _)) => Reply::json(200, &json!({"input_tokens": tokens(&body)})),
        Err(reply) => *reply,
    }
}

fn tokens(body: &Value) -> usize {
    script::count_tokens(
        [&body["system"], &body["messages"], &body["tools"]].iter().map(|part| part.to_string().len()).sum(),
    )
}

fn refuse(state: &State, access: &Access, refusal: &Refusal, model: &str) -> Reply {
    let reply = refusal.reply(model);
    match refusal {
        Refusal::UsedUp(_) => limits(reply, &state.accounts[&access.label], access, true),
        // A throttle says nothing of the allowance.
        _ => reply,
    }
}

/// Takes a request through all checks.
fn admit(state: &State, asked: &Asked, generates: bool) -> Result<(Access, Value, String), Box<Reply>> {
    let no = |refusal: Refusal| Box::new(refusal.reply(""));
    let access = state.caller_with(asked, "user:inference").map_err(no)?;
    let record = &state.accounts[&access.label];
    let ours = asked.request.header("user-agent").is_some_and(|agent| agent.starts_with("claude-cli/"));
    if record.only_claude_code && access.scope.is_some() && !ours {
        return Err(no(Refusal::OnlyClaudeCode));
    }
    let body = check(asked, generates).map_err(|message| no(Refusal::Invalid(message)))?;
    let name = body["model"].as_str().unwrap_or_default().to_owned();
    match &record.refusal {
        None | Some(Refusal::InBand(..)) => {}
        Some(refusal) => return Err(Box::new(refuse(state, &access, refusal, &name))),
    }
    let Some(model) = catalogue::find(state, &access.label, &name) else {
        return Err(Box::new(Refusal::NoModel.reply(&name)));
    };
    let model = model.to_owned();
    Ok((access, body, model))
}

fn check(asked: &Asked, generates: bool) -> Result<Value, String> {
    let version = asked.request.header("anthropic-version");
    if !matches!(version, Some("2023-06-01" | "2026-10-21")) {
        return Err("anthropic-version: header is required".into());
    }
    let Some(body @ Value::Object(_)) = asked.json() else {
        return Err("The request body is not valid JSON".into());
    };
    let sampling = ["temperature", "top_p", "top_k"].into_iter().find(|name| body.get(name).is_some());
    if let Some(name) = sampling.filter(|_| version == Some("2026-10-21")) {
        return Err(format!("{name}: Extra inputs are not permitted"));
    }
    if !body["model"].is_string() {
        return Err("model: Field required".into());
    }
    if generates && body["max_tokens"].as_u64().is_none_or(|most| most == 0) {
        return Err("max_tokens: Field required".into());
    }
    let Some(messages) = body["messages"].as_array().filter(|messages| !messages.is_empty()) else {
        return Err("messages: Field required".into());
    };
    for (place, message) in messages.iter().enumerate() {
        let known =
            message["role"].as_str().is_some_and(|role| ["user", "assistant", "system"].contains(&role));
        if !known {
            return Err(format!("messages.{place}.role: Input should be 'user' or 'assistant'"));
        }
        if !message["content"].is_string() && !message["content"].is_array() {
            return Err(format!("messages.{place}.content: Field required"));
        }
    }
    Ok(body)
}

enum Spoken {
    All(String),
    Instead(Reply),
}

fn speak(speech: &mut Speech, script: &Script, body: &Value) -> Spoken {
    let prompt = prompt(body);
    let answer = match script.take() {
        Answer::Default => script::default_turn(&prompt),
        scripted => scripted,
    };
    let mut stop = "end_turn".to_owned();
    match answer {
        Answer::Default => {}
        Answer::Text(text) => speech.text(&text),
        Answer::Thought(thought, text) => {
            speech.thinking(&thought);
            speech.text(&text);
        }
        Answer::Tool(name, input) => {
            speech.tool(&name, &input);
            "tool_use".clone_into(&mut stop);
        }
        Answer::Tools(all) => {
            for (name, input) in &all {
                speech.tool(name, input);
            }
            "tool_use".clone_into(&mut stop);
        }
        Answer::Cut(reason, text) => {
            speech.text(&text);
            stop = reason;
        }
        Answer::Raw(chunks) => return Spoken::Instead(Reply::events(chunks)),
        Answer::Json(value) if body["stream"] == true => {
            return Spoken::Instead(Reply::events(vec![frame(&value)]));
        }
        Answer::Json(value) => return Spoken::Instead(Reply::json(200, &value)),
    }
    Spoken::All(stop)
}

/// What the last message of the user asks for. Clients put reminders of their own beside the person's words.
fn prompt(body: &Value) -> Prompt {
    let mut messages = body["messages"].as_array().into_iter().flatten();
    let last = messages.rfind(|message| message["role"] == "user").unwrap_or(&Value::Null);
    let blocks: Vec<&Value> = last["content"].as_array().into_iter().flatten().collect();
    let said = |block: &&&Value| {
        block["text"].as_str().is_some_and(|text| !text.trim_start().starts_with("<system-reminder>"))
    };
    let texts: Vec<&str> = blocks.iter().filter(said).filter_map(|block| block["text"].as_str()).collect();
    let results: Vec<String> = blocks
        .iter()
        .filter(|block| block["type"] == "tool_result")
        .map(|block| output(&block["content"]))
        .collect();
    let tools = body["tools"].as_array().into_iter().flatten().map(|tool| Tool {
        name: tool["name"].as_str().unwrap_or_default().to_owned(),
        namespace: None,
        freeform: false,
        schema: tool["input_schema"].clone(),
    });
    let format = &body["output_config"]["format"];
    Prompt {
        text: last["content"].as_str().map_or_else(|| texts.join("\n"), str::to_owned),
        tool_output: (!results.is_empty()).then(|| results.join("\n")),
        tools: tools.collect(),
        json: (format["type"] == "json_schema").then(|| format["schema"].clone()),
    }
}

fn output(content: &Value) -> String {
    let blocks = content.as_array().into_iter().flatten();
    let texts: Vec<&str> = blocks.filter_map(|block| block["text"].as_str()).collect();
    content.as_str().map_or_else(|| texts.join("\n"), str::to_owned)
}
