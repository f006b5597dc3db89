//! What happens to accounts besides being chosen: coming and going, cooldowns, tokens, the passage of time.

use super::{
    Account, AccountId, CLOCK_SET_BACK, Ends, Groups, Schedule,
    entry::{Entry, Refresh, Rest},
    strategy::Strategy,
};
use std::time::{Duration, SystemTime};

/// A cooldown, as it is stored across restarts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cooldown<'a> {
    /// The account.
    pub id: AccountId,
    /// The model, for a group its first; `None` is the whole account.
    pub model: Option<&'a str>,
    /// Its end.
    pub until: SystemTime,
}

impl Schedule {
    /// Adds an account, or changes it. What is known of it (cooldowns, quota, requests in flight) stays;
    /// a token with another end is a new token.
    pub fn upsert(&mut self, account: Account) {
        let id = account.id;
        if let Some(entry) = self.entry_mut(id) {
            let renewed = entry.account.expires_at != account.expires_at;
            let (end, retry_at) = (entry.account.expires_at, entry.retry_at);
            entry.account = account;
            if renewed {
                (entry.refused, entry.retry_at) = (false, None);
                if entry.refresh == Refresh::Wanted {
                    entry.refresh = Refresh::Idle;
                }
                self.retime(id, end, retry_at);
            }
        } else {
            let entry = Entry::new(account);
            let rank = Strategy::rank(self.strategy, &entry.facts());
            let slot = if let Some(slot) = self.vacant.pop() {
                self.entries[slot as usize] = Some(entry);
                self.ranks[slot as usize] = rank;
                slot
            } else if let Ok(slot) = u32::try_from(self.entries.len()) {
                self.entries.push(Some(entry));
                self.ranks.push(rank);
                slot
            } else {
                return;
            };
            self.slots.insert(id, slot);
            self.retime(id, None, None);
        }
        self.place_id(id);
    }

    /// Takes an account out for good. Its requests in flight may still be released.
    pub fn remove(&mut self, id: AccountId) {
        let Some(slot) = self.slots.remove(&id) else { return };
        if let Some(entry) = self.entries[slot as usize].take() {
            let ends = entry.rest.map(|rest| (rest.until, slot, Ends::Rest)).into_iter();
            let ends = ends.chain(entry.retry_at.map(|at| (at, slot, Ends::RefreshPause)));
            let rests = entry.model_rests.iter();
            for end in ends.chain(rests.map(|(model, rest)| (rest.until, slot, Ends::ModelRest(*model)))) {
                self.frees.remove(&end);
            }
            if let Some(end) = entry.account.expires_at {
                self.expiries.remove(&(end, slot));
            }
        }
        self.place(slot);
        self.vacant.push(slot);
    }

    /// Switches an account on or off.
    #[cfg(test)]
    pub fn set_enabled(&mut self, id: AccountId, enabled: bool) {
        if let Some(entry) = self.entry_mut(id) {
            entry.account.enabled = enabled;
            self.place_id(id);
        }
    }

    /// The used share of its allowance, 0 to 1, and when it starts anew; `None` is unknown.
    pub fn quota(&mut self, id: AccountId, used: Option<f64>, resets_at: Option<SystemTime>) {
        if let Some(entry) = self.entry_mut(id) {
            (entry.used_share, entry.resets_at) = (used, resets_at);
            self.place_id(id);
        }
    }

    /// Requests in flight.
    pub fn in_flight(&self, id: AccountId) -> u32 {
        self.entry(id).map_or(0, |entry| entry.in_flight)
    }

    /// Rests an account, or one model of it. Tells whether that is longer than what it had: the longer one stays.
    pub fn cool(&mut self, id: AccountId, model: Option<&str>, until: SystemTime, now: SystemTime) -> bool {
        self.advance(now);
        let rest = Rest { since: self.clock, until };
        let Some(slot) = self.slots.get(&id).copied().filter(|_| until > self.clock) else { return false };
        let Some((place, ends)) = self.rest_place(id, model) else { return false };
        let before = place.map(|rest| rest.until);
        if before.is_some_and(|before| before >= until) {
            return false;
        }
        if let Some(before) = before {
            self.frees.remove(&(before, slot, ends));
        }
        self.frees.insert((until, slot, ends));
        if let Some(entry) = self.entry_mut(id) {
            match ends {
                Ends::ModelRest(model) => {
                    entry.model_rests.retain(|(at, _)| *at != model);
                    entry.model_rests.push((model, rest));
                }
                _ => entry.rest = Some(rest),
            }
        }
        self.place(slot);
        true
    }

