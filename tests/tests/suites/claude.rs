//! Claude: keys and logins, the Messages API through the pool, and what its refusals do.

mod accounts;
mod clients;
mod login;
mod relay;
mod rotation;

use std::time::Duration;

use pollux_tests::kit::{Answer, Stage, messages, post};
use serde_json::{Value, json};

/// Long enough for a slow machine with many tests at once.
const LIMIT: Duration = Duration::from_secs(30);
const HOUR: Duration = Duration::from_hours(1);
const MESSAGES: &str = "/v1/messages";
/// As the vendor's own program names itself.
const CLAUDE_CODE: (&str, &str) = ("user-agent", "claude-cli/2.1.329 (external, sdk-cli)");

/// A pool of these logins.
async fn logins(labels: &[&str]) -> Stage {
    logins_with("", labels).await
}

async fn logins_with(config: &str, labels: &[&str]) -> Stage {
    let stage = Stage::start(config, &[], &[]).await;
    let anthropic = stage.simulator.anthropic();
    let token = |label: &&str| json!({"refresh_token": anthropic.account(label).refresh_token()});
    stage.join("claude", &labels.iter().map(token).collect::<Vec<_>>()).await;
    stage
}

/// A pool of one key of each of these accounts.
async fn keys(labels: &[&str]) -> Stage {
    let stage = Stage::start("", &[], &[]).await;
    add_keys(&stage, labels).await;
    stage
}

async fn add_keys(stage: &Stage, labels: &[&str]) {
    let anthropic = stage.simulator.anthropic();
    let key = |label: &&str| json!({"api_key": anthropic.account(label).key()});
    stage.join("claude", &labels.iter().map(key).collect::<Vec<_>>()).await;
}

/// Asks with further headers.
async fn ask(stage: &Stage, headers: &[(&str, &str)], body: &Value) -> Answer {
    let headers = [&stage.gateway.auth()[..], headers].concat();
    post(&stage.gateway.at("/claude/v1/messages"), &headers, body).await
}

/// Asks as Claude Code does.
async fn ask_as_claude_code(stage: &Stage, text: &str) -> Answer {
    ask(stage, &[CLAUDE_CODE], &messages(text)).await
}

/// The text of a message.
fn said(answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["content"][0]["text"].as_str().unwrap_or_default().to_owned()
}

fn error(answer: &Answer) -> (u16, String, String) {
    let body = answer.json();
    assert_eq!(body["type"], "error", "{body}");
    let word = |key: &str| body["error"][key].as_str().unwrap_or_default().to_owned();
    (answer.status, word("type"), word("message"))
}
