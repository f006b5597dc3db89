//! The pool of one provider: lock, clock and waiting around the pure scheduler.
//!
//! What a request learns about an account is noted in the outbox, which the provider's keeper writes down and
//! acts upon. The hot path never touches the database.

mod allowance;
mod denied;
mod grant;
mod outbox;
mod readings;
pub mod schedule;
mod session;
mod tally;

pub use allowance::Allowance;
pub use denied::Denied;
pub use grant::Grant;
pub use outbox::Outbox;
pub use schedule::{Groups, Prospect, Standing, Strategy};
pub use tally::Tally;

use crate::{admin::Runtime, store::Row};
use pollux_sdk::{Credential, Effect, Reason, Scope, Secret, Usage};
use readings::Readings;
use schedule::{Account, AccountId, Ask, Choice, Outcome, Schedule, Ticket};
use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};
use tokio::{
    sync::Notify,
    time::{Instant, timeout_at},
};

/// What a request wants of the pool.
#[derive(Debug, Clone, Default)]
pub struct Wish {
    /// Model; empty where the operation has none.
    pub model: String,
    /// Conversation.
    pub session: Option<String>,
    /// Earlier answer that it continues.
    pub follows: Option<String>,
}

/// An account as requests see it. Replaced as a whole, never changed.
#[derive(Debug)]
pub struct Held {
    /// Row.
    pub id: AccountId,
    /// Tokens and all.
    pub credential: Credential,
    /// Grows with every change of the tokens.
    pub revision: i64,
    /// For logs and people.
    pub label: String,
    /// Its own way to the vendor.
    pub proxy: Option<Secret>,
}

/// The accounts of one provider.
#[derive(Debug)]
pub struct Pool {
    state: Mutex<State>,
    /// The keeper has something to do.
    noted: Notify,
    acquire_timeout: Duration,
}

#[derive(Debug)]
struct State {
    schedule: Schedule,
    held: HashMap<AccountId, Arc<Held>>,
    waiters: HashMap<Ticket, Arc<Notify>>,
    /// The revision whose token upstream rejected, until one serves.
    rejected: HashMap<AccountId, i64>,
    /// Asked of the keeper and not answered.
    refreshing: HashSet<AccountId>,
    readings: Readings,
    /// By account, also those that are out at the moment.
    tallies: HashMap<AccountId, Tally>,
    outbox: Outbox,
}

/// A place in the queue, given up on drop.
struct Place<'a> {
    pool: &'a Pool,
    ticket: Ticket,
    call: Arc<Notify>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut state = self.pool.lock();
        state.waiters.remove(&self.ticket);
        state.schedule.forget(self.ticket);
        state.wake(SystemTime::now());
    }
}

