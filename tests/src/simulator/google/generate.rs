//! generateContent, streamGenerateContent, countTokens.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Value, json};

use super::refusal::Refusal;
use super::setup::{call, entitled, invalid, known_only};
use super::{State, request};
use crate::simulator::quota;
use crate::simulator::reply::Reply;
use crate::simulator::script::{self, Answer, Script};
use crate::simulator::server::Asked;
use crate::simulator::token;

/// A turn that may be taken.
pub(super) struct Granted {
    model: String,
    prompt_tokens: usize,
    answer: Answer,
}

impl Granted {
    pub(super) fn new(script: &Script, model: &str, request: &Value) -> Self {
        let answer = match script.take() {
            Answer::Default => script::default_turn(&request::prompt(request)),
            scripted => scripted,
        };
        let prompt_tokens = script::count_tokens(request["contents"].to_string().len());
        Self { model: model.to_owned(), prompt_tokens, answer }
    }
}

/// Takes a request through all checks, in the order a Google front end makes them.
fn admit(state: &mut State, script: &Script, asked: &Asked) -> Result<Granted, Reply> {
    let (label, body) = call(state, asked)?;
    known_only(
        &body,
        &[
            "model",
            "project",
            "user_prompt_id",
            "userPromptId",
            "request",
            "enabled_credit_types",
            "enabledCreditTypes",
        ],
    )?;
    let text = |name: &str| body[name].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    let model = text("model").ok_or_else(|| invalid("model is required."))?;
    let project = text("project").ok_or_else(|| invalid("project is required."))?;
    if !body["request"].is_object() {
        return Err(invalid("request is required."));
    }
    entitled(state, &label, &project)?;
    exists(state, &label, &model)?;
    request::check(&body["request"], &model, &state.signatures).map_err(|message| invalid(&message))?;
    let record = state.accounts.get_mut(&label).expect("the caller was found among the accounts");
    if let Some(refusal) = &record.refusal {
        return Err(refusal.reply(&model));
    }
    quota::spend(&mut record.quotas, &model).map_err(|refusal| refusal.reply(&model))?;
    Ok(Granted::new(script, &model, &body["request"]))
}

fn exists(state: &State, label: &str, model: &str) -> Result<(), Reply> {
    let enabled =
        state.accounts[label].models.as_ref().is_none_or(|models| models.iter().any(|name| name == model));
    if enabled && state.models.iter().any(|name| name == model) {
        Ok(())
    } else {
        Err(Refusal::NotFound.reply(model))
    }
}

fn sign(state: &mut State) -> String {
    let signature = STANDARD.encode(token::random());
    state.signatures.insert(signature.clone());
    signature
}

/// The turn as groups of parts, one group a chunk, and the reason it stops for.
fn turn(state: &mut State, granted: &Granted, deltas: usize) -> (Vec<Vec<Value>>, String) {
    let spoken = |text: &str| {
        let pieces = script::pieces(text, deltas);
        pieces.into_iter().map(|piece| vec![json!({"text": piece})]).collect::<Vec<_>>()
    };
    let stop = "STOP".to_owned();
    match &granted.answer {
        Answer::Text(text) => (spoken(text), stop),
        Answer::Thought(thought, text) => {
            let mut groups = vec![vec![json!({"text": thought, "thought": true})]];
            groups.extend(spoken(text));
            (groups, stop)
        }
        Answer::Tool(name, arguments) => (vec![calls(state, &[(name.clone(), arguments.clone())])], stop),
        Answer::Tools(all) => (vec![calls(state, all)], stop),
        // Cut while thinking, a turn has content without parts.
        Answer::Cut(reason, text) => (spoken(text), reason.clone()),
        Answer::Default | Answer::Raw(_) | Answer::Json(_) => (Vec::new(), stop),
    }
}

fn calls(state: &mut State, all: &[(String, Value)]) -> Vec<Value> {
    let mut parts: Vec<_> =
        all.iter().map(|(name, args)| json!({"functionCall": {"name": name, "args": args}})).collect();
    if let Some(first) = parts.first_mut() {
        first["thoughtSignature"] = json!(sign(state));
    }
    parts
}

fn usage(granted: &Granted, groups: &[Vec<Value>]) -> Value {
    let size = |thought: bool| {
        let parts =
            groups.iter().flatten().filter(|part| part["thought"].as_bool().unwrap_or(false) == thought);
        parts
            .map(|part| part["text"].as_str().map_or_else(|| part.to_string().len(), str::len))
            .sum::<usize>()
    };
    let spoken = if size(false) == 0 { 0 } else { script::count_tokens(size(false)) };
    let thought = if size(true) == 0 { 0 } else { script::count_tokens(size(true)) };
    let mut usage = json!({
        "promptTokenCount": granted.prompt_tokens, "candidatesTokenCount": spoken,
        "totalTokenCount": granted.prompt_tokens + spoken + thought,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": granted.prompt_tokens}],
        "trafficType": "ON_DEMAND",
    });
    if thought > 0 {
        usage["thoughtsTokenCount"] = json!(thought);
    }
    usage
}

