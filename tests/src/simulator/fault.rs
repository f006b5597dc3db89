//! Misbehaviour on demand: what goes wrong, where, and how often.

use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use tokio::sync::watch;

use super::reply::Reply;

/// One thing that goes wrong.
///
/// The variants named `…Before`, and [`Fault::Answer`], [`Fault::Reset`] and [`Fault::Silence`], strike before
/// the vendor has looked at the request: nothing is spent, no token rotates. All others let the vendor do
/// its work and spoil only the way back, which is how a rotated refresh token gets lost.
#[derive(Clone, Debug)]
pub enum Fault {
    /// Answers this instead of doing the work.
    Answer(Reply),
    /// Resets the connection (RST) instead of answering.
    Reset,
    /// Reads the request and never answers.
    Silence,
    /// Waits before the work.
    DelayBefore(Duration),
    /// Waits at a gate before the work.
    GateBefore(Gate),
    /// Waits between the work and the first byte of the head.
    DelayHead(Duration),
    /// Waits at a gate between the work and the first byte of the head.
    GateHead(Gate),
    /// Waits between the head and the first event.
    DelayFirstEvent(Duration),
    /// Waits between any two events.
    DelayEvents(Duration),
    /// Sends this many bytes of body, then closes the connection without ending the message.
    Truncate(usize),
    /// Sends this many bytes of body, then resets the connection.
    ResetAfter(usize),
    /// Sends this many events, then nothing more, keeping the connection open.
    SilenceAfter(usize),
    /// Sends this many events, then ends the message cleanly, as if that were all.
    EndAfter(usize),
    /// On a socket: sends this many events, then closes with this code (1005: without one).
    CloseAfter(usize, u16),
    /// Sends this many events, then the vendor's own error event (`response.failed`, `error`, or Gemini's
    /// `error` chunk) holding this error, then ends cleanly. For zero, `OpenAI` still sends `response.created` first.
    ErrorAfter(usize, Value),
    /// Sends this many events, then these bytes as they are, then ends cleanly.
    RawAfter(usize, Bytes),
    /// Sends this many events, then one whose JSON breaks off in the middle, then the rest.
    MalformedAfter(usize),
    /// Sends this many events, then one of this size in bytes, then the rest.
    HugeAfter(usize, usize),
    /// Replaces the status and adds headers, keeping the body.
    Head(u16, Vec<(String, String)>),
}

impl Fault {
    /// A JSON answer with a status.
    pub fn json(status: u16, body: &Value) -> Self {
        Self::Answer(Reply::json(status, body))
    }

    /// An answer with a status and a text that is no JSON.
    pub fn text(status: u16, body: &str) -> Self {
        Self::Answer(Reply::whole(status, "text/plain", body.to_owned()))
    }

    /// A body of this many bytes that pretends to be JSON.
    pub fn huge(status: u16, size: usize) -> Self {
        Self::Answer(Reply::whole(status, "application/json", vec![b' '; size]))
    }

    /// Whether it strikes before the vendor does its work.
    pub(crate) fn is_early(&self) -> bool {
        matches!(
            self,
            Self::Answer(_) | Self::Reset | Self::Silence | Self::DelayBefore(_) | Self::GateBefore(_)
        )
    }
}

/// Where and how often faults strike.
#[derive(Clone, Debug)]
pub struct Injection {
    faults: Vec<Fault>,
    method: Option<String>,
    path: Option<String>,
    account: Option<String>,
    containing: Option<String>,
    skip: usize,
    times: Option<usize>,
}

impl Injection {
    /// Strikes once, at the next request of any kind.
    pub fn new(fault: Fault) -> Self {
        Self {
            faults: vec![fault],
            method: None,
            path: None,
            account: None,
            containing: None,
            skip: 0,
            times: Some(1),
        }
    }

    /// Adds a second fault to the same request.
    #[must_use]
    pub fn and(mut self, fault: Fault) -> Self {
        self.faults.push(fault);
        self
    }

    /// Only requests whose path contains this.
    #[must_use]
    pub fn path(mut self, part: &str) -> Self {
        self.path = Some(part.to_owned());
        self
    }

    /// Only requests with this method.
    #[must_use]
    pub fn method(mut self, method: &str) -> Self {
        self.method = Some(method.to_owned());
        self
    }

