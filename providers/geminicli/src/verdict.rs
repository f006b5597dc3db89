use crate::reply::unlisted;
use pollux_sdk::{Bytes, Call, Cause, Effect, Failure, Reason, Scope, Verdict};
use serde_json::Value;
use std::time::{Duration, SystemTime};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// A wait that upstream did not tell.
const SHORT_WAIT: Duration = Duration::from_secs(5);
const UNTOLD_WAIT: Duration = Duration::from_mins(1);
const QUOTA_WAIT: Duration = Duration::from_mins(10);
/// A longer wait is a mistake of upstream's, not a quota.
const LONGEST: Duration = Duration::from_hours(400 * 24);
/// Up to here a wait is a pace; beyond it is an allowance, which models may share.
const PACE: Duration = Duration::from_mins(5);

pub(crate) fn classify(call: &Call, failure: &Failure<'_>) -> Verdict {
    let error = GoogleError::read(failure.body);
    let code = match failure.cause {
        Cause::Status(status) => status.as_u16(),
        Cause::Event => error.code(),
        _ => return failure.usual(),
    };
    match code {
        401 => Verdict::rotate(Effect::Refresh),
        403 => error.blocked().map_or_else(
            || Verdict::cool(Scope::Credential, after(failure.now, UNTOLD_WAIT)), // a firewall's, say: no ban
            Verdict::suspend,
        ),
        404 if error.code() == 404 => Verdict::rotate(Effect::DropModel), // not a proxy's 404
        429 => exhausted(call, failure, &error),
        499..=599 => Verdict::AGAIN,
        _ => Verdict::DELIVER,
    }
}

fn exhausted(call: &Call, failure: &Failure<'_>, error: &GoogleError) -> Verdict {
    let capacity = error.reason().starts_with("MODEL_CAPACITY_"); // _EXHAUSTED, _EXCEEDED
    let wait = error.wait(failure).unwrap_or_else(|| match error.reason() {
        "QUOTA_EXHAUSTED" | "INSUFFICIENT_G1_CREDITS_BALANCE" => QUOTA_WAIT,
        reason if capacity || reason == "RATE_LIMIT_EXCEEDED" => SHORT_WAIT,
        _ => UNTOLD_WAIT,
    });
    let limited = error.metadata("model");
    let shared = wait > PACE && !limited.is_empty() && limited != call.model;
    let scope = if shared { Scope::Credential } else { Scope::Model };
    let cooled = Verdict::cool(scope, after(failure.now, wait));
    if capacity { Verdict { next: Verdict::AGAIN.next, ..cooled } } else { cooled }
}

/// Google's error object, out of whatever it was wrapped in.
pub(crate) struct GoogleError(Value);

impl GoogleError {
    pub(crate) fn read(body: &[u8]) -> Self {
        let mut json: Value =
            serde_json::from_slice(&unlisted(&Bytes::copy_from_slice(body))).unwrap_or_default();
        Self(json.get_mut("error").map(Value::take).unwrap_or_default())
    }

    fn code(&self) -> u16 {
        self.0["code"].as_u64().and_then(|code| code.try_into().ok()).unwrap_or(0)
    }

    pub(crate) fn message(&self) -> String {
        sentence(self.0["message"].as_str().unwrap_or("no reason given"))
    }

    fn details(&self) -> impl Iterator<Item = &Value> {
        self.0["details"].as_array().into_iter().flatten()
    }

    fn info(&self) -> &Value {
        self.details().find(|detail| detail["reason"].is_string()).unwrap_or(&Value::Null)
    }

    pub(crate) fn reason(&self) -> &str {
        self.info()["reason"].as_str().unwrap_or_default()
    }

    fn metadata(&self, key: &str) -> &str {
        self.info()["metadata"][key].as_str().unwrap_or_default()
    }

    /// What keeps the account out until a person acts.
    pub(crate) fn blocked(&self) -> Option<Reason> {
        let code = match self.reason() {
            "VALIDATION_REQUIRED" => "validation_required",
            "SUBSCRIPTION_REQUIRED" => "subscription_required",
            "SERVICE_DISABLED" => "service_disabled",
            "SECURITY_POLICY_VIOLATED" => "security_policy_violated",
            "ACCESS_TOKEN_SCOPE_INSUFFICIENT" => "scope_insufficient",
            "TOS_VIOLATION" => "tos_violation",
            _ => return None,
        };
        let help = self.details().find_map(|detail| detail.pointer("/links/0/url")?.as_str());
        // `validation_link` is what Gemini CLI looks for; on the wire it is `validation_url` (2026-08).
        let links = ["validation_url", "validation_link", "activationUrl"].map(|key| self.metadata(key));
        let link = help.into_iter().chain(links).find(|link| link.starts_with("https://"));
        Some(Reason::new(code, self.message()).at(link.map(Into::into)))
    }

    /// How long the vendor says it takes: the same time is told in up to four places.
    fn wait(&self, failure: &Failure<'_>) -> Option<Duration> {
        let until = |at: SystemTime| at.duration_since(failure.now).ok();
        let stamp = instant(self.metadata("quotaResetTimeStamp")).and_then(until);
        let delay = span(self.metadata("quotaResetDelay"));
        let retry = self.details().find_map(|detail| span(detail["retryDelay"].as_str()?));
        let told = [stamp, delay, retry, failure.retry_after()];
        told.into_iter().flatten().find(|wait| !wait.is_zero() && *wait <= LONGEST)
    }
}

/// The vendor's words, fit for a page and a log.
pub(crate) fn sentence(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_control()).take(300).collect()
}

fn after(now: SystemTime, wait: Duration) -> SystemTime {
    now.checked_add(wait).unwrap_or(now)
}

/// RFC 3339.
pub(crate) fn instant(text: &str) -> Option<SystemTime> {
    OffsetDateTime::parse(text, &Rfc3339).ok().map(Into::into)
}

/// `11h16m14.14s`, `33740.9s`, `900ms`.
fn span(text: &str) -> Option<Duration> {
    let (mut seconds, mut rest) = (0.0, text.trim());
    let numeric = |letter: char| letter.is_ascii_digit() || letter == '.';
    while !rest.is_empty() {
        let (number, tail) = rest.split_at(rest.find(|letter| !numeric(letter)).unwrap_or(rest.len()));
        let (unit, tail) = tail.split_at(tail.find(numeric).unwrap_or(tail.len()));
        let factor = match unit {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        seconds += number.parse::<f64>().ok()? * factor;
        rest = tail;
    }
    Duration::try_from_secs_f64(seconds).ok()
}
