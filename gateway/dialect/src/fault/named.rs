//! The failures of the host by name, so that status, code and wording are decided in one place.

use super::{Fault, seconds};
use crate::Dialect;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

impl Fault {
    /// 401: none of the keys that came is right.
    pub fn unauthorized() -> Self {
        Self::new(401, "invalid_api_key", "the API key is missing or wrong")
    }

    /// A model nobody here has. The dialects differ in status: Codex CLI 0.169.0 repeats a 404 six times.
    pub fn unknown_model<M: AsRef<str>>(dialect: Dialect, model: &str, models: &[M]) -> Self {
        let status = match dialect {
            Dialect::Gemini | Dialect::Messages => 404,
            Dialect::Responses | Dialect::Chat => 400,
        };
        let known: Vec<&str> = models.iter().map(AsRef::as_ref).collect();
        let known = if known.is_empty() { "none at the moment".to_owned() } else { known.join(", ") };
        // A body may name anything of any length.
        let shown: String = model.chars().take(100).collect();
        let message = format!("model `{shown}` is not available here; the models are: {known}");
        let fault = Self::new(status, "model_not_found", message);
        // Gemini's model is a part of the path, no member of the body.
        if dialect == Dialect::Gemini { fault } else { fault.about("model") }
    }

    /// 501: the dialect knows the method, this upstream does not.
    pub fn unsupported(method: &str) -> Self {
        Self::new(501, "unsupported_operation", format!("`{method}` is not supported by this upstream"))
    }

    /// 404: nobody knows this method or path.
    pub fn not_found(what: &str) -> Self {
        Self::new(404, "unknown_url", format!("there is no `{what}` here"))
    }

    /// 405: the path exists, with other methods.
    pub fn method_not_allowed(method: &str, path: &str) -> Self {
        Self::new(405, "method_not_allowed", format!("`{path}` does not take {method}"))
    }

    /// 400: the request is wrong, and where.
    pub fn bad_request(param: Option<&str>, message: impl Into<String>) -> Self {
        let fault = Self::new(400, "invalid_request", message);
        if let Some(param) = param { fault.about(param) } else { fault }
    }

    /// 413: the body, as sent or as decoded, is larger than allowed.
    pub fn too_large(limit_bytes: u64) -> Self {
        Self::new(413, "request_too_large", format!("the body is larger than {limit_bytes} bytes"))
    }

    /// 415: an encoding that is not decoded here.
    pub fn unsupported_encoding(encoding: &str) -> Self {
        let message = format!("content-encoding `{encoding}` is not supported; send gzip, zstd or none");
        Self::new(415, "unsupported_encoding", message)
    }

    /// 426: no sockets here. Codex CLI then takes HTTP at once.
    pub fn upgrade_required() -> Self {
        Self::new(426, "upgrade_required", "WebSocket is not available here; send a POST")
    }

    /// 503: the pool has no account for it.
    pub fn no_credential() -> Self {
        Self::new(503, "no_available_credential", "no available credential").after(Duration::from_secs(5))
    }

    /// 429: every account is cooling, the first until `until`.
    pub fn cooling(until: SystemTime, now: SystemTime) -> Self {
        let wait = until.duration_since(now).unwrap_or_default().max(Duration::from_secs(1));
        let wait = Duration::from_secs(seconds(wait));
        let at = now.checked_add(wait).and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        // The wording in seconds is read by Codex CLI 0.169.0, where the failure comes inside a stream.
        let message =
            format!("all accounts are at their limit. Please try again in {}", spoken(wait.as_secs()));
        Self { resets_at: at.map(seconds), ..Self::new(429, "rate_limit_exceeded", message).after(wait) }
    }

    /// 429: waited as long as the settings allow for a busy account.
    pub fn busy() -> Self {
        let message = "all accounts are busy. Please try again in 2s";
        Self::new(429, "rate_limit_exceeded", message).after(Duration::from_secs(2))
    }

    /// 502: upstream failed in a way that is not the client's business; `origin` says who.
    pub fn upstream(origin: &str, message: &str) -> Self {
        Self::new(502, "upstream_error", format!("{origin}: {message}"))
    }

    /// 504: upstream took too long.
    pub fn timeout(origin: &str) -> Self {
        Self::new(504, "upstream_timeout", format!("{origin} did not answer in time"))
    }

    /// 500: our own mistake; the log has the details.
    pub fn internal() -> Self {
        Self::new(500, "internal_error", "internal error of the gateway")
    }

    /// 503: this process is about to end.
    pub fn shutting_down() -> Self {
        Self::new(503, "shutting_down", "the gateway is shutting down").after(Duration::from_secs(1))
    }
}

/// `37s` while a client may wait for it, `2 h 5 min` once only a person can.
fn spoken(seconds: u64) -> String {
    match (seconds / 3600, seconds % 3600 / 60) {
        _ if seconds <= super::LONGEST_RETRY.as_secs() => format!("{seconds}s"),
        (0, minutes) => format!("{minutes} min"),
        (hours, minutes) => format!("{hours} h {minutes} min"),
    }
}
