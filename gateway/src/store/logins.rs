//! Browser logins under way. They survive a restart, and each is good for one use.

use super::{
    Store, StoreError,
    entity::login::{Column, Entity, Model},
    millis, moment,
    seal::Place,
};
use pollux_sdk::Secret;
use sea_orm::{ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder, sea_query::OnConflict};
use std::time::SystemTime;

/// One login under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginRow {
    /// A hash of what the browser's cookie says; the cookie itself is not kept.
    pub id_hash: String,
    /// Whose login.
    pub provider: String,
    /// The state sent with the browser.
    pub state: Secret,
    /// The PKCE verifier.
    pub verifier: Secret,
    /// As in the authorize URL.
    pub redirect_uri: String,
    /// Where the browser started, and goes back to.
    pub home: String,
    /// Where the browser is.
    pub origin: String,
    /// Whether that is somebody who may add accounts.
    pub trusted: bool,
    /// After this the login counts as given up.
    pub expires_at: SystemTime,
}

impl Store {
    /// Remembers a login. One with the same id gives way.
    pub async fn save_login(&self, login: &LoginRow) -> Result<(), StoreError> {
        let place = Place::Login { provider: &login.provider, id_hash: &login.id_hash };
        let row = Model {
            sealed: self.0.sealer.seal(&place, &(&login.state, &login.verifier)),
            id_hash: login.id_hash.clone(),
            provider: login.provider.clone(),
            redirect_uri: login.redirect_uri.clone(),
            home: login.home.clone(),
            origin: login.origin.clone(),
            trusted: login.trusted,
            expires_at: millis(login.expires_at),
        };
        let replace = OnConflict::column(Column::IdHash)
            .update_columns([
                Column::Provider,
                Column::Sealed,
                Column::RedirectUri,
                Column::Home,
                Column::Origin,
                Column::Trusted,
                Column::ExpiresAt,
            ])
            .to_owned();
        let insert = Entity::insert(row.into_active_model()).on_conflict(replace);
        insert.exec_without_returning(&self.0.db).await?;
        Ok(())
    }

    /// Reads and forgets a login in one step: of two that ask, one gets it. It may have expired.
    pub async fn take_login(&self, id_hash: &str) -> Result<Option<LoginRow>, StoreError> {
        let row = Entity::delete_by_id(id_hash.to_owned()).exec_with_returning(&self.0.db).await?;
        Ok(row.and_then(|row| self.login(row)))
    }

    /// Reads a login and leaves it. It may have expired.
    pub async fn peek_login(&self, id_hash: &str) -> Result<Option<LoginRow>, StoreError> {
        let row = Entity::find_by_id(id_hash.to_owned()).one(&self.0.db).await?;
        Ok(row.and_then(|row| self.login(row)))
    }

    /// The logins that can still be finished, the first to expire first.
    pub async fn open_logins(&self, now: SystemTime) -> Result<Vec<LoginRow>, StoreError> {
        let query = Entity::find().filter(Column::ExpiresAt.gt(millis(now))).order_by_asc(Column::ExpiresAt);
        Ok(query.all(&self.0.db).await?.into_iter().filter_map(|row| self.login(row)).collect())
    }

    /// Forgets the logins that were given up; how many.
    pub async fn purge_logins(&self, now: SystemTime) -> Result<u64, StoreError> {
        let deleted =
            Entity::delete_many().filter(Column::ExpiresAt.lte(millis(now))).exec(&self.0.db).await?;
        Ok(deleted.rows_affected)
    }

    /// A login that does not open is none: its owner starts another.
    fn login(&self, row: Model) -> Option<LoginRow> {
        let place = Place::Login { provider: &row.provider, id_hash: &row.id_hash };
        let (state, verifier) = self.0.sealer.open(&place, &row.sealed)?;
        Some(LoginRow {
            state,
            verifier,
            id_hash: row.id_hash,
            provider: row.provider,
            redirect_uri: row.redirect_uri,
            home: row.home,
            origin: row.origin,
            trusted: row.trusted,
            expires_at: moment(row.expires_at),
        })
    }
}
