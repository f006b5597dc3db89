//! The shortest way through everything, one test for each provider.

use pollux_tests::{
    kit::{Gateway, get, post},
    simulator::Simulator,
};
use serde_json::json;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_google_account_added_by_token_answers() {
    let simulator = Simulator::start();
    let alice = simulator.google().account("alice").project("alice-project");
    let gateway = Gateway::builder().simulator(&simulator).start().await.unwrap();
    let added = json!([{"refresh_token": alice.refresh_token()}]);
    let answer = post(&gateway.at("/geminicli/resource:add"), &gateway.auth(), &added).await;
    assert_eq!((answer.status, answer.text().as_str()), (202, "Success"));
    assert!(gateway.log().wait_for("account is in the pool", LIMIT).await);
    let body = json!({"contents": [{"role": "user", "parts": [{"text": "PING-1"}]}]});
    let url = gateway.at("/geminicli/v1beta/models/gemini-2.5-pro:generateContent");
    let answer = post(&url, &gateway.auth(), &body).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(answer.text().contains("PING-1"), "{}", answer.text());
}

#[tokio::test]
async fn an_openai_account_added_by_token_answers() {
    let simulator = Simulator::start();
    let bob = simulator.openai().account("bob").plan("plus");
    let gateway = Gateway::builder().simulator(&simulator).start().await.unwrap();
    let added = json!([{"refresh_token": bob.refresh_token()}]);
    let answer = post(&gateway.at("/codex/resource:add"), &gateway.auth(), &added).await;
    assert_eq!((answer.status, answer.text().as_str()), (202, "Success"));
    assert!(gateway.log().wait_for("account is in the pool", LIMIT).await);
    let body = json!({"model": "gpt-5.2-codex", "input": "PING-2"});
    let answer = post(&gateway.at("/codex/v1/responses"), &gateway.auth(), &body).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(answer.text().contains("PING-2"), "{}", answer.text());
    let models = get(&gateway.at("/codex/v1/models"), &gateway.auth()).await;
    assert!(models.text().contains("gpt-5.2-codex"), "{}", models.text());
}
