//! Which account of one provider serves the next request.
//!
//! A pure state machine: it does no IO, has no lock, no clock and no randomness. Time comes in with each call.
//! Each model asked for has its lane, where accounts stand as they can serve it now (`entry` judges, `lane`
//! remembers); timers move them when a deadline passes. So a choice costs a logarithm of the pool's size.

mod contest;
mod entry;
mod groups;
mod lane;
mod prospect;
mod strategy;
mod upkeep;

#[cfg(test)]
mod naive;
#[cfg(test)]
mod tests;

use super::session::{Bound, CAPACITY, Memory, attraction, fingerprint};
pub use entry::Standing;
use entry::{Entry, Refresh};
pub use groups::Groups;
use lane::Lane;
pub use prospect::Prospect;
use std::{
    collections::{BTreeSet, HashMap},
    time::{Duration, SystemTime},
};
pub use strategy::Strategy;
use strategy::{Rank, TURN};

/// The store's key of an account.
pub type AccountId = i64;

/// Best candidates among which a session's name decides.
const CANDIDATES: usize = 8;
/// Refreshes that requests for one model ask for at once; the background takes care of the rest.
const WANTED_AT_ONCE: usize = 4;
/// Models kept apart. The host asks for configured models only; this is the bound if it does not.
const MODELS: usize = 256;
/// Requests that may wait.
const WAITING: usize = 4096;
/// Callers read the clock before they hold the lock, so time may step back a little; more is a clock set back.
const CLOCK_SET_BACK: Duration = Duration::from_mins(1);

/// An account as it enters the pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its key.
    pub id: AccountId,
    /// Higher goes first.
    pub priority: i32,
    /// Its share among those of one priority; at least 1.
    pub weight: u32,
    /// Requests in flight at most; 0 lends nothing.
    pub limit: Option<u32>,
    /// End of its token; `None` does not end.
    pub expires_at: Option<SystemTime>,
    /// Whether it may be used.
    pub enabled: bool,
}

/// What a request wants.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ask<'a> {
    /// The model; empty where the operation has none.
    pub model: &'a str,
    /// The session it belongs to.
    pub session: Option<&'a str>,
    /// The answer it continues; wins over the session.
    pub follows: Option<&'a str>,
    /// Where it has been already.
    pub tried: &'a [AccountId],
}

/// The account chosen. It counts as in flight until it is released.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pick {
    /// Its key.
    pub id: AccountId,
    /// The session (or the answer continued) was served by another account before.
    pub moved: bool,
}

/// The outcome of a choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// This one.
    Granted(Pick),
    /// None now. Accounts already tried have no part in this.
    Wait {
        /// When the first of those cooling is back.
        cooling_until: Option<SystemTime>,
        /// One is at its limit of requests, or ready for somebody who waited longer.
        busy: bool,
        /// One gets a new token.
        refreshing: bool,
    },
    /// All that serve the model were tried.
    Exhausted,
    /// No enabled account serves the model.
    Empty,
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Upstream served it: evidence against a cooldown that was there before it began.
    Served {
        /// When it was sent.
        began: SystemTime,
    },
    /// It failed or was abandoned; nothing is known.
    Unproven,
}

/// A place in the queue for a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ticket {
    model: usize,
    number: u64,
}

/// A timer's subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Ends {
    Rest,
    ModelRest(usize),
    RefreshPause,
}

