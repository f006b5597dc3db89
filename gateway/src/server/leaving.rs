//! Notices that a client has gone while its answer is still to come.
//!
//! actix learns of it from a write that fails. An answer that is being thought about for a minute writes nothing, and
//! nobody should pay for what nobody waits for. A client that only closes its sending half counts as gone, too, as it
//! does with other proxies.

use actix_web::{HttpRequest, dev::Extensions};
use socket2::SockRef;
use std::{future::pending, io, mem::MaybeUninit, os::fd::AsFd, sync::Arc};
use tokio::{io::Interest, net::TcpStream};

/// A second handle on the socket of a connection. It goes when the connection does.
#[derive(Debug)]
struct Line(Arc<TcpStream>);

/// Watches one client for the time of one request.
#[derive(Debug, Default)]
pub struct Leaving(Option<Arc<TcpStream>>);

/// Keeps a handle on an accepted socket for its requests.
pub(super) fn remember(stream: &TcpStream, extensions: &mut Extensions) {
    let handle = stream.as_fd().try_clone_to_owned().map(std::net::TcpStream::from);
    if let Ok(handle) = handle.and_then(TcpStream::from_std) {
        extensions.insert(Line(Arc::new(handle)));
    }
}

impl Leaving {
    /// The client of `request`. Where it cannot be watched it is taken to stay.
    pub fn of(request: &HttpRequest) -> Self {
        Self(request.conn_data::<Line>().map(|line| Arc::clone(&line.0)))
    }

    /// Returns when the client is gone.
    pub async fn gone(&self) {
        let Some(line) = &self.0 else { return pending().await };
        loop {
            if line.ready(Interest::READABLE).await.is_err() {
                return pending().await;
            }
            let peek = || SockRef::from(&**line).peek(&mut [MaybeUninit::uninit()]);
            match line.try_io(Interest::READABLE, peek) {
                // Its next request, sent ahead: what comes behind it cannot be seen.
                Ok(1..) => return pending().await,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {} // nothing there, and noted as such
                Ok(0) | Err(_) => return,
            }
        }
    }
}
