//! The attempt loop that every provider shares.
//!
//! Nothing reaches the client before the first event of worth, so a failure until then can still rotate. What a
//! failure means is the provider's word ([`Verdict`]); what follows from it is decided here, once.

mod dial;
mod failed;
mod service;

pub use failed::Failed;
pub use service::{Limits, Service};

use crate::{
    bridge,
    pool::{Denied, Grant, Wish},
    socket::Opened,
    story::Story,
    stream::Live,
    upstream::{Coming, whole},
};
use bytes::Bytes;
use pollux_dialect::Fault;
use pollux_sdk::{
    At, Call, Cause, Effect, Emit, Event, HeaderMap, Next, Refusal, Shape, StatusCode, Verdict,
};
use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

/// What the client gets.
#[derive(Debug)]
pub struct Answer {
    /// Status.
    pub status: StatusCode,
    /// Allowed headers.
    pub headers: HeaderMap,
    /// Body.
    pub body: Body,
}

/// Its body.
#[derive(Debug)]
pub enum Body {
    /// All of it.
    Whole(Bytes),
    /// Bit by bit; the lease and the story travel in it.
    Stream(Box<Live>),
    /// None: a socket stands.
    Socket(Box<Opened>),
}

/// One request on its way through the attempts.
#[derive(Debug)]
pub struct Relay {
    service: Arc<Service>,
    call: Arc<Call>,
    wish: Wish,
    /// Accounts that failed in a way that the same account would again.
    tried: Vec<i64>,
    /// Accounts worth a second try after the pause, if no other is free.
    pausing: Vec<(i64, Duration)>,
    last: Option<(Failed, Verdict)>,
}

/// What one attempt came to.
enum Outcome {
    Done(Answer),
    /// Upstream does not do this at all; nobody is to blame.
    Unoffered(Answer),
    Failed(Failed, Grant),
    Unprepared,
}

impl Relay {
    /// A relay for `call`.
    pub fn new(service: Arc<Service>, call: Arc<Call>, wish: Wish) -> Self {
        Self { service, call, wish, tried: Vec::new(), pausing: Vec::new(), last: None }
    }

    /// Serves the call; the story goes into a streamed answer, or is told here.
    pub async fn run(self, mut story: Story) -> Answer {
        let mut answer = self.attempts(&mut story).await;
        story.status = answer.status.as_u16();
        if let Body::Stream(live) = &mut answer.body {
            live.tell(story);
        }
        answer
    }

    /// Opens a socket upstream; the story goes on with it.
    pub async fn open(self, story: &mut Story) -> Answer {
        self.attempts(story).await
    }

    async fn attempts(mut self, story: &mut Story) -> Answer {
        for _ in 0..=self.service.limits.retries {
            let waiting = Instant::now();
            let acquired = self.acquire().await;
            story.metrics().waited(self.service.id(), waiting.elapsed());
            let grant = match acquired {
                Ok(grant) => grant,
                Err(denied) => return self.give_up(Some(denied), story),
            };
            story.attempts += 1;
            grant.label().clone_into(&mut story.credential);
            story.account = Some(grant.id());
            match self.attempt(grant, story).await {
                Ok(Outcome::Done(answer)) => {
                    story.metrics().served(self.service.id());
                    return answer;
                }
                Ok(Outcome::Unoffered(answer)) => return answer,
                Ok(Outcome::Unprepared) => {}
                Ok(Outcome::Failed(failed, grant)) => {
                    if let Some(answer) = self.judge(failed, grant, story) {
                        return answer;
                    }
                }
                Err(message) => {
                    story.verdict = "refused";
                    return fault_answer(&self.call, &Fault::bad_request(None, message));
                }
            }
        }
        self.give_up(None, story)
    }

    async fn acquire(&mut self) -> Result<Grant, Denied> {
        let denied = match self.service.pool.acquire(&self.wish, &self.tried).await {
            Err(denied) if !self.pausing.is_empty() => denied,
            other => return other,
        };
        // Nobody else is free: what failed in passing gets its second chance.
        let pause = self.pausing.iter().map(|(_, pause)| *pause).max().unwrap_or_default();
        tracing::debug!(?pause, ?denied, "no other credential is free, trying the same again");
        tokio::time::sleep(pause).await;
        let again: Vec<i64> = self.pausing.drain(..).map(|(id, _)| id).collect();
        self.tried.retain(|id| !again.contains(id));
        self.service.pool.acquire(&self.wish, &self.tried).await
    }

    /// One attempt. The outer error is about the client's request.
    async fn attempt(&mut self, mut grant: Grant, story: &mut Story) -> Result<Outcome, String> {
        let attempt = match self.service.provider.prepare(&self.call, &grant.lease()) {
            Ok(attempt) => attempt,
            Err(Refusal::Request(message)) => return Err(message),
            Err(Refusal::Credential(reason)) => {
                self.tried.push(grant.id());
                grant.settle(Effect::Suspend(reason));
                return Ok(Outcome::Unprepared);
            }
        };
        if self.call.shape == Shape::Socket {
            return Ok(self.dial(attempt, grant, story).await);
        }
        let limits = &self.service.limits;
        let coming = match self.service.upstream.open(attempt.request, grant.proxy(), limits.response).await {
            Ok(coming) => coming,
            Err(error) => {
                tracing::warn!(request_id = %story.id, error = %error.text, sent = error.sent, "upstream gave no reply");
                let cause = if error.sent { Cause::Lost } else { Cause::Unsent };
                return Ok(Outcome::Failed(Failed::without_reply(cause), grant));
            }
        };
        if let Some(quota) = self.service.provider.quota(&coming.headers) {
            grant.reading(&quota);
        }
        if !coming.status.is_success() {
            // A body that breaks off does not change what the status says.
            let body = whole(coming.body, limits.error_body_bytes, limits.idle).await.unwrap_or_default();
            let failed = Failed { cause: Cause::Status(coming.status), headers: coming.headers, body };
            return Ok(Outcome::Failed(failed, grant));
        }
        let live = Live::new(Arc::clone(&self.service), Arc::clone(&self.call), grant, attempt.reader);
        Ok(self.read(live, coming, attempt.answers, story).await)
    }

