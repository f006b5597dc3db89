//! Gemini CLI that believes to talk to Code Assist, in both of its ways to log in without Google.

use std::path::Path;
use std::time::Duration;

use pollux_tests::kit::{self, Program, Run};
use pollux_tests::simulator::google::Refusal;
use pollux_tests::simulator::{Fault, Injection, Simulator, TOOL_OUTPUT};
use serde_json::json;

use super::stage::{Stage, installed, play};

const MODES: [Mode; 2] = [Mode::AccessToken, Mode::TokenFile];
const TURN: &str = "/v1internal:streamGenerateContent?alt=sse";

const SETTINGS: &str = r#"{"security": {"auth": {"selectedType": "oauth-personal"}},
    "privacy": {"usageStatisticsEnabled": false}, "telemetry": {"enabled": false},
    "general": {"enableAutoUpdate": false, "maxAttempts": 2}}"#;

/// How the CLI comes by its token.
#[derive(Clone, Copy, Debug)]
enum Mode {
    /// `GOOGLE_CLOUD_ACCESS_TOKEN`, the key itself.
    AccessToken,
    /// An `oauth_creds.json` whose token endpoint is ours.
    TokenFile,
}

fn cli() -> Option<std::path::PathBuf> {
    installed("Gemini CLI", "node_modules/.bin/gemini")
}

fn program(gemini: &Path, stage: &kit::Stage, mode: Mode, base: &str, key: &str, prompt: &str) -> Program {
    let program = Program::new(gemini).and_then(|program| program.file(".gemini/settings.json", SETTINGS));
    let program = program.expect("a home can be made").env("CODE_ASSIST_ENDPOINT", stage.gateway.at(base));
    let program = program.env("GEMINI_CLI_TRUST_WORKSPACE", "true").arg("-p").arg(prompt);
    match mode {
        Mode::AccessToken => {
            program.env("GOOGLE_GENAI_USE_GCA", "true").env("GOOGLE_CLOUD_ACCESS_TOKEN", key)
        }
        Mode::TokenFile => {
            let login = json!({"type": "external_account_authorized_user", "client_id": "pollux",
                "client_secret": "pollux", "refresh_token": key, "token_url": stage.gateway.at("/oauth/token")});
            program.file(".gemini/oauth_creds.json", &login.to_string()).expect("its home is there")
        }
    }
}

async fn turn(gemini: &Path, stage: &Stage, mode: Mode, prompt: &str) -> Run {
    // At the root as well as below the prefix.
    let base = if matches!(mode, Mode::TokenFile) { "" } else { "/geminicli" };
    let program = program(gemini, stage, mode, base, stage.gateway.key(), prompt);
    play(program.arg("-m").arg("gemini-2.5-flash").arg("--yolo")).await
}

fn turns(stage: &Stage) -> Vec<String> {
    let log = stage.gateway.log().lines();
    let served = log.iter().filter(|line| line.contains("request served") && line.contains(TURN));
    served.filter_map(|line| Some(line.split_once(" status=")?.1.split(' ').next()?.to_owned())).collect()
}

#[tokio::test]
async fn gemini_takes_a_turn_by_code_assist_in_both_modes() {
    let Some(gemini) = cli() else { return };
    for mode in MODES {
        let stage = Stage::set().await;
        let run = turn(&gemini, &stage, mode, "say PONG-7731").await;
        assert_eq!(run.code, Some(0), "{mode:?}: {}", run.text());
        assert_eq!(run.stdout.matches("PONG-7731").count(), 1, "{mode:?}: {}", run.text());
        let sent = stage.simulator.record().last(":streamGenerateContent").unwrap();
        assert_eq!(sent.account.as_deref(), Some("alice"));
        let body = sent.json();
        assert_eq!(body["project"], "alice-project");
        assert!(body["request"]["session_id"].is_string(), "{body}");
        assert!(sent.header("user-agent").is_some_and(|agent| agent.starts_with("GeminiCLI")));
        // All that it asks besides is answered.
        let log = stage.gateway.log().text();
        for method in ["loadCodeAssist", "retrieveUserQuota", "listExperiments"] {
            assert!(log.contains(&format!("v1internal:{method}")), "{mode:?} asks for {method}: {log}");
        }
        assert!(!log.contains("status=404") && !log.contains("status=4"), "{log}");
        assert_eq!(turns(&stage), ["200"], "{mode:?}");
    }
}

#[tokio::test]
async fn gemini_runs_a_tool_by_code_assist_in_both_modes() {
    let Some(gemini) = cli() else { return };
    for mode in MODES {
        let stage = Stage::set().await;
        let run = turn(&gemini, &stage, mode, "use TOOL: please").await;
        assert_eq!(run.code, Some(0), "{mode:?}: {}", run.text());
        assert!(run.stdout.contains(TOOL_OUTPUT), "{mode:?}: {}", run.text());
        let sent = stage.simulator.record().on(":streamGenerateContent");
        assert_eq!(sent.len(), 2);
        let contents = sent[1].json()["request"]["contents"].to_string();
        assert!(contents.contains("functionResponse") && contents.contains(TOOL_OUTPUT), "{contents}");
    }
}

