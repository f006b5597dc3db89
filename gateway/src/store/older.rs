//! Accounts in a SQLite database that an older system wrote.
//!
//! It may hold the only copy of a token that was rotated. So it is copied before anything is changed, and a row goes
//! in the same transaction in which its account becomes one of ours.

use super::{
    Newcomer, State, Store, StoreError, accounts::put, entity::credential::Entity, location::Location,
    location::private, location::with_suffix,
};
use pollux_sdk::Reason;
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DbBackend, EntityTrait, QuerySelect, SqlxSqliteConnector, Statement,
    sqlx::{
        ConnectOptions as _,
        sqlite::{SqliteConnectOptions, SqlitePoolOptions},
    },
};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::{ErrorKind, Read as _},
    path::{Path, PathBuf},
};

/// What every SQLite file begins with.
const HEADER: &[u8; 16] = b"SQLite format 3\0";
/// What tells a table of accounts from another of the same name.
const TOKEN: &str = "refresh_token";
/// The table that says which steps a database of ours went through.
const STEPS: &str = "seaql_migrations";
/// Copies of one day.
const COPIES: u32 = 100;

/// A table of accounts.
#[derive(Debug, Clone, Copy)]
pub struct OlderTable<'a> {
    /// Its name.
    pub name: &'a str,
    /// Members beside its columns, as SQL.
    pub members: &'a BTreeMap<String, String>,
}

/// An account as the older system stored it. Its `Debug` shows no value.
pub struct OlderRow {
    /// Where it stands.
    pub table: String,
    id: i64,
    /// Its columns by name.
    pub entry: Value,
    /// Whether the older system used it.
    pub enabled: bool,
}

impl std::fmt::Debug for OlderRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OlderRow").field("table", &self.table).field("id", &self.id).finish_non_exhaustive()
    }
}

/// A row and what a provider made of it.
#[derive(Debug)]
pub struct Inherited {
    /// The row.
    pub row: OlderRow,
    /// Whose account it is.
    pub provider: &'static str,
    /// The account.
    pub newcomer: Newcomer,
}

