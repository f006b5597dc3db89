//! All accounts as seen by one model: who is ready, who when, and who waits for them.

use super::{Standing, contest::Contest, strategy::Rank};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::SystemTime,
};

#[derive(Debug, Default)]
pub(super) struct Lane {
    standings: Vec<Option<Standing>>,
    pub(super) ready: Contest,
    pub(super) expired: Contest,
    pub(super) cooling: BTreeSet<(SystemTime, u32)>,
    pub(super) busy: usize,
    pub(super) refreshing: usize,
    /// Times an account became ready.
    arrivals: u64,
    /// In order of arrival; those who could not take what was ready, with the `arrivals` of that look.
    waiting: BTreeMap<u64, Option<u64>>,
}

impl Lane {
    pub(super) fn standing(&self, slot: u32) -> Option<Standing> {
        self.standings.get(slot as usize).copied().flatten()
    }

    /// Takes note of a slot's standing, and of its rank.
    pub(super) fn place(&mut self, slot: u32, standing: Option<Standing>, ranks: &[Rank]) {
        let at = slot as usize;
        if at >= self.standings.len() {
            self.standings.resize(at + 1, None);
        }
        let before = std::mem::replace(&mut self.standings[at], standing);
        if before != standing {
            match before {
                Some(Standing::Ready) => self.ready.leave(slot, ranks),
                Some(Standing::Expired) => self.expired.leave(slot, ranks),
                Some(Standing::Cooling(until)) => {
                    self.cooling.remove(&(until, slot));
                }
                Some(Standing::Busy) => self.busy -= 1,
                Some(Standing::Refreshing) => self.refreshing -= 1,
                Some(Standing::Unserved | Standing::Disabled | Standing::Tried) | None => {}
            }
        }
        match standing {
            // The rank may have changed even where the standing has not.
            Some(Standing::Ready) => {
                self.ready.enter(slot, ranks);
                self.arrivals += u64::from(before != standing);
            }
            Some(Standing::Expired) => self.expired.enter(slot, ranks),
            _ if before == standing => {}
            Some(Standing::Cooling(until)) => {
                self.cooling.insert((until, slot));
            }
            Some(Standing::Busy) => self.busy += 1,
            Some(Standing::Refreshing) => self.refreshing += 1,
            Some(Standing::Unserved | Standing::Disabled | Standing::Tried) | None => {}
        }
    }

    pub(super) fn enqueue(&mut self, number: u64) {
        self.waiting.insert(number, None);
    }

    pub(super) fn forget(&mut self, number: u64) -> bool {
        self.waiting.remove(&number).is_some()
    }

    /// A ticket that could not take what is ready lets others pass until something else is.
    pub(super) fn let_pass(&mut self, number: u64) {
        if let Some(passed) = self.waiting.get_mut(&number) {
            *passed = Some(self.arrivals);
        }
    }

    /// Whether something is left for this ticket, or for a newcomer, when all before it have had theirs.
    pub(super) fn has_turn(&self, number: Option<u64>) -> bool {
        let limit = number.filter(|number| self.waiting.contains_key(number)).unwrap_or(u64::MAX);
        let ready = self.ready.len();
        ready > 0 && self.claims().take(ready).take_while(|claim| *claim < limit).count() < ready
    }

    /// Tickets that could be served now.
    pub(super) fn callable(&self) -> impl Iterator<Item = u64> {
        self.claims().take(self.ready.len())
    }

    fn claims(&self) -> impl Iterator<Item = u64> {
        let open =
            |(number, passed): (&u64, &Option<u64>)| (*passed != Some(self.arrivals)).then_some(*number);
        self.waiting.iter().filter_map(open)
    }
}
