//! Models that rest together: Gcli-Nexus' "big" and "tiny", and groups of one's own.

use pollux_tests::kit::{Answer, Builder, Gateway, Stage, contents};
use pollux_tests::simulator::{Fault, Injection, Reply, Simulator, google};
use serde_json::json;
use std::time::Duration;

const HOUR: Duration = Duration::from_hours(1);
const LIMIT: Duration = Duration::from_secs(30);
const PRO: &str = "gemini-2.5-pro";
const FLASH: &str = "gemini-2.5-flash";
const PREVIEW: &str = "gemini-3-pro-preview";

async fn ask(stage: &Stage, model: &str) -> Answer {
    stage.post(&format!("/geminicli/v1beta/models/{model}:generateContent"), &contents("PING")).await
}

/// One account, whose allowance for a model is used up.
async fn used_up(builder: Builder, model: &str) -> Stage {
    let simulator = Simulator::start();
    simulator.google().account("alice").quota(Some(model), 0, google::Refusal::QuotaExhausted(HOUR));
    let stage = Stage::with(simulator, builder, &["alice"], &[]).await;
    assert_eq!(ask(&stage, model).await.status, 429);
    stage
}

/// Which models of the account rest, by name.
async fn resting(stage: &Stage) -> Vec<String> {
    let account = stage.account("alice").await;
    let cooling = account["cooling"].as_array().unwrap();
    let mut models: Vec<_> =
        cooling.iter().map(|rest| rest["model"].as_str().unwrap_or("all").to_owned()).collect();
    models.sort();
    models
}

#[tokio::test]
async fn without_groups_each_model_rests_alone() {
    let stage = used_up(Gateway::builder(), FLASH).await;
    assert_eq!(resting(&stage).await, [FLASH]);
    for model in [PRO, PREVIEW] {
        assert_eq!(ask(&stage, model).await.status, 200, "{model}");
    }
}

#[tokio::test]
async fn a_tiny_model_at_its_limit_leaves_the_big_ones_alone() {
    let builder = Gateway::builder().env("BIGMODEL_LIST", r#"["gemini-2.5-pro"]"#);
    let stage = used_up(builder, FLASH).await;
    let before = stage.generated().len();
    assert_eq!(ask(&stage, PREVIEW).await.status, 429, "the tiny ones rest together");
    assert_eq!(stage.generated().len(), before, "nobody was asked");
    assert_eq!(ask(&stage, PRO).await.status, 200);
    assert_eq!(resting(&stage).await, [FLASH, PREVIEW]);
}

#[tokio::test]
async fn a_big_model_at_its_limit_leaves_the_tiny_ones_alone() {
    let builder = Gateway::builder().env("BIGMODEL_LIST", r#"["gemini-2.5-pro"]"#);
    let stage = used_up(builder, PRO).await;
    for model in [FLASH, PREVIEW] {
        assert_eq!(ask(&stage, model).await.status, 200, "{model}");
    }
}

#[tokio::test]
async fn a_groups_rest_survives_a_restart_and_ends_as_a_whole_by_its_owners_word() {
    let groups = format!("[[pool.groups]]\nname = \"fast\"\nmodels = [\"{PREVIEW}\", \"{FLASH}\"]\n");
    let mut stage = used_up(Gateway::builder().config(&groups), FLASH).await;
    // What is noted is written down at the latest when it ends.
    stage.gateway.terminate(LIMIT).await.expect("it ends");
    stage.gateway.restart().await.unwrap();
    assert_eq!(resting(&stage).await, [FLASH, PREVIEW]);
    assert_eq!(ask(&stage, PREVIEW).await.status, 429);
    assert_eq!(ask(&stage, PRO).await.status, 200);
    let id = stage.account("alice").await["id"].clone();
    assert_eq!(stage.admin("POST", &format!("/admin/accounts/{id}/forget-cooldown"), "").await.status, 200);
    assert_eq!(ask(&stage, PREVIEW).await.status, 200);
    stage.gateway.restart().await.unwrap();
    assert_eq!(resting(&stage).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_429_keeps_upstreams_body_and_headers_once_the_pool_cannot_help() {
    let stage = Stage::start("", &["alice", "dave"], &[]).await;
    let body = br#"{ "error" : {"code":429, "status":"RESOURCE_EXHAUSTED",  "message":"slow down"} }"#;
    let reply = Reply::whole(429, "application/json", &body[..])
        .with("x-cloudaicompanion-trace-id", "trace-of-the-tests")
        .with("retry-after", "17");
    stage.simulator.inject(Injection::new(Fault::Answer(reply)).path(":generateContent").always());
    let answer = ask(&stage, PRO).await;
    assert_eq!(answer.status, 429);
    assert_eq!(answer.body, &body[..], "byte for byte");
    assert_eq!(answer.header("x-cloudaicompanion-trace-id"), Some("trace-of-the-tests"));
    assert!(answer.header("retry-after").is_some());
    assert_eq!(stage.generated().len(), 2, "each account was tried");
}

#[tokio::test]
async fn a_pool_without_accounts_is_no_available_credential() {
    let stage = Stage::start("", &[], &[]).await;
    let answer = ask(&stage, PRO).await;
    assert_eq!(answer.status, 503);
    assert!(answer.text().contains("no available credential"), "{}", answer.text());
    assert_eq!(answer.json()["error"]["code"], json!(503));
}
