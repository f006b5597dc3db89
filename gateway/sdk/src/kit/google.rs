//! How Google's APIs say no, count and end: the same in Code Assist and in the Gemini API.

mod progress;

pub use progress::Progress;

use super::{each, first, rfc3339, sentence, span};
use crate::{Bytes, Cause, Effect, Failure, Payload, Reason, Scope, Usage, Verdict};
use serde_json::Value;
use std::{
    borrow::Cow,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// A wait that upstream did not tell.
const SHORT_WAIT: Duration = Duration::from_secs(5);
const UNTOLD_WAIT: Duration = Duration::from_mins(1);
const QUOTA_WAIT: Duration = Duration::from_mins(10);
/// A longer wait is a mistake of upstream's, not a quota.
const LONGEST: Duration = Duration::from_hours(400 * 24);
/// Up to here a wait is a pace; beyond it is an allowance, which models may share.
const PACE: Duration = Duration::from_mins(5);

/// Google's error object, out of whatever it was wrapped in.
#[derive(Debug)]
pub struct GoogleError(Value);

impl GoogleError {
    /// Reads a body or an event; what is none has no code and no reason.
    pub fn read(body: &[u8]) -> Self {
        let mut json: Value =
            serde_json::from_slice(&unlisted(&Bytes::copy_from_slice(body))).unwrap_or_default();
        Self(json.get_mut("error").map(Value::take).unwrap_or_default())
    }

    /// The status it names; 0 without one.
    pub fn code(&self) -> u16 {
        self.0["code"].as_u64().and_then(|code| code.try_into().ok()).unwrap_or(0)
    }

    /// The status a failure was told with, by HTTP or inside a stream; `None` where upstream told nothing.
    pub fn status(&self, failure: &Failure<'_>) -> Option<u16> {
        match failure.cause {
            Cause::Status(status) => Some(status.as_u16()),
            Cause::Event => Some(self.code()),
            _ => None,
        }
    }

    /// What a failure of this status means wherever Google serves models.
    pub fn judge(&self, status: u16, model: &str, failure: &Failure<'_>) -> Verdict {
        match status {
            401 => Verdict::rotate(Effect::Refresh),
            403 => self.blocked().map_or_else(
                || failure.cool(Scope::Credential, UNTOLD_WAIT), // a firewall's, say: no ban
                Verdict::suspend,
            ),
            429 => self.exhausted(model, failure),
            499..=599 => Verdict::AGAIN,
            _ => Verdict::DELIVER,
        }
    }

    /// The vendor's words.
    pub fn message(&self) -> String {
        sentence(self.0["message"].as_str().unwrap_or("no reason given"))
    }

    /// The machine's word for it, such as `QUOTA_EXHAUSTED`; empty without one.
    pub fn reason(&self) -> &str {
        self.info()["reason"].as_str().unwrap_or_default()
    }

    /// What keeps the account out until a person acts.
    pub fn blocked(&self) -> Option<Reason> {
        let code = match self.reason() {
            "VALIDATION_REQUIRED" => "validation_required",
            "SUBSCRIPTION_REQUIRED" => "subscription_required",
            "SERVICE_DISABLED" => "service_disabled",
            "SECURITY_POLICY_VIOLATED" => "security_policy_violated",
            "ACCESS_TOKEN_SCOPE_INSUFFICIENT" => "scope_insufficient",
            "TOS_VIOLATION" => "tos_violation",
            _ => return None,
        };
        Some(self.because(code))
    }

    /// A reason of this code, in the vendor's words and with the vendor's link.
    pub fn because(&self, code: impl Into<Cow<'static, str>>) -> Reason {
        let help = self.details().find_map(|detail| detail.pointer("/links/0/url")?.as_str());
        // `validation_link` is what Gemini CLI looks for; on the wire it is `validation_url` (2026-08).
        let links = ["validation_url", "validation_link", "activationUrl"].map(|key| self.metadata(key));
        let link = help.into_iter().chain(links).find(|link| link.starts_with("https://"));
        Reason::new(code, self.message()).at(link.map(Into::into))
    }

    /// What a 429 means: how long to wait, and how far the wait reaches.
    pub fn exhausted(&self, model: &str, failure: &Failure<'_>) -> Verdict {
        let capacity = self.reason().starts_with("MODEL_CAPACITY_"); // _EXHAUSTED, _EXCEEDED
        let told = self.wait(failure);
        let wait = if self.is_daily() {
            // Beside a spent day the Gemini API tells a pace of seconds, after which it refuses again (2026).
            told.filter(|wait| *wait > PACE).unwrap_or_else(|| until_midnight(failure.now))
        } else {
            told.unwrap_or_else(|| match self.reason() {
                "QUOTA_EXHAUSTED" | "INSUFFICIENT_G1_CREDITS_BALANCE" => QUOTA_WAIT,
                reason if capacity || reason == "RATE_LIMIT_EXCEEDED" => SHORT_WAIT,
                _ => UNTOLD_WAIT,
            })
        };
        let limited = self.metadata("model");
        let shared = (wait > PACE && !limited.is_empty() && limited != model) || self.is_of_all_models();
        let scope = if shared { Scope::Credential } else { Scope::Model };
        let cooled = failure.cool(scope, wait);
        if capacity { Verdict { next: Verdict::AGAIN.next, ..cooled } } else { cooled }
    }

    fn details(&self) -> impl Iterator<Item = &Value> {
        each(&self.0["details"])
    }

    fn info(&self) -> &Value {
        self.details().find(|detail| detail["reason"].is_string()).unwrap_or(&Value::Null)
    }

    fn metadata(&self, key: &str) -> &str {
        self.info()["metadata"][key].as_str().unwrap_or_default()
    }

    /// The violated quotas, of which only the id says what they count.
    fn violations(&self) -> impl Iterator<Item = (&str, &Value)> {
        let each = self.details().filter_map(|detail| detail["violations"].as_array()).flatten();
        each.filter_map(|violation| Some((violation["quotaId"].as_str()?, violation)))
    }

    fn is_daily(&self) -> bool {
        self.violations().any(|(id, _)| id.contains("PerDay"))
    }

    fn is_of_all_models(&self) -> bool {
        self.violations().any(|(id, violation)| {
            !id.contains("PerModel") && violation["quotaDimensions"]["model"].as_str().is_none()
        })
    }

    /// How long the vendor says it takes: the same time is told in up to four places.
    fn wait(&self, failure: &Failure<'_>) -> Option<Duration> {
        let until = |at: SystemTime| at.duration_since(failure.now).ok();
        let stamp = rfc3339(self.metadata("quotaResetTimeStamp")).and_then(until);
        let delay = span(self.metadata("quotaResetDelay"));
        let retry = self.details().find_map(|detail| span(detail["retryDelay"].as_str()?));
        let told = [stamp, delay, retry, failure.retry_after()];
        told.into_iter().flatten().find(|wait| !wait.is_zero() && *wait <= LONGEST)
    }
}

/// Days of quota end at midnight in California. Winter's clock, as an hour too late costs less than one too early.
fn until_midnight(now: SystemTime) -> Duration {
    const DAY: u64 = 86_400;
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    Duration::from_secs(DAY - (since + DAY - 8 * 3600) % DAY)
}

/// Whether an event or a document tells of an error.
pub fn is_error(document: &Payload) -> bool {
    document.raw("error").is_some_and(|error| error != "null")
}

/// An object, also where upstream sends it as a list of one, as it does with errors of streams (2026-08).
pub fn unlisted(data: &Bytes) -> Bytes {
    first(data).unwrap_or_else(|| data.clone())
}

/// The tokens of `usageMetadata`.
pub fn usage(raw: &[u8]) -> Option<Usage> {
    let counts: Value = serde_json::from_slice(raw).ok()?;
    let count = |key: &str| counts[key].as_u64();
    let sum = |one: Option<u64>, two: Option<u64>| one.unwrap_or(0).saturating_add(two.unwrap_or(0));
    count("promptTokenCount").or(count("candidatesTokenCount")).or(count("totalTokenCount"))?;
    Some(Usage {
        input: sum(count("promptTokenCount"), count("toolUsePromptTokenCount")),
        cache_read: count("cachedContentTokenCount"),
        cache_write: None,
        output: sum(count("candidatesTokenCount"), count("thoughtsTokenCount")),
        reasoning: count("thoughtsTokenCount"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Cause, Effect, HeaderMap, StatusCode};
    use serde_json::json;

    /// 2026-11-21T22:26:40Z.
    const NOW: u64 = 1_795_300_000;

    fn judge(details: &Value) -> (Scope, u64) {
        let body = json!({"error": {"code": 429, "details": details}}).to_string();
        let failure = Failure {
            cause: Cause::Status(StatusCode::TOO_MANY_REQUESTS),
            headers: &HeaderMap::new(),
            body: body.as_bytes(),
            now: UNIX_EPOCH + Duration::from_secs(NOW),
        };
        match GoogleError::read(body.as_bytes()).exhausted("m", &failure).effect {
            Effect::Cool(scope, until) => (scope, until.duration_since(failure.now).unwrap().as_secs()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_spent_day_lasts_until_midnight_in_california() {
        let id = "GenerateRequestsPerDayPerProjectPerModel-FreeTier";
        let violated = json!({"violations": [{"quotaId": id}]});
        let (midnight, pace) = (9 * 3600 + 33 * 60 + 20, json!({"retryDelay": "53s"}));
        assert_eq!(judge(&json!([violated])), (Scope::Model, midnight));
        assert_eq!(judge(&json!([violated, pace])), (Scope::Model, midnight));
        assert_eq!(judge(&json!([violated, {"retryDelay": "7200s"}])), (Scope::Model, 7200));
        assert_eq!(until_midnight(UNIX_EPOCH + Duration::from_hours(8)), Duration::from_hours(24));
        assert_eq!(until_midnight(UNIX_EPOCH), Duration::from_hours(8));
    }

    #[test]
    fn a_quota_that_names_no_model_is_the_whole_accounts() {
        let violated = |violation: Value| judge(&json!([{"violations": [violation]}, {"retryDelay": "9s"}]));
        assert_eq!(violated(json!({"quotaId": "RequestsPerMinutePerProject"})), (Scope::Credential, 9));
        assert_eq!(violated(json!({"quotaId": "RequestsPerMinutePerProjectPerModel"})), (Scope::Model, 9));
        let dimension = json!({"quotaId": "RequestsPerMinutePerProject", "quotaDimensions": {"model": "m"}});
        assert_eq!(violated(dimension), (Scope::Model, 9));
        assert_eq!(violated(json!({"description": "no id"})), (Scope::Model, 9));
    }
}
