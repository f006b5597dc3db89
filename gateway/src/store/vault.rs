//! Whether a key is the one this database was sealed with.

use super::{
    StoreError,
    entity::{credential, login, spent_token, vault},
    key::{self, Key},
    seal::{Place, Sealer},
};
use sea_orm::{
    ActiveModelTrait, ConnectionTrait, DatabaseTransaction, DbBackend, EntityTrait, IntoActiveModel,
    PaginatorTrait,
};
use std::path::PathBuf;

/// The only row of the table.
const PROOF: i64 = 1;

pub(super) enum Source {
    Given(Key),
    File(PathBuf),
}

/// Finds the key, or makes the first one, and proves it. A key is never made where one is needed to read.
pub(super) async fn unlock(turn: &DatabaseTransaction, source: Source) -> Result<Sealer, StoreError> {
    let proof = vault::Entity::find_by_id(PROOF).one(turn).await?;
    let sealed = credential::Entity::find().count(turn).await? > 0;
    // On PostgreSQL another replica may be about to seal with the key it proved.
    let shared = turn.get_database_backend() == DbBackend::Postgres;
    let replaceable = proof.is_none() || !shared;
    let key = match source {
        Source::Given(key) => key,
        Source::File(path) => match key::from_file(&path)? {
            Some(key) => key,
            None if !sealed && replaceable => key::create(&path)?,
            None => return Err(StoreError::KeyMissing(path)),
        },
    };
    let sealer = Sealer::new(&key);
    match proof.map(|proof| sealer.open::<String>(&Place::Vault, &proof.sealed)) {
        Some(Some(_)) => Ok(sealer),
        _ if sealed || !replaceable => Err(StoreError::KeyWrong),
        _ => prove(turn, &sealer).await.map(|()| sealer),
    }
}

/// Starts over with a new key. What the former one sealed or hashed says nothing any more.
async fn prove(turn: &DatabaseTransaction, sealer: &Sealer) -> Result<(), StoreError> {
    vault::Entity::delete_many().exec(turn).await?;
    login::Entity::delete_many().exec(turn).await?;
    spent_token::Entity::delete_many().exec(turn).await?;
    let proof = vault::Model { id: PROOF, sealed: sealer.seal(&Place::Vault, &"pollux") };
    proof.into_active_model().reset_all().insert(turn).await?;
    Ok(())
}
