//! Code Assist's ways to say no, as recorded in 2026.

use std::time::Duration;

use serde_json::{Value, json};

use crate::simulator::reply::Reply;
use crate::simulator::token;

const DOMAIN: &str = "cloudcode-pa.googleapis.com";

/// One way to say no.
#[derive(Clone, Debug)]
pub enum Refusal {
    /// 429 `QUOTA_EXHAUSTED` with a time stamp and delays in seconds.
    QuotaExhausted(Duration),
    /// The same, the delay written the Go way ("9h22m20s").
    QuotaExhaustedGo(Duration),
    /// 429 `RATE_LIMIT_EXCEEDED` with a short `RetryInfo`.
    RateLimited(Duration),
    /// 429 `MODEL_CAPACITY_EXHAUSTED`, without any time.
    CapacityExhausted,
    /// 429 with a `QuotaFailure` per day.
    QuotaFailurePerDay,
    /// 429 in Vertex's style, without details.
    BareVertex,
    /// Any other refusal inside a one-element array, as streaming calls sometimes get it.
    InArray(Box<Refusal>),
    /// 403 `VALIDATION_REQUIRED` with links.
    ValidationRequired,
    /// 403 `SECURITY_POLICY_VIOLATED` (VPC-SC).
    SecurityPolicyViolated,
    /// 403 `SUBSCRIPTION_REQUIRED`: no licence.
    SubscriptionRequired,
    /// 403 `TOS_VIOLATION`: the account is suspended.
    TosViolation,
    /// 403 `SERVICE_DISABLED`: the API is off in the project.
    ServiceDisabled,
    /// 403 without details.
    PermissionDenied,
    /// 404 `NOT_FOUND`.
    NotFound,
    /// 401 `UNAUTHENTICATED`.
    Unauthenticated,
    /// 400 `INVALID_ARGUMENT` with this message.
    InvalidArgument(String),
    /// 400 `FAILED_PRECONDITION`.
    FailedPrecondition,
    /// 499 `CANCELLED`.
    Cancelled,
    /// 500 `INTERNAL`.
    Internal,
    /// 503 `UNAVAILABLE`.
    Unavailable,
}

impl Refusal {
    /// The answer for a request of this model.
    pub fn reply(&self, model: &str) -> Reply {
        if let Self::InArray(inner) = self {
            let reply = inner.reply(model);
            let error: Value = serde_json::from_slice(&reply.bytes()).unwrap_or_default();
            return Reply::json(reply.status, &json!([error]));
        }
        let body = self.error(model);
        let status = body["code"].as_u64().and_then(|code| u16::try_from(code).ok()).unwrap_or(500);
        Reply::json(status, &json!({ "error": body }))
    }

