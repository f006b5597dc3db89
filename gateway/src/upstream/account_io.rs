use super::{Profile, no_reply, pace::Pace, proxies::Clients, whole};
use bytes::Bytes;
use futures_util::StreamExt;
use pollux_sdk::{Io, Reply, Request, Secret, Unreachable, async_trait};
use std::time::{Duration, Instant, SystemTime};

/// Answers of token endpoints and enrolment are small.
const REPLY_CAP: usize = 4 << 20;
const TOTAL: Duration = Duration::from_secs(30);

/// The outside world of account operations: paced, capped, with a limit for each call.
#[derive(Debug)]
pub struct AccountIo {
    clients: Clients,
    pace: Pace,
}

/// The same, by one account's own proxy where it has one.
#[derive(Debug)]
pub struct Way<'a> {
    io: &'a AccountIo,
    proxy: Option<&'a Secret>,
}

impl AccountIo {
    /// Connections of `profile`, at most `per_second` calls.
    ///
    /// # Errors
    /// Fails on a proxy that cannot be used.
    pub fn new(profile: &Profile, per_second: u32) -> Result<Self, reqwest::Error> {
        let clients = Clients::new(profile, |profile| profile.account_client(TOTAL))?;
        Ok(Self { clients, pace: Pace::new(per_second) })
    }

    /// The way of an account.
    pub fn by<'a>(&'a self, proxy: Option<&'a Secret>) -> Way<'a> {
        Way { io: self, proxy }
    }
}

#[async_trait]
impl Io for Way<'_> {
    async fn send(&self, request: Request) -> Result<Reply, Unreachable> {
        let unreachable = |error| {
            let failed = no_reply(error);
            Unreachable { sent: failed.sent, text: failed.text }
        };
        let client = self.io.clients.by(self.proxy).map_err(unreachable)?;
        tokio::time::sleep(self.io.pace.turn(Instant::now())).await;
        let sent = client
            .request(request.method, request.url)
            .headers(request.headers)
            .body(request.body)
            .send()
            .await
            .map_err(unreachable)?;
        let (status, headers) = (sent.status(), sent.headers().clone());
        match whole(sent.bytes_stream().boxed(), REPLY_CAP, TOTAL).await {
            Ok(body) => Ok(Reply { status, headers, body }),
            // A refusal is a refusal without its body, too; only a success is lost with it.
            Err(_) if !status.is_success() => Ok(Reply { status, headers, body: Bytes::new() }),
            Err(error) => Err(Unreachable { sent: true, text: error.to_string() }),
        }
    }

    async fn pause(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    fn now(&self) -> SystemTime {
        SystemTime::now()
    }
}
