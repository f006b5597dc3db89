//! The way down: what runs may end, nothing new begins.

use pollux_tests::kit::{End, Stage, send};
use pollux_tests::simulator::{Fault, Gate, Injection};
use serde_json::json;
use std::process::Command;
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(20);
const CODEX: &str = "/codex/responses";
const GRACE: &str =
    "[upstream]\nstream_idle_timeout = \"60s\"\nresponse_timeout = \"60s\"\n[basic]\nshutdown_grace = ";

/// Sends a signal to the gateway.
fn signal(stage: &Stage, name: &str) {
    if name == "TERM" {
        return stage.gateway.signal_term().unwrap();
    }
    let sent =
        Command::new("sh").arg("-c").arg(format!("kill -{name} {}", stage.gateway.pid().unwrap())).status();
    assert!(sent.unwrap().success());
}

#[tokio::test]
async fn a_running_stream_ends_well_before_the_process_does() {
    for name in ["TERM", "INT"] {
        let mut stage = Stage::start(&format!("{GRACE}\"20s\""), &["alice"], &["bob"]).await;
        stage.simulator.openai().script().set_pace(Duration::from_millis(200));
        stage.simulator.google().script().set_pace(Duration::from_millis(500));
        let mut codex = stage.codex_stream("one two three").await;
        let mut gemini = stage.gemini_stream("one two three").await;
        assert!(codex.next(LIMIT).await.is_some() && gemini.next(LIMIT).await.is_some());
        signal(&stage, name);
        let (codex_events, gemini_events) =
            futures_util::future::join(codex.rest(LIMIT), gemini.rest(LIMIT)).await;
        assert_eq!(codex_events.last().unwrap().name.as_deref(), Some("response.completed"), "{name}");
        assert_eq!(gemini_events.last().unwrap().json()["candidates"][0]["finishReason"], "STOP", "{name}");
        assert_eq!((codex.end(), gemini.end()), (Some(&End::Clean), Some(&End::Clean)));
        let status = stage.gateway.wait_exit(LIMIT).await.expect("it ends by itself");
        assert_eq!(status.code(), Some(0), "{name}: {}", stage.gateway.log().text());
    }
}

#[tokio::test]
async fn a_running_answer_in_one_document_is_finished_too() {
    let mut stage = Stage::start(&format!("{GRACE}\"20s\""), &[], &["bob"]).await;
    let gate = Gate::new();
    stage.simulator.inject(Injection::new(Fault::GateHead(gate.clone())).path(CODEX));
    let answer = stage.codex("PING");
    let down = async {
        assert!(gate.wait_for(1, LIMIT).await);
        stage.gateway.signal_term().unwrap();
        assert!(stage.gateway.log().wait_for("going down", LIMIT).await);
        gate.open();
    };
    let (answer, ()) = futures_util::future::join(answer, down).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(stage.gateway.wait_exit(LIMIT).await.and_then(|status| status.code()), Some(0));
}

#[tokio::test]
async fn nothing_new_begins_on_the_way_down() {
    let mut stage = Stage::start(&format!("{GRACE}\"20s\""), &[], &["bob"]).await;
    let gate = Gate::new();
    stage.simulator.inject(Injection::new(Fault::GateHead(gate.clone())).path(CODEX));
    // A kept connection on which a second request comes after the signal.
    let mut kept = pollux_tests::kit::Raw::connect(&stage.gateway.url()).await.unwrap();
    let bearer = stage.gateway.auth()[0];
    kept.send(&pollux_tests::kit::Raw::request("GET", "/codex/v1/models", &[bearer], b"")).await.unwrap();
    assert!(kept.read_until("gpt-5.5", LIMIT).await.starts_with(b"HTTP/1.1 200"));
    let running = stage.codex("PING");
    let refused = async {
        assert!(gate.wait_for(1, LIMIT).await);
        stage.gateway.signal_term().unwrap();
        assert!(stage.gateway.log().wait_for("going down", LIMIT).await);
        let body = json!({"model": "gpt-5.5", "input": "late"}).to_string();
        let request =
            pollux_tests::kit::Raw::request("POST", "/codex/v1/responses", &[bearer], body.as_bytes());
        let _ = kept.send(&request).await;
        let (answer, _) = kept.read_to_end(Duration::from_secs(2)).await;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert!(!answer.contains("HTTP/1.1") || answer.contains("HTTP/1.1 503"), "{answer}");
        gate.open();
    };
    let (running, ()) = futures_util::future::join(running, refused).await;
    assert_eq!(running.status, 200);
    assert_eq!(stage.gateway.wait_exit(LIMIT).await.and_then(|status| status.code()), Some(0));
    assert_eq!(stage.generated().len(), 1, "the late one went nowhere");
    assert!(send("GET", &stage.gateway.at("/healthz"), &[], "").await.is_err(), "the port is free");
}

#[tokio::test]
async fn when_the_grace_is_over_streams_are_cut_and_not_ended_as_if_whole() {
    let mut stage = Stage::start(&format!("{GRACE}\"1s\""), &["alice"], &["bob"]).await;
    stage.simulator.inject(Injection::new(Fault::SilenceAfter(6)).path(CODEX));
    stage.simulator.inject(Injection::new(Fault::SilenceAfter(1)).path("streamGenerateContent"));
    let mut codex = stage.codex_stream("one two three").await;
    let mut gemini = stage.gemini_stream("one two three").await;
    assert!(codex.next(LIMIT).await.is_some() && gemini.next(LIMIT).await.is_some());
    let began = Instant::now();
    stage.gateway.signal_term().unwrap();
    let (codex_events, gemini_events) =
        futures_util::future::join(codex.rest(LIMIT), gemini.rest(LIMIT)).await;
    let cut = |end: Option<&End>| matches!(end, Some(End::Broken(_)));
    let told = codex_events.last().is_some_and(|event| event.name.as_deref() == Some("response.failed"));
    assert!(told || cut(codex.end()), "{codex_events:?} {:?}", codex.end());
    let told = gemini_events.last().is_some_and(|event| event.json()["error"].is_object());
    assert!(told || cut(gemini.end()), "{gemini_events:?} {:?}", gemini.end());
    let status = stage.gateway.wait_exit(LIMIT).await.expect("it ends by itself");
    assert_eq!(status.code(), Some(0));
    assert!(began.elapsed() < LIMIT);
}

#[tokio::test]
async fn an_idle_gateway_goes_at_once_and_starts_again_on_its_port() {
    let mut stage = Stage::start(&format!("{GRACE}\"60s\""), &["alice"], &["bob"]).await;
    let kept = pollux_tests::kit::Raw::connect(&stage.gateway.url()).await.unwrap();
    assert_eq!(stage.codex("x").await.status, 200);
    let status = stage.gateway.terminate(LIMIT).await.expect("idle connections do not hold it");
    assert_eq!(status.code(), Some(0));
    drop(kept);
    stage.gateway.restart().await.unwrap();
    assert_eq!((stage.codex("x").await.status, stage.gemini("x").await.status), (200, 200));
}
