//! Folders of credential files: what joins, what changes, what leaves, and that nobody else notices.

use super::owner::{LIMIT, accounts, act, add, ask, id, served, wait_accounts, wait_all, wait_only};
use pollux_tests::kit::{Answer, Builder, Database, Gateway, send, wait_until};
use pollux_tests::simulator::google::Kind;
use pollux_tests::simulator::{Simulator, google, openai};
use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

pub(super) const POOL: &str = "[pool]\ncredentials_dirs = [\"pool\"]";

/// Codex CLI's `auth.json`, with members that are none of ours.
pub(super) fn auth_json(account: &openai::Account) -> Value {
    json!({
        "auth_mode": "chatgpt", "OPENAI_API_KEY": null,
        "tokens": {
            "id_token": account.id_token(), "access_token": account.access_token(),
            "refresh_token": account.refresh_token(), "account_id": account.account_id(),
            "of_a_later_version": [1, {"a": null}],
        },
        "last_refresh": "2026-11-20T08:00:00Z", "added_by": "somebody",
    })
}

/// Gemini CLI's `oauth_creds.json`.
fn oauth_creds(account: &google::Account) -> Value {
    let end = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap() + Duration::from_hours(1);
    json!({
        "access_token": account.access_token(), "refresh_token": account.refresh_token(),
        "expiry_date": end.as_secs() * 1000,
    })
}

/// A file as Gcli-Nexus takes it: with a client of its own, and the project.
fn nexus(simulator: &Simulator, account: &google::Account, project: &str) -> Value {
    let (client_id, client_secret) = simulator.google().client();
    json!({
        "client_id": client_id, "client_secret": client_secret, "refresh_token": account.refresh_token(),
        "project_id": project, "universe_domain": "googleapis.com",
    })
}

pub(super) fn path(gateway: &Gateway, name: &str) -> PathBuf {
    gateway.folder().join("pool").join(name)
}

