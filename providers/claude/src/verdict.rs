use crate::{reply::BUCKETS, request::is_claude_code};
use pollux_sdk::kit::{rfc3339, sentence, unix};
use pollux_sdk::{Call, Cause, Effect, Failure, Next, Reason, Scope, StatusCode, Verdict};
use serde_json::Value;
use std::time::{Duration, SystemTime};

/// The longest quota window is a week, and a spend limit's a month; a later deadline is a mistake.
const LONGEST: Duration = Duration::from_hours(35 * 24);
/// The rest of an account whose allowance ends nobody knows when.
const UNTOLD: Duration = Duration::from_mins(10);
/// A throttle that does not say for how long.
const THROTTLE: Duration = Duration::from_secs(30);

/// The refusals of a login's use outside of the vendor's own programs (2025-12 to 2026-11).
const NOT_HERE: [&str; 3] = [
    "only authorized for use with Claude Code",
    "Third-party apps now draw from your extra usage",
    "OAuth authentication is currently not allowed",
];
/// The same of what a login is not for, whatever the client.
const NOT_THIS: &str = "OAuth authentication is currently not supported";
pub(crate) const UNKNOWN_KEY: &str = "Anthropic does not know the key";
/// The account's money is out, for as long as its owner lets it be.
const SPENT: [&str; 3] = [EXTRA, "credit balance is too low", "specified API usage limits"];
/// What the vendor bills all other programs' use of a login to, and Claude Code's once the plan is used up.
const EXTRA: &str = "out of extra usage";

/// What an error says.
#[derive(Debug)]
pub(crate) struct Told<'a> {
    kind: &'a str,
    code: &'a str,
    /// The message; where there is no error object, the body.
    pub(crate) text: &'a str,
}

impl<'a> Told<'a> {
    /// Reads an error body or event.
    pub(crate) fn read(body: &'a Value, raw: &'a [u8]) -> Self {
        let error = &body["error"];
        let word = |value: &'a Value| value.as_str().unwrap_or_default();
        // A 403 has been seen whose body is a plain text.
        let plain = std::str::from_utf8(raw).unwrap_or_default();
        let text = error["message"].as_str().unwrap_or(if body.is_object() { "" } else { plain });
        Self { kind: word(&error["type"]), code: word(&error["details"]["error_code"]), text }
    }

    fn says(&self, words: &[&str]) -> bool {
        words.iter().any(|words| self.text.contains(words))
    }

