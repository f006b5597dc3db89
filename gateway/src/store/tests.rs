//! Every test runs on SQLite, and where `POLLUX_TEST_POSTGRES_URL` names a server, in a database of its own there.

mod accounts;
mod files;
mod older;
mod opening;
mod refresh;
mod rests;
mod usage;

use super::*;
use crate::limits::Wanted;
use pollux_sdk::Credential;
use serde_json::{Map, Value, json};
use tempfile::TempDir;

/// A place for one database and its key.
struct Ground {
    folder: TempDir,
    url: String,
    server: Option<String>,
}

impl Ground {
    fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", folder.path().join("data.db").display());
        Self { folder, url, server: None }
    }

    async fn postgres(server: &str) -> Self {
        let name = format!("pollux_test_{:032x}", rand::random::<u128>());
        let admin = Database::connect(server).await.unwrap();
        admin.execute_unprepared(&format!("CREATE DATABASE {name}")).await.unwrap();
        admin.close().await.unwrap();
        let mut url = url::Url::parse(server).unwrap();
        url.set_path(&name);
        Self { folder: tempfile::tempdir().unwrap(), url: url.into(), server: Some(server.into()) }
    }

    async fn clear(self) {
        let Some(server) = self.server else { return };
        let name = url::Url::parse(&self.url).unwrap().path()[1..].to_owned();
        let admin = Database::connect(server).await.unwrap();
        admin.execute_unprepared(&format!("DROP DATABASE {name} WITH (FORCE)")).await.unwrap();
    }

    fn key_file(&self) -> PathBuf {
        self.folder.path().join("data.db.key")
    }

    fn shared(&self) -> bool {
        self.server.is_some()
    }

    async fn try_open(&self) -> Result<Store, StoreError> {
        Store::open(Opening { url: &self.url, key_file: Some(&self.key_file()), key: None }).await
    }

    async fn open(&self) -> Store {
        self.try_open().await.unwrap()
    }

    /// As after a restart.
    async fn reopen(&self, store: Store) -> Store {
        store.close().await;
        drop(store);
        self.open().await
    }
}

async fn everywhere(test: impl AsyncFn(&Ground)) {
    let ground = Ground::sqlite();
    test(&ground).await;
    if let Ok(server) = std::env::var("POLLUX_TEST_POSTGRES_URL") {
        let ground = Ground::postgres(&server).await;
        test(&ground).await;
        ground.clear().await;
    }
}

fn map(value: Value) -> Map<String, Value> {
    serde_json::from_value(value).unwrap()
}

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn trusted(credential: Credential) -> Newcomer {
    Newcomer { credential, origin: "127.0.0.1".into(), trusted: true, limits: Wanted::default() }
}

fn stranger(credential: Credential) -> Newcomer {
    Newcomer { credential, origin: "203.0.113.9".into(), trusted: false, limits: Wanted::default() }
}

fn known(subject: &str, refresh: &str) -> Credential {
    Credential {
        subject: Some(subject.into()),
        label: Some(format!("{subject}@example.org")),
        access: Some(Secret::new(format!("access-of-{refresh}"))),
        expires_at: Some(at(5000)),
        ..Credential::from_refresh(refresh)
    }
}

fn refresh_of(row: &Row) -> &str {
    row.credential.refresh.as_ref().unwrap().expose()
}

async fn ingested(store: &Store, newcomer: Newcomer) -> Row {
    store.ingest("acme", vec![newcomer]).await.unwrap().remove(0)
}

/// An account that serves.
async fn active(store: &Store, subject: &str, refresh: &str) -> Row {
    let row = ingested(store, trusted(Credential::from_refresh(refresh))).await;
    store.enrolled(row.id, vec![known(subject, refresh)], State::Active).await.unwrap().remove(0)
}