/// The accounts of one provider.
#[derive(Debug)]
pub struct Schedule {
    strategy: Strategy,
    clock: SystemTime,
    slots: HashMap<AccountId, u32>,
    entries: Vec<Option<Entry>>,
    ranks: Vec<Rank>,
    vacant: Vec<u32>,
    models: HashMap<Box<str>, usize>,
    names: Vec<Box<str>>,
    groups: Groups,
    /// For each model the one under whose index its cooldowns stand.
    leads: Vec<usize>,
    lanes: Vec<Option<Lane>>,
    /// Deadlines that free an account.
    frees: BTreeSet<(SystemTime, u32, Ends)>,
    /// Ends of tokens.
    expiries: BTreeSet<(SystemTime, u32)>,
    wanted: Vec<AccountId>,
    turns: u64,
    /// The latest turn that was taken, on the accounts' own clocks: who comes back from a rest begins here.
    passed: u64,
    tickets: u64,
    waiting: usize,
    sessions: Memory<Bound>,
    answers: Memory<AccountId>,
}

impl Schedule {
    /// An empty pool. A session is forgotten when it idles for `session_ttl`; models of a group rest together.
    pub fn new(strategy: Strategy, session_ttl: Duration, groups: Groups) -> Self {
        Self {
            strategy,
            clock: SystemTime::UNIX_EPOCH,
            slots: HashMap::new(),
            entries: Vec::new(),
            ranks: Vec::new(),
            vacant: Vec::new(),
            models: HashMap::new(),
            names: Vec::new(),
            groups,
            leads: Vec::new(),
            lanes: Vec::new(),
            frees: BTreeSet::new(),
            expiries: BTreeSet::new(),
            wanted: Vec::new(),
            turns: 0,
            passed: 0,
            tickets: 0,
            waiting: 0,
            sessions: Memory::new(CAPACITY, session_ttl),
            answers: Memory::new(CAPACITY, session_ttl),
        }
    }

    /// Chooses for a request that just came. It does not overtake those who wait for the model.
    pub fn choose(&mut self, ask: &Ask<'_>, now: SystemTime) -> Choice {
        self.choose_as(None, ask, now)
    }

    /// Chooses for one who waits. Unless the answer is `Wait`, the ticket is used up.
    pub fn choose_waiting(&mut self, ticket: Ticket, ask: &Ask<'_>, now: SystemTime) -> Choice {
        let own = self.models.get(ask.model) == Some(&ticket.model);
        let choice = self.choose_as(own.then_some(ticket.number), ask, now);
        if !matches!(choice, Choice::Wait { .. }) {
            self.forget(ticket);
        }
        choice
    }

    fn choose_as(&mut self, ticket: Option<u64>, ask: &Ask<'_>, now: SystemTime) -> Choice {
        self.advance(now);
        let Some(model) = self.lane(ask.model) else { return Choice::Empty };
        let Some(lane) = &mut self.lanes[model] else { return Choice::Empty };
        let untried = |slot: &u32| !tried(&self.entries, ask, *slot);
        let Some(best) = lane.ready.best_first(&self.ranks).find(untried) else {
            if let Some(number) = ticket {
                lane.let_pass(number);
            }
            return self.nothing_ready(model, ask);
        };
        if !lane.has_turn(ticket) {
            return Choice::Wait { cooling_until: None, busy: true, refreshing: false };
        }
        let pick = self.pick(model, best, ask);
        if let Some(slot) = self.slots.get(&pick.id).copied()
            && let Some(entry) = &mut self.entries[slot as usize]
        {
            self.turns += 1;
            self.passed = self.passed.max(entry.pass);
            entry.pass = self.passed + TURN / u64::from(entry.account.weight.max(1));
            entry.used = self.turns;
            entry.in_flight = entry.in_flight.saturating_add(1);
            self.place(slot);
        }
        Choice::Granted(pick)
    }

