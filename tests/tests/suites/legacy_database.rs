//! Databases of the systems before Pollux: the tokens in them may be the only copy there is.

use super::owner::{LIMIT, accounts, act, id, served, wait_accounts, wait_all, wait_only};
use pollux_tests::kit::{Builder, Database, Gateway, free_port, pollux};
use pollux_tests::simulator::{Simulator, google, openai};
use sea_orm::ConnectionTrait as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub(super) const SOON: &str = "2099-01-01T00:00:00+00:00";
const PAST: &str = "2020-01-01T00:00:00+00:00";

/// Tables as Pollux had them in 2026.
pub(super) const POLLUX: &str = "
    CREATE TABLE gemini_cli (id INTEGER PRIMARY KEY, email TEXT, sub TEXT NOT NULL, project_id TEXT NOT NULL,
        refresh_token TEXT NOT NULL, access_token TEXT, expiry TEXT NOT NULL, status INTEGER NOT NULL DEFAULT 1,
        created_at TEXT, updated_at TEXT, UNIQUE (sub, project_id));
    CREATE TABLE codex (id INTEGER PRIMARY KEY, email TEXT, sub TEXT NOT NULL, account_id TEXT NOT NULL,
        refresh_token TEXT NOT NULL, access_token TEXT NOT NULL, expiry TEXT NOT NULL, chatgpt_plan_type TEXT,
        status INTEGER NOT NULL DEFAULT 1, created_at TEXT, updated_at TEXT, UNIQUE (sub, account_id));
    CREATE TABLE antigravity (id INTEGER PRIMARY KEY, email TEXT, sub TEXT NOT NULL, project_id TEXT NOT NULL,
        refresh_token TEXT NOT NULL, access_token TEXT, expiry TEXT NOT NULL, status INTEGER NOT NULL DEFAULT 1,
        created_at TEXT, updated_at TEXT, UNIQUE (sub, project_id));
    CREATE INDEX idx_codex_status ON codex (status);";

/// The table of Gcli-Nexus.
const GCLI_NEXUS: &str = "CREATE TABLE credentials (id INTEGER PRIMARY KEY, email TEXT,
    project_id TEXT NOT NULL UNIQUE, refresh_token TEXT NOT NULL, access_token TEXT, expiry TEXT NOT NULL,
    status INTEGER NOT NULL DEFAULT 1);";

async fn run(path: &Path, statements: &str) {
    let url = format!("sqlite://{}?mode=rwc", path.display());
    let db = sea_orm::Database::connect(url).await.unwrap();
    db.execute_unprepared(statements).await.unwrap();
    db.close().await.unwrap();
}

/// A database file with these statements run, as the older system left it.
pub(super) async fn written(statements: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("old.db");
    run(&path, statements).await;
    fs::read(&path).unwrap()
}

fn gemini(
    account: &google::Account,
    project: &str,
    access: Option<&str>,
    expiry: &str,
    status: u8,
) -> String {
    let access = access.map_or("NULL".to_owned(), |token| format!("'{token}'"));
    format!(
        "INSERT INTO gemini_cli (email, sub, project_id, refresh_token, access_token, expiry, status)
         VALUES ('{}', '{}', '{project}', '{}', {access}, '{expiry}', {status});",
        account.email(),
        account.sub(),
        account.refresh_token()
    )
}

pub(super) fn codex(account: &openai::Account, expiry: &str) -> String {
    format!(
        "INSERT INTO codex (email, sub, account_id, refresh_token, access_token, expiry)
         VALUES ('{}', 'user', '{}', '{}', '{}', '{expiry}');",
        account.email(),
        account.account_id(),
        account.refresh_token(),
        account.access_token()
    )
}

fn gateway(simulator: &Simulator, database: Vec<u8>) -> Builder {
    Gateway::builder().simulator(simulator).database(Database::Sqlite).file("data.db", database)
}

fn copies(gateway: &Gateway) -> Vec<PathBuf> {
    let all = fs::read_dir(gateway.folder()).unwrap().map(|entry| entry.unwrap().path());
    let mut copies: Vec<_> = all.filter(|path| path.to_string_lossy().contains("data.db.bak-")).collect();
    copies.sort();
    copies
}

fn holds(path: &Path, text: &str) -> bool {
    fs::read(path).unwrap_or_default().windows(text.len()).any(|window| window == text.as_bytes())
}

