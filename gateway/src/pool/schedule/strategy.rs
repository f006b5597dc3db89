//! Who goes first among the accounts that could serve.

use super::AccountId;
use std::{
    cmp::Reverse,
    time::{SystemTime, UNIX_EPOCH},
};

/// How accounts are ordered, by configuration. A higher priority goes first in all of them. A weight counts where
/// there are turns and load: an account of weight 2 gets two turns for one, and counts half as busy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Strategy {
    /// More quota left, then fewer in flight, then whose turn it is.
    #[default]
    Balanced,
    /// Whose turn it is.
    RoundRobin,
    /// The oldest account, until it cools or is full.
    FillFirst,
    /// Whose allowance starts anew soonest: what is left of it would be lost.
    SoonestReset,
}

/// What an order may look at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Facts {
    pub(super) id: AccountId,
    pub(super) priority: i32,
    pub(super) used_share: Option<f64>,
    pub(super) resets_at: Option<SystemTime>,
    pub(super) in_flight: u32,
    /// At least 1.
    pub(super) weight: u32,
    /// When its next turn is, on a clock that its weight slows down.
    pub(super) pass: u64,
    /// The turn of its last use; 0 is never.
    pub(super) used: u64,
}

/// What a turn moves an account of weight 1 on by. Shares of it differ for any two loads and weights that differ.
pub(super) const TURN: u64 = 1 << 20;

/// A place in the order; the least goes first. No two accounts share one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    band: Band,
    load: u64,
    pass: u64,
    used: u64,
    id: AccountId,
}

/// Accounts of one band are equally good for a new session; load alone does not part them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Band {
    priority: Reverse<i32>,
    merit: u64,
}

impl Strategy {
    pub(super) fn rank(self, facts: &Facts) -> Rank {
        let Facts { id, priority, used_share, resets_at, in_flight, weight, pass, used } = *facts;
        let load = u64::from(in_flight) * TURN / u64::from(weight.max(1));
        let (merit, load, pass, used) = match self {
            // An account that was never used goes first, once: its answer is how its reading comes.
            Self::Balanced if used == 0 && used_share.is_none() => (0, load, pass, used),
            Self::Balanced => (u64::from(tenths(used_share)), load, pass, used),
            Self::RoundRobin => (0, 0, pass, used),
            Self::FillFirst => (id.unsigned_abs(), 0, 0, 0),
            Self::SoonestReset => (minute(resets_at), load, pass, used),
        };
        Rank { band: Band { priority: Reverse(priority), merit }, load, pass, used, id }
    }
}

impl Rank {
    pub(super) fn band(&self) -> Band {
        self.band
    }
}

/// The used share in tenths, so that a percent more or less does not outweigh load.
/// Unknown counts as half: as unspent it would draw every request until its first reading, which may never come.
fn tenths(used: Option<f64>) -> u8 {
    let share = used.filter(|share| !share.is_nan()).unwrap_or(0.5).clamp(0.0, 1.0);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 10 by the clamp")]
    let tenths = (share * 10.0).floor() as u8;
    tenths
}

/// A reset to the minute, so that load still counts between accounts that started together. Unknown comes last.
fn minute(resets_at: Option<SystemTime>) -> u64 {
    let since = resets_at.and_then(|at| at.duration_since(UNIX_EPOCH).ok());
    since.map_or(u64::MAX, |since| since.as_secs() / 60)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn each_strategy_has_its_own_first() {
        let at = |minutes| Some(UNIX_EPOCH + Duration::from_mins(minutes));
        let base = Facts {
            id: 0,
            priority: 0,
            used_share: None,
            resets_at: None,
            in_flight: 0,
            weight: 1,
            pass: 0,
            used: 0,
        };
        let pool = [
            Facts { id: 1, used_share: Some(0.9), resets_at: at(9), in_flight: 2, pass: 7, used: 7, ..base },
            Facts { id: 2, used_share: Some(0.1), resets_at: at(8), in_flight: 9, pass: 6, used: 6, ..base },
            Facts { id: 3, used_share: Some(0.5), resets_at: at(1), in_flight: 1, pass: 5, used: 5, ..base },
            Facts { id: 4, used_share: Some(0.6), resets_at: None, in_flight: 0, pass: 1, used: 1, ..base },
        ];
        let first = |strategy: Strategy| pool.iter().min_by_key(|facts| strategy.rank(facts)).unwrap().id;
        assert_eq!(first(Strategy::Balanced), 2);
        assert_eq!(first(Strategy::RoundRobin), 4);
        assert_eq!(first(Strategy::FillFirst), 1);
        assert_eq!(first(Strategy::SoonestReset), 3);
    }

    #[test]
    fn balanced_looks_at_priority_quota_load_turn_use_and_id_in_this_order() {
        let base = Facts {
            id: 5,
            priority: 0,
            used_share: Some(0.55),
            resets_at: None,
            in_flight: 3,
            weight: 1,
            pass: 9,
            used: 9,
        };
        let rank = |facts: Facts| Strategy::Balanced.rank(&facts);
        let better = [
            Facts { priority: 1, used_share: Some(1.0), ..base },
            Facts { used_share: Some(0.49), in_flight: 9, ..base },
            Facts { in_flight: 2, pass: 99, used: 99, ..base },
            Facts { in_flight: 5, weight: 2, pass: 99, ..base },
            Facts { pass: 8, used: 10, ..base },
            Facts { used: 8, id: 6, ..base },
            Facts { id: 4, ..base },
            Facts { used_share: Some(0.59), in_flight: 2, ..base },
            Facts { used_share: None, in_flight: 2, ..base },
            Facts { used_share: None, in_flight: 9, used: 0, ..base },
        ];
        for facts in better {
            assert!(rank(facts) < rank(base), "{facts:?}");
        }
        assert_eq!(rank(Facts { in_flight: 0, used: 0, id: 1, ..base }).band(), rank(base).band());
        let fresh = Facts { used_share: None, used: 0, ..base };
        assert_eq!(rank(fresh).band(), rank(Facts { used_share: Some(0.0), ..base }).band());
    }

    #[test]
    fn every_reading_has_a_tenth() {
        let table = [
            (None, 5),
            (Some(f64::NAN), 5),
            (Some(-3.0), 0),
            (Some(0.0), 0),
            (Some(0.099), 0),
            (Some(0.1), 1),
            (Some(1.0), 10),
            (Some(f64::INFINITY), 10),
        ];
        for (used, expected) in table {
            assert_eq!(tenths(used), expected, "{used:?}");
        }
    }
}
