//! What remains when something newer is learned about an account.

use super::State;
use pollux_sdk::Credential;
use serde_json::{Map, Value};

/// Lays `newer` over `stored`: what `newer` does not say stays.
pub(super) fn merge(stored: Credential, newer: &Credential) -> Credential {
    // A new access token without an end has none; that of the former says nothing about it.
    let (access, expires_at) = match &newer.access {
        Some(access) => (Some(access.clone()), newer.expires_at),
        None => (stored.access, stored.expires_at),
    };
    let mut extra = stored.extra;
    extra.extend(newer.extra.clone());
    Credential {
        subject: newer.subject.clone().or(stored.subject),
        label: newer.label.clone().or(stored.label),
        access,
        refresh: newer.refresh.clone().or(stored.refresh),
        expires_at,
        extra,
    }
}

/// Takes the tokens of `current` if `older` was made from an earlier state of them.
pub(super) fn keep_tokens(mut older: Credential, current: &Credential) -> Credential {
    older.access.clone_from(&current.access);
    older.refresh.clone_from(&current.refresh);
    older.expires_at = current.expires_at;
    older
}

/// The owner's word: `null` takes a member away.
pub(super) fn amend(extra: &mut Map<String, Value>, changes: Map<String, Value>) {
    for (name, value) in changes {
        if value.is_null() {
            extra.shift_remove(&name);
        } else {
            extra.insert(name, value);
        }
    }
}

/// Whether `stored` says all that `asked` says.
pub(super) fn covers(stored: &Map<String, Value>, asked: &Map<String, Value>) -> bool {
    asked.iter().all(|(name, value)| stored.get(name) == Some(value))
}

/// Whether `stored` says nothing else than `asked`.
pub(super) fn agrees(stored: &Map<String, Value>, asked: &Map<String, Value>) -> bool {
    asked.iter().all(|(name, value)| stored.get(name).is_none_or(|known| known == value))
}

/// The state of an account after it was enrolled, by `newcomer_trusted` somebody, and found to be `wanted`.
pub(super) fn settle(stored: State, trusted: bool, wanted: State, newcomer_trusted: bool) -> State {
    match (stored, wanted) {
        (State::Paused, _) => State::Paused,
        (State::Pending, State::Active) if !newcomer_trusted => State::Pending,
        // A stranger with an approved account's login does not take the approval away.
        (_, State::Pending) if trusted => State::Active,
        _ => wanted,
    }
}
