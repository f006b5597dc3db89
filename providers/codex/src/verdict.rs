use crate::request::client_version;
use pollux_sdk::{Call, Cause, Effect, Failure, Next, Reason, Scope, StatusCode, Verdict, kit};
use serde_json::Value;
use std::time::{Duration, SystemTime};

/// Highest `minimal_client_version` known (2026-11). A client below it may be why upstream denies a model.
const NEWEST_MINIMUM: [u64; 3] = [0, 153, 0];
/// The longest quota window is a month; a later deadline is a mistake.
const LONGEST: Duration = Duration::from_hours(35 * 24);
/// The rest of an account whose allowance ends nobody knows when.
const UNTOLD: Duration = Duration::from_mins(10);
/// Money is out, for as long as the owner lets it be.
const SPENT: [&str; 3] =
    ["insufficient_quota", "organization_spend_limit_exceeded", "organization_usage_limit_exceeded"];
/// No other account would answer otherwise.
#[rustfmt::skip]
const OF_THE_REQUEST: [&str; 6] = [
    "context_length_exceeded", "invalid_prompt", "previous_response_not_found",
    "cyber_policy", "bio_policy", "misalignment_policy_violation",
];

/// Judges a failure, told by a status or inside a stream.
pub(crate) fn classify(call: &Call, failure: &Failure<'_>) -> Verdict {
    let body = failure.json();
    let told = Told::read(&body);
    let status = match failure.cause {
        Cause::Status(status) => Some(status),
        Cause::Event => told.status(),
        _ => return failure.usual(),
    };
    if let Some(reason) = suspension(status, &body) {
        return Verdict::suspend(reason);
    }
    let cool = |scope, wait: Duration| failure.cool(scope, wait.min(LONGEST));
    match (told.code, status.map_or(0, |status| status.as_u16())) {
        ("usage_limit_reached", _) => cool(Scope::Credential, told.reset(failure.now).unwrap_or(UNTOLD)),
        (code, _) if SPENT.contains(&code) => cool(Scope::Credential, UNTOLD),
        (code, _) if OF_THE_REQUEST.contains(&code) => Verdict::DELIVER,
        ("server_is_overloaded" | "slow_down", _) => {
            let pause = failure.retry_after().unwrap_or(Duration::from_secs(1)).min(Duration::from_secs(5));
            Verdict { next: Next::Again(pause), effect: Effect::None }
        }
        ("rate_limit_exceeded", _) | (_, 429) => {
            let wait = told.delay().or(failure.retry_after()).unwrap_or(Duration::from_mins(1));
            cool(Scope::Model, wait.max(Duration::from_millis(500)))
        }
        (_, 400) if told.text.contains("model is not supported") => match client_version(&call.headers) {
            Some(version) if is_old(version) => Verdict::DELIVER,
            _ => Verdict::rotate(Effect::DropModel),
        },
        // Cloudflare judged the connection, not the account: a short rest.
        (_, 403) if is_challenge(failure) => cool(Scope::Credential, Duration::from_secs(30)),
        (_, 0) if told.kind == "invalid_request_error" => Verdict::DELIVER,
        // `server_error` and its like: upstream says itself that it failed, so a repetition is fair.
        (_, 0) => Verdict::AGAIN,
        _ => Failure { cause: status.map_or(failure.cause, Cause::Status), ..*failure }.usual(),
    }
}

/// Why the account is out, if this reply says so.
pub(crate) fn suspension(status: Option<StatusCode>, body: &Value) -> Option<Reason> {
    let (code, text) = match Told::read(body).code {
        "usage_not_included" => ("usage_not_included", "the account's plan does not include Codex"),
        "account_deactivated" | "account_suspended" | "account_deleted" => {
            ("account_deactivated", "OpenAI has deactivated the account")
        }
        "no_organization" => ("no_organization", "the account belongs to no organization"),
        "deactivated_workspace" => ("deactivated_workspace", "the account's workspace is deactivated"),
        _ if status == Some(StatusCode::PAYMENT_REQUIRED) => ("payment_required", "OpenAI asks for payment"),
        _ => return None,
    };
    Some(Reason::new(code, text))
}

/// An error in any of upstream's forms: `{"error":{..}}`, `{"error":".."}`, `{"detail":".."}`,
/// `{"detail":{..}}`, `{"response":{"error":{..}}}` or flat.
struct Told<'a> {
    root: &'a Value,
    error: &'a Value,
    /// The `code`; quota errors have a `type` instead.
    code: &'a str,
    kind: &'a str,
    /// In lower case.
    text: String,
}

impl<'a> Told<'a> {
    fn read(root: &'a Value) -> Self {
        let inside = |path: &&str| root.pointer(path).filter(|inside| !inside.is_null());
        let error = ["/response/error", "/error", "/detail"].iter().find_map(inside).unwrap_or(root);
        let member = |key: &str| error[key].as_str().filter(|text| !text.is_empty());
        let kind = member("type").unwrap_or_default();
        let code = member("code").filter(|_| !kind.starts_with("usage_")).or(error.as_str()).unwrap_or(kind);
        let text = member("message").or(member("detail")).or(error.as_str()).unwrap_or_default();
        Self { root, error, code, kind, text: text.to_ascii_lowercase() }
    }

    /// The status that an error event may carry.
    fn status(&self) -> Option<StatusCode> {
        let status = self.root["status"].as_u64().or(self.root["status_code"].as_u64())?;
        StatusCode::from_u16(u16::try_from(status).ok()?).ok().filter(|status| status.as_u16() >= 400)
    }

    /// How long a usage limit lasts: a second late rather than a moment early.
    fn reset(&self, now: SystemTime) -> Option<Duration> {
        let number = |key: &str| self.error[key].as_f64();
        let at = number("resets_at").and_then(kit::unix);
        let wait = at.map(|at| at.duration_since(now).unwrap_or_default());
        let wait = wait.or_else(|| Duration::try_from_secs_f64(number("resets_in_seconds")?).ok())?;
        Some(wait.saturating_add(Duration::from_secs(1)))
    }

    /// "Please try again in 1.5s." or "in 20ms".
    fn delay(&self) -> Option<Duration> {
        kit::span(self.text.split_once("try again in ")?.1)
    }
}

/// Whether it reads as a lower version: upstream denies a model to an old client in the very words it has for a
/// plan without that model (2026-11).
fn is_old(version: &str) -> bool {
    let number = version.split(['-', '+']).next().unwrap_or_default();
    let parts: Result<Vec<u64>, _> = number.split('.').map(str::parse).collect();
    parts.is_ok_and(|parts| parts[..] < NEWEST_MINIMUM[..])
}

fn is_challenge(failure: &Failure<'_>) -> bool {
    let is = |name: &str, start: &[u8]| {
        failure.headers.get(name).is_some_and(|value| value.as_bytes().starts_with(start))
    };
    is("cf-mitigated", b"") || is("server", b"cloudflare") && is("content-type", b"text/html")
}
