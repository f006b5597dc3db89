//! Codex CLI with the gateway as a provider of its own: turns that end well.

use std::path::Path;

use pollux_tests::kit::{Program, Run};
use pollux_tests::simulator::{Fault, Injection, Received, TOOL_OUTPUT};
use serde_json::{Value, json};

use super::stage::{Stage, installed, play};

pub(super) const TURN: &str = "/codex/v1/responses 200";

/// The quiet form: nothing but the turn itself leaves the CLI.
pub(super) fn config(stage: &Stage, model: &str, provider: &str) -> String {
    format!(
        r#"
        model = "{model}"
        model_provider = "pollux"
        approval_policy = "never"
        sandbox_mode = "danger-full-access"
        check_for_update_on_startup = false
        [model_providers.pollux]
        name = "pollux"
        base_url = "{}"
        wire_api = "responses"
        env_key = "POLLUX_KEY"
        request_max_retries = 1
        stream_max_retries = 1
        {provider}
        [features]
        plugins = false
        apps = false
        [analytics]
        enabled = false
        "#,
        stage.gateway.at("/codex/v1")
    )
}

pub(super) fn cli() -> Option<std::path::PathBuf> {
    installed("Codex CLI", "node_modules/.bin/codex")
}

pub(super) fn program(codex: &Path, stage: &Stage, config: &str, prompt: &str) -> Program {
    let program = Program::new(codex).and_then(|program| program.file(".codex/config.toml", config));
    let program = program.expect("a home can be made").env("POLLUX_KEY", stage.gateway.key());
    program.arg("exec").arg("--skip-git-repo-check").arg(prompt)
}

async fn turn(codex: &Path, stage: &Stage, model: &str, prompt: &str) -> Run {
    let run = play(program(codex, stage, &config(stage, model, ""), prompt)).await;
    assert_eq!(run.code, Some(0), "{}", run.text());
    run
}

#[tokio::test]
async fn codex_takes_a_turn_with_one_request_and_prints_the_answer_once() {
    let Some(codex) = cli() else { return };
    let stage = Stage::set().await;
    let run = turn(&codex, &stage, "gpt-5.6-sol", "say PONG-7731").await;
    assert_eq!(run.stdout.matches("say PONG-7731").count(), 1, "{}", run.text());
    assert!(!run.text().contains("rerouted"), "{}", run.text());
    stage.expect(&[TURN]).await;
    let sent = stage.simulator.record().last("/responses").unwrap();
    assert_eq!(sent.account.as_deref(), Some("bob"));
    assert_eq!(sent.header("originator"), Some("codex_exec"));
    // What the vendor's own tool says of itself is not ours to drop.
    assert_eq!(sent.header("x-openai-internal-codex-responses-lite"), Some("true"));
    assert_eq!(sent.json()["input"][0]["type"], "additional_tools");
}

/// The outputs of tools in a request.
fn outputs(body: &Value) -> Vec<(&str, String)> {
    let items = body["input"].as_array().into_iter().flatten();
    let kinds = ["function_call_output", "custom_tool_call_output"];
    items
        .filter_map(|item| Some((item["type"].as_str().filter(|kind| kinds.contains(kind))?, item)))
        .map(|(kind, item)| (kind, item["output"].to_string()))
        .collect()
}

/// Asks for a tool and gives back what the second request said of it.
async fn tool_turn(model: &str, kind: &str) {
    let Some(codex) = cli() else { return };
    let stage = Stage::set().await;
    let run = turn(&codex, &stage, model, "use TOOL: please").await;
    assert!(run.stdout.contains(TOOL_OUTPUT), "{}", run.text());
    stage.expect(&[TURN, TURN]).await;
    let sent: Vec<Value> = stage.simulator.record().on("/responses").iter().map(Received::json).collect();
    assert_eq!(outputs(&sent[0]), []);
    let outputs = outputs(&sent[1]);
    assert_eq!((outputs.len(), outputs[0].0), (1, kind), "{outputs:?}");
    assert!(outputs[0].1.contains(TOOL_OUTPUT), "{outputs:?}");
}

#[tokio::test]
async fn codex_runs_a_freeform_tool_and_sends_its_output() {
    tool_turn("gpt-5.6-sol", "custom_tool_call_output").await;
}

#[tokio::test]
async fn codex_runs_a_function_tool_and_sends_its_output() {
    tool_turn("gpt-5.2-codex", "function_call_output").await;
}

#[tokio::test]
async fn codex_never_sees_a_failure_that_the_gateway_can_repeat() {
    let Some(codex) = cli() else { return };
    let stage = Stage::set().await;
    let busy =
        json!({"error": {"message": "busy", "type": "service_unavailable_error", "code": "slow_down"}});
    stage.simulator.inject(Injection::new(Fault::json(503, &busy)).path("/responses").times(2));
    let run = turn(&codex, &stage, "gpt-5.6-sol", "say PONG-7731").await;
    assert!(!run.stderr.contains("Reconnecting"), "{}", run.text());
    stage.expect(&[TURN]).await;
    assert_eq!(stage.simulator.record().count("/responses"), 3);
}

