//! A socket under full control, for clients that are slow, rude or broken.

use std::fmt::Write as _;
use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How the other side ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closing {
    /// It closed (FIN).
    Closed,
    /// It reset (RST).
    Reset,
    /// It has not ended within the limit.
    Open,
}

/// A plain TCP connection.
#[derive(Debug)]
pub struct Raw {
    stream: TcpStream,
}

impl Raw {
    /// Connects to the host and port of a URL.
    pub async fn connect(url: &str) -> io::Result<Self> {
        let authority = url.trim_start_matches("http://").split('/').next().unwrap_or_default();
        let stream = TcpStream::connect(authority).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream })
    }

    /// A request as text, with host and content length filled in.
    pub fn request(method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
        let mut request =
            format!("{method} {target} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n", body.len());
        for (name, value) in headers {
            let _ = write!(request, "{name}: {value}\r\n");
        }
        request.push_str("\r\n");
        [request.as_bytes(), body].concat()
    }

    /// Sends all of it.
    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// Sends it in pieces, pausing after each.
    pub async fn send_slowly(&mut self, bytes: &[u8], piece: usize, pause: Duration) -> io::Result<()> {
        for piece in bytes.chunks(piece.max(1)) {
            self.stream.write_all(piece).await?;
            tokio::time::sleep(pause).await;
        }
        Ok(())
    }

    /// Reads until the text has come, and returns all that came; less when the limit or the end comes first.
    pub async fn read_until(&mut self, text: &str, limit: Duration) -> Vec<u8> {
        let mut all = Vec::new();
        let reading = async {
            while !all.windows(text.len().max(1)).any(|window| window == text.as_bytes()) {
                match self.stream.read_buf(&mut all).await {
                    Ok(0) | Err(_) => return,
                    Ok(_) => {}
                }
            }
        };
        let _ = tokio::time::timeout(limit, reading).await;
        all
    }

    /// Reads to the end, or as long as the limit.
    pub async fn read_to_end(&mut self, limit: Duration) -> (Vec<u8>, Closing) {
        let mut all = Vec::new();
        let reading = async {
            loop {
                match self.stream.read_buf(&mut all).await {
                    Ok(0) => return Closing::Closed,
                    Err(_) => return Closing::Reset,
                    Ok(_) => {}
                }
            }
        };
        let closing = tokio::time::timeout(limit, reading).await.unwrap_or(Closing::Open);
        (all, closing)
    }

    /// Closes the sending side and keeps reading.
    pub async fn finish(&mut self) -> io::Result<()> {
        self.stream.shutdown().await
    }

    /// Resets the connection.
    pub fn reset(self) {
        let _ = self.stream.set_zero_linger();
    }
}
