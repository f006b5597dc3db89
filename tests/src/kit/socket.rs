//! A WebSocket client that sees every frame.

use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::frames::{self, Frame, Frames, Side};

const LIMIT: Duration = Duration::from_secs(20);
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// A handshake that ended as plain HTTP.
#[derive(Debug, Clone)]
pub struct Refused {
    /// Status.
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: Vec<u8>,
}

impl Refused {
    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// An open socket.
#[derive(Debug)]
pub struct Socket {
    frames: Frames<TcpStream>,
    /// Headers of the 101, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Pings that came; each was answered.
    pub pings: usize,
}

impl Socket {
    /// Opens one at an `http://` address; `deflate` offers compression.
    pub async fn open(url: &str, headers: &[(&str, &str)], deflate: bool) -> Result<Self, Refused> {
        Self::try_open(url, headers, deflate).await.expect("the gateway answers a handshake")
    }

    async fn try_open(url: &str, more: &[(&str, &str)], deflate: bool) -> io::Result<Result<Self, Refused>> {
        let rest = url.trim_start_matches("http://");
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let mut stream = TcpStream::connect(authority).await?;
        stream.set_nodelay(true)?;
        let mut lines = vec![
            format!("GET {path} HTTP/1.1"),
            format!("host: {authority}"),
            "connection: Upgrade".into(),
            "upgrade: websocket".into(),
            "sec-websocket-version: 13".into(),
            format!("sec-websocket-key: {KEY}"),
        ];
        if deflate {
            lines.push("sec-websocket-extensions: permessage-deflate; client_max_window_bits".into());
        }
        lines.extend(more.iter().map(|(name, value)| format!("{name}: {value}")));
        stream.write_all(format!("{}\r\n\r\n", lines.join("\r\n")).as_bytes()).await?;
        let mut ahead = BytesMut::new();
        let (status, headers, size) = loop {
            if stream.read_buf(&mut ahead).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let mut slots = [httparse::EMPTY_HEADER; 64];
            let mut head = httparse::Response::new(&mut slots);
            if let Ok(httparse::Status::Complete(size)) = head.parse(&ahead) {
                let pair = |header: &httparse::Header<'_>| {
                    (header.name.to_ascii_lowercase(), String::from_utf8_lossy(header.value).into_owned())
                };
                break (head.code.unwrap_or(0), head.headers.iter().map(pair).collect::<Vec<_>>(), size);
            }
        };
        drop(ahead.split_to(size));
        let value = |name: &str| headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        if status != 101 {
            let length = value("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
            while ahead.len() < length && stream.read_buf(&mut ahead).await? > 0 {}
            return Ok(Err(Refused { status, headers, body: ahead.to_vec() }));
        }
        assert_eq!(value("sec-websocket-accept"), Some(frames::accept(KEY).as_str()));
        let deflate = value("sec-websocket-extensions").is_some_and(|agreed| agreed.contains("deflate"));
        Ok(Ok(Self { frames: Frames::new(stream, Side::Client, deflate, ahead), headers, pings: 0 }))
    }

    /// A header of the 101.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Messages that came compressed.
    pub fn compressed(&self) -> usize {
        self.frames.compressed
    }

    /// Sends JSON.
    pub async fn send(&mut self, value: &Value) {
        self.frame(&Frame::json(value)).await;
    }

    /// Sends any frame.
    pub async fn frame(&mut self, frame: &Frame) {
        self.frames.send(frame).await.expect("the socket takes a frame");
    }

    /// Sends bytes as they are.
    pub async fn raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.frames.send_raw(bytes).await
    }

    /// The next frame that is no ping; nothing when the connection is closed or the limit is over.
    pub async fn next(&mut self, limit: Duration) -> Option<Frame> {
        let next = async {
            loop {
                match self.frames.next().await {
                    Ok(Some(Frame::Ping(data))) => {
                        self.pings += 1;
                        self.frames.send(&Frame::Pong(data)).await.ok()?;
                    }
                    Ok(frame) => return frame,
                    Err(_) => return None,
                }
            }
        };
        tokio::time::timeout(limit, next).await.ok().flatten()
    }

    /// The next text, as it came.
    pub async fn text(&mut self) -> Bytes {
        match self.next(LIMIT).await {
            Some(Frame::Text(text)) => text,
            other => panic!("no text came but {other:?}"),
        }
    }

    /// The next text as JSON.
    pub async fn event(&mut self) -> Value {
        serde_json::from_slice(&self.text().await).expect("frames are JSON")
    }

    /// Sends a request and reads its answer, up to and with the frame that ends it.
    pub async fn turn(&mut self, request: &Value) -> Vec<Value> {
        self.send(request).await;
        self.rest().await
    }

    /// Reads on to the end of an answer.
    pub async fn rest(&mut self) -> Vec<Value> {
        let mut events = Vec::new();
        loop {
            let event = self.event().await;
            let kind = event["type"].as_str().unwrap_or_default().to_owned();
            events.push(event);
            if ["response.completed", "response.incomplete", "response.failed", "error"].contains(&&*kind) {
                return events;
            }
        }
    }

    /// Reads to the end and answers the close: its code, or nothing where the connection just ended.
    pub async fn closed(&mut self) -> Option<u16> {
        loop {
            if let Frame::Close(code, reason) = self.next(LIMIT).await? {
                let _ = self.frames.send(&Frame::Close(code, reason)).await;
                return Some(code.unwrap_or(1005));
            }
        }
    }

    /// Closes as a good client does, and waits for the answer.
    pub async fn close(mut self, code: u16) -> Option<u16> {
        self.frame(&Frame::Close(Some(code), String::new())).await;
        self.closed().await
    }
}
