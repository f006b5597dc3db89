//! What the vendors saw: every request, its sender, and how its answer ended.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::Value;
use tokio::sync::watch;

use super::wire::{self, Request};

/// Which vendor was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vendor {
    /// Google: OAuth and Code Assist.
    Google,
    /// `OpenAI`: OAuth and the Codex backend.
    OpenAi,
    /// Anthropic: OAuth and the Messages API.
    Anthropic,
}

/// How an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// All of it was sent.
    Sent,
    /// A fault cut it.
    Cut,
    /// The peer closed the connection before the end.
    PeerGone,
}

/// One request.
#[derive(Clone, Debug)]
pub struct Received {
    /// Counts from zero.
    pub id: usize,
    /// Who was asked.
    pub vendor: Vendor,
    /// Which connection it came on, counted over all vendors.
    pub connection: usize,
    /// When its last byte had arrived.
    pub at: Instant,
    /// The method.
    pub method: String,
    /// The path without query.
    pub path: String,
    /// The query, decoded.
    pub query: Vec<(String, String)>,
    /// The headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body as sent.
    pub raw_body: Bytes,
    /// The body without its content coding.
    pub body: Bytes,
    /// The label of the account whose token it carried.
    pub account: Option<String>,
    /// The status answered, once a head was sent.
    pub status: Option<u16>,
    /// How and when the answer ended.
    pub ended: Option<(Ending, Instant)>,
}

impl Received {
    /// The first value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        wire::value(&self.headers, &name.to_ascii_lowercase())
    }

    /// A query parameter.
    pub fn query(&self, name: &str) -> Option<&str> {
        wire::value(&self.query, name)
    }

    /// The body as JSON, null where it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// A field of a form body.
    pub fn form(&self, name: &str) -> Option<String> {
        wire::value(&wire::pairs(&self.body), name).map(str::to_owned)
    }

    /// The ending without its time.
    pub fn ending(&self) -> Option<Ending> {
        self.ended.map(|(ending, _)| ending)
    }
}

#[derive(Debug, Default)]
struct Book {
    received: Vec<Received>,
    connections: usize,
    open: usize,
}

/// Everything received since the start.
#[derive(Debug)]
pub struct Record {
    book: Mutex<Book>,
    changed: watch::Sender<()>,
}

impl Default for Record {
    fn default() -> Self {
        Self { book: Mutex::default(), changed: watch::Sender::new(()) }
    }
}

impl Record {
    /// All requests, oldest first.
    pub fn all(&self) -> Vec<Received> {
        super::lock(&self.book).received.clone()
    }

    /// The requests whose path contains this.
    pub fn on(&self, part: &str) -> Vec<Received> {
        let book = super::lock(&self.book);
        book.received.iter().filter(|received| received.path.contains(part)).cloned().collect()
    }

    /// How many requests have a path that contains this.
    pub fn count(&self, part: &str) -> usize {
        super::lock(&self.book).received.iter().filter(|received| received.path.contains(part)).count()
    }

    /// The newest request whose path contains this.
    pub fn last(&self, part: &str) -> Option<Received> {
        let book = super::lock(&self.book);
        book.received.iter().rev().find(|received| received.path.contains(part)).cloned()
    }

    /// One request by its number.
    pub fn get(&self, id: usize) -> Option<Received> {
        super::lock(&self.book).received.get(id).cloned()
    }

    /// How many connections were accepted.
    pub fn connections(&self) -> usize {
        super::lock(&self.book).connections
    }

    /// How many connections are open now.
    pub fn open_connections(&self) -> usize {
        super::lock(&self.book).open
    }

    /// How many answers have not ended yet.
    pub fn unanswered(&self) -> usize {
        super::lock(&self.book).received.iter().filter(|received| received.ended.is_none()).count()
    }

    /// Waits until the record satisfies a condition, and tells whether it did in time.
    pub async fn wait_until(&self, limit: Duration, mut condition: impl FnMut(&[Received]) -> bool) -> bool {
        let mut changed = self.changed.subscribe();
        let reached = async {
            while !condition(&super::lock(&self.book).received) {
                if changed.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        tokio::time::timeout(limit, reached).await.is_ok()
    }

    /// Waits until this many requests have a path that contains this.
    pub async fn wait_for(&self, part: &str, count: usize, limit: Duration) -> bool {
        let matching =
            |all: &[Received]| all.iter().filter(|received| received.path.contains(part)).count() >= count;
        self.wait_until(limit, matching).await
    }

    pub(crate) fn connected(&self) -> usize {
        let mut book = super::lock(&self.book);
        book.connections += 1;
        book.open += 1;
        book.connections
    }

    pub(crate) fn disconnected(&self) {
        super::lock(&self.book).open -= 1;
    }

    pub(crate) fn note(
        &self,
        vendor: Vendor,
        connection: usize,
        request: &Request,
        body: Bytes,
        account: Option<String>,
    ) -> usize {
        let mut book = super::lock(&self.book);
        let id = book.received.len();
        book.received.push(Received {
            id,
            vendor,
            connection,
            at: Instant::now(),
            method: request.method.clone(),
            path: request.path().to_owned(),
            query: request.query(),
            headers: request.headers.clone(),
            raw_body: request.body.clone(),
            body,
            account,
            status: None,
            ended: None,
        });
        drop(book);
        self.changed.send_replace(());
        id
    }

    pub(crate) fn answered(&self, id: usize, status: u16) {
        super::lock(&self.book).received[id].status = Some(status);
        self.changed.send_replace(());
    }

    pub(crate) fn ended(&self, id: usize, ending: Ending) {
        super::lock(&self.book).received[id].ended = Some((ending, Instant::now()));
        self.changed.send_replace(());
    }
}
