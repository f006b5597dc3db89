//! `pollux import` and `pollux export`.

use super::files::auth_json;
use super::legacy_database;
use super::owner::{accounts, cli, gateway, served, wait_all, wait_only};
use pollux_tests::kit::Gateway;
use pollux_tests::simulator::Simulator;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

fn write(gateway: &Gateway, name: &str, content: &Value) {
    let path = gateway.folder().join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content.to_string()).unwrap();
}

#[tokio::test]
async fn files_and_folders_are_handed_to_the_running_gateway() {
    let simulator = Simulator::start();
    let gateway = gateway(&simulator, "").await;
    let google = json!({"refresh_token": simulator.google().account("alice").refresh_token()});
    write(&gateway, "old/one.json", &auth_json(&simulator.openai().account("bob")));
    write(&gateway, "old/gemini/two.json", &google);
    write(&gateway, "three.json", &auth_json(&simulator.openai().account("carol")));
    write(&gateway, "old/bad.json", &json!({"refresh_token": "anybodys-secret"}));
    let (code, text) = cli(&gateway, &["import", "old", "three.json", "missing.json"]).await;
    assert_eq!(code, 1, "{text}");
    for line in [
        "one.json: codex",
        "two.json: geminicli",
        "three.json: codex",
        "bad.json: it may be of",
        "missing.json: it cannot be read",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
    assert!(!text.contains("anybodys-secret"), "{text}");
    wait_all(&gateway, 3, "active").await;
    let (code, text) = cli(&gateway, &["import", "three.json"]).await;
    assert_eq!(code, 0, "{text}");
    wait_all(&gateway, 3, "active").await;
    served(&gateway, "codex", "IMPORTED").await;
    assert!(simulator.openai().reuses().is_empty());
}

#[tokio::test]
async fn without_a_gateway_they_are_stored_for_its_next_start() {
    let simulator = Simulator::start();
    let mut gateway = gateway(&simulator, "").await;
    gateway.kill();
    write(&gateway, "bob.json", &auth_json(&simulator.openai().account("bob")));
    let (code, text) = cli(&gateway, &["import", "bob.json"]).await;
    assert!(code == 0 && text.contains("next start"), "{code} {text}");
    gateway.restart().await.unwrap();
    wait_only(&gateway, "active").await;
    served(&gateway, "codex", "STORED").await;
    let (code, text) = cli(&gateway, &["import", "no-such-folder/x.json"]).await;
    assert!(code == 1 && text.contains("x.json"), "{code} {text}");
}

#[tokio::test]
async fn an_older_systems_database_is_read_and_left_as_it_is() {
    let simulator = Simulator::start();
    let gateway = gateway(&simulator, "").await;
    let bob = legacy_database::codex(&simulator.openai().account("bob"), legacy_database::SOON);
    let database = legacy_database::written(&format!("{}{bob}", legacy_database::POLLUX)).await;
    let path = gateway.folder().join("old.db");
    fs::write(&path, &database).unwrap();
    let (code, text) = cli(&gateway, &["import", "old.db"]).await;
    assert_eq!(code, 0, "{text}");
    assert_eq!(wait_only(&gateway, "active").await["label"], "bob@example.com");
    served(&gateway, "codex", "OLDER").await;
    assert_eq!(fs::read(&path).unwrap(), database);
    fs::write(&path, b"SQLite format 3\0and then nothing").unwrap();
    let (code, text) = cli(&gateway, &["import", "old.db"]).await;
    assert!(code == 1 && text.contains("old.db"), "{code} {text}");
}

fn files_below(folder: &Path) -> Vec<(String, Value)> {
    let mut files = Vec::new();
    for provider in fs::read_dir(folder).unwrap() {
        for file in fs::read_dir(provider.unwrap().path()).unwrap() {
            let path = file.unwrap().path();
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
            let content = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
            files.push((path.strip_prefix(folder).unwrap().display().to_string(), content));
        }
    }
    files.sort_by(|one, other| one.0.cmp(&other.0));
    files
}

#[tokio::test]
async fn an_export_needs_an_explicit_word_and_can_be_imported_elsewhere() {
    let simulator = Simulator::start();
    let mut gateway = gateway(&simulator, "").await;
    let (alice, bob) = (simulator.google().account("alice"), simulator.openai().account("bob"));
    write(&gateway, "bob.json", &auth_json(&bob));
    write(&gateway, "alice.json", &json!({"refresh_token": alice.refresh_token()}));
    cli(&gateway, &["import", "bob.json", "alice.json"]).await;
    wait_all(&gateway, 2, "active").await;

    let (code, text) = cli(&gateway, &["export", "--to", "out"]).await;
    assert!(code == 1 && text.contains("--include-secrets"), "{code} {text}");
    assert!(!gateway.folder().join("out").exists());
    // While it runs, and when it does not.
    let (code, text) = cli(&gateway, &["export", "--to", "out", "--include-secrets"]).await;
    assert!(code == 0 && text.contains("WARNING"), "{code} {text}");
    gateway.terminate(super::owner::LIMIT).await;
    let (code, text) = cli(&gateway, &["export", "--to", "again", "--include-secrets"]).await;
    assert_eq!(code, 0, "{text}");
    let files = files_below(&gateway.folder().join("out"));
    assert_eq!(files, files_below(&gateway.folder().join("again")));
    let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
    assert!(names[0].starts_with("codex/") && names[0].contains("bob@example.com"), "{names:?}");
    assert!(names[1].starts_with("geminicli/") && names[1].contains("alice@example.com"), "{names:?}");
    assert!(files[0].1["tokens"]["refresh_token"].is_string());
    assert!(!text.contains(files[0].1["tokens"]["refresh_token"].as_str().unwrap()), "a token is printed");
    // Nothing that is there is written over.
    let (code, _) = cli(&gateway, &["export", "--to", "out", "--include-secrets"]).await;
    assert_eq!(code, 1);

    let other = super::owner::gateway(&simulator, "").await;
    let out = gateway.folder().join("out").display().to_string();
    let (code, text) = cli(&other, &["import", &out]).await;
    assert_eq!(code, 0, "{text}");
    wait_all(&other, 2, "active").await;
    served(&other, "codex", "MOVED").await;
    served(&other, "geminicli", "MOVED").await;
    assert_eq!(accounts(&other).await.len(), 2);
}
