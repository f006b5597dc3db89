//! The streaming half: one reply, read event by event, with its lease inside.
//!
//! Dropping it anywhere cancels upstream, releases the lease and tells the story.

mod body;
mod fold;

use crate::{
    pool::Grant,
    relay::{Failed, Service},
    story::Story,
};
use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, stream::BoxStream};
use pollux_dialect::{Broken, Fault, Frame, Splitter, encode, ending};
use pollux_sdk::{At, Call, Cause, Emit, Event, HeaderMap, Reader, Shape, Step, Usage};
use serde::de::IgnoredAny;
use std::{
    collections::VecDeque,
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::time::{Instant, timeout, timeout_at};

/// After its end an answer may trail a few events (usage); no longer than this.
const TRAIL: Duration = Duration::from_secs(5);
/// Ready events leave in one write, up to this size.
const WRITE_BYTES: usize = 64 << 10;

/// A reply being read.
pub struct Live {
    service: Arc<Service>,
    call: Arc<Call>,
    grant: Option<Grant>,
    reader: Box<dyn Reader>,
    input: Option<BoxStream<'static, Result<Bytes, reqwest::Error>>>,
    headers: HeaderMap,
    splitter: Splitter,
    ready: VecDeque<Bytes>,
    ready_bytes: usize,
    ended: bool,
    closed: bool,
    elements: usize,
    events: u64,
    story: Option<Story>,
}

/// Why no further event comes.
enum Silence {
    /// Upstream closed.
    Closed,
    /// Broken, silent for too long, or an event beyond the cap.
    Broken,
}

impl Live {
    /// A reply that has not begun.
    pub fn new(service: Arc<Service>, call: Arc<Call>, grant: Grant, reader: Box<dyn Reader>) -> Self {
        let splitter = Splitter::new(service.limits.event_bytes);
        Self {
            service,
            call,
            grant: Some(grant),
            reader,
            input: None,
            headers: HeaderMap::new(),
            splitter,
            ready: VecDeque::new(),
            ready_bytes: 0,
            ended: false,
            closed: false,
            elements: 0,
            events: 0,
            story: None,
        }
    }

    /// The head is there, events follow.
    pub fn begin(&mut self, input: BoxStream<'static, Result<Bytes, reqwest::Error>>, headers: HeaderMap) {
        (self.input, self.headers) = (Some(input), headers);
    }

    /// The story to tell when all is over.
    pub fn tell(&mut self, story: Story) {
        self.story = Some(story);
    }

    /// Shape the client wants.
    pub fn shape(&self) -> Shape {
        self.call.shape
    }

    /// Reads one event that is a whole answer.
    pub fn read(&mut self, event: Event<'_>) -> Step {
        self.reader.read(event)
    }

    /// The attempt failed before anything was delivered.
    pub fn give_back(mut self) -> Grant {
        self.grant.take().expect("only `give_back` and `Drop` take the lease, and both consume the reply")
    }

    /// The answer was delivered whole.
    pub fn succeed(&mut self) -> Option<Usage> {
        self.ended = true;
        let summary = self.reader.finish();
        let usage = summary.usage;
        if let Some(mut grant) = self.grant.take() {
            grant.learn(&summary);
            grant.succeed();
        }
        usage
    }

    /// Reads until the first event of worth. Until then the request may still rotate.
    pub async fn peek(&mut self) -> Result<(), Failed> {
        let mut hold_until = None;
        loop {
            let frame = match hold_until {
                None => self.frame().await,
                Some(at) => match timeout_at(at, self.frame()).await {
                    Ok(frame) => frame,
                    Err(_) => return Ok(()),
                },
            };
            let frame = frame.map_err(|_| Failed::without_reply(Cause::Lost))?;
            match self.take(&frame) {
                At::Prelude if self.ready_bytes > self.service.limits.prelude_bytes => return Ok(()),
                At::Prelude => {
                    hold_until.get_or_insert_with(|| Instant::now() + self.service.limits.prelude);
                }
                At::Fault => return Err(self.fault(frame.data)),
                At::Body | At::End => return Ok(()),
            }
        }
    }

    /// The next bytes for the client; all that is ready leaves in one write. From here on there is no way back: a
    /// failure becomes an event.
    async fn next_write(&mut self) -> Option<Bytes> {
        loop {
            while self.ready_bytes < WRITE_BYTES && !self.closed {
                match self.splitter.next_frame() {
                    Ok(Some(frame)) => self.deliver(&frame),
                    Ok(None) => break,
                    Err(_) => self.close(),
                }
            }
            if !self.ready.is_empty() {
                return Some(self.write());
            }
            if self.closed {
                return None;
            }
            match self.frame().await {
                Ok(frame) => self.deliver(&frame),
                Err(_) => self.close(),
            }
        }
    }

    fn write(&mut self) -> Bytes {
        if self.ready.len() == 1 {
            self.ready_bytes = 0;
            return self.ready.pop_front().unwrap_or_default();
        }
        let mut all = BytesMut::with_capacity(self.ready_bytes);
        self.ready.drain(..).for_each(|piece| all.extend_from_slice(&piece));
        self.ready_bytes = 0;
        all.freeze()
    }

    fn deliver(&mut self, frame: &Frame) {
        if self.take(frame) == At::Fault {
            let failed = self.fault(frame.data.clone());
            self.judge(&failed);
            self.ended = true; // the error event is the end
            self.close();
        }
    }

    fn close(&mut self) {
        if std::mem::replace(&mut self.closed, true) {
            return;
        }
        self.input = None;
        if !self.ended {
            let failed = Failed::without_reply(Cause::Lost);
            self.judge(&failed);
            let title = self.service.provider.descriptor().title;
            let body = Fault::upstream(title, "the answer broke off").body(self.call.endpoint.dialect);
            self.end_with(&body);
            if let Some(story) = &mut self.story {
                story.verdict = "broken";
            }
        }
        if self.call.shape == Shape::Array {
            self.emit(Bytes::from_static(if self.elements == 0 { b"[]" } else { b"]" }));
        }
    }

    fn emit(&mut self, bytes: Bytes) {
        self.ready_bytes += bytes.len();
        self.ready.push_back(bytes);
    }

    fn element(&mut self, data: Bytes) {
        self.emit(Bytes::from_static(if self.elements == 0 { b"[" } else { b"," }));
        self.emit(data);
        self.elements += 1;
    }

    /// The last word of an answer that cannot go on: some clients understand only one kind of it.
    fn end_with(&mut self, failure: &Bytes) {
        let dialect = self.call.endpoint.dialect;
        if self.call.shape == Shape::Array {
            return self.element(failure.clone());
        }
        let created_at =
            SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |time| time.as_secs());
        let broken = Broken { id: None, model: &self.call.model, sequence: self.events, created_at };
        self.emit(ending(dialect, failure, &broken));
    }

    fn take(&mut self, frame: &Frame) -> At {
        let array = self.call.shape == Shape::Array;
        if frame.data.is_empty() {
            // A comment keeps the connection alive; it is no event. What is no field either is no stream's.
            let known =
                [&b":"[..], b"event", b"id", b"retry"].iter().any(|field| frame.raw.starts_with(field));
            if known && !array {
                self.emit(frame.raw.clone());
            }
            return At::Prelude;
        }
        let step = self.reader.read(event(frame));
        self.ended |= step.at == At::End;
        self.events += 1;
        if step.at == At::Fault {
            // Some clients understand only one kind of error event: the dialect knows which.
            self.end_with(&frame.data);
            return step.at;
        }
        match step.emit {
            Emit::Skip => {}
            Emit::Same if !array => self.emit(frame.raw.clone()),
            Emit::Data(data) if !array => self.emit(encode(frame.event(), &data)),
            Emit::Same => self.element(frame.data.clone()),
            Emit::Data(data) => self.element(data),
        }
        step.at
    }

    /// The next event. Safe to cancel: nothing is lost between its await and its return.
    async fn frame(&mut self) -> Result<Frame, Silence> {
        loop {
            if let Some(frame) = self.splitter.next_frame().map_err(|_| Silence::Broken)? {
                return Ok(frame);
            }
            let Some(input) = &mut self.input else { return Err(Silence::Closed) };
            let limit = if self.ended { TRAIL } else { self.service.limits.idle };
            match timeout(limit, input.next()).await {
                Ok(Some(Ok(chunk))) => self.splitter.push(chunk),
                Ok(None) => {
                    self.input = None;
                    let last =
                        std::mem::replace(&mut self.splitter, Splitter::new(self.service.limits.event_bytes));
                    return last.finish().and_then(completed).ok_or(Silence::Closed);
                }
                Ok(Some(Err(_))) | Err(_) => return Err(Silence::Broken),
            }
        }
    }

    fn fault(&self, body: Bytes) -> Failed {
        Failed { cause: Cause::Event, headers: self.headers.clone(), body }
    }

    fn judge(&mut self, failed: &Failed) {
        let verdict = failed.judge(self.service.provider.as_ref(), &self.call);
        tracing::info!(
            request_id = self.story.as_ref().map(|story| story.id.as_str()),
            provider = self.service.id(),
            cause = ?failed.cause,
            effect = ?verdict.effect,
            "stream failed after its first byte"
        );
        if let Some(story) = &mut self.story {
            story.verdict = "failed";
            story.metrics().failed(self.service.id(), &verdict);
        }
        if let Some(grant) = &mut self.grant {
            grant.note(verdict.effect);
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        let summary = self.reader.finish();
        if let Some(story) = &mut self.story {
            story.usage = summary.usage;
            if !self.closed && !self.ended {
                story.verdict = "client_gone";
            }
        }
        if let Some(mut grant) = self.grant.take() {
            grant.learn(&summary);
            if self.ended {
                grant.succeed();
            }
        }
    }
}

impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Live").field("call", &self.call).field("ended", &self.ended).finish_non_exhaustive()
    }
}

/// A last event may lack its blank line. The client gets it with one, or it would be lost on it; the beginning of an
/// event is none.
fn completed(mut frame: Frame) -> Option<Frame> {
    serde_json::from_slice::<IgnoredAny>(&frame.data).ok()?;
    let missing: &[u8] = if frame.raw.ends_with(b"\n") { b"\n" } else { b"\n\n" };
    frame.raw = [&frame.raw[..], missing].concat().into();
    Some(frame)
}

fn event(frame: &Frame) -> Event<'_> {
    Event { name: frame.event(), data: &frame.data }
}
