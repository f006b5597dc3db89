//! The scheduler's rules once more, as plainly as they can be said: every account is looked at every time.
//! The property tests hold the real one against it.

use super::{Account, AccountId, Ask, Choice, Outcome, Pick, attraction, fingerprint};
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, HashMap},
    time::{Duration, SystemTime},
};

type Time = SystemTime;

const UNIT: u64 = 1 << 20;

#[derive(Debug, Clone)]
struct Member {
    account: Account,
    in_flight: u32,
    /// When its next turn is; an account of weight `w` moves on by `UNIT / w`.
    next: u64,
    used: u64,
    share: Option<f64>,
    /// Under `None` that of the whole account; (since, until).
    rests: BTreeMap<Option<String>, (Time, Time)>,
    dropped: BTreeSet<String>,
    wanted: bool,
    running: bool,
    refused: bool,
    retry_at: Option<Time>,
}

#[derive(Debug, Clone)]
struct Seats {
    touched: Time,
    home: AccountId,
    last: AccountId,
    models: BTreeMap<String, AccountId>,
}

#[derive(Debug)]
pub(super) struct Naive {
    clock: Time,
    ttl: Duration,
    groups: Vec<Vec<String>>,
    members: BTreeMap<AccountId, Member>,
    sessions: HashMap<String, Seats>,
    answers: HashMap<String, (Time, AccountId)>,
    pub(super) queue: Vec<(u64, String)>,
    turns: u64,
    latest: u64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum State {
    Out,
    Cooling(Time),
    Expired,
    Refreshing,
    Busy,
    Ready,
}

impl Naive {
    pub(super) fn new(ttl: Duration, groups: Vec<Vec<String>>) -> Self {
        Self {
            clock: Time::UNIX_EPOCH,
            ttl,
            groups,
            members: BTreeMap::new(),
            sessions: HashMap::new(),
            answers: HashMap::new(),
            queue: Vec::new(),
            turns: 0,
            latest: 0,
        }
    }

    pub(super) fn advance(&mut self, now: Time) {
        if self.clock.duration_since(now).is_ok_and(|back| back < Duration::from_mins(1)) {
            return;
        }
        self.clock = now;
        for member in self.members.values_mut() {
            member.rests.retain(|_, (_, until)| *until > now);
            member.retry_at = member.retry_at.filter(|at| *at > now);
        }
    }

    /// Under which name a model's rest stands.
    pub(super) fn scope(&self, model: &str) -> String {
        let group = self.groups.iter().find(|group| group.iter().any(|one| one == model));
        group.map_or(model, |group| &group[0]).to_owned()
    }

    fn stale(&self, member: &Member) -> bool {
        member.refused || member.account.expires_at.is_some_and(|end| end <= self.clock)
    }

    fn pause(&self, member: &Member) -> Option<Time> {
        let whole = member.rests.get(&None).map(|rest| rest.1);
        whole.into_iter().chain(member.retry_at.filter(|at| self.stale(member) && *at > self.clock)).max()
    }

    fn state(&self, id: AccountId, model: &str) -> State {
        let Some(member) = self.members.get(&id) else { return State::Out };
        if !member.account.enabled || member.account.limit == Some(0) || member.dropped.contains(model) {
            return State::Out;
        }
        let model_rest = member.rests.get(&Some(self.scope(model))).map(|rest| rest.1);
        if let Some(until) = self.pause(member).into_iter().chain(model_rest).max() {
            return State::Cooling(until);
        }
        if self.stale(member) {
            return if member.wanted || member.running { State::Refreshing } else { State::Expired };
        }
        if member.account.limit.is_some_and(|limit| member.in_flight >= limit) {
            return State::Busy;
        }
        State::Ready
    }

    fn tenth(member: &Member) -> u8 {
        if member.used == 0 && member.share.is_none() {
            return 0;
        }
        let share = member.share.filter(|share| !share.is_nan()).unwrap_or(0.5);
        (0u8..10).take_while(|tenth| share >= f64::from(tenth + 1) / 10.0).count().try_into().unwrap()
    }

