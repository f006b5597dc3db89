//! One side of a socket: messages in and out, each write within a limit.

use super::close::Close;
use bytes::Bytes;
use futures_util::SinkExt;
use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    rc::Rc,
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::{Instant, timeout},
};
use tokio_util::io::InspectReader;
use yawc::{
    CompressionLevel, Frame, Options, Role, WebSocket, WebSocketError, close::CloseCode, frame::OpCode,
};

/// The largest message, inflated.
pub const MESSAGE_BYTES: usize = 64 << 20;
/// Smaller messages are not worth their compression.
const DEFLATE_BYTES: usize = 1024;
/// What control frames come to at most, a few at a time.
const PONG_BYTES: usize = 1024;
/// A side that takes no byte for so long is gone.
const WRITE_LIMIT: Duration = Duration::from_mins(2);
/// For the other side to close, too.
const FAREWELL: Duration = Duration::from_secs(1);

/// A side. Reading and writing go on at once, within one task.
pub struct Side<S> {
    socket: RefCell<WebSocket<Noting<S>>>,
    received: Received,
    sending: Cell<u32>,
    /// Its close is on its way already.
    closing: Cell<bool>,
}

/// When the last byte came, and how many since the last message.
type Received = Rc<Cell<(Instant, usize)>>;
/// A connection that notes what comes.
type Noting<S> = InspectReader<S, Box<dyn FnMut(&[u8])>>;

/// What a side says.
#[derive(Debug, PartialEq, Eq)]
pub enum Message {
    /// A text.
    Text(Bytes),
    /// Anything else.
    Binary,
    /// Its last word.
    Closed(Close),
}

/// A side takes no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unsent {
    /// It is gone.
    Gone,
    /// It is there and reads nothing.
    Stalled,
}

struct Sending<'a>(&'a Cell<u32>);

impl Drop for Sending<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Side<S> {
    /// A side that has said all before the first frame.
    pub fn new(io: S, role: Role, extension: Option<&str>) -> Result<Self, WebSocketError> {
        // yawc takes what is smaller than its limits.
        let options = Options::default()
            .with_limits(MESSAGE_BYTES + 1, MESSAGE_BYTES + 1)
            .with_compression_level(CompressionLevel::fast())
            .with_compression_threshold(DEFLATE_BYTES);
        let received: Received = Rc::new(Cell::new((Instant::now(), 0)));
        let noted = Rc::clone(&received);
        let note = move |bytes: &[u8]| noted.set((Instant::now(), noted.get().1.saturating_add(bytes.len())));
        let io = InspectReader::new(io, Box::new(note) as Box<dyn FnMut(&[u8])>);
        let socket = WebSocket::from_stream_with_extensions(io, role, extension, options)?;
        Ok(Self { socket: RefCell::new(socket), received, sending: Cell::new(0), closing: Cell::new(false) })
    }

    /// When anything came from it last.
    pub fn heard(&self) -> Instant {
        self.received.get().0
    }

    /// Whether a message is on its way, and not just a pong.
    pub fn is_receiving(&self) -> bool {
        self.received.get().1 > PONG_BYTES
    }

    /// Whether it has yet to take something.
    pub fn is_sending(&self) -> bool {
        self.sending.get() > 0
    }

    /// Its next message. Pings are answered here. Safe to cancel.
    pub async fn next(&self) -> Result<Message, WebSocketError> {
        loop {
            let next = poll_fn(|cx| self.socket.borrow_mut().poll_next_frame(cx)).await;
            let frame = next.inspect_err(|error| {
                // yawc says goodbye itself, but not where fragments are out of order.
                self.closing.set(!matches!(error, WebSocketError::InvalidFragment));
            })?;
            self.received.set((self.heard(), 0));
            match frame.opcode() {
                OpCode::Text => {
                    let text = frame.into_payload();
                    return match std::str::from_utf8(&text) {
                        Ok(_) => Ok(Message::Text(text)),
                        Err(_) => Err(WebSocketError::InvalidUTF8),
                    };
                }
                OpCode::Binary => return Ok(Message::Binary),
                OpCode::Close => {
                    self.closing.set(true);
                    let code = frame.close_code().map_or(1005, u16::from);
                    let reason = frame.close_reason().ok().flatten().unwrap_or_default();
                    return Ok(Message::Closed(Close::new(code, reason)));
                }
                // Or the pongs of one who never reads would pile up.
                OpCode::Ping => drop(self.written(self.ready()).await),
                OpCode::Pong | OpCode::Continuation => {}
            }
        }
    }

