//! The one place that knows an HTTP client.
//!
//! The relay sees [`Upstream`], account operations see [`pollux_sdk::Io`]; proxies, timeouts, caps and pacing
//! are behind both.

mod account_io;
mod client;
mod pace;
mod proxies;
mod socket;

pub use account_io::AccountIo;
pub use client::{Profile, install_crypto};
pub use proxies::{is_proxy, shown};
pub use socket::{Dialled, Wire};

use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, stream::BoxStream};
use pollux_sdk::{HeaderMap, Request, Secret, StatusCode};
use proxies::Clients;
use std::{fmt, time::Duration};
use tokio::time::timeout;

/// The transport of one provider's relayed requests.
#[derive(Debug)]
pub struct Upstream {
    clients: Clients,
    /// Upgrades are a matter of HTTP/1.1.
    sockets: Clients,
}

/// A reply whose body is still coming.
pub struct Coming {
    /// Status.
    pub status: StatusCode,
    /// Headers.
    pub headers: HeaderMap,
    /// Body; an error is a broken connection.
    pub body: BoxStream<'static, Result<Bytes, reqwest::Error>>,
}

impl fmt::Debug for Coming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Coming").field("status", &self.status).finish_non_exhaustive()
    }
}

/// Why nothing came.
#[derive(Debug, Clone)]
pub struct NoReply {
    /// Whether the request may have reached upstream.
    pub sent: bool,
    /// For the log.
    pub text: String,
}

/// Why a body could not be read to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// The connection broke.
    #[error("the connection broke off")]
    Broken,
    /// More bytes than the cap.
    #[error("the body is larger than the limit")]
    TooLarge,
    /// It took too long.
    #[error("the body did not come in time")]
    Slow,
}

impl Upstream {
    /// A transport with this profile.
    ///
    /// # Errors
    /// Fails on a proxy that cannot be used.
    pub fn new(profile: &Profile) -> Result<Self, reqwest::Error> {
        let sockets = Profile { multiplexing: false, ..profile.clone() };
        Ok(Self {
            clients: Clients::new(profile, Profile::client)?,
            sockets: Clients::new(&sockets, Profile::client)?,
        })
    }

    /// Sends, by the account's own proxy where it has one, and waits for the head.
    ///
    /// # Errors
    /// Says whether the request may have reached upstream.
    pub async fn open(
        &self,
        request: Request,
        proxy: Option<&Secret>,
        limit: Duration,
    ) -> Result<Coming, NoReply> {
        let client = self.clients.by(proxy).map_err(no_reply)?;
        let sent = client.request(request.method, request.url).headers(request.headers);
        head(sent.body(request.body), limit).await.map(Coming::from)
    }
}

async fn head(request: reqwest::RequestBuilder, limit: Duration) -> Result<reqwest::Response, NoReply> {
    timeout(limit, request.send())
        .await
        .map_err(|_| NoReply { sent: true, text: format!("no answer within {limit:?}") })?
        .map_err(no_reply)
}

impl From<reqwest::Response> for Coming {
    fn from(reply: reqwest::Response) -> Self {
        let (status, headers) = (reply.status(), reply.headers().clone());
        Self { status, headers, body: reply.bytes_stream().boxed() }
    }
}

fn no_reply(error: reqwest::Error) -> NoReply {
    let sent = !(error.is_connect() || error.is_builder());
    NoReply { sent, text: chain(&error.without_url()) }
}

/// An error with its causes, for the log.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// Reads a body to its end.
///
/// # Errors
/// Fails when it breaks off, grows beyond `cap` bytes, or takes longer than `limit`.
pub async fn whole(
    mut body: BoxStream<'static, Result<Bytes, reqwest::Error>>,
    cap: usize,
    limit: Duration,
) -> Result<Bytes, BodyError> {
    let read = async {
        let Some(first) = body.next().await else { return Ok(Bytes::new()) };
        let first = first.map_err(|_| BodyError::Broken)?;
        let Some(second) = body.next().await else { return fits(first, cap) };
        let mut all = BytesMut::from(first);
        let mut next = Some(second);
        while let Some(chunk) = next {
            let chunk = chunk.map_err(|_| BodyError::Broken)?;
            if all.len() + chunk.len() > cap {
                return Err(BodyError::TooLarge);
            }
            all.extend_from_slice(&chunk);
            next = body.next().await;
        }
        fits(all.freeze(), cap)
    };
    timeout(limit, read).await.unwrap_or(Err(BodyError::Slow))
}

fn fits(bytes: Bytes, cap: usize) -> Result<Bytes, BodyError> {
    if bytes.len() > cap { Err(BodyError::TooLarge) } else { Ok(bytes) }
}
