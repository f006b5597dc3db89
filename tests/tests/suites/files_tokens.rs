//! Tokens between store and file: the store comes first, the file follows, and no spent token is ever tried again.

use super::files::{auth_json, path, pool, put};
use super::owner::{LIMIT, accounts, act, id, served, wait_accounts, wait_only};
use pollux_tests::kit::{Gateway, wait_until};
use pollux_tests::simulator::{Fault, Injection, Simulator, claims, jwt};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::time::Duration;

const WRITE_BACK: &str = "POLLUX__POOL__WRITE_BACK";

fn content(gateway: &Gateway, name: &str) -> Value {
    serde_json::from_str(&fs::read_to_string(path(gateway, name)).unwrap()).unwrap()
}

fn refresh_token(file: &Value) -> &Value {
    &file["tokens"]["refresh_token"]
}

/// Renews an account's tokens, and waits until that is stored.
async fn renew(gateway: &Gateway, simulator: &Simulator, account: &Value) {
    let before = simulator.openai().tally().refreshes;
    assert_eq!(act(gateway, id(account), "refresh").await.status, 200);
    let renewed = || std::future::ready(simulator.openai().tally().refreshes == before + 1);
    assert!(wait_until(renewed, LIMIT).await, "it was not renewed: {:?}", simulator.openai().reuses());
    wait_accounts(gateway, |now| {
        now[0]["refreshing"] == false && now[0]["revision"].as_i64() > account["revision"].as_i64()
    })
    .await;
}

/// Waits until the file has other tokens than `former`, and gives it.
async fn rewritten(gateway: &Gateway, name: &str, former: &Value) -> Value {
    let other = || async { refresh_token(&content(gateway, name)) != refresh_token(former) };
    assert!(wait_until(other, LIMIT).await, "{name} was not written");
    content(gateway, name)
}