#[tokio::test]
async fn an_older_polluxs_database_is_copied_and_its_accounts_serve() {
    let simulator = Simulator::start();
    let (alice, bob) =
        (simulator.google().account("alice").project("alices"), simulator.openai().account("bob"));
    let (refresh, access) = (alice.refresh_token(), alice.access_token());
    let insert = [gemini(&alice, "alices", Some(&access), SOON, 1), codex(&bob, SOON)].concat();
    let token = refresh_token_in(&insert);
    let database = written(&format!("{POLLUX}{insert}")).await;
    let mut gateway = gateway(&simulator, database).start().await.unwrap();
    wait_all(&gateway, 2, "active").await;
    served(&gateway, "geminicli", "FIRST").await;
    served(&gateway, "codex", "SECOND").await;
    assert_eq!(simulator.google().tally().refreshes, 0, "its access token was good");
    let copied = copies(&gateway);
    assert_eq!(copied.len(), 1, "{copied:?}");
    assert!(holds(&copied[0], &token), "the copy has the token");
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&copied[0]).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    // A second start does nothing more.
    gateway.terminate(LIMIT).await.expect("it ends");
    for file in ["data.db", "data.db-wal"] {
        assert!(!holds(&gateway.folder().join(file), &token), "a token is in the clear in {file}");
    }
    gateway.restart().await.unwrap();
    wait_all(&gateway, 2, "active").await;
    assert_eq!(copies(&gateway), copied);
    assert_eq!(gateway.log().count("accounts taken over"), 2, "one line for each provider, once");
    assert!(!gateway.log().text().contains(&refresh), "a token is in the log");
}

/// The first refresh token that the statement stores.
fn refresh_token_in(insert: &str) -> String {
    insert.split('\'').find(|part| part.starts_with("1//")).expect("a token of Google's").to_owned()
}

#[tokio::test]
async fn a_single_use_token_is_used_once_and_the_account_lives_on() {
    let simulator = Simulator::start();
    let bob = simulator.openai().account("bob").token_lifetime(Duration::from_secs(1));
    let insert = codex(&bob, PAST);
    tokio::time::sleep(Duration::from_millis(1100)).await;
    bob.token_lifetime(Duration::from_hours(1));
    let mut gateway = gateway(&simulator, written(&format!("{POLLUX}{insert}")).await).start().await.unwrap();
    wait_only(&gateway, "active").await;
    gateway.kill();
    gateway.restart().await.unwrap();
    wait_only(&gateway, "active").await;
    served(&gateway, "codex", "AGAIN").await;
    assert!(simulator.openai().reuses().is_empty(), "{:?}", simulator.openai().reuses());
    assert_eq!(simulator.openai().tally().refreshes, 1);
}

