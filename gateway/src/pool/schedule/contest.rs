//! The best of many by rank, kept as a tournament: one change replays the matches above one leaf.

use super::strategy::Rank;
use std::{cmp::Reverse, collections::BinaryHeap};

#[cfg(test)]
thread_local! {
    /// Matches looked at by this thread: what a choice costs.
    pub(super) static MATCHES: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

/// The slots that take part, each under its rank in a table that several contests share.
#[derive(Debug, Default)]
pub(super) struct Contest {
    /// Winner of each match: the root is 1, the children of `n` are `2n` and `2n + 1`, leaves begin at `size`.
    winners: Vec<Option<u32>>,
    size: usize,
    count: usize,
}

impl Contest {
    pub(super) fn len(&self) -> usize {
        self.count
    }

    pub(super) fn enter(&mut self, slot: u32, ranks: &[Rank]) {
        while slot as usize >= self.size {
            self.grow(ranks);
        }
        let leaf = self.size + slot as usize;
        if self.winners[leaf].replace(slot).is_none() {
            self.count += 1;
        }
        self.replay(leaf, slot, ranks);
    }

    pub(super) fn leave(&mut self, slot: u32, ranks: &[Rank]) {
        let leaf = self.size + slot as usize;
        if let Some(place) = self.winners.get_mut(leaf)
            && place.take().is_some()
        {
            self.count -= 1;
            self.replay(leaf, slot, ranks);
        }
    }

    /// All participants, best first; each one costs a logarithm.
    pub(super) fn best_first<'a>(&'a self, ranks: &'a [Rank]) -> BestFirst<'a> {
        BestFirst { contest: self, ranks, started: false, last: None, open: BinaryHeap::new() }
    }

    fn winner(&self, node: usize) -> Option<u32> {
        self.winners.get(node).copied().flatten()
    }

    fn replay(&mut self, leaf: usize, changed: u32, ranks: &[Rank]) {
        let mut node = leaf / 2;
        while node > 0 {
            let winner = self.decide(node, ranks);
            let before = std::mem::replace(&mut self.winners[node], winner);
            if before == winner && winner != Some(changed) {
                break;
            }
            node /= 2;
        }
    }

    fn decide(&self, node: usize, ranks: &[Rank]) -> Option<u32> {
        #[cfg(test)]
        MATCHES.set(MATCHES.get() + 1);
        match (self.winners[2 * node], self.winners[2 * node + 1]) {
            (Some(left), Some(right)) => {
                Some(if ranks[right as usize] < ranks[left as usize] { right } else { left })
            }
            (left, right) => left.or(right),
        }
    }

    fn grow(&mut self, ranks: &[Rank]) {
        let leaves = self.winners.get(self.size..).unwrap_or_default();
        let size = (self.size * 2).max(16);
        let mut winners = vec![None; 2 * size];
        winners[size..size + leaves.len()].copy_from_slice(leaves);
        (self.winners, self.size) = (winners, size);
        for node in (1..size).rev() {
            self.winners[node] = self.decide(node, ranks);
        }
    }
}

/// Participants in order of rank.
#[derive(Debug)]
pub(super) struct BestFirst<'a> {
    contest: &'a Contest,
    ranks: &'a [Rank],
    started: bool,
    /// The one yielded last and the subtree it won; opened only if somebody asks for more.
    last: Option<(usize, u32)>,
    /// Subtrees not looked into yet, by their winner.
    open: BinaryHeap<Reverse<(Rank, usize, u32)>>,
}

impl BestFirst<'_> {
    fn open(&mut self, node: usize) {
        #[cfg(test)]
        MATCHES.set(MATCHES.get() + 1);
        if let Some(winner) = self.contest.winner(node) {
            self.open.push(Reverse((self.ranks[winner as usize], node, winner)));
        }
    }

    /// Opens the losers of all matches that the winner of `node` won below it.
    fn split(&mut self, node: usize, winner: u32) {
        let mut at = self.contest.size + winner as usize;
        while at > node {
            self.open(at ^ 1);
            at /= 2;
        }
    }
}

impl Iterator for BestFirst<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        let (node, winner) = if self.started {
            let (node, winner) = self.last.take()?;
            self.split(node, winner);
            let Reverse((_, node, winner)) = self.open.pop()?;
            (node, winner)
        } else {
            self.started = true;
            (1, self.contest.winner(1)?)
        };
        self.last = Some((node, winner));
        Some(winner)
    }
}

#[cfg(test)]
mod tests {
    use super::super::strategy::{Facts, Strategy};
    use super::*;
    use proptest::prelude::*;

    fn rank(id: i64, in_flight: u32) -> Rank {
        Strategy::Balanced.rank(&Facts {
            id,
            priority: 0,
            used_share: None,
            resets_at: None,
            in_flight,
            weight: 1,
            pass: 0,
            used: 0,
        })
    }

    proptest! {
        #[test]
        fn yields_all_participants_in_order_of_rank(
            steps in prop::collection::vec((0u32..70, 0u32..5, prop::bool::ANY), 0..200),
        ) {
            let mut ranks: Vec<Rank> = (0..70).map(|id| rank(id, 0)).collect();
            let mut contest = Contest::default();
            let mut present = std::collections::BTreeSet::new();
            for (slot, load, enters) in steps {
                if enters {
                    ranks[slot as usize] = rank(i64::from(slot), load);
                    contest.enter(slot, &ranks);
                    present.insert(slot);
                } else {
                    contest.leave(slot, &ranks);
                    present.remove(&slot);
                }
                let mut expected: Vec<u32> = present.iter().copied().collect();
                expected.sort_by_key(|slot| ranks[*slot as usize]);
                prop_assert_eq!(contest.len(), expected.len());
                prop_assert_eq!(contest.best_first(&ranks).collect::<Vec<_>>(), expected);
            }
        }
    }
}
