//! WebSocket frames by hand (RFC 6455, RFC 7692), for the simulated vendor and for the kit's client.
//!
//! Not the gateway's library, so that a mistake of the one meets the other.

use std::io;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::{Buf as _, Bytes, BytesMut};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
use sha1::{Digest as _, Sha1};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// The extension as both use it here: each message is compressed by itself.
pub const DEFLATE: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

const LIMIT: usize = 256 << 20;
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

/// A message, or a control frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// A text.
    Text(Bytes),
    /// Bytes.
    Binary(Bytes),
    /// A question.
    Ping(Bytes),
    /// Its answer.
    Pong(Bytes),
    /// The end, with code and reason where told.
    Close(Option<u16>, String),
}

impl Frame {
    fn parts(&self) -> (u8, Vec<u8>) {
        match self {
            Self::Text(text) => (1, text.to_vec()),
            Self::Binary(bytes) => (2, bytes.to_vec()),
            Self::Close(None, _) => (8, Vec::new()),
            Self::Close(Some(code), reason) => (8, [&code.to_be_bytes(), reason.as_bytes()].concat()),
            Self::Ping(bytes) => (9, bytes.to_vec()),
            Self::Pong(bytes) => (10, bytes.to_vec()),
        }
    }

    /// A text of JSON.
    pub fn json(value: &serde_json::Value) -> Self {
        Self::Text(value.to_string().into())
    }
}

/// Which side we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// It masks.
    Client,
    /// It does not.
    Server,
}

/// The answer to a handshake's key.
pub fn accept(key: &str) -> String {
    let digest =
        Sha1::new().chain_update(key).chain_update("258EAFA5-E914-47DA-95CA-C5AB0DC85B11").finalize();
    STANDARD.encode(digest)
}

