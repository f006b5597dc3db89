use super::Keeper;
use crate::limits::{Mistake, Wanted};
use crate::store::{FileNews, Newcomer, Row, State, StoreError};
use pollux_sdk::{AccountError, Credential, Grant};
use serde_json::Value;
use std::{
    sync::PoisonError,
    time::{Duration, SystemTime},
};

/// Entries of one `resource:add`.
const ENTRIES: usize = 10_000;

/// Where an account came from.
#[derive(Debug, Clone)]
pub struct Origin {
    /// Address or way, for people.
    pub address: String,
    /// Whether it may serve at once; otherwise the owner approves it first.
    pub trusted: bool,
}

/// Why nothing was taken in.
#[derive(Debug, thiserror::Error)]
pub enum IntakeError {
    /// The body has another shape.
    #[error("the body must be a JSON array of objects, each with a `refresh_token` or an `api_key`")]
    NotAnArray,
    /// More than one call may bring.
    #[error("at most {ENTRIES} entries at a time")]
    TooMany,
    /// An entry has no token that this provider knows.
    #[error("entry {0} has no `refresh_token`, nor an `api_key` that serves here; nothing was stored")]
    Entry(usize),
    /// An entry's limits cannot be.
    #[error("entry {0}: {1}; nothing was stored")]
    Limits(usize, Mistake),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Keeper {
    /// Takes in the entries of a `resource:add`. They are durable when this returns; validation follows.
    ///
    /// # Errors
    /// Names the entry that is wrong; then nothing is stored.
    pub async fn add(&self, body: &Value, origin: &Origin) -> Result<usize, IntakeError> {
        let entries = body.as_array().ok_or(IntakeError::NotAnArray)?;
        if entries.len() > ENTRIES {
            return Err(IntakeError::TooMany);
        }
        let read = |(index, entry): (usize, &Value)| {
            let mut entry = entry.clone();
            let limits = entry.as_object_mut().map_or(Ok(Wanted::default()), Wanted::take);
            let limits = limits.map_err(|mistake| IntakeError::Limits(index, mistake))?;
            let credential = self.provider.import(&entry).ok_or(IntakeError::Entry(index))?;
            Ok((credential, limits))
        };
        let entries: Vec<_> = entries.iter().enumerate().map(read).collect::<Result<_, IntakeError>>()?;
        let count = entries.len();
        let rows = self.take_in(entries, origin).await?;
        tracing::info!(provider = self.id(), entries = count, origin = %origin.address, "accounts taken in");
        Ok(rows.len())
    }

    /// Takes in logins. They are durable when this returns; validation follows.
    ///
    /// # Errors
    /// Fails when the store does.
    pub async fn admit(&self, credentials: Vec<Credential>, origin: &Origin) -> Result<Vec<Row>, StoreError> {
        self.take_in(credentials.into_iter().map(|one| (one, Wanted::default())).collect(), origin).await
    }

    async fn take_in(
        &self,
        entries: Vec<(Credential, Wanted)>,
        origin: &Origin,
    ) -> Result<Vec<Row>, StoreError> {
        let newcomer = |(credential, limits)| Newcomer {
            credential,
            origin: origin.address.clone(),
            trusted: origin.trusted,
            limits,
        };
        let rows = self.store.ingest(self.id(), entries.into_iter().map(newcomer).collect()).await?;
        for row in &rows {
            if row.state == State::Active {
                // It is here already, perhaps with other limits now.
                self.pool.publish(row);
            }
            self.look_after(row);
        }
        Ok(rows)
    }

    /// Takes in what a credential file says. It is durable when this returns; validation follows. `None`: the account
    /// left while it was looked at.
    ///
    /// # Errors
    /// Fails when the store does.
    pub async fn take_file(&self, news: FileNews) -> Result<Option<Row>, StoreError> {
        let rows = self.store.take_file(self.id(), news).await?;
        for row in &rows {
            self.take(row);
            self.look_after(row);
        }
        Ok(rows.into_iter().next())
    }

    /// Spends the code of a browser login.
    ///
    /// # Errors
    /// As the provider says.
    pub async fn exchange(&self, grant: Grant<'_>) -> Result<Credential, AccountError> {
        self.provider.obtain(&self.io.by(None), grant).await
    }

    /// The row that a login has become: it may have been merged into one that was there before.
    ///
    /// # Errors
    /// Fails when the store does.
    pub async fn whereabouts(&self, id: i64) -> Result<Option<Row>, StoreError> {
        // Between the end of a row and the note of what it went into there is a moment.
        for pause in [0, 20, 100, 500] {
            tokio::time::sleep(Duration::from_millis(pause)).await;
            let heir = self.heirs.lock().unwrap_or_else(PoisonError::into_inner).get(&id).copied();
            if let Some(row) = self.store.get(heir.unwrap_or(id)).await? {
                return Ok(Some(row));
            }
        }
        Ok(None)
    }

    /// Gives an account that comes back into the pool what is stored of its rests and readings.
    ///
    /// # Errors
    /// Fails when the store does.
    pub async fn remember(&self, id: i64) -> Result<(), StoreError> {
        for (owner, quota) in self.store.readings().await? {
            if owner == id {
                self.pool.restore_quota(id, &quota);
            }
        }
        for rest in self.store.cooldowns(SystemTime::now()).await? {
            if rest.credential_id == id {
                self.pool.restore_cooldown(id, rest.model.as_deref(), rest.until);
            }
        }
        Ok(())
    }

    /// Queues a row that needs validation.
    pub fn look_after(&self, row: &Row) {
        if row.state == State::Validating {
            self.queue.push(row.id, Duration::ZERO);
        }
    }
}