#[tokio::test]
async fn renewed_tokens_go_back_into_the_file_and_nothing_else_of_it_changes() {
    let simulator = Simulator::start();
    let bob = simulator.openai().account("bob");
    let mut original = auth_json(&bob);
    // As of an earlier second than the next one.
    let mut said = claims(&bob.id_token()).unwrap();
    said["iat"] = json!(1_795_000_000);
    original["tokens"]["id_token"] = jwt(&said).into();
    let gateway = pool(&simulator, &[("bob.json", original.clone())]).start().await.unwrap();
    let account = wait_only(&gateway, "active").await;
    renew(&gateway, &simulator, &account).await;
    let mut written = rewritten(&gateway, "bob.json", &original).await;
    for token in ["refresh_token", "access_token", "id_token"] {
        assert_ne!(written["tokens"][token], original["tokens"][token], "{token}");
        written["tokens"][token] = original["tokens"][token].clone();
    }
    assert_eq!(written, original);
    let mode = fs::metadata(path(&gateway, "bob.json")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let left: Vec<_> =
        fs::read_dir(gateway.folder().join("pool")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "nothing is left beside it: {left:?}");
    // It is no news to the one who wrote it.
    let revision = wait_only(&gateway, "active").await["revision"].take();
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(accounts(&gateway).await[0]["revision"], revision);
    assert_eq!(gateway.log().count("credential file read"), 1);
    served(&gateway, "codex", "WRITTEN").await;
}

#[tokio::test]
async fn members_that_a_file_lacks_are_not_added() {
    let simulator = Simulator::start();
    let bob = simulator.openai().account("bob");
    let original = json!({"tokens": {"refresh_token": bob.refresh_token()}, "note": "mine"});
    let gateway = pool(&simulator, &[("bob.json", original.clone())]).start().await.unwrap();
    wait_only(&gateway, "active").await;
    let mut written = rewritten(&gateway, "bob.json", &original).await;
    written["tokens"]["refresh_token"] = original["tokens"]["refresh_token"].clone();
    assert_eq!(written, original);
}

#[tokio::test]
async fn a_link_stays_one_and_what_it_leads_to_is_written() {
    let simulator = Simulator::start();
    let bob = simulator.openai().account("bob");
    let original = auth_json(&bob);
    let builder = pool(&simulator, &[]).file("elsewhere/auth.json", original.to_string());
    let gateway = builder.start().await.unwrap();
    let target = gateway.folder().join("elsewhere/auth.json");
    symlink(&target, path(&gateway, "bob.json")).unwrap();
    let account = wait_only(&gateway, "active").await;
    renew(&gateway, &simulator, &account).await;
    let written = rewritten(&gateway, "bob.json", &original).await;
    assert!(path(&gateway, "bob.json").is_symlink());
    assert_eq!(serde_json::from_str::<Value>(&fs::read_to_string(target).unwrap()).unwrap(), written);
}

#[tokio::test]
async fn write_back_can_be_switched_off() {
    let simulator = Simulator::start();
    let original = auth_json(&simulator.openai().account("bob"));
    let builder = pool(&simulator, &[("bob.json", original.clone())]).config("[pool]\nwrite_back = false");
    let mut gateway = builder.start().await.unwrap();
    let account = wait_only(&gateway, "active").await;
    renew(&gateway, &simulator, &account).await;
    gateway.restart().await.unwrap();
    let account = wait_only(&gateway, "active").await;
    renew(&gateway, &simulator, &account).await;
    assert_eq!(content(&gateway, "bob.json"), original);
    assert!(simulator.openai().reuses().is_empty());
}

#[tokio::test]
async fn killed_between_store_and_file_the_file_is_found_old_and_brought_up_to_date() {
    let simulator = Simulator::start();
    let original = auth_json(&simulator.openai().account("bob"));
    // The state between the two writes: the store has the new tokens, the file the old ones.
    let builder = pool(&simulator, &[("bob.json", original.clone())]).env(WRITE_BACK, "false");
    let mut gateway = builder.start().await.unwrap();
    let account = wait_only(&gateway, "active").await;
    renew(&gateway, &simulator, &account).await;
    gateway.kill();
    assert_eq!(content(&gateway, "bob.json"), original);
    gateway.set_env(WRITE_BACK, "true");
    gateway.restart().await.unwrap();
    rewritten(&gateway, "bob.json", &original).await;
    let now = wait_only(&gateway, "active").await;
    assert_eq!(id(&now), id(&account));
    renew(&gateway, &simulator, &now).await;
    served(&gateway, "codex", "IN-STEP").await;
    assert!(simulator.openai().reuses().is_empty());
}

#[tokio::test]
async fn killed_after_the_file_was_written_and_before_that_was_noted_nothing_happens() {
    let simulator = Simulator::start();
    let original = auth_json(&simulator.openai().account("bob"));
    let mut gateway = pool(&simulator, &[("bob.json", original.clone())]).start().await.unwrap();
    let account = wait_only(&gateway, "active").await;
    renew(&gateway, &simulator, &account).await;
    let written = rewritten(&gateway, "bob.json", &original).await;
    gateway.kill();
    // Another content with the newest tokens, which nobody noted.
    put(&gateway, "bob.json", &written);
    gateway.restart().await.unwrap();
    assert!(gateway.log().wait_for("Updated", LIMIT).await);
    let now = wait_only(&gateway, "active").await;
    assert_eq!(id(&now), id(&account));
    renew(&gateway, &simulator, &now).await;
    rewritten(&gateway, "bob.json", &written).await;
    assert!(simulator.openai().reuses().is_empty());
}

#[tokio::test]
async fn stale_files_are_known_for_what_they_are_and_repaired() {
    let simulator = Simulator::start();
    let original = auth_json(&simulator.openai().account("bob"));
    let mut gateway = pool(&simulator, &[("bob.json", original.clone())]).start().await.unwrap();
    let account = wait_only(&gateway, "active").await;
    for _ in 0..2 {
        let account = wait_only(&gateway, "active").await;
        renew(&gateway, &simulator, &account).await;
    }
    let newest = rewritten(&gateway, "bob.json", &original).await;
    // A backup is put back: while it is down, while it runs, and under another name.
    gateway.kill();
    put(&gateway, "bob.json", &original);
    gateway.restart().await.unwrap();
    rewritten(&gateway, "bob.json", &original).await;
    put(&gateway, "bob.json", &original);
    rewritten(&gateway, "bob.json", &original).await;
    put(&gateway, "copy.json", &original);
    rewritten(&gateway, "copy.json", &original).await;
    let now = wait_only(&gateway, "active").await;
    assert_eq!(id(&now), id(&account));
    renew(&gateway, &simulator, &now).await;
    served(&gateway, "codex", "REPAIRED").await;
    assert!(simulator.openai().reuses().is_empty(), "a spent token was tried again");
    rewritten(&gateway, "copy.json", &newest).await;
}

#[tokio::test]
async fn a_file_that_comes_back_with_old_tokens_brings_its_account_back_with_the_newest() {
    let simulator = Simulator::start();
    let original = auth_json(&simulator.openai().account("bob"));
    let builder = pool(&simulator, &[("bob.json", original.clone())]).config("[pool]\nwrite_back = false");
    let mut gateway = builder.start().await.unwrap();
    let account = wait_only(&gateway, "active").await;
    renew(&gateway, &simulator, &account).await;
    fs::remove_file(path(&gateway, "bob.json")).unwrap();
    wait_accounts(&gateway, <[Value]>::is_empty).await;
    gateway.restart().await.unwrap();
    assert!(accounts(&gateway).await.is_empty());
    put(&gateway, "bob.json", &original);
    let now = wait_only(&gateway, "active").await;
    assert_eq!(id(&now), id(&account));
    renew(&gateway, &simulator, &now).await;
    served(&gateway, "codex", "BACK").await;
    assert!(simulator.openai().reuses().is_empty());
}

#[tokio::test]
async fn killed_at_any_moment_around_a_renewal_file_and_store_agree_again() {
    let simulator = Simulator::start();
    let bob = simulator.openai().account("bob");
    let mut gateway = pool(&simulator, &[("bob.json", auth_json(&bob))]).start().await.unwrap();
    for moment in [3, 6, 9, 12, 16, 24] {
        let account = wait_only(&gateway, "active").await;
        simulator.inject(Injection::new(Fault::DelayHead(Duration::from_millis(5))).path("/oauth/token"));
        assert_eq!(act(&gateway, id(&account), "refresh").await.status, 200);
        tokio::time::sleep(Duration::from_millis(moment)).await;
        gateway.kill();
        simulator.clear_faults();
        gateway.restart().await.unwrap();
        // Killed with the answer on its way nobody can know; on PostgreSQL that shows after a while only.
        let settled = |all: &[Value]| {
            let unknown = all[0]["state"] == "refresh_unknown" || all[0]["refreshing"] == true;
            unknown || all[0]["state"] == "active"
        };
        let now = wait_accounts(&gateway, settled).await;
        if now[0]["state"] == "refresh_unknown" || now[0]["refreshing"] == true {
            put(&gateway, "bob.json", &auth_json(&bob));
            wait_accounts(&gateway, |all| {
                all.len() == 1 && all[0]["state"] == "active" && all[0]["refreshing"] == false
            })
            .await;
        }
        let now = wait_only(&gateway, "active").await;
        let before = content(&gateway, "bob.json");
        renew(&gateway, &simulator, &now).await;
        rewritten(&gateway, "bob.json", &before).await;
        assert!(simulator.openai().reuses().is_empty(), "at {moment} ms");
    }
}
