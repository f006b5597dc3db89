//! What was recorded stays: over restarts, on the way down, and when the process is killed.

use super::usage::{recorded, records};
use pollux_tests::kit::{Stage, wait_until};
use pollux_tests::simulator::{Fault, Injection};
use serde_json::{Value, json};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(30);
const BACKEND: &str = "/codex/responses";
/// More than records wait to be written.
const SECOND: Duration = Duration::from_secs(1);

async fn total(stage: &Stage) -> Value {
    stage.admin("GET", "/admin/usage", "").await.json()["total"].take()
}

#[tokio::test]
async fn nothing_is_lost_on_the_way_down() {
    let mut stage = Stage::start("[basic]\nshutdown_grace = \"1s\"", &["alice"], &["bob"]).await;
    for _ in 0..20 {
        assert_eq!(stage.gemini("x").await.status, 200);
    }
    // One stream comes to its end within the grace, another is cut off when it is over.
    stage.simulator.openai().script().set_pace(Duration::from_millis(20));
    let mut ending = stage.codex_stream("one two three").await;
    assert!(ending.next(LIMIT).await.is_some());
    stage.simulator.inject(Injection::new(Fault::SilenceAfter(6)).path(BACKEND));
    let mut cut = stage.codex_stream("one two three").await;
    assert!(cut.next(LIMIT).await.is_some());
    stage.gateway.signal_term().unwrap();
    ending.rest(LIMIT).await;
    cut.rest(LIMIT).await;
    assert_eq!(stage.gateway.wait_exit(LIMIT).await.and_then(|status| status.code()), Some(0));
    assert!(!stage.gateway.log().contains("could not be written down"));
    stage.gateway.restart().await.unwrap();
    let rows = records(&stage, 22).await;
    let ended = |verdict: &str| rows.iter().filter(|row| row["verdict"] == verdict).count();
    assert_eq!((ended("served"), ended("streamed")), (20, 1), "{rows:#?}");
    let whole = rows.iter().find(|row| row["verdict"] == "streamed").unwrap();
    assert!(whole["output_tokens"].as_u64().unwrap() > 0);
    assert_eq!(total(&stage).await["requests"], 22);
}

#[tokio::test]
async fn a_kill_costs_at_most_the_last_second() {
    let mut stage = Stage::start("", &["alice"], &[]).await;
    for _ in 0..10 {
        assert_eq!(stage.gemini("x").await.status, 200);
    }
    tokio::time::sleep(SECOND).await;
    stage.gateway.kill();
    stage.gateway.restart().await.unwrap();
    assert_eq!(recorded(&stage).await.len(), 10);
    assert_eq!(total(&stage).await["requests"], 10);
}

#[tokio::test]
async fn killed_again_and_again_nothing_is_counted_twice() {
    let mut stage = Stage::start("", &["alice"], &[]).await;
    let mut served = 0;
    for _ in 0..4 {
        for _ in 0..3 {
            assert_eq!(stage.gemini("x").await.status, 200);
            served += 1;
        }
        records(&stage, served).await;
        stage.gateway.kill();
        // What the last life wrote is summed up by the next one.
        stage.gateway.restart().await.unwrap();
        for group in ["day", "hour"] {
            let path = format!("/admin/usage?group={group}");
            let told =
                || async { stage.admin("GET", &path, "").await.json()["total"]["requests"] == json!(served) };
            assert!(wait_until(told, LIMIT).await, "{served} by {group}: {}", total(&stage).await);
        }
    }
    let rows = records(&stage, served).await;
    let tokens: u64 = rows.iter().filter_map(|row| row["input_tokens"].as_u64()).sum();
    assert_eq!(total(&stage).await["input_tokens"], tokens);
}

#[tokio::test]
async fn sums_stay_when_single_requests_are_forgotten() {
    let mut stage = Stage::start("[usage]\nkeep_raw = 0", &["alice"], &[]).await;
    for _ in 0..5 {
        assert_eq!(stage.gemini("x").await.status, 200);
    }
    let before = {
        records(&stage, 5).await;
        total(&stage).await
    };
    // Whole hours are forgotten: the one that is under way stays.
    stage.gateway.restart().await.unwrap();
    let told = || async { total(&stage).await == before };
    assert!(wait_until(told, LIMIT).await, "{before:#} {:#}", total(&stage).await);
    assert_eq!(total(&stage).await["requests"], 5);
}

#[tokio::test]
async fn use_is_still_told_when_its_account_is_gone() {
    let stage = Stage::start("", &["alice"], &[]).await;
    assert_eq!(stage.gemini("x").await.status, 200);
    records(&stage, 1).await;
    let id = stage.account("alice").await["id"].clone();
    assert_eq!(stage.admin("DELETE", &format!("/admin/accounts/{id}"), "").await.status, 200);
    let rows = stage.admin("GET", "/admin/usage?group=account", "").await.json()["rows"].take();
    assert_eq!((&rows[0]["account"], &rows[0]["account_label"]), (&id, &Value::Null), "{rows:#}");
    assert_eq!(rows[0]["requests"], 1);
}