    /// The status that goes with an error inside a stream.
    fn status(&self) -> StatusCode {
        let code = match self.kind {
            "invalid_request_error" => 400,
            "authentication_error" => 401,
            "billing_error" => 402,
            "permission_error" => 403,
            "not_found_error" => 404,
            "request_too_large" => 413,
            "rate_limit_error" => 429,
            "overloaded_error" => 529,
            // Upstream says itself that it failed.
            _ => 500,
        };
        StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// Why the account is out whoever asks, if this says so.
    pub(crate) fn suspension(&self, status: StatusCode) -> Option<Reason> {
        let reason = |code: &'static str, text: &str| Some(Reason::new(code, text));
        match (self.code, status.as_u16()) {
            ("organization_on_hold", _) => {
                reason("organization_on_hold", "Anthropic has put the organization on hold")
            }
            _ if self.text.contains("organization has been disabled") => {
                reason("organization_disabled", "Anthropic has disabled the organization")
            }
            _ if self.text.contains("invalid x-api-key") => reason("invalid_api_key", UNKNOWN_KEY),
            (_, 402) => reason("payment_required", "Anthropic asks for payment"),
            _ => None,
        }
    }
}

/// Judges a failure, told by a status or inside a stream.
pub(crate) fn classify(call: &Call, failure: &Failure<'_>) -> Verdict {
    let body = failure.json();
    let told = Told::read(&body, failure.body);
    let status = match failure.cause {
        Cause::Status(status) => status,
        Cause::Event => told.status(),
        _ => return failure.usual(),
    };
    if status.is_client_error()
        && let Some(verdict) = of_the_account(call, failure, &told, status)
    {
        return verdict;
    }
    match (told.kind, status.as_u16()) {
        ("overloaded_error", _) | (_, 529) => {
            let pause = failure.retry_after().unwrap_or(Duration::from_secs(1)).min(Duration::from_secs(5));
            Verdict { next: Next::Again(pause), effect: Effect::None }
        }
        (_, 429) => limited(failure),
        // Not a proxy's 404, nor that of a path.
        ("not_found_error", _) if told.text.starts_with("model:") => Verdict::rotate(Effect::DropModel),
        _ => Failure { cause: Cause::Status(status), ..*failure }.usual(),
    }
}

/// What is no word about the request, but about the account, or about the account and the client together.
fn of_the_account(
    call: &Call,
    failure: &Failure<'_>,
    told: &Told<'_>,
    status: StatusCode,
) -> Option<Verdict> {
    if let Some(reason) = told.suspension(status) {
        return Some(Verdict::suspend(reason));
    }
    let own = is_claude_code(&call.headers);
    let not_here = told.says(&NOT_HERE);
    if not_here || told.says(&[NOT_THIS]) || told.says(&[EXTRA]) && !own {
        let reason = Reason::new("not_usable_here", sentence(told.text));
        // Where even the vendor's own client is refused, nobody is served. Any other client may just be the wrong one.
        return Some(Verdict::rotate(if own && not_here {
            Effect::Suspend(reason)
        } else {
            Effect::Unfit(reason)
        }));
    }
    if told.says(&SPENT) {
        return Some(failure.cool(Scope::Credential, reset(failure).unwrap_or(UNTOLD)));
    }
    // The owner took the access back; the refresh tells whether there is any left.
    told.says(&["OAuth token has been revoked"]).then(|| Verdict::rotate(Effect::Refresh))
}

/// A 429: an allowance at its end, or a throttle that passes.
fn limited(failure: &Failure<'_>) -> Verdict {
    let unified = |name: &str| header(failure, &format!("anthropic-ratelimit-unified-{name}"));
    let claim = unified("representative-claim");
    let told = failure.retry_after().filter(|wait| *wait <= LONGEST);
    let told = told.map(|wait| wait.max(Duration::from_secs(1)));
    if unified("status") == Some("rejected") && claim.or(unified("overage-status")).is_some() {
        // Some windows are those of one line of models.
        let whole = matches!(claim.unwrap_or("overage"), "five_hour" | "seven_day" | "overage");
        let scope = if whole { Scope::Credential } else { Scope::Model };
        return failure.cool(scope, reset(failure).or(told).unwrap_or(UNTOLD));
    }
    failure.cool(Scope::Model, told.or_else(|| refill(failure)).unwrap_or(THROTTLE))
}

/// When the subscription's allowance starts anew: a second late rather than a moment early.
fn reset(failure: &Failure<'_>) -> Option<Duration> {
    let at = header(failure, "anthropic-ratelimit-unified-reset")?.parse().ok().and_then(unix)?;
    Some(until(at, failure.now))
}

/// When the last of a key's empty buckets is full again.
fn refill(failure: &Failure<'_>) -> Option<Duration> {
    let empty = |kind: &&str| header(failure, &format!("anthropic-ratelimit-{kind}-remaining")) == Some("0");
    let reset = |kind: &str| header(failure, &format!("anthropic-ratelimit-{kind}-reset")).and_then(rfc3339);
    let at = BUCKETS.into_iter().filter(|kind| empty(kind)).filter_map(reset).max()?;
    Some(until(at, failure.now))
}

fn until(at: SystemTime, now: SystemTime) -> Duration {
    at.duration_since(now).unwrap_or_default().saturating_add(Duration::from_secs(1)).min(LONGEST)
}

fn header<'a>(failure: &Failure<'a>, name: &str) -> Option<&'a str> {
    failure.headers.get(name)?.to_str().ok().map(str::trim)
}
