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

#[cfg(test)]
mod tests {
    use super::*;
    use pollux_sdk::Secret;
    use serde_json::json;
    use std::time::{Duration, SystemTime};

    fn map(value: Value) -> Map<String, Value> {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn what_the_newer_does_not_say_stays() {
        let end = SystemTime::UNIX_EPOCH + Duration::from_mins(1);
        let stored = Credential {
            subject: Some("subject".into()),
            label: Some("label".into()),
            access: Some(Secret::new("a1")),
            expires_at: Some(end),
            extra: map(json!({"project": "p", "plan": "free"})),
            ..Credential::from_refresh("r1")
        };
        let newer =
            Credential { refresh: None, extra: map(json!({"plan": "pro"})), ..Credential::from_key("a2") };
        let merged = merge(stored.clone(), &newer);
        assert_eq!(merged.subject.as_deref(), Some("subject"));
        assert_eq!(merged.label.as_deref(), Some("label"));
        assert_eq!(merged.access, Some(Secret::new("a2")));
        assert_eq!(merged.refresh, Some(Secret::new("r1")));
        assert_eq!(merged.expires_at, None, "the former end is not the new token's");
        assert_eq!(merged.extra, map(json!({"project": "p", "plan": "pro"})));
        let merged = merge(stored, &Credential::from_refresh("r2"));
        assert_eq!(merged.access, Some(Secret::new("a1")));
        assert_eq!(merged.expires_at, Some(end));
        assert_eq!(merged.refresh, Some(Secret::new("r2")));
    }

    #[test]
    fn null_takes_a_member_away_and_others_are_laid_over() {
        let mut extra = map(json!({"a": 1, "b": 2, "c": 3}));
        amend(&mut extra, map(json!({"a": null, "b": 5, "d": 6, "e": null})));
        assert_eq!(extra, map(json!({"b": 5, "c": 3, "d": 6})));
    }

    #[test]
    fn the_owners_word_outlives_an_enrolment() {
        use State::{Active, Paused, Pending, RefreshUnknown, Suspended, Validating};
        for (stored, trusted, wanted, newcomer_trusted, expected) in [
            (Validating, true, Active, true, Active),
            (Validating, false, Pending, false, Pending),
            (Validating, true, Suspended, true, Suspended),
            (Suspended, true, Active, true, Active),
            (RefreshUnknown, true, Active, true, Active),
            (Paused, true, Active, true, Paused),
            (Paused, false, Pending, false, Paused),
            (Pending, false, Active, false, Pending),
            (Pending, false, Active, true, Active),
            (Pending, false, Suspended, false, Suspended),
            (Active, true, Pending, false, Active),
            (Active, false, Pending, false, Pending),
        ] {
            let settled = settle(stored, trusted, wanted, newcomer_trusted);
            assert_eq!(settled, expected, "{stored} {trusted} {wanted} {newcomer_trusted}");
        }
    }
}
