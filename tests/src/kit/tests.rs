use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use super::*;
use crate::simulator::Simulator;

const LIMIT: Duration = Duration::from_secs(10);

/// A program that stands in for the gateway where the kit itself is looked at.
fn script(body: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let path = folder.path().join("program");
    fs::write(&path, format!("#!/bin/sh\n{body}\n")).expect("a file can be written");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("its mode can be set");
    (folder, path)
}

#[tokio::test]
async fn waiting_ends_with_the_condition_or_with_the_limit() {
    let asked = std::cell::Cell::new(0);
    let third = || {
        asked.set(asked.get() + 1);
        std::future::ready(asked.get() == 3)
    };
    assert!(wait_until(third, LIMIT).await);
    assert!(!wait_until(|| std::future::ready(false), Duration::from_millis(20)).await);
}

#[tokio::test]
async fn a_gateway_that_ends_at_once_is_reported_with_its_words() {
    let (_folder, program) = script("echo to stdout; echo to stderr >&2; exit 2");
    let error = Gateway::builder().program(program).database(Database::Sqlite).start().await;
    let error = error.expect_err("it cannot be healthy").to_string();
    for part in ["exit status: 2", "to stdout", "to stderr"] {
        assert!(error.contains(part), "{error}");
    }
}

#[tokio::test]
async fn signals_end_a_gateway_and_a_restart_keeps_its_folder() {
    let body = "trap 'echo stopping; exit 7' TERM\necho life >>lives\necho \"ready $(wc -l <lives) $COLOUR\"\n\
                while :; do sleep 0.02; done";
    let (_folder, program) = script(body);
    let builder = Gateway::builder().program(program).database(Database::Sqlite).env("COLOUR", "red");
    let mut gateway = builder.spawn().expect("it starts");
    assert!(gateway.log().wait_for("ready 1 red", LIMIT).await);
    let status = gateway.terminate(LIMIT).await.expect("it ends");
    assert_eq!(status.code(), Some(7));
    assert!(gateway.log().wait_for("stopping", LIMIT).await);
    gateway.set_env("COLOUR", "blue");
    gateway.respawn().expect("it starts again");
    assert!(gateway.log().wait_for("ready 2 blue", LIMIT).await);
    gateway.kill();
    assert!(gateway.exit_status().is_none() && gateway.signal_term().is_err());
}

#[tokio::test]
async fn the_configuration_is_the_base_with_the_tests_words_over_it() {
    let (_folder, program) = script("sleep 60");
    let simulator = Simulator::start();
    let builder = Gateway::builder().program(program).database(Database::Sqlite).simulator(&simulator);
    let builder = builder.config("[basic]\npollux_key = \"mine\"\n[providers.codex]\nretry_max_times = 1");
    let gateway = builder.spawn().expect("it starts");
    let text = fs::read_to_string(gateway.folder().join("config.toml")).expect("there is a file");
    let config: toml::Table = text.parse().expect("it is TOML");
    assert_eq!(config["basic"]["pollux_key"].as_str(), Some("mine"));
    assert_eq!(config["basic"]["listen_addr"].as_str(), Some("127.0.0.1"));
    assert_eq!(config["providers"]["codex"]["api_url"].as_str(), Some(&*simulator.openai_url()));
    assert_eq!(config["providers"]["codex"]["retry_max_times"].as_integer(), Some(1));
    assert_eq!(gateway.auth(), [("authorization", "Bearer mine")]);
    assert!(gateway.url().ends_with(&format!(":{}", gateway.port())));
}

#[tokio::test]
async fn each_postgres_database_is_new_and_answers() {
    if std::env::var("POLLUX_TEST_DATABASE").as_deref() != Ok("postgres") {
        println!("skipped: POLLUX_TEST_DATABASE is not postgres");
        return;
    }
    let one = Database::from_environment().expect("PostgreSQL starts");
    let two = Database::postgres().expect("PostgreSQL serves a second database");
    assert_ne!(one, two);
    let port = one.url().split(':').nth(2).and_then(|rest| rest.split('/').next()).expect("a port");
    let connected = std::net::TcpStream::connect(format!("127.0.0.1:{port}"));
    assert!(connected.is_ok(), "{}", one.url());
}