/// What a socket leaves in the log: its answers, and itself when it is over.
const SOCKET: &str = "/codex/v1/responses 101";

#[tokio::test]
async fn codex_takes_a_turn_over_a_socket() {
    let Some(codex) = cli() else { return };
    let stage = Stage::set().await;
    let config = config(&stage, "gpt-5.6-sol", "supports_websockets = true");
    let run = play(program(&codex, &stage, &config, "say PONG-7731")).await;
    assert_eq!(run.code, Some(0), "{}", run.text());
    assert_eq!(run.stdout.matches("say PONG-7731").count(), 1, "{}", run.text());
    // A prewarm and the turn itself.
    stage.expect(&[TURN, TURN, SOCKET]).await;
    let requests = stage.simulator.record().on("/codex/responses");
    let methods: Vec<_> = requests.iter().map(|one| one.method.as_str()).collect();
    assert_eq!(methods, ["GET", "FRAME", "FRAME"], "no fallback to HTTP");
    assert_eq!(requests[0].header("openai-beta"), Some("responses_websockets=2026-02-06"));
    assert_eq!(requests[0].header("originator"), Some("codex_exec"));
    assert_eq!(requests[1].json()["generate"], false);
    assert!(requests[2].json()["previous_response_id"].is_string());
    assert!(stage.simulator.openai().sockets()[0].compressed > 0, "upstream's own way to compress");
}

#[tokio::test]
async fn codex_runs_a_tool_over_a_socket() {
    let Some(codex) = cli() else { return };
    let stage = Stage::set().await;
    let config = config(&stage, "gpt-5.6-sol", "supports_websockets = true");
    let run = play(program(&codex, &stage, &config, "use TOOL: please")).await;
    assert_eq!(run.code, Some(0), "{}", run.text());
    assert!(run.stdout.contains(TOOL_OUTPUT), "{}", run.text());
    stage.expect(&[TURN, TURN, TURN, SOCKET]).await;
    let frames = stage.simulator.record().on("/codex/responses");
    let last = frames.last().unwrap().json();
    let outputs = outputs(&last);
    assert_eq!((outputs.len(), outputs[0].0), (1, "custom_tool_call_output"), "{outputs:?}");
    assert!(outputs[0].1.contains(TOOL_OUTPUT), "{outputs:?}");
}

#[tokio::test]
async fn codex_that_prefers_sockets_falls_back_to_http_at_once() {
    let Some(codex) = cli() else { return };
    let stage = Stage::set().await;
    stage.simulator.openai().habits(|habits| habits.sockets = false);
    let config = config(&stage, "gpt-5.6-sol", "supports_websockets = true");
    let run = play(program(&codex, &stage, &config, "say PONG-7731")).await;
    assert_eq!(run.code, Some(0), "{}", run.text());
    assert!(run.stdout.contains("PONG-7731"), "{}", run.text());
    stage.expect(&["/codex/v1/responses 426", TURN]).await;
}

#[tokio::test]
async fn codex_with_a_login_sends_compressed_bodies_and_reads_our_models() {
    let Some(codex) = cli() else { return };
    let stage = Stage::set().await;
    // Only without a socket it sends bodies at all.
    stage.simulator.openai().habits(|habits| habits.sockets = false);
    // A login whose access token is our key: the CLI then talks as it does to its vendor.
    let account = stage.simulator.openai().account("bob");
    let login = json!({
        "auth_mode": "chatgpt", "OPENAI_API_KEY": null, "last_refresh": "2026-11-20T00:00:00Z",
        "tokens": {
            "id_token": account.id_token(), "access_token": stage.gateway.key(), "refresh_token": "none",
            "account_id": account.account_id(),
        },
    });
    let config = config(&stage, "gpt-5.6-sol", "");
    let (config, _) = config.split_once("[model_providers").unwrap();
    let config = config.replace("model_provider = \"pollux\"", "");
    let config = format!(
        "openai_base_url = \"{}\"\nchatgpt_base_url = \"{}\"\n{config}\n[features]\nplugins = false\napps = false\n\
         [analytics]\nenabled = false\n",
        stage.gateway.at("/codex/v1"),
        stage.gateway.at("/backend-api"),
    );
    let program = program(&codex, &stage, &config, "say PONG-7731");
    let run = play(program.file(".codex/auth.json", &login.to_string()).unwrap()).await;
    assert_eq!(run.code, Some(0), "{}", run.text());
    assert!(run.stdout.contains("PONG-7731"), "{}", run.text());
    let log = stage.gateway.log();
    assert!(log.contains("/codex/v1/models?client_version=0.169.0"), "{}", log.text());
    let requests = stage.simulator.record().on("/backend-api/codex/responses");
    let methods: Vec<_> = requests.iter().map(|one| one.method.as_str()).collect();
    assert_eq!(methods, ["GET", "POST"]);
}