impl Pool {
    /// An empty pool.
    pub fn new(strategy: Strategy, acquire_timeout: Duration, session_ttl: Duration, groups: Groups) -> Self {
        let state = State {
            schedule: Schedule::new(strategy, session_ttl, groups),
            held: HashMap::new(),
            waiters: HashMap::new(),
            rejected: HashMap::new(),
            refreshing: HashSet::new(),
            readings: Readings::default(),
            tallies: HashMap::new(),
            outbox: Outbox::default(),
        };
        Self { state: Mutex::new(state), noted: Notify::new(), acquire_timeout }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lends an account, waiting a bounded time for one that is busy, refreshing or cooling for a moment.
    pub async fn acquire(self: &Arc<Self>, wish: &Wish, tried: &[AccountId]) -> Result<Grant, Denied> {
        let ask = wish.ask(tried);
        let deadline = Instant::now() + self.acquire_timeout;
        let mut place: Option<Place<'_>> = None;
        loop {
            let now = SystemTime::now();
            let (cooling_until, held_up) =
                match self.choose(place.as_ref().map(|place| place.ticket), &ask, now) {
                    Ok((held, moved)) => return Ok(Grant::new(Arc::clone(self), held, wish, moved, now)),
                    Err(Choice::Wait { cooling_until, busy, refreshing }) => {
                        (cooling_until, busy || refreshing)
                    }
                    Err(Choice::Exhausted) => return Err(Denied::Exhausted),
                    Err(_) if self.lock().held.is_empty() => return Err(Denied::Empty),
                    Err(_) => return Err(Denied::NoModel),
                };
            let left = deadline.saturating_duration_since(Instant::now());
            let rest = cooling_until.map(|until| until.duration_since(now).unwrap_or_default());
            let in_time = rest.is_some_and(|rest| rest < left);
            if left.is_zero() || !(held_up || in_time) {
                return Err(cooling_until.map_or(Denied::Busy, Denied::Cooling));
            }
            let Some(waiting) = self.queue_up(&mut place, &wish.model) else { return Err(Denied::Busy) };
            let wake = rest.filter(|_| in_time).map_or(deadline, |rest| Instant::now() + rest);
            drop(timeout_at(wake, waiting.notified()).await);
        }
    }

    fn choose(
        &self,
        ticket: Option<Ticket>,
        ask: &Ask<'_>,
        now: SystemTime,
    ) -> Result<(Arc<Held>, bool), Choice> {
        let mut state = self.lock();
        let choice = match ticket {
            Some(ticket) => state.schedule.choose_waiting(ticket, ask, now),
            None => state.schedule.choose(ask, now),
        };
        if let Choice::Granted(pick) = choice {
            state.readings.used(pick.id, now);
            state.tallies.entry(pick.id).or_default().last_used_at = Some(now);
        }
        let wants = state.take_wants();
        let chosen = match choice {
            Choice::Granted(pick) => {
                state.held.get(&pick.id).cloned().map(|held| (held, pick.moved)).ok_or(choice)
            }
            other => Err(other),
        };
        drop(state);
        if wants {
            self.noted.notify_one();
        }
        chosen
    }

    /// The signal of this request's place in the queue. `None` if too many wait.
    fn queue_up<'a>(&'a self, place: &mut Option<Place<'a>>, model: &str) -> Option<Arc<Notify>> {
        if place.is_none() {
            let mut state = self.lock();
            let ticket = state.schedule.enqueue(model)?;
            let call = Arc::new(Notify::new());
            state.waiters.insert(ticket, Arc::clone(&call));
            // What came free between the choice and this place must not be missed.
            state.wake(SystemTime::now());
            *place = Some(Place { pool: self, ticket, call });
        }
        place.as_ref().map(|place| Arc::clone(&place.call))
    }

    /// Puts an account in, or replaces what is known of it.
    pub fn publish(&self, row: &Row) {
        let held = Held {
            id: row.id,
            credential: row.credential.clone(),
            revision: row.revision,
            label: row.label(),
            proxy: row.limits.proxy.clone(),
        };
        let mut state = self.lock();
        let renewed = state.held.get(&row.id).is_some_and(|former| former.has_other_token(&held));
        state.schedule.upsert(Account {
            id: row.id,
            priority: row.limits.priority,
            weight: row.limits.weight,
            limit: row.limits.max_concurrency,
            expires_at: row.credential.expires_at,
            enabled: true,
        });
        if renewed {
            state.schedule.refreshed(row.id, row.credential.expires_at);
            // A new token may come with a new plan.
            state.schedule.restore_models(row.id);
        }
        state.held.insert(row.id, Arc::new(held));
        state.refreshing.remove(&row.id);
        state.wake(SystemTime::now());
    }

    /// Takes an account out. Its requests in flight go on.
    pub fn remove(&self, id: AccountId) {
        let mut state = self.lock();
        state.forget(id);
        state.wake(SystemTime::now());
    }

    /// Forgets an account that is gone for good.
    pub fn erase(&self, id: AccountId) {
        self.remove(id);
        self.lock().tallies.remove(&id);
    }

    /// Applies what a verdict says about an account.
    fn apply(&self, held: &Held, model: &str, effect: Effect) {
        let now = SystemTime::now();
        let mut state = self.lock();
        match effect {
            Effect::Cool(scope, until) => {
                // Stored as it is kept here: under one name for the whole group.
                let lead = || state.schedule.groups().lead(model).to_owned();
                let model = (scope == Scope::Model).then(lead);
                if state.schedule.cool(held.id, model.as_deref(), until, now) {
                    state.outbox.cooled.insert((held.id, model), until);
                }
            }
            Effect::Refresh => state.reject(held),
            Effect::Suspend(reason) => state.suspend(held.id, reason),
            Effect::DropModel => state.schedule.drop_model(held.id, model),
            _ => {}
        }
        state.take_wants();
        state.wake(now);
        drop(state);
        self.noted.notify_one();
    }

