//! The process killed at each step of an ingestion and of a refresh: nothing accepted is lost, no token is spent
//! twice, and what nobody can know is said.

use super::owner::{
    LIMIT, accounts, act, add, ask, gateway, id, pooled, served, wait_accounts, wait_all, wait_only,
};
use pollux_tests::kit::{Database, Gateway, wait_until};
use pollux_tests::simulator::{Fault, Gate, Injection, Simulator};
use serde_json::{Value, json};
use std::time::Duration;

fn code(account: &Value) -> &str {
    account.pointer("/reason/code").and_then(Value::as_str).unwrap_or_default()
}

/// With `PostgreSQL` another replica may still be at it: the state shows after two minutes, which no test waits for.
fn alone(gateway: &Gateway) -> bool {
    *gateway.database() == Database::Sqlite
}

/// Kills the gateway while a request waits at the gate, and starts it again.
async fn kill_at(gateway: &mut Gateway, gate: &Gate) {
    assert!(gate.wait_for(1, LIMIT).await, "the gate was never reached");
    gateway.kill();
    gate.open();
    gateway.restart().await.unwrap();
}

#[tokio::test]
async fn killed_at_any_step_of_a_google_ingestion_it_is_taken_up_again() {
    type Closing = fn(Gate) -> Fault;
    let before: Closing = Fault::GateBefore;
    let after: Closing = Fault::GateHead;
    for (path, closing) in
        [("/token", before), ("/token", after), (":loadCodeAssist", before), (":loadCodeAssist", after)]
    {
        let simulator = Simulator::start();
        let alice = simulator.google().account("alice");
        let gate = Gate::new();
        simulator.inject(Injection::new(closing(gate.clone())).path(path));
        let mut gateway = gateway(&simulator, "").await;
        add(&gateway, "geminicli", &json!([{"refresh_token": alice.refresh_token()}])).await;
        kill_at(&mut gateway, &gate).await;
        if !alone(&gateway) && path == "/token" {
            wait_accounts(&gateway, |all| all.len() == 1).await;
            continue;
        }
        wait_only(&gateway, "active").await;
        served(&gateway, "geminicli", "TAKEN-UP").await;
    }
}

#[tokio::test]
async fn killed_while_openai_is_asked_the_newcomer_is_unknown_and_its_token_never_tried_again() {
    for (step, fault) in [("before", true), ("after", false)] {
        let simulator = Simulator::start();
        let bob = simulator.openai().account("bob");
        let gate = Gate::new();
        let closing = if fault { Fault::GateBefore(gate.clone()) } else { Fault::GateHead(gate.clone()) };
        simulator.inject(Injection::new(closing).path("/oauth/token"));
        let mut gateway = gateway(&simulator, "").await;
        let token = bob.refresh_token();
        add(&gateway, "codex", &json!([{"refresh_token": token}])).await;
        kill_at(&mut gateway, &gate).await;
        let tries = simulator.record().count("/oauth/token");
        if alone(&gateway) {
            let lost = wait_only(&gateway, "refresh_unknown").await;
            assert_eq!(code(&lost), "refresh_unknown", "{step}");
            assert!(gateway.log().contains("refresh_unknown"), "{step}");
        }
        // Neither a second try nor the same token brought again may spend it once more.
        add(&gateway, "codex", &json!([{"refresh_token": token}])).await;
        tokio::time::sleep(Duration::from_millis(1500)).await;
        assert_eq!(simulator.record().count("/oauth/token"), tries, "{step}");
        assert!(simulator.openai().reuses().is_empty(), "{step}");
        assert_eq!(accounts(&gateway).await.len(), 1);
        add(&gateway, "codex", &json!([{"refresh_token": bob.refresh_token()}])).await;
        wait_accounts(&gateway, |all| {
            all.iter().any(|one| one["state"] == "active" && !one["label"].is_null())
        })
        .await;
        served(&gateway, "codex", "ANEW").await;
        assert!(simulator.openai().reuses().is_empty(), "{step}");
    }
}

#[tokio::test]
async fn killed_in_the_middle_of_a_google_refresh_it_is_simply_tried_again() {
    for before in [true, false] {
        let simulator = Simulator::start();
        let alice = simulator.google().account("alice");
        let mut gateway = gateway(&simulator, "").await;
        let account = pooled(&gateway, "geminicli", &alice.refresh_token()).await;
        let gate = Gate::new();
        let closing = if before { Fault::GateBefore(gate.clone()) } else { Fault::GateHead(gate.clone()) };
        simulator.inject(Injection::new(closing).path("/token"));
        assert_eq!(act(&gateway, account, "refresh").await.status, 200);
        kill_at(&mut gateway, &gate).await;
        wait_only(&gateway, "active").await;
        served(&gateway, "geminicli", "AGAIN").await;
        if alone(&gateway) {
            alice.expire_access_tokens();
            served(&gateway, "geminicli", "RENEWED").await;
        }
    }
}

