use super::*;
use crate::limits::Limits;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, sea_query::Expr};
use std::fs;

#[tokio::test]
async fn an_account_survives_a_restart_with_all_that_is_known_of_it() {
    everywhere(async |ground| {
        let store = ground.open().await;
        let row = ingested(&store, trusted(Credential::from_refresh("r1"))).await;
        let credential =
            Credential { extra: map(json!({"project": "p", "deep": {"n": [1]}})), ..known("s", "r1") };
        store.enrolled(row.id, vec![credential], State::Active).await.unwrap();
        let wanted = Wanted {
            label: Some(Some("mine".into())),
            priority: Some(Some(7)),
            weight: Some(Some(4)),
            max_concurrency: Some(Some(3)),
            proxy: Some(Some(Secret::new("http://u:clear-proxy@p:1"))),
        };
        store.amend(row.id, Map::new(), &wanted).await.unwrap();
        let reason = pollux_sdk::Reason::new("why", "because").at(Some("https://example.org".into()));
        let before = store.set_state(row.id, State::Suspended, Some(reason.clone())).await.unwrap().unwrap();

        let store = ground.reopen(store).await;
        store.list().await.unwrap();
        let after = store.get(row.id).await.unwrap().unwrap();
        assert_eq!(format!("{after:?}"), format!("{before:?}"));
        assert_eq!(after.credential.subject.as_deref(), Some("s"));
        assert_eq!(after.credential.label.as_deref(), Some("mine"));
        assert_eq!(after.credential.access, Some(Secret::new("access-of-r1")));
        assert_eq!(refresh_of(&after), "r1");
        assert_eq!(after.credential.expires_at, Some(at(5000)));
        assert_eq!(after.credential.extra, map(json!({"project": "p", "deep": {"n": [1]}})));
        assert_eq!((after.state, after.reason), (State::Suspended, Some(reason)));
        assert_eq!(after.limits, wanted.over(Limits::default()));
        assert_eq!(
            (after.provider.as_str(), after.origin.as_str(), after.trusted),
            ("acme", "127.0.0.1", true)
        );
        assert!(after.updated_at >= after.created_at && after.created_at > at(0));
        assert!(store.get(row.id + 1).await.unwrap().is_none());
    })
    .await;
}

#[tokio::test]
async fn no_file_holds_a_token_in_clear_text_and_only_the_owner_reads_them() {
    let ground = Ground::sqlite();
    let store = ground.open().await;
    let row = ingested(&store, trusted(Credential::from_refresh("clear-refresh"))).await;
    let extra = map(json!({"client_secret": "clear-extra"}));
    let account =
        Credential { extra, access: Some(Secret::new("clear-access")), ..known("visible", "clear-refresh") };
    store.enrolled(row.id, vec![account], State::Active).await.unwrap();
    let proxy = Some(Some(Secret::new("http://u:clear-proxy@p:1")));
    store.amend(row.id, Map::new(), &Wanted { proxy, ..Wanted::default() }).await.unwrap();
    store.save_login(&rests::login("visible-login", at(9))).await.unwrap();
    let scan = || {
        let files = fs::read_dir(ground.folder.path()).unwrap().map(|file| file.unwrap().path());
        files.flat_map(|file| fs::read(file).unwrap()).collect::<Vec<u8>>()
    };
    let beside_a_writer = scan();
    store.close().await;
    drop(store);
    for bytes in [beside_a_writer, scan()] {
        let holds = |text: &str| memchr::memmem::find(&bytes, text.as_bytes()).is_some();
        assert!(holds("visible@example.org") && holds("visible-login"));
        assert!(!holds("clear-"), "a token lies in a file");
    }
    #[cfg(unix)]
    for file in fs::read_dir(ground.folder.path()).unwrap() {
        use std::os::unix::fs::PermissionsExt;
        let file = file.unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", file.path());
    }
}

