//! The commands a person types.

use super::owner::{
    LIMIT, accounts, ask, cli, gateway, id, pooled, served, wait_accounts, wait_all, wait_only,
};
use pollux_tests::kit::{Database, Gateway, free_port, pollux, send};
use pollux_tests::simulator::Simulator;
use serde_json::Value;

async fn alone(args: &[&str]) -> (i32, String, String) {
    let folder = tempfile::tempdir().unwrap();
    let output = pollux(folder.path(), args, &[]).await;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(std::fs::read_dir(folder.path()).unwrap().next().is_none(), "{args:?} left something behind");
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}

#[tokio::test]
async fn what_needs_no_configuration_works_without_any() {
    let (status, out, _) = alone(&["--version"]).await;
    assert_eq!((status, out.starts_with("pollux ")), (0, true), "{out}");
    assert!(out.trim().split(' ').nth(1).unwrap().split('.').count() >= 3, "{out}");
    let (status, out, _) = alone(&["providers"]).await;
    assert_eq!(status, 0);
    let ids: Vec<&str> = out.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(ids, ["claude", "codex", "gemini", "geminicli"]);
    let (status, out, _) = alone(&["--help"]).await;
    assert_eq!(status, 0);
    for word in ["serve", "providers", "config", "accounts", "healthcheck", "--config"] {
        assert!(out.contains(word), "{word} in {out}");
    }
}

#[tokio::test]
async fn a_command_that_does_not_exist_is_no_configuration_mistake() {
    for args in [&["sreve"][..], &["accounts"], &["accounts", "set", "1"], &["--colour"]] {
        let (status, out, error) = alone(args).await;
        assert_eq!((status, out.is_empty(), error.is_empty()), (1, true, false), "{args:?}: {out}{error}");
    }
}

#[tokio::test]
async fn health_is_asked_of_the_gateway_the_configuration_describes() {
    let mut gateway = Gateway::builder().database(Database::Sqlite).start().await.unwrap();
    assert_eq!(cli(&gateway, &["healthcheck"]).await, (0, String::new()));
    gateway.terminate(LIMIT).await.expect("it ends");
    let (status, said) = cli(&gateway, &["healthcheck"]).await;
    assert_eq!(status, 1, "{said}");
    assert!(said.contains(&gateway.port().to_string()), "{said}");
}

#[tokio::test]
async fn accounts_are_looked_at_and_changed_from_the_command_line() {
    let simulator = Simulator::start();
    let gateway = gateway(&simulator, "").await;
    let (alice, bob) = (simulator.google().account("alice"), simulator.openai().account("bob"));
    let first = pooled(&gateway, "geminicli", &alice.refresh_token()).await.to_string();
    let second = pooled(&gateway, "codex", &bob.refresh_token()).await.to_string();
    let run = async |args: &[&str]| {
        let (status, said) = cli(&gateway, &[&["accounts"], args].concat()).await;
        assert_eq!(status, 0, "{args:?}: {said}");
        said
    };
    let refuse = async |args: &[&str], words: &str| {
        let (status, said) = cli(&gateway, &[&["accounts"], args].concat()).await;
        assert!(status == 1 && said.contains(words), "{args:?}: {status} {said}");
    };
    let table = run(&["list"]).await;
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines[0].starts_with("ID ") && lines.len() == 3, "{table}");
    for (line, words) in
        [(1, ["geminicli", "active", "alice@example.com"]), (2, ["codex", "active", "bob@example.com"])]
    {
        for word in words {
            assert!(lines[line].contains(word), "{table}");
        }
    }
    let shown: Value = serde_json::from_str(&run(&["show", &first]).await).unwrap();
    assert_eq!((id(&shown).to_string(), &shown["label"]), (first.clone(), &"alice@example.com".into()));

    run(&["pause", &first]).await;
    wait_accounts(&gateway, |all| all[0]["state"] == "paused").await;
    assert_eq!(ask(&gateway, "geminicli", "PAUSED").await.status, 503);
    refuse(&["pause", &first], "paused").await;
    refuse(&["approve", &first], "does not apply").await;
    run(&["resume", &first]).await;
    wait_all(&gateway, 2, "active").await;
    served(&gateway, "geminicli", "RESUMED").await;

    let before = accounts(&gateway).await[1]["revision"].as_i64();
    run(&["refresh", &second]).await;
    wait_accounts(&gateway, |all| all[1]["revision"].as_i64() > before).await;
    assert_eq!(simulator.openai().tally().refreshes, 2);
    assert!(simulator.openai().reuses().is_empty());

    run(&["set", &first, "priority=3", "max_concurrency=2"]).await;
    let changed = &accounts(&gateway).await[0];
    assert_eq!((&changed["priority"], &changed["max_concurrency"]), (&3.into(), &2.into()));
    run(&["set", &first, "max_concurrency="]).await;
    assert!(accounts(&gateway).await[0]["max_concurrency"].is_null());
    refuse(&["set", &first, "priority=high"], "priority").await;
    assert_eq!(accounts(&gateway).await[0]["priority"], 3);
    refuse(&["set", &first, "max_concurrency=many"], "max_concurrency").await;

    run(&["remove", &first]).await;
    let left = wait_only(&gateway, "active").await;
    assert_eq!(id(&left).to_string(), second);
    assert_eq!(ask(&gateway, "geminicli", "REMOVED").await.status, 503);
    refuse(&["show", &first], "no account").await;
    refuse(&["remove", "everything"], "number").await;
    refuse(&["show", "../accounts"], "number").await;
}

