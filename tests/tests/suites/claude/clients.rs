//! Claude Code and Anthropic's SDKs, pinned by tests/clients, against a real gateway and the simulated vendor.

use std::path::{Path, PathBuf};

use pollux_tests::kit::{Program, Run};
use pollux_tests::simulator::anthropic::Refusal;
use pollux_tests::simulator::{Fault, Injection, TOOL_OUTPUT};
use serde_json::{Value, json};

use super::super::clients::stage::{Stage, installed, play, scenario};
use super::MESSAGES;

const QUICK: &str = "[pool]\nacquire_timeout = \"100ms\"\n[providers.defaults]\nretry_max_times = 0";
const TURN: &str = "/claude/v1/messages?beta=true";

/// A gateway with one login of Anthropic's beside what every client's test has.
async fn stage(config: &str) -> Stage {
    let stage = Stage::with(config).await;
    let cleo = stage.simulator.anthropic().account("cleo").only_claude_code();
    stage.join("claude", &[json!({"refresh_token": cleo.refresh_token()})]).await;
    stage
}

fn cli() -> Option<PathBuf> {
    installed("Claude Code", "node_modules/.bin/claude")
}

async fn turn(claude: &Path, stage: &Stage, prompt: &str) -> Run {
    turn_at(claude, stage, "/claude", prompt).await
}

async fn turn_at(claude: &Path, stage: &Stage, base: &str, prompt: &str) -> Run {
    let program = Program::new(claude).expect("a home can be made");
    let program = program.env("ANTHROPIC_BASE_URL", stage.gateway.at(base));
    let program = program.env("ANTHROPIC_AUTH_TOKEN", stage.gateway.key());
    let program =
        program.env("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1").env("CLAUDE_CODE_MAX_RETRIES", "2");
    let program = program.arg("-p").arg(prompt).arg("--model").arg("claude-opus-5-5");
    play(program.arg("--allowedTools").arg("Bash(echo:*)")).await
}

fn answered(status: u16) -> String {
    format!("{TURN} {status}")
}

#[tokio::test]
async fn claude_code_takes_a_turn_with_one_request() {
    let Some(claude) = cli() else { return };
    let stage = stage("").await;
    let run = turn(&claude, &stage, "say PONG-7731").await;
    assert_eq!(run.code, Some(0), "{}", run.text());
    assert_eq!(run.stdout.matches("PONG-7731").count(), 1, "{}", run.text());
    stage.expect(&[&answered(200)]).await;
    let sent = stage.simulator.record().last(MESSAGES).unwrap();
    assert_eq!(sent.account.as_deref(), Some("cleo"));
    assert!(sent.header("user-agent").unwrap().starts_with("claude-cli/"), "{:?}", sent.headers);
    let betas = sent.header("anthropic-beta").unwrap();
    assert!(betas.starts_with("claude-code-20250219,") && betas.ends_with(",oauth-2025-04-20"), "{betas}");
}

#[tokio::test]
async fn claude_code_needs_nothing_but_the_address() {
    let Some(claude) = cli() else { return };
    let stage = stage("").await;
    let run = turn_at(&claude, &stage, "", "use TOOL:Bash please").await;
    assert_eq!(run.code, Some(0), "{}", run.text());
    assert!(run.stdout.contains(TOOL_OUTPUT), "{}", run.text());
    stage.expect(&["/v1/messages?beta=true 200"; 2]).await;
}

#[tokio::test]
async fn claude_code_runs_a_tool_and_sends_its_output() {
    let Some(claude) = cli() else { return };
    let stage = stage("").await;
    let run = turn(&claude, &stage, "use TOOL:Bash please").await;
    assert_eq!(run.code, Some(0), "{}", run.text());
    assert!(run.stdout.contains(TOOL_OUTPUT), "{}", run.text());
    stage.expect(&[&answered(200), &answered(200)]).await;
    let sent = stage.simulator.record().last(MESSAGES).unwrap().json();
    let messages = sent["messages"].as_array().unwrap();
    let blocks = messages.iter().flat_map(|message| message["content"].as_array().into_iter().flatten());
    let result: Vec<&Value> = blocks.filter(|block| block["type"] == "tool_result").collect();
    assert!(result.len() == 1 && result[0].to_string().contains(TOOL_OUTPUT), "{result:?}");
}

#[tokio::test]
async fn claude_code_ends_with_the_vendors_words_where_it_cannot_go_on() {
    let Some(claude) = cli() else { return };
    let stage = stage("").await;
    let refusal = Refusal::Invalid("the moon is full".into());
    stage.simulator.anthropic().account("cleo").refuse(Some(refusal));
    let run = turn(&claude, &stage, "say PONG-7731").await;
    assert_ne!(run.code, Some(0), "{}", run.text());
    assert!(run.text().contains("the moon is full"), "{}", run.text());
    // It tries again with less in its request each time; we add nothing to that.
    let once = answered(400);
    stage.expect(&vec![once.as_str(); stage.simulator.record().count(MESSAGES)]).await;
}

#[tokio::test]
async fn claude_code_repeats_what_passes_as_often_as_it_is_told_to() {
    let Some(claude) = cli() else { return };
    for (refusal, status) in [(Refusal::RateLimited(Some(1)), 429), (Refusal::Overloaded, 529)] {
        let stage = stage(QUICK).await;
        stage.simulator.anthropic().account("cleo").refuse(Some(refusal));
        let run = turn(&claude, &stage, "say PONG-7731").await;
        assert_ne!(run.code, Some(0), "{}", run.text());
        let once = answered(status);
        stage.expect(&[&once, &once, &once]).await;
    }
}