#[tokio::test]
async fn gcli_nexus_database_is_taken_over_by_its_own_variables() {
    let simulator = Simulator::start();
    let alice = simulator.google().account("alice").project("alices");
    let insert = format!(
        "INSERT INTO credentials (project_id, refresh_token, expiry) VALUES ('alices', '{}', '{PAST}');",
        alice.refresh_token()
    );
    let builder = Gateway::builder().simulator(&simulator).database(Database::Sqlite).without_config();
    let builder =
        builder.env("NEXUS_KEY", "pollux-key-of-the-tests").env("DATABASE_URL", "sqlite://nexus.db");
    let builder = builder.env("POLLUX__BASIC__ADMIN_KEY", "admin-key-of-the-tests");
    let builder = builder.file("nexus.db", written(&format!("{GCLI_NEXUS}{insert}")).await);
    let gateway = builder.start().await.unwrap();
    wait_only(&gateway, "active").await;
    served(&gateway, "geminicli", "PING").await;
    let names: Vec<_> =
        fs::read_dir(gateway.folder()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(names.iter().any(|name| name.to_string_lossy().starts_with("nexus.db.bak-")), "{names:?}");
}

#[tokio::test]
async fn what_was_switched_off_stays_off_until_its_owner_resumes_it() {
    let simulator = Simulator::start();
    let (alice, dave) = (simulator.google().account("alice"), simulator.google().account("dave"));
    let (alice, dave) = (alice.project("alices"), dave.project("daves"));
    let insert = [gemini(&alice, "alices", None, PAST, 0), gemini(&dave, "daves", None, PAST, 1)].concat();
    let gateway = gateway(&simulator, written(&format!("{POLLUX}{insert}")).await).start().await.unwrap();
    let states = |all: &[serde_json::Value]| {
        let mut states: Vec<_> = all.iter().map(|one| one["state"].as_str().unwrap().to_owned()).collect();
        states.sort();
        states
    };
    let all = wait_accounts(&gateway, |all| states(all) == ["active", "suspended"]).await;
    let off = all.iter().find(|account| account["state"] == "suspended").unwrap();
    assert_eq!(off["reason"]["code"], "switched_off");
    assert_eq!(off["label"], alice.email().as_str(), "its owner can tell which one it is");
    assert_eq!(simulator.google().tally().refreshes, 1, "only the other one was asked for");
    assert_eq!(act(&gateway, id(off), "resume").await.status, 200);
    wait_all(&gateway, 2, "active").await;
}

#[tokio::test]
async fn accounts_that_no_provider_knows_stay_where_they_are() {
    let simulator = Simulator::start();
    let alice = simulator.google().account("alice").project("alices");
    let insert = format!(
        "{}INSERT INTO antigravity (sub, project_id, refresh_token, expiry)
         VALUES ('s', 'p', '1//token-of-antigravity', '{PAST}');",
        gemini(&alice, "alices", None, PAST, 1)
    );
    let mut gateway = gateway(&simulator, written(&format!("{POLLUX}{insert}")).await).start().await.unwrap();
    wait_only(&gateway, "active").await;
    assert!(gateway.log().wait_for("no provider at work knows them", LIMIT).await);
    gateway.terminate(LIMIT).await.expect("it ends");
    assert!(holds(&gateway.folder().join("data.db"), "1//token-of-antigravity"), "nothing is lost");
    gateway.restart().await.unwrap();
    assert_eq!(accounts(&gateway).await.len(), 1);
    assert_eq!(copies(&gateway).len(), 1, "it is ours by now");
}

#[tokio::test]
async fn no_moment_of_a_kill_loses_or_doubles_an_account() {
    let simulator = Simulator::start();
    let labels: Vec<String> = (0..20).map(|number| format!("user-{number}")).collect();
    let mut insert = String::new();
    for label in &labels {
        let account = simulator.google().account(label).project(&format!("{label}-project"));
        insert += &gemini(&account, &format!("{label}-project"), None, PAST, 1);
    }
    let database = written(&format!("{POLLUX}{insert}")).await;
    let mut gateway = gateway(&simulator, database).spawn().unwrap();
    for pause in [0, 5, 10, 20, 30, 45, 60, 80, 120] {
        tokio::time::sleep(Duration::from_millis(pause)).await;
        gateway.respawn().unwrap();
    }
    gateway.wait_healthy().await.unwrap();
    let all = wait_all(&gateway, labels.len(), "active").await;
    let mut subjects: Vec<_> =
        all.iter().map(|account| account["subject"].as_str().unwrap().to_owned()).collect();
    subjects.sort();
    subjects.dedup();
    assert_eq!(subjects.len(), labels.len());
    assert!(!copies(&gateway).is_empty());
}

#[tokio::test]
async fn a_database_of_other_software_is_left_as_it_is() {
    let simulator = Simulator::start();
    let other = "CREATE TABLE credentials (id INTEGER PRIMARY KEY, name TEXT); INSERT INTO credentials VALUES (1, 'x');";
    let mut gateway = gateway(&simulator, written(other).await).start().await.unwrap();
    assert!(copies(&gateway).is_empty());
    gateway.terminate(LIMIT).await.expect("it ends");
    assert!(holds(&gateway.folder().join("data.db"), "credentials"));
}

#[tokio::test]
async fn whoever_opens_it_first_has_it_copied() {
    let simulator = Simulator::start();
    let insert = gemini(&simulator.google().account("alice"), "alices", None, PAST, 1);
    let token = refresh_token_in(&insert);
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("data.db"), written(&format!("{POLLUX}{insert}")).await).unwrap();
    let port = free_port();
    let config = format!("[basic]\npollux_key = \"k\"\nadmin_key = \"a\"\nlisten_port = {port}\n");
    fs::write(folder.path().join("config.toml"), config).unwrap();
    let listed = pollux(folder.path(), &["accounts", "list"], &[]).await;
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    let all = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
    let copies: Vec<_> = all.filter(|path| path.to_string_lossy().contains("data.db.bak-")).collect();
    assert!(copies.len() == 1 && holds(&copies[0], &token), "{copies:?}");
    assert!(holds(&folder.path().join("data.db"), &token), "a list takes nothing over");
}