    fn in_order(&self) -> Vec<AccountId> {
        let mut all: Vec<&Member> = self.members.values().collect();
        all.sort_by_key(|member| {
            let account = &member.account;
            let busy = u64::from(member.in_flight) * UNIT / u64::from(account.weight);
            (Reverse(account.priority), Self::tenth(member), busy, member.next, member.used, account.id)
        });
        all.into_iter().map(|member| member.account.id).collect()
    }

    pub(super) fn choose(&mut self, ticket: Option<u64>, ask: &Ask<'_>, now: Time) -> Choice {
        self.advance(now);
        let choice = self.chosen(ticket, ask);
        if !matches!(choice, Choice::Wait { .. }) {
            self.queue.retain(|(number, _)| Some(*number) != ticket);
        }
        if let Choice::Granted(pick) = choice {
            self.turns += 1;
            let member = self.members.get_mut(&pick.id).unwrap();
            (member.used, member.in_flight) = (self.turns, member.in_flight + 1);
            self.latest = self.latest.max(member.next);
            member.next = self.latest + UNIT / u64::from(member.account.weight);
        }
        choice
    }

    fn chosen(&mut self, ticket: Option<u64>, ask: &Ask<'_>) -> Choice {
        let order = self.in_order();
        let ready: Vec<_> = order.iter().filter(|id| self.state(**id, ask.model) == State::Ready).collect();
        let open: Vec<_> = ready.iter().filter(|id| !ask.tried.contains(id)).map(|id| **id).collect();
        let ahead = self.queue.iter().filter(|(_, model)| model == ask.model);
        let ahead = ahead.take_while(|(number, _)| Some(*number) != ticket).count();
        if open.is_empty() {
            return self.none(&order, ask);
        }
        if ahead >= ready.len() {
            return Choice::Wait { cooling_until: None, busy: true, refreshing: false };
        }
        let followed = ask.follows.and_then(|id| self.answer(id));
        let seats = ask.session.and_then(|id| self.seats(id));
        let seat = seats.as_ref().map(|seats| seats.models.get(ask.model).copied().unwrap_or(seats.home));
        let wishes = [followed, seat, seats.as_ref().map(|seats| seats.home)];
        let id = match wishes.into_iter().flatten().find(|id| open.contains(id)) {
            Some(id) => id,
            None if ask.session.is_none() => open[0],
            None => {
                let band =
                    |id: &AccountId| (self.members[id].account.priority, Self::tenth(&self.members[id]));
                let equals = open.iter().take_while(|id| band(id) == band(&open[0])).take(8);
                let key = fingerprint(ask.session.unwrap());
                let draw = |id: AccountId| attraction(key, id, self.members[&id].account.weight);
                *equals.max_by_key(|id| draw(**id)).unwrap()
            }
        };
        if let Some(missed) = followed.or(seat).filter(|missed| *missed != id && !ask.tried.contains(missed))
            && self.state(missed, ask.model) == State::Expired
        {
            self.members.get_mut(&missed).unwrap().wanted = true;
        }
        let former = followed.or(seats.as_ref().map(|seats| seats.last));
        if let Some(session) = ask.session {
            let fresh = Seats { touched: self.clock, home: id, last: id, models: BTreeMap::new() };
            let mut seats = seats.unwrap_or(fresh);
            (seats.touched, seats.last) = (self.clock, id);
            let seat = seat.unwrap_or(id);
            let brief =
                matches!(self.state(seat, ask.model), State::Busy | State::Expired | State::Refreshing);
            let home_out = self.members.get(&seats.home).is_none_or(|home| {
                let off = !home.account.enabled || home.account.limit == Some(0);
                off || self.pause(home).is_some()
            });
            if seat != id && (followed == Some(id) || (!brief && home_out)) {
                seats.home = id;
                seats.models.remove(ask.model);
            } else if seat != id && !brief {
                seats.models.remove(ask.model);
                if id != seats.home {
                    seats.models.insert(ask.model.to_owned(), id);
                }
            }
            self.sessions.insert(session.to_owned(), seats);
        }
        Choice::Granted(Pick { id, moved: former.is_some_and(|former| former != id) })
    }

