//! Refresh tokens that were used, or may have been. They are never tried again, whoever brings them.

use super::{
    StoreError,
    entity::spent_token::{Column, Entity, Model},
    millis,
};
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, IntoActiveModel, QueryFilter,
    sea_query::{Expr, OnConflict},
};
use std::time::{Duration, SystemTime};

/// No vendor's refresh token is known to be worth anything after this.
const MEMORY: Duration = Duration::from_hours(24 * 365);

/// The token that came of this one, itself if nobody knows; `None` if it was never used.
pub(super) async fn heir<C: ConnectionTrait>(
    db: &C,
    provider: &str,
    token_hash: &str,
) -> Result<Option<String>, StoreError> {
    let found = Entity::find_by_id((provider.to_owned(), token_hash.to_owned())).one(db).await?;
    Ok(found.map(|spent| spent.heir))
}

/// Remembers that `token_hash` was used and `heir` came of it.
pub(super) async fn remember<C: ConnectionTrait>(
    db: &C,
    provider: &str,
    token_hash: &str,
    heir: &str,
) -> Result<(), StoreError> {
    let now = SystemTime::now();
    Entity::update_many()
        .col_expr(Column::Heir, Expr::value(heir))
        .filter(Column::Provider.eq(provider))
        .filter(Column::Heir.eq(token_hash))
        .exec(db)
        .await?;
    let spent = Model {
        provider: provider.into(),
        token_hash: token_hash.into(),
        heir: heir.into(),
        spent_at: millis(now),
    };
    let again = OnConflict::columns([Column::Provider, Column::TokenHash])
        .update_columns([Column::Heir, Column::SpentAt])
        .to_owned();
    Entity::insert(spent.into_active_model()).on_conflict(again).exec_without_returning(db).await?;
    let forgotten = now.checked_sub(MEMORY).map(millis).unwrap_or_default();
    Entity::delete_many().filter(Column::SpentAt.lt(forgotten)).exec(db).await?;
    Ok(())
}

/// The vendor took it again: it is good for more than one use.
pub(super) async fn forget<C: ConnectionTrait>(
    db: &C,
    provider: &str,
    token_hash: &str,
) -> Result<(), StoreError> {
    Entity::delete_by_id((provider.to_owned(), token_hash.to_owned())).exec(db).await?;
    Ok(())
}
