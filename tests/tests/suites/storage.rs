//! What is kept on disk, who may read it, and what happens when it does not fit.

use super::owner::{LIMIT, accounts, ask, gateway, pooled, served, wait_all, wait_only};
use super::visitor::Login;
use pollux_tests::kit::{Builder, Database, Gateway, free_port, pollux};
use pollux_tests::simulator::{Simulator, google};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

fn on_sqlite(simulator: &Simulator) -> Builder {
    Gateway::builder().simulator(simulator).database(Database::Sqlite)
}

/// Starts it again where it cannot: how it ended, and all it ever said.
async fn refused(gateway: &mut Gateway) -> (Option<i32>, String) {
    gateway.respawn().unwrap();
    let status = gateway.wait_exit(LIMIT).await.expect("it ends by itself");
    tokio::time::sleep(Duration::from_millis(100)).await;
    (status.code(), gateway.log().text())
}

/// A gateway with an account, stopped.
async fn stopped(builder: Builder, simulator: &Simulator) -> Gateway {
    let mut gateway = builder.start().await.unwrap();
    pooled(&gateway, "geminicli", &simulator.google().account("alice").refresh_token()).await;
    gateway.terminate(LIMIT).await.expect("it ends");
    gateway
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).permissions().mode()
        & 0o777
}

#[tokio::test]
async fn a_second_process_on_the_same_file_is_refused_and_the_first_serves_on() {
    let simulator = Simulator::start();
    let gateway = on_sqlite(&simulator).start().await.unwrap();
    pooled(&gateway, "geminicli", &simulator.google().account("alice").refresh_token()).await;
    let port = free_port().to_string();
    let second = pollux(gateway.folder(), &[], &[("POLLUX__BASIC__LISTEN_PORT", &port)]).await;
    let said = String::from_utf8_lossy(&[second.stdout, second.stderr].concat()).into_owned();
    assert_eq!(second.status.code(), Some(2), "{said}");
    assert!(said.contains("data.db") && said.contains("in use by another process"), "{said}");
    served(&gateway, "geminicli", "FIRST").await;
}

#[tokio::test]
async fn a_port_that_is_taken_is_named() {
    let simulator = Simulator::start();
    let gateway = on_sqlite(&simulator).start().await.unwrap();
    let second = pollux(gateway.folder(), &["serve"], &[]).await;
    let said = String::from_utf8_lossy(&[second.stdout, second.stderr].concat()).into_owned();
    assert_eq!(second.status.code(), Some(1), "{said}");
    assert!(said.contains(&format!("127.0.0.1:{}", gateway.port())), "{said}");
}

#[tokio::test]
async fn a_missing_key_is_never_replaced_while_something_is_sealed_with_it() {
    let simulator = Simulator::start();
    let mut gateway = stopped(on_sqlite(&simulator), &simulator).await;
    let key = gateway.folder().join("data.db.key");
    let saved = fs::read(&key).unwrap();
    fs::remove_file(&key).unwrap();
    let (status, said) = refused(&mut gateway).await;
    assert_eq!(status, Some(2), "{said}");
    assert!(said.contains("data.db.key is missing"), "{said}");
    assert!(!key.exists(), "a new key was made");
    for wrong in [&b"not a key"[..], b"", &[b'0'; 64]] {
        fs::write(&key, wrong).unwrap();
        let (status, said) = refused(&mut gateway).await;
        assert_eq!(status, Some(2), "{said}");
        assert!(said.contains("sealing key"), "{said}");
        assert_eq!(fs::read(&key).unwrap(), wrong, "the key file was changed");
    }
    fs::write(&key, saved).unwrap();
    gateway.restart().await.unwrap();
    wait_only(&gateway, "active").await;
    served(&gateway, "geminicli", "BACK").await;
}

#[tokio::test]
async fn the_sealing_key_may_come_from_the_environment() {
    let simulator = Simulator::start();
    let key = |letter: &str| letter.repeat(64);
    let builder = on_sqlite(&simulator).env("POLLUX_SEALING_KEY", &key("a"));
    let mut gateway = stopped(builder, &simulator).await;
    assert!(!gateway.folder().join("data.db.key").exists());
    gateway.restart().await.unwrap();
    wait_only(&gateway, "active").await;
    gateway.set_env("POLLUX_SEALING_KEY", &key("b"));
    let (status, said) = refused(&mut gateway).await;
    assert_eq!(status, Some(2), "{said}");
    assert!(said.contains("not the one this database was sealed with"), "{said}");
    for wrong in ["short", "zz"] {
        gateway.set_env("POLLUX_SEALING_KEY", wrong);
        let (status, said) = refused(&mut gateway).await;
        assert_eq!(status, Some(2), "{said}");
        assert!(said.contains("POLLUX_SEALING_KEY does not hold a sealing key"), "{said}");
    }
    gateway.set_env("POLLUX_SEALING_KEY", "");
    let (status, said) = refused(&mut gateway).await;
    assert_eq!(status, Some(2), "an empty variable is none: {said}");
    assert!(!said.contains(&key("a")) && !said.contains(&key("b")), "a key is in the log");
}

