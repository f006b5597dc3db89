//! The JavaScript SDKs of both vendors.

use pollux_tests::simulator::{Fault, Injection};
use serde_json::{Value, json};

use super::stage::{Stage, installed, scenario};

async fn play(stage: &Stage, package: &str, prefix: &str, name: &str) -> Option<Value> {
    installed(package, &format!("node_modules/{package}/package.json"))?;
    Some(scenario(stage, "node".as_ref(), "sdks.cjs", prefix, name).await)
}

#[tokio::test]
async fn openais_javascript_sdk_takes_turns_and_lists_models() {
    let stage = Stage::set().await;
    let Some(told) = play(&stage, "openai", "/codex/v1", "openai").await else { return };
    let wanted = json!({"unary": "say PONG-7731", "stream": "say PONG-7731", "models": ["gpt-5.6-sol", "gpt-5.2-codex"]});
    assert_eq!(told["result"], wanted, "{told}");
}

#[tokio::test]
async fn googles_javascript_sdk_takes_turns_counts_and_lists_models() {
    let stage = Stage::set().await;
    let Some(told) = play(&stage, "@google/genai", "/geminicli", "google").await else { return };
    let result = &told["result"];
    assert_eq!(
        (&result["unary"], &result["stream"]),
        (&json!("say PONG-7731"), &json!("say PONG-7731")),
        "{told}"
    );
    assert!(result["tokens"].as_u64().is_some_and(|tokens| tokens > 0), "{told}");
    assert_eq!(result["models"].as_array().unwrap().len(), 4);
}

#[tokio::test]
async fn googles_javascript_sdk_raises_when_a_stream_breaks() {
    let stage = Stage::set().await;
    stage.simulator.inject(Injection::new(Fault::EndAfter(1)).path(":streamGenerateContent"));
    let Some(told) = play(&stage, "@google/genai", "/geminicli", "broken").await else { return };
    assert_eq!(
        (&told["error"]["name"], &told["error"]["status"]),
        (&json!("ApiError"), &json!(502)),
        "{told}"
    );
}
