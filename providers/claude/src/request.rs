use crate::reply::Messages;
use pollux_sdk::kit::oauth::Section;
use pollux_sdk::{
    Attempt, Call, Credential, HeaderMap, HeaderName, HeaderValue, Lease, Operation, Plain, Reader, Reason,
    Refusal, Request, Shape,
};

/// Stands in where a client names no version: the one whose bodies need no migration (2026-11).
const VERSION: HeaderValue = HeaderValue::from_static("2023-06-01");
/// What a login's token needs beside itself (Claude Code 2.1.329).
const OAUTH: &str = "oauth-2025-04-20";

/// Builds one attempt. The body goes as it came, but for the model's name.
pub(crate) fn prepare(own: &Section, call: &Call, lease: &Lease<'_>) -> Result<Attempt, Refusal> {
    let (path, reader): (_, Box<dyn Reader>) = match call.endpoint.operation {
        Operation::Generate => ("messages", Box::new(Messages::default())),
        Operation::CountTokens => ("messages/count_tokens", Box::new(Plain)),
        _ => return Err(Refusal::Request("Claude has no such operation".into())),
    };
    if call.shape == Shape::Socket || call.shape == Shape::Array {
        return Err(Refusal::Request("Claude answers in one document or in events".into()));
    }
    if !call.body.is_object() {
        return Err(Refusal::Request("the body is not a JSON object".into()));
    }
    let mark = if call.query.is_empty() { "" } else { "?" };
    let url = format!("{}/v1/{path}{mark}{}", own.api_url, call.query);
    let model = serde_json::to_vec(&call.model).unwrap_or_default();
    let renamed = !call.model.is_empty() && call.body.text("model").as_deref() != Some(&call.model);
    let body = if renamed { call.body.with(&[("model", Some(&model))]) } else { call.body.bytes().clone() };
    let mut request = Request::post(url, body).agent(&own.user_agent);
    request.headers.extend(client_headers(&call.headers));
    Ok(Attempt { request: authorize(request, lease.credential)?, answers: call.shape, reader })
}

/// Adds whose account it is, in the way of its kind.
pub(crate) fn authorize(mut request: Request, account: &Credential) -> Result<Request, Reason> {
    request.headers.entry("anthropic-version").or_insert(VERSION);
    let secret = account.access()?;
    if !is_login(account) {
        return request.secret(HeaderName::from_static("x-api-key"), "", secret);
    }
    let asked: Vec<&str> = request
        .headers
        .get_all("anthropic-beta")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|list| list.split(',').map(str::trim))
        .filter(|beta| !beta.is_empty())
        .collect();
    if !asked.contains(&OAUTH) {
        let all = [&asked[..], &[OAUTH]].concat().join(",");
        let all = HeaderValue::try_from(all).unwrap_or(HeaderValue::from_static(OAUTH));
        request.headers.insert("anthropic-beta", all);
    }
    request.bearer(secret)
}

/// Whether it is a login and no key. Only the vendor's prefix tells a long-lived login from a key.
pub(crate) fn is_login(account: &Credential) -> bool {
    let token = account.access.as_ref().map(pollux_sdk::Secret::expose);
    account.refresh.is_some() || token.is_some_and(|token| token.starts_with("sk-ant-oat"))
}

/// Whether the client is Claude Code, the one that the vendor's logins are made for.
pub(crate) fn is_claude_code(headers: &HeaderMap) -> bool {
    calls_itself(headers, &["claude-cli/", "claude-code/"])
}

fn calls_itself(headers: &HeaderMap, names: &[&str]) -> bool {
    let agent = headers.get("user-agent").map(HeaderValue::as_bytes).unwrap_or_default();
    names.iter().any(|name| agent.starts_with(name.as_bytes()))
}

/// The client's headers. Who it is passes only from the vendor's own tools; for all others that is us.
fn client_headers(headers: &HeaderMap) -> HeaderMap {
    let mut passed = headers.clone();
    if !is_claude_code(headers) && !calls_itself(headers, &["Anthropic/", "AsyncAnthropic/"]) {
        for name in ["user-agent", "x-app"] {
            passed.remove(name);
        }
    }
    passed
}