    /// Takes the account that served before if it can, and keeps the books on who sits where.
    fn pick(&mut self, model: usize, best: u32, ask: &Ask<'_>) -> Pick {
        let key = ask.session.map(fingerprint);
        let followed = ask.follows.and_then(|id| self.answers.get(fingerprint(id), self.clock).copied());
        let bound = key.and_then(|key| self.sessions.get(key, self.clock).cloned());
        let former = followed.or(bound.as_ref().map(Bound::last));
        let id = self.preferred(model, best, ask, followed, bound.as_ref());
        if let Some(seat) = followed.or(bound.as_ref().map(|bound| bound.seat(model)))
            && seat != id
            && self.standing(seat, model) == Standing::Expired
            && !ask.tried.contains(&seat)
        {
            self.want(seat);
        }
        if let Some(key) = key {
            let mut bound = bound.unwrap_or_else(|| Bound::new(id));
            self.rebind(&mut bound, model, id, followed == Some(id));
            self.sessions.put(key, bound, self.clock);
        }
        Pick { id, moved: former.is_some_and(|former| former != id) }
    }

    /// Who served before and still can, else the best for a newcomer.
    fn preferred(
        &self,
        model: usize,
        best: u32,
        ask: &Ask<'_>,
        followed: Option<AccountId>,
        bound: Option<&Bound>,
    ) -> AccountId {
        let seats = bound.map(|bound| [bound.seat(model), bound.home()]);
        let favourites = followed.into_iter().chain(seats.into_iter().flatten());
        let found = favourites.into_iter().find(|id| self.serves(*id, model, ask));
        found.unwrap_or_else(|| self.newcomer(model, best, ask.session.map(fingerprint), ask))
    }

    /// The account that a request which came now would be given. The question leaves no trace.
    pub fn preview(&mut self, ask: &Ask<'_>, now: SystemTime) -> Option<AccountId> {
        self.advance(now);
        let model = self.lane(ask.model)?;
        let lane = self.lanes[model].as_ref()?;
        let best = lane.ready.best_first(&self.ranks).find(|slot| !tried(&self.entries, ask, *slot))?;
        if !lane.has_turn(None) {
            return None;
        }
        let followed = ask.follows.and_then(|id| self.answers.peek(fingerprint(id), self.clock).copied());
        let bound = ask.session.and_then(|session| self.sessions.peek(fingerprint(session), self.clock));
        Some(self.preferred(model, best, ask, followed, bound))
    }

    /// The best, or for a session the one its name prefers among equally good ones.
    fn newcomer(&self, model: usize, best: u32, session: Option<u128>, ask: &Ask<'_>) -> AccountId {
        let id = |slot: u32| self.entries[slot as usize].as_ref().map_or(0, |entry| entry.account.id);
        let (Some(session), Some(lane)) = (session, &self.lanes[model]) else { return id(best) };
        let band = self.ranks[best as usize].band();
        let equals = lane.ready.best_first(&self.ranks).filter(|slot| !tried(&self.entries, ask, *slot));
        let equals = equals.take_while(|slot| self.ranks[*slot as usize].band() == band).take(CANDIDATES);
        let equals =
            equals.filter_map(|slot| self.entries[slot as usize].as_ref()).map(|entry| &entry.account);
        let drawn = equals.max_by_key(|one| (attraction(session, one.id, one.weight), one.id));
        drawn.map_or_else(|| id(best), |one| one.id)
    }

    fn rebind(&self, bound: &mut Bound, model: usize, id: AccountId, follows: bool) {
        bound.served_by(id);
        let seat = bound.seat(model);
        if seat == id {
            return;
        }
        let home_out = match self.entry(bound.home()) {
            Some(home) => home.out(self.clock),
            None => true,
        };
        match self.standing(seat, model) {
            _ if follows => bound.move_home(model, id),
            // Back in a moment, and what the vendor has cached for the session with it.
            Standing::Busy | Standing::Refreshing | Standing::Expired => {}
            _ if home_out => bound.move_home(model, id),
            _ => bound.move_model(model, id),
        }
    }

