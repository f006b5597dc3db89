//! Refreshing a token that may be good for one use.
//!
//! `begin_refresh` writes the intent before anything leaves; exactly one of the others ends it. An intent nobody
//! ended belonged to a process that died in between: `interrupted` finds it.

use super::{
    Row, State, Store, StoreError, TokenHash,
    accounts::{family, put},
    entity::credential::{Column, Entity, Model},
    merge, millis, spent,
};
use pollux_sdk::{Credential, Reason};
use sea_orm::{
    ColumnTrait, DatabaseTransaction, DbBackend, EntityTrait, QueryFilter, QueryOrder, sea_query::Expr,
};
use std::time::{Duration, SystemTime};

/// How long another replica is believed to be still at it. No token request takes as long.
const LEASE: Duration = Duration::from_mins(2);

impl Store {
    /// Claims the token of the row, for all rows that share it, on all replicas. `None`: the row is gone or has
    /// moved on from `revision`, somebody else is at it, or the token may be spent; look again.
    pub async fn begin_refresh(&self, id: i64, revision: i64) -> Result<Option<Row>, StoreError> {
        let turn = self.turn().await?;
        let Some(model) = Entity::find_by_id(id).one(&turn).await? else { return Ok(None) };
        let family = family(&turn, &model.provider, &model.token_hash).await?;
        let free = |model: &Model| model.refresh_intent_at.is_none() && !model.is(State::RefreshUnknown);
        if model.revision != revision || !family.iter().all(free) {
            return Ok(None);
        }
        if spent::heir(&turn, &model.provider, &model.token_hash).await?.is_some() {
            return Ok(None);
        }
        Entity::update_many()
            .col_expr(Column::RefreshIntentAt, Expr::value(millis(SystemTime::now())))
            .col_expr(Column::RefreshIntentBy, Expr::value(self.0.instance.as_str()))
            .filter(Column::Provider.eq(model.provider.as_str()))
            .filter(Column::TokenHash.eq(model.token_hash.as_str()))
            .exec(&turn)
            .await?;
        turn.commit().await?;
        Ok(Some(Row { refresh_intent: true, ..self.row(model) }))
    }

    /// The vendor answered: every row that shares the token of `begun` takes the answer over what it holds. An
    /// account that was given up for lost comes back. None is left if all were removed or logged in anew meanwhile.
    ///
    /// On an error ask again: `answer` may hold the only token that is still good.
    pub async fn save_refreshed(&self, begun: &Row, answer: &Credential) -> Result<Vec<Row>, StoreError> {
        let TokenHash(former) = &begun.token_hash;
        let turn = self.turn().await?;
        let heir = self.token_hash(&begun.provider, &merge::merge(begun.credential.clone(), answer));
        match heir {
            Some(heir) if heir != *former => spent::remember(&turn, &begun.provider, former, &heir).await?,
            // It was good for another use after all.
            _ => spent::forget(&turn, &begun.provider, former).await?,
        }
        let mut rows = Vec::new();
        for mut model in family(&turn, &begun.provider, former).await? {
            // Even a row that was damaged meanwhile must not lose the only token there is.
            let stored = match self.credential(&model) {
                Err(_) if model.id == begun.id => begun.credential.clone(),
                other => other.unwrap_or_else(|_| self.remains(&model)),
            };
            let (stood_in, mut merged) = (model.stood_in(), merge::merge(stored, answer));
            merged.refresh = merged.refresh.or_else(|| begun.credential.refresh.clone());
            self.fill(&mut model, &merged)?;
            model.follow(stood_in, former);
            model.clear_intent();
            if model.is(State::RefreshUnknown) {
                model.set_state(State::Active, None);
            }
            rows.push(self.row(put(&turn, model).await?));
        }
        turn.commit().await?;
        self.0.renewals.tell(rows.iter().map(|row| row.id));
        Ok(rows)
    }

    /// Nothing was spent: the token is free to be tried again.
    pub async fn abandon_refresh(&self, begun: &Row) -> Result<(), StoreError> {
        let turn = self.turn().await?;
        Entity::update_many()
            .col_expr(Column::RefreshIntentAt, Expr::value(None::<i64>))
            .col_expr(Column::RefreshIntentBy, Expr::value(None::<String>))
            .filter(Column::Provider.eq(begun.provider.as_str()))
            .filter(Column::TokenHash.eq(begun.token_hash.0.as_str()))
            .exec(&turn)
            .await?;
        Ok(turn.commit().await?)
    }

    /// Nobody knows whether the token was spent: no row that shares it tries again, and no newcomer that brings it.
    pub async fn lost_refresh(&self, begun: &Row, reason: &Reason) -> Result<Vec<Row>, StoreError> {
        let turn = self.turn().await?;
        let TokenHash(hash) = &begun.token_hash;
        let rows = self.end(&turn, begun, State::RefreshUnknown, reason).await?;
        if !rows.is_empty() {
            spent::remember(&turn, &begun.provider, hash, hash).await?;
        }
        turn.commit().await?;
        Ok(rows)
    }

    /// The vendor refused the token for good: so it is for every row that shares it.
    pub async fn refuse_refresh(&self, begun: &Row, reason: &Reason) -> Result<Vec<Row>, StoreError> {
        let turn = self.turn().await?;
        let rows = self.end(&turn, begun, State::Suspended, reason).await?;
        turn.commit().await?;
        Ok(rows)
    }

    async fn end(
        &self,
        turn: &DatabaseTransaction,
        begun: &Row,
        state: State,
        reason: &Reason,
    ) -> Result<Vec<Row>, StoreError> {
        let mut rows = Vec::new();
        for mut model in family(turn, &begun.provider, &begun.token_hash.0).await? {
            model.clear_intent();
            if !model.is(State::Departed) {
                model.set_state(state, Some(reason.clone()));
            }
            rows.push(self.row(put(turn, model).await?));
        }
        Ok(rows)
    }

    /// Rows whose refresh was begun by a process that is gone. On SQLite that is any other process; with several
    /// replicas it is one that has been at it for too long, so ask at start and then now and again.
    pub async fn interrupted(&self) -> Result<Vec<Row>, StoreError> {
        let now = SystemTime::now();
        let begun_before = match self.0.db.get_database_backend() {
            DbBackend::Postgres => now.checked_sub(LEASE).map_or(0, millis),
            _ => i64::MAX,
        };
        let query = Entity::find()
            .filter(Column::RefreshIntentAt.lt(begun_before))
            .filter(Column::RefreshIntentBy.ne(self.0.instance.as_str()))
            .order_by_asc(Column::Id);
        Ok(query.all(&self.0.db).await?.into_iter().map(|model| self.row(model)).collect())
    }
}