#[tokio::test]
async fn a_missing_key_is_made_anew_only_while_nothing_is_sealed() {
    everywhere(async |ground| {
        let store = ground.open().await;
        let first = fs::read(ground.key_file()).unwrap();
        store.close().await;
        drop(store);
        fs::remove_file(ground.key_file()).unwrap();
        if ground.shared() {
            // Another replica may be about to seal with it.
            assert!(matches!(ground.try_open().await, Err(StoreError::KeyMissing(_))));
            fs::write(ground.key_file(), &first).unwrap();
        }
        let store = ground.open().await;
        let second = fs::read(ground.key_file()).unwrap();
        assert_eq!(first == second, ground.shared());
        let row = ingested(&store, trusted(Credential::from_refresh("r1"))).await;
        store.close().await;
        drop(store);

        fs::remove_file(ground.key_file()).unwrap();
        let error = ground.try_open().await.unwrap_err();
        assert!(matches!(&error, StoreError::KeyMissing(path) if *path == ground.key_file()), "{error}");
        assert!(error.is_configuration());
        assert!(!ground.key_file().exists(), "a key was made that opens nothing");

        fs::write(ground.key_file(), &second).unwrap();
        let store = ground.open().await;
        assert_eq!(refresh_of(&store.get(row.id).await.unwrap().unwrap()), "r1");
    })
    .await;
}

#[tokio::test]
async fn a_wrong_or_malformed_key_is_told_from_the_right_one() {
    everywhere(async |ground| {
        let given = |key: &str| {
            let key = Secret::new(key);
            async move { Store::open(Opening { url: &ground.url, key_file: None, key: Some(&key) }).await }
        };
        let store = given(&"ab".repeat(32)).await.unwrap();
        let row = ingested(&store, trusted(Credential::from_refresh("r1"))).await;
        store.close().await;
        drop(store);
        let error = given(&"cd".repeat(32)).await.unwrap_err();
        assert!(matches!(error, StoreError::KeyWrong) && error.is_configuration());
        let error = given("only-a-few-bytes").await.unwrap_err();
        assert!(matches!(error, StoreError::KeyMalformed(_)) && error.is_configuration());
        assert!(!format!("{error} {error:?}").contains("only-a-few"));
        fs::write(ground.key_file(), "").unwrap();
        assert!(matches!(ground.try_open().await, Err(StoreError::KeyMalformed(_))));
        let store = given(&"AB".repeat(32)).await.unwrap();
        assert_eq!(refresh_of(&store.get(row.id).await.unwrap().unwrap()), "r1");
    })
    .await;
}

#[tokio::test]
async fn postgres_wants_to_be_told_where_the_key_is_and_sqlite_keeps_it_beside_the_file() {
    let ground = Ground::sqlite();
    let store = Store::open(Opening { url: &ground.url, key_file: None, key: None }).await.unwrap();
    assert!(ground.key_file().exists());
    drop(store);
    let Ok(server) = std::env::var("POLLUX_TEST_POSTGRES_URL") else { return };
    let ground = Ground::postgres(&server).await;
    let error = Store::open(Opening { url: &ground.url, key_file: None, key: None }).await.unwrap_err();
    assert!(matches!(error, StoreError::KeyUnset) && error.is_configuration());
    ground.clear().await;
}