    fn nothing_ready(&mut self, model: usize, ask: &Ask<'_>) -> Choice {
        let Some(lane) = &self.lanes[model] else { return Choice::Empty };
        let (mut busy, mut refreshing, mut serving) = (lane.busy, lane.refreshing, false);
        for (index, id) in ask.tried.iter().enumerate() {
            let Some(slot) = self.slots.get(id).filter(|_| !ask.tried[..index].contains(id)) else {
                continue;
            };
            let standing = lane.standing(*slot);
            busy -= usize::from(standing == Some(Standing::Busy));
            refreshing -= usize::from(standing == Some(Standing::Refreshing));
            serving |= !matches!(standing, None | Some(Standing::Disabled | Standing::Unserved));
        }
        let untried = |slot: &u32| !tried(&self.entries, ask, *slot);
        let cooling_until = lane.cooling.iter().find(|(_, slot)| untried(slot)).map(|(until, _)| *until);
        let expired = lane.expired.best_first(&self.ranks).find(untried);
        let (busy, refreshing) = (busy > 0, refreshing > 0 || expired.is_some());
        if let Some(slot) = expired.filter(|_| lane.refreshing < WANTED_AT_ONCE)
            && let Some(id) = self.entries[slot as usize].as_ref().map(|entry| entry.account.id)
        {
            self.want(id);
        }
        match (cooling_until, busy || refreshing) {
            (None, false) if serving => Choice::Exhausted,
            (None, false) => Choice::Empty,
            _ => Choice::Wait { cooling_until, busy, refreshing },
        }
    }

    /// Takes an account back from a request for `model`. Unknown accounts are none of its business.
    pub fn release(&mut self, id: AccountId, model: &str, outcome: Outcome, now: SystemTime) {
        self.advance(now);
        let Some(entry) = self.entry_mut(id) else { return };
        entry.in_flight = entry.in_flight.saturating_sub(1);
        if let Outcome::Served { began } = outcome {
            self.lift_before(id, None, Some(began));
            self.lift_before(id, Some(model), Some(began));
        }
        self.place_id(id);
    }

    /// Remembers who gave an answer, for requests that continue it.
    pub fn bind(&mut self, answer: &str, id: AccountId, now: SystemTime) {
        self.advance(now);
        self.answers.put(fingerprint(answer), id, self.clock);
    }

    /// Queues for `model`; `None` when too many wait. Whoever has a ticket gives it back by `forget`.
    pub fn enqueue(&mut self, model: &str) -> Option<Ticket> {
        let model = self.lane(model).filter(|_| self.waiting < WAITING)?;
        let lane = self.lanes[model].as_mut()?;
        self.tickets += 1;
        self.waiting += 1;
        lane.enqueue(self.tickets);
        Some(Ticket { model, number: self.tickets })
    }

    /// Leaves the queue. A ticket that was served has left already.
    pub fn forget(&mut self, ticket: Ticket) {
        if let Some(lane) = self.lanes.get_mut(ticket.model).and_then(Option::as_mut)
            && lane.forget(ticket.number)
        {
            self.waiting -= 1;
        }
    }

    /// The tickets worth waking: as many for each model as accounts are ready, oldest first. To be asked again
    /// after whatever frees something, and after each of their choices: one account may serve several.
    pub fn callable(&mut self, now: SystemTime) -> Vec<Ticket> {
        self.advance(now);
        if self.waiting == 0 {
            return Vec::new();
        }
        let lanes = self.lanes.iter().enumerate().filter_map(|(model, lane)| Some((model, lane.as_ref()?)));
        lanes.flat_map(|(model, lane)| lane.callable().map(move |number| Ticket { model, number })).collect()
    }

    /// All accounts in the order of choice, and whether each could serve this request.
    pub fn explain(&self, ask: &Ask<'_>, now: SystemTime) -> Vec<(AccountId, Standing)> {
        let (model, lead) = self.places(ask.model);
        let mut entries: Vec<&Entry> = self.entries.iter().flatten().collect();
        entries.sort_by_key(|entry| self.strategy.rank(&entry.facts()));
        let told = |entry: &Entry| match entry.standing(model, lead, now) {
            standing @ (Standing::Disabled | Standing::Unserved) => standing,
            _ if ask.tried.contains(&entry.account.id) => Standing::Tried,
            standing => standing,
        };
        entries.into_iter().map(|entry| (entry.account.id, told(entry))).collect()
    }