#[tokio::test]
async fn killed_in_the_middle_of_an_openai_refresh_the_account_says_so_and_a_new_login_heals_it() {
    for before in [true, false] {
        let simulator = Simulator::start();
        let bob = simulator.openai().account("bob");
        let mut gateway = gateway(&simulator, "").await;
        let account = pooled(&gateway, "codex", &bob.refresh_token()).await;
        let gate = Gate::new();
        let closing = if before { Fault::GateBefore(gate.clone()) } else { Fault::GateHead(gate.clone()) };
        simulator.inject(Injection::new(closing).path("/oauth/token"));
        assert_eq!(act(&gateway, account, "refresh").await.status, 200);
        kill_at(&mut gateway, &gate).await;
        let tries = simulator.record().count("/oauth/token");
        if alone(&gateway) {
            let lost = wait_only(&gateway, "refresh_unknown").await;
            assert_eq!((id(&lost), code(&lost)), (account, "refresh_unknown"));
            assert!(lost["reason"]["text"].as_str().unwrap().contains("log in again"), "{lost:#}");
            assert_eq!(ask(&gateway, "codex", "LOST").await.status, 503);
            // Another crash changes nothing.
            gateway.kill();
            gateway.restart().await.unwrap();
            wait_only(&gateway, "refresh_unknown").await;
        }
        assert_eq!(simulator.record().count("/oauth/token"), tries);
        add(&gateway, "codex", &json!([{"refresh_token": bob.refresh_token()}])).await;
        let healed = wait_only(&gateway, "active").await;
        assert_eq!(id(&healed), account);
        served(&gateway, "codex", "HEALED").await;
        assert!(simulator.openai().reuses().is_empty());
    }
}

#[tokio::test]
async fn a_rotated_token_is_durable_before_its_first_use() {
    let simulator = Simulator::start();
    let bob = simulator.openai().account("bob");
    let mut gateway = gateway(&simulator, "").await;
    let account = pooled(&gateway, "codex", &bob.refresh_token()).await;
    bob.expire_access_tokens();
    let gate = Gate::new();
    // The first request is refused for its token, the second comes with the new one.
    simulator.inject(Injection::new(Fault::GateBefore(gate.clone())).path("/responses").after(1));
    let url = gateway.at("/codex/v1/responses");
    let key = gateway.key().to_owned();
    let asking = tokio::spawn(async move {
        let body = json!({"model": "gpt-5.2-codex", "input": "FIRST-USE"}).to_string();
        let headers = [("x-goog-api-key", key.as_str()), ("content-type", "application/json")];
        pollux_tests::kit::send("POST", &url, &headers, body).await.map(|answer| answer.status)
    });
    kill_at(&mut gateway, &gate).await;
    drop(asking.await);
    wait_only(&gateway, "active").await;
    let before = simulator.openai().tally().refreshes;
    assert_eq!(act(&gateway, account, "refresh").await.status, 200);
    let renewed = || std::future::ready(simulator.openai().tally().refreshes == before + 1);
    assert!(wait_until(renewed, LIMIT).await, "the stored token is not the newest");
    served(&gateway, "codex", "DURABLE").await;
    assert!(simulator.openai().reuses().is_empty());
}

#[tokio::test]
async fn killed_at_any_moment_around_a_refresh_no_token_is_spent_twice() {
    let simulator = Simulator::start();
    let bob = simulator.openai().account("bob");
    let mut gateway = gateway(&simulator, "").await;
    let account = pooled(&gateway, "codex", &bob.refresh_token()).await;
    if !alone(&gateway) {
        return;
    }
    for moment in [0, 2, 4, 7, 11, 16] {
        simulator.inject(Injection::new(Fault::DelayHead(Duration::from_millis(5))).path("/oauth/token"));
        assert_eq!(act(&gateway, account, "refresh").await.status, 200);
        tokio::time::sleep(Duration::from_millis(moment)).await;
        gateway.kill();
        simulator.clear_faults();
        gateway.restart().await.unwrap();
        let settled = |all: &[Value]| all[0]["state"] == "active" || all[0]["state"] == "refresh_unknown";
        let now = wait_accounts(&gateway, settled).await;
        if now[0]["state"] == "refresh_unknown" {
            add(&gateway, "codex", &json!([{"refresh_token": bob.refresh_token()}])).await;
        }
        wait_all(&gateway, 1, "active").await;
        served(&gateway, "codex", "ALIVE").await;
        assert!(simulator.openai().reuses().is_empty(), "at {moment} ms");
    }
}

#[tokio::test]
async fn going_down_in_order_waits_for_a_vendors_answer_and_keeps_it() {
    let simulator = Simulator::start();
    let bob = simulator.openai().account("bob");
    let mut gateway = gateway(&simulator, "").await;
    let account = pooled(&gateway, "codex", &bob.refresh_token()).await;
    let gate = Gate::new();
    simulator.inject(Injection::new(Fault::GateHead(gate.clone())).path("/oauth/token"));
    assert_eq!(act(&gateway, account, "refresh").await.status, 200);
    assert!(gate.wait_for(1, LIMIT).await);
    gateway.signal_term().unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    gate.open();
    let status = gateway.wait_exit(LIMIT).await.expect("it ends");
    assert_eq!(status.code(), Some(0));
    gateway.restart().await.unwrap();
    wait_only(&gateway, "active").await;
    assert_eq!(act(&gateway, account, "refresh").await.status, 200);
    let renewed = || std::future::ready(simulator.openai().tally().refreshes == 3);
    assert!(wait_until(renewed, LIMIT).await);
    served(&gateway, "codex", "IN-ORDER").await;
    assert!(simulator.openai().reuses().is_empty());
}