#[tokio::test]
async fn a_damaged_row_is_out_alone_and_its_token_brings_it_back() {
    everywhere(async |ground| {
        use crate::store::entity::credential::{Column, Entity};
        let store = ground.open().await;
        let (bad, good) = (active(&store, "bad", "r1").await, active(&store, "good", "r2").await);
        // The other row's secrets, moved here by somebody who can write but lacks the key.
        let foreign = Entity::find_by_id(good.id).one(&store.0.db).await.unwrap().unwrap().sealed;
        Entity::update_many()
            .col_expr(Column::Sealed, Expr::value(foreign))
            .filter(Column::Id.eq(bad.id))
            .exec(&store.0.db)
            .await
            .unwrap();

        let store = ground.reopen(store).await;
        let rows = store.list().await.unwrap();
        assert_eq!((rows[0].id, rows[0].state), (bad.id, State::Suspended));
        assert_eq!(rows[0].reason.as_ref().unwrap().code, "unreadable");
        assert!(rows[0].credential.refresh.is_none() && rows[0].credential.access.is_none());
        assert_eq!((rows[1].state, refresh_of(&rows[1])), (State::Active, "r2"));
        let refused = store.amend(bad.id, map(json!({"project": "p"})), &Wanted::default()).await;
        assert!(matches!(refused, Err(StoreError::Unreadable(id)) if id == bad.id));

        let healed = ingested(&store, trusted(Credential::from_refresh("r1"))).await;
        assert_eq!((healed.id, healed.state, refresh_of(&healed)), (bad.id, State::Validating, "r1"));
        assert_eq!(healed.credential.subject.as_deref(), Some("bad"));
        let early = Credential { expires_at: Some(at(1)), ..known("bad", "r1") };
        let enrolled = store.enrolled(healed.id, vec![early], State::Active).await.unwrap().remove(0);
        assert_eq!((enrolled.id, enrolled.state), (bad.id, State::Active));
        assert!(enrolled.credential.access.is_some());
    })
    .await;
}

#[tokio::test]
async fn a_second_opener_of_the_same_file_is_refused_under_any_name() {
    let ground = Ground::sqlite();
    let store = ground.open().await;
    let error = ground.try_open().await.unwrap_err();
    assert!(matches!(error, StoreError::Locked(_)) && error.is_configuration());
    assert!(error.to_string().contains("data.db"), "{error}");
    #[cfg(unix)]
    {
        let alias = ground.folder.path().join("alias.db");
        std::os::unix::fs::symlink(ground.folder.path().join("data.db"), &alias).unwrap();
        let url = format!("sqlite:{}", alias.display());
        let opening = Opening { url: &url, key_file: None, key: None };
        assert!(matches!(Store::open(opening).await, Err(StoreError::Locked(_))));
    }
    drop(store);
    ground.open().await;
}

#[tokio::test]
async fn a_missing_folder_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}/not/there/data.db", folder.path().display());
    let error = Store::open(Opening { url: &url, key_file: None, key: None }).await.unwrap_err();
    assert!(matches!(error, StoreError::NoFolder(_)) && error.is_configuration());
    assert!(error.to_string().contains("not/there"), "{error}");
}

#[tokio::test]
async fn a_database_in_memory_needs_no_file() {
    let store = Store::open(Opening { url: "sqlite::memory:", key_file: None, key: None }).await.unwrap();
    active(&store, "s", "r1").await;
    assert_eq!(store.list().await.unwrap().len(), 1);
}

#[tokio::test]
async fn sqlite_waits_for_the_disk_and_checks_references() {
    let store = Ground::sqlite().open().await;
    for (pragma, expected) in [("synchronous", "2"), ("foreign_keys", "1")] {
        let query = sea_orm::Statement::from_string(DbBackend::Sqlite, format!("PRAGMA {pragma}"));
        let row = store.0.db.query_one_raw(query).await.unwrap().unwrap();
        assert_eq!(row.try_get_by_index::<i32>(0).unwrap().to_string(), expected, "{pragma}");
    }
    let query = sea_orm::Statement::from_string(DbBackend::Sqlite, "PRAGMA journal_mode");
    let row = store.0.db.query_one_raw(query).await.unwrap().unwrap();
    assert_eq!(row.try_get_by_index::<String>(0).unwrap(), "wal");
}

#[tokio::test]
async fn nothing_printed_holds_a_token() {
    let store = Ground::sqlite().open().await;
    let newcomer =
        trusted(Credential { extra: map(json!({"k": "secret-extra"})), ..known("s", "secret-refresh") });
    let printed = format!("{newcomer:?}");
    let row = ingested(&store, newcomer).await;
    let printed = format!("{printed} {row:?} {store:?} {:?}", rests::login("id", at(1)));
    assert!(printed.contains("acme") && !printed.contains("secret-"), "{printed}");
    assert!(!printed.contains(&row.token_hash.0) && !printed.contains("clear-"), "{printed}");
}
