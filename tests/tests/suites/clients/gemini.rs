//! Gemini CLI with an API key, the gateway being its base URL.

use std::path::Path;
use std::time::Duration;

use pollux_tests::kit::{Program, Run};
use pollux_tests::simulator::google::Refusal;
use pollux_tests::simulator::{Answer, Fault, Injection, TOOL_OUTPUT};

use super::stage::{Stage, installed, play};

const TURN: &str = "/geminicli/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse";

/// Two attempts of its own: its waits begin at five seconds.
const SETTINGS: &str = r#"{"security": {"auth": {"selectedType": "gemini-api-key"}},
    "privacy": {"usageStatisticsEnabled": false}, "telemetry": {"enabled": false},
    "general": {"enableAutoUpdate": false, "maxAttempts": 2}}"#;

fn cli() -> Option<std::path::PathBuf> {
    installed("Gemini CLI", "node_modules/.bin/gemini")
}

fn program(gemini: &Path, stage: &Stage, prompt: &str) -> Program {
    let program = Program::new(gemini).and_then(|program| program.file(".gemini/settings.json", SETTINGS));
    let program = program.expect("a home can be made").env("GEMINI_API_KEY", stage.gateway.key());
    let program = program.env("GOOGLE_GEMINI_BASE_URL", stage.gateway.at("/geminicli"));
    program.env("GEMINI_CLI_TRUST_WORKSPACE", "true").arg("-p").arg(prompt)
}

async fn turn(gemini: &Path, stage: &Stage, prompt: &str) -> Run {
    play(program(gemini, stage, prompt).arg("-m").arg("gemini-2.5-flash").arg("--yolo")).await
}

fn answered(status: u16) -> String {
    format!("{TURN} {status}")
}

#[tokio::test]
async fn gemini_takes_a_turn_with_one_request_and_prints_the_answer_once() {
    let Some(gemini) = cli() else { return };
    let stage = Stage::set().await;
    let run = turn(&gemini, &stage, "say PONG-7731").await;
    assert_eq!(run.code, Some(0), "{}", run.text());
    assert_eq!(run.stdout.matches("PONG-7731").count(), 1, "{}", run.text());
    stage.expect(&[&answered(200)]).await;
    let sent = stage.simulator.record().last(":streamGenerateContent").unwrap();
    assert_eq!(sent.account.as_deref(), Some("alice"));
    assert_eq!(sent.json()["project"], "alice-project");
}

#[tokio::test]
async fn gemini_chooses_a_model_through_us_when_none_is_named() {
    let Some(gemini) = cli() else { return };
    let stage = Stage::set().await;
    let run = play(program(&gemini, &stage, "say PONG-7731")).await;
    assert_eq!(run.code, Some(0), "{}", run.text());
    assert!(run.stdout.contains("PONG-7731"), "{}", run.text());
    let routes = [
        "/geminicli/v1beta/models/gemini-3.5-flash-lite:generateContent 200",
        "/geminicli/v1beta/models/gemini-3.8-flash:streamGenerateContent?alt=sse 200",
    ];
    stage.expect(&routes).await;
}

#[tokio::test]
async fn gemini_runs_a_tool_and_sends_its_output() {
    let Some(gemini) = cli() else { return };
    let stage = Stage::set().await;
    let run = turn(&gemini, &stage, "use TOOL: please").await;
    assert_eq!(run.code, Some(0), "{}", run.text());
    assert!(run.stdout.contains(TOOL_OUTPUT), "{}", run.text());
    stage.expect(&[&answered(200), &answered(200)]).await;
    let sent = stage.simulator.record().on(":streamGenerateContent");
    let responses: Vec<Vec<String>> = sent
        .iter()
        .map(|sent| {
            let body = sent.json();
            let contents = body["request"]["contents"].as_array().into_iter().flatten();
            let parts = contents.flat_map(|content| content["parts"].as_array().into_iter().flatten());
            parts
                .filter_map(|part| part.get("functionResponse"))
                .map(|response| response["response"].to_string())
                .collect()
        })
        .collect();
    assert_eq!(responses[0], Vec::<String>::new());
    assert!(responses[1].len() == 1 && responses[1][0].contains(TOOL_OUTPUT), "{responses:?}");
}

/// Lets the account refuse everything, and runs a turn that fails.
async fn refused(refusal: Refusal) -> Option<(Stage, Run)> {
    let gemini = cli()?;
    let stage = Stage::with("[pool]\nacquire_timeout = \"100ms\"").await;
    stage.simulator.google().account("alice").refuse(Some(refusal));
    let run = turn(&gemini, &stage, "say PONG-7731").await;
    assert_eq!(run.code, Some(1), "{}", run.text());
    Some((stage, run))
}

#[tokio::test]
async fn gemini_stops_at_a_daily_quota() {
    let Some((stage, _)) = refused(Refusal::QuotaFailurePerDay).await else { return };
    stage.expect(&[&answered(429)]).await;
}

#[tokio::test]
async fn gemini_stops_at_an_exhausted_quota() {
    let Some((stage, _)) = refused(Refusal::QuotaExhausted(Duration::from_hours(3))).await else { return };
    stage.expect(&[&answered(429)]).await;
    // The pool rests now; its own word is as final.
    let run = turn(&cli().unwrap(), &stage, "say PONG-7731").await;
    assert_eq!(run.code, Some(1), "{}", run.text());
    stage.expect(&[&answered(429), &answered(429)]).await;
    assert_eq!(stage.simulator.record().count(":streamGenerateContent"), 1);
}

#[tokio::test]
async fn gemini_repeats_a_429_that_passes() {
    let Some((stage, _)) = refused(Refusal::RateLimited(Duration::from_secs(20))).await else { return };
    stage.expect(&[&answered(429), &answered(429)]).await;
}

#[tokio::test]
async fn gemini_repeats_a_503() {
    let Some((stage, _)) = refused(Refusal::Unavailable).await else { return };
    stage.expect(&[&answered(503), &answered(503)]).await;
}

#[tokio::test]
async fn gemini_stops_at_a_400_and_shows_the_vendors_words() {
    let Some((stage, run)) = refused(Refusal::InvalidArgument("the moon is full".into())).await else {
        return;
    };
    assert!(run.text().contains("the moon is full"), "{}", run.text());
    stage.expect(&[&answered(400)]).await;
}

#[tokio::test]
async fn gemini_with_a_wrong_key_is_told_so() {
    let Some(gemini) = cli() else { return };
    let stage = Stage::set().await;
    let program = program(&gemini, &stage, "say PONG-7731").arg("-m").arg("gemini-2.5-flash");
    let run = play(program.env("GEMINI_API_KEY", "wrong")).await;
    assert_ne!(run.code, Some(0), "{}", run.text());
    stage.expect(&[&answered(401)]).await;
    assert_eq!(stage.simulator.record().count(":streamGenerateContent"), 0);
}

#[tokio::test]
async fn gemini_repeats_a_stream_that_broke_and_fails_if_it_always_does() {
    let Some(gemini) = cli() else { return };
    for fault in [Fault::EndAfter(1), Fault::Truncate(300)] {
        let stage = Stage::set().await;
        stage.simulator.google().script().always(Answer::Text("PONG-7731 and more of the same".into()));
        stage.simulator.inject(Injection::new(fault).path(":streamGenerateContent").always());
        let run = turn(&gemini, &stage, "hello").await;
        assert_eq!(run.code, Some(1), "{}", run.text());
        assert!(run.text().contains("Incomplete JSON segment"), "{}", run.text());
        stage.expect(&[&answered(200), &answered(200)]).await;
    }
}