    /// Reads a 2xx reply up to the point where it may be delivered.
    async fn read(&self, mut live: Live, coming: Coming, answers: Shape, story: &mut Story) -> Outcome {
        let status = coming.status;
        let headers = bridge::allowed(&coming.headers, self.service.provider.descriptor().reply_headers);
        let limits = &self.service.limits;
        let whole_answer = if answers == Shape::Events {
            live.begin(coming.body, coming.headers);
            if live.shape() != Shape::Whole {
                return match live.peek().await {
                    Ok(()) => {
                        story.first_byte();
                        story.verdict = "streamed";
                        Outcome::Done(Answer { status, headers, body: Body::Stream(Box::new(live)) })
                    }
                    Err(failed) => Outcome::Failed(failed, live.give_back()),
                };
            }
            live.fold().await
        } else {
            match whole(coming.body, limits.answer_bytes, limits.response).await {
                Err(error) => {
                    tracing::warn!(request_id = %story.id, %error, "upstream's answer could not be read");
                    Err(Failed::without_reply(Cause::Lost))
                }
                Ok(body) => {
                    let step = live.read(Event { name: "", data: &body });
                    match (step.at, step.emit) {
                        (At::Fault, _) => Err(Failed { cause: Cause::Event, headers: coming.headers, body }),
                        (_, Emit::Data(data)) => Ok(data),
                        (_, Emit::Same) if is_document(&body) => Ok(body),
                        // Nothing at all, or a page of somebody in between: whatever it is, it is no answer.
                        (_, Emit::Same | Emit::Skip) => {
                            tracing::warn!(request_id = %story.id, bytes = body.len(), "upstream's answer is none");
                            Err(Failed::without_reply(Cause::Lost))
                        }
                    }
                }
            }
        };
        match whole_answer {
            Ok(body) => {
                story.usage = live.succeed();
                story.verdict = "served";
                story.first_byte();
                Outcome::Done(Answer { status, headers, body: Body::Whole(body) })
            }
            Err(failed) => Outcome::Failed(failed, live.give_back()),
        }
    }

    /// Asks the provider what a failure means and acts on it. `Some` ends the request.
    fn judge(&mut self, failed: Failed, grant: Grant, story: &mut Story) -> Option<Answer> {
        let verdict = failed.judge(self.service.provider.as_ref(), &self.call);
        let id = grant.id();
        story.metrics().failed(self.service.id(), &verdict);
        story.metrics().trouble(self.service.id(), Trouble(failed.cause));
        tracing::info!(
            request_id = %story.id,
            provider = self.service.provider.descriptor().id,
            credential = %grant.label(),
            attempt = story.attempts,
            cause = ?failed.cause,
            verdict = ?verdict.next,
            effect = ?verdict.effect,
            "attempt failed"
        );
        match (verdict.next, &verdict.effect) {
            // Cooling, refreshing and suspended accounts are not chosen anyway, and may come back in time.
            (Next::Rotate, Effect::Cool(..) | Effect::Refresh) | (Next::Deliver, _) => {}
            (Next::Rotate, _) => self.tried.push(id),
            (Next::Again(pause), _) => {
                self.tried.push(id);
                self.pausing.push((id, pause));
            }
        }
        let deliver = verdict.next == Next::Deliver;
        grant.settle(verdict.effect.clone());
        if deliver {
            story.verdict = "failed";
            return Some(failed.answer(&self.service, &self.call, &verdict, None));
        }
        self.last = Some((failed, verdict));
        None
    }

    /// No attempt is left: the upstream's own last failure, or why there was none.
    fn give_up(&mut self, denied: Option<Denied>, story: &mut Story) -> Answer {
        story.verdict = "exhausted";
        if let Some(denied) = denied {
            story.metrics().trouble(self.service.id(), denied.told());
        }
        match (self.last.take(), denied) {
            // Another account would serve this client, only not now.
            (
                Some((_, Verdict { effect: Effect::Unfit(_), .. })),
                Some(denied @ (Denied::Cooling(_) | Denied::Busy)),
            ) => fault_answer(&self.call, &denied.fault(&self.call, SystemTime::now())),
            (Some((failed, verdict)), denied) => {
                let soonest = denied.and_then(Denied::soonest);
                failed.answer(&self.service, &self.call, &verdict, soonest)
            }
            (None, denied) => {
                let fault = denied.unwrap_or(Denied::Empty).fault(&self.call, SystemTime::now());
                fault_answer(&self.call, &fault)
            }
        }
    }
}

/// A failed attempt in our own words.
struct Trouble(Cause);

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Cause::Status(status) => write!(f, "upstream answered {}", status.as_u16()),
            Cause::Event => f.write_str("upstream's answer was an error"),
            Cause::Unsent => f.write_str("upstream could not be reached"),
            _ => f.write_str("upstream broke off"),
        }
    }
}

/// Whether it begins as JSON documents do; what follows is the vendor's business.
fn is_document(body: &[u8]) -> bool {
    matches!(body.trim_ascii_start().first(), Some(b'{' | b'['))
}

/// An answer of our own, in the client's dialect.
pub fn fault_answer(call: &Call, fault: &Fault) -> Answer {
    failed::told(call.endpoint.dialect, fault)
}
