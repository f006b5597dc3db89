use crate::kit::{each, google::usage};
use crate::{At, Payload, Shape, Summary, mentions};

/// Follows an answer of Gemini's, whole or chunk by chunk: where it stands, what it cost, its id.
#[derive(Debug)]
pub struct Progress {
    whole: bool,
    ended: bool,
    summary: Summary,
}

impl Progress {
    /// Of an answer that comes in this shape.
    pub fn new(answers: Shape) -> Self {
        Self { whole: answers == Shape::Whole, ended: false, summary: Summary::default() }
    }

    /// Looks at the next document. Most are chunks of text, and are not parsed.
    pub fn see(&mut self, document: &Payload) {
        if let Some(usage) = document.raw("usageMetadata").and_then(|raw| usage(&raw)) {
            self.summary.usage = Some(usage);
        }
        if let Some(id) = document.text("responseId") {
            self.is_called(&id);
        }
        let blocked = || document.child("promptFeedback")?.text("blockReason").map(|_| true);
        self.ended |= self.whole || blocked() == Some(true);
        if !self.ended && mentions(document.bytes(), "\"finishReason\"") {
            let candidates = document.value("candidates");
            self.ended = each(&candidates).any(|candidate| candidate["finishReason"].is_string());
        }
    }

    /// An id of the answer; the first one counts.
    pub fn is_called(&mut self, id: &str) {
        self.summary.id.get_or_insert_with(|| id.to_owned());
    }

    /// Chunks after the end carry usage only; they neither end it again nor take it back.
    pub fn at(&self) -> At {
        if self.ended { At::End } else { At::Body }
    }

    /// What was learnt; starts anew.
    pub fn finish(&mut self) -> Summary {
        self.ended = false;
        std::mem::take(&mut self.summary)
    }
}
