//! An account as the host sees it, and how it becomes a row of the database.

use super::{Store, StoreError, entity::credential::Model, millis, moment, seal::Place};
use crate::limits::{Limits, Wanted};
use pollux_sdk::{Credential, Reason, Secret};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::{fmt, str::FromStr, time::SystemTime};

/// One stored account.
#[derive(Debug, Clone)]
pub struct Row {
    /// Never given to another account.
    pub id: i64,
    /// Whose account it is.
    pub provider: String,
    /// Its tokens. `subject` is `None` until it is enrolled.
    pub credential: Credential,
    /// Whether it may serve.
    pub state: State,
    /// Why it may not.
    pub reason: Option<Reason>,
    /// Grows with every change of the row.
    pub revision: i64,
    /// Accounts of one login share it.
    pub token_hash: TokenHash,
    /// A refresh was begun and has not ended.
    pub refresh_intent: bool,
    /// Where it came from.
    pub origin: String,
    /// Whether it came from, or was approved by, somebody who may add accounts.
    pub trusted: bool,
    /// Its share of the work, and the way to its vendor.
    pub limits: Limits,
    /// When it was first stored.
    pub created_at: SystemTime,
    /// When it last changed.
    pub updated_at: SystemTime,
}

/// A credential that somebody handed in, not yet looked at.
#[derive(Debug, Clone)]
pub struct Newcomer {
    /// The credential.
    pub credential: Credential,
    /// Where it came from.
    pub origin: String,
    /// Whether that is somebody who may add accounts.
    pub trusted: bool,
    /// What was said of its share of the work.
    pub limits: Wanted,
}

/// What an account may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Stored, not yet enrolled.
    Validating,
    /// Serves.
    Active,
    /// Waits for the owner's approval.
    Pending,
    /// The owner stopped it.
    Paused,
    /// The vendor refuses it until somebody acts.
    Suspended,
    /// Its refresh token may be spent; only a new login helps.
    RefreshUnknown,
    /// The file it came from is gone, or another account took its place. Nobody sees it any more, but its tokens are
    /// kept for a while: the file may come back with older ones.
    Departed,
}

impl State {
    const ALL: [(Self, &'static str); 7] = [
        (Self::Validating, "validating"),
        (Self::Active, "active"),
        (Self::Pending, "pending"),
        (Self::Paused, "paused"),
        (Self::Suspended, "suspended"),
        (Self::RefreshUnknown, "refresh_unknown"),
        (Self::Departed, "departed"),
    ];
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::ALL.iter().find(|(state, _)| state == self).map_or("", |(_, word)| word))
    }
}

impl FromStr for State {
    type Err = String;
    fn from_str(word: &str) -> Result<Self, String> {
        let found = Self::ALL.iter().find(|(_, known)| *known == word);
        found.map(|(state, _)| *state).ok_or_else(|| format!("{word:?} is no state of an account"))
    }
}

/// A keyed hash of the refresh token, or of the access token where there is no other.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TokenHash(pub(super) String);

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenHash({:.8}..)", self.0)
    }
}

/// What is sealed of a credential.
#[derive(Serialize, Deserialize)]
struct Inside {
    access: Option<Secret>,
    refresh: Option<Secret>,
    extra: Map<String, Value>,
}

/// What stands for the subject until the vendor said one.
pub(super) fn stand_in(token_hash: &str) -> String {
    format!("token:{token_hash}")
}

impl Model {
    pub(super) fn stood_in(&self) -> bool {
        self.subject.starts_with(&stand_in(&self.token_hash))
    }

    /// A stand-in for when another row may have the plain one: accounts of one login share a token.
    pub(super) fn own_stand_in(&self) -> String {
        format!("{}:{}", stand_in(&self.token_hash), self.seal_id)
    }

    /// Keeps a row that `stood_in` for `former` recognisable after its token changed.
    pub(super) fn follow(&mut self, stood_in: bool, former: &str) {
        if stood_in && former != self.token_hash {
            self.subject = self.own_stand_in();
        }
    }

    pub(super) fn set_state(&mut self, state: State, reason: Option<Reason>) {
        let (code, text, link) = match reason {
            Some(reason) => (Some(reason.code.into_owned()), Some(reason.text), reason.link),
            None => (None, None, None),
        };
        self.state = state.to_string();
        (self.reason_code, self.reason_text, self.reason_link) = (code, text, link);
    }

    /// It departed, and somebody brings it again.
    pub(super) fn come_back(&mut self, origin: &str, trusted: bool) {
        origin.clone_into(&mut self.origin);
        self.trusted = trusted;
    }