    /// The `error` object alone.
    pub fn error(&self, model: &str) -> Value {
        match self {
            Self::QuotaExhausted(delay) => quota(model, *delay, &format!("{:.6}s", delay.as_secs_f64())),
            Self::QuotaExhaustedGo(delay) => quota(model, *delay, &go(*delay)),
            Self::RateLimited(delay) => {
                let text = format!("{:.9}s", delay.as_secs_f64());
                let message = format!(
                    "You have exhausted your capacity on this model. Your quota will reset after {}.",
                    go(*delay)
                );
                error(
                    429,
                    "RESOURCE_EXHAUSTED",
                    &message,
                    vec![
                        info(
                            "RATE_LIMIT_EXCEEDED",
                            DOMAIN,
                            json!({"model": model, "quotaResetDelay": text, "uiMessage": "true"}),
                        ),
                        json!({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": text}),
                    ],
                )
            }
            Self::CapacityExhausted => error(
                429,
                "RESOURCE_EXHAUSTED",
                &format!("No capacity available for model {model} on the server"),
                vec![info("MODEL_CAPACITY_EXHAUSTED", DOMAIN, json!({"model": model}))],
            ),
            Self::QuotaFailurePerDay => error(
                429,
                "RESOURCE_EXHAUSTED",
                "You exceeded your current quota.",
                vec![json!({
                    "@type": "type.googleapis.com/google.rpc.QuotaFailure",
                    "violations": [{
                        "subject": "", "description": "", "apiService": DOMAIN,
                        "quotaMetric": "cloudcode-pa.googleapis.com/generate_requests",
                        "quotaId": "GenerateRequestsPerDayPerProjectPerModel", "quotaDimensions": {"model": model}, "quotaValue": "100",
                    }],
                })],
            ),
            Self::BareVertex => json!({
                "code": 429, "message": "Resource exhausted. Please try again later.", "status": "RESOURCE_EXHAUSTED",
                "errors": [{"message": "Resource exhausted. Please try again later.", "domain": "global", "reason": "rateLimitExceeded"}],
            }),
            Self::InArray(inner) => inner.error(model),
            Self::ValidationRequired => validation(),
            Self::SecurityPolicyViolated => denied(
                "Request is prohibited by organization's policy.",
                vec![
                    json!({"@type": "type.googleapis.com/google.rpc.PreconditionFailure", "violations": [{"type": "VPC_SERVICE_CONTROLS", "description": "sim"}]}),
                    info("SECURITY_POLICY_VIOLATED", "googleapis.com", json!({"service": DOMAIN})),
                ],
            ),
            Self::SubscriptionRequired => denied(
                "Permission denied: a valid license is required to use Gemini Code Assist. (#3501)",
                vec![info("SUBSCRIPTION_REQUIRED", "cloudaicompanion.googleapis.com", json!({}))],
            ),
            Self::TosViolation => denied(
                "This account has been suspended for a violation of the Terms of Service.",
                vec![info("TOS_VIOLATION", DOMAIN, json!({}))],
            ),
            Self::ServiceDisabled => denied(
                "Gemini for Google Cloud API has not been used in this project before or it is disabled.",
                vec![info(
                    "SERVICE_DISABLED",
                    "googleapis.com",
                    json!({"service": "cloudaicompanion.googleapis.com", "consumer": "projects/1", "activationUrl": "https://console.example.com/api"}),
                )],
            ),
            Self::PermissionDenied => {
                json!({"code": 403, "message": "The caller does not have permission", "status": "PERMISSION_DENIED"})
            }
            Self::NotFound => error(404, "NOT_FOUND", "Requested entity was not found.", Vec::new()),
            Self::Unauthenticated => error(
                401,
                "UNAUTHENTICATED",
                "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid authentication credential.",
                vec![info("ACCESS_TOKEN_EXPIRED", "googleapis.com", json!({"service": DOMAIN}))],
            ),
            Self::InvalidArgument(message) => error(400, "INVALID_ARGUMENT", message, Vec::new()),
            Self::FailedPrecondition => {
                error(400, "FAILED_PRECONDITION", "Precondition check failed.", Vec::new())
            }
            Self::Cancelled => error(499, "CANCELLED", "The operation was cancelled.", Vec::new()),
            Self::Internal => error(500, "INTERNAL", "Internal error encountered.", Vec::new()),
            Self::Unavailable => {
                error(503, "UNAVAILABLE", "The service is currently unavailable.", Vec::new())
            }
        }
    }
}

fn error(code: u16, status: &str, message: &str, details: Vec<Value>) -> Value {
    let mut error = json!({"code": code, "message": message, "status": status});
    if !details.is_empty() {
        error["details"] = details.into();
    }
    error
}

fn denied(message: &str, details: Vec<Value>) -> Value {
    error(403, "PERMISSION_DENIED", message, details)
}

#[expect(clippy::needless_pass_by_value, reason = "callers write the value in place")]
fn info(reason: &str, domain: &str, metadata: Value) -> Value {
    json!({"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "domain": domain, "metadata": metadata})
}

/// 403 for a project the account may not use, or for a token without the scope.
pub(super) fn forbidden(message: &str, reason: &str, metadata: Value) -> Reply {
    Reply::json(403, &json!({ "error": denied(message, vec![info(reason, "googleapis.com", metadata)]) }))
}

fn quota(model: &str, delay: Duration, text: &str) -> Value {
    let message = format!("Individual quota reached. Resets in {}.", go(delay));
    error(
        429,
        "RESOURCE_EXHAUSTED",
        &message,
        vec![
            info(
                "QUOTA_EXHAUSTED",
                DOMAIN,
                json!({
                    "model": model, "quotaResetDelay": text, "quotaResetTimeStamp": token::rfc3339(token::later(delay)), "uiMessage": "true",
                }),
            ),
            json!({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": format!("{:.9}s", delay.as_secs_f64())}),
        ],
    )
}

fn validation() -> Value {
    let (url, more) =
        ("https://accounts.google.com/signin/continue?sim=1", "https://support.google.com/accounts?sim=1");
    denied(
        "Verify your account to continue.",
        vec![
            info(
                "VALIDATION_REQUIRED",
                DOMAIN,
                json!({
                    "validation_url": url, "validation_url_link_text": "Verify your account",
                    "validation_error_message": "Verify your account to continue.",
                    "validation_learn_more_url": more, "validation_learn_more_link_text": "Learn more",
                }),
            ),
            json!({"@type": "type.googleapis.com/google.rpc.Help", "links": [
                {"description": "Verify your account", "url": url}, {"description": "Learn more", "url": more},
            ]}),
        ],
    )
}

/// A duration as Go prints it.
fn go(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds}s"),
        (0, minutes, seconds) => format!("{minutes}m{seconds}s"),
        (hours, minutes, seconds) => format!("{hours}h{minutes}m{seconds}s"),
    }
}
