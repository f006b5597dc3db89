use crate::reply::Responses;
use pollux_sdk::kit::{list, oauth::Section};
use pollux_sdk::{
    Attempt, Bytes, Call, Credential, HeaderMap, HeaderName, HeaderValue, Lease, Method, Operation, Payload,
    Reason, Refusal, Request, Shape, elements, mentions,
};
use serde_json::value::RawValue;

/// Stands in where a client sends none: upstream answers 400 "Instructions are required" to an empty text
/// (2026-11). It claims nothing that is not so.
const INSTRUCTIONS: &[u8] = br#""You are a helpful assistant.""#;

/// What upstream answers with 400 "Unsupported parameter" (2026-11), and the model can do without.
/// `previous_response_id` is here as `null`, which some SDKs send; any other value of it is refused.
#[rustfmt::skip]
const REFUSED: [&str; 14] = [
    "max_output_tokens", "max_completion_tokens", "temperature", "top_p", "truncation", "user", "metadata",
    "safety_identifier", "context_management", "generate", "stream_options", "prompt_cache_retention",
    "prompt_cache_options", "previous_response_id",
];

/// What upstream calls its sockets (Codex CLI 0.169.0, 2026-11).
const SOCKETS: &str = "responses_websockets=2026-02-06";

/// Only over HTTP: on a socket an answer may follow another, and may be prepared without being given.
const FREE_ON_SOCKETS: [&str; 2] = ["generate", "previous_response_id"];

const TURN_STATE: &str = "x-codex-turn-state";

/// Builds one attempt. Upstream only streams; a client that wants one document gets it folded by the host.
pub(crate) fn prepare(own: &Section, call: &Call, lease: &Lease<'_>) -> Result<Attempt, Refusal> {
    if !matches!(call.endpoint.operation, Operation::Generate | Operation::Compact) {
        return Err(Refusal::Request("codex has no such operation".into()));
    }
    let url = format!("{}/backend-api/codex/responses", own.api_url);
    let headers = client_headers(&call.headers, lease.moved);
    let (mut request, answers) = if call.shape == Shape::Socket {
        (Request::new(Method::GET, url), Shape::Socket)
    } else {
        (Request::post(url, body(call)?), Shape::Events)
    };
    request = request.agent(&own.user_agent);
    request.headers.extend(headers);
    request = match answers {
        Shape::Socket if speaks_sockets(&call.headers) => request,
        Shape::Socket => request.header(HeaderName::from_static("openai-beta"), SOCKETS),
        _ => request.header(HeaderName::from_static("accept"), "text/event-stream"),
    };
    let request = authorize(request, lease.credential)?;
    Ok(Attempt { request, answers, reader: Box::new(Responses::default()) })
}

/// A socket's frame as upstream accepts it: a request's body, with what is said in headers elsewhere.
pub(crate) fn frame(call: &Call, lease: &Lease<'_>) -> Result<Bytes, Refusal> {
    let frame = body(call)?;
    if !lease.moved || !mentions(&frame, TURN_STATE) {
        return Ok(frame);
    }
    let frame = Payload::new(frame);
    let Some(metadata) = frame.child("client_metadata") else { return Ok(frame.bytes().clone()) };
    Ok(frame.with(&[("client_metadata", Some(&metadata.with(&[(TURN_STATE, None)])))]))
}

/// The model that a socket is meant for, where its client says so ahead.
pub(crate) fn hinted_model(headers: &HeaderMap) -> Option<String> {
    let text = |name: &str| headers.get(name)?.to_str().ok();
    let hint = text("x-codex-routing-hint").and_then(|hint| hint.trim().strip_prefix("model="));
    let turn = || {
        let turn = Payload::new(Bytes::copy_from_slice(text("x-codex-turn-metadata")?.as_bytes()));
        turn.text("model").map(String::from)
    };
    hint.map(str::to_owned).or_else(turn)
}

fn speaks_sockets(headers: &HeaderMap) -> bool {
    headers.get("openai-beta").is_some_and(|beta| mentions(beta.as_bytes(), "responses_websockets="))
}

/// Adds whose account it is.
pub(crate) fn authorize(request: Request, account: &Credential) -> Result<Request, Reason> {
    let id = account.extra("account_id").and_then(|id| HeaderValue::from_str(id).ok());
    let mut request = request.bearer(account.access()?)?;
    request.headers.insert("chatgpt-account-id", id.ok_or_else(no_account)?);
    if account.extra.get("fedramp").is_some_and(|flag| flag == true) {
        request.headers.insert("x-openai-fedramp", HeaderValue::from_static("true"));
    }
    Ok(request)
}

pub(crate) fn no_account() -> Reason {
    Reason::new("no_account_id", "the login names no ChatGPT account")
}

/// The version of the vendor's own client, as that client states it; `None` for all other clients.
pub(crate) fn client_version(headers: &HeaderMap) -> Option<&str> {
    // Codex CLI states it in `version` only towards its built-in provider (0.169.0), in its User-Agent always.
    let agent = || headers.get("user-agent").filter(|agent| is_codex(agent))?.to_str().ok()?.split_once('/');
    let stated = headers.get("version").and_then(|version| version.to_str().ok());
    let version = stated.or_else(|| agent()?.1.split([' ', ';', '(']).next());
    version.filter(|_| is_vendor_client(headers))
}

fn is_vendor_client(headers: &HeaderMap) -> bool {
    headers.get("originator").or_else(|| headers.get("user-agent")).is_some_and(is_codex)
}

