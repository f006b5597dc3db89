//! Accounts arriving, being enrolled, being looked at, and leaving.

use super::{
    Newcomer, Row, State, Store, StoreError,
    entity::credential::{ActiveModel, Column, Entity, Model},
    files, merge, millis, spent,
};
use crate::limits::Wanted;
use pollux_sdk::{Credential, Reason};
use sea_orm::{
    ActiveModelTrait, ActiveValue::NotSet, ColumnTrait, ConnectionTrait, DatabaseTransaction, EntityTrait,
    IntoActiveModel, QueryFilter, QueryOrder,
};
use serde_json::{Map, Value};
use std::time::{Duration, SystemTime};

/// How long the tokens of an account are kept after its file went.
const KEPT: Duration = Duration::from_hours(24 * 30);

impl Store {
    /// Keeps what was handed in: all of it, or on an error nothing. The answer has a row per newcomer; a token that
    /// is stored already, or that one of the stored came of, is answered with its row and makes no second one.
    pub async fn ingest(&self, provider: &str, newcomers: Vec<Newcomer>) -> Result<Vec<Row>, StoreError> {
        let turn = self.turn().await?;
        let mut rows = Vec::with_capacity(newcomers.len());
        for mut newcomer in newcomers {
            // Nobody has confirmed it yet, and it must not lay hands on the account it names.
            newcomer.credential.subject = None;
            let limits = std::mem::take(&mut newcomer.limits);
            let mut model = self.admit(&turn, provider, newcomer).await?;
            if !limits.is_empty() {
                self.limit(&mut model, &limits);
                model = put(&turn, model).await?;
            }
            rows.push(self.row(model));
        }
        turn.commit().await?;
        Ok(rows)
    }

    pub(super) async fn admit(
        &self,
        turn: &DatabaseTransaction,
        provider: &str,
        mut newcomer: Newcomer,
    ) -> Result<Model, StoreError> {
        let hash = self.token_hash(provider, &newcomer.credential).ok_or(StoreError::NoToken)?;
        let heir = spent::heir(turn, provider, &hash).await?;
        let mut family = family(turn, provider, &hash).await?;
        if let Some(heir) = heir.as_ref().filter(|heir| **heir != hash) {
            family.extend(self::family(turn, provider, heir).await?);
        }
        let Some(first) = family.first() else {
            let mut model = self.fresh(provider, &newcomer, State::Validating)?;
            if heir.is_some() {
                model.set_state(State::RefreshUnknown, Some(spent_reason()));
            }
            return insert(turn, model).await;
        };
        if let Some(damaged) = family.iter().find(|model| self.credential(model).is_err())
            && heir.is_none()
        {
            let mut model = damaged.clone();
            let credential = merge::merge(self.remains(&model), &newcomer.credential);
            self.fill(&mut model, &credential)?;
            model.set_state(State::Validating, None);
            return put(turn, model).await;
        }
        let asked = &newcomer.credential.extra;
        if let Some(known) = family.iter().find(|model| merge::covers(&self.remains(model).extra, asked)) {
            return comes_back(turn, known.clone(), &newcomer).await;
        }
        let open = |model: &&Model| model.stood_in() && merge::agrees(&self.remains(model).extra, asked);
        if let Some(model) = family.iter().find(open) {
            let model = comes_back(turn, model.clone(), &newcomer).await?;
            return self.extend(turn, model, asked.clone()).await;
        }
        // One login, another project: a row of its own with the tokens as they are now.
        newcomer.credential = merge::keep_tokens(newcomer.credential, &self.remains(first));
        let mut model = self.fresh(provider, &newcomer, State::Validating)?;
        model.subject = model.own_stand_in();
        if let Some(lost) = family.iter().find(|model| model.is(State::RefreshUnknown)) {
            model.set_state(State::RefreshUnknown, lost.reason());
        }
        insert(turn, model).await
    }

    /// Something new was said about an account that is not enrolled: worth another look.
    async fn extend(
        &self,
        turn: &DatabaseTransaction,
        mut model: Model,
        extra: Map<String, Value>,
    ) -> Result<Model, StoreError> {
        let mut credential = self.remains(&model);
        credential.extra.extend(extra);
        self.fill(&mut model, &credential)?;
        if model.is(State::Suspended) {
            model.set_state(State::Validating, None);
        }
        put(turn, model).await
    }

