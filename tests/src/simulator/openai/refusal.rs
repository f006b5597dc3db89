//! The Codex backend's ways to say no, and its reports on what is left (bodies recorded in 2026).

use std::time::Duration;

use serde_json::{Value, json};

use super::{Record, State, email};
use crate::simulator::reply::Reply;
use crate::simulator::server::Asked;
use crate::simulator::token;

/// One way to say no.
#[derive(Clone, Debug)]
pub enum Refusal {
    /// 429 `usage_limit_reached`, resetting after this time.
    UsageLimitReached(Duration),
    /// 429 `usage_not_included`: the plan has no Codex.
    UsageNotIncluded,
    /// 429 of another kind, with `retry-after` in seconds where given.
    RateLimited(Option<u64>),
    /// 429 with a `detail` text.
    RateLimitDetail,
    /// 401 `token_invalidated`.
    TokenInvalidated,
    /// 401 `token_revoked`.
    TokenRevoked,
    /// 401 `token_expired`.
    TokenExpired,
    /// 401 `account_deactivated`.
    AccountDeactivated,
    /// 401 `{"detail":"Unauthorized"}`.
    Unauthorized,
    /// 401 for a token that is no JWT.
    UnparsableToken,
    /// 402 `detail.code` `deactivated_workspace`.
    DeactivatedWorkspace,
    /// 402 `error.code` `deactivated_workspace`, the newer form.
    DeactivatedWorkspaceError,
    /// 400: the model is not for this plan, or the client too old.
    ModelNotSupported,
    /// 400 `{"detail": …}` with this text.
    Detail(String),
    /// 400 with an `error` object of this code, message and parameter.
    Invalid(String, String, Option<String>),
    /// 400 `cyber_policy`.
    CyberPolicy,
    /// 403 page of Cloudflare.
    Cloudflare,
    /// 404 `{"detail":"Not Found"}`.
    NotFound,
    /// 500 `server_error`.
    ServerError,
    /// 503 `server_is_overloaded`.
    Overloaded,
    /// 503 `slow_down`.
    SlowDown,
    /// 200, `response.created`, then `response.failed` with this error.
    InBand(Value),
}

impl Refusal {
    /// The usage limit as it arrives inside a stream.
    pub fn in_band_usage_limit(plan: &str, after: Duration) -> Self {
        Self::InBand(usage_limit(plan, after))
    }

    /// The answer for a request of this model, without rate-limit headers. In-band refusals are no answer of
    /// their own; for them this is an empty stream.
    pub fn reply(&self, model: &str) -> Reply {
        self.reply_on("plus", model)
    }

    pub(super) fn reply_on(&self, plan: &str, model: &str) -> Reply {
        let error = |status, error: Value| Reply::json(status, &json!({ "error": error }));
        let detail = |status, text: &str| Reply::json(status, &json!({ "detail": text }));
        match self {
            Self::UsageLimitReached(after) => error(429, usage_limit(plan, *after)),
            Self::UsageNotIncluded => error(
                429,
                json!({
                    "type": "usage_not_included", "message": "To use Codex with your ChatGPT plan, upgrade to Plus.",
                }),
            ),
            Self::RateLimited(after) => {
                let reply = error(
                    429,
                    json!({
                        "message": "Rate limit reached for requests", "type": "requests", "param": null, "code": "rate_limit_exceeded",
                    }),
                );
                match after {
                    Some(seconds) => reply.with("retry-after", seconds.to_string()),
                    None => reply,
                }
            }
            Self::RateLimitDetail => detail(429, "Too many requests"),
            Self::TokenInvalidated => unauthorized(
                "token_invalidated",
                "Your authentication token has been invalidated. Please try signing in again.",
            ),
            Self::TokenRevoked => unauthorized(
                "token_revoked",
                "Your authentication token has been revoked. Please try signing in again.",
            ),
            Self::TokenExpired => Reply::json(
                401,
                &json!({
                    "error": {"message": "Provided authentication token is expired. Please try signing in again.", "type": null, "code": "token_expired", "param": null},
                    "status": 401,
                }),
            ),
            Self::AccountDeactivated => error(
                401,
                json!({
                    "message": "Your OpenAI account has been deactivated.", "code": "account_deactivated",
                }),
            ),
            Self::Unauthorized => detail(401, "Unauthorized"),
            Self::UnparsableToken => {
                detail(401, "Could not parse your authentication token. Please try signing in again.")
            }
            Self::DeactivatedWorkspace => {
                Reply::json(402, &json!({"detail": {"code": "deactivated_workspace"}}))
            }
            Self::DeactivatedWorkspaceError => Reply::json(
                402,
                &json!({
                    "error": {"message": "This workspace is deactivated.", "type": null, "code": "deactivated_workspace"}, "status": 402,
                }),
            ),
            Self::ModelNotSupported => detail(
                400,
                &format!("The '{model}' model is not supported when using Codex with a ChatGPT account."),
            ),
            Self::Detail(text) => detail(400, text),
            Self::Invalid(code, message, param) => error(
                400,
                json!({
                    "message": message, "type": "invalid_request_error", "param": param, "code": code,
                }),
            ),
            Self::CyberPolicy => error(
                400,
                json!({
                    "code": "cyber_policy", "message": "This request was stopped by a safety check.", "type": "invalid_request",
                }),
            ),
            Self::Cloudflare => Reply::cloudflare(),
            Self::NotFound => detail(404, "Not Found"),
            Self::ServerError => error(
                500,
                json!({
                    "message": "The server had an error while processing your request.", "type": "server_error", "param": null, "code": "server_error",
                }),
            ),
            Self::Overloaded => {
                busy("server_is_overloaded", "Our servers are currently overloaded. Please try again later.")
            }
            Self::SlowDown => busy("slow_down", "Please slow down."),
            Self::InBand(_) => Reply::events(Vec::new()),
        }
    }
}

