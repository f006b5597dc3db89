use crate::{
    signatures::{Conversation, Signatures},
    verdict::instant,
};
use pollux_sdk::{
    At, Emit, Event, Payload, Quota, Reader, Shape, Step, Summary, Window,
    kit::google::{unlisted, usage},
    mentions,
};
use serde_json::Value;
use std::{sync::Arc, time::Duration};

/// Takes the envelope off, remembers signatures, counts tokens and sees the end.
pub(crate) struct Unwrap {
    answers: Shape,
    memory: Option<(Arc<Signatures>, Conversation)>,
    summary: Summary,
    ended: bool,
}

impl Unwrap {
    /// `memory` is where signatures go; `None` where no function can be called.
    pub(crate) fn new(answers: Shape, memory: Option<(Arc<Signatures>, Conversation)>) -> Self {
        Self { answers, memory, summary: Summary::default(), ended: false }
    }

    /// Chunks after the end carry usage only; they neither end it again nor take it back.
    fn at(&self) -> At {
        if self.ended { At::End } else { At::Body }
    }

    /// Most chunks are text and are not parsed.
    fn look_into(&mut self, inner: &Payload) {
        let has = |word| mentions(inner.bytes(), word);
        let feedback = inner.raw("promptFeedback").map(Payload::new);
        let blocked = feedback.is_some_and(|feedback| feedback.text("blockReason").is_some());
        self.ended |= self.answers == Shape::Whole || blocked;
        let memory = self.memory.as_ref().filter(|_| has("\"thoughtSignature\""));
        if memory.is_none() && (self.ended || !has("\"finishReason\"")) {
            return;
        }
        let raw = inner.raw("candidates").unwrap_or_default();
        let candidates: Value = serde_json::from_slice(&raw).unwrap_or_default();
        let mut each = candidates.as_array().into_iter().flatten();
        self.ended |= each.any(|candidate| candidate["finishReason"].is_string());
        if let Some((signatures, conversation)) = memory {
            signatures.learn(*conversation, &candidates);
        }
    }
}

impl Reader for Unwrap {
    fn read(&mut self, event: Event<'_>) -> Step {
        let outer = Payload::new(unlisted(event.data));
        if outer.raw("error").is_some_and(|error| error != "null") {
            return Step { emit: Emit::Data(outer.bytes().clone()), at: At::Fault };
        }
        let Some(inner) = outer.raw("response").map(Payload::new).filter(Payload::is_object) else {
            return Step { emit: Emit::Skip, at: self.at() }; // credits alone, for instance
        };
        if let Some(usage) = inner.raw("usageMetadata").and_then(|raw| usage(&raw)) {
            self.summary.usage = Some(usage);
        }
        let id = outer.raw("traceId").filter(|_| inner.raw("responseId").is_none());
        let data = id.map_or_else(|| inner.bytes().clone(), |id| inner.with(&[("responseId", Some(&id))]));
        if self.summary.id.is_none() {
            self.summary.id = inner.text("responseId").or_else(|| outer.text("traceId")).map(Into::into);
        }
        self.look_into(&inner);
        Step { emit: Emit::Data(data), at: self.at() }
    }

    fn finish(&mut self) -> Summary {
        self.ended = false;
        std::mem::take(&mut self.summary)
    }
}

/// The daily windows of `retrieveUserQuota`. A hint only: other limits refuse while it reports all of it left.
pub(crate) fn quota(answer: &Value) -> Quota {
    let buckets = answer["buckets"].as_array().into_iter().flatten().take(200);
    let daily = buckets.filter(|bucket| matches!(bucket["tokenType"].as_str(), None | Some("REQUESTS")));
    let windows = daily.map(|bucket| Window {
        length: Some(Duration::from_hours(24)),
        model: bucket["modelId"].as_str().map(Into::into),
        used: bucket["remainingFraction"].as_f64().map(|left| (1.0 - left).clamp(0.0, 1.0)),
        resets_at: bucket["resetTime"].as_str().and_then(instant),
    });
    Quota { windows: windows.collect() }
}
