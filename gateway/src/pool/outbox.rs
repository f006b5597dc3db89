use super::schedule::AccountId;
use pollux_sdk::Reason;
use std::{
    collections::{BTreeSet, HashMap},
    time::SystemTime,
};

/// What requests learnt and the keeper has yet to act upon. Bounded by accounts times models: news of the same
/// thing replaces older news.
#[derive(Debug, Default)]
pub struct Outbox {
    /// Rest until then; `None` as model is the whole account.
    pub cooled: HashMap<(AccountId, Option<String>), SystemTime>,
    /// Out until a person acts.
    pub suspended: HashMap<AccountId, Reason>,
    /// Wanted: a fresh token.
    pub refresh: BTreeSet<AccountId>,
}