/// Writes a file as a careful program does.
pub(super) fn put(gateway: &Gateway, name: &str, content: &Value) {
    let path = path(gateway, name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let beside = path.with_extension("new");
    fs::write(&beside, content.to_string()).unwrap();
    fs::rename(beside, path).unwrap();
}

fn remove(gateway: &Gateway, name: &str) {
    fs::remove_file(path(gateway, name)).unwrap();
}

/// A gateway whose folder has these files at its start.
pub(super) fn pool(simulator: &Simulator, files: &[(&str, Value)]) -> Builder {
    let builder = Gateway::builder().simulator(simulator).config(POOL);
    let with = |builder: Builder, (name, content): &(&str, Value)| {
        builder.file(&format!("pool/{name}"), content.to_string())
    };
    files.iter().fold(builder.file("pool/.keep", ""), with)
}

async fn asked_to_reload(gateway: &Gateway, key: &str) -> Answer {
    let authorization = format!("Bearer {key}");
    send("POST", &gateway.at("/admin/reload"), &[("authorization", &authorization)], "").await.unwrap()
}

/// What `POST /admin/reload` says of a file.
async fn reloaded(gateway: &Gateway, name: &str) -> Value {
    let answer = asked_to_reload(gateway, gateway.admin_key()).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let report = answer.json();
    let of = |line: &&Value| line["path"].as_str().is_some_and(|path| path.ends_with(&format!("/{name}")));
    let lines = [&report["files"], &report["skipped"]].map(|list| list.as_array().expect("a list"));
    let line = lines.into_iter().flatten().find(of);
    line.unwrap_or_else(|| panic!("{name} is not in {report:#}")).clone()
}

/// Waits until a file that is gone has been seen off, by the watch or by this.
async fn seen_off(gateway: &Gateway, name: &str) {
    assert_eq!(asked_to_reload(gateway, gateway.admin_key()).await.status, 200);
    let report = asked_to_reload(gateway, gateway.admin_key()).await.text();
    assert!(!report.contains(&format!("/{name}\"")), "{report}");
}

/// An account without what changes from moment to moment: the vendor's word on its quota, and what it has served.
fn steady(mut account: Value) -> Value {
    account["quota"].take();
    account["counters"].take();
    account
}

#[tokio::test]
async fn every_known_format_joins_from_a_flat_folder() {
    let simulator = Simulator::start();
    let (google, openai, anthropic) = (simulator.google(), simulator.openai(), simulator.anthropic());
    let owner = google.account("owner").kind(Kind::ProjectRequired).licensed_project("licensed-1");
    let files = [
        ("personal.json", auth_json(&openai.account("bob"))),
        ("gemini_main.json", oauth_creds(&google.account("alice"))),
        ("project.json", nexus(&simulator, &owner, "licensed-1")),
        ("claude_work.json", json!({"api_key": anthropic.account("work").key(), "plan_type": "max"})),
        ("claude_home.json", anthropic.account("home").credentials_file()),
        ("google.json", json!({"api_key": google.key("ai").text(), "priority": -1})),
    ];
    // Only with the client of its own file can the last one be renewed.
    let other = "[providers.geminicli.oauth]\nclient_id = \"another\"\nclient_secret = \"another\"";
    let gateway = pool(&simulator, &files).config(other).start().await.unwrap();
    let all = wait_all(&gateway, 6, "active").await;
    let mut kinds: Vec<&str> = all.iter().map(|account| account["provider"].as_str().unwrap()).collect();
    kinds.sort_unstable();
    assert_eq!(kinds, ["claude", "claude", "codex", "gemini", "geminicli", "geminicli"]);
    for label in ["alice@example.com", "bob@example.com", "owner@example.com", "home@example.com"] {
        assert!(all.iter().any(|account| account["label"] == label), "{label} in {all:#?}");
    }
    let key = all.iter().find(|account| account["provider"] == "gemini").unwrap();
    assert_eq!(key["priority"], -1);
    assert!(all.iter().all(|account| account["trusted"] == true), "{all:#?}");
    served(&gateway, "codex", "FLAT").await;
    served(&gateway, "geminicli", "FLAT").await;
    assert_eq!(openai.tally().refreshes, 0, "the file's access token is still good");
    let renewed = simulator.record().on("/token");
    assert_eq!(renewed.len(), 1);
    assert_eq!(renewed[0].form("client_id"), Some(google.client().0));
}

#[tokio::test]
async fn the_environment_names_folders_too_and_files_of_one_name_do_not_collide() {
    let simulator = Simulator::start();
    let (bob, alice) = (simulator.openai().account("bob"), simulator.google().account("alice"));
    let gateway = Gateway::builder()
        .simulator(&simulator)
        .env("POLLUX__POOL__CREDENTIALS_DIRS", r#"["one", "two", "not-there"]"#)
        .file("one/codex/main.json", auth_json(&bob).to_string())
        .file("one/gemini/main.json", oauth_creds(&alice).to_string())
        .file("two/main.json", auth_json(&simulator.openai().account("carol")).to_string())
        .file("two/old/main.json", auth_json(&simulator.openai().account("nobody")).to_string())
        .start()
        .await
        .unwrap();
    wait_all(&gateway, 3, "active").await;
    assert!(gateway.log().wait_for("not-there", LIMIT).await, "a folder that is missing is told of");
    let skipped = reloaded(&gateway, "old").await;
    assert!(skipped["reason"].as_str().unwrap().contains("no provider"), "{skipped}");
    assert_eq!(accounts(&gateway).await.len(), 3);
}

#[tokio::test]
async fn the_folders_of_older_systems_are_read() {
    let simulator = Simulator::start();
    let alice = simulator.google().account("alice").kind(Kind::ProjectRequired).licensed_project("p");
    let bob = simulator.openai().account("bob");
    let nexus =
        ("credentials/a.json", "NEXUS_KEY=nexus-key\n", nexus(&simulator, &alice, "p"), "alice@example.com");
    let pool = ("accounts/b.json", "POOL_DIR=accounts\n", auth_json(&bob), "bob@example.com");
    for (name, variables, content, label) in [nexus, pool] {
        let builder = Gateway::builder().simulator(&simulator).database(Database::Sqlite).without_config();
        let builder = builder.file(".env", variables).file(name, content.to_string());
        let gateway =
            builder.env("POLLUX__BASIC__ADMIN_KEY", "admin-key-of-the-tests").start().await.unwrap();
        assert_eq!(wait_only(&gateway, "active").await["label"], label);
    }
}

#[tokio::test]
async fn content_decides_and_names_break_the_tie() {
    let simulator = Simulator::start();
    let anybodys = json!({"refresh_token": "anybodys"});
    let bob = auth_json(&simulator.openai().account("bob"));
    let files = [
        ("plain.json", anybodys.clone()),
        ("gemini_tie.json", anybodys.clone()),
        ("codex/tie.json", anybodys),
        ("gemini_bob.json", bob),
    ];
    let gateway = pool(&simulator, &files).start().await.unwrap();
    let refused = reloaded(&gateway, "plain.json").await;
    assert_eq!(refused["outcome"], "refused");
    let reason = refused["reason"].as_str().unwrap();
    assert!(reason.contains("codex") && reason.contains("geminicli"), "{reason}");
    assert_eq!(reloaded(&gateway, "gemini_tie.json").await["provider"], "geminicli");
    assert_eq!(reloaded(&gateway, "codex/tie.json").await["provider"], "codex");
    assert_eq!(reloaded(&gateway, "gemini_bob.json").await["provider"], "codex");
    let told = |line: &String| line.contains("gemini_bob.json") && line.contains("otherwise");
    assert!(gateway.log().lines().iter().any(told), "{}", gateway.log().text());
}

#[tokio::test]
async fn a_bad_file_is_named_and_leaves_the_rest_alone() {
    let simulator = Simulator::start();
    let bob = auth_json(&simulator.openai().account("bob"));
    let builder =
        pool(&simulator, &[("good.json", bob), ("key.json", json!({"OPENAI_API_KEY": "sk-hidden"}))])
            .file("pool/broken.json", "{\"refresh_token\": \"rt_hidden")
            .file("pool/empty.json", "")
            .file("pool/large.json", format!("{{\"refresh_token\": \"{}\"}}", "x".repeat(300 << 10)))
            .file("pool/service.json", r#"{"type": "service_account", "private_key": "hidden"}"#)
            .file("pool/notes.txt", "not a credential");
    let gateway = builder.start().await.unwrap();
    wait_only(&gateway, "active").await;
    for (name, said) in [
        ("broken.json", "no JSON (line 1"),
        ("empty.json", "no JSON"),
        ("large.json", "256 KiB"),
        ("key.json", "API key"),
        ("service.json", "service account's"),
    ] {
        let line = reloaded(&gateway, name).await;
        assert_eq!(line["outcome"], "refused", "{line}");
        assert!(line["reason"].as_str().unwrap().contains(said), "{line}");
        let named = |line: &String| line.contains(name) && line.contains(said);
        assert_eq!(gateway.log().lines().iter().filter(|line| named(line)).count(), 1, "told once: {name}");
    }
    assert!(!gateway.log().contains("hidden"), "a secret is in the log");
    served(&gateway, "codex", "GOOD").await;
    // Put right, it joins by itself.
    put(&gateway, "broken.json", &auth_json(&simulator.openai().account("carol")));
    wait_all(&gateway, 2, "active").await;
    // Broken again, it costs nobody anything.
    fs::write(path(&gateway, "broken.json"), "{").unwrap();
    assert_eq!(reloaded(&gateway, "broken.json").await["outcome"], "refused");
    assert_eq!(accounts(&gateway).await.len(), 2);
}

#[tokio::test]
async fn files_join_change_and_leave_and_the_others_do_not_notice() {
    let simulator = Simulator::start();
    let openai = simulator.openai();
    let first = openai.account("first").quota(None, 0, openai::Refusal::RateLimited(Some(600)));
    let gateway = pool(&simulator, &[("first.json", auth_json(&first))]).start().await.unwrap();
    wait_only(&gateway, "active").await;
    assert_eq!(ask(&gateway, "codex", "COOLS").await.status, 429);
    let untouched = accounts(&gateway).await.remove(0);
    assert!(!untouched["cooling"].as_array().unwrap().is_empty(), "{untouched:#}");

    put(&gateway, "second.json", &auth_json(&openai.account("bob")));
    let all = wait_all(&gateway, 2, "active").await;
    assert_eq!(all[1]["label"], "bob@example.com");
    served(&gateway, "codex", "JOINED").await;

    // The same account with a newer login keeps its row.
    put(&gateway, "second.json", &auth_json(&openai.account("bob")));
    let newer = |now: &[Value]| now.len() == 2 && now[1]["revision"].as_i64() > all[1]["revision"].as_i64();
    let now = wait_accounts(&gateway, newer).await;
    assert_eq!(id(&now[1]), id(&all[1]));

    put(&gateway, "second.json", &auth_json(&openai.account("carol")));
    let carol = |now: &[Value]| now.len() == 2 && now[1]["label"] == "carol@example.com";
    wait_accounts(&gateway, carol).await;
    served(&gateway, "codex", "CHANGED").await;
    assert_eq!(simulator.record().last("/responses").unwrap().account.as_deref(), Some("carol"));

    remove(&gateway, "second.json");
    let left = wait_only(&gateway, "active").await;
    assert_eq!(ask(&gateway, "codex", "LEFT").await.status, 429);
    assert_eq!(steady(left), steady(untouched), "nothing of the first account has changed");
    assert!(openai.reuses().is_empty());
}

#[tokio::test]
async fn a_request_under_way_outlives_its_file() {
    let simulator = Simulator::start();
    let bob = simulator.openai().account("bob");
    let gateway = pool(&simulator, &[("bob.json", auth_json(&bob))]).start().await.unwrap();
    wait_only(&gateway, "active").await;
    simulator.openai().script().set_pace(Duration::from_millis(500));
    let asking = ask(&gateway, "codex", "UNDER-WAY");
    let leaving = async {
        assert!(simulator.record().wait_for("/responses", 1, LIMIT).await);
        remove(&gateway, "bob.json");
        seen_off(&gateway, "bob.json").await;
        assert!(accounts(&gateway).await.is_empty());
    };
    let (answer, ()) = tokio::join!(asking, leaving);
    assert!(answer.status == 200 && answer.text().contains("UNDER-WAY"), "{}", answer.text());
    assert_eq!(ask(&gateway, "codex", "AFTER").await.status, 503);
}

#[tokio::test]
async fn an_account_from_file_and_login_is_one() {
    let simulator = Simulator::start();
    let bob = simulator.openai().account("bob");
    let gateway = pool(&simulator, &[]).start().await.unwrap();
    add(&gateway, "codex", &json!([{"refresh_token": bob.refresh_token()}])).await;
    let account = wait_only(&gateway, "active").await;
    put(&gateway, "bob.json", &auth_json(&bob));
    put(&gateway, "again.json", &auth_json(&bob));
    let outcome = reloaded(&gateway, "bob.json").await["outcome"].take();
    assert!(outcome == "joined" || outcome == "unchanged", "{outcome}");
    let is_it = |line: &Value| line["account"] == account["id"] && line["state"] == "active";
    let both = || async {
        is_it(&reloaded(&gateway, "bob.json").await) && is_it(&reloaded(&gateway, "again.json").await)
    };
    assert!(wait_until(both, LIMIT).await);
    assert_eq!(id(&wait_only(&gateway, "active").await), id(&account));
    // It was there before its files, and stays after them.
    remove(&gateway, "bob.json");
    remove(&gateway, "again.json");
    seen_off(&gateway, "bob.json").await;
    wait_only(&gateway, "active").await;
    served(&gateway, "codex", "ONE").await;
    assert!(simulator.openai().reuses().is_empty());
}

#[tokio::test]
async fn an_account_leaves_with_the_last_of_its_files() {
    let simulator = Simulator::start();
    let bob = auth_json(&simulator.openai().account("bob"));
    let gateway = pool(&simulator, &[("one.json", bob.clone()), ("two.json", bob)]).start().await.unwrap();
    wait_only(&gateway, "active").await;
    remove(&gateway, "one.json");
    seen_off(&gateway, "one.json").await;
    wait_only(&gateway, "active").await;
    remove(&gateway, "two.json");
    wait_accounts(&gateway, <[Value]>::is_empty).await;
}

#[tokio::test]
async fn a_nexus_file_replaces_the_account_of_its_project() {
    let simulator = Simulator::start();
    let google = simulator.google();
    let licensed = |label: &str| google.account(label).kind(Kind::ProjectRequired).licensed_project("shared");
    let (alice, eve) = (licensed("alice"), licensed("eve"));
    let gateway = pool(&simulator, &[("p.json", nexus(&simulator, &alice, "shared"))]).start().await.unwrap();
    assert_eq!(wait_only(&gateway, "active").await["label"], "alice@example.com");
    put(&gateway, "rotated.json", &nexus(&simulator, &eve, "shared"));
    let eves = |now: &[Value]| now.len() == 1 && now[0]["label"] == "eve@example.com";
    wait_accounts(&gateway, eves).await;
    assert!(gateway.log().wait_for("took its place", LIMIT).await);
    // What it replaced does not come back by itself.
    assert_eq!(reloaded(&gateway, "p.json").await["outcome"], "removed");
    wait_only(&gateway, "active").await;
    served(&gateway, "geminicli", "REPLACED").await;
    assert_eq!(simulator.record().last("enerateContent").unwrap().account.as_deref(), Some("eve"));
}

#[tokio::test]
async fn an_account_that_its_owner_removed_stays_away_until_its_file_changes() {
    let simulator = Simulator::start();
    let bob = simulator.openai().account("bob");
    let mut gateway = pool(&simulator, &[("bob.json", auth_json(&bob))]).start().await.unwrap();
    let account = wait_only(&gateway, "active").await;
    let url = gateway.at(&format!("/admin/accounts/{}", id(&account)));
    let authorization = format!("Bearer {}", gateway.admin_key());
    let answer = send("DELETE", &url, &[("authorization", &authorization)], "").await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(reloaded(&gateway, "bob.json").await["outcome"], "removed");
    gateway.restart().await.unwrap();
    assert_eq!(reloaded(&gateway, "bob.json").await["outcome"], "removed");
    assert!(accounts(&gateway).await.is_empty());
    put(&gateway, "bob.json", &auth_json(&bob));
    wait_only(&gateway, "active").await;
}

#[tokio::test]
async fn a_folder_that_cannot_be_read_costs_nobody_anything() {
    let simulator = Simulator::start();
    let bob = simulator.openai().account("bob");
    let gateway = pool(&simulator, &[("bob.json", auth_json(&bob))]).start().await.unwrap();
    let account = wait_only(&gateway, "active").await;
    let (folder, away) = (gateway.folder().join("pool"), gateway.folder().join("away"));
    fs::rename(&folder, &away).unwrap();
    let skipped = reloaded(&gateway, "pool").await;
    assert!(skipped["reason"].as_str().unwrap().contains("cannot be read"), "{skipped}");
    served(&gateway, "codex", "AWAY").await;
    fs::rename(&away, &folder).unwrap();
    assert_eq!(reloaded(&gateway, "bob.json").await["outcome"], "unchanged");
    assert_eq!(steady(accounts(&gateway).await.remove(0)), steady(account));
}

#[tokio::test]
async fn only_the_owner_may_have_files_read_anew() {
    let simulator = Simulator::start();
    let gateway = pool(&simulator, &[]).start().await.unwrap();
    for key in ["", "nonsense", gateway.key()] {
        assert_eq!(asked_to_reload(&gateway, key).await.status, 401);
    }
    let in_query = gateway.at(&format!("/admin/reload?key={}", gateway.admin_key()));
    assert_eq!(send("POST", &in_query, &[], "").await.unwrap().status, 401);
    assert_eq!(asked_to_reload(&gateway, gateway.admin_key()).await.status, 200);
}

#[tokio::test]
async fn a_refused_login_is_looked_at_again_when_its_file_is_put_right() {
    let simulator = Simulator::start();
    let bob = simulator.openai().account("bob");
    let gateway = pool(&simulator, &[("bob.json", json!({"tokens": {"refresh_token": "rt_of-nobody"}}))]);
    let gateway = gateway.start().await.unwrap();
    wait_only(&gateway, "suspended").await;
    let line = reloaded(&gateway, "bob.json").await;
    assert!(line["state"] == "suspended" && line["reason"].is_string(), "{line}");
    put(&gateway, "bob.json", &auth_json(&bob));
    assert_eq!(wait_only(&gateway, "active").await["label"], "bob@example.com");
    let account = id(&wait_only(&gateway, "active").await);
    assert_eq!(act(&gateway, account, "refresh").await.status, 200);
}
