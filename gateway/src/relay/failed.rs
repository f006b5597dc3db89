use super::{Answer, Body, Service};
use crate::bridge;
use bytes::Bytes;
use pollux_dialect::{Dialect, Fault, LONGEST_RETRY, failure, retell, terminal};
use pollux_sdk::{Call, Cause, Effect, Failure, HeaderMap, HeaderValue, Next, Provider, StatusCode, Verdict};
use std::time::SystemTime;

/// A failed attempt that the client may have to be told about.
#[derive(Debug)]
pub struct Failed {
    /// What happened.
    pub cause: Cause,
    /// Headers of the reply.
    pub headers: HeaderMap,
    /// The error body, or the data of the error event.
    pub body: Bytes,
}

impl Failed {
    /// There was no reply, or no whole one.
    pub fn without_reply(cause: Cause) -> Self {
        Self { cause, headers: HeaderMap::new(), body: Bytes::new() }
    }

    /// What the provider makes of it.
    pub fn judge(&self, provider: &dyn Provider, call: &Call) -> Verdict {
        let Self { cause, headers, body } = self;
        provider.classify(call, &Failure { cause: *cause, headers, body, now: SystemTime::now() })
    }

    /// The upstream's own words where they are about the client's request; a credential's trouble is a
    /// gateway's trouble. `soonest` is when the pool can serve again, as far as known.
    pub fn answer(
        self,
        service: &Service,
        call: &Call,
        verdict: &Verdict,
        soonest: Option<SystemTime>,
    ) -> Answer {
        let about = service.provider.descriptor();
        let dialect = call.endpoint.dialect;
        let ours = verdict.next != Next::Deliver || verdict.effect != Effect::None;
        let (status, body) = match self.cause {
            Cause::Status(status) => (status.as_u16(), retell(dialect, status.as_u16(), &self.body)),
            Cause::Event => failure(dialect, &self.body),
            Cause::Unsent => return told(dialect, &Fault::upstream(about.title, "it could not be reached")),
            _ => {
                return told(
                    dialect,
                    &Fault::upstream(about.title, "it broke off before its answer was whole"),
                );
            }
        };
        if let Effect::Unfit(reason) = &verdict.effect
            && matches!(status, 401..=403)
        {
            let message = format!("{} does not serve this client: {}", about.title, reason.text);
            return told(dialect, &Fault::new(403, "not_usable_here", message));
        }
        let of_the_account = matches!(verdict.effect, Effect::Suspend(_)) && status == 400;
        if ours && matches!(status, 401..=403) || of_the_account {
            // The client would take it for a verdict on its own key, or on its request.
            let reason = match &verdict.effect {
                Effect::Suspend(reason) => format!(": {}", reason.text),
                _ => String::new(),
            };
            let message = format!("it refused the gateway's credentials ({status}){reason}");
            return told(dialect, &Fault::upstream(about.title, &message));
        }
        let mut headers = bridge::allowed(&self.headers, about.reply_headers);
        if status == 429 {
            let cooled = match verdict.effect {
                Effect::Cool(_, until) => Some(until),
                _ => None,
            };
            match retry(dialect, &body, soonest.or(cooled), SystemTime::now()) {
                Retry::After(seconds) => drop(headers.insert("retry-after", HeaderValue::from(seconds))),
                // The SDKs of OpenAI and Anthropic obey it, and would otherwise repeat any 429.
                Retry::Never => drop(headers.insert("x-should-retry", HeaderValue::from_static("false"))),
                Retry::Unknown => copy_retry_after(&self.headers, &mut headers),
            }
        } else {
            copy_retry_after(&self.headers, &mut headers);
        }
        headers.insert("content-type", HeaderValue::from_static("application/json"));
        Answer {
            status: StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY),
            headers,
            body: Body::Whole(body),
        }
    }
}

fn copy_retry_after(from: &HeaderMap, to: &mut HeaderMap) {
    if let Some(value) = from.get("retry-after") {
        to.insert("retry-after", value.clone());
    }
}

/// Whether a client should repeat what met a 429.
#[derive(Debug, PartialEq, Eq)]
enum Retry {
    /// After so many seconds.
    After(u64),
    /// Not within reasonable time.
    Never,
    /// Nobody said.
    Unknown,
}

fn retry(dialect: Dialect, body: &Bytes, until: Option<SystemTime>, now: SystemTime) -> Retry {
    if terminal(dialect, body) {
        return Retry::Never;
    }
    match until.map(|until| until.duration_since(now).unwrap_or_default()) {
        None => Retry::Unknown,
        Some(wait) if wait > LONGEST_RETRY => Retry::Never,
        // Rounded up: a client that comes a moment too early waits a whole turn for it.
        Some(wait) => Retry::After((wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1)),
    }
}

/// A fault of our own, in the client's dialect.
pub(super) fn told(dialect: Dialect, fault: &Fault) -> Answer {
    let mut headers = HeaderMap::new();
    headers.insert("content-type", HeaderValue::from_static("application/json"));
    for (name, value) in fault.headers() {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(name, value);
        }
    }
    Answer {
        status: StatusCode::from_u16(fault.status).unwrap_or(StatusCode::BAD_GATEWAY),
        headers,
        body: Body::Whole(fault.body(dialect)),
    }
}
