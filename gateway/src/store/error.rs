use sea_orm::DbErr;
use std::{error::Error, io, path::PathBuf};

/// Why the store could not do what it was asked. No text of it holds a token, a key or the database's password.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The address is not one of a database we speak to.
    #[error("database_url cannot be used: {0}")]
    BadUrl(String),
    /// Another process has the SQLite file.
    #[error("{} is in use by another process", .0.display())]
    Locked(PathBuf),
    /// The folder the database belongs into does not exist.
    #[error("the folder {} of the database does not exist", .0.display())]
    NoFolder(PathBuf),
    /// A file of ours cannot be read or written.
    #[error("{} cannot be used", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Nobody said where the sealing key is.
    #[error("with PostgreSQL a sealing key is needed: set key_file or POLLUX_SEALING_KEY")]
    KeyUnset,
    /// The key is gone while things sealed with it are still there.
    #[error(
        "the sealing key {} is missing, but the database holds what was sealed with it; bring the key back",
        .0.display()
    )]
    KeyMissing(PathBuf),
    /// What was given as a key is none.
    #[error("{0} does not hold a sealing key: 32 bytes in base64 or hex are wanted")]
    KeyMalformed(String),
    /// A key, but not the one this database was sealed with.
    #[error("the sealing key is not the one this database was sealed with")]
    KeyWrong,
    /// One account's sealed part was altered or damaged.
    #[error("what is stored for account {0} does not open")]
    Unreadable(i64),
    /// There is nothing to keep.
    #[error("a credential without any token cannot be stored")]
    NoToken,
    /// The database failed; it may be fine later.
    #[error("the database failed")]
    Unavailable(#[source] Box<dyn Error + Send + Sync>),
}

impl StoreError {
    /// Whether a person must change the configuration or the files before another start makes sense.
    pub fn is_configuration(&self) -> bool {
        !matches!(self, Self::Unreadable(_) | Self::NoToken | Self::Unavailable(_))
    }

    pub(super) fn file(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { path, source }
    }
}

impl From<DbErr> for StoreError {
    fn from(error: DbErr) -> Self {
        Self::Unavailable(Box::new(error))
    }
}
