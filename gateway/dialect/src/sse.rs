//! Server-sent events as frames of bytes, and back.

use bytes::{BufMut, Bytes, BytesMut};
use std::fmt;

/// Splits a byte stream into events. Whole events inside one chunk are slices of it; nothing is copied twice.
#[derive(Debug)]
pub struct Splitter {
    /// The beginning of an event whose end has not come yet.
    partial: BytesMut,
    /// What is still to be looked at.
    chunk: Bytes,
    state: State,
    limit_bytes: usize,
    begun: bool,
    failed: bool,
}

/// One event: its own bytes, and what they say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Bytes as received, the blank line included.
    pub raw: Bytes,
    /// `event:`, empty if there is none.
    pub name: Bytes,
    /// `data:`, a slice of `raw` unless it spans lines; empty in comments.
    pub data: Bytes,
}

/// An event is larger than allowed. The stream cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Oversized {
    /// The limit.
    pub limit_bytes: usize,
}

impl fmt::Display for Oversized {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an event is larger than {} bytes", self.limit_bytes)
    }
}

impl std::error::Error for Oversized {}

/// Where the scan stands between two bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// At the start of a line.
    Line,
    /// Inside a line.
    Text,
    /// After the CR that ended a line; a LF would belong to it.
    Cr,
    /// After the CR of a blank line; a LF would belong to it, and the event must not be cut in between.
    BlankCr,
    /// Behind an event that ended with CR CR: it was given away at once, so a LF goes to the next one.
    Behind,
}

impl Splitter {
    /// A splitter that takes events of at most `limit_bytes`.
    pub fn new(limit_bytes: usize) -> Self {
        let (partial, chunk) = (BytesMut::new(), Bytes::new());
        Self { partial, chunk, state: State::Line, limit_bytes, begun: false, failed: false }
    }

    /// Adds a chunk. Take all frames before the next one; otherwise both are copied together.
    pub fn push(&mut self, chunk: Bytes) {
        if self.failed {
            return;
        }
        self.chunk = if self.chunk.is_empty() { chunk } else { [&self.chunk[..], &chunk].concat().into() };
    }

    /// The next whole event; `None` until more bytes come.
    ///
    /// # Errors
    /// Fails, for good, at an event beyond the limit.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, Oversized> {
        let oversized = Oversized { limit_bytes: self.limit_bytes };
        if self.failed {
            return Err(oversized);
        }
        let end = self.scan();
        let length = self.partial.len() + end.unwrap_or(self.chunk.len());
        if length > self.limit_bytes {
            self.failed = true;
            (self.partial, self.chunk) = (BytesMut::new(), Bytes::new());
            return Err(oversized);
        }
        let head = self.chunk.split_to(end.unwrap_or(self.chunk.len()));
        if end.is_some() && self.partial.is_empty() {
            return Ok(Some(self.frame(head)));
        }
        self.partial.extend_from_slice(&head);
        if end.is_none() {
            return Ok(None);
        }
        let raw = self.partial.split().freeze();
        Ok(Some(self.frame(raw)))
    }

    /// What is left at the end of input: an event without its blank line.
    pub fn finish(mut self) -> Option<Frame> {
        self.partial.extend_from_slice(&self.chunk);
        let raw = self.partial.split().freeze();
        (!raw.is_empty()).then(|| self.frame(raw))
    }

    /// The end of the event in the chunk. Goes over each byte once: the state lives on between chunks.
    fn scan(&mut self) -> Option<usize> {
        let bytes = &self.chunk[..];
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            let (state, end) = match (self.state, byte) {
                (State::Text | State::Cr | State::Behind, b'\n') => (State::Line, None),
                (State::Text, b'\r') => (State::Cr, None),
                (State::Line | State::BlankCr, b'\n') => (State::Line, Some(at + 1)),
                (State::Line | State::Behind, b'\r') => (State::BlankCr, None),
                (State::Cr, b'\r') => (State::Behind, Some(at + 1)),
                (State::BlankCr, _) => (State::Line, Some(at)),
                _ => (State::Text, None),
            };
            self.state = state;
            if end.is_some() {
                return end;
            }
            at += 1;
            if state == State::Text {
                at += memchr::memchr2(b'\n', b'\r', &bytes[at..]).unwrap_or(bytes.len() - at);
            }
        }
        None
    }

    fn frame(&mut self, raw: Bytes) -> Frame {
        let bom: &[u8] = if self.begun { b"" } else { b"\xef\xbb\xbf" };
        self.begun = true;
        Frame::parse(raw, bom)
    }
}

impl Frame {
    /// The name as text; empty where it is none.
    pub fn event(&self) -> &str {
        std::str::from_utf8(&self.name).unwrap_or_default()
    }

    fn parse(raw: Bytes, bom: &[u8]) -> Self {
        let (mut name, mut data, mut lines) = (Bytes::new(), Bytes::new(), Vec::new());
        let text = raw.strip_prefix(bom).unwrap_or(&raw);
        for line in text.split(|byte| matches!(byte, b'\n' | b'\r')) {
            let (field, value) = line.split_at(memchr::memchr(b':', line).unwrap_or(line.len()));
            let value = value.strip_prefix(b":").unwrap_or(value);
            let value = value.strip_prefix(b" ").unwrap_or(value);
            match field {
                b"data" => lines.push(value),
                b"event" => name = raw.slice_ref(value),
                _ => {}
            }
        }
        match lines[..] {
            [] => {}
            [line] => data = raw.slice_ref(line),
            _ => data = lines.join(&b'\n').into(),
        }
        Self { raw, name, data }
    }
}

/// One framed event; without a name if `name` is empty. Line ends inside `data` become lines of their own.
pub fn encode(name: &str, data: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(name.len() + data.len() + 24);
    // A line end in a name would let it speak as another field.
    if !name.is_empty() && !name.contains(['\n', '\r']) {
        out.put_slice(b"event: ");
        out.put_slice(name.as_bytes());
        out.put_u8(b'\n');
    }
    let mut rest = data;
    loop {
        let end = memchr::memchr2(b'\n', b'\r', rest);
        out.put_slice(b"data: ");
        out.put_slice(&rest[..end.unwrap_or(rest.len())]);
        out.put_u8(b'\n');
        let Some(end) = end else { break };
        rest = rest[end..].strip_prefix(b"\r\n").unwrap_or(&rest[end + 1..]);
    }
    out.put_u8(b'\n');
    out.freeze()
}

#[cfg(test)]
mod tests;
