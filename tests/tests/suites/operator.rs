//! What the machine room asks.

use pollux_tests::{
    kit::{Gateway, get, post},
    simulator::Simulator,
};
use serde_json::json;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(20);

#[tokio::test]
async fn numbers_are_the_owners_and_count_what_was_served() {
    let simulator = Simulator::start();
    let bob = simulator.openai().account("bob");
    let gateway = Gateway::builder().simulator(&simulator).start().await.unwrap();
    let added = json!([{"refresh_token": bob.refresh_token()}]);
    assert_eq!(post(&gateway.at("/codex/resource:add"), &gateway.auth(), &added).await.status, 202);
    assert!(gateway.log().wait_for("account is in the pool", LIMIT).await);
    let body = json!({"model": "gpt-5.2-codex", "input": "hello"});
    assert_eq!(post(&gateway.at("/codex/v1/responses"), &gateway.auth(), &body).await.status, 200);

    let key = format!("Bearer {}", gateway.admin_key());
    for path in ["/metrics", "/status"] {
        assert_eq!(get(&gateway.at(path), &[]).await.status, 401, "{path}");
        assert_eq!(get(&gateway.at(path), &gateway.auth()).await.status, 401, "{path} with a client's key");
    }
    let text = get(&gateway.at("/metrics"), &[("authorization", &key)]).await.text();
    for line in [
        r#"pollux_requests_total{dialect="responses",provider="codex",status="200"} 1"#,
        r#"pollux_attempts_total{provider="codex",verdict="served"} 1"#,
        r#"pollux_accounts{provider="codex",state="ready"} 1"#,
        "# TYPE pollux_request_seconds histogram",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    assert!(!text.contains(r#"pollux_tokens_total{kind="output",provider="codex"} 0"#), "{text}");
    let status = get(&gateway.at("/status"), &[("authorization", &key)]).await.json();
    assert_eq!(
        status["pools"][0],
        json!({"provider": "codex", "title": "Codex", "accounts": 1, "ready": 1, "cooling": 0})
    );
}

#[tokio::test]
async fn health_is_open_and_says_how_long_it_lives() {
    let gateway = Gateway::builder().start().await.unwrap();
    let health = get(&gateway.at("/healthz"), &[]).await;
    assert_eq!((health.status, health.json()["ok"].clone()), (200, json!(true)));
    assert!(health.json()["uptime_seconds"].is_u64());
    assert_eq!(get(&gateway.at("/readyz"), &[]).await.status, 200);
}

#[tokio::test]
async fn public_status_opens_the_numbers() {
    let gateway = Gateway::builder().config("[basic]\npublic_status = true").start().await.unwrap();
    assert_eq!(get(&gateway.at("/metrics"), &[]).await.status, 200);
    assert_eq!(get(&gateway.at("/admin/accounts"), &[]).await.status, 401);
}
