//! Accounts of an older system's database: found, copied, and handed to the providers that know them.
//!
//! Which tables there may be, and whose accounts they hold, is said by `config/legacy.toml`; what a row means, by
//! the provider.

use crate::{
    limits::Wanted,
    settings::{LegacyTable, legacy_tables},
    store::{Inherited, Newcomer, OlderRow, OlderTable, Store, StoreError, back_up_older, read_older},
};
use pollux_sdk::Provider;
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
};

/// Where its accounts came from, for people.
const ORIGIN: &str = "older database";

/// An account in an older system's database. Its `Debug` shows no token.
pub struct OlderAccount {
    /// Whose account it is: the id of a provider, linked or not.
    pub provider: String,
    /// What that provider's `import` reads, and `resource:add` takes.
    pub entry: Value,
    /// Whether the older system used it.
    pub enabled: bool,
}

impl std::fmt::Debug for OlderAccount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut debug = f.debug_struct("OlderAccount");
        debug.field("provider", &self.provider).field("enabled", &self.enabled).finish_non_exhaustive()
    }
}

/// The accounts in an older system's database, which is copied beside itself and left as it is. `None`: the file is
/// no such database.
///
/// # Errors
/// Fails when the file cannot be read.
pub async fn read(path: &Path) -> Result<Option<Vec<OlderAccount>>, StoreError> {
    let tables = legacy_tables();
    let Some(rows) = read_older(path, &older(&tables)).await? else { return Ok(None) };
    let account = |row: OlderRow| {
        let provider = tables.iter().find(|table| table.name == row.table)?.provider.clone();
        Some(OlderAccount { provider, entry: row.entry, enabled: row.enabled })
    };
    Ok(Some(rows.into_iter().filter_map(account).collect()))
}

/// Copies the database, before it is opened, if an older system wrote it.
///
/// # Errors
/// Fails where the copy cannot be made: then the database is not to be touched.
pub async fn back_up(url: &str) -> Result<(), StoreError> {
    if let Some(copy) = back_up_older(url, &older(&legacy_tables())).await? {
        tracing::warn!(
            copy = %copy.display(),
            "an older system's database: copied; the copy holds tokens in the clear, delete it when all is well"
        );
    }
    Ok(())
}

/// Makes accounts of what an older system left in the database. Where there is nothing left, nothing happens.
///
/// # Errors
/// Fails when the store does; then nothing has changed.
pub async fn take_over(
    store: &Store,
    providers: &BTreeMap<&'static str, Arc<dyn Provider>>,
) -> Result<(), StoreError> {
    let tables = legacy_tables();
    let rows = store.older(&older(&tables)).await?;
    if rows.is_empty() {
        return Ok(());
    }
    let (mut inherited, mut strange) = (Vec::new(), BTreeMap::<String, usize>::new());
    for row in rows {
        let table = row.table.clone();
        match recognise(row, &tables, providers) {
            Some(account) => inherited.push(account),
            None => *strange.entry(table).or_default() += 1,
        }
    }
    let taken: BTreeSet<&str> = inherited.iter().map(|account| account.provider).collect();
    for provider in taken {
        let accounts = inherited.iter().filter(|account| account.provider == provider).count();
        tracing::info!(provider, accounts, "accounts taken over from an older system's database");
    }
    for (table, accounts) in strange {
        tracing::warn!(
            table,
            accounts,
            "accounts stay in an older system's table: no provider at work knows them"
        );
    }
    store.inherit(inherited, &older(&tables)).await
}

fn recognise(
    row: OlderRow,
    tables: &[LegacyTable],
    providers: &BTreeMap<&'static str, Arc<dyn Provider>>,
) -> Option<Inherited> {
    let table = tables.iter().find(|table| table.name == row.table)?;
    let (id, provider) = providers.get_key_value(table.provider.as_str())?;
    let mut credential = provider.import(&row.entry)?;
    credential.label = credential.label.or_else(|| row.entry["email"].as_str().map(str::to_owned));
    let newcomer =
        Newcomer { credential, origin: ORIGIN.to_owned(), trusted: true, limits: Wanted::default() };
    Some(Inherited { row, provider: id, newcomer })
}

fn older(tables: &[LegacyTable]) -> Vec<OlderTable<'_>> {
    tables.iter().map(|table| OlderTable { name: &table.name, members: &table.members }).collect()
}