#[tokio::test]
async fn claude_code_does_not_repeat_what_is_used_up_for_hours() {
    let Some(claude) = cli() else { return };
    let stage = stage(QUICK).await;
    stage.simulator.anthropic().account("cleo").refuse(Some(Refusal::UsedUp(super::HOUR)));
    let run = turn(&claude, &stage, "say PONG-7731").await;
    assert_ne!(run.code, Some(0), "{}", run.text());
    stage.expect(&[&answered(429)]).await;
}

#[tokio::test]
async fn claude_code_falls_back_to_one_document_where_streams_break() {
    let Some(claude) = cli() else { return };
    let stage = stage(QUICK).await;
    // Each of the streams, and then the document is whole.
    stage
        .simulator
        .inject(Injection::new(Fault::EndAfter(5)).containing("\"stream\":true").path(MESSAGES).always());
    let run = turn(&claude, &stage, "say PONG-7731").await;
    assert_eq!(run.code, Some(0), "{}", run.text());
    assert!(run.stdout.contains("PONG-7731"), "{}", run.text());
    let last = stage.simulator.record().last(MESSAGES).unwrap();
    assert_ne!(last.json()["stream"], true);
}

/// A gateway with one key, and a scenario of the Python SDK.
async fn sdk(config: &str) -> Option<(Stage, PathBuf)> {
    let python = installed("anthropic (Python)", "venv/bin/python")?;
    let stage = Stage::with(config).await;
    let key = stage.simulator.anthropic().account("cleo").key();
    stage.join("claude", &[json!({"api_key": key})]).await;
    Some((stage, python))
}

async fn run(stage: &Stage, python: &Path, name: &str) -> Value {
    scenario(stage, python, "anthropic_sdk.py", "/claude", name).await
}

fn served(status: u16) -> String {
    format!("/claude/v1/messages {status}")
}

#[tokio::test]
async fn the_anthropic_sdk_takes_turns_whole_and_streamed() {
    let Some((stage, python)) = sdk("").await else { return };
    let unary = run(&stage, &python, "unary").await;
    assert_eq!(
        (&unary["result"]["text"], &unary["result"]["stop"]),
        (&json!("say PONG-7731"), &json!("end_turn"))
    );
    let streamed = run(&stage, &python, "stream").await;
    assert_eq!(streamed["result"]["text"], "say PONG-7731");
    assert!(streamed["result"]["tokens"].as_u64().is_some_and(|tokens| tokens > 0), "{streamed}");
    stage.expect(&[&served(200), &served(200)]).await;
    let sent = stage.simulator.record().last(MESSAGES).unwrap();
    assert!(sent.header("user-agent").unwrap().starts_with("Anthropic/Python"), "{:?}", sent.headers);
    assert!(sent.header("anthropic-version").is_some() && sent.header("x-api-key").is_some());
}

#[tokio::test]
async fn the_anthropic_sdk_calls_a_tool_counts_and_lists() {
    let Some((stage, python)) = sdk("").await else { return };
    let tool = run(&stage, &python, "tool").await;
    assert_eq!(tool["result"]["called"], "get_weather", "{tool}");
    assert!(tool["result"]["text"].as_str().unwrap().contains(TOOL_OUTPUT), "{tool}");
    let counted = run(&stage, &python, "count").await;
    assert!(counted["result"].as_u64().is_some_and(|tokens| tokens > 0), "{counted}");
    let models = run(&stage, &python, "models").await;
    assert_eq!(models["result"]["all"], json!(["claude-opus-5-5", "claude-haiku-5-5", "claude-haiku-4-5"]));
    assert_eq!(models["result"]["one"], "claude-haiku-5-5");
}

#[tokio::test]
async fn the_anthropic_sdk_raises_what_the_vendor_says_and_repeats_what_passes() {
    for (refusal, class, status, requests) in [
        (Refusal::RateLimited(Some(1)), "RateLimitError", 429, 3),
        (Refusal::UsedUp(super::HOUR), "RateLimitError", 429, 1),
        (Refusal::Overloaded, "OverloadedError", 529, 3),
        (Refusal::Invalid("the moon is full".into()), "BadRequestError", 400, 1),
    ] {
        let Some((stage, python)) = sdk(QUICK).await else { return };
        stage.simulator.anthropic().account("cleo").refuse(Some(refusal));
        let told = run(&stage, &python, "unary").await["error"].take();
        assert_eq!((&told["class"], &told["status"]), (&json!(class), &json!(status)), "{told}");
        let once = served(status);
        stage.expect(&vec![once.as_str(); requests]).await;
    }
}

#[tokio::test]
async fn the_anthropic_sdk_raises_an_error_where_a_stream_breaks() {
    let Some((stage, python)) = sdk("").await else { return };
    stage.simulator.inject(Injection::new(Fault::EndAfter(5)).path(MESSAGES));
    let told = run(&stage, &python, "stream").await;
    assert!(told["error"]["class"].is_string(), "{told}");
}

#[tokio::test]
async fn the_javascript_sdk_takes_turns_counts_and_lists() {
    let Some((stage, _)) = sdk("").await else { return };
    if installed("@anthropic-ai/sdk", "node_modules/@anthropic-ai/sdk").is_none() {
        return;
    }
    let seen = scenario(&stage, Path::new("node"), "sdks.cjs", "/claude", "anthropic").await["result"].take();
    assert_eq!(
        (&seen["unary"], &seen["stream"]),
        (&json!("say PONG-7731"), &json!("say PONG-7731")),
        "{seen}"
    );
    assert!(seen["tokens"].as_u64().is_some_and(|tokens| tokens > 0), "{seen}");
    assert_eq!(seen["models"][0], "claude-opus-5-5");
}
