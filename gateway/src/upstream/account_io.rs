use super::{Profile, no_reply, pace::Pace, whole};
use bytes::Bytes;
use futures_util::StreamExt;
use pollux_sdk::{Io, Reply, Request, Unreachable, async_trait};
use std::time::{Duration, Instant, SystemTime};

/// Answers of token endpoints and enrolment are small.
const REPLY_CAP: usize = 4 << 20;
const TOTAL: Duration = Duration::from_secs(30);

/// The outside world of account operations: paced, capped, with a limit for each call.
#[derive(Debug)]
pub struct AccountIo {
    client: reqwest::Client,
    pace: Pace,
}

impl AccountIo {
    /// Connections of `profile`, at most `per_second` calls.
    ///
    /// # Errors
    /// Fails on a proxy that cannot be used.
    pub fn new(profile: &Profile, per_second: u32) -> Result<Self, reqwest::Error> {
        Ok(Self { client: profile.account_client(TOTAL)?, pace: Pace::new(per_second) })
    }
}

#[async_trait]
impl Io for AccountIo {
    async fn send(&self, request: Request) -> Result<Reply, Unreachable> {
        tokio::time::sleep(self.pace.turn(Instant::now())).await;
        let sent = self
            .client
            .request(request.method, request.url)
            .headers(request.headers)
            .body(request.body)
            .send()
            .await
            .map_err(|error| {
                let failed = no_reply(error);
                Unreachable { sent: failed.sent, text: failed.text }
            })?;
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
