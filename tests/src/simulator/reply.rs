//! An answer, complete before its first byte leaves, so that a fault can cut it anywhere.

use bytes::Bytes;
use serde_json::Value;

/// An HTTP answer.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// Further headers; framing headers are added when it is sent.
    pub headers: Vec<(String, String)>,
    /// What follows the head.
    pub body: Body,
}

/// The two ways vendors send a body.
#[derive(Clone, Debug)]
pub enum Body {
    /// Sent with its length.
    Whole(Bytes),
    /// Sent in chunks, one event each, without a length.
    Events(Vec<Bytes>),
}

impl Reply {
    /// A JSON answer.
    pub fn json(status: u16, body: &Value) -> Self {
        Self::whole(status, "application/json", body.to_string())
    }

    /// An HTML page.
    pub fn html(status: u16, page: impl Into<Bytes>) -> Self {
        Self::whole(status, "text/html; charset=utf-8", page)
    }

    /// Any answer of known length.
    pub fn whole(status: u16, content_type: &str, body: impl Into<Bytes>) -> Self {
        Self { status, headers: Vec::new(), body: Body::Whole(body.into()) }
            .with("content-type", content_type)
    }

    /// A stream of server-sent events, each already framed.
    pub fn events(events: Vec<Bytes>) -> Self {
        Self { status: 200, headers: Vec::new(), body: Body::Events(events) }
            .with("content-type", "text/event-stream")
    }

    /// Cloudflare's challenge page, as it stands before ChatGPT's backend.
    pub fn cloudflare() -> Self {
        Self::html(
            403,
            "<!DOCTYPE html><html><head><title>Just a moment...</title></head><body></body></html>",
        )
        .with("server", "cloudflare")
        .with("cf-mitigated", "challenge")
        .with("cf-ray", "9a0000000000abcd-SIM")
    }

    pub(crate) fn redirect(location: &str) -> Self {
        Self::whole(302, "text/html", "").with("location", location)
    }

    /// Adds a header.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// The whole body, whichever way it would be sent.
    pub fn bytes(&self) -> Bytes {
        match &self.body {
            Body::Whole(bytes) => bytes.clone(),
            Body::Events(events) => events.concat().into(),
        }
    }
}
