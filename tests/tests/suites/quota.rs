//! Quota windows: read, told, and used to choose.

use pollux_tests::{
    kit::{Gateway, get, post, wait_until},
    simulator::{Fault, Injection, Simulator},
};
use serde_json::{Value, json};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(20);

async fn accounts(gateway: &Gateway) -> Vec<Value> {
    let key = format!("Bearer {}", gateway.admin_key());
    let answer = get(&gateway.at("/admin/accounts"), &[("authorization", &key)]).await;
    answer.json().as_array().cloned().unwrap_or_default()
}

async fn with_two_accounts(simulator: &Simulator, config: &str) -> Gateway {
    let (full, empty) = (simulator.openai().account("full"), simulator.openai().account("empty"));
    full.used(90.0, 80.0);
    empty.used(5.0, 5.0);
    let gateway = Gateway::builder().simulator(simulator).config(config).start().await.unwrap();
    let added = json!([{"refresh_token": full.refresh_token()}, {"refresh_token": empty.refresh_token()}]);
    assert_eq!(post(&gateway.at("/codex/resource:add"), &gateway.auth(), &added).await.status, 202);
    let known = async || {
        let accounts = accounts(&gateway).await;
        accounts.len() == 2
            && accounts.iter().all(|account| account["quota"].as_array().is_some_and(|q| q.len() == 2))
    };
    assert!(wait_until(known, LIMIT).await, "{:?}", accounts(&gateway).await);
    gateway
}

async fn ask(gateway: &Gateway) {
    let body = json!({"model": "gpt-5.2-codex", "input": "hello"});
    let answer = post(&gateway.at("/codex/v1/responses"), &gateway.auth(), &body).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[tokio::test]
async fn balanced_takes_the_account_with_most_quota_left() {
    let simulator = Simulator::start();
    let gateway = with_two_accounts(&simulator, "").await;
    for _ in 0..4 {
        ask(&gateway).await;
    }
    let served: Vec<String> =
        simulator.record().on("/responses").iter().filter_map(|one| one.account.clone()).collect();
    assert_eq!(served, ["empty"; 4]);
}

#[tokio::test]
async fn fill_first_takes_the_oldest_account_whatever_its_quota() {
    let simulator = Simulator::start();
    let gateway = with_two_accounts(&simulator, "[pool]\nstrategy = \"fill_first\"").await;
    for _ in 0..3 {
        ask(&gateway).await;
    }
    let served: Vec<String> =
        simulator.record().on("/responses").iter().filter_map(|one| one.account.clone()).collect();
    assert_eq!(served, ["full"; 3]);
}

#[tokio::test]
async fn quota_readings_survive_a_restart() {
    let simulator = Simulator::start();
    let mut gateway = with_two_accounts(&simulator, "").await;
    assert!(gateway.terminate(LIMIT).await.unwrap().success());
    let asked = simulator.record().count("/wham/usage");
    let down = Fault::text(503, "down");
    simulator.inject(Injection::new(down).path("/wham/usage").always());
    gateway.restart().await.unwrap();
    assert!(accounts(&gateway).await.iter().all(|account| account["quota"][0]["used"].is_number()));
    assert!(simulator.record().count("/wham/usage") >= asked);
}

#[tokio::test]
async fn explain_tells_who_is_in_and_who_is_out() {
    let simulator = Simulator::start();
    let gateway = with_two_accounts(&simulator, "").await;
    let first = accounts(&gateway).await[0]["id"].clone();
    let key = format!("Bearer {}", gateway.admin_key());
    let explained = get(&gateway.at("/admin/explain?model=gpt-5.2-codex"), &[("authorization", &key)]).await;
    let candidates = explained.json()["candidates"].as_array().cloned().unwrap();
    assert_eq!(candidates.len(), 2);
    assert!(candidates.iter().all(|one| one["in"] == true));
    assert_ne!(candidates[0]["id"], first, "the one with more quota left comes first");
    let denied = get(&gateway.at(&format!("/admin/explain?model=m&key={}", gateway.admin_key())), &[]).await;
    assert_eq!(denied.status, 401, "an admin key in a URL opens nothing");
}