    fn none(&mut self, order: &[AccountId], ask: &Ask<'_>) -> Choice {
        let states = order.iter().map(|id| (*id, self.state(*id, ask.model)));
        let states: Vec<_> = states.filter(|(_, state)| *state != State::Out).collect();
        let left: Vec<_> = states.iter().filter(|(id, _)| !ask.tried.contains(id)).collect();
        if left.is_empty() {
            return if states.is_empty() { Choice::Empty } else { Choice::Exhausted };
        }
        let running = states.iter().filter(|(_, state)| *state == State::Refreshing).count();
        if let Some((id, _)) = left.iter().find(|(_, state)| *state == State::Expired)
            && running < 4
        {
            self.members.get_mut(id).unwrap().wanted = true;
        }
        let ends = left.iter().filter_map(|(_, state)| match state {
            State::Cooling(until) => Some(*until),
            _ => None,
        });
        Choice::Wait {
            cooling_until: ends.min(),
            busy: left.iter().any(|(_, state)| *state == State::Busy),
            refreshing: left.iter().any(|(_, state)| matches!(state, State::Expired | State::Refreshing)),
        }
    }

    fn idle(&self, touched: Time) -> bool {
        self.clock.duration_since(touched).is_ok_and(|idle| idle >= self.ttl)
    }

    fn answer(&mut self, id: &str) -> Option<AccountId> {
        let (touched, account) = *self.answers.get(id)?;
        if self.idle(touched) {
            self.answers.remove(id);
            return None;
        }
        self.answers.insert(id.to_owned(), (self.clock, account));
        Some(account)
    }

    fn seats(&mut self, id: &str) -> Option<Seats> {
        let seats = self.sessions.get(id)?.clone();
        if self.idle(seats.touched) {
            self.sessions.remove(id);
            return None;
        }
        Some(seats)
    }

    pub(super) fn release(&mut self, id: AccountId, model: &str, outcome: Outcome, now: Time) {
        self.advance(now);
        let named = Some(self.scope(model));
        let Some(member) = self.members.get_mut(&id) else { return };
        member.in_flight = member.in_flight.saturating_sub(1);
        if let Outcome::Served { began } = outcome {
            member.rests.retain(|scope, (since, _)| began <= *since || (scope.is_some() && *scope != named));
        }
    }

    pub(super) fn bind(&mut self, answer: &str, id: AccountId, now: Time) {
        self.advance(now);
        self.answers.insert(answer.to_owned(), (self.clock, id));
    }

    pub(super) fn upsert(&mut self, account: Account) {
        let fresh = Member {
            account: account.clone(),
            in_flight: 0,
            next: 0,
            used: 0,
            share: None,
            rests: BTreeMap::new(),
            dropped: BTreeSet::new(),
            wanted: false,
            running: false,
            refused: false,
            retry_at: None,
        };
        let member = self.members.entry(account.id).or_insert(fresh);
        if member.account.expires_at != account.expires_at {
            (member.refused, member.retry_at, member.wanted) = (false, None, false);
        }
        member.account = account;
    }

    pub(super) fn remove(&mut self, id: AccountId) {
        self.members.remove(&id);
    }

    pub(super) fn set_enabled(&mut self, id: AccountId, enabled: bool) {
        self.with(id, |member| member.account.enabled = enabled);
    }

    pub(super) fn quota(&mut self, id: AccountId, used: Option<f64>) {
        self.with(id, |member| member.share = used);
    }

