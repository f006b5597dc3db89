//! What vendors tell of allowances, and whom to ask about them.

use super::{
    Allowance, Held, Pool, Prospect, Standing, State, Wish,
    schedule::{AccountId, Ask},
};
use pollux_sdk::{Model, Quota, Reason, Survey};
use serde_json::Value;
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
    time::{Duration, SystemTime},
};

/// Catalogue entries kept: a vendor's list is short, and nobody may fill the memory with it.
const ENTRIES: usize = 512;

/// What was told, by account.
#[derive(Debug, Default)]
pub(super) struct Readings {
    pub(super) allowances: HashMap<AccountId, Allowance>,
    /// Accounts whose allowance changed since it was last written down.
    unwritten: HashSet<AccountId>,
    /// When each was last used, and last asked about.
    watched: HashMap<AccountId, Watched>,
    /// The vendor's own catalogue entries, by model.
    entries: BTreeMap<String, Value>,
}

#[derive(Debug, Default)]
struct Watched {
    used_at: Option<SystemTime>,
    surveyed_at: Option<SystemTime>,
}

impl Readings {
    pub(super) fn used(&mut self, id: AccountId, now: SystemTime) {
        self.watched.entry(id).or_default().used_at = Some(now);
    }

    pub(super) fn quota_of(&self, id: AccountId, now: SystemTime) -> Quota {
        self.allowances.get(&id).map(|allowance| allowance.quota(now)).unwrap_or_default()
    }

    /// Whether nothing is left of some window that counts for all models.
    fn is_exhausted(&self, id: AccountId, now: SystemTime) -> bool {
        let used = self.allowances.get(&id).and_then(|allowance| allowance.used(now));
        used.is_some_and(|used| used >= 1.0)
    }

    pub(super) fn forget(&mut self, id: AccountId) {
        self.allowances.remove(&id);
        self.watched.remove(&id);
    }
}

impl Pool {
    pub(super) fn reading(&self, id: AccountId, quota: &Quota) {
        let mut state = self.lock();
        state.learn(id, quota, SystemTime::now());
        state.readings.unwritten.insert(id);
    }

    /// A reading from before the start.
    pub fn restore_quota(&self, id: AccountId, quota: &Quota) {
        self.lock().learn(id, quota, SystemTime::now());
    }

    /// Readings that are not written down yet.
    pub fn take_readings(&self, now: SystemTime) -> Vec<(AccountId, Quota)> {
        let mut state = self.lock();
        let ids = std::mem::take(&mut state.readings.unwritten);
        let quota = |id: AccountId| Some((id, state.readings.allowances.get(&id)?.quota(now)));
        ids.into_iter().filter_map(quota).collect()
    }

    /// The account as requests see it.
    pub fn held(&self, id: AccountId) -> Option<Arc<Held>> {
        self.lock().held.get(&id).cloned()
    }

    /// Takes an account out for a reason, which the keeper writes down.
    pub fn suspend(&self, id: AccountId, reason: Reason) {
        self.lock().suspend(id, reason);
        self.noted.notify_one();
    }

    /// Accounts to ask about: never asked, or used, resting or exhausted and not asked for `every`.
    pub fn take_survey_wants(&self, now: SystemTime, every: Duration) -> Vec<AccountId> {
        let mut state = self.lock();
        let resting: HashSet<AccountId> =
            state.schedule.cooldowns().filter(|rest| rest.until > now).map(|rest| rest.id).collect();
        let old = |at: Option<SystemTime>, age: Duration| {
            at.is_none_or(|at| now.duration_since(at).is_ok_and(|passed| passed >= age))
        };
        let wanted = |id: &AccountId| {
            let Some(watched) = state.readings.watched.get(id) else { return true };
            // Spread over a fifth of the time, so that a pool does not ask all at once.
            let jitter = every / 5 * u32::try_from(id.unsigned_abs() % 16).unwrap_or(0) / 16;
            let busy =
                !old(watched.used_at, every) || resting.contains(id) || state.readings.is_exhausted(*id, now);
            watched.surveyed_at.is_none() || (busy && old(watched.surveyed_at, every + jitter))
        };
        let ids: Vec<AccountId> = state.held.keys().copied().filter(wanted).collect();
        for id in &ids {
            state.readings.watched.entry(*id).or_default().surveyed_at = Some(now);
        }
        ids
    }

    /// What the vendor said when asked. Tells whether its word has ended the account's rest.
    pub fn surveyed(&self, id: AccountId, survey: &Survey, now: SystemTime) -> bool {
        let mut state = self.lock();
        if let Some(quota) = &survey.quota {
            state.learn(id, quota, now);
            state.readings.unwritten.insert(id);
        }
        let entries = &mut state.readings.entries;
        for model in survey.models.iter().flatten().filter(|model| !model.entry.is_null()) {
            if entries.len() < ENTRIES || entries.contains_key(&model.id) {
                entries.insert(model.id.clone(), model.entry.clone());
            }
        }
        let lifted = survey.allowed == Some(true) && state.schedule.lift(id, None);
        state.wake(now);
        lifted
    }

    /// How near its accounts are to serving a model.
    pub fn prospect(&self, model: &str, now: SystemTime) -> Prospect {
        self.lock().schedule.prospect(model, now)
    }

