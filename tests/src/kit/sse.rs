//! Reads event streams, with the time of each event and the way the stream ended.

use std::time::{Duration, Instant};

use bytes::{Buf, BytesMut};
use reqwest::header::HeaderMap;
use serde_json::Value;

use super::http::{Headers, client};

/// One server-sent event.
#[derive(Clone, Debug)]
pub struct Event {
    /// When its last byte arrived.
    pub at: Instant,
    /// The `event:` line.
    pub name: Option<String>,
    /// The `data:` lines, joined.
    pub data: String,
}

impl Event {
    /// The data as JSON, null where it is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.data).unwrap_or(Value::Null)
    }
}

/// How a stream ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The message was complete.
    Clean,
    /// The connection broke, or the message was cut.
    Broken(String),
    /// Nothing came for the time given.
    Silent,
}

/// A stream being read. Dropping it closes the connection.
#[derive(Debug)]
pub struct Events {
    /// The status code.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// Everything read so far, as it came.
    pub raw: Vec<u8>,
    response: reqwest::Response,
    ahead: BytesMut,
    end: Option<End>,
}

impl Events {
    /// POSTs JSON and reads the answer's head, whatever its status.
    pub async fn post(url: &str, headers: &Headers<'_>, body: &Value) -> Result<Self, reqwest::Error> {
        let mut request =
            client().post(url).header("content-type", "application/json").body(body.to_string());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await?;
        Ok(Self {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            raw: Vec::new(),
            response,
            ahead: BytesMut::new(),
            end: None,
        })
    }

    /// The next event, or nothing when the stream has ended or was silent for this long; see [`Events::end`].
    pub async fn next(&mut self, patience: Duration) -> Option<Event> {
        loop {
            while let Some(block) = split(&mut self.ahead) {
                if let Some(event) = parse(&block) {
                    return Some(event);
                }
            }
            if matches!(self.end, Some(End::Clean | End::Broken(_))) {
                return None;
            }
            match tokio::time::timeout(patience, self.response.chunk()).await {
                Ok(Ok(Some(chunk))) => {
                    self.raw.extend_from_slice(&chunk);
                    self.ahead.extend_from_slice(&chunk);
                }
                Ok(Ok(None)) => self.end = Some(End::Clean),
                Ok(Err(error)) => self.end = Some(End::Broken(format!("{error:?}"))),
                Err(_) => {
                    self.end = Some(End::Silent);
                    return None;
                }
            }
        }
    }

    /// All events up to the end.
    pub async fn rest(&mut self, patience: Duration) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some(event) = self.next(patience).await {
            events.push(event);
        }
        events
    }

    /// How the stream ended, once it has.
    pub fn end(&self) -> Option<&End> {
        self.end.as_ref()
    }

    /// What came after the last complete event.
    pub fn remainder(&self) -> &[u8] {
        &self.ahead
    }
}

/// Takes one block off the front, up to its blank line.
fn split(ahead: &mut BytesMut) -> Option<BytesMut> {
    let find = |mark: &[u8]| ahead.windows(mark.len()).position(|window| window == mark);
    let ends = [(find(b"\n\n"), 2), (find(b"\r\n\r\n"), 4)];
    let (at, mark) = ends.into_iter().filter_map(|(at, mark)| Some((at?, mark))).min()?;
    let block = ahead.split_to(at);
    ahead.advance(mark);
    Some(block)
}

fn parse(block: &[u8]) -> Option<Event> {
    let text = String::from_utf8_lossy(block);
    let (mut name, mut data) = (None, Vec::new());
    for line in text.lines() {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => name = Some(value.to_owned()),
            "data" => data.push(value),
            _ => {}
        }
    }
    (name.is_some() || !data.is_empty()).then(|| Event { at: Instant::now(), name, data: data.join("\n") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_end_at_either_kind_of_blank_line() {
        let mut ahead = BytesMut::from("event: a\ndata: 1\n\ndata: 2\r\n\r\n: comment\n\ndata: cut");
        let mut events = Vec::new();
        while let Some(block) = split(&mut ahead) {
            events.extend(parse(&block).map(|event| (event.name, event.data)));
        }
        assert_eq!(events, [(Some("a".to_owned()), "1".to_owned()), (None, "2".to_owned())]);
        assert_eq!(&ahead[..], b"data: cut");
    }
}