    /// Whether one account could serve a model now.
    pub fn standing_of(&self, id: AccountId, model: &str, now: SystemTime) -> Standing {
        let (model, lead) = self.places(model);
        self.entry(id).map_or(Standing::Disabled, |entry| entry.standing(model, lead, now))
    }

    /// The lane of a model, and the one whose cooldowns hold for it; of a model nobody asked for, none.
    fn places(&self, model: &str) -> (usize, usize) {
        let index = |name: &str| self.models.get(name).copied().unwrap_or(usize::MAX);
        (index(model), index(self.groups.lead(model)))
    }

    fn serves(&self, id: AccountId, model: usize, ask: &Ask<'_>) -> bool {
        self.standing(id, model) == Standing::Ready && !ask.tried.contains(&id)
    }

    fn standing(&self, id: AccountId, model: usize) -> Standing {
        self.entry(id)
            .map_or(Standing::Disabled, |entry| entry.standing(model, self.leads[model], self.clock))
    }

    fn entry(&self, id: AccountId) -> Option<&Entry> {
        self.entries[*self.slots.get(&id)? as usize].as_ref()
    }

    fn entry_mut(&mut self, id: AccountId) -> Option<&mut Entry> {
        self.entries[*self.slots.get(&id)? as usize].as_mut()
    }

    fn want(&mut self, id: AccountId) {
        if let Some(entry) = self.entry_mut(id) {
            entry.refresh = Refresh::Wanted;
            self.wanted.push(id);
            self.place_id(id);
        }
    }

    fn place_id(&mut self, id: AccountId) {
        if let Some(slot) = self.slots.get(&id) {
            self.place(*slot);
        }
    }

    /// Puts an account where it belongs in every lane, after any change to it.
    fn place(&mut self, slot: u32) {
        let entry = self.entries[slot as usize].as_ref();
        if let Some(entry) = entry {
            self.ranks[slot as usize] = self.strategy.rank(&entry.facts());
        }
        for (model, lane) in self.lanes.iter_mut().enumerate() {
            if let Some(lane) = lane {
                let lead = self.leads[model];
                lane.place(slot, entry.map(|entry| entry.standing(model, lead, self.clock)), &self.ranks);
            }
        }
    }

    /// The index of a model, given on first sight.
    fn model(&mut self, name: &str) -> Option<usize> {
        if let Some(model) = self.models.get(name) {
            return Some(*model);
        }
        let lead = Some(self.groups.lead(name)).filter(|lead| *lead != name).map(str::to_owned);
        let lead = match lead {
            Some(lead) => Some(self.model(&lead)?),
            None => None,
        };
        let model = self.names.len();
        if model == MODELS {
            return None;
        }
        self.models.insert(name.into(), model);
        self.names.push(name.into());
        self.leads.push(lead.unwrap_or(model));
        self.lanes.push(None);
        Some(model)
    }

    /// The index of a model that has its lane, built when it is first asked for.
    fn lane(&mut self, name: &str) -> Option<usize> {
        let model = self.model(name)?;
        if self.lanes[model].is_none() {
            let mut lane = Lane::default();
            for (slot, entry) in (0u32..).zip(&self.entries) {
                let standing =
                    entry.as_ref().map(|entry| entry.standing(model, self.leads[model], self.clock));
                lane.place(slot, standing, &self.ranks);
            }
            self.lanes[model] = Some(lane);
        }
        Some(model)
    }
}

fn tried(entries: &[Option<Entry>], ask: &Ask<'_>, slot: u32) -> bool {
    !ask.tried.is_empty()
        && entries[slot as usize].as_ref().is_some_and(|entry| ask.tried.contains(&entry.account.id))
}
