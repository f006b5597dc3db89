//! The pool of one provider: lock, clock and waiting around the pure scheduler.
//!
//! What a request learns about an account is noted in the outbox, which the provider's keeper writes down and
//! acts upon. The hot path never touches the database.

mod grant;
mod outbox;
pub mod schedule;
mod session;

pub use grant::Grant;
pub use outbox::Outbox;

use crate::store::{Row, State as RowState};
use pollux_sdk::{Credential, Effect, Scope};
use schedule::{Account, AccountId, Ask, Choice, Schedule};
use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};
use tokio::{sync::Notify, time::Instant};

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

/// Why there is no lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// There is no account at all, or none that is in order.
    Empty,
    /// No account has this model.
    NoModel,
    /// Every usable account has been tried.
    Exhausted,
    /// All are cooling; the soonest deadline.
    Cooling(SystemTime),
    /// All are busy or refreshing, and none came free in time.
    Busy,
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
}

/// The accounts of one provider.
#[derive(Debug)]
pub struct Pool {
    state: Mutex<State>,
    /// Something may have come free.
    freed: Notify,
    /// The outbox has something.
    noted: Notify,
    acquire_timeout: Duration,
}

#[derive(Debug)]
struct State {
    schedule: Schedule,
    held: HashMap<AccountId, Arc<Held>>,
    /// Revisions whose token upstream rejected before it had served once.
    rejected: HashMap<AccountId, i64>,
    outbox: Outbox,
}

impl Denied {
    /// When the pool may serve again, as far as it knows.
    pub fn soonest(self) -> Option<SystemTime> {
        match self {
            Self::Cooling(until) => Some(until),
            _ => None,
        }
    }
}
