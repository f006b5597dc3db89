//! What becomes of each kind of Google account, in Google's own words; and that nobody is banned for it.

use super::owner::{
    LIMIT, act, add, ask, cli, gateway, id, pooled, served, wait_accounts, wait_all, wait_only,
};
use pollux_tests::simulator::Simulator;
use pollux_tests::simulator::google::{Kind, Refusal};
use serde_json::{Value, json};

fn text<'a>(account: &'a Value, pointer: &str) -> &'a str {
    account.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

#[tokio::test]
async fn an_account_google_turns_away_is_kept_with_its_reason_and_link() {
    let table = [
        (Kind::UnsupportedClient, "unsupported_client", "no longer supported", ""),
        (
            Kind::ValidationRequired,
            "validation_required",
            "Verify your account",
            "https://accounts.google.com/signin/continue?sim=1",
        ),
        (Kind::UnsupportedLocation, "unsupported_location", "not available in your location", ""),
        (Kind::ProjectRequired, "project_required", "project", ""),
        (Kind::NeedsOnboarding("standard-tier".into(), 0), "project_required", "project", ""),
    ];
    let simulator = Simulator::start();
    let gateway = gateway(&simulator, "").await;
    for (number, (kind, code, words, link)) in table.into_iter().enumerate() {
        let account = simulator.google().account(&format!("a{number}")).kind(kind.clone());
        add(&gateway, "geminicli", &json!([{"refresh_token": account.refresh_token()}])).await;
        let all = wait_all(&gateway, number + 1, "suspended").await;
        let told = all.last().unwrap();
        assert_eq!(text(told, "/reason/code"), code, "{kind:?}: {told:#}");
        assert!(text(told, "/reason/text").contains(words), "{kind:?}: {told:#}");
        assert_eq!(text(told, "/reason/link"), link, "{kind:?}: {told:#}");
        assert!(gateway.log().wait_for(code, LIMIT).await);
    }
    let (status, table) = cli(&gateway, &["accounts", "list"]).await;
    assert_eq!(status, 0, "{table}");
    for words in ["no longer supported", "https://accounts.google.com/signin/continue?sim=1", "suspended"] {
        assert!(table.contains(words), "{table}");
    }
    let answer = ask(&gateway, "geminicli", "NOBODY").await;
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert!(answer.text().contains("no available credential"), "{}", answer.text());
}

#[tokio::test]
async fn a_project_that_only_its_owner_knows_brings_the_account_in() {
    let kinds = [Kind::ProjectRequired, Kind::NeedsOnboarding("standard-tier".into(), 0)];
    for kind in kinds {
        let simulator = Simulator::start();
        let gateway = gateway(&simulator, "").await;
        let alice = simulator.google().account("alice").kind(kind.clone()).licensed_project("licensed-7");
        add(&gateway, "geminicli", &json!([{"refresh_token": alice.refresh_token()}])).await;
        let account = wait_only(&gateway, "suspended").await;
        let number = id(&account).to_string();
        let (status, told) = cli(&gateway, &["accounts", "set", &number, "project=12345"]).await;
        assert_eq!(status, 0, "{told}");
        let numeric = |all: &[Value]| text(&all[0], "/reason/text").contains("number");
        wait_accounts(&gateway, numeric).await;
        let (status, told) = cli(&gateway, &["accounts", "set", &number, "project=licensed-7"]).await;
        assert_eq!(status, 0, "{told}");
        let account = wait_only(&gateway, "active").await;
        assert_eq!(account["subject"], format!("{}/licensed-7", alice.sub()), "{kind:?}");
        served(&gateway, "geminicli", "LICENSED").await;
        let asked = simulator.record().last(":generateContent").unwrap();
        assert_eq!(asked.json()["project"], "licensed-7");
    }
}

#[tokio::test]
async fn a_licensed_project_given_at_once_needs_no_second_step() {
    let simulator = Simulator::start();
    let gateway = gateway(&simulator, "").await;
    for (label, kind) in
        [("a", Kind::ProjectRequired), ("b", Kind::NeedsOnboarding("standard-tier".into(), 0))]
    {
        let account = simulator.google().account(label).kind(kind).licensed_project("licensed-8");
        let entry = json!([{"refresh_token": account.refresh_token(), "project_id": "licensed-8"}]);
        add(&gateway, "geminicli", &entry).await;
    }
    wait_all(&gateway, 2, "active").await;
    served(&gateway, "geminicli", "AT-ONCE").await;
}

