//! Which database an address means, and how the file of an embedded one is kept to ourselves.

use super::StoreError;
use sea_orm::sqlx::postgres::PgConnectOptions;
use std::{
    fs::{File, OpenOptions, TryLockError},
    io::ErrorKind,
    path::{Path, PathBuf},
};

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Location {
    Memory,
    File(PathBuf),
    Postgres,
}

impl Location {
    pub(super) fn read(url: &str) -> Result<Self, StoreError> {
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            return match url.parse::<PgConnectOptions>() {
                Ok(_) => Ok(Self::Postgres),
                // The cause may quote the address, password included.
                Err(_) => Err(StoreError::BadUrl("not a well-formed PostgreSQL address".into())),
            };
        }
        let Some(rest) = url.strip_prefix("sqlite:") else {
            return Err(StoreError::BadUrl("sqlite: and postgres: addresses are known".into()));
        };
        let (path, mode) = rest.split_once('?').unwrap_or((rest, "mode=rwc"));
        if !matches!(mode, "mode=rwc" | "mode=rw") {
            return Err(StoreError::BadUrl(format!("a SQLite address takes no {mode:?}")));
        }
        match path.strip_prefix("//").unwrap_or(path) {
            "" => Err(StoreError::BadUrl("the SQLite file has no name".into())),
            ":memory:" => Ok(Self::Memory),
            path => Ok(Self::File(path.into())),
        }
    }
}

/// A SQLite file nobody else may open through Pollux while this lives.
#[derive(Debug)]
pub(super) struct Claim {
    pub(super) path: PathBuf,
    _lock: File,
}

impl Claim {
    /// Creates the file if it is missing, and locks it.
    pub(super) fn take(path: &Path) -> Result<Self, StoreError> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
            return Err(StoreError::NoFolder(folder.into()));
        }
        if path.is_dir() {
            return Err(StoreError::file(path)(ErrorKind::IsADirectory.into()));
        }
        match private().write(true).create_new(true).open(path) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                return Err(StoreError::file(path)(error));
            }
            _ => {}
        }
        // Two names of one file must meet at one lock.
        let path = path.canonicalize().map_err(StoreError::file(path))?;
        let beside = with_suffix(&path, ".lock");
        let lock = private()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&beside)
            .map_err(StoreError::file(&beside))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path, _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(StoreError::Locked(path)),
            Err(TryLockError::Error(error)) => Err(StoreError::file(beside)(error)),
        }
    }
}

/// The path with something appended to its file name.
pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Options that make a new file readable by its owner only.
pub(super) fn private() -> OpenOptions {
    #[cfg_attr(not(unix), expect(unused_mut, reason = "only unix has modes"))]
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_means_one_database() {
        let file = |path: &str| Location::File(path.into());
        for (url, expected) in [
            ("sqlite://data.db", file("data.db")),
            ("sqlite:data.db", file("data.db")),
            ("sqlite:./some/data.db", file("./some/data.db")),
            ("sqlite:///var/lib/data.db", file("/var/lib/data.db")),
            ("sqlite:/var/lib/data.db?mode=rwc", file("/var/lib/data.db")),
            ("sqlite://a b%20c.db", file("a b%20c.db")),
            ("sqlite::memory:", Location::Memory),
            ("sqlite://:memory:", Location::Memory),
            ("postgres://me@host/pollux", Location::Postgres),
            ("postgresql://me:word@host:5433/pollux?sslmode=require", Location::Postgres),
        ] {
            assert_eq!(Location::read(url).unwrap(), expected, "{url}");
        }
    }

    #[test]
    fn an_address_that_cannot_be_used_is_refused_without_its_password() {
        for url in [
            "",
            "data.db",
            "mysql://me:hunter2@host/x",
            "sqlite:",
            "sqlite://",
            "sqlite:data.db?mode=ro",
            "postgres://me:hunter2@host:port/x",
        ] {
            let error = Location::read(url).unwrap_err();
            assert!(matches!(error, StoreError::BadUrl(_)), "{url}");
            assert!(error.is_configuration());
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{url}");
        }
    }
}