fn content(parts: &[Value]) -> Value {
    if parts.is_empty() { json!({"role": "model"}) } else { json!({"role": "model", "parts": parts}) }
}

pub(super) fn unary(state: &mut State, script: &Script, asked: &Asked) -> Reply {
    match admit(state, script, asked) {
        Ok(granted) => whole(state, &granted, enveloped),
        Err(refused) => refused,
    }
}

pub(super) fn stream(state: &mut State, script: &Script, asked: &Asked) -> Reply {
    match admit(state, script, asked) {
        Ok(granted) => streamed(state, script, asked, &granted, enveloped),
        Err(refused) => refused,
    }
}

/// As Code Assist sends a document; `id` is that of the whole answer.
fn enveloped(document: &Value, id: &str) -> Value {
    json!({"response": document, "traceId": id})
}

/// The answer in one document, in the form of one of Google's APIs.
pub(super) fn whole(state: &mut State, granted: &Granted, form: fn(&Value, &str) -> Value) -> Reply {
    match &granted.answer {
        Answer::Json(answer) => return Reply::json(200, answer),
        Answer::Raw(chunks) => return Reply::whole(200, "application/json", chunks.concat()),
        _ => {}
    }
    let (groups, reason) = turn(state, granted, 1);
    let document = json!({
        "candidates": [{"content": content(&groups.concat()), "finishReason": reason, "index": 0}],
        "usageMetadata": usage(granted, &groups), "modelVersion": granted.model,
    });
    Reply::json(200, &form(&document, &token::random()))
}

/// The answer bit by bit, in the form of one of Google's APIs.
pub(super) fn streamed(
    state: &mut State,
    script: &Script,
    asked: &Asked,
    granted: &Granted,
    form: fn(&Value, &str) -> Value,
) -> Reply {
    let sse = asked.query("alt") == Some("sse");
    match &granted.answer {
        Answer::Raw(chunks) => return Reply::events(chunks.clone()),
        Answer::Json(answer) => return frame(std::slice::from_ref(answer), sse),
        _ => {}
    }
    let (mut groups, reason) = turn(state, granted, script.deltas());
    if groups.is_empty() {
        groups.push(Vec::new());
    }
    let id = token::random();
    let usage = usage(granted, &groups);
    let last = groups.len() - 1;
    let chunks = groups.iter().enumerate().map(|(index, parts)| {
        let mut candidate = json!({"content": content(parts), "index": 0});
        let mut document = json!({"modelVersion": granted.model});
        if index == last {
            candidate["finishReason"] = json!(reason);
            document["usageMetadata"] = usage.clone();
        }
        document["candidates"] = json!([candidate]);
        form(&document, &id)
    });
    frame(&chunks.collect::<Vec<_>>(), sse)
}

fn frame(chunks: &[Value], sse: bool) -> Reply {
    if sse {
        let events = chunks.iter().map(|chunk| Bytes::from(format!("data: {chunk}\r\n\r\n")));
        return Reply::events(events.collect());
    }
    let count = chunks.len();
    let pieces = chunks.iter().enumerate().map(|(index, chunk)| {
        let open = if index == 0 { "[" } else { "" };
        let close = if index + 1 == count { "]" } else { ",\r\n" };
        Bytes::from(format!("{open}{chunk}{close}"))
    });
    let mut reply = Reply::events(pieces.collect());
    reply.headers = vec![("content-type".into(), "application/json; charset=UTF-8".into())];
    reply
}

pub(super) fn count(state: &mut State, asked: &Asked) -> Reply {
    let (label, body) = match call(state, asked) {
        Ok(call) => call,
        Err(refused) => return refused,
    };
    if let Err(refused) = known_only(&body, &["request"]) {
        return refused;
    }
    if let Err(refused) = known_only(&body["request"], &["model", "contents"]) {
        return refused;
    }
    let Some(model) = body["request"]["model"].as_str().and_then(|name| name.strip_prefix("models/")) else {
        return invalid("* CountTokensRequest.model: unexpected model name format");
    };
    if let Err(refused) = exists(state, &label, model) {
        return refused;
    }
    match body["request"]["contents"].as_array() {
        Some(contents) if !contents.is_empty() => {
            let size = body["request"]["contents"].to_string().len();
            Reply::json(200, &json!({"totalTokens": script::count_tokens(size)}))
        }
        _ => invalid("* CountTokensRequest.contents: contents is not specified"),
    }
}
