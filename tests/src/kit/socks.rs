//! A SOCKS5 proxy that remembers who went where.

use std::io;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// The proxy, gone when dropped.
#[derive(Debug)]
pub struct Socks {
    port: u16,
    seen: Arc<Mutex<Vec<(String, u16)>>>,
    task: JoinHandle<()>,
}

impl Socks {
    /// Starts one that asks for a user and takes any password but an empty one.
    pub async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        let seen: Arc<Mutex<Vec<(String, u16)>>> = Arc::default();
        let record = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            // Connections end with the proxy.
            let mut open = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let record = Arc::clone(&record);
                open.spawn(async move { drop(relay(stream, &record).await) });
            }
        });
        Ok(Self { port, seen, task })
    }

    /// Its address for this user.
    pub fn url(&self, user: &str) -> String {
        format!("socks5://{user}:proxy-password@127.0.0.1:{}", self.port)
    }

    /// Users and the ports they were connected to, in order.
    pub fn seen(&self) -> Vec<(String, u16)> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Socks {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// RFC 1928 with RFC 1929, CONNECT to IPv4 addresses and names only.
async fn relay(mut stream: TcpStream, seen: &Mutex<Vec<(String, u16)>>) -> io::Result<()> {
    let refused = || io::Error::other("not what this proxy speaks");
    let methods = {
        let _version = stream.read_u8().await?;
        text(&mut stream).await?
    };
    if !methods.contains(&2) {
        stream.write_all(&[5, 0xff]).await?;
        return Err(refused());
    }
    stream.write_all(&[5, 2]).await?;
    let _version = stream.read_u8().await?;
    let user = String::from_utf8_lossy(&text(&mut stream).await?).into_owned();
    let fine = !text(&mut stream).await?.is_empty();
    stream.write_all(&[1, u8::from(!fine)]).await?;
    let mut head = [0; 4];
    stream.read_exact(&mut head).await?;
    let host = match head[3] {
        1 => {
            let mut address = [0; 4];
            stream.read_exact(&mut address).await?;
            Ipv4Addr::from(address).to_string()
        }
        3 => String::from_utf8_lossy(&text(&mut stream).await?).into_owned(),
        _ => return Err(refused()),
    };
    let port = stream.read_u16().await?;
    let mut target = TcpStream::connect((host.as_str(), port)).await?;
    seen.lock().unwrap_or_else(PoisonError::into_inner).push((user, port));
    stream.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await?;
    copy_bidirectional(&mut stream, &mut target).await.map(drop)
}

/// Bytes with their length before them.
async fn text(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let length = stream.read_u8().await?;
    let mut bytes = vec![0; usize::from(length)];
    stream.read_exact(&mut bytes).await?;
    Ok(bytes)
}
