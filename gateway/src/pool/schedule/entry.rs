//! One account as the scheduler knows it, and whether it can serve now.

use super::{Account, strategy::Facts};
use std::time::SystemTime;

/// Whether an account can serve a model, or why not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It can.
    Ready,
    /// As many requests as allowed are in flight.
    Busy,
    /// Its token is of no use, a new one is on its way.
    Refreshing,
    /// Its token is of no use, and nobody asked for a new one yet.
    Expired,
    /// Not before this time.
    Cooling(SystemTime),
    /// It does not have the model.
    Unserved,
    /// It is switched off, or not there.
    Disabled,
    /// It could have a part in this, but the request has been there already. Only in explanations.
    Tried,
}

/// A rest that ends by itself.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rest {
    /// What began later has evidence against it.
    pub(super) since: SystemTime,
    pub(super) until: SystemTime,
}

/// How far the next token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refresh {
    Idle,
    Wanted,
    Running,
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) account: Account,
    pub(super) in_flight: u32,
    pub(super) pass: u64,
    pub(super) used: u64,
    pub(super) used_share: Option<f64>,
    pub(super) resets_at: Option<SystemTime>,
    pub(super) rest: Option<Rest>,
    pub(super) model_rests: Vec<(usize, Rest)>,
    pub(super) dropped: Vec<usize>,
    pub(super) refresh: Refresh,
    /// Upstream would not have the token, whatever its expiry says.
    pub(super) refused: bool,
    /// The last refresh failed; none is started before.
    pub(super) retry_at: Option<SystemTime>,
}

impl Entry {
    pub(super) fn new(account: Account) -> Self {
        Self {
            account,
            in_flight: 0,
            pass: 0,
            used: 0,
            used_share: None,
            resets_at: None,
            rest: None,
            model_rests: Vec::new(),
            dropped: Vec::new(),
            refresh: Refresh::Idle,
            refused: false,
            retry_at: None,
        }
    }

    pub(super) fn facts(&self) -> Facts {
        Facts {
            id: self.account.id,
            priority: self.account.priority,
            used_share: self.used_share,
            resets_at: self.resets_at,
            in_flight: self.in_flight,
            weight: self.account.weight,
            pass: self.pass,
            used: self.used,
        }
    }

    /// The one judgement of whether an account can serve; everything else only remembers it. The cooldowns of
    /// `model` stand under `lead`.
    pub(super) fn standing(&self, model: usize, lead: usize, now: SystemTime) -> Standing {
        if self.disabled() {
            return Standing::Disabled;
        }
        if self.dropped.contains(&model) {
            return Standing::Unserved;
        }
        let model_rest = self.model_rests.iter().find(|(at, _)| *at == lead).map(|(_, rest)| rest.until);
        let until = self.out_until(now).max(model_rest.filter(|until| *until > now));
        match until {
            Some(until) => Standing::Cooling(until),
            None if self.stale(now) && self.refresh == Refresh::Idle => Standing::Expired,
            None if self.stale(now) => Standing::Refreshing,
            None if self.account.limit.is_some_and(|limit| self.in_flight >= limit) => Standing::Busy,
            None => Standing::Ready,
        }
    }

    /// Whether the token is of no use.
    pub(super) fn stale(&self, now: SystemTime) -> bool {
        self.refused || self.account.expires_at.is_some_and(|end| end <= now)
    }

    /// Whether it is out for every model, other than for a moment.
    pub(super) fn out(&self, now: SystemTime) -> bool {
        self.disabled() || self.out_until(now).is_some()
    }

    /// Whether a refresh may be started.
    pub(super) fn may_refresh(&self, now: SystemTime) -> bool {
        !self.disabled() && self.refresh == Refresh::Idle && self.retry_at.is_none_or(|at| at <= now)
    }

    fn disabled(&self) -> bool {
        !self.account.enabled || self.account.limit == Some(0)
    }

    fn out_until(&self, now: SystemTime) -> Option<SystemTime> {
        let retry = self.retry_at.filter(|_| self.stale(now));
        self.rest.map(|rest| rest.until).max(retry).filter(|until| *until > now)
    }
}