/// The accounts in an older system's file, which stays as it is. `None`: it is no such file.
pub async fn read_older(path: &Path, tables: &[OlderTable<'_>]) -> Result<Option<Vec<OlderRow>>, StoreError> {
    if !is_sqlite(path)? {
        return Ok(None);
    }
    // Nothing is changed here, so that a copy is for people's peace of mind: one a day, where it can be made.
    if let Err(error) = back_up(path, tables, 1).await {
        tracing::warn!(%error, "the older database was not copied");
    }
    let db = open(path).await?;
    let found = known(&db, tables).await?;
    let rows = rows(&db, &found).await;
    let _ = db.close().await;
    Ok(if found.is_empty() { None } else { Some(rows?) })
}

/// Copies the database that `url` names if an older system wrote it and it was never ours: `data.db.bak-<date>`
/// beside it. What is told is the copy.
pub async fn back_up_older(url: &str, tables: &[OlderTable<'_>]) -> Result<Option<PathBuf>, StoreError> {
    match Location::read(url)? {
        Location::File(path) if is_sqlite(&path)? => back_up(&path, tables, COPIES).await,
        _ => Ok(None),
    }
}

async fn back_up(path: &Path, tables: &[OlderTable<'_>], copies: u32) -> Result<Option<PathBuf>, StoreError> {
    let db = open(path).await?;
    let copied = async {
        if known(&db, tables).await?.is_empty() || columns(&db, STEPS).await?.contains("version") {
            return Ok(None);
        }
        let today = texts(&db, "SELECT date('now')").await?.pop().unwrap_or_default();
        let Some(copy) = vacant(path, &today, copies)? else {
            return if copies == 1 {
                Ok(None)
            } else {
                Err(StoreError::file(path)(ErrorKind::AlreadyExists.into()))
            };
        };
        let part = with_suffix(&copy, ".part");
        match fs::remove_file(&part) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(StoreError::file(&part)(error)),
            _ => {}
        }
        // SQLite takes an empty file and leaves its mode alone: the copy is its owner's only.
        let file = private().write(true).create_new(true).open(&part).map_err(StoreError::file(&part))?;
        db.execute_raw(Statement::from_sql_and_values(
            DbBackend::Sqlite,
            "VACUUM INTO ?",
            [part.display().to_string().into()],
        ))
        .await?;
        file.sync_all().map_err(StoreError::file(&part))?;
        fs::rename(&part, &copy).map_err(StoreError::file(&copy))?;
        let folder = copy.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(StoreError::file(folder))?;
        Ok(Some(copy))
    }
    .await;
    let _ = db.close().await;
    copied
}

/// A name that no copy has yet, out of so many.
fn vacant(path: &Path, today: &str, copies: u32) -> Result<Option<PathBuf>, StoreError> {
    let first = with_suffix(path, &format!(".bak-{today}"));
    let others = (2..=copies).map(|number| with_suffix(&first, &format!(".{number}")));
    for name in [first.clone()].into_iter().chain(others) {
        if !name.try_exists().map_err(StoreError::file(&name))? {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

fn is_sqlite(path: &Path) -> Result<bool, StoreError> {
    let mut head = Vec::with_capacity(HEADER.len());
    match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(StoreError::file(path)(error)),
        Ok(file) => {
            let read = file.take(HEADER.len() as u64).read_to_end(&mut head);
            // Whoever opens it says what is wrong with a folder.
            Ok(read.is_ok() && head == HEADER)
        }
    }
}

async fn open(path: &Path) -> Result<DatabaseConnection, StoreError> {
    let options = SqliteConnectOptions::new().filename(path).read_only(true).disable_statement_logging();
    let pool = SqlitePoolOptions::new()
        .max_connections(1)
        .acquire_timeout(super::ACQUIRE_TIMEOUT)
        .connect_with(options.busy_timeout(super::BUSY_TIMEOUT))
        .await
        .map_err(|error| StoreError::Unavailable(Box::new(error)))?;
    Ok(SqlxSqliteConnector::from_sqlx_sqlite_pool(pool))
}

/// The tables of accounts that the database has, with their columns.
async fn known<'a, C: ConnectionTrait>(
    db: &C,
    tables: &[OlderTable<'a>],
) -> Result<Vec<(OlderTable<'a>, BTreeSet<String>)>, StoreError> {
    let mut found = Vec::new();
    for table in tables {
        let columns = columns(db, table.name).await?;
        if columns.contains(TOKEN) {
            found.push((*table, columns));
        }
    }
    Ok(found)
}

async fn columns<C: ConnectionTrait>(db: &C, table: &str) -> Result<BTreeSet<String>, StoreError> {
    let select = format!("SELECT name FROM pragma_table_info({})", literal(table));
    Ok(texts(db, &select).await?.into_iter().collect())
}

async fn texts<C: ConnectionTrait>(db: &C, select: &str) -> Result<Vec<String>, StoreError> {
    let rows = db.query_all_raw(Statement::from_string(DbBackend::Sqlite, select)).await?;
    Ok(rows.iter().map(|row| row.try_get_by_index(0)).collect::<Result<_, _>>()?)
}

/// Those in use first: where one account stands there twice, that is what it is.
async fn rows<C: ConnectionTrait>(
    db: &C,
    tables: &[(OlderTable<'_>, BTreeSet<String>)],
) -> Result<Vec<OlderRow>, StoreError> {
    let mut rows = Vec::new();
    for (table, columns) in tables {
        let select = select(table, columns);
        for row in db.query_all_raw(Statement::from_string(DbBackend::Sqlite, select)).await? {
            let (id, entry): (i64, String) = (row.try_get_by_index(0)?, row.try_get_by_index(1)?);
            let entry: Value = serde_json::from_str(&entry).unwrap_or_default();
            let enabled = entry["status"].as_i64().is_none_or(|status| status != 0);
            rows.push(OlderRow { table: table.name.to_owned(), id, entry, enabled });
        }
    }
    rows.sort_by_key(|row| !row.enabled);
    Ok(rows)
}

/// Each row as a JSON object. What is not there, and what JSON cannot hold, is left out.
fn select(table: &OlderTable<'_>, columns: &BTreeSet<String>) -> String {
    let plain = columns.iter().map(|column| {
        let quoted = quoted(column);
        (column.as_str(), format!("CASE typeof({quoted}) WHEN 'blob' THEN NULL ELSE {quoted} END"))
    });
    let uses =
        |sql: &str| sql.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| columns.contains(word));
    let more =
        table.members.iter().filter(|(_, sql)| uses(sql)).map(|(name, sql)| (name.as_str(), sql.clone()));
    let members: Vec<String> =
        plain.chain(more).map(|(name, sql)| format!("{}, {sql}", literal(name))).collect();
    format!(
        "SELECT rowid, json_patch('{{}}', json_object({})) FROM {} ORDER BY rowid",
        members.join(", "),
        quoted(table.name)
    )
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

impl Store {
    /// The accounts that an older system left in this database and that are not ours yet.
    pub async fn older(&self, tables: &[OlderTable<'_>]) -> Result<Vec<OlderRow>, StoreError> {
        let db = &self.0.db;
        if db.get_database_backend() != DbBackend::Sqlite {
            return Ok(Vec::new());
        }
        rows(db, &known(db, tables).await?).await
    }

    /// Makes accounts of ours of them: all, or on an error none. Their rows go, and tables that are empty then.
    pub async fn inherit(
        &self,
        inherited: Vec<Inherited>,
        tables: &[OlderTable<'_>],
    ) -> Result<(), StoreError> {
        // Freed pages are wiped: tokens stood there in the clear.
        self.0.db.execute_unprepared("PRAGMA secure_delete = ON").await?;
        let turn = self.turn().await?;
        let ids = Entity::find().select_only().column(super::entity::credential::Column::Id);
        let mut known: BTreeSet<i64> = ids.into_tuple::<i64>().all(&turn).await?.into_iter().collect();
        for Inherited { row, provider, mut newcomer } in inherited {
            // As with any newcomer: nobody has confirmed whose account it is.
            newcomer.credential.subject = None;
            let mut model = self.admit(&turn, provider, newcomer).await?;
            if known.insert(model.id) && !row.enabled && model.is(State::Validating) {
                let text = "the older system had switched it off; `resume` tries it again";
                model.set_state(State::Suspended, Some(Reason::new("switched_off", text)));
                put(&turn, model).await?;
            }
            let delete = format!("DELETE FROM {} WHERE rowid = {}", quoted(&row.table), row.id);
            turn.execute_unprepared(&delete).await?;
        }
        for (table, _) in self::known(&turn, tables).await? {
            let left = texts(&turn, &format!("SELECT 'one' FROM {} LIMIT 1", quoted(table.name))).await?;
            if left.is_empty() {
                turn.execute_unprepared(&format!("DROP TABLE {}", quoted(table.name))).await?;
            }
        }
        turn.commit().await?;
        // Only for the sake of what the log of changes still shows; nothing depends on it.
        let _ = self.0.db.execute_unprepared("PRAGMA wal_checkpoint(TRUNCATE)").await;
        Ok(())
    }
}