    /// Ends a cooldown, on evidence. Tells whether there was one.
    pub fn lift(&mut self, id: AccountId, model: Option<&str>) -> bool {
        let lifted = self.lift_before(id, model, None);
        self.place_id(id);
        lifted
    }

    /// Ends a cooldown if it is older than `began`. The caller places the account.
    pub(super) fn lift_before(
        &mut self,
        id: AccountId,
        model: Option<&str>,
        began: Option<SystemTime>,
    ) -> bool {
        let Some(slot) = self.slots.get(&id).copied() else { return false };
        if model.is_some_and(|model| !self.models.contains_key(self.groups.lead(model))) {
            return false;
        }
        let Some((Some(rest), ends)) = self.rest_place(id, model) else { return false };
        if began.is_some_and(|began| began <= rest.since) {
            return false;
        }
        self.frees.remove(&(rest.until, slot, ends));
        self.end(slot, ends);
        true
    }

    fn rest_place(&mut self, id: AccountId, model: Option<&str>) -> Option<(Option<Rest>, Ends)> {
        let Some(model) = model else { return Some((self.entry(id)?.rest, Ends::Rest)) };
        let model = self.model(model)?;
        let model = self.leads[model];
        let rest = self.entry(id)?.model_rests.iter().find(|(at, _)| *at == model).map(|(_, rest)| *rest);
        Some((rest, Ends::ModelRest(model)))
    }

    /// Which models rest together.
    pub fn groups(&self) -> &Groups {
        &self.groups
    }

