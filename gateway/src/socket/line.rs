//! The two directions of a socket, and what ends it.
//!
//! Each direction reads its next message when the last one is written, so a side that does not read stops the other
//! one, and nobody else.

use super::{
    close::{Close, End, Farewell, Party, code_of, farewell},
    open::vendor_side,
    side::{Message, Side, Unsent},
    state::{State, call_for},
    turn::Turn,
};
use crate::{
    pool::{Grant, Standing, Wish},
    relay::{Answer, Body, Relay, Service},
    serve::{Context, Phase, unserved},
    story::Story,
};
use bytes::Bytes;
use pollux_dialect::{Fault, asks, error_frame};
use pollux_sdk::{Call, Effect, Payload, Refusal};
use std::{
    cell::{Cell, RefCell},
    pin::Pin,
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::Notify,
    time::{MissedTickBehavior, interval},
};

/// Answers under way at once; vendors give them one by one.
const MOST_TURNS: usize = 8;
/// A side that answers so many pings in a row with silence is gone.
const SILENT_PINGS: u32 = 3;
const SHORTEST_BEAT: Duration = Duration::from_millis(50);

/// The client's connection.
pub(super) type Client = Pin<Box<dyn Connection>>;

/// Bytes in and out.
pub(super) trait Connection: AsyncRead + AsyncWrite {}

impl<T: AsyncRead + AsyncWrite> Connection for T {}

/// A socket at work.
pub(super) struct Line {
    pub(super) context: Arc<Context>,
    pub(super) service: Arc<Service>,
    /// The handshake's.
    pub(super) call: Arc<Call>,
    pub(super) wish: Wish,
    pub(super) client: Side<Client>,
    pub(super) vendor: Side<reqwest::Upgraded>,
    pub(super) state: RefCell<State>,
    /// An answer is over.
    pub(super) over: Notify,
    pub(super) count: Cell<u64>,
    /// The socket's own.
    pub(super) story: Story,
}

/// Why the directions pause.
enum Pause {
    End(End),
    /// The account cannot serve this frame; nothing ties it to the account.
    Elsewhere(Bytes),
}

/// What becomes of a client's frame.
enum Admitted {
    Pass(Bytes),
    Refused(Bytes),
    Elsewhere,
    Spent,
}

impl Line {
    pub(super) async fn run(mut self) {
        let end = loop {
            let pause = tokio::select! {
                biased;
                pause = self.up() => pause,
                end = self.down() => Pause::End(end),
                end = self.watch() => Pause::End(end),
                end = self.ping() => Pause::End(end),
            };
            match pause {
                Pause::End(end) => break end,
                Pause::Elsewhere(frame) => {
                    if let Err(end) = self.move_on(frame).await {
                        break end;
                    }
                }
            }
        };
        self.leave(&end).await;
    }

    /// From the client to upstream.
    async fn up(&self) -> Pause {
        loop {
            let text = match self.client.next().await {
                Ok(Message::Text(text)) => text,
                Ok(Message::Binary) => return Pause::End(End::Misuse(1003, "only text frames are taken")),
                Ok(Message::Closed(close)) => return Pause::End(End::Client(Some(close.code))),
                Err(error) => {
                    let end = code_of(&error).map_or(End::Client(None), |(code, why)| End::Misuse(code, why));
                    return Pause::End(end);
                }
            };
            let sent = match self.admit(&text, true) {
                Admitted::Pass(frame) => self.to_vendor(frame).await,
                Admitted::Refused(error) => self.to_client(error).await,
                Admitted::Elsewhere => return Pause::Elsewhere(text),
                Admitted::Spent => Err(End::Spent),
            };
            if let Err(end) = sent {
                return Pause::End(end);
            }
        }
    }

    /// From upstream to the client.
    async fn down(&self) -> End {
        loop {
            let data = match self.vendor.next().await {
                Ok(Message::Text(data)) => data,
                Ok(Message::Closed(close)) => return End::Vendor(close),
                Ok(Message::Binary) => return End::Lost,
                Err(error) => {
                    tracing::info!(request_id = %self.story.id, %error, "upstream's socket broke");
                    return End::Lost;
                }
            };
            let heard = self.state.borrow_mut().hear(&self.service, &self.call, &data);
            if heard.spent {
                return End::Spent;
            }
            if let Some(text) = heard.text
                && let Err(end) = self.to_client(text).await
            {
                return end;
            }
            if heard.over {
                drop(self.state.borrow_mut().turns.pop_front());
                self.over.notify_one();
            }
        }
    }

