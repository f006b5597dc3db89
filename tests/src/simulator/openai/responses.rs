//! `POST /backend-api/codex/responses`.

use serde_json::Value;

use super::events::Stream;
use super::refusal::{Refusal, limits};
use super::{State, request};
use crate::simulator::quota;
use crate::simulator::reply::Reply;
use crate::simulator::script::{self, Answer, Script};
use crate::simulator::server::Asked;
use crate::simulator::token;

pub(super) fn create(state: &mut State, script: &Script, asked: &Asked) -> Reply {
    let ids = |reply: Reply| {
        let id = token::random();
        reply
            .with("x-request-id", id.clone())
            .with("x-oai-request-id", id)
            .with("cf-ray", "9a0000000000abcd-SIM")
    };
    let label = match state.caller(asked) {
        Ok(label) => label,
        Err(refusal) => return ids(refusal.reply("")),
    };
    let (body, lite) = match admit(state, &label, asked) {
        Ok(admitted) => admitted,
        Err((refusal, model)) => return ids(refuse(state, &label, &refusal, &model)),
    };
    let model = body["model"].as_str().unwrap_or_default();
    let reply = match generate(state, script, &label, &body, true) {
        Ok(reply) => reply,
        Err(refusal) => return ids(refuse(state, &label, &refusal, model)),
    };
    let record = &state.accounts[&label];
    let reply =
        limits(ids(reply), record).with("openai-model", model).with("x-models-etag", "W/\"sim-models-1\"");
    let reply = if lite { reply } else { reply.with("x-reasoning-included", "true") };
    match asked.request.header("x-codex-turn-state") {
        Some(_) => reply,
        None => reply.with("x-codex-turn-state", format!("turn-{label}-{}", token::random())),
    }
}

/// The answer to a socket's frame, as its body would be over HTTP. Without `speaks` only the input is read.
pub(super) fn on_socket(
    state: &mut State,
    script: &Script,
    label: &str,
    body: &Value,
    lite: bool,
    version: Option<&str>,
    speaks: bool,
) -> Reply {
    let admitted = admit_body(state, label, body, lite, version);
    let answered = admitted.and_then(|()| generate(state, script, label, body, speaks));
    answered
        .unwrap_or_else(|refusal| refuse(state, label, &refusal, body["model"].as_str().unwrap_or_default()))
}

fn generate(
    state: &mut State,
    script: &Script,
    label: &str,
    body: &Value,
    speaks: bool,
) -> Result<Reply, Refusal> {
    let record = state.accounts.get_mut(label).expect("the caller was found among the accounts");
    let spent = match &record.refusal {
        Some(refusal) => Err(refusal.clone()),
        None => quota::spend(&mut record.quotas, body["model"].as_str().unwrap_or_default()),
    };
    let record = &state.accounts[label];
    let limits = state.habits.rate_limits_event.then_some(record);
    match spent {
        Err(Refusal::InBand(error)) => Ok(Reply::events(Stream::open(body, 1, limits).fail(&error))),
        Err(refusal) => Err(refusal),
        Ok(()) if !speaks => Ok(Reply::events(Stream::open(body, 1, limits).close(None, true))),
        Ok(()) => {
            let stream = Stream::open(body, script.deltas(), limits);
            Ok(speak(stream, script, body, label, state.habits.empty_output))
        }
    }
}

fn refuse(state: &State, label: &str, refusal: &Refusal, model: &str) -> Reply {
    let record = &state.accounts[label];
    let reply = refusal.reply_on(&record.plan, model);
    if reply.status == 429 { limits(reply, record) } else { reply }
}

/// Takes the body through all checks; the model comes last, as a body must be read before it is routed.
fn admit(state: &State, label: &str, asked: &Asked) -> Result<(Value, bool), (Refusal, String)> {
    let refuse = |refusal: Refusal| (refusal, String::new());
    if asked.request.content_type() != "application/json" {
        return Err(refuse(Refusal::Detail("Unsupported content type".into())));
    }
    let Some(body @ Value::Object(_)) = asked.json() else {
        return Err(refuse(Refusal::Detail("Invalid JSON body".into())));
    };
    let lite = asked.request.header("x-openai-internal-codex-responses-lite") == Some("true");
    let name = body["model"].as_str().unwrap_or_default().to_owned();
    match admit_body(state, label, &body, lite, asked.request.header("version")) {
        Ok(()) => Ok((body, lite)),
        Err(refusal) => Err((refusal, name)),
    }
}

fn admit_body(
    state: &State,
    label: &str,
    body: &Value,
    lite: bool,
    version: Option<&str>,
) -> Result<(), Refusal> {
    request::check(body, lite, state.habits)?;
    let Some(name) = body["model"].as_str() else {
        let message = "Missing required parameter: 'model'.".to_owned();
        return Err(Refusal::Invalid("missing_required_parameter".into(), message, Some("model".into())));
    };
    let record = &state.accounts[label];
    match state.models.iter().find(|model| model.slug == name && model.offered(record, version)) {
        None => Err(Refusal::ModelNotSupported),
        Some(model) if state.habits.strict_dialect && model.lite != lite => {
            Err(Refusal::Detail("Request does not match the model's dialect".into()))
        }
        Some(_) => Ok(()),
    }
}

fn speak(mut stream: Stream, script: &Script, body: &Value, label: &str, empty_output: bool) -> Reply {
    if request::compacts(body) {
        stream.compaction(label);
        return Reply::events(stream.close(None, true));
    }
    let prompt = request::prompt(body);
    let answer = match script.take() {
        Answer::Default => script::default_turn(&prompt),
        scripted => scripted,
    };
    let mut incomplete = None;
    let mut call = |name: &str, arguments: &Value| {
        let tool = prompt.tools.iter().find(|tool| tool.name == name);
        let text = arguments.as_str().map_or_else(|| arguments.to_string(), str::to_owned);
        match tool {
            Some(tool) if tool.freeform => stream.custom(name, &text),
            tool => stream.function(name, tool.and_then(|tool| tool.namespace.as_deref()), &text),
        }
    };
    match answer {
        Answer::Default => {}
        Answer::Tool(name, arguments) => call(&name, &arguments),
        Answer::Tools(all) => all.iter().for_each(|(name, arguments)| call(name, arguments)),
        Answer::Text(text) => stream.text(&text, "completed"),
        Answer::Thought(thought, text) => {
            stream.reasoning(&thought, label);
            stream.text(&text, "completed");
        }
        Answer::Cut(reason, text) => {
            stream.text(&text, "incomplete");
            incomplete = Some(reason);
        }
        Answer::Raw(chunks) => return Reply::events(chunks),
        Answer::Json(event) => return Reply::events(vec![super::events::frame(&event)]),
    }
    Reply::events(stream.close(incomplete.as_deref(), empty_output))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn sequence_numbers_count_from_zero_without_a_gap() {
        let mut stream = Stream::open(&json!({"model": "m", "input": []}), 3, None);
        stream.reasoning("thinking hard", "a");
        stream.text("hello there", "completed");
        stream.function("f", None, "{}");
        stream.custom("exec", "text(1)");
        for (index, event) in stream.close(None, false).iter().enumerate() {
            let text = std::str::from_utf8(event).expect("events are text");
            let data = text.lines().nth(1).and_then(|line| line.strip_prefix("data: ")).expect("a data line");
            let event: Value = serde_json::from_str(data).expect("the data is JSON");
            assert_eq!(event["sequence_number"], index);
            assert!(text.starts_with(&format!("event: {}\n", event["type"].as_str().unwrap())));
        }
    }
}