/// Frames over any connection.
#[derive(Debug)]
pub struct Frames<S> {
    stream: S,
    side: Side,
    deflate: bool,
    ahead: BytesMut,
    /// Kind and bytes of a message whose end is not there yet.
    partial: Option<(u8, bool, Vec<u8>)>,
    /// Messages that came compressed.
    pub compressed: usize,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Frames<S> {
    /// `ahead` is what was read behind the handshake.
    pub fn new(stream: S, side: Side, deflate: bool, ahead: BytesMut) -> Self {
        Self { stream, side, deflate, ahead, partial: None, compressed: 0 }
    }

    /// The connection.
    pub fn stream(&mut self) -> &mut S {
        &mut self.stream
    }

    /// The next message or control frame; nothing when the peer has closed the connection. Safe to cancel.
    pub async fn next(&mut self) -> io::Result<Option<Frame>> {
        loop {
            while let Some((first, payload)) = self.take()? {
                if let Some(frame) = self.frame(first, payload)? {
                    return Ok(Some(frame));
                }
            }
            if self.ahead.len() > LIMIT || self.stream.read_buf(&mut self.ahead).await? == 0 {
                return Ok(None);
            }
        }
    }

    /// Sends one, compressed where that was agreed.
    pub async fn send(&mut self, frame: &Frame) -> io::Result<()> {
        let bytes = encode(frame, self.side, self.deflate);
        self.stream.write_all(&bytes).await?;
        self.stream.flush().await
    }

    /// Sends bytes as they are.
    pub async fn send_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    fn take(&mut self) -> io::Result<Option<(u8, Vec<u8>)>> {
        let bytes = &self.ahead[..];
        let [first, second, ..] = *bytes else { return Ok(None) };
        let masked = second & 0x80 != 0;
        if masked != (self.side == Side::Server) {
            return Err(invalid("only clients mask"));
        }
        let (length, mut head) = match second & 0x7f {
            0x7e => (bytes.get(2..4).map(|raw| usize::from(u16::from_be_bytes([raw[0], raw[1]]))), 4),
            0x7f => {
                let raw = bytes.get(2..10).and_then(|raw| <[u8; 8]>::try_from(raw).ok());
                (raw.and_then(|raw| usize::try_from(u64::from_be_bytes(raw)).ok()), 10)
            }
            short => (Some(usize::from(short)), 2),
        };
        let Some(length) = length else { return Ok(None) };
        let mask = if masked { bytes.get(head..head + 4) } else { Some(&[0; 4][..]) };
        let Some(mask) = mask.map(<[u8]>::to_vec) else { return Ok(None) };
        head += if masked { 4 } else { 0 };
        if bytes.len() < head + length {
            return Ok(None);
        }
        self.ahead.advance(head);
        let mut payload = self.ahead.split_to(length).to_vec();
        payload.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
        Ok(Some((first, payload)))
    }

    fn frame(&mut self, first: u8, payload: Vec<u8>) -> io::Result<Option<Frame>> {
        let (last, packed, kind) = (first & 0x80 != 0, first & 0x40 != 0, first & 0x0f);
        if first & 0x30 != 0 || packed && !self.deflate {
            return Err(invalid("a reserved bit is set"));
        }
        match kind {
            8 => {
                let code = payload.get(..2).map(|code| u16::from_be_bytes([code[0], code[1]]));
                let reason = String::from_utf8_lossy(payload.get(2..).unwrap_or_default()).into_owned();
                return Ok(Some(Frame::Close(code, reason)));
            }
            9 => return Ok(Some(Frame::Ping(payload.into()))),
            10 => return Ok(Some(Frame::Pong(payload.into()))),
            _ => {}
        }
        let (kind, packed, mut all) = match (kind, self.partial.take()) {
            (0, Some(partial)) => partial,
            (1 | 2, None) => (kind, packed, Vec::new()),
            _ => return Err(invalid("fragments out of order")),
        };
        all.extend(payload);
        if !last {
            self.partial = Some((kind, packed, all));
            return Ok(None);
        }
        if packed {
            self.compressed += 1;
            all = inflate(&all)?;
        }
        Ok(Some(if kind == 1 { Frame::Text(all.into()) } else { Frame::Binary(all.into()) }))
    }
}

/// A frame as it travels.
pub fn encode(frame: &Frame, side: Side, deflate: bool) -> Vec<u8> {
    let (kind, mut payload) = frame.parts();
    let packed = deflate && kind < 8;
    if packed {
        payload = compress(&payload);
    }
    let mask = if side == Side::Client { 0x80 } else { 0 };
    let mut out = vec![0x80 | if packed { 0x40 } else { 0 } | kind];
    match u16::try_from(payload.len()) {
        Ok(length @ ..126) => out.push(mask | u8::try_from(length).unwrap_or_default()),
        Ok(length) => {
            out.push(mask | 0x7e);
            out.extend(length.to_be_bytes());
        }
        Err(_) => {
            out.push(mask | 0x7f);
            out.extend((payload.len() as u64).to_be_bytes());
        }
    }
    if side == Side::Client {
        let mask: [u8; 4] = rand::random();
        out.extend(mask);
        payload.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
    }
    out.extend(payload);
    out
}

fn compress(plain: &[u8]) -> Vec<u8> {
    let mut deflate = Compress::new(Compression::fast(), false);
    let mut out = Vec::with_capacity(plain.len() / 2 + 64);
    loop {
        let taken = usize::try_from(deflate.total_in()).unwrap_or(usize::MAX);
        let done = deflate.compress_vec(&plain[taken..], &mut out, FlushCompress::Sync);
        if done.is_err() || taken == plain.len() && out.ends_with(&TAIL) {
            break;
        }
        out.reserve(4096);
    }
    out.truncate(out.len().saturating_sub(TAIL.len()));
    out
}

fn inflate(packed: &[u8]) -> io::Result<Vec<u8>> {
    let packed = [packed, &TAIL].concat();
    let mut inflate = Decompress::new(false);
    let mut out = Vec::with_capacity(packed.len() * 4);
    loop {
        let taken = usize::try_from(inflate.total_in()).unwrap_or(usize::MAX);
        let room = out.capacity() - out.len();
        inflate
            .decompress_vec(&packed[taken..], &mut out, FlushDecompress::Sync)
            .map_err(io::Error::other)?;
        if out.len() > LIMIT {
            return Err(invalid("too large"));
        }
        if inflate.total_in() == packed.len() as u64 && out.len() < out.capacity() && room > 0 {
            return Ok(out);
        }
        out.reserve(64 << 10);
    }
}

fn invalid(reason: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn frames_of_every_size_arrive_as_they_were() {
        assert_eq!(accept("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        for deflate in [false, true] {
            let (one, other) = tokio::io::duplex(1 << 22);
            let mut client = Frames::new(one, Side::Client, deflate, BytesMut::new());
            let mut server = Frames::new(other, Side::Server, deflate, BytesMut::new());
            for size in [0, 1, 125, 126, 70_000, 1_000_000] {
                let noise: Vec<u8> = (0..251).cycle().take(size).collect();
                for frame in [Frame::Binary(noise.clone().into()), Frame::Text("x".repeat(size).into())] {
                    client.send(&frame).await.unwrap();
                    assert_eq!(server.next().await.unwrap(), Some(frame.clone()), "{size}");
                    server.send(&frame).await.unwrap();
                    assert_eq!(client.next().await.unwrap(), Some(frame));
                }
            }
            let close = Frame::Close(Some(1012), "later".into());
            server.send(&close).await.unwrap();
            assert_eq!(client.next().await.unwrap(), Some(close));
            assert_eq!(server.compressed > 0, deflate);
        }
    }
}