    /// The vendor's own catalogue entry of a model.
    pub fn entry(&self, model: &str) -> Option<Value> {
        self.lock().readings.entries.get(model).cloned()
    }

    /// Every model that a survey named, by name.
    pub fn catalogue(&self) -> Vec<Model> {
        let state = self.lock();
        let model = |(id, entry): (&String, &Value)| Model { id: id.clone(), entry: entry.clone() };
        state.readings.entries.iter().map(model).collect()
    }

    /// What is known of an account's allowance.
    pub fn quota_of(&self, id: AccountId, now: SystemTime) -> Quota {
        self.lock().readings.quota_of(id, now)
    }

    /// Every account, and what it could do now whatever the model.
    pub fn standings(&self, now: SystemTime) -> Vec<(Arc<Held>, Standing)> {
        let state = self.lock();
        state.told(state.schedule.explain(&Ask::default(), now))
    }

    /// Whether one account could serve a model now.
    pub fn standing_of(&self, id: AccountId, model: &str, now: SystemTime) -> Standing {
        self.lock().schedule.standing_of(id, model, now)
    }

    /// Every account in the order of choice, and whether it could serve this wish now: by the same rules as a
    /// live choice. Also says whom it would be given.
    pub fn explain(&self, wish: &Wish, now: SystemTime) -> (Vec<(Arc<Held>, Standing)>, Option<AccountId>) {
        let mut state = self.lock();
        let chosen = state.schedule.preview(&wish.ask(&[]), now);
        (state.told(state.schedule.explain(&wish.ask(&[]), now)), chosen)
    }
}

impl State {
    fn told(&self, standings: Vec<(AccountId, Standing)>) -> Vec<(Arc<Held>, Standing)> {
        let held = |(id, standing)| Some((self.held.get(&id).cloned()?, standing));
        standings.into_iter().filter_map(held).collect()
    }

    fn learn(&mut self, id: AccountId, quota: &Quota, now: SystemTime) {
        if !self.held.contains_key(&id) {
            return;
        }
        let allowance = self.readings.allowances.entry(id).or_default();
        allowance.learn(quota);
        let (used, resets_at) = (allowance.used(now), allowance.resets_at(now));
        self.schedule.quota(id, used, resets_at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{pool::Strategy, store::Store};
    use pollux_sdk::{Credential, Window};

    const EVERY: Duration = Duration::from_mins(5);

    async fn pool_of(count: usize) -> (Pool, Vec<AccountId>) {
        let opening = crate::store::Opening { url: "sqlite::memory:", key_file: None, key: None };
        let store = Store::open(opening).await.unwrap();
        let pool = Pool::new(
            Strategy::Balanced,
            Duration::from_secs(1),
            Duration::from_hours(1),
            crate::pool::schedule::Groups::default(),
        );
        let mut ids = Vec::new();
        for number in 0..count {
            let newcomer = crate::store::Newcomer {
                credential: Credential::from_key(format!("key-{number}")),
                origin: "here".into(),
                trusted: true,
                limits: crate::limits::Wanted::default(),
            };
            let rows = store.ingest("acme", vec![newcomer]).await.unwrap();
            pool.publish(&rows[0]);
            ids.push(rows[0].id);
        }
        (pool, ids)
    }

    #[tokio::test]
    async fn only_accounts_in_use_resting_or_exhausted_are_asked_about_again() {
        let (pool, ids) = pool_of(4).await;
        let [idle, used, resting, exhausted] = ids[..] else { panic!("four were made") };
        let start = SystemTime::now();
        let sorted = |mut ids: Vec<AccountId>| {
            ids.sort_unstable();
            ids
        };
        assert_eq!(sorted(pool.take_survey_wants(start, EVERY)), ids, "nothing is known of any yet");
        assert!(pool.take_survey_wants(start, EVERY).is_empty());
        let later = start + EVERY * 2;
        {
            let mut state = pool.lock();
            state.readings.used(used, later - Duration::from_secs(1));
            state.schedule.cool(resting, None, later + EVERY, start);
        }
        let window = Window { length: None, model: None, used: Some(1.0), resets_at: None };
        pool.reading(exhausted, &Quota { windows: vec![window] });
        assert_eq!(sorted(pool.take_survey_wants(later, EVERY)), [used, resting, exhausted]);
        assert!(!pool.take_survey_wants(later + EVERY * 9, EVERY).contains(&idle));
    }

    #[tokio::test]
    async fn a_pool_does_not_ask_about_all_its_accounts_at_once() {
        let (pool, ids) = pool_of(16).await;
        let start = SystemTime::now();
        pool.take_survey_wants(start, EVERY);
        let mut asked = Vec::new();
        for seconds in (0..=EVERY.as_secs() * 3 / 2).step_by(5) {
            let now = start + Duration::from_secs(seconds);
            for id in &ids {
                pool.lock().readings.used(*id, now);
            }
            let count = pool.take_survey_wants(now, EVERY).len();
            asked.extend((count > 0).then_some((seconds, count)));
        }
        assert_eq!(asked.iter().map(|(_, count)| count).sum::<usize>(), ids.len(), "each once: {asked:?}");
        assert!(asked.iter().all(|(seconds, _)| *seconds >= EVERY.as_secs()), "none too early: {asked:?}");
        assert!(asked.len() >= 8, "spread over time: {asked:?}");
    }
}