    /// Only requests of the account with this label, known by its access or refresh token.
    #[must_use]
    pub fn account(mut self, label: &str) -> Self {
        self.account = Some(label.to_owned());
        self
    }

    /// Only requests whose decoded body contains this text.
    #[must_use]
    pub fn containing(mut self, text: &str) -> Self {
        self.containing = Some(text.to_owned());
        self
    }

    /// Lets this many matching requests pass first.
    #[must_use]
    pub fn after(mut self, requests: usize) -> Self {
        self.skip = requests;
        self
    }

    /// Strikes this many times.
    #[must_use]
    pub fn times(mut self, times: usize) -> Self {
        self.times = Some(times);
        self
    }

    /// Strikes until removed.
    #[must_use]
    pub fn always(mut self) -> Self {
        self.times = None;
        self
    }

    fn matches(&self, seen: &Seen<'_>) -> bool {
        self.method.as_deref().is_none_or(|method| method == seen.method)
            && self.path.as_deref().is_none_or(|part| seen.path.contains(part))
            && self.account.as_deref().is_none_or(|label| seen.account == Some(label))
            && self.containing.as_deref().is_none_or(|text| {
                seen.body.windows(text.len().max(1)).any(|window| window == text.as_bytes())
            })
    }
}

/// What a rule may look at.
#[derive(Debug)]
pub(crate) struct Seen<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) account: Option<&'a str>,
    pub(crate) body: &'a [u8],
}

/// All injections in force, oldest first; the first that matches takes the request.
#[derive(Debug, Default)]
pub(crate) struct Faults(Mutex<(u64, Vec<Armed>)>);

#[derive(Debug)]
struct Armed {
    id: u64,
    hits: usize,
    injection: Injection,
}

/// Names an injection, to ask about it or to remove it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InjectionId(u64);

impl Faults {
    pub(crate) fn add(&self, injection: Injection) -> InjectionId {
        let (next, rules) = &mut *super::lock(&self.0);
        *next += 1;
        rules.push(Armed { id: *next, hits: 0, injection });
        InjectionId(*next)
    }

    pub(crate) fn remove(&self, id: InjectionId) {
        super::lock(&self.0).1.retain(|rule| rule.id != id.0);
    }

    pub(crate) fn clear(&self) {
        super::lock(&self.0).1.clear();
    }

    pub(crate) fn hits(&self, id: InjectionId) -> usize {
        super::lock(&self.0).1.iter().find(|rule| rule.id == id.0).map_or(0, |rule| rule.hits)
    }

    /// The faults this request meets. A rule that is used up stays in the list, so that its hits can be read.
    pub(crate) fn strike(&self, seen: &Seen<'_>) -> Vec<Fault> {
        for rule in &mut super::lock(&self.0).1 {
            let injection = &mut rule.injection;
            if injection.times.is_some_and(|times| rule.hits >= times) || !injection.matches(seen) {
                continue;
            }
            if injection.skip > 0 {
                injection.skip -= 1;
                continue;
            }
            rule.hits += 1;
            return injection.faults.clone();
        }
        Vec::new()
    }
}

/// Stops requests at a known point until a test lets them on.
#[derive(Clone, Debug)]
pub struct Gate {
    arrived: watch::Sender<usize>,
    open: watch::Sender<bool>,
}

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}

impl Gate {
    /// A closed gate.
    pub fn new() -> Self {
        Self { arrived: watch::Sender::new(0), open: watch::Sender::new(false) }
    }

    /// Lets everyone pass, now and later.
    pub fn open(&self) {
        self.open.send_replace(true);
    }

    /// How many requests have come to the gate.
    pub fn arrivals(&self) -> usize {
        *self.arrived.borrow()
    }

    /// Waits until this many requests have come, and tells whether they did in time.
    pub async fn wait_for(&self, count: usize, limit: Duration) -> bool {
        let mut arrived = self.arrived.subscribe();
        tokio::time::timeout(limit, arrived.wait_for(|seen| *seen >= count))
            .await
            .is_ok_and(|seen| seen.is_ok())
    }

    pub(crate) async fn pass_owned(self) {
        self.pass().await;
    }

    pub(crate) async fn pass(&self) {
        self.arrived.send_modify(|count| *count += 1);
        // The sender is held by self, so waiting cannot fail before the gate opens.
        let _ = self.open.subscribe().wait_for(|open| *open).await;
    }
}
