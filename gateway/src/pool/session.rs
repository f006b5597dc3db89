//! Who served a session or an answer before. Bounded, forgetful, and without the keys' text.

use super::schedule::AccountId;
use lru::LruCache;
use std::time::{Duration, SystemTime};

/// Sessions and answers remembered at most, each.
pub const CAPACITY: usize = 65_536;

/// Models for which one session may sit elsewhere than at home.
const ELSEWHERE: usize = 8;

/// Values by key; the least recently used leave first, and any that idles for `ttl`.
#[derive(Debug)]
pub struct Memory<V> {
    entries: LruCache<u128, (SystemTime, V)>,
    capacity: usize,
    ttl: Duration,
}

impl<V> Memory<V> {
    /// An empty memory.
    pub fn new(capacity: usize, ttl: Duration) -> Self {
        // Bounded by `put`: a bounded cache would reserve all of its table at once.
        Self { entries: LruCache::unbounded(), capacity: capacity.max(1), ttl }
    }

    /// What is known under `key`; asking keeps it alive.
    pub fn get(&mut self, key: u128, now: SystemTime) -> Option<&mut V> {
        let (touched, _) = self.entries.peek(&key)?;
        // A clock that was set back makes nothing idle.
        if now.duration_since(*touched).is_ok_and(|idle| idle >= self.ttl) {
            self.entries.pop(&key);
            return None;
        }
        let (touched, value) = self.entries.get_mut(&key)?;
        *touched = now;
        Some(value)
    }

    /// As [`Self::get`], but asking changes nothing.
    pub fn peek(&self, key: u128, now: SystemTime) -> Option<&V> {
        let (touched, value) = self.entries.peek(&key)?;
        (!now.duration_since(*touched).is_ok_and(|idle| idle >= self.ttl)).then_some(value)
    }

    /// Remembers `value`.
    pub fn put(&mut self, key: u128, value: V, now: SystemTime) {
        self.entries.put(key, (now, value));
        if self.entries.len() > self.capacity {
            self.entries.pop_lru();
        }
    }

    /// How much is remembered.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing is.
    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

/// Where a session sits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bound {
    home: AccountId,
    last: AccountId,
    elsewhere: Vec<(usize, AccountId)>,
}

impl Bound {
    pub(super) fn new(home: AccountId) -> Self {
        Self { home, last: home, elsewhere: Vec::new() }
    }

    pub(super) fn home(&self) -> AccountId {
        self.home
    }

    /// Who served it last, which decides whose state the client holds.
    pub(super) fn last(&self) -> AccountId {
        self.last
    }

    pub(super) fn seat(&self, model: usize) -> AccountId {
        self.elsewhere.iter().find(|(at, _)| *at == model).map_or(self.home, |(_, id)| *id)
    }

    pub(super) fn served_by(&mut self, id: AccountId) {
        self.last = id;
    }

    pub(super) fn move_home(&mut self, model: usize, id: AccountId) {
        self.home = id;
        self.elsewhere.retain(|(at, _)| *at != model);
    }

    /// Moves one model; the session's others stay.
    pub(super) fn move_model(&mut self, model: usize, id: AccountId) {
        self.elsewhere.retain(|(at, _)| *at != model);
        if id != self.home {
            if self.elsewhere.len() == ELSEWHERE {
                self.elsewhere.remove(0);
            }
            self.elsewhere.push((model, id));
        }
    }
}

/// A stable hash of a session's or an answer's name (FNV-1a): the same in every replica and release.
pub(super) fn fingerprint(name: &str) -> u128 {
    const BASIS: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    name.bytes().fold(BASIS, |hash, byte| (hash ^ u128::from(byte)).wrapping_mul(PRIME))
}

/// How strongly a session is drawn to an account (rendezvous hashing): replicas agree without talking. An account
/// draws as often as its weight says, and its best draw counts: so it wins as often, too.
pub(super) fn attraction(session: u128, id: AccountId, weight: u32) -> u64 {
    let first = affinity(session, id);
    (1..u64::from(weight)).map(|draw| mixed(first ^ mixed(draw))).fold(first, u64::max)
}

fn affinity(session: u128, id: AccountId) -> u64 {
    let halves = session.to_le_bytes();
    let (low, high) = halves.split_at(8);
    let word = |bytes: &[u8]| bytes.iter().rev().fold(0u64, |sum, byte| sum << 8 | u64::from(*byte));
    mixed(word(low) ^ mixed(word(high) ^ mixed(id.cast_unsigned())))
}

/// The finishing steps of `SplitMix64`.
fn mixed(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ value >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ value >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ value >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(second)
    }

    #[test]
    fn idle_entries_leave_and_used_ones_stay() {
        let mut memory = Memory::new(9, Duration::from_secs(10));
        memory.put(1, 'a', at(0));
        assert_eq!(memory.get(1, at(9)), Some(&mut 'a'));
        assert_eq!(memory.get(1, at(18)), Some(&mut 'a'));
        assert_eq!(memory.get(1, at(5)), Some(&mut 'a'), "a clock set back makes nothing idle");
        assert_eq!(memory.get(1, at(15)), None);
        assert!(memory.is_empty());
    }

    #[test]
    fn the_least_recently_used_makes_room() {
        let mut memory = Memory::new(2, Duration::from_secs(10));
        memory.put(1, 'a', at(0));
        memory.put(2, 'b', at(0));
        memory.get(1, at(1));
        memory.put(3, 'c', at(1));
        assert_eq!(memory.len(), 2);
        assert_eq!((memory.get(1, at(1)).copied(), memory.get(2, at(1)).copied()), (Some('a'), None));
    }

    #[test]
    fn hashes_are_the_same_in_every_replica() {
        assert_eq!(fingerprint(""), 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d);
        assert_eq!(fingerprint("a"), 0xd228_cb69_6f1a_8caf_7891_2b70_4e4a_8964);
        let draws: Vec<u64> = [1, 2, -1].iter().map(|id| affinity(fingerprint("a"), *id)).collect();
        assert_eq!(
            draws,
            [10_030_402_957_031_840_752, 1_907_190_762_918_090_340, 12_631_541_904_967_530_452]
        );
    }

    #[test]
    fn sessions_spread_evenly() {
        let mut load = [0; 8];
        for session in 0..8000 {
            let key = fingerprint(&session.to_string());
            let id = (0..8).max_by_key(|id| affinity(key, *id)).unwrap();
            load[usize::try_from(id).unwrap()] += 1;
        }
        assert!(load.iter().all(|share| (850..1150).contains(share)), "{load:?}");
    }

    #[test]
    fn a_weight_draws_as_many_more_sessions() {
        let mut load = [0; 2];
        for session in 0..8000 {
            let key = fingerprint(&session.to_string());
            let id = (0..2).max_by_key(|id| attraction(key, *id, if *id == 0 { 3 } else { 1 })).unwrap();
            load[usize::try_from(id).unwrap()] += 1;
        }
        assert!((5800..6200).contains(&load[0]), "{load:?}");
    }

    #[test]
    fn one_model_moves_without_the_others() {
        let mut bound = Bound::new(1);
        bound.move_model(7, 2);
        assert_eq!((bound.seat(7), bound.seat(8), bound.home()), (2, 1, 1));
        bound.move_model(7, 1);
        assert_eq!(bound, Bound::new(1));
        for model in 0..100 {
            bound.move_model(model, 5);
        }
        assert_eq!(bound.elsewhere.len(), ELSEWHERE);
        bound.move_home(99, 3);
        assert_eq!((bound.seat(99), bound.seat(98), bound.seat(0)), (3, 5, 3));
    }
}
