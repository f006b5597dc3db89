//! What must outlive the process: accounts with their sealed tokens, cooldowns, logins under way.
//!
//! SQLite and PostgreSQL are told apart by the address alone. Whatever a verb changed is durable when it returns.
//! Only this module and the `migration` crate know the database library; what comes out is plain data.

mod accounts;
mod cooldowns;
mod entity;
mod error;
mod files;
mod key;
mod limits;
mod location;
mod logins;
mod merge;
mod older;
mod readings;
mod refresh;
mod row;
mod seal;
mod spent;
#[cfg(test)]
mod tests;
mod usage;
mod vault;

pub use error::StoreError;
pub use files::{FileNews, FileRow};
pub use logins::LoginRow;
pub use older::{Inherited, OlderRow, OlderTable, back_up_older, read_older};
pub use row::{Newcomer, Row, State, TokenHash};
pub use usage::{
    Common, DAY, Dimension, Filter, Group, HOUR, Horizons, Measures, Outcome, Part, Query, Source, Statuses,
    UsageRow,
};

use location::{Claim, Location};
use pollux_migration::{Migrator, MigratorTrait};
use pollux_sdk::Secret;
use sea_orm::{
    ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr,
    SqlxSqliteConnector, TransactionTrait,
    sqlx::{
        ConnectOptions as _,
        sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
    },
};
use seal::Sealer;
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Writers of all replicas take turns, as SQLite's do: they are few and short, and nothing can deadlock.
const POSTGRES_TURN: &str = "SET LOCAL lock_timeout = '10s'; \
    SET LOCAL idle_in_transaction_session_timeout = '20s'; \
    SELECT pg_advisory_xact_lock(7022362894415717)";
const POSTGRES_CONNECTIONS: u32 = 8;

/// The database. Clones share it.
#[derive(Debug, Clone)]
pub struct Store(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    db: DatabaseConnection,
    sealer: Sealer,
    /// Names this process in refresh intents.
    instance: String,
    /// Accounts whose tokens changed.
    renewals: files::Renewals,
    /// Held for as long as anybody can still write.
    _claim: Option<Claim>,
}

/// Where the database is, and what opens it.
#[derive(Debug, Clone, Copy)]
pub struct Opening<'a> {
    /// `sqlite:` followed by a path taken literally (or `:memory:`), or a `postgres:` address.
    pub url: &'a str,
    /// Where the sealing key is, or is to be; beside the SQLite file if not said.
    pub key_file: Option<&'a Path>,
    /// The sealing key itself. It comes before any file.
    pub key: Option<&'a Secret>,
}

impl Store {
    /// Opens the database, brings it up to date, and makes sure the sealing key is the right one.
    pub async fn open(opening: Opening<'_>) -> Result<Self, StoreError> {
        let (claim, db) = match Location::read(opening.url)? {
            Location::Memory => (None, sqlite(None).await?),
            Location::File(path) => {
                let claim = Claim::take(&path)?;
                let db = sqlite(Some(&claim.path)).await?;
                (Some(claim), db)
            }
            Location::Postgres => (None, postgres(opening.url).await?),
        };
        let beside = claim.as_ref().map(|claim| location::with_suffix(&claim.path, ".key"));
        let wanted = key_source(&opening, beside, db.get_database_backend())?;
        let turn = take_turn(&db).await?;
        Migrator::up(&turn, None).await?;
        let sealer = vault::unlock(&turn, wanted).await?;
        turn.commit().await?;
        Ok(Self::over(db, sealer, claim))
    }

    /// Opens a SQLite database that a running gateway may hold, for reading alone. Verbs that write fail.
    pub async fn peek(opening: Opening<'_>) -> Result<Self, StoreError> {
        let Location::File(path) = Location::read(opening.url)? else { return Self::open(opening).await };
        let path = path.canonicalize().map_err(StoreError::file(path))?;
        let options = SqliteConnectOptions::new().filename(&path).read_only(true);
        let db = connect(options).await?;
        let beside = Some(location::with_suffix(&path, ".key"));
        let wanted = key_source(&opening, beside, db.get_database_backend())?;
        let turn = take_turn(&db).await?;
        let sealer = vault::unlock(&turn, wanted).await?;
        turn.rollback().await?;
        Ok(Self::over(db, sealer, None))
    }