#[tokio::test]
async fn without_a_gateway_accounts_are_looked_at_and_changed_in_the_database() {
    let simulator = Simulator::start();
    let mut gateway =
        Gateway::builder().simulator(&simulator).database(Database::Sqlite).start().await.unwrap();
    let (alice, bob) = (simulator.google().account("alice"), simulator.openai().account("bob"));
    let first = pooled(&gateway, "geminicli", &alice.refresh_token()).await.to_string();
    let second = pooled(&gateway, "codex", &bob.refresh_token()).await.to_string();
    gateway.terminate(LIMIT).await.expect("it ends");
    let run = async |args: &[&str]| {
        let (status, said) = cli(&gateway, &[&["accounts"], args].concat()).await;
        assert_eq!(status, 0, "{args:?}: {said}");
        said
    };
    let table = run(&["list"]).await;
    assert!(table.lines().count() == 3 && table.contains("alice@example.com"), "{table}");
    run(&["pause", &first]).await;
    let (status, said) = cli(&gateway, &["accounts", "pause", &first]).await;
    assert!(status == 1 && said.contains("which is paused"), "{status} {said}");
    run(&["set", &second, "weight=3", "label=from the shell"]).await;
    let shown: Value = serde_json::from_str(&run(&["show", &second]).await).unwrap();
    assert_eq!(
        (&shown["weight"], &shown["label"], &shown["type"]),
        (&3.into(), &"from the shell".into(), &"codex".into())
    );
    run(&["refresh", &second]).await;
    assert_eq!(simulator.openai().tally().refreshes, 2);
    let (status, said) = cli(&gateway, &["accounts", "show", "999"]).await;
    assert!(status == 1 && said.contains("no account 999"), "{status} {said}");

    gateway.restart().await.unwrap();
    let all = accounts(&gateway).await;
    assert_eq!((&all[0]["state"], &all[1]["weight"]), (&"paused".into(), &3.into()));
    served(&gateway, "codex", "AFTER-THE-RESTART").await;
    assert!(simulator.openai().reuses().is_empty());
}

#[tokio::test]
async fn a_gateway_that_has_the_database_or_lacks_its_key_is_not_worked_around() {
    let builder = Gateway::builder().database(Database::Sqlite);
    let mut gateway = builder.start().await.unwrap();
    // As if it ran elsewhere: nobody answers where this configuration says.
    gateway.set_env("POLLUX__BASIC__LISTEN_PORT", &free_port().to_string());
    let (status, said) = cli(&gateway, &["accounts", "list"]).await;
    assert!(status == 1 && said.contains("in use by another process"), "{status} {said}");
    let port = free_port();
    let config = format!(
        "[basic]\nlisten_port = {port}\nlisten_addr = \"127.0.0.1\"\npollux_key = \"k-1234567890\"\n"
    );
    let builder = Gateway::builder().database(Database::Sqlite).raw_config(&config);
    let mut without = builder.config(&format!("[basic]\nlisten_port = {port}")).start().await.unwrap();
    let (status, said) = cli(&without, &["accounts", "list"]).await;
    assert!(status == 2 && said.contains("admin_key"), "{status} {said}");
    without.set_env("POLLUX__BASIC__ADMIN_KEY", "a-key-the-gateway-does-not-know");
    let (status, said) = cli(&without, &["accounts", "list"]).await;
    assert!(status == 1 && said.contains("admin API is off"), "{status} {said}");
}

#[tokio::test]
async fn the_admin_api_is_closed_to_everybody_else() {
    let gateway = Gateway::builder().start().await.unwrap();
    let wrong = [("authorization", "Bearer nonsense")];
    for (method, path) in [
        ("GET", "/admin/accounts"),
        ("GET", "/admin/accounts/1"),
        ("DELETE", "/admin/accounts/1"),
        ("PATCH", "/admin/accounts/1"),
        ("POST", "/admin/accounts/1/approve"),
    ] {
        for headers in [&gateway.auth()[..], &[], &wrong] {
            let answer = send(method, &gateway.at(path), headers, "no json").await.unwrap();
            assert_eq!(answer.status, 401, "{method} {path}: {}", answer.text());
        }
    }
}
