//! Google's Python SDK, which asks under `/v1` unless told otherwise.

use std::time::Duration;

use pollux_tests::simulator::google::Refusal;
use pollux_tests::simulator::{Fault, Injection, TOOL_OUTPUT};
use serde_json::{Value, json};

use super::stage::{Stage, installed, scenario};

fn served(method: &str, status: u16) -> String {
    format!("/geminicli/v1/models/gemini-2.5-flash:{method} {status}")
}

async fn play(stage: &Stage, name: &str) -> Option<Value> {
    let python = installed("google-genai (Python)", "venv/bin/python")?;
    Some(scenario(stage, &python, "google_sdk.py", "/geminicli", name).await)
}

#[tokio::test]
async fn the_google_sdk_takes_turns_whole_and_streamed() {
    let stage = Stage::set().await;
    let Some(unary) = play(&stage, "unary").await else { return };
    assert_eq!(unary["result"]["text"], "say PONG-7731");
    assert!(unary["result"]["tokens"].as_u64().is_some_and(|tokens| tokens > 0), "{unary}");
    let streamed = play(&stage, "stream").await.unwrap();
    assert_eq!(streamed["result"]["text"], "say PONG-7731");
    assert_eq!(streamed["result"]["chunks"].as_array().unwrap().len(), 3);
    stage.expect(&[&served("generateContent", 200), &served("streamGenerateContent?alt=sse", 200)]).await;
}

#[tokio::test]
async fn the_google_sdk_calls_a_function_by_itself_and_sends_its_result() {
    let stage = Stage::set().await;
    let Some(turn) = play(&stage, "tool").await else { return };
    assert_eq!(turn["result"]["asked"].as_array().unwrap().len(), 1);
    assert!(turn["result"]["text"].as_str().unwrap().contains(TOOL_OUTPUT), "{turn}");
    let sent = stage.simulator.record().last(":generateContent").unwrap().json();
    let last = sent["request"]["contents"].as_array().unwrap().last().unwrap().to_string();
    assert!(last.contains("functionResponse") && last.contains(TOOL_OUTPUT), "{last}");
}

#[tokio::test]
async fn the_google_sdk_counts_tokens_and_lists_models() {
    let stage = Stage::set().await;
    let Some(count) = play(&stage, "count").await else { return };
    assert!(count["result"].as_u64().is_some_and(|tokens| tokens > 0), "{count}");
    let models = play(&stage, "models").await.unwrap();
    let names = ["gemini-2.5-pro", "gemini-2.5-flash", "gemini-3.5-flash-lite", "gemini-3.8-flash"];
    assert_eq!(models["result"]["all"], json!(names.map(|name| format!("models/{name}"))));
    assert_eq!(models["result"]["one"], "models/gemini-2.5-flash");
}

#[tokio::test]
async fn the_google_sdk_is_told_what_is_not_there() {
    let stage = Stage::set().await;
    let Some(embedded) = play(&stage, "embed").await else { return };
    assert_eq!(
        (&embedded["error"]["class"], &embedded["error"]["code"]),
        (&json!("ServerError"), &json!(501))
    );
    let unknown = play(&stage, "unknown").await.unwrap();
    assert_eq!((&unknown["error"]["class"], &unknown["error"]["code"]), (&json!("ClientError"), &json!(404)));
    assert!(unknown["error"]["message"].as_str().unwrap().contains("gemini-2.5-pro"), "{unknown}");
}

#[tokio::test]
async fn the_google_sdk_raises_each_refusal_once() {
    let table = [
        (Refusal::QuotaExhausted(Duration::from_hours(3)), "ClientError", 429, "RESOURCE_EXHAUSTED"),
        (Refusal::RateLimited(Duration::from_secs(20)), "ClientError", 429, "RESOURCE_EXHAUSTED"),
        (Refusal::InvalidArgument("the moon is full".into()), "ClientError", 400, "INVALID_ARGUMENT"),
        (Refusal::TosViolation, "ServerError", 502, "UNAVAILABLE"),
    ];
    for (refusal, class, code, status) in table {
        let stage = Stage::with("[pool]\nacquire_timeout = \"100ms\"").await;
        stage.simulator.google().account("alice").refuse(Some(refusal));
        let Some(told) = play(&stage, "unary").await else { return };
        let error = &told["error"];
        assert_eq!(
            (&error["class"], &error["code"], &error["status"]),
            (&json!(class), &json!(code), &json!(status))
        );
        stage.expect(&[&served("generateContent", code)]).await;
    }
}

#[tokio::test]
async fn the_google_sdk_raises_when_a_stream_breaks() {
    let stage = Stage::set().await;
    stage.simulator.inject(Injection::new(Fault::EndAfter(1)).path(":streamGenerateContent"));
    let Some(streamed) = play(&stage, "stream").await else { return };
    let result = &streamed["result"];
    assert_eq!((&result["class"], &result["code"]), (&json!("ServerError"), &json!(502)), "{streamed}");
    assert!(result["message"].as_str().unwrap().contains("the answer broke off"), "{streamed}");
    assert_eq!(result["chunks"].as_array().unwrap().len(), 1);
}
