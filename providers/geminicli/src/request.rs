use crate::config;
use crate::reply::{Unwrap, Wants};
use crate::signatures::{Edit, Signatures};
use pollux_sdk::kit::oauth::Section;
use pollux_sdk::{
    Attempt, Bytes, Call, Facts, Inbound, Lease, Method, Operation, Payload, Plain, Reader, Reason, Refusal,
    Shape,
};
use std::sync::Arc;

/// Code Assist's own envelope names its model inside; a count even in the request inside.
pub(crate) fn probe(inbound: &Inbound<'_>) -> Facts {
    let mut facts = inbound.facts();
    if let Operation::Vendor(method) = inbound.endpoint.operation {
        let counted = || inbound.body.child("request")?.text("model").map(Into::into);
        let named = if method == "countTokens" { counted() } else { facts.model };
        facts.model = named.map(|name: String| name.trim_start_matches("models/").to_owned());
    }
    facts
}

/// Puts the client's body into Code Assist's envelope; its bytes stay as they came, missing signatures apart.
pub(crate) fn prepare(
    own: &Section,
    signatures: &Arc<Signatures>,
    call: &Call,
    lease: &Lease<'_>,
) -> Result<Attempt, Refusal> {
    if !call.body.is_object() {
        return Err(Refusal::Request("the body must be a JSON object".into()));
    }
    let (tail, answers, body, reader): (_, _, _, Box<dyn Reader>) = match call.endpoint.operation {
        Operation::Generate => {
            let project = project(lease)?;
            let conversation = signatures.conversation(call);
            let body = envelope(call, project, &signatures.missing(conversation, &call.body));
            let (tail, answers) = method(call.shape);
            let memory = conversation.map(|conversation| (Arc::clone(signatures), conversation));
            (tail, answers, body, Box::new(Unwrap::new(answers, Wants::Inside(memory))))
        }
        Operation::CountTokens => ("countTokens", Shape::Whole, count(call), Box::new(Plain)),
        Operation::Vendor("countTokens") => {
            ("countTokens", Shape::Whole, call.body.bytes().clone(), Box::new(Plain))
        }
        Operation::Vendor(_) => {
            let (tail, answers) = method(call.shape);
            let body = readdressed(call, project(lease)?);
            (tail, answers, body, Box::new(Unwrap::new(answers, Wants::Envelope)))
        }
        _ => return Err(Refusal::Request("Code Assist has no such operation".into())),
    };
    let url = format!("{}/v1internal:{tail}", own.api_url);
    let mut request = config::request(own, Method::POST, &url, lease.credential.access()?)?;
    request.body = body;
    Ok(Attempt { request: request.on_behalf_of(&call.headers, &["GeminiCLI"]), answers, reader })
}

fn project<'a>(lease: &Lease<'a>) -> Result<&'a str, Reason> {
    let project = lease.credential.extra("project").filter(|project| !project.trim().is_empty());
    project.ok_or_else(|| Reason::new("project_required", "the account has no project"))
}

const fn method(shape: Shape) -> (&'static str, Shape) {
    match shape {
        Shape::Whole => ("generateContent", Shape::Whole),
        _ => ("streamGenerateContent?alt=sse", Shape::Events),
    }
}

/// The client's own envelope, sent on for the account's project. Nobody spends the credits of the account's owner.
fn readdressed(call: &Call, project: &str) -> Bytes {
    let project = quoted(project);
    let changes =
        [("project", Some(project.as_bytes())), ("enabled_credit_types", None), ("enabledCreditTypes", None)];
    call.body.with(&changes)
}

fn envelope(call: &Call, project: &str, edits: &[Edit]) -> Bytes {
    let body = call.body.bytes();
    let head = format!(r#"{{"model":{},"project":{},"request":"#, quoted(&call.model), quoted(project));
    let extra: usize = edits.iter().map(|(_, bytes)| bytes.len()).sum();
    let mut out = Vec::with_capacity(head.len() + body.len() + extra + 1);
    out.extend_from_slice(head.as_bytes());
    let mut copied = 0;
    for (range, bytes) in edits {
        out.extend_from_slice(&body[copied..range.start]);
        out.extend_from_slice(bytes);
        copied = range.end;
    }
    out.extend_from_slice(&body[copied..]);
    out.push(b'}');
    out.into()
}

/// Code Assist counts a request that names its model inside, and knows no project there.
fn count(call: &Call) -> Bytes {
    let nested = call.body.child("generateContentRequest").filter(Payload::is_object);
    let model = quoted(&format!("models/{}", call.model));
    let request = nested.as_ref().unwrap_or(&call.body).with(&[("model", Some(model.as_bytes()))]);
    [br#"{"request":"#, &request[..], b"}"].concat().into()
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
