use http::{HeaderMap, StatusCode, header};
use std::{
    borrow::Cow,
    time::{Duration, SystemTime},
};

/// The longest allowance is a month's; a later deadline is a mistake, and an absurd one overflows the clock.
const LONGEST_WAIT: Duration = Duration::from_hours(35 * 24);

/// One failed attempt, as far as a verdict needs it.
#[derive(Debug, Clone, Copy)]
pub struct Failure<'a> {
    /// What happened.
    pub cause: Cause,
    /// Headers of the reply; empty if there was none.
    pub headers: &'a HeaderMap,
    /// The error body (capped), or the data of the error event.
    pub body: &'a [u8],
    /// The time of it, so that a table can test deadlines.
    pub now: SystemTime,
}

/// How an attempt failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// A status other than 2xx; also a refused socket handshake.
    Status(StatusCode),
    /// An error event in a 2xx answer, before or after the first byte for the client.
    Event,
    /// The request did not reach upstream; a repetition is free.
    Unsent,
    /// Sent, but no answer in time, or it broke off; it may have been paid for.
    Lost,
}

/// Two questions, answered together from one value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The request. Without meaning once the client has seen a byte.
    pub next: Next,
    /// The credential.
    pub effect: Effect,
}

/// What happens to the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// The client gets this failure: it is about its request.
    Deliver,
    /// Another credential; the same one would fail again.
    Rotate,
    /// Another try is worth it: at once with another credential, or after the pause with the same one.
    Again(Duration),
}

/// What happens to the credential.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Effect {
    /// Nothing.
    None,
    /// No use before the time given.
    Cool(Scope, SystemTime),
    /// The access token is stale.
    Refresh,
    /// Out, until a person or a new login brings it back.
    Suspend(Reason),
    /// This account does not have this model.
    DropModel,
    /// Nothing: the account is in order, only not for clients like this one. If no other account serves the
    /// request, the client is told the reason.
    Unfit(Reason),
}

/// How far a cooldown reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// This model (or its group).
    Model,
    /// The whole account.
    Credential,
}

/// Why an account is out, for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Reason {
    /// Stable word: `validation_required`, `refresh_token_reused`.
    pub code: Cow<'static, str>,
    /// One sentence, no secrets.
    pub text: String,
    /// Where the owner can put it right.
    pub link: Option<String>,
}

impl Reason {
    /// A reason without a link.
    pub fn new(code: impl Into<Cow<'static, str>>, text: impl Into<String>) -> Self {
        Self { code: code.into(), text: text.into(), link: None }
    }
    /// Adds the place where the owner can put it right.
    #[must_use]
    pub fn at(mut self, link: Option<String>) -> Self {
        self.link = link;
        self
    }
}

impl Verdict {
    /// The client's own fault.
    pub const DELIVER: Self = Self { next: Next::Deliver, effect: Effect::None };
    /// Nobody's fault that lasts: another try, soon.
    pub const AGAIN: Self = Self { next: Next::Again(Duration::from_millis(300)), effect: Effect::None };
    /// Try another credential.
    pub const fn rotate(effect: Effect) -> Self {
        Self { next: Next::Rotate, effect }
    }
    /// Rest this credential and try another.
    pub fn cool(scope: Scope, until: SystemTime) -> Self {
        Self::rotate(Effect::Cool(scope, until))
    }
    /// Take this credential out and try another.
    pub const fn suspend(reason: Reason) -> Self {
        Self::rotate(Effect::Suspend(reason))
    }
}

impl Failure<'_> {
    /// What HTTP alone says. Providers write down only where they know better.
    pub fn usual(&self) -> Verdict {
        match self.cause {
            Cause::Status(StatusCode::UNAUTHORIZED) => Verdict::rotate(Effect::Refresh),
            Cause::Status(StatusCode::FORBIDDEN) => Verdict::rotate(Effect::None),
            Cause::Unsent => Verdict::AGAIN,
            Cause::Status(StatusCode::PAYMENT_REQUIRED) => {
                Verdict::suspend(Reason::new("payment_required", "upstream asks for payment"))
            }
            Cause::Status(StatusCode::TOO_MANY_REQUESTS) => {
                let told = self.retry_after().filter(|wait| *wait <= LONGEST_WAIT);
                let wait = told.unwrap_or(Duration::from_mins(1)).max(Duration::from_secs(1));
                Verdict::cool(Scope::Model, self.now.checked_add(wait).unwrap_or(self.now))
            }
            Cause::Status(status) if status.is_server_error() => Verdict::AGAIN,
            _ => Verdict::DELIVER,
        }
    }
    /// `retry-after` in seconds, as told: cap it before you add it to a time.
    pub fn retry_after(&self) -> Option<Duration> {
        self.headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
    }
    /// The body as JSON; `null` if it is none.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(self.body).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_absurd_retry_after_is_a_short_wait_and_no_overflow() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_000_000);
        for (told, seconds) in
            [("18446744073709551615", 60), ("99999999", 60), ("-1", 60), ("soon", 60), ("0", 1), ("7", 7)]
        {
            let mut headers = HeaderMap::new();
            headers.insert(header::RETRY_AFTER, http::HeaderValue::from_static(told));
            let cause = Cause::Status(StatusCode::TOO_MANY_REQUESTS);
            let verdict = Failure { cause, headers: &headers, body: b"", now }.usual();
            assert_eq!(verdict, Verdict::cool(Scope::Model, now + Duration::from_secs(seconds)), "{told}");
        }
    }
}
