use crate::signatures::{Conversation, Signatures};
use pollux_sdk::kit::google::{Progress, is_error, unlisted};
use pollux_sdk::kit::{each, rfc3339};
use pollux_sdk::{At, Bytes, Emit, Event, Payload, Quota, Reader, Shape, Step, Summary, Window, mentions};
use serde_json::Value;
use std::{sync::Arc, time::Duration};

/// What the client wants of an answer.
pub(crate) enum Wants {
    /// The answer alone, and the signatures in it remembered; `None` where no function can be called.
    Inside(Option<(Arc<Signatures>, Conversation)>),
    /// The envelope, too.
    Envelope,
}

/// Takes the envelope off where the client knows none, remembers signatures, counts tokens and sees the end.
pub(crate) struct Unwrap {
    wants: Wants,
    progress: Progress,
}

impl Unwrap {
    pub(crate) fn new(answers: Shape, wants: Wants) -> Self {
        Self { wants, progress: Progress::new(answers) }
    }

    /// Most chunks are text and are not parsed.
    fn remember(&self, inner: &Payload) {
        if let Wants::Inside(Some((signatures, conversation))) = &self.wants
            && mentions(inner.bytes(), "\"thoughtSignature\"")
        {
            signatures.learn(*conversation, &inner.value("candidates"));
        }
    }
}

impl Reader for Unwrap {
    fn read(&mut self, event: Event<'_>) -> Step {
        let outer = Payload::new(unlisted(event.data));
        if is_error(&outer) {
            return Step { emit: Emit::Data(outer.bytes().clone()), at: At::Fault };
        }
        let Some(inner) = outer.child("response").filter(Payload::is_object) else {
            return Step { emit: Emit::Skip, at: self.progress.at() }; // credits alone, for instance
        };
        self.progress.see(&inner);
        if let Some(id) = outer.text("traceId") {
            self.progress.is_called(&id);
        }
        self.remember(&inner);
        let emit = match self.wants {
            Wants::Inside(_) => Emit::Data(named(&outer, &inner)),
            Wants::Envelope => enveloped(&outer),
        };
        Step { emit, at: self.progress.at() }
    }

    fn finish(&mut self) -> Summary {
        self.progress.finish()
    }
}

/// The answer, with the id that the envelope had for it.
fn named(outer: &Payload, inner: &Payload) -> Bytes {
    let id = outer.raw("traceId").filter(|_| inner.raw("responseId").is_none());
    id.map_or_else(|| inner.bytes().clone(), |id| inner.with(&[("responseId", Some(&id))]))
}

/// The envelope, without the balance of the account's owner.
fn enveloped(outer: &Payload) -> Emit {
    if outer.raw("remainingCredits").is_none() {
        return Emit::Same;
    }
    Emit::Data(outer.with(&[("remainingCredits", None)]))
}

/// The daily windows of `retrieveUserQuota`. A hint only: other limits refuse while it reports all of it left.
pub(crate) fn quota(answer: &Value) -> Quota {
    let buckets = each(&answer["buckets"]).take(200);
    let daily = buckets.filter(|bucket| matches!(bucket["tokenType"].as_str(), None | Some("REQUESTS")));
    let windows = daily.map(|bucket| Window {
        length: Some(Duration::from_hours(24)),
        model: bucket["modelId"].as_str().map(Into::into),
        used: bucket["remainingFraction"].as_f64().map(|left| (1.0 - left).clamp(0.0, 1.0)),
        resets_at: bucket["resetTime"].as_str().and_then(rfc3339),
    });
    Quota { windows: windows.collect() }
}
