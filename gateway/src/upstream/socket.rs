//! Opens sockets: the same proxies, roots and time limits as for requests.

use super::{Coming, NoReply, Upstream, head, no_reply};
use crate::socket::handshake::{self, OFFER};
use pollux_sdk::{HeaderMap, HeaderValue, Request, Secret, StatusCode};
use std::{fmt, time::Duration};

/// For the whole of a handshake.
const HANDSHAKE: Duration = Duration::from_secs(30);

/// What came of a handshake.
#[derive(Debug)]
pub enum Dialled {
    /// The socket stands.
    Open(Wire),
    /// Upstream answered as a plain HTTP server.
    Refused(Coming),
}

/// A connection that carries frames.
pub struct Wire {
    /// The connection.
    pub io: reqwest::Upgraded,
    /// Headers of the 101.
    pub headers: HeaderMap,
    /// The extension agreed on.
    pub extension: Option<String>,
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire").field("extension", &self.extension).finish_non_exhaustive()
    }
}

impl Upstream {
    /// Opens a socket, by the account's own proxy where it has one.
    ///
    /// # Errors
    /// Says whether the request may have reached upstream.
    pub async fn dial(&self, request: Request, proxy: Option<&Secret>) -> Result<Dialled, NoReply> {
        let key = handshake::new_key();
        let client = self.sockets.by(proxy).map_err(no_reply)?;
        let asked = client.request(request.method, request.url).headers(request.headers);
        let asked = asked
            .header("connection", "Upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-extensions", HeaderValue::from_static(OFFER))
            .header("sec-websocket-key", &key);
        let reply = head(asked, HANDSHAKE).await?;
        if reply.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Ok(Dialled::Refused(reply.into()));
        }
        let headers = reply.headers().clone();
        let agreed = handshake::agreed(&headers, &key);
        let extension = agreed.map_err(|text| NoReply { sent: true, text: text.to_owned() })?;
        let io = reply.upgrade().await.map_err(no_reply)?;
        Ok(Dialled::Open(Wire { io, headers, extension }))
    }
}
