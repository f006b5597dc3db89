//! Until when an account rests. It survives a restart.

use super::{
    Store, StoreError,
    entity::cooldown::{Column, Entity, Model},
    millis, moment,
};
use sea_orm::{
    ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder, SqlErr,
    sea_query::{Expr, ExprTrait, OnConflict},
};
use std::time::SystemTime;

/// An account at rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cooldown {
    /// The account.
    pub credential_id: i64,
    /// The model it rests for; `None`: for all.
    pub model: Option<String>,
    /// The end.
    pub until: SystemTime,
}

impl Store {
    /// Lets an account rest. A longer rest is never cut short, and an account that is gone needs none.
    pub async fn cool(&self, id: i64, model: Option<&str>, until: SystemTime) -> Result<(), StoreError> {
        let until = millis(until);
        let row = Model { credential_id: id, model: model.unwrap_or_default().into(), until };
        let longer = OnConflict::columns([Column::CredentialId, Column::Model])
            .update_column(Column::Until)
            .action_and_where(Expr::col((Entity, Column::Until)).lt(until))
            .to_owned();
        let insert = Entity::insert(row.into_active_model()).on_conflict(longer);
        match insert.exec_without_returning(&self.0.db).await {
            Err(error) if matches!(error.sql_err(), Some(SqlErr::ForeignKeyConstraintViolation(_))) => Ok(()),
            other => Ok(other.map(|_| ())?),
        }
    }

    /// Ends one rest: that for the model, or the one for all models.
    pub async fn lift(&self, id: i64, model: Option<&str>) -> Result<(), StoreError> {
        Entity::delete_by_id((id, model.unwrap_or_default().to_owned())).exec(&self.0.db).await?;
        Ok(())
    }

    /// Ends all rests of an account.
    pub async fn lift_all(&self, id: i64) -> Result<(), StoreError> {
        Entity::delete_many().filter(Column::CredentialId.eq(id)).exec(&self.0.db).await?;
        Ok(())
    }

    /// Who rests now. What is over is forgotten.
    pub async fn cooldowns(&self, now: SystemTime) -> Result<Vec<Cooldown>, StoreError> {
        Entity::delete_many().filter(Column::Until.lte(millis(now))).exec(&self.0.db).await?;
        let query = Entity::find().order_by_asc(Column::CredentialId).order_by_asc(Column::Model);
        let rows = query.all(&self.0.db).await?.into_iter();
        let resting = rows.map(|row| Cooldown {
            credential_id: row.credential_id,
            model: Some(row.model).filter(|model| !model.is_empty()),
            until: moment(row.until),
        });
        Ok(resting.collect())
    }
}
