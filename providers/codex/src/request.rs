use crate::{config::Config, reply::Responses};
use pollux_sdk::{
    Attempt, Bytes, Call, Credential, HeaderMap, HeaderName, HeaderValue, Lease, Operation, Payload, Reason,
    Refusal, Request, Shape, mentions,
};
use serde_json::value::RawValue;

/// Stands in where a client sends none: upstream answers 400 "Instructions are required" to an empty text
/// (2026-11). It claims nothing that is not so.
pub(crate) const INSTRUCTIONS: &str = "You are a helpful assistant.";

/// What upstream answers with 400 "Unsupported parameter" (2026-11) and what can go without changing the answer's
/// meaning. `previous_response_id` is not among them: without it the model would not know the conversation.
const REFUSED: &[&str] = &[
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
];

const TRIGGER: &[u8] = br#"{"type":"compaction_trigger"}"#;
const ENCRYPTED: &[u8] = br#""reasoning.encrypted_content""#;

/// Builds one attempt. Upstream only streams; a client that wants one document gets it folded by the host.
pub(crate) fn prepare(config: &Config, call: &Call, lease: &Lease<'_>) -> Result<Attempt, Refusal> {
    if call.shape == Shape::Socket {
        return Err(Refusal::Request("codex is served over HTTP only, not over a WebSocket".into()));
    }
    let body = body(call)?;
    let url = format!("{}/backend-api/codex/responses", config.api_url);
    let mut request = Request::post(url, body);
    request.headers.extend(client_headers(&call.headers, lease.moved));
    let mut request =
        authorize(request, lease.credential)?.header(HeaderName::from_static("accept"), "text/event-stream");
    if !request.headers.contains_key("user-agent") {
        request = config.signed(request);
    }
    Ok(Attempt { request, answers: Shape::Events, reader: Box::new(Responses::default()) })
}

/// Adds whose account it is.
pub(crate) fn authorize(request: Request, account: &Credential) -> Result<Request, Reason> {
    let missing = || Reason::new("no_account_id", "the login names no ChatGPT account");
    let id = account.extra("account_id").and_then(|id| HeaderValue::from_str(id).ok()).ok_or_else(missing)?;
    let mut request =
        request.secret(HeaderName::from_static("authorization"), "Bearer ", account.access()?)?;
    request.headers.insert("chatgpt-account-id", id);
    if account.extra.get("fedramp").is_some_and(|flag| flag == true) {
        request.headers.insert("x-openai-fedramp", HeaderValue::from_static("true"));
    }
    Ok(request)
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
    if is_vendor_client(headers) {
        // Newer models are gated by this header, and it is absent towards providers of the user's own.
        if let Some(version) = client_version(headers).and_then(|version| HeaderValue::from_str(version).ok())
        {
            passed.insert("version", version);
        }
    } else {
        for name in ["user-agent", "version"] {
            passed.remove(name);
        }
        passed.insert("originator", HeaderValue::from_static("pollux"));
    }
    if moved {
        passed.remove("x-codex-turn-state");
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
    if given("previous_response_id").is_some() {
        let text = "`previous_response_id` is not supported: no answers are stored upstream; \
                    send the whole conversation in `input`";
        return Err(Refusal::Request(text.into()));
    }
    let compact = match call.endpoint.operation {
        Operation::Generate => false,
        Operation::Compact => true,
        _ => return Err(Refusal::Request("codex has no such operation".into())),
    };
    let input = input(body.raw("input"), compact)?;
    let model = serde_json::to_vec(&call.model).unwrap_or_default();
    let instructions = serde_json::to_vec(INSTRUCTIONS).unwrap_or_default();
    let include = given("reasoning").and_then(|_| include(given("include")));

    let mut changes: Vec<(&str, Option<&[u8]>)> = vec![("stream", Some(b"true")), ("store", Some(b"false"))];
    changes.extend(REFUSED.iter().map(|key| (*key, None)));
    changes.push(("previous_response_id", None));
    if !call.model.is_empty() && body.text("model").as_deref() != Some(&call.model) {
        changes.push(("model", Some(&model)));
    }
    if body.raw("input").as_ref() != Some(&input) {
        changes.push(("input", Some(&input)));
    }
    if given("instructions").is_none_or(|text| &text[..] == br#""""#) && !is_lite(call, &input) {
        changes.push(("instructions", Some(&instructions)));
    }
    if !body.text("service_tier").is_some_and(|tier| matches!(&*tier, "priority" | "flex")) {
        changes.push(("service_tier", None));
    }
    if let Some(include) = &include {
        changes.push(("include", Some(include)));
    }
    Ok(body.with(&changes))
}

/// Newer models take their tools and instructions as input items; then upstream wants neither at the top.
fn is_lite(call: &Call, input: &Bytes) -> bool {
    let header = call.headers.get("x-openai-internal-codex-responses-lite");
    header.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"true"))
        || mentions(input, "additional_tools")
            && items(input)
                .is_some_and(|items| items.first().is_some_and(|item| is_type(item, "additional_tools")))
}