fn is_codex(name: &HeaderValue) -> bool {
    name.as_bytes().get(..5).is_some_and(|head| head.eq_ignore_ascii_case(b"codex"))
}

/// The client's headers. Who it is passes only from the vendor's own client; for all others that is us.
fn client_headers(headers: &HeaderMap, moved: bool) -> HeaderMap {
    let mut passed = headers.clone();
    // The client's own account is for its side calls.
    passed.remove("chatgpt-account-id");
    // Newer models are gated by `version`, which the client leaves out towards providers of the user's own.
    if let Some(version) = client_version(headers).and_then(|version| HeaderValue::from_str(version).ok()) {
        passed.insert("version", version);
    }
    if !is_vendor_client(headers) {
        passed.remove("user-agent");
        passed.remove("version");
        passed.insert("originator", HeaderValue::from_static("pollux"));
    }
    if moved {
        passed.remove(TURN_STATE);
    }
    passed
}

/// The body as upstream accepts it. What no rule names keeps its bytes.
fn body(call: &Call) -> Result<Bytes, Refusal> {
    let body = &call.body;
    if !body.is_object() {
        return Err(Refusal::Request("the body is not a JSON object".into()));
    }
    let given = |key: &str| body.raw(key).filter(|raw| &raw[..] != b"null");
    let socket = call.shape == Shape::Socket;
    if !socket && given("previous_response_id").is_some() {
        let text = "`previous_response_id` is not supported: no answers are stored upstream; \
                    send the whole conversation in `input`";
        return Err(Refusal::Request(text.into()));
    }
    let input = input(given("input"), call.endpoint.operation == Operation::Compact)?;
    let model = serde_json::to_vec(&call.model).unwrap_or_default();
    let include = given("reasoning").and_then(|_| include(given("include")));

    let mut changes: Vec<(&str, Option<&[u8]>)> = vec![("stream", Some(b"true")), ("store", Some(b"false"))];
    let refused = REFUSED.into_iter().filter(|key| !socket || !FREE_ON_SOCKETS.contains(key));
    changes.extend(refused.map(|key| (key, None)));
    if !call.model.is_empty() {
        changes.push(("model", Some(&model)));
    }
    changes.push(("input", Some(&input)));
    if given("instructions").is_none_or(|text| &text[..] == br#""""#) && !is_lite(call, &input) {
        changes.push(("instructions", Some(INSTRUCTIONS)));
    }
    if !body.text("service_tier").is_some_and(|tier| matches!(&*tier, "priority" | "flex")) {
        changes.push(("service_tier", None));
    }
    changes.extend(include.as_ref().map(|include| ("include", Some(&include[..]))));
    changes.retain(|(key, value)| body.raw(key).as_deref() != *value);
    Ok(body.with(&changes))
}

/// Newer models take their tools and instructions as input items; then upstream wants neither at the top.
fn is_lite(call: &Call, input: &Bytes) -> bool {
    let header = call.headers.get("x-openai-internal-codex-responses-lite");
    let told = |metadata: Payload| {
        let flag = metadata.text("ws_request_header_x_openai_internal_codex_responses_lite");
        flag.is_some_and(|flag| flag.eq_ignore_ascii_case("true"))
    };
    let first = || elements(input)?.first().map(|item| says(item, "type", "additional_tools"));
    header.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"true"))
        || call.shape == Shape::Socket && call.body.child("client_metadata").is_some_and(told)
        || mentions(input, "additional_tools") && first() == Some(true)
}

/// `input` as a list without system messages, and with a trigger at its end where it is to be compacted.
fn input(raw: Option<Bytes>, compact: bool) -> Result<Bytes, Refusal> {
    let wrong = |text: &str| Refusal::Request(format!("`input` {text}"));
    let given = match raw {
        None => Bytes::from_static(b"[]"),
        Some(raw) if raw.starts_with(b"[") => raw,
        Some(raw) if raw.starts_with(b"\"") => {
            let message = br#"[{"type":"message","role":"user","content":[{"type":"input_text","text":"#;
            [&message[..], &raw, b"}]}]"].concat().into()
        }
        Some(_) => return Err(wrong("is neither a text nor a list")),
    };
    if !compact && !mentions(&given, "\"system\"") {
        return Ok(given);
    }
    let valid = serde_json::from_slice::<&RawValue>(&given).is_ok();
    let mut items = elements(&given).filter(|_| valid).ok_or_else(|| wrong("is not valid JSON"))?;
    let mut changed = false;
    for item in items.iter_mut().filter(|item| says(item, "role", "system")) {
        *item = Payload::new(item.clone()).with(&[("role", Some(b"\"developer\""))]);
        changed = true;
    }
    if compact && !items.last().is_some_and(|item| says(item, "type", "compaction_trigger")) {
        items.push(Bytes::from_static(br#"{"type":"compaction_trigger"}"#));
        changed = true;
    }
    Ok(if changed { list(&items) } else { given })
}

/// `include` with the encrypted reasoning, which nobody stores upstream; `None` where no change is due.
fn include(raw: Option<Bytes>) -> Option<Bytes> {
    let encrypted = Bytes::from_static(br#""reasoning.encrypted_content""#);
    let mut all = raw.map_or(Some(Vec::new()), |raw| elements(&raw))?;
    let missing = !all.contains(&encrypted);
    all.push(encrypted);
    missing.then(|| list(&all))
}

fn says(item: &Bytes, key: &str, word: &str) -> bool {
    Payload::new(item.clone()).text(key).is_some_and(|text| text == word)
}
