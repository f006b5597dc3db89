//! The database a gateway is given.

use super::postgres;

/// Where a gateway keeps its accounts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Database {
    /// A file in the gateway's folder.
    Sqlite,
    /// A database of its own in this process' `PostgreSQL` cluster.
    Postgres {
        /// The URL, user included.
        url: String,
    },
}

impl Database {
    /// What the environment asks for: `POLLUX_TEST_DATABASE=postgres`, otherwise `SQLite`.
    ///
    /// Asking for `PostgreSQL` where it cannot be had is an error and never a silent `SQLite`.
    pub fn from_environment() -> Result<Self, String> {
        match std::env::var("POLLUX_TEST_DATABASE").as_deref() {
            Err(_) | Ok("" | "sqlite") => Ok(Self::Sqlite),
            Ok("postgres") => Self::postgres(),
            Ok(other) => Err(format!("POLLUX_TEST_DATABASE is `{other}`, neither sqlite nor postgres")),
        }
    }

    /// A new, empty `PostgreSQL` database.
    pub fn postgres() -> Result<Self, String> {
        Ok(Self::Postgres { url: postgres::cluster()?.create_database()? })
    }

    /// The value of `basic.database_url`; the file is relative to the gateway's folder.
    pub fn url(&self) -> &str {
        match self {
            Self::Sqlite => "sqlite://data.db",
            Self::Postgres { url } => url,
        }
    }
}
