//! Reads HTTP/1.1 requests off a socket, and nothing more clever than that.

use std::io;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const HEAD_LIMIT: usize = 256 * 1024;
const BODY_LIMIT: usize = 256 * 1024 * 1024;

/// A request as it arrived, before anyone judged it.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) target: String,
    /// Names in lower case, values as text, in order of arrival.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Bytes,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    pub(crate) fn query(&self) -> Vec<(String, String)> {
        let (_, query) = self.target.split_once('?').unwrap_or_default();
        pairs(query.as_bytes())
    }

    pub(crate) fn bearer(&self) -> Option<&str> {
        self.header("authorization")?.strip_prefix("Bearer ")
    }

    pub(crate) fn content_type(&self) -> &str {
        self.header("content-type").unwrap_or_default().split(';').next().unwrap_or_default().trim()
    }
}

/// Decodes `a=b&c=d`.
pub(crate) fn pairs(encoded: &[u8]) -> Vec<(String, String)> {
    url::form_urlencoded::parse(encoded).into_owned().collect()
}

/// The first value of a name.
pub(crate) fn value<'a>(pairs: &'a [(String, String)], name: &str) -> Option<&'a str> {
    pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

/// A socket with what was read ahead of need.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) stream: TcpStream,
    ahead: BytesMut,
}

impl Connection {
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self { stream, ahead: BytesMut::new() }
    }

    /// The next request, or nothing when the peer closed between two of them.
    pub(crate) async fn next(&mut self) -> io::Result<Option<Request>> {
        let Some((mut request, length, chunked)) = self.head().await? else { return Ok(None) };
        if request.header("expect").is_some_and(|value| value.eq_ignore_ascii_case("100-continue")) {
            self.stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        request.body = if chunked { self.chunks().await? } else { self.take(length).await? };
        Ok(Some(request))
    }

    /// What was read ahead of need, for whoever goes on reading.
    pub(crate) fn take_ahead(&mut self) -> BytesMut {
        std::mem::take(&mut self.ahead)
    }

    /// Waits, and tells whether the peer was still there at the end.
    pub(crate) async fn pause(&mut self, duration: std::time::Duration) -> bool {
        tokio::select! {
            biased;
            () = tokio::time::sleep(duration) => true,
            () = self.gone() => false,
        }
    }

    /// Returns once the peer has closed. Bytes sent meanwhile are kept for the next request.
    pub(crate) async fn gone(&mut self) {
        loop {
            match self.stream.read_buf(&mut self.ahead).await {
                Ok(0) | Err(_) => return,
                Ok(_) if self.ahead.len() > BODY_LIMIT => return,
                Ok(_) => {}
            }
        }
    }

    async fn head(&mut self) -> io::Result<Option<(Request, usize, bool)>> {
        loop {
            if let Some(found) = parse(&mut self.ahead)? {
                return Ok(Some(found));
            }
            if self.ahead.len() > HEAD_LIMIT {
                return Err(invalid("request head too large"));
            }
            if self.stream.read_buf(&mut self.ahead).await? == 0 {
                return if self.ahead.is_empty() { Ok(None) } else { Err(invalid("request head cut short")) };
            }
        }
    }

    async fn take(&mut self, length: usize) -> io::Result<Bytes> {
        if length > BODY_LIMIT {
            return Err(invalid("request body too large"));
        }
        while self.ahead.len() < length {
            if self.stream.read_buf(&mut self.ahead).await? == 0 {
                return Err(invalid("request body cut short"));
            }
        }
        Ok(self.ahead.split_to(length).freeze())
    }

    async fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = self.ahead.windows(2).position(|pair| pair == b"\r\n") {
                let line = self.ahead.split_to(end);
                self.ahead.advance(2);
                return String::from_utf8(line.to_vec()).map_err(|_| invalid("chunk line is not text"));
            }
            if self.ahead.len() > HEAD_LIMIT || self.stream.read_buf(&mut self.ahead).await? == 0 {
                return Err(invalid("chunk line cut short"));
            }
        }
    }

    async fn chunks(&mut self) -> io::Result<Bytes> {
        let mut body = BytesMut::new();
        loop {
            let line = self.line().await?;
            let size = line.split(';').next().unwrap_or_default().trim();
            let size = usize::from_str_radix(size, 16).map_err(|_| invalid("chunk size is not a number"))?;
            if size == 0 {
                while !self.line().await?.is_empty() {}
                return Ok(body.freeze());
            }
            if body.len() + size > BODY_LIMIT {
                return Err(invalid("request body too large"));
            }
            let chunk = self.take(size).await?;
            body.extend_from_slice(&chunk);
            if !self.line().await?.is_empty() {
                return Err(invalid("chunk does not end with a line break"));
            }
        }
    }
}

fn parse(ahead: &mut BytesMut) -> io::Result<Option<(Request, usize, bool)>> {
    let mut slots = [httparse::EMPTY_HEADER; 128];
    let mut head = httparse::Request::new(&mut slots);
    let status = head.parse(ahead).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    let httparse::Status::Complete(size) = status else { return Ok(None) };
    let headers: Vec<_> = head
        .headers
        .iter()
        .map(|header| {
            (header.name.to_ascii_lowercase(), String::from_utf8_lossy(header.value).trim().to_owned())
        })
        .collect();
    let request = Request {
        method: head.method.unwrap_or_default().to_owned(),
        target: head.path.unwrap_or_default().to_owned(),
        headers,
        body: Bytes::new(),
    };
    let chunked =
        request.header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked"));
    let length = match request.header("content-length") {
        Some(text) => text.parse().map_err(|_| invalid("content-length is not a number"))?,
        None => 0,
    };
    ahead.advance(size);
    Ok(Some((request, length, chunked)))
}

fn invalid(reason: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}