    /// The row `id` turned out to be these accounts. Those that are stored already take the newer tokens; the first
    /// that is not becomes the row itself, which goes if there is none. `state` is what they are found to be; the
    /// owner's pause and a missing approval outlive it. No accounts, or no such row: nothing changes. At the end of
    /// the answer are accounts that `Departed`, since these took their place.
    pub async fn enrolled(
        &self,
        id: i64,
        credentials: Vec<Credential>,
        state: State,
    ) -> Result<Vec<Row>, StoreError> {
        let turn = self.turn().await?;
        let Some(base) = one(&turn, id).await?.filter(|_| !credentials.is_empty()) else {
            return Ok(Vec::new());
        };
        let itself = |credential: &Credential| credential.subject.as_ref() == Some(&base.subject);
        let mut vacant = (!credentials.iter().any(itself)).then(|| base.clone());
        let mut models: Vec<Model> = Vec::with_capacity(credentials.len());
        for credential in credentials {
            let credential = self.current(&turn, &base, credential).await?;
            let known = match &credential.subject {
                Some(subject) => of_subject(&turn, &base.provider, subject).await?,
                None => None,
            };
            let model = if let Some(model) = known.or_else(|| vacant.take()) {
                self.renew(&turn, model, &credential, state, &base).await?
            } else {
                self.add(&turn, &base, credential, state).await?
            };
            models.retain(|former| former.id != model.id);
            models.push(model);
        }
        let departed = files::follow(self, &turn, &base, &models).await?;
        if let Some(superseded) = vacant {
            Entity::delete_by_id(superseded.id).exec(&turn).await?;
        }
        turn.commit().await?;
        self.0.renewals.tell(models.iter().map(|model| model.id));
        Ok(models.into_iter().chain(departed).map(|model| self.row(model)).collect())
    }

    /// The account with the tokens that are newest: they may have been refreshed while it was being enrolled.
    async fn current(
        &self,
        turn: &DatabaseTransaction,
        base: &Model,
        credential: Credential,
    ) -> Result<Credential, StoreError> {
        let stored = self.remains(base);
        let outdated = match self.token_hash(&base.provider, &credential) {
            None => true,
            Some(hash) if hash == base.token_hash => {
                stored.access.is_some() && stored.expires_at > credential.expires_at
            }
            Some(hash) => spent::heir(turn, &base.provider, &hash).await?.as_ref() == Some(&base.token_hash),
        };
        Ok(if outdated { merge::keep_tokens(credential, &stored) } else { credential })
    }

    /// Another account of the login that `base` came with.
    async fn add(
        &self,
        turn: &DatabaseTransaction,
        base: &Model,
        credential: Credential,
        state: State,
    ) -> Result<Model, StoreError> {
        let nameless = credential.subject.is_none();
        let limits = Wanted::default();
        let newcomer = Newcomer { credential, origin: base.origin.clone(), trusted: base.trusted, limits };
        let mut model = self.fresh(&base.provider, &newcomer, state)?;
        if nameless {
            model.subject = model.own_stand_in();
        }
        self.pass_limits_on(&mut model, base);
        guard(turn, &mut model, state, None).await?;
        insert(turn, model).await
    }

    async fn renew(
        &self,
        turn: &DatabaseTransaction,
        mut model: Model,
        credential: &Credential,
        wanted: State,
        newcomer: &Model,
    ) -> Result<Model, StoreError> {
        if model.is(State::Departed) {
            model.come_back(&newcomer.origin, newcomer.trusted);
        }
        let (former, stood_in) = (model.token_hash.clone(), model.stood_in());
        let stored = model.state.parse().unwrap_or(State::Suspended);
        let settled = merge::settle(stored, model.trusted, wanted, newcomer.trusted);
        let merged = merge::merge(self.remains(&model), credential);
        self.fill(&mut model, &merged)?;
        match &credential.subject {
            Some(subject) => model.subject.clone_from(subject),
            None => model.follow(stood_in, &former),
        }
        if former != model.token_hash && model.refresh_intent_at.is_some() {
            spent::remember(turn, &model.provider, &former, &model.token_hash).await?;
            model.clear_intent();
        }
        model.trusted |= newcomer.trusted;
        if model.id != newcomer.id {
            self.pass_limits_on(&mut model, newcomer);
        }
        guard(turn, &mut model, settled, None).await?;
        put(turn, model).await
    }

    /// Every account, oldest first.
    pub async fn list(&self) -> Result<Vec<Row>, StoreError> {
        let query = Entity::find().filter(Column::State.ne(State::Departed.to_string()));
        let models = query.order_by_asc(Column::Id).all(&self.0.db).await?;
        Ok(models.into_iter().map(|model| self.row(model)).collect())
    }

    /// One account.
    pub async fn get(&self, id: i64) -> Result<Option<Row>, StoreError> {
        let model = one(&self.0.db, id).await?;
        Ok(model.map(|model| self.row(model)))
    }