#[tokio::test]
async fn gemini_chooses_a_model_by_code_assist_when_none_is_named() {
    let Some(gemini) = cli() else { return };
    // What its router asks with, and what it chose in November 2026.
    let models = ["gemini-3.1-flash-lite", "gemini-3-flash-preview"];
    let simulator = Simulator::start();
    simulator.google().set_models(&models);
    let list = json!(models).to_string();
    let builder = kit::Gateway::builder().env("POLLUX__PROVIDERS__GEMINICLI__MODEL_LIST", &list);
    let stage = kit::Stage::with(simulator, builder, &["alice"], &[]).await;
    let key = stage.gateway.key();
    let run = play(program(&gemini, &stage, Mode::AccessToken, "/geminicli", key, "say PONG-7731")).await;
    assert_eq!(run.code, Some(0), "{}", run.text());
    assert!(run.stdout.contains("PONG-7731"), "{}", run.text());
    let asked: Vec<_> = stage.generated().iter().map(|one| one.json()["model"].clone()).collect();
    assert_eq!(asked, models, "the router's question, then the turn");
}

#[tokio::test]
async fn gemini_is_told_of_failures_by_code_assist_in_both_modes() {
    let Some(gemini) = cli() else { return };
    for mode in MODES {
        for (refusal, statuses) in [
            (Refusal::QuotaFailurePerDay, &["429"][..]),
            (Refusal::InvalidArgument("the moon is full".into()), &["400"]),
            (Refusal::Unavailable, &["503", "503"]),
        ] {
            let stage = Stage::with("[pool]\nacquire_timeout = \"100ms\"").await;
            stage.simulator.google().account("alice").refuse(Some(refusal));
            let run = turn(&gemini, &stage, mode, "say PONG-7731").await;
            assert_eq!(run.code, Some(1), "{mode:?}: {}", run.text());
            assert_eq!(turns(&stage), statuses, "{mode:?}: {}", run.text());
            if statuses == ["400"] {
                assert!(run.text().contains("the moon is full"), "{}", run.text());
            }
        }
    }
}

#[tokio::test]
async fn gemini_repeats_a_broken_stream_of_code_assist_and_says_so_if_it_always_breaks() {
    let Some(gemini) = cli() else { return };
    let stage = Stage::set().await;
    stage.simulator.inject(Injection::new(Fault::EndAfter(1)).path(":streamGenerateContent").always());
    let run = turn(&gemini, &stage, Mode::AccessToken, "say PONG-7731").await;
    // It ends with code 0 all the same (0.61.0).
    assert!(run.stderr.contains("ended without a finish reason"), "{}", run.text());
    assert_eq!(turns(&stage), ["200", "200"]);
}

#[tokio::test]
async fn gemini_with_a_wrong_key_gets_nowhere_by_code_assist() {
    let Some(gemini) = cli() else { return };
    for mode in MODES {
        let stage = Stage::set().await;
        let program = program(&gemini, &stage, mode, "/geminicli", "wrong", "say PONG-7731");
        let run = play(program.arg("-m").arg("gemini-2.5-flash")).await;
        assert_ne!(run.code, Some(0), "{mode:?}: {}", run.text());
        assert_eq!(stage.simulator.record().count(":streamGenerateContent"), 0);
    }
}

/// The setting that codex-pool's page wrote: nothing in the CLI reads it, so the variable is the way.
#[tokio::test]
async fn gemini_does_not_read_code_assist_endpoint_from_its_settings() {
    let Some(gemini) = cli() else { return };
    let stage = Stage::set().await;
    let mut settings: serde_json::Value = serde_json::from_str(SETTINGS).unwrap();
    settings["codeAssistEndpoint"] = json!(stage.gateway.at("/geminicli"));
    let program =
        Program::new(&gemini).and_then(|one| one.file(".gemini/settings.json", &settings.to_string()));
    let program = program.unwrap().env("GEMINI_CLI_TRUST_WORKSPACE", "true");
    let program =
        program.env("GOOGLE_GENAI_USE_GCA", "true").env("GOOGLE_CLOUD_ACCESS_TOKEN", stage.gateway.key());
    let run = program.arg("-m").arg("gemini-2.5-flash").arg("-p").arg("say PONG-7731");
    let run = run.run(Duration::from_secs(20)).await.unwrap();
    assert_ne!(run.code, Some(0), "{}", run.text());
    assert!(!stage.gateway.log().text().contains("v1internal"), "{}", stage.gateway.log().text());
}