#[tokio::test]
async fn the_key_file_may_be_elsewhere() {
    let simulator = Simulator::start();
    let builder = on_sqlite(&simulator).config("[basic]\nkey_file = \"elsewhere.key\"");
    let mut gateway = stopped(builder, &simulator).await;
    assert!(gateway.folder().join("elsewhere.key").exists());
    assert!(!gateway.folder().join("data.db.key").exists());
    gateway.restart().await.unwrap();
    wait_only(&gateway, "active").await;
}

#[tokio::test]
async fn files_are_for_their_owner_alone_and_hold_no_token_in_clear() {
    let simulator = Simulator::start();
    let (alice, bob) = (simulator.google().account("alice"), simulator.openai().account("bob"));
    let gateway = on_sqlite(&simulator).start().await.unwrap();
    let tokens = [alice.refresh_token(), bob.refresh_token()];
    pooled(&gateway, "geminicli", &tokens[0]).await;
    pooled(&gateway, "codex", &tokens[1]).await;
    served(&gateway, "geminicli", "A").await;
    served(&gateway, "codex", "B").await;
    let login = Login::begin(&gateway, "geminicli").await;
    let mut secrets: Vec<String> = tokens.to_vec();
    secrets.extend(["state", "code_challenge"].map(|name| login.parameter(name)));
    secrets.push(login.cookie.split('=').nth(1).unwrap().to_owned());
    let bearer = |path: &str| {
        let received = simulator.record().last(path).unwrap();
        received.header("authorization").unwrap().trim_start_matches("Bearer ").to_owned()
    };
    secrets.extend([bearer(":generateContent"), bearer("/codex/responses")]);
    let mut looked_at = 0;
    for entry in fs::read_dir(gateway.folder()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if !name.starts_with("data.db") {
            continue;
        }
        looked_at += 1;
        assert_eq!(mode(&path), 0o600, "{name}");
        let bytes = fs::read(&path).unwrap();
        for secret in &secrets {
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "{name} holds a secret in clear");
        }
    }
    assert!(looked_at >= 3, "database, log and key");
    for secret in &secrets {
        assert!(!gateway.log().contains(secret), "a secret is in the log");
    }
}

#[tokio::test]
async fn accounts_and_cooldowns_survive_a_restart() {
    let simulator = Simulator::start();
    let mut gateway = gateway(&simulator, "").await;
    let alice = simulator.google().account("alice");
    pooled(&gateway, "geminicli", &alice.refresh_token()).await;
    let bob = simulator.openai().account("bob");
    pooled(&gateway, "codex", &bob.refresh_token()).await;
    alice.refuse(Some(google::Refusal::QuotaExhausted(Duration::from_hours(9))));
    let answer = ask(&gateway, "geminicli", "QUOTA").await;
    assert_eq!(answer.status, 429, "{}", answer.text());
    let cooling = |all: &[serde_json::Value]| all[0]["cooling"].clone();
    let before = accounts(&gateway).await;
    assert_eq!(cooling(&before).as_array().map(Vec::len), Some(1), "{before:?}");
    // The pool knows at once; the note on disk follows.
    tokio::time::sleep(Duration::from_millis(500)).await;
    for in_order in [false, true] {
        if in_order {
            gateway.terminate(LIMIT).await.expect("it ends");
        } else {
            gateway.kill();
        }
        gateway.restart().await.unwrap();
        let after = wait_all(&gateway, 2, "active").await;
        assert_eq!(cooling(&after), cooling(&before));
        let asked = simulator.record().count(":generateContent");
        assert_eq!(ask(&gateway, "geminicli", "QUOTA").await.status, 429);
        assert_eq!(simulator.record().count(":generateContent"), asked, "upstream was asked in spite of it");
        served(&gateway, "codex", "OTHER").await;
    }
    assert_eq!(simulator.google().tally().refreshes, 1, "tokens were kept");
    assert!(simulator.openai().reuses().is_empty());
}

#[tokio::test]
async fn a_database_that_cannot_be_is_named() {
    let simulator = Simulator::start();
    for (url, code, said) in [
        ("sqlite://missing/data.db", 2, "missing"),
        ("sqlite://folder", 2, "folder cannot be used: is a directory"),
        ("postgres://me:hunter2@127.0.0.1:1/none", 1, "connection"),
    ] {
        let config = format!("[basic]\ndatabase_url = \"{url}\"\nkey_file = \"a.key\"");
        let mut gateway = on_sqlite(&simulator).config(&config).file("config.bak", "").spawn().unwrap();
        fs::create_dir_all(gateway.folder().join("folder")).unwrap();
        let (status, log) = refused(&mut gateway).await;
        assert_eq!(status, Some(code), "{url}: {log}");
        assert!(log.contains(said) && !log.contains("hunter2") && !log.contains("panicked"), "{url}: {log}");
    }
}