    async fn to_client(&self, text: Bytes) -> Result<(), End> {
        self.client.text(text).await.map_err(|unsent| match unsent {
            Unsent::Gone => End::Client(None),
            Unsent::Stalled => End::Stalled(Party::Client),
        })
    }

    async fn to_vendor(&self, text: Bytes) -> Result<(), End> {
        self.vendor.text(text).await.map_err(|unsent| match unsent {
            Unsent::Gone => End::Lost,
            Unsent::Stalled => End::Stalled(Party::Vendor),
        })
    }

    /// Decides about a client's frame. `choosy`: an account that is out is not asked.
    fn admit(&self, text: &Bytes, choosy: bool) -> Admitted {
        let dialect = self.call.endpoint.dialect;
        let frame = Payload::new(text.clone());
        let mut state = self.state.borrow_mut();
        state.active = tokio::time::Instant::now();
        if !frame.is_object() {
            let refusal = Fault::bad_request(None, "the frame is no JSON object");
            return Admitted::Refused(refusal.frame(dialect));
        }
        if !asks(&frame) {
            return Admitted::Pass(text.clone());
        }
        let model = frame.text("model").map(String::from).unwrap_or_default();
        let continues = frame.text("previous_response_id").is_some();
        let call = call_for(&self.call, model, frame);
        let out = matches!(
            self.service.pool.standing_of(state.grant.id(), &call.model, SystemTime::now()),
            Standing::Cooling(_) | Standing::Unserved | Standing::Disabled
        );
        let refusal = unserved(&self.service, &call);
        if choosy && out && refusal.is_none() && state.turns.is_empty() {
            return if continues { Admitted::Spent } else { Admitted::Elsewhere };
        }
        let mut story = self.turn_story(&call, Some(&state.grant));
        let mut refuse = |word, refusal: &Fault| {
            (story.status, story.verdict) = (refusal.status, word);
            Admitted::Refused(refusal.frame(dialect))
        };
        if let Some((word, refusal)) = refusal {
            return refuse(word, &refusal);
        }
        if *self.context.phase.borrow() != Phase::Serving {
            return refuse("draining", &Fault::shutting_down());
        }
        if state.turns.len() >= MOST_TURNS {
            return refuse("refused", &Fault::bad_request(None, "too many answers are under way"));
        }
        let sent = match self.service.provider.frame(&call, &state.grant.lease()) {
            Ok(sent) => sent,
            Err(Refusal::Request(message)) => {
                return refuse("refused", &Fault::bad_request(None, message));
            }
            Err(Refusal::Credential(reason)) => {
                state.grant.note(Effect::Suspend(reason));
                return Admitted::Spent;
            }
        };
        state.grant.serve(&call.model);
        let call = call_for(&self.call, call.model, Payload::default());
        state.turns.push_back(Turn { call, delivered: false, story });
        Admitted::Pass(sent)
    }

    fn turn_story(&self, call: &Call, grant: Option<&Grant>) -> Story {
        self.count.set(self.count.get() + 1);
        let id = format!("{}/{}", self.story.id, self.count.get());
        let mut story = Story::begin(id, self.story.route.clone(), self.context.busy());
        (story.provider, story.dialect) = (self.story.provider, self.story.dialect);
        story.model.clone_from(&call.model);
        story.key.clone_from(&self.story.key);
        if let Some(grant) = grant {
            grant.label().clone_into(&mut story.credential);
            story.account = Some(grant.id());
        }
        (story.attempts, story.status, story.turn) = (1, 200, Some(self.count.get()));
        story
    }