#[tokio::test]
async fn a_free_account_serves_with_the_project_google_manages() {
    let simulator = Simulator::start();
    let gateway = gateway(&simulator, "").await;
    let account = simulator.google().account("free").kind(Kind::Free);
    pooled(&gateway, "geminicli", &account.refresh_token()).await;
    served(&gateway, "geminicli", "FREE").await;
    assert_eq!(simulator.record().last(":generateContent").unwrap().json()["project"], "free-project");
    assert_eq!(simulator.record().count(":onboardUser"), 0);
}

/// The vendor's own client polls every five seconds, and so do we: this is the one test that waits for it.
#[tokio::test]
async fn onboarding_is_waited_for_and_survives_a_restart_in_between() {
    let simulator = Simulator::start();
    let mut gateway = gateway(&simulator, "").await;
    let account = simulator.google().account("new").kind(Kind::NeedsOnboarding("free-tier".into(), 1));
    add(&gateway, "geminicli", &json!([{"refresh_token": account.refresh_token()}])).await;
    assert!(simulator.record().wait_for(":onboardUser", 1, LIMIT).await);
    gateway.kill();
    gateway.restart().await.unwrap();
    let told = wait_only(&gateway, "active").await;
    assert_eq!(told["label"], "new@example.com");
    let onboarded = simulator.record().on(":onboardUser");
    assert_eq!(onboarded.len(), 2, "each life starts its own operation");
    assert!(onboarded.iter().all(|one| one.json()["tierId"] == "free-tier"));
    assert!(onboarded.iter().all(|one| one.json()["cloudaicompanionProject"].is_null()));
    assert_eq!(simulator.record().count("/v1internal/operations/"), 1);
    served(&gateway, "geminicli", "ONBOARDED").await;
}

#[tokio::test]
async fn a_missing_licence_shows_at_the_first_request_and_the_client_is_not_blamed() {
    let simulator = Simulator::start();
    let gateway = gateway(&simulator, "").await;
    let account = simulator.google().account("unlicensed").kind(Kind::LicenceMissing);
    pooled(&gateway, "geminicli", &account.refresh_token()).await;
    let answer = ask(&gateway, "geminicli", "LICENCE").await;
    assert_eq!(answer.status, 502, "{}", answer.text());
    let told = wait_only(&gateway, "suspended").await;
    assert_eq!(text(&told, "/reason/code"), "subscription_required");
    // The licence is bought; the owner says so.
    account.kind(Kind::Standard);
    assert_eq!(act(&gateway, id(&told), "resume").await.status, 200);
    wait_only(&gateway, "active").await;
    served(&gateway, "geminicli", "BOUGHT").await;
}

#[tokio::test]
async fn what_was_put_right_at_google_is_seen_when_the_owner_asks_again() {
    let simulator = Simulator::start();
    let gateway = gateway(&simulator, "").await;
    let account = simulator.google().account("alice").kind(Kind::ValidationRequired);
    add(&gateway, "geminicli", &json!([{"refresh_token": account.refresh_token()}])).await;
    let told = wait_only(&gateway, "suspended").await;
    account.kind(Kind::Standard);
    let (status, text) = cli(&gateway, &["accounts", "resume", &id(&told).to_string()]).await;
    assert_eq!(status, 0, "{text}");
    wait_only(&gateway, "active").await;
    served(&gateway, "geminicli", "VALIDATED").await;
}

#[tokio::test]
async fn a_refusal_without_a_known_reason_is_no_ban() {
    let simulator = Simulator::start();
    let gateway = gateway(&simulator, "").await;
    let account = simulator.google().account("alice").refuse_setup(Some(Refusal::PermissionDenied));
    add(&gateway, "geminicli", &json!([{"refresh_token": account.refresh_token()}])).await;
    wait_accounts(&gateway, |all| text(&all[0], "/reason/code") != "").await;
    account.refuse_setup(None);
    let told = &wait_accounts(&gateway, |all| all[0]["state"] != "validating").await[0];
    if told["state"] == "suspended" {
        assert_eq!(act(&gateway, id(told), "resume").await.status, 200);
    }
    wait_only(&gateway, "active").await;
    // The same at work: the account rests, and is neither suspended nor is its client called a stranger.
    account.refuse(Some(Refusal::PermissionDenied));
    let answer = ask(&gateway, "geminicli", "X").await;
    assert!(![401, 403].contains(&answer.status), "{} {}", answer.status, answer.text());
    let told = wait_only(&gateway, "active").await;
    assert_eq!(told["cooling"].as_array().map(Vec::len), Some(1), "{told:#}");
}
