//! What a socket remembers: its account, how to read upstream, and the answers under way.

use super::turn::Turn;
use crate::{
    pool::{Grant, Standing, Wish},
    relay::{Failed, Service},
};
use bytes::Bytes;
use pollux_dialect::{status_of, with_status};
use pollux_sdk::{
    At, Call, Cause, Effect, Emit, Event, HeaderMap, HeaderName, HeaderValue, Next, Payload, Reader,
};
use std::{collections::VecDeque, sync::Arc, time::SystemTime};
use tokio::time::Instant;

/// The state of one socket.
pub(super) struct State {
    pub(super) grant: Grant,
    pub(super) reader: Box<dyn Reader>,
    pub(super) turns: VecDeque<Turn>,
    /// When the last text came or went.
    pub(super) active: Instant,
}

/// What becomes of a frame of upstream's.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Heard {
    /// What the client gets.
    pub(super) text: Option<Bytes>,
    /// The oldest answer under way is over.
    pub(super) over: bool,
    /// The account can serve no more and another can; the client gets nothing and reconnects.
    pub(super) spent: bool,
}

impl State {
    /// Reads a frame of upstream's.
    pub(super) fn hear(&mut self, service: &Arc<Service>, call: &Call, data: &Bytes) -> Heard {
        self.active = Instant::now();
        let step = self.reader.read(Event { name: "", data });
        let text = match step.emit {
            Emit::Same => Some(data.clone()),
            Emit::Data(data) => Some(data),
            Emit::Skip => None,
        };
        match step.at {
            At::Prelude => Heard { text, over: false, spent: false },
            At::Body => {
                if let Some(turn) = self.turns.front_mut() {
                    turn.delivered = true;
                    turn.story.first_byte();
                }
                Heard { text, over: false, spent: false }
            }
            At::End => {
                self.learn("served");
                self.grant.succeed();
                if let Some(turn) = self.turns.front() {
                    turn.story.metrics().served(service.id());
                }
                Heard { text, over: true, spent: false }
            }
            At::Fault => {
                let spent = self.fault(service, call, data);
                Heard { text: Some(with_status(data)), over: true, spent }
            }
        }
    }

    /// An answer is over: what it cost, and what it said of the account.
    fn learn(&mut self, verdict: &'static str) {
        let summary = self.reader.finish();
        self.grant.learn(&summary);
        if let Some(turn) = self.turns.front_mut() {
            turn.story.usage = summary.usage;
            turn.story.verdict = verdict;
            turn.story.first_byte();
        }
    }

    /// Judges an error frame. Whether the client does better with another account.
    fn fault(&mut self, service: &Arc<Service>, call: &Call, data: &Bytes) -> bool {
        let headers = told_headers(data);
        if let Some(quota) = service.provider.quota(&headers) {
            self.grant.reading(&quota);
        }
        let failed = Failed { cause: Cause::Event, headers, body: data.clone() };
        let (next, effect) = self.judge(service, call, &failed);
        self.learn("failed");
        let dialect = call.endpoint.dialect;
        let Some(turn) = self.turns.front_mut() else { return false };
        turn.story.status = status_of(dialect, data);
        let ours = next != Next::Deliver && effect != Effect::None;
        let wish = Wish { model: turn.call.model.clone(), ..Wish::default() };
        let own = self.grant.id();
        ours && !turn.delivered && {
            let (standings, _) = service.pool.explain(&wish, SystemTime::now());
            standings.iter().any(|(held, standing)| held.id != own && *standing == Standing::Ready)
        }
    }

    fn judge(&mut self, service: &Arc<Service>, call: &Call, failed: &Failed) -> (Next, Effect) {
        let turn = self.turns.front();
        let verdict = failed.judge(service.provider.as_ref(), turn.map_or(call, |turn| &turn.call));
        tracing::info!(
            request_id = turn.map(|turn| turn.story.id.as_str()),
            provider = service.id(),
            credential = %self.grant.label(),
            cause = ?failed.cause,
            effect = ?verdict.effect,
            "answer failed on a socket"
        );
        if let Some(turn) = turn {
            turn.story.metrics().failed(service.id(), &verdict);
            self.grant.serve(&turn.call.model);
        }
        if verdict.effect != Effect::None {
            self.grant.note(verdict.effect.clone());
        }
        (verdict.next, verdict.effect)
    }

    /// No further frame comes. `lost`: by upstream's fault.
    pub(super) fn conclude(
        &mut self,
        service: &Arc<Service>,
        call: &Call,
        lost: bool,
        verdict: &'static str,
    ) {
        if lost && !self.turns.is_empty() {
            self.judge(service, call, &Failed::without_reply(Cause::Lost));
        }
        let begun = !self.turns.is_empty();
        self.learn(verdict);
        if begun {
            self.turns.iter_mut().for_each(|turn| turn.story.verdict = verdict);
        }
        self.turns.clear();
    }
}

/// The headers that an error frame carries in place of an answer's head.
fn told_headers(frame: &Bytes) -> HeaderMap {
    let frame = Payload::new(frame.clone()).value("headers");
    let text = |value: &serde_json::Value| match value {
        serde_json::Value::String(text) => Some(text.clone()),
        serde_json::Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    let pair = |(name, value): (&String, &serde_json::Value)| {
        Some((HeaderName::try_from(name).ok()?, HeaderValue::try_from(text(value)?).ok()?))
    };
    frame.as_object().into_iter().flatten().filter_map(pair).collect()
}

/// A call for the same socket.
pub(super) fn call_for(socket: &Call, model: String, body: Payload) -> Call {
    Call {
        endpoint: socket.endpoint.clone(),
        dialect: socket.dialect,
        model,
        shape: socket.shape,
        query: socket.query.clone(),
        headers: socket.headers.clone(),
        body,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_frames_headers_are_read_as_an_answers_head() {
        let frame = br#"{"type":"error","headers":{"X-Vendor-Used-Percent":"100","retry-after":7,"bad name":"x","odd":[1]}}"#;
        let headers = told_headers(&Bytes::from_static(frame));
        assert_eq!(headers.len(), 2);
        assert_eq!(headers["x-vendor-used-percent"], "100");
        assert_eq!(headers["retry-after"], "7");
        assert!(told_headers(&Bytes::from_static(b"no json")).is_empty());
    }
}