fn usage_limit(plan: &str, after: Duration) -> Value {
    json!({
        "type": "usage_limit_reached", "message": "The usage limit has been reached", "plan_type": plan,
        "resets_at": token::later(after), "eligible_promo": null, "resets_in_seconds": after.as_secs(),
    })
}

fn unauthorized(code: &str, message: &str) -> Reply {
    let error = json!({"message": message, "type": "invalid_request_error", "code": code, "param": null});
    Reply::json(401, &json!({"error": error, "status": 401}))
}

fn busy(code: &str, message: &str) -> Reply {
    let error = json!({"message": message, "type": "service_unavailable_error", "param": null, "code": code});
    Reply::json(503, &json!({ "error": error }))
}

const WINDOWS: [(u64, u64); 2] = [(300, 3600), (10080, 259_200)];

/// The rate-limit headers of 200 and 429 answers.
pub(super) fn limits(mut reply: Reply, record: &Record) -> Reply {
    let used = [record.used.0, record.used.1];
    for ((name, percent), (minutes, after)) in ["primary", "secondary"].into_iter().zip(used).zip(WINDOWS) {
        let reset = token::now() + after;
        reply = reply
            .with(&format!("x-codex-{name}-used-percent"), percent.to_string())
            .with(&format!("x-codex-{name}-window-minutes"), minutes.to_string())
            .with(&format!("x-codex-{name}-reset-after-seconds"), after.to_string())
            .with(&format!("x-codex-{name}-reset-at"), reset.to_string());
    }
    reply
        .with("x-codex-active-limit", "codex")
        .with("x-codex-plan-type", record.plan.clone())
        .with("x-codex-primary-over-secondary-limit-percent", "0")
        .with("x-codex-credits-has-credits", "False")
        .with("x-codex-credits-unlimited", "False")
        .with("x-codex-credits-balance", "")
}

/// The same in a stream's event.
pub(super) fn limits_event(record: &Record) -> Value {
    let window = |percent: f64, (minutes, after): (u64, u64)| json!({"used_percent": percent, "window_minutes": minutes, "reset_at": token::now() + after});
    json!({
        "type": "codex.rate_limits", "plan_type": record.plan,
        "rate_limits": {
            "allowed": true, "limit_reached": record.used.0 >= 100.0,
            "primary": window(record.used.0, WINDOWS[0]), "secondary": window(record.used.1, WINDOWS[1]),
        },
        "credits": {"has_credits": false, "unlimited": false, "balance": "0"},
        "metered_limit_name": "codex", "limit_name": null,
    })
}

/// `GET /backend-api/wham/usage`.
pub(super) fn usage(state: &State, asked: &Asked) -> Reply {
    let label = match state.caller(asked) {
        Ok(label) => label,
        Err(refusal) => return refusal.reply(""),
    };
    let record = &state.accounts[&label];
    if let Some(refusal) = &record.usage_refusal {
        return refusal.reply_on(&record.plan, "");
    }
    let window = |percent: f64, (minutes, after): (u64, u64)| {
        json!({
            "used_percent": percent, "limit_window_seconds": minutes * 60, "reset_after_seconds": after,
            "reset_at": token::now() + after,
        })
    };
    let refused = matches!(record.refusal, Some(Refusal::UsageLimitReached(_)));
    let reached = refused || record.used.0 >= 100.0 || record.used.1 >= 100.0;
    Reply::json(
        200,
        &json!({
            "user_id": record.user_id, "account_id": record.workspace, "email": email(&label), "plan_type": record.plan,
            "rate_limit": {
                "allowed": !reached, "limit_reached": reached,
                "primary_window": window(record.used.0, WINDOWS[0]), "secondary_window": window(record.used.1, WINDOWS[1]),
            },
            "code_review_rate_limit": null, "additional_rate_limits": [],
            "credits": {
                "has_credits": false, "unlimited": false, "overage_limit_reached": false, "balance": "0",
                "approx_local_messages": [0, 0], "approx_cloud_messages": [0, 0],
            },
            "spend_control": {"reached": false, "individual_limit": null},
            "rate_limit_reached_type": reached.then(|| json!({"type": "rate_limit_reached"})),
            "rate_limit_upsell": null, "promo": null,
            "rate_limit_reset_credits": {"available_count": 0, "applicable_available_count": 0},
            "model_usage": null, "chatpass": null,
        }),
    )
}