    /// All cooldowns, to be stored.
    pub fn cooldowns(&self) -> impl Iterator<Item = Cooldown<'_>> {
        self.entries.iter().flatten().flat_map(|entry| self.rests(entry))
    }

    /// The cooldowns of one account.
    pub fn cooldowns_of(&self, id: AccountId) -> impl Iterator<Item = Cooldown<'_>> {
        self.entry(id).into_iter().flat_map(|entry| self.rests(entry))
    }

    fn rests<'a>(&'a self, entry: &'a Entry) -> impl Iterator<Item = Cooldown<'a>> {
        let id = entry.account.id;
        let whole = entry.rest.map(|rest| Cooldown { id, model: None, until: rest.until });
        let named = move |(model, rest): &(usize, Rest)| Cooldown {
            id,
            model: self.names.get(*model).map(AsRef::as_ref),
            until: rest.until,
        };
        whole.into_iter().chain(entry.model_rests.iter().map(named))
    }

    /// The account does not have this model.
    pub fn drop_model(&mut self, id: AccountId, model: &str) {
        if let Some(model) = self.model(model)
            && let Some(entry) = self.entry_mut(id)
            && !entry.dropped.contains(&model)
        {
            entry.dropped.push(model);
            self.place_id(id);
        }
    }

    /// The account may have all models again.
    pub fn restore_models(&mut self, id: AccountId) {
        if let Some(entry) = self.entry_mut(id) {
            entry.dropped.clear();
            self.place_id(id);
        }
    }

    /// Accounts whose token ends within `margin` and for which no refresh runs, soonest first.
    pub fn due(&mut self, now: SystemTime, margin: Duration) -> Vec<AccountId> {
        self.advance(now);
        let horizon = self.clock.checked_add(margin);
        let ends = |entry: &&Entry| {
            let end = entry.account.expires_at;
            entry.refused || end.is_some_and(|end| horizon.is_none_or(|horizon| end <= horizon))
        };
        let due = self.entries.iter().flatten().filter(ends).filter(|entry| entry.may_refresh(self.clock));
        let mut due: Vec<_> = due.map(|entry| (entry.account.expires_at, entry.account.id)).collect();
        due.sort_unstable();
        due.into_iter().map(|(_, id)| id).collect()
    }

    /// Accounts that requests wait for, for want of a token. They count as refreshing from here on.
    pub fn take_wanted(&mut self) -> Vec<AccountId> {
        let mut taken = std::mem::take(&mut self.wanted);
        taken.retain(|id| {
            let Some(entry) = self.entry_mut(*id).filter(|entry| entry.refresh == Refresh::Wanted) else {
                return false;
            };
            let enabled = entry.account.enabled;
            entry.refresh = if enabled { Refresh::Running } else { Refresh::Idle };
            enabled
        });
        taken
    }

    /// A refresh runs. The token stays in use until it ends.
    pub fn refreshing(&mut self, id: AccountId) {
        let Some(entry) = self.entry_mut(id) else { return };
        entry.refresh = Refresh::Running;
        let (end, retry_at) = (entry.account.expires_at, entry.retry_at.take());
        self.retime(id, end, retry_at);
        self.place_id(id);
    }

    /// Upstream refused the token: it is not used again, and a refresh is wanted.
    pub fn refused(&mut self, id: AccountId) {
        let clock = self.clock;
        let Some(entry) = self.entry_mut(id) else { return };
        entry.refused = true;
        if entry.may_refresh(clock) {
            self.want(id);
        }
        self.place_id(id);
    }

    /// A new token is there.
    pub fn refreshed(&mut self, id: AccountId, expires_at: Option<SystemTime>) {
        let Some(entry) = self.entry_mut(id) else { return };
        let (end, retry_at) = (entry.account.expires_at, entry.retry_at.take());
        (entry.refresh, entry.refused, entry.account.expires_at) = (Refresh::Idle, false, expires_at);
        self.retime(id, end, retry_at);
        self.place_id(id);
    }

    /// There is no new token, and none is asked for before `retry_at`.
    pub fn refresh_failed(&mut self, id: AccountId, retry_at: SystemTime) {
        let clock = self.clock;
        let Some(entry) = self.entry_mut(id) else { return };
        entry.refresh = Refresh::Idle;
        let before = std::mem::replace(&mut entry.retry_at, Some(retry_at).filter(|at| *at > clock));
        let end = entry.account.expires_at;
        self.retime(id, end, before);
        self.place_id(id);
    }

    /// The next time a deadline frees an account; later than `now`.
    #[cfg(test)]
    pub fn next_event(&mut self, now: SystemTime) -> Option<SystemTime> {
        self.advance(now);
        self.frees.first().map(|(at, _, _)| *at)
    }

    /// Replaces the timers of an account's token.
    fn retime(&mut self, id: AccountId, end: Option<SystemTime>, retry_at: Option<SystemTime>) {
        let Some(slot) = self.slots.get(&id).copied() else { return };
        if let Some(end) = end {
            self.expiries.remove(&(end, slot));
        }
        if let Some(at) = retry_at {
            self.frees.remove(&(at, slot, Ends::RefreshPause));
        }
        let Some(entry) = &self.entries[slot as usize] else { return };
        if let Some(end) = entry.account.expires_at.filter(|end| *end > self.clock) {
            self.expiries.insert((end, slot));
        }
        if let Some(at) = entry.retry_at {
            self.frees.insert((at, slot, Ends::RefreshPause));
        }
    }

    /// Lets time pass up to `now`.
    pub(super) fn advance(&mut self, now: SystemTime) {
        if let Ok(back) = self.clock.duration_since(now)
            && !back.is_zero()
        {
            if back >= CLOCK_SET_BACK {
                self.set_back(now);
            }
            return;
        }
        self.clock = now;
        while let Some((_, slot, ends)) = self.frees.first().copied().filter(|(at, _, _)| *at <= now) {
            self.frees.pop_first();
            self.end(slot, ends);
            self.place(slot);
        }
        while let Some((_, slot)) = self.expiries.first().copied().filter(|(at, _)| *at <= now) {
            self.expiries.pop_first();
            self.place(slot);
        }
    }

    /// Tokens that had ended may not have. Cooldowns that are over stay over.
    fn set_back(&mut self, now: SystemTime) {
        self.clock = now;
        for (slot, entry) in (0u32..).zip(&self.entries) {
            if let Some(end) =
                entry.as_ref().and_then(|entry| entry.account.expires_at).filter(|end| *end > now)
            {
                self.expiries.insert((end, slot));
            }
        }
        for slot in (0u32..).take(self.entries.len()) {
            self.place(slot);
        }
    }

    fn end(&mut self, slot: u32, ends: Ends) {
        let Some(entry) = &mut self.entries[slot as usize] else { return };
        match ends {
            Ends::Rest => entry.rest = None,
            Ends::ModelRest(model) => entry.model_rests.retain(|(at, _)| *at != model),
            Ends::RefreshPause => entry.retry_at = None,
        }
    }
}
