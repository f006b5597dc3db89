//! The API's ways to say no (its error page, and bodies seen in 2025 and 2026).

use std::time::Duration;

use serde_json::{Value, json};

use crate::simulator::reply::Reply;
use crate::simulator::token;

/// One way to say no.
#[derive(Clone, Debug)]
pub enum Refusal {
    /// 429: the allowance is used up, and starts anew after this time.
    UsedUp(Duration),
    /// 429 of another kind, with `retry-after` in seconds where given.
    RateLimited(Option<u64>),
    /// 529 `overloaded_error`.
    Overloaded,
    /// 500 `api_error`.
    ServerError,
    /// 504 `timeout_error`.
    Timeout,
    /// 400 `invalid_request_error` with this message.
    Invalid(String),
    /// 413 `request_too_large`.
    TooLarge,
    /// 404: there is no such path.
    NotFound,
    /// 404: there is no such model, for this account at least.
    NoModel,
    /// 401: no key at all.
    NoKey,
    /// 401: a key nobody knows.
    UnknownKey,
    /// 401: a token nobody knows.
    InvalidToken,
    /// 401: a token that has ended.
    TokenExpired,
    /// 403: the owner took the access back.
    Revoked,
    /// 403: a login that may not do this.
    MissingScope,
    /// 402 `billing_error`.
    Unpaid,
    /// 400: the organization was disabled.
    OrganizationDisabled,
    /// 400: no money is left.
    CreditTooLow,
    /// 400: the login is for Claude Code only.
    OnlyClaudeCode,
    /// 400: the use of other programs is billed apart.
    ThirdParty,
    /// 401: a login where none is taken.
    NotSupported,
    /// 403: the organization forbids logins.
    NotAllowed,
    /// 200, `message_start`, then an `error` event of this type and message.
    InBand(String, String),
}

impl Refusal {
    /// The error object.
    pub fn error(&self, model: &str) -> Value {
        let (_, kind, message) = self.told(model);
        json!({"type": kind, "message": message})
    }

    /// The answer, without rate-limit headers.
    pub fn reply(&self, model: &str) -> Reply {
        let (status, ..) = self.told(model);
        let body = json!({"type": "error", "error": self.error(model), "request_id": format!("req_{}", token::random())});
        let reply = Reply::json(status, &body);
        match self {
            Self::UsedUp(after) => {
                let reply = reply.with("retry-after", after.as_secs().to_string());
                reply.with("anthropic-ratelimit-unified-reset", token::later(*after).to_string())
            }
            Self::RateLimited(Some(seconds)) => reply.with("retry-after", seconds.to_string()),
            _ => reply,
        }
    }

    fn told(&self, model: &str) -> (u16, &str, String) {
        let (status, kind, message) = match self {
            Self::UsedUp(_) | Self::RateLimited(_) => (
                429,
                "rate_limit_error",
                "This request would exceed your account's rate limit. Please try again later.",
            ),
            Self::Overloaded => (529, "overloaded_error", "Overloaded"),
            Self::ServerError => (500, "api_error", "Internal server error"),
            Self::Timeout => (504, "timeout_error", "Request timed out"),
            Self::Invalid(message) => (400, "invalid_request_error", message.as_str()),
            Self::TooLarge => {
                (413, "request_too_large", "Request exceeds the maximum allowed number of bytes.")
            }
            Self::NotFound => (404, "not_found_error", "Not Found"),
            Self::NoModel => return (404, "not_found_error", format!("model: {model}")),
            Self::NoKey => (401, "authentication_error", "x-api-key header is required"),
            Self::UnknownKey => (401, "authentication_error", "invalid x-api-key"),
            Self::InvalidToken => (401, "authentication_error", "Invalid bearer token"),
            Self::TokenExpired => (
                401,
                "authentication_error",
                "OAuth token has expired. Please obtain a new token or refresh your existing token.",
            ),
            Self::Revoked => {
                (403, "permission_error", "OAuth token has been revoked. Please obtain a new token.")
            }
            Self::MissingScope => {
                (403, "permission_error", "OAuth token does not meet scope requirement user:profile")
            }
            Self::Unpaid => (402, "billing_error", "Your organization has an unpaid invoice."),
            Self::OrganizationDisabled => {
                (400, "invalid_request_error", "This organization has been disabled.")
            }
            Self::CreditTooLow => (
                400,
                "invalid_request_error",
                "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade or \
                 purchase credits.",
            ),
            Self::OnlyClaudeCode => (
                400,
                "invalid_request_error",
                "This credential is only authorized for use with Claude Code and cannot be used for other API requests.",
            ),
            Self::ThirdParty => (
                400,
                "invalid_request_error",
                "Third-party apps now draw from your extra usage, not your plan limits.",
            ),
            Self::NotSupported => {
                (401, "authentication_error", "OAuth authentication is currently not supported.")
            }
            Self::NotAllowed => (
                403,
                "permission_error",
                "OAuth authentication is currently not allowed for this organization.",
            ),
            Self::InBand(kind, message) => (200, kind.as_str(), message.as_str()),
        };
        (status, kind, message.to_owned())
    }
}