    fn release(&self, held: &Held, model: &str, succeeded: bool, began: SystemTime) {
        let now = SystemTime::now();
        let mut state = self.lock();
        let outcome = if succeeded { Outcome::Served { began } } else { Outcome::Unproven };
        state.schedule.release(held.id, model, outcome, now);
        if let Some(tally) = state.tallies.get_mut(&held.id) {
            tally.ended(succeeded);
        }
        if succeeded && !state.rejected.is_empty() {
            state.rejected.remove(&held.id);
        }
        state.wake(now);
    }

    fn bind(&self, answer: &str, id: AccountId) {
        self.lock().schedule.bind(answer, id, SystemTime::now());
    }

    /// Asks for a new token, whatever the old one is worth.
    pub fn want_refresh(&self, id: AccountId) {
        let mut state = self.lock();
        if state.held.contains_key(&id) {
            state.schedule.refreshing(id);
            state.refreshing.insert(id);
            state.outbox.refresh.insert(id);
        }
        drop(state);
        self.noted.notify_one();
    }

    /// Accounts to renew now: those that requests wait for, and those whose token ends within `margin`.
    pub fn take_refresh_wants(&self, now: SystemTime, margin: Duration) -> Vec<AccountId> {
        let mut state = self.lock();
        for id in state.schedule.due(now, margin) {
            state.schedule.refreshing(id);
            state.refreshing.insert(id);
            state.outbox.refresh.insert(id);
        }
        std::mem::take(&mut state.outbox.refresh).into_iter().collect()
    }

    /// Whether a refresh is asked for and not done.
    pub fn is_refreshing(&self, id: AccountId) -> bool {
        self.lock().refreshing.contains(&id)
    }

    /// There is no new token yet; the next try is not before `retry_at`.
    pub fn refresh_failed(&self, id: AccountId, retry_at: SystemTime) {
        let mut state = self.lock();
        state.schedule.refresh_failed(id, retry_at);
        state.refreshing.remove(&id);
        state.wake(SystemTime::now());
    }

    /// The revision that requests use.
    pub fn revision(&self, id: AccountId) -> Option<i64> {
        self.lock().held.get(&id).map(|held| held.revision)
    }

    /// Cooldowns and suspensions that are not written down yet.
    pub fn take_outbox(&self) -> Outbox {
        let mut state = self.lock();
        let refresh = std::mem::take(&mut state.outbox.refresh);
        std::mem::replace(&mut state.outbox, Outbox { refresh, ..Outbox::default() })
    }

    /// Waits until the keeper has something to do.
    pub async fn noted(&self) {
        self.noted.notified().await;
    }

    /// A cooldown from before the start.
    pub fn restore_cooldown(&self, id: AccountId, model: Option<&str>, until: SystemTime) {
        let mut state = self.lock();
        if state.held.contains_key(&id) {
            state.schedule.cool(id, model, until, SystemTime::now());
        }
    }

    /// What rests of an account, and until when: each model of a group by its own name.
    pub fn cooldowns_of(&self, id: AccountId, now: SystemTime) -> Vec<(Option<String>, SystemTime)> {
        self.lock().cooldowns_of(id, now)
    }

    /// What is known of an account only in here.
    pub fn runtime_of(&self, id: AccountId, now: SystemTime) -> Runtime {
        let state = self.lock();
        Runtime {
            cooldowns: state.cooldowns_of(id, now),
            quota: state.readings.quota_of(id, now),
            in_flight: state.schedule.in_flight(id),
            tally: state.tallies.get(&id).copied().unwrap_or_default(),
        }
    }

    /// An answer's tokens.
    fn used(&self, id: AccountId, usage: &Usage) {
        if let Some(tally) = self.lock().tallies.get_mut(&id) {
            tally.used(usage);
        }
    }