    /// Sends a text.
    pub async fn text(&self, text: Bytes) -> Result<(), Unsent> {
        self.send(Frame::text(text)).await
    }

    /// Asks whether it is there.
    pub async fn ping(&self) -> Result<(), Unsent> {
        self.send(Frame::ping(Bytes::new())).await
    }

    async fn send(&self, frame: Frame) -> Result<(), Unsent> {
        let send = async {
            self.ready().await?;
            self.socket.borrow_mut().start_send_unpin(frame)?;
            poll_fn(|cx| self.socket.borrow_mut().poll_flush_unpin(cx)).await
        };
        self.written(send).await
    }

    /// Room for a frame; what is owed (pongs, an echoed close) has left then.
    async fn ready(&self) -> Result<(), WebSocketError> {
        poll_fn(|cx| self.socket.borrow_mut().poll_ready_unpin(cx)).await
    }

    async fn written(&self, write: impl Future<Output = Result<(), WebSocketError>>) -> Result<(), Unsent> {
        self.sending.set(self.sending.get() + 1);
        let _sending = Sending(&self.sending);
        match timeout(WRITE_LIMIT, write).await {
            Ok(written) => written.map_err(|_| Unsent::Gone),
            Err(_) => Err(Unsent::Stalled),
        }
    }

    /// Says goodbye and waits a moment for the answer.
    pub async fn close(&self, close: &Close) {
        let goodbye = async {
            if self.closing.get() {
                drop(self.ready().await);
            } else {
                let frame = Frame::close(CloseCode::from(close.code), &close.reason);
                let mut open = self.send(frame).await.is_ok();
                while open {
                    open = !matches!(self.next().await, Ok(Message::Closed(_)) | Err(_));
                }
            }
            drop(poll_fn(|cx| self.socket.borrow_mut().poll_close_unpin(cx)).await);
        };
        drop(timeout(FAREWELL, goodbye).await);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    const DEFLATE: Option<&str> =
        Some("permessage-deflate; server_no_context_takeover; client_no_context_takeover");

    #[tokio::test]
    async fn both_sides_understand_each_other_compressed_or_not() {
        for extension in [None, DEFLATE] {
            let (ours, theirs) = duplex(1 << 20);
            let server = Side::new(ours, Role::Server, extension).unwrap();
            let client = Side::new(theirs, Role::Client, extension).unwrap();
            for size in [0, 5, 5000, 300_000] {
                let text = Bytes::from(vec![b'x'; size]);
                client.text(text.clone()).await.unwrap();
                assert_eq!(server.next().await.unwrap(), Message::Text(text.clone()));
                server.text(text.clone()).await.unwrap();
                assert_eq!(client.next().await.unwrap(), Message::Text(text));
            }
        }
    }

    #[tokio::test]
    async fn a_bomb_is_stopped_at_the_limit() {
        let (ours, mut theirs) = duplex(1 << 20);
        let server = Side::new(ours, Role::Server, DEFLATE).unwrap();
        let mut deflate = flate2::Compress::new(flate2::Compression::best(), false);
        let (plain, mut packed) = (vec![0; MESSAGE_BYTES + 1], Vec::with_capacity(1 << 20));
        deflate.compress_vec(&plain, &mut packed, flate2::FlushCompress::Sync).unwrap();
        packed.truncate(packed.len() - 4);
        let length = u64::try_from(packed.len()).unwrap().to_be_bytes();
        let frame = [&[0xc1, 0xff][..], &length, &[0; 4], &packed].concat();
        theirs.write_all(&frame).await.unwrap();
        assert!(matches!(server.next().await, Err(WebSocketError::FrameTooLarge)));
        server.close(&Close::new(1009, "")).await;
        let mut told = Vec::new();
        theirs.read_buf(&mut told).await.unwrap();
        assert_eq!((told[0], &told[2..4]), (0x88, &1009u16.to_be_bytes()[..]));
    }

    #[tokio::test]
    async fn a_text_that_is_none_is_refused() {
        let (ours, mut theirs) = duplex(1 << 10);
        let server = Side::new(ours, Role::Server, None).unwrap();
        theirs.write_all(&[0x81, 0x82, 0, 0, 0, 0, 0xff, 0xfe]).await.unwrap();
        assert!(matches!(server.next().await, Err(WebSocketError::InvalidUTF8)));
    }
}
