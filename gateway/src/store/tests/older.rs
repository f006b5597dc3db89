use super::*;
use crate::store::location::with_suffix;

const TABLE: &str = "CREATE TABLE credentials (id INTEGER PRIMARY KEY, email TEXT, project_id TEXT,
    refresh_token TEXT, access_token TEXT, expiry TEXT, status INTEGER, picture BLOB);
    INSERT INTO credentials VALUES (1, 'a@x', 'p', 'off', NULL, '2020-01-01T00:00:00+00:00', 0, x'00ff');
    INSERT INTO credentials VALUES (2, NULL, 'q', 'it''s \"on\"', 'a', '2030-01-01 00:00:00.5+02:00', 1, NULL);";

fn members() -> std::collections::BTreeMap<String, String> {
    [("expiry_date".to_owned(), "unixepoch(expiry) * 1000".to_owned())].into()
}

async fn older(ground: &Ground, statements: &str) -> PathBuf {
    let path = ground.folder.path().join("data.db");
    let db = Database::connect(format!("{}?mode=rwc", ground.url)).await.unwrap();
    db.execute_unprepared(statements).await.unwrap();
    db.close().await.unwrap();
    path
}

fn copies(ground: &Ground) -> usize {
    let all = std::fs::read_dir(ground.folder.path()).unwrap().flatten();
    all.filter(|entry| entry.file_name().to_string_lossy().starts_with("data.db.bak-")).count()
}

#[tokio::test]
async fn a_row_is_told_as_a_credential_file_has_it_and_the_file_stays() {
    let ground = Ground::sqlite();
    let path = older(&ground, TABLE).await;
    let before = std::fs::read(&path).unwrap();
    let members = members();
    let tables = [OlderTable { name: "credentials", members: &members }];
    for _ in 0..2 {
        let rows = read_older(&path, &tables).await.unwrap().unwrap();
        let told: Vec<_> = rows.iter().map(|row| (row.enabled, row.entry.clone())).collect();
        let on = json!({"id": 2, "project_id": "q", "refresh_token": "it's \"on\"", "access_token": "a",
            "expiry": "2030-01-01 00:00:00.5+02:00", "status": 1, "expiry_date": 1_893_448_800_000_i64});
        let off = json!({"id": 1, "email": "a@x", "project_id": "p", "refresh_token": "off",
            "expiry": "2020-01-01T00:00:00+00:00", "status": 0, "expiry_date": 1_577_836_800_000_i64});
        assert_eq!(told, [(true, on), (false, off)], "those in use come first");
        assert!(!format!("{rows:?}").contains("it's"), "a token is printed");
    }
    assert_eq!(std::fs::read(&path).unwrap(), before);
    assert_eq!(copies(&ground), 1, "one copy a day is enough where nothing changes");
}

#[tokio::test]
async fn what_no_older_system_wrote_is_none() {
    let members = members();
    let tables = [OlderTable { name: "credentials", members: &members }];
    let other = Ground::sqlite();
    let path =
        older(&other, "CREATE TABLE credentials (name TEXT); CREATE TABLE t (refresh_token TEXT)").await;
    assert!(read_older(&path, &tables).await.unwrap().is_none());
    assert_eq!(back_up_older(&other.url, &tables).await.unwrap(), None);
    let bolt = Ground::sqlite();
    let path = bolt.folder.path().join("data.db");
    assert!(read_older(&path, &tables).await.unwrap().is_none(), "there is no such file");
    std::fs::write(&path, "bolt").unwrap();
    assert!(read_older(&path, &tables).await.unwrap().is_none());
    assert_eq!(back_up_older("sqlite::memory:", &tables).await.unwrap(), None);
    let ours = Ground::sqlite();
    let store = ours.open().await;
    assert!(store.older(&tables).await.unwrap().is_empty());
    store.close().await;
    assert_eq!(back_up_older(&ours.url, &tables).await.unwrap(), None);
}

#[tokio::test]
async fn each_start_that_finds_it_untouched_makes_a_copy_of_its_own() {
    let ground = Ground::sqlite();
    older(&ground, TABLE).await;
    let members = members();
    let tables = [OlderTable { name: "credentials", members: &members }];
    let first = back_up_older(&ground.url, &tables).await.unwrap().unwrap();
    let second = back_up_older(&ground.url, &tables).await.unwrap().unwrap();
    assert_eq!(second, with_suffix(&first, ".2"), "the older system may have run in between");
    let rows = read_older(&first, &tables).await.unwrap().unwrap();
    assert_eq!(rows.len(), 2, "the copy is a whole database");
    let part = with_suffix(&with_suffix(&first, ".3"), ".part");
    std::fs::write(&part, "cut off").unwrap();
    assert!(back_up_older(&ground.url, &tables).await.unwrap().unwrap().exists());
    assert!(!part.exists());
    ground.open().await.close().await;
    assert_eq!(back_up_older(&ground.url, &tables).await.unwrap(), None, "it is ours by now");
}

#[tokio::test]
async fn what_is_inherited_is_gone_there_in_the_same_moment() {
    let ground = Ground::sqlite();
    older(&ground, TABLE).await;
    let members = members();
    let tables = [OlderTable { name: "credentials", members: &members }];
    let store = ground.open().await;
    let inherit = |row: OlderRow| {
        let credential = Credential::from_refresh(row.entry["refresh_token"].as_str().unwrap());
        let newcomer =
            Newcomer { credential, origin: "older".into(), trusted: true, limits: Wanted::default() };
        Inherited { row, provider: "vendor", newcomer }
    };
    let mut rows = store.older(&tables).await.unwrap();
    let off = rows.pop().unwrap();
    store.inherit(rows.into_iter().map(inherit).collect(), &tables).await.unwrap();
    let left = store.older(&tables).await.unwrap();
    assert_eq!(left.iter().map(|row| row.entry["id"].clone()).collect::<Vec<_>>(), [json!(1)]);
    store.inherit(vec![inherit(off)], &tables).await.unwrap();
    assert!(store.older(&tables).await.unwrap().is_empty());
    let states: Vec<_> = store.list().await.unwrap().iter().map(|row| row.state).collect();
    assert_eq!(states, [State::Validating, State::Suspended]);
    let gone = tables_of(&store).await;
    assert!(!gone.contains(&"credentials".to_owned()), "{gone:?}");
}

async fn tables_of(store: &Store) -> Vec<String> {
    let select = "SELECT name FROM sqlite_master WHERE type = 'table'";
    let statement = sea_orm::Statement::from_string(DbBackend::Sqlite, select);
    let rows = store.0.db.query_all_raw(statement).await.unwrap();
    rows.iter().map(|row| row.try_get_by_index(0).unwrap()).collect()
}
