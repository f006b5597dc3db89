//! `OpenAI`'s Python SDK.

use std::time::Duration;

use pollux_tests::simulator::openai::Refusal;
use pollux_tests::simulator::{Fault, Injection, TOOL_OUTPUT};
use serde_json::{Value, json};

use super::stage::{Stage, installed, scenario};

const QUICK: &str = "[pool]\nacquire_timeout = \"100ms\"";

fn served(status: u16) -> String {
    format!("/codex/v1/responses {status}")
}

async fn play(stage: &Stage, name: &str) -> Option<Value> {
    let python = installed("openai (Python)", "venv/bin/python")?;
    Some(scenario(stage, &python, "openai_sdk.py", "/codex/v1", name).await)
}

#[tokio::test]
async fn the_openai_sdk_takes_turns_whole_and_streamed() {
    let stage = Stage::set().await;
    let Some(unary) = play(&stage, "unary").await else { return };
    assert_eq!(unary["result"]["text"], "say PONG-7731");
    assert_eq!(unary["result"]["status"], "completed");
    assert!(unary["result"]["tokens"].as_u64().is_some_and(|tokens| tokens > 0), "{unary}");
    let streamed = play(&stage, "stream").await.unwrap();
    assert_eq!(streamed["result"]["text"], "say PONG-7731");
    let types = streamed["result"]["types"].as_array().unwrap();
    assert_eq!(types.last().unwrap(), "response.completed");
    stage.expect(&[&served(200), &served(200)]).await;
}

#[tokio::test]
async fn the_openai_sdk_calls_a_tool_and_sends_its_output() {
    let stage = Stage::set().await;
    let Some(turn) = play(&stage, "tool").await else { return };
    assert_eq!(turn["result"]["called"], "get_weather");
    assert!(turn["result"]["arguments"]["city"].is_string(), "{turn}");
    assert!(turn["result"]["text"].as_str().unwrap().contains(TOOL_OUTPUT), "{turn}");
    let sent = stage.simulator.record().last("/responses").unwrap().json();
    let output = sent["input"].as_array().unwrap().last().unwrap().clone();
    assert_eq!(output["output"], format!("it is {TOOL_OUTPUT} degrees"));
}

#[tokio::test]
async fn the_openai_sdk_gets_json_of_its_schema_and_lists_models() {
    let stage = Stage::set().await;
    let Some(answer) = play(&stage, "schema").await else { return };
    assert_eq!(answer, json!({"result": {"answer": 42}}));
    let models = play(&stage, "models").await.unwrap();
    assert_eq!(models, json!({"result": ["gpt-5.6-sol", "gpt-5.2-codex"]}));
}

/// A turn that the account refuses, and the error the SDK raises.
async fn refused(refusal: Refusal) -> Option<(Stage, Value)> {
    let stage = Stage::with(QUICK).await;
    stage.simulator.openai().account("bob").refuse(Some(refusal));
    let told = play(&stage, "unary").await?;
    Some((stage, told["error"].clone()))
}

#[tokio::test]
async fn the_openai_sdk_repeats_a_429_that_passes_twice() {
    let Some((stage, error)) = refused(Refusal::RateLimited(Some(1))).await else { return };
    assert_eq!((&error["class"], &error["status"]), (&json!("RateLimitError"), &json!(429)), "{error}");
    stage.expect(&[&served(429), &served(429), &served(429)]).await;
}

#[tokio::test]
async fn the_openai_sdk_does_not_repeat_a_usage_limit() {
    let Some((stage, error)) = refused(Refusal::UsageLimitReached(Duration::from_hours(3))).await else {
        return;
    };
    assert_eq!((&error["class"], &error["status"]), (&json!("RateLimitError"), &json!(429)), "{error}");
    assert!(error["message"].as_str().unwrap().contains("The usage limit has been reached"), "{error}");
    stage.expect(&[&served(429)]).await;
    // The pool rests; its own word is as final.
    let rested = play(&stage, "unary").await.unwrap();
    assert_eq!(rested["error"]["class"], "RateLimitError");
    stage.expect(&[&served(429), &served(429)]).await;
}

#[tokio::test]
async fn the_openai_sdk_raises_a_bad_request_with_the_vendors_words() {
    let refusal = Refusal::Invalid("invalid_value".into(), "the moon is full".into(), Some("input".into()));
    let Some((stage, error)) = refused(refusal).await else { return };
    assert_eq!(
        (&error["class"], &error["code"]),
        (&json!("BadRequestError"), &json!("invalid_value")),
        "{error}"
    );
    assert!(error["message"].as_str().unwrap().contains("the moon is full"), "{error}");
    stage.expect(&[&served(400)]).await;
}

#[tokio::test]
async fn the_openai_sdk_raises_an_upstream_401_as_a_server_error() {
    let Some((_stage, error)) = refused(Refusal::AccountDeactivated).await else { return };
    assert_eq!(error["class"], "InternalServerError", "{error}");
}

#[tokio::test]
async fn the_openai_sdk_sees_that_a_stream_broke() {
    let stage = Stage::set().await;
    stage.simulator.inject(Injection::new(Fault::Truncate(2500)).path("/responses"));
    let Some(streamed) = play(&stage, "stream").await else { return };
    let types = streamed["result"]["types"].as_array().unwrap_or_else(|| panic!("{streamed}"));
    assert_eq!(types.last().unwrap(), "response.failed");
}