    pub(super) fn cool(&mut self, id: AccountId, model: Option<&str>, until: Time, now: Time) -> bool {
        self.advance(now);
        let clock = self.clock;
        let scope = model.map(|model| self.scope(model));
        let Some(member) = self.members.get_mut(&id).filter(|_| until > clock) else { return false };
        let longer = member.rests.get(&scope).is_none_or(|(_, before)| *before < until);
        if longer {
            member.rests.insert(scope, (clock, until));
        }
        longer
    }

    pub(super) fn lift(&mut self, id: AccountId, model: Option<&str>) -> bool {
        let scope = model.map(|model| self.scope(model));
        self.members.get_mut(&id).is_some_and(|member| member.rests.remove(&scope).is_some())
    }

    pub(super) fn drop_model(&mut self, id: AccountId, model: &str) {
        self.with(id, |member| member.dropped.extend([model.to_owned()]));
    }

    pub(super) fn restore_models(&mut self, id: AccountId) {
        self.with(id, |member| member.dropped.clear());
    }

    pub(super) fn due(&mut self, now: Time, margin: Duration) -> BTreeSet<AccountId> {
        self.advance(now);
        let horizon = self.clock.checked_add(margin);
        let near = |end: Time| horizon.is_none_or(|horizon| end <= horizon);
        let due = self.members.values().filter(|member| {
            let free = !member.wanted && !member.running && member.retry_at.is_none_or(|at| at <= self.clock);
            let on = member.account.enabled && member.account.limit != Some(0);
            on && free && (member.refused || member.account.expires_at.is_some_and(near))
        });
        due.map(|member| member.account.id).collect()
    }

    pub(super) fn take_wanted(&mut self) -> BTreeSet<AccountId> {
        let mut taken = BTreeSet::new();
        for member in self.members.values_mut().filter(|member| member.wanted) {
            (member.wanted, member.running) = (false, member.account.enabled);
            if member.running {
                taken.insert(member.account.id);
            }
        }
        taken
    }

    pub(super) fn refreshing(&mut self, id: AccountId) {
        self.with(id, |member| {
            (member.running, member.wanted, member.retry_at) = (true, false, None);
        });
    }

    pub(super) fn refused(&mut self, id: AccountId) {
        let clock = self.clock;
        self.with(id, |member| {
            member.refused = true;
            let on = member.account.enabled && member.account.limit != Some(0);
            let free = !member.running && member.retry_at.is_none_or(|at| at <= clock);
            member.wanted |= on && free;
        });
    }

    pub(super) fn refreshed(&mut self, id: AccountId, expires_at: Option<Time>) {
        self.with(id, |member| {
            (member.running, member.wanted, member.refused) = (false, false, false);
            (member.retry_at, member.account.expires_at) = (None, expires_at);
        });
    }

    pub(super) fn refresh_failed(&mut self, id: AccountId, retry_at: Time) {
        let clock = self.clock;
        self.with(id, |member| {
            (member.running, member.wanted) = (false, false);
            member.retry_at = Some(retry_at).filter(|at| *at > clock);
        });
    }

    pub(super) fn next_event(&mut self, now: Time) -> Option<Time> {
        self.advance(now);
        let rests = self.members.values().flat_map(|member| member.rests.values().map(|rest| rest.1));
        rests.chain(self.members.values().filter_map(|member| member.retry_at)).min()
    }

    pub(super) fn cooldowns(&self) -> BTreeSet<(AccountId, Option<String>, Time)> {
        let each = |member: &Member| -> Vec<_> {
            let id = member.account.id;
            member.rests.iter().map(|(scope, rest)| (id, scope.clone(), rest.1)).collect()
        };
        self.members.values().flat_map(each).collect()
    }

    pub(super) fn in_flight(&self, id: AccountId) -> u32 {
        self.members.get(&id).map_or(0, |member| member.in_flight)
    }

    fn with(&mut self, id: AccountId, change: impl FnOnce(&mut Member)) {
        if let Some(member) = self.members.get_mut(&id) {
            change(member);
        }
    }
}