    pub(super) fn is(&self, state: State) -> bool {
        self.state.parse() == Ok(state)
    }

    pub(super) fn clear_intent(&mut self) {
        (self.refresh_intent_at, self.refresh_intent_by) = (None, None);
    }

    pub(super) fn reason(&self) -> Option<Reason> {
        let code = self.reason_code.clone()?;
        Some(Reason::new(code, self.reason_text.clone().unwrap_or_default()).at(self.reason_link.clone()))
    }

    pub(super) fn place(&self) -> Place<'_> {
        Place::Credential { provider: &self.provider, seal_id: &self.seal_id }
    }
}

impl Store {
    /// A row not yet in the database.
    pub(super) fn fresh(
        &self,
        provider: &str,
        newcomer: &Newcomer,
        state: State,
    ) -> Result<Model, StoreError> {
        let now = millis(SystemTime::now());
        let mut model = Model {
            id: 0,
            provider: provider.into(),
            subject: String::new(),
            label: None,
            sealed: Vec::new(),
            seal_id: format!("{:032x}", rand::random::<u128>()),
            token_hash: String::new(),
            expires_at: None,
            state: state.to_string(),
            reason_code: None,
            reason_text: None,
            reason_link: None,
            revision: 0,
            refresh_intent_at: None,
            refresh_intent_by: None,
            origin: newcomer.origin.clone(),
            trusted: newcomer.trusted,
            priority: 0,
            max_concurrency: None,
            weight: 1,
            proxy: None,
            named: false,
            created_at: now,
            updated_at: now,
        };
        self.fill(&mut model, &newcomer.credential)?;
        model.subject = newcomer.credential.subject.clone().unwrap_or_else(|| stand_in(&model.token_hash));
        Ok(model)
    }

    /// Puts the credential into the row; the subject is the caller's.
    pub(super) fn fill(&self, model: &mut Model, credential: &Credential) -> Result<(), StoreError> {
        model.token_hash = self.token_hash(&model.provider, credential).ok_or(StoreError::NoToken)?;
        if !model.named {
            model.label.clone_from(&credential.label);
        }
        model.expires_at = credential.expires_at.map(millis);
        let inside = Inside {
            access: credential.access.clone(),
            refresh: credential.refresh.clone(),
            extra: credential.extra.clone(),
        };
        model.sealed = self.0.sealer.seal(&model.place(), &inside);
        Ok(())
    }

    pub(super) fn token_hash(&self, provider: &str, credential: &Credential) -> Option<String> {
        let token = credential.refresh.as_ref().or(credential.access.as_ref())?;
        Some(self.0.sealer.fingerprint(provider, token.expose()))
    }

    /// What the row holds.
    pub(super) fn credential(&self, model: &Model) -> Result<Credential, StoreError> {
        let inside: Inside =
            self.0.sealer.open(&model.place(), &model.sealed).ok_or(StoreError::Unreadable(model.id))?;
        Ok(Credential {
            access: inside.access,
            refresh: inside.refresh,
            extra: inside.extra,
            ..outside(model)
        })
    }

    /// What the row holds, or as much of it as can be read: whoever brings new tokens may put them there.
    pub(super) fn remains(&self, model: &Model) -> Credential {
        self.credential(model).unwrap_or_else(|_| outside(model))
    }

    /// One damaged row is that account's trouble and not the whole pool's.
    pub(super) fn row(&self, model: Model) -> Row {
        let (credential, state, reason) = match (self.credential(&model), model.state.parse()) {
            (Ok(credential), Ok(state)) => (credential, state, model.reason()),
            _ => (outside(&model), State::Suspended, Some(unreadable())),
        };
        Row {
            id: model.id,
            credential,
            state,
            reason,
            revision: model.revision,
            refresh_intent: model.refresh_intent_at.is_some(),
            trusted: model.trusted,
            limits: self.limits(&model),
            created_at: moment(model.created_at),
            updated_at: moment(model.updated_at),
            provider: model.provider,
            token_hash: TokenHash(model.token_hash),
            origin: model.origin,
        }
    }
}

fn unreadable() -> Reason {
    Reason::new("unreadable", "what is stored for this account was altered or damaged; add the account again")
}

fn outside(model: &Model) -> Credential {
    Credential {
        subject: (!model.stood_in()).then(|| model.subject.clone()),
        label: model.label.clone(),
        access: None,
        refresh: None,
        expires_at: model.expires_at.map(moment),
        extra: Map::new(),
    }
}
