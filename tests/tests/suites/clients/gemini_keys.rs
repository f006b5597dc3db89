//! Google's SDKs against the pool of Gemini API keys.

use pollux_tests::kit::{post, wait_until};
use serde_json::{Value, json};
use std::time::Duration;

use super::stage::{Stage, installed, scenario};

const LIMIT: Duration = Duration::from_secs(30);

/// A stage with a key beside its logins.
async fn set() -> Stage {
    let stage = Stage::set().await;
    let entry = json!([{"api_key": stage.simulator.google().key("ann").text()}]);
    let added = post(&stage.gateway.at("/gemini/resource:add"), &stage.gateway.auth(), &entry).await;
    assert_eq!(added.status, 202, "{}", added.text());
    // Alice, bob and the key.
    let pooled = || std::future::ready(stage.gateway.log().count("account is in the pool") == 3);
    assert!(wait_until(pooled, LIMIT).await);
    stage
}

async fn python(stage: &Stage, name: &str) -> Option<Value> {
    let python = installed("google-genai (Python)", "venv/bin/python")?;
    Some(scenario(stage, &python, "google_sdk.py", "/gemini", name).await)
}

#[tokio::test]
async fn the_google_sdk_works_with_pooled_keys() {
    let stage = set().await;
    let Some(unary) = python(&stage, "unary").await else { return };
    assert_eq!(unary["result"]["text"], "say PONG-7731", "{unary}");
    let streamed = python(&stage, "stream").await.unwrap();
    assert_eq!(streamed["result"]["text"], "say PONG-7731", "{streamed}");
    assert_eq!(streamed["result"]["chunks"].as_array().unwrap().len(), 3);
    let tool = python(&stage, "tool").await.unwrap();
    assert_eq!(tool["result"]["asked"].as_array().unwrap().len(), 1, "{tool}");
    let count = python(&stage, "count").await.unwrap();
    assert!(count["result"].as_u64().is_some_and(|tokens| tokens > 0), "{count}");
    let unknown = python(&stage, "unknown").await.unwrap();
    assert_eq!(unknown["error"]["code"], 404, "{unknown}");
    let sent = stage.simulator.record().on(":generateContent");
    assert!(sent.iter().all(|one| one.path.starts_with("/v1/models/")), "the SDK's own version");
    assert!(sent.iter().all(|one| one.account.as_deref() == Some("ann")));
    assert!(sent[0].header("user-agent").is_some_and(|agent| agent.starts_with("google-genai-sdk")));
}

#[tokio::test]
async fn the_google_sdk_embeds_and_lists_with_pooled_keys() {
    let stage = set().await;
    let Some(models) = python(&stage, "models").await else { return };
    assert_eq!(models["result"]["one"], "models/gemini-2.5-flash", "{models}");
    assert!(models["result"]["all"].to_string().contains("models/gemini-embedding-001"), "{models}");
    let embedded = python(&stage, "embed_one").await.unwrap();
    assert_eq!(embedded["result"], 3, "{embedded}");
}

#[tokio::test]
async fn googles_javascript_sdk_works_with_pooled_keys() {
    let stage = set().await;
    if installed("@google/genai", "node_modules/@google/genai/package.json").is_none() {
        return;
    }
    let told = scenario(&stage, "node".as_ref(), "sdks.cjs", "/gemini", "google").await;
    let result = &told["result"];
    assert_eq!(
        (&result["unary"], &result["stream"]),
        (&json!("say PONG-7731"), &json!("say PONG-7731")),
        "{told}"
    );
    assert!(result["models"].as_array().unwrap().len() > 4, "{told}");
}
