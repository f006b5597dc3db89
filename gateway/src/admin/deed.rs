use crate::store::State;

/// What an owner's action comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deed {
    /// A stranger's account may serve from now on.
    Approve,
    /// The account goes into this state.
    Into(State),
    /// A new token, now.
    Refresh,
    /// Whatever it rests for is over.
    ForgetCooldown,
}

/// The action and the account's state do not go together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{action}` does not apply to account {id}, which is {state}")]
pub(crate) struct Conflict {
    action: String,
    id: i64,
    state: State,
}

/// What `action` means for account `id` in `state`.
pub(crate) fn deed(action: &str, id: i64, state: State) -> Result<Deed, Conflict> {
    match (action, state) {
        ("approve", State::Pending) => Ok(Deed::Approve),
        ("pause", State::Active) => Ok(Deed::Into(State::Paused)),
        ("resume", State::Paused) => Ok(Deed::Into(State::Active)),
        // Whether it can serve again, only the vendor can say.
        ("resume" | "refresh", State::Suspended) => Ok(Deed::Into(State::Validating)),
        ("refresh", State::Active) => Ok(Deed::Refresh),
        ("forget-cooldown", _) => Ok(Deed::ForgetCooldown),
        _ => Err(Conflict { action: action.to_owned(), id, state }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_action_applies_where_it_changes_something() {
        use State::{Active, Paused, Pending, RefreshUnknown, Suspended, Validating};
        let states = [Validating, Active, Pending, Paused, Suspended, RefreshUnknown];
        for (action, expected) in [
            ("approve", [None, None, Some(Deed::Approve), None, None, None]),
            ("pause", [None, Some(Deed::Into(Paused)), None, None, None, None]),
            ("resume", [None, None, None, Some(Deed::Into(Active)), Some(Deed::Into(Validating)), None]),
            ("refresh", [None, Some(Deed::Refresh), None, None, Some(Deed::Into(Validating)), None]),
            ("forget-cooldown", [Some(Deed::ForgetCooldown); 6]),
            ("explode", [None; 6]),
        ] {
            for (state, expected) in states.into_iter().zip(expected) {
                let told = deed(action, 7, state);
                assert_eq!(told.clone().ok(), expected, "{action} {state}");
                if let Err(conflict) = told {
                    let text = conflict.to_string();
                    assert!(text.contains(action) && text.contains("account 7"), "{text}");
                    assert!(text.contains(&state.to_string()), "{text}");
                }
            }
        }
    }
}