    /// Takes a frame that nothing ties to the account to another one.
    async fn move_on(&mut self, text: Bytes) -> Result<(), End> {
        let model = Payload::new(text.clone()).text("model").map(String::from).unwrap_or_default();
        let call = Arc::new(call_for(&self.call, model.clone(), Payload::default()));
        let wish = Wish { model, ..self.wish.clone() };
        let mut story = self.turn_story(&call, None);
        let answer = Relay::new(Arc::clone(&self.service), call, wish).open(&mut story).await;
        match answer {
            Answer { body: Body::Socket(opened), .. } => {
                let state = self.state.get_mut();
                state.grant = opened.grant;
                state.grant.mark_moved();
                state.reader = opened.reader;
                let former =
                    std::mem::replace(&mut self.vendor, vendor_side(opened.wire).map_err(|_| End::Lost)?);
                former.close(&Close::new(1000, "")).await;
                self.count.set(self.count.get().saturating_sub(1));
                story.untold();
            }
            Answer { status, body: Body::Whole(body), headers, .. } => {
                story.status = status.as_u16();
                let wait = headers.get("retry-after").and_then(|value| value.to_str().ok());
                let headers: Vec<_> = wait.map(|wait| ("retry-after", wait.to_owned())).into_iter().collect();
                return self.to_client(error_frame(status.as_u16(), &body, &headers)).await;
            }
            Answer { body: Body::Stream(_), .. } => return Err(End::Lost),
        }
        match self.admit(&text, false) {
            Admitted::Pass(frame) => self.to_vendor(frame).await,
            Admitted::Refused(error) => self.to_client(error).await,
            Admitted::Elsewhere | Admitted::Spent => Err(End::Spent),
        }
    }

    /// Watches the clock and the way down.
    async fn watch(&self) -> End {
        let limits = &self.service.limits;
        let mut phase = self.context.phase.subscribe();
        let mut beat =
            interval((limits.ping.min(limits.idle).min(limits.socket_idle) / 2).max(SHORTEST_BEAT));
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let now = *phase.borrow_and_update();
            let idle = self.state.borrow().turns.is_empty();
            if now == Phase::Cutting || now == Phase::Draining && idle {
                return End::Restart;
            }
            tokio::select! {
                changed = phase.changed() => if changed.is_err() { return End::Restart },
                () = self.over.notified() => {}
                _ = beat.tick() => if let Some(end) = self.overdue() { return end },
            }
        }
    }

    /// What has taken too long. A side that cannot be read for the other's sake is not blamed for its silence.
    fn overdue(&self) -> Option<End> {
        let limits = &self.service.limits;
        let silent = limits.ping * SILENT_PINGS + limits.ping / 2;
        let state = self.state.borrow();
        let quiet = state.active.elapsed();
        if !self.vendor.is_sending() && self.client.heard().elapsed() > silent {
            return Some(End::Client(None));
        }
        if self.client.is_sending() {
            return None;
        }
        let unheard = self.vendor.heard().elapsed();
        // A large message takes its time.
        let waiting = if self.vendor.is_receiving() { quiet.min(unheard) } else { quiet };
        if unheard > silent || !state.turns.is_empty() && waiting > limits.idle {
            return Some(End::Lost);
        }
        (state.turns.is_empty() && quiet > limits.socket_idle).then_some(End::Idle)
    }

    /// Asks both sides from time to time whether they are there.
    async fn ping(&self) -> End {
        let mut turn = interval(self.service.limits.ping);
        turn.set_missed_tick_behavior(MissedTickBehavior::Delay);
        turn.tick().await;
        loop {
            turn.tick().await;
            if !self.client.is_sending() && self.client.ping().await.is_err() {
                return End::Client(None);
            }
            if !self.vendor.is_sending() && self.vendor.ping().await.is_err() {
                return End::Lost;
            }
        }
    }

    async fn leave(self, end: &End) {
        let Self { service, call, client, vendor, state, mut story, .. } = self;
        let mut state = state.into_inner();
        let told = farewell(end, !state.turns.is_empty());
        let lost = matches!(end, End::Vendor(_) | End::Lost | End::Stalled(Party::Vendor));
        state.conclude(&service, &call, lost, if lost { "broken" } else { told.word });
        // The account is free before anybody's goodbye.
        drop(state);
        let Farewell { word, by, client: to_client, vendor: to_vendor } = told;
        let code = match (end, &to_client) {
            (End::Client(code), _) => code.unwrap_or(1006),
            (_, Some(close)) => close.code,
            (_, None) => 1006,
        };
        story.metrics().socket_closed(service.id(), by, code);
        (story.verdict, story.close) = (word, Some(code));
        // Where the other side spoke last, this is the echo.
        let goodbye = Close::new(1000, "");
        tokio::join!(
            client.close(to_client.as_ref().unwrap_or(&goodbye)),
            vendor.close(to_vendor.as_ref().unwrap_or(&goodbye)),
        );
    }
}