    fn over(db: DatabaseConnection, sealer: Sealer, claim: Option<Claim>) -> Self {
        let instance = format!("{:032x}", rand::random::<u128>());
        Self(Arc::new(Inner { db, sealer, instance, renewals: files::Renewals::default(), _claim: claim }))
    }

    /// Whether the database answers.
    pub async fn is_there(&self) -> bool {
        self.0.db.ping().await.is_ok()
    }

    /// Lets go of the database. Verbs fail from here on.
    pub async fn close(&self) {
        let _ = self.0.db.close_by_ref().await;
    }

    /// Begins a change. No other writer, in this process or another, is between this and the commit.
    async fn turn(&self) -> Result<DatabaseTransaction, StoreError> {
        Ok(take_turn(&self.0.db).await?)
    }
}

async fn take_turn(db: &DatabaseConnection) -> Result<DatabaseTransaction, DbErr> {
    let transaction = db.begin().await?;
    if transaction.get_database_backend() == DbBackend::Postgres {
        transaction.execute_unprepared(POSTGRES_TURN).await?;
    }
    Ok(transaction)
}

fn key_source(
    opening: &Opening<'_>,
    beside: Option<PathBuf>,
    backend: DbBackend,
) -> Result<vault::Source, StoreError> {
    if let Some(secret) = opening.key {
        return Ok(vault::Source::Given(key::from_secret(secret)?));
    }
    match opening.key_file.map(Path::to_owned).or(beside) {
        Some(path) => Ok(vault::Source::File(path)),
        None if backend == DbBackend::Postgres => Err(StoreError::KeyUnset),
        // A database in memory is gone with its key.
        None => Ok(vault::Source::Given(rand::random())),
    }
}

/// One connection: SQLite has one writer anyway, and a pool of one queues fairly instead of answering "busy".
async fn sqlite(file: Option<&Path>) -> Result<DatabaseConnection, StoreError> {
    let options = match file {
        None => SqliteConnectOptions::new().in_memory(true),
        Some(path) => SqliteConnectOptions::new()
            .filename(path)
            .journal_mode(SqliteJournalMode::Wal)
            // What was answered with 202, and a token that cannot be had twice, must survive a power cut.
            .synchronous(SqliteSynchronous::Full),
    };
    connect(options).await
}

async fn connect(options: SqliteConnectOptions) -> Result<DatabaseConnection, StoreError> {
    let options = options.foreign_keys(true).busy_timeout(BUSY_TIMEOUT).disable_statement_logging();
    let pool = SqlitePoolOptions::new()
        .max_connections(1)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .idle_timeout(None)
        .max_lifetime(None)
        .connect_with(options)
        .await
        .map_err(|error| StoreError::Unavailable(Box::new(error)))?;
    Ok(SqlxSqliteConnector::from_sqlx_sqlite_pool(pool))
}

async fn postgres(url: &str) -> Result<DatabaseConnection, StoreError> {
    let mut options = ConnectOptions::new(url);
    options.max_connections(POSTGRES_CONNECTIONS).acquire_timeout(ACQUIRE_TIMEOUT).sqlx_logging(false);
    Ok(Database::connect(options).await?)
}

fn millis(time: SystemTime) -> i64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

fn moment(millis: i64) -> SystemTime {
    let since = Duration::from_millis(u64::try_from(millis).unwrap_or_default());
    // What a clock cannot show is as good as never; one that far is not ours.
    SystemTime::UNIX_EPOCH.checked_add(since).unwrap_or(SystemTime::UNIX_EPOCH)
}
