//! The last reading of each account's allowance. It survives a restart.

use super::{
    Store, StoreError,
    entity::reading::{Column, Entity, Model},
    millis,
};
use pollux_sdk::Quota;
use sea_orm::{EntityTrait, IntoActiveModel, SqlErr, sea_query::OnConflict};
use std::time::SystemTime;

impl Store {
    /// Keeps these readings instead of the accounts' former ones. An account that is gone needs none.
    pub async fn save_readings(&self, readings: &[(i64, Quota)]) -> Result<(), StoreError> {
        let read_at = millis(SystemTime::now());
        let turn = self.turn().await?;
        for (id, quota) in readings {
            let Ok(quota) = serde_json::to_string(quota) else { continue };
            let row = Model { credential_id: *id, quota, read_at };
            let newer = OnConflict::column(Column::CredentialId)
                .update_columns([Column::Quota, Column::ReadAt])
                .to_owned();
            let insert = Entity::insert(row.into_active_model()).on_conflict(newer);
            match insert.exec_without_returning(&turn).await {
                // On PostgreSQL a failed statement ends the transaction: what was not saved comes again.
                Err(error) if matches!(error.sql_err(), Some(SqlErr::ForeignKeyConstraintViolation(_))) => {
                    return Ok(());
                }
                other => drop(other?),
            }
        }
        Ok(turn.commit().await?)
    }

    /// All readings. One that cannot be read is none.
    pub async fn readings(&self) -> Result<Vec<(i64, Quota)>, StoreError> {
        let rows = Entity::find().all(&self.0.db).await?;
        let read = |row: Model| Some((row.credential_id, serde_json::from_str(&row.quota).ok()?));
        Ok(rows.into_iter().filter_map(read).collect())
    }
}