/// `input` as a list without system messages, and with a trigger at its end where it is to be compacted.
fn input(raw: Option<Bytes>, compact: bool) -> Result<Bytes, Refusal> {
    let wrong = |text: &str| Refusal::Request(format!("`input` {text}"));
    let list = match raw {
        None => Bytes::from_static(b"[]"),
        Some(raw) if &raw[..] == b"null" => Bytes::from_static(b"[]"),
        Some(raw) if raw.starts_with(b"[") => raw,
        Some(raw) if raw.starts_with(b"\"") => {
            let message = br#"[{"type":"message","role":"user","content":[{"type":"input_text","text":"#;
            [&message[..], &raw, b"}]}]"].concat().into()
        }
        Some(_) => return Err(wrong("is neither a text nor a list")),
    };
    if !compact && !mentions(&list, "\"system\"") {
        return Ok(list);
    }
    let items = items(&list).ok_or_else(|| wrong("is not valid JSON"))?;
    let system = |item: &Bytes| Payload::new(item.clone()).text("role").is_some_and(|role| role == "system");
    let trigger = compact && !items.last().is_some_and(|item| is_type(item, "compaction_trigger"));
    if !trigger && !items.iter().any(system) {
        return Ok(list);
    }
    let developer = |item: Bytes| {
        let role: Option<&[u8]> = Some(b"\"developer\"");
        if system(&item) { Payload::new(item).with(&[("role", role)]) } else { item }
    };
    let mut items: Vec<Bytes> = items.into_iter().map(developer).collect();
    items.extend(trigger.then(|| Bytes::from_static(TRIGGER)));
    Ok([b"[", &items.join(&b","[..])[..], b"]"].concat().into())
}

/// The elements of a JSON list, as slices of it.
fn items(list: &Bytes) -> Option<Vec<Bytes>> {
    let items: Vec<&RawValue> = serde_json::from_slice(list).ok()?;
    Some(items.into_iter().map(|item| list.slice_ref(item.get().as_bytes())).collect())
}

fn is_type(item: &Bytes, name: &str) -> bool {
    Payload::new(item.clone()).text("type").is_some_and(|kind| kind == name)
}

/// `include` with the encrypted reasoning, which nobody stores upstream; `None` where it is there already.
fn include(raw: Option<Bytes>) -> Option<Bytes> {
    let Some(raw) = raw else { return Some([b"[", ENCRYPTED, b"]"].concat().into()) };
    let items = items(&raw)?;
    if items.iter().any(|item| &item[..] == ENCRYPTED) {
        return None;
    }
    let all: Vec<&[u8]> = items.iter().map(|item| &item[..]).chain([ENCRYPTED]).collect();
    Some([b"[", &all.join(&b","[..])[..], b"]"].concat().into())
}