    /// Moves an account to another state. One whose refresh token is spent cannot be called usable: it is, and
    /// stays, `RefreshUnknown`.
    pub async fn set_state(
        &self,
        id: i64,
        state: State,
        reason: Option<Reason>,
    ) -> Result<Option<Row>, StoreError> {
        let turn = self.turn().await?;
        let Some(mut model) = one(&turn, id).await? else { return Ok(None) };
        guard(&turn, &mut model, state, reason).await?;
        let model = put(&turn, model).await?;
        turn.commit().await?;
        Ok(Some(self.row(model)))
    }

    /// The owner lets an account serve that a stranger brought.
    pub async fn approve(&self, id: i64) -> Result<Option<Row>, StoreError> {
        let turn = self.turn().await?;
        let Some(mut model) = one(&turn, id).await? else { return Ok(None) };
        model.trusted = true;
        if model.is(State::Pending) {
            guard(&turn, &mut model, State::Active, None).await?;
        }
        let model = put(&turn, model).await?;
        turn.commit().await?;
        Ok(Some(self.row(model)))
    }

    /// Forgets an account; whether there was one.
    pub async fn remove(&self, id: i64) -> Result<bool, StoreError> {
        let turn = self.turn().await?;
        let Some(model) = Entity::find_by_id(id).one(&turn).await? else { return Ok(false) };
        if model.refresh_intent_at.is_some() {
            spent::remember(&turn, &model.provider, &model.token_hash, &model.token_hash).await?;
        }
        Entity::delete_by_id(id).exec(&turn).await?;
        files::forget(&turn, id).await?;
        turn.commit().await?;
        Ok(true)
    }

    /// Deletes what departed long ago.
    pub async fn purge_departed(&self, now: SystemTime) -> Result<(), StoreError> {
        let before = now.checked_sub(KEPT).map_or(0, millis);
        let query = Entity::find()
            .filter(Column::State.eq(State::Departed.to_string()))
            .filter(Column::UpdatedAt.lt(before));
        for model in query.all(&self.0.db).await? {
            self.remove(model.id).await?;
        }
        Ok(())
    }
}

/// An account, unless it departed.
pub(super) async fn one<C: ConnectionTrait>(db: &C, id: i64) -> Result<Option<Model>, StoreError> {
    Ok(Entity::find_by_id(id).one(db).await?.filter(|model| !model.is(State::Departed)))
}

/// Who departed and is brought again is looked at as any newcomer.
async fn comes_back(
    turn: &DatabaseTransaction,
    mut model: Model,
    newcomer: &Newcomer,
) -> Result<Model, StoreError> {
    if !model.is(State::Departed) {
        return Ok(model);
    }
    model.come_back(&newcomer.origin, newcomer.trusted);
    guard(turn, &mut model, State::Validating, None).await?;
    put(turn, model).await
}

/// The accounts that live by one token.
pub(super) async fn family<C: ConnectionTrait>(
    db: &C,
    provider: &str,
    token_hash: &str,
) -> Result<Vec<Model>, StoreError> {
    let query = Entity::find()
        .filter(Column::Provider.eq(provider))
        .filter(Column::TokenHash.eq(token_hash))
        .order_by_asc(Column::Id);
    Ok(query.all(db).await?)
}

async fn of_subject<C: ConnectionTrait>(
    db: &C,
    provider: &str,
    subject: &str,
) -> Result<Option<Model>, StoreError> {
    let query = Entity::find().filter(Column::Provider.eq(provider)).filter(Column::Subject.eq(subject));
    Ok(query.one(db).await?)
}

/// Sets the state, unless that would put a spent token back to use.
pub(super) async fn guard<C: ConnectionTrait>(
    db: &C,
    model: &mut Model,
    wanted: State,
    reason: Option<Reason>,
) -> Result<(), StoreError> {
    let usable = matches!(wanted, State::Validating | State::Active | State::Pending);
    if usable && spent::heir(db, &model.provider, &model.token_hash).await?.is_some() {
        let reason = model.reason().filter(|_| model.is(State::RefreshUnknown));
        model.set_state(State::RefreshUnknown, Some(reason.unwrap_or_else(spent_reason)));
    } else {
        model.set_state(wanted, reason);
    }
    Ok(())
}

fn spent_reason() -> Reason {
    Reason::new("refresh_token_spent", "this refresh token was used before, or may have been; log in again")
}

async fn insert(turn: &DatabaseTransaction, model: Model) -> Result<Model, StoreError> {
    let row = ActiveModel { id: NotSet, ..model.into_active_model().reset_all() };
    Ok(row.insert(turn).await?)
}

/// Writes the whole row; nobody else has written it since it was read in this turn.
pub(super) async fn put(turn: &DatabaseTransaction, mut model: Model) -> Result<Model, StoreError> {
    model.revision += 1;
    model.updated_at = millis(SystemTime::now());
    Ok(model.into_active_model().reset_all().update(turn).await?)
}