    /// Ends every rest of an account: its owner knows better.
    pub fn lift(&self, id: AccountId) -> Vec<(Option<String>, SystemTime)> {
        let rests = self.cooldowns_of(id, SystemTime::UNIX_EPOCH);
        let mut state = self.lock();
        for (model, _) in &rests {
            state.schedule.lift(id, model.as_deref());
        }
        state.wake(SystemTime::now());
        rests
    }

    /// All accounts, and whether each could serve something now.
    pub fn accounts(&self, now: SystemTime) -> Vec<(Arc<Held>, bool)> {
        let state = self.lock();
        let standings = state.schedule.explain(&Ask::default(), now);
        let held = |(id, standing)| Some((state.held.get(&id).cloned()?, standing == Standing::Ready));
        standings.into_iter().filter_map(held).collect()
    }
}

impl Wish {
    fn ask<'a>(&'a self, tried: &'a [AccountId]) -> Ask<'a> {
        Ask { model: &self.model, session: self.session.as_deref(), follows: self.follows.as_deref(), tried }
    }
}

impl Held {
    fn has_other_token(&self, other: &Self) -> bool {
        let tokens = |held: &Self| (held.credential.access.clone(), held.credential.refresh.clone());
        tokens(self) != tokens(other)
    }
}

impl State {
    fn cooldowns_of(&self, id: AccountId, now: SystemTime) -> Vec<(Option<String>, SystemTime)> {
        let mut told = Vec::new();
        for rest in self.schedule.cooldowns_of(id).filter(|rest| rest.until > now) {
            let mut group = self.schedule.groups().members(rest.model.unwrap_or_default()).peekable();
            if rest.model.is_none() || group.peek().is_none() {
                told.push((rest.model.map(ToOwned::to_owned), rest.until));
            } else {
                told.extend(group.map(|model| (Some(model.to_owned()), rest.until)));
            }
        }
        told
    }

    /// Upstream refuses the token. A late answer to an old token says nothing of the new one; a second refusal
    /// after a refresh, with no success in between, says that refreshing does not help.
    fn reject(&mut self, refused: &Held) {
        if self.held.get(&refused.id).is_none_or(|current| current.revision != refused.revision) {
            return;
        }
        // One login may stand for several accounts: each of them would be an attempt lost on the same dead token.
        let token = refused.credential.access.as_ref().map(Secret::expose);
        let shares = |held: &Held| {
            held.id == refused.id
                || token.is_some_and(|token| {
                    held.credential.access.as_ref().is_some_and(|access| access.expose() == token)
                })
        };
        let shared = self.held.values().filter(|held| shares(held));
        let shared: Vec<_> = shared.map(|held| (held.id, held.revision)).collect();
        for (id, revision) in shared {
            match self.rejected.insert(id, revision) {
                Some(former) if former != revision => {
                    let text = "the vendor refuses even a fresh token: log in again";
                    self.suspend(id, Reason::new("login_rejected", text));
                }
                _ => self.schedule.refused(id),
            }
        }
    }

    fn suspend(&mut self, id: AccountId, reason: Reason) {
        if self.held.contains_key(&id) {
            self.forget(id);
            self.outbox.suspended.insert(id, reason);
        }
    }

    fn forget(&mut self, id: AccountId) {
        self.schedule.remove(id);
        self.held.remove(&id);
        self.refreshing.remove(&id);
        self.rejected.remove(&id);
        self.readings.forget(id);
        self.outbox.refresh.remove(&id);
    }

    /// Passes on what the scheduler wants refreshed.
    fn take_wants(&mut self) -> bool {
        let wanted = self.schedule.take_wanted();
        self.refreshing.extend(&wanted);
        self.outbox.refresh.extend(&wanted);
        !wanted.is_empty()
    }

    /// Calls those in the queue for whom an account is ready.
    fn wake(&mut self, now: SystemTime) {
        if self.waiters.is_empty() {
            return;
        }
        for ticket in self.schedule.callable(now) {
            if let Some(call) = self.waiters.get(&ticket) {
                call.notify_one();
            }
        }
    }
}
