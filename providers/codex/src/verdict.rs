use crate::{reply::instant, request::client_version};
use pollux_sdk::{Call, Cause, Effect, Failure, Next, Reason, Scope, StatusCode, Verdict};
use serde_json::Value;
use std::time::{Duration, SystemTime};

/// Highest `minimal_client_version` known (2026-11). A client below it may be why upstream denies a model.
const NEWEST_MINIMUM: [u64; 3] = [0, 153, 0];
/// The longest quota window is a month; a later deadline is a mistake.
const LONGEST: Duration = Duration::from_hours(35 * 24);

/// Judges a failure, told by a status or inside a stream.
pub(crate) fn classify(call: &Call, failure: &Failure<'_>) -> Verdict {
    if matches!(failure.cause, Cause::Unsent | Cause::Lost) {
        return failure.usual();
    }
    let body = failure.json();
    let told = Told::read(&body);
    if let Some(reason) = told.suspension(failure.cause) {
        return Verdict::suspend(reason);
    }
    let cool = |scope, wait| Verdict::cool(scope, failure.now + Duration::min(wait, LONGEST));
    let throttled = || {
        let wait = told.delay().or(failure.retry_after()).unwrap_or(Duration::from_mins(1));
        cool(Scope::Model, wait.max(Duration::from_millis(500)))
    };
    match told.code {
        "usage_limit_reached" => {
            return Verdict::cool(Scope::Credential, told.reset(failure.now));
        }
        "insufficient_quota" | "organization_spend_limit_exceeded" | "organization_usage_limit_exceeded" => {
            return cool(Scope::Credential, Duration::from_mins(10));
        }
        "rate_limit_exceeded" => return throttled(),
        "server_is_overloaded" | "slow_down" => {
            let pause = failure.retry_after().unwrap_or(Duration::from_secs(1)).min(Duration::from_secs(5));
            return Verdict { next: Next::Again(pause), effect: Effect::None };
        }
        "context_length_exceeded"
        | "invalid_prompt"
        | "cyber_policy"
        | "bio_policy"
        | "misalignment_policy_violation"
        | "previous_response_not_found" => return Verdict::DELIVER,
        _ => {}
    }
    match told.status(failure.cause) {
        Some(StatusCode::TOO_MANY_REQUESTS) => throttled(),
        Some(StatusCode::BAD_REQUEST) if told.denies_model() => match client_version(&call.headers) {
            Some(version) if is_old(version) => Verdict::DELIVER,
            _ => Verdict::rotate(Effect::DropModel),
        },
        // Cloudflare judged the connection, not the account: rest it shortly.
        Some(StatusCode::FORBIDDEN) if is_challenge(failure) => {
            cool(Scope::Credential, Duration::from_secs(30))
        }
        Some(status) => Failure { cause: Cause::Status(status), ..*failure }.usual(),
        None if told.kind == "invalid_request_error" => Verdict::DELIVER,
        // `server_error` and its like: upstream says itself that it failed, so a repetition is fair.
        None => Verdict::AGAIN,
    }
}

/// Why the account is out, if this reply says so.
pub(crate) fn suspension(status: StatusCode, body: &Value) -> Option<Reason> {
    Told::read(body).suspension(Cause::Status(status))
}

/// An error in any of upstream's forms: `{"error":{..}}`, `{"error":".."}`, `{"detail":".."}`,
/// `{"detail":{..}}`, `{"response":{"error":{..}}}` or flat.
struct Told<'a> {
    root: &'a Value,
    error: &'a Value,
    /// The `code`; quota errors have a `type` instead.
    code: &'a str,
    kind: &'a str,
    text: &'a str,
}

impl<'a> Told<'a> {
    fn read(root: &'a Value) -> Self {
        let inner = ["/response/error", "/error", "/detail"].iter().find_map(|path| root.pointer(path));
        let error = inner.filter(|inner| !inner.is_null()).unwrap_or(root);
        let member = |key: &str| error[key].as_str().filter(|text| !text.is_empty());
        let kind = member("type").unwrap_or_default();
        let code = member("code").filter(|_| !kind.starts_with("usage_"));
        Self {
            root,
            error,
            code: code.or(error.as_str()).unwrap_or(kind),
            kind,
            text: member("message").or_else(|| member("detail")).or(error.as_str()).unwrap_or_default(),
        }
    }

    fn suspension(&self, cause: Cause) -> Option<Reason> {
        Some(match self.code {
            "usage_not_included" => {
                Reason::new("usage_not_included", "the account's plan does not include Codex")
            }
            "account_deactivated" | "account_suspended" | "account_deleted" => {
                Reason::new("account_deactivated", "OpenAI has deactivated the account")
            }
            "no_organization" => Reason::new("no_organization", "the account belongs to no organization"),
            "deactivated_workspace" => {
                Reason::new("deactivated_workspace", "the account's workspace is deactivated")
            }
            _ if cause == Cause::Status(StatusCode::PAYMENT_REQUIRED) => {
                Reason::new("payment_required", "OpenAI asks for payment")
            }
            _ => return None,
        })
    }

    /// The status; an error event may carry one.
    fn status(&self, cause: Cause) -> Option<StatusCode> {
        let Cause::Status(status) = cause else {
            let told = self.root["status"].as_u64().or(self.root["status_code"].as_u64())?;
            return StatusCode::from_u16(u16::try_from(told).ok()?)
                .ok()
                .filter(|status| status.as_u16() >= 400);
        };
        Some(status)
    }

    /// When a usage limit ends: a second late rather than a moment early.
    fn reset(&self, now: SystemTime) -> SystemTime {
        let at = self.error["resets_at"].as_f64().and_then(instant);
        let after = || {
            let wait = Duration::try_from_secs_f64(self.error["resets_in_seconds"].as_f64()?).ok()?;
            Some(now + wait.min(LONGEST))
        };
        let until = at.or_else(after).map_or(now + Duration::from_mins(10), |at| at + Duration::from_secs(1));
        until.clamp(now + Duration::from_secs(1), now + LONGEST)
    }

    /// "Please try again in 1.5s." or "in 20ms".
    fn delay(&self) -> Option<Duration> {
        let rest = self.text.to_ascii_lowercase();
        let rest = rest.split_once("try again in ")?.1.trim_start();
        let (number, unit) =
            rest.split_at(rest.find(|letter: char| letter != '.' && !letter.is_ascii_digit())?);
        let factor = match unit.trim_start() {
            unit if unit.starts_with("ms") || unit.starts_with("milli") => 0.001,
            unit if unit.starts_with('s') => 1.0,
            unit if unit.starts_with('m') => 60.0,
            unit if unit.starts_with('h') => 3600.0,
            _ => return None,
        };
        Duration::try_from_secs_f64(number.parse::<f64>().ok()? * factor).ok()
    }

    fn denies_model(&self) -> bool {
        self.text.to_ascii_lowercase().contains("model is not supported")
    }
}

/// Only a version that reads as a lower number: upstream denies a model to an old client in the words it uses
/// for a plan without that model (2026-11).
fn is_old(version: &str) -> bool {
    let parts: Option<Vec<u64>> = version
        .split(['-', '+'])
        .next()
        .unwrap_or_default()
        .split('.')
        .map(|part| part.parse().ok())
        .collect();
    parts.is_some_and(|parts| parts[..] < NEWEST_MINIMUM[..])
}

fn is_challenge(failure: &Failure<'_>) -> bool {
    let html =
        || failure.headers.get("content-type").is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
    failure.headers.contains_key("cf-mitigated")
        || failure.headers.get("server").is_some_and(|server| server == "cloudflare") && html()
}
