//! The outside world as a list of replies.

use bytes::Bytes;
use pollux_sdk::{HeaderMap, Io, Reply, Request, StatusCode, Unreachable, async_trait};
use std::{
    collections::VecDeque,
    pin::pin,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Who asks more often than this, or waits longer, never ends.
const MOST_CALLS: usize = 100;
const LONGEST_PAUSE: Duration = Duration::from_mins(10);

type Outcome = Result<Reply, Unreachable>;

/// Gives each reply once, then the last one for ever, and keeps what was sent.
#[derive(Debug)]
pub(super) struct Script {
    replies: Mutex<VecDeque<Outcome>>,
    sent: Mutex<Vec<Request>>,
    paused: Mutex<Duration>,
}

impl Script {
    pub(super) fn always(outcome: Outcome) -> Self {
        Self { replies: Mutex::new([outcome].into()), sent: Mutex::default(), paused: Mutex::default() }
    }
    pub(super) fn replying(status: u16, body: impl Into<Bytes>) -> Self {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self::always(Ok(Reply { status, headers: HeaderMap::new(), body: body.into() }))
    }
    pub(super) fn unreachable(sent: bool) -> Self {
        Self::always(Err(Unreachable { sent, text: "as the script has it".to_owned() }))
    }
    pub(super) fn sent(&self) -> Vec<Request> {
        locked(&self.sent).clone()
    }
}

#[async_trait]
impl Io for Script {
    async fn send(&self, request: Request) -> Outcome {
        let count = {
            let mut sent = locked(&self.sent);
            sent.push(request);
            sent.len()
        };
        if count > MOST_CALLS {
            std::future::pending::<()>().await;
        }
        let mut replies = locked(&self.replies);
        let next = if replies.len() > 1 { replies.pop_front() } else { replies.front().cloned() };
        next.unwrap_or_else(|| Err(Unreachable { sent: true, text: "the script is over".to_owned() }))
    }
    async fn pause(&self, time: Duration) {
        let total = {
            let mut paused = locked(&self.paused);
            *paused = paused.saturating_add(time);
            *paused
        };
        if total > LONGEST_PAUSE {
            std::future::pending::<()>().await;
        }
    }
    fn now(&self) -> SystemTime {
        now()
    }
}

/// The time of all checks.
pub(super) fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_795_000_000)
}

/// Runs what waits for nothing but the script, which never waits.
pub(super) fn run<T>(future: impl Future<Output = T>) -> Result<T, String> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Ok(value),
        Poll::Pending => Err(format!(
            "it does not end: it waits for something other than `Io`, calls more than {MOST_CALLS} times, \
             or pauses for more than {LONGEST_PAUSE:?}"
        )),
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
