//! Codex CLI when things go wrong: how often it asks, what it says, how it exits.
//!
//! Its usual 4 and 5 retries are set to 1 each: a status is repeated once, and a failed stream once more, so that
//! the most it asks is 4 times instead of 30.

use std::time::Duration;

use pollux_tests::kit::Run;
use pollux_tests::simulator::openai::Refusal;
use pollux_tests::simulator::{Answer, Fault, Injection};
use serde_json::json;

use super::codex::{TURN, cli, config, program};
use super::stage::{Stage, play};

/// Lets the account refuse everything, and runs a turn.
async fn refused(refusal: Refusal) -> Option<(Stage, Run)> {
    let codex = cli()?;
    let stage = Stage::with("[pool]\nacquire_timeout = \"100ms\"").await;
    stage.simulator.openai().account("bob").refuse(Some(refusal));
    let run = turn(&codex, &stage).await;
    Some((stage, run))
}

async fn turn(codex: &std::path::Path, stage: &Stage) -> Run {
    play(program(codex, stage, &config(stage, "gpt-5.6-sol", ""), "say PONG-7731")).await
}

fn failed_saying(run: &Run, words: &str) {
    assert_eq!(run.code, Some(1), "{}", run.text());
    assert!(run.stderr.contains(words), "{}", run.text());
}

#[tokio::test]
async fn codex_stops_at_a_usage_limit_and_says_when_to_come_back() {
    let Some((stage, run)) = refused(Refusal::UsageLimitReached(Duration::from_hours(3))).await else {
        return;
    };
    failed_saying(&run, "hit your usage limit");
    assert!(run.stderr.contains("try again at"), "{}", run.text());
    stage.expect(&["/codex/v1/responses 429"]).await;
    // The next run meets a pool that rests: the same, and the vendor is left alone.
    let asked = stage.simulator.record().count("/responses");
    failed_saying(&turn(&cli().unwrap(), &stage).await, "hit your usage limit");
    stage.expect(&["/codex/v1/responses 429"; 2]).await;
    assert_eq!(stage.simulator.record().count("/responses"), asked);
}

#[tokio::test]
async fn codex_waits_as_told_and_repeats_a_429_that_passes() {
    let Some((stage, run)) = refused(Refusal::RateLimited(Some(2))).await else { return };
    assert_eq!(run.code, Some(1), "{}", run.text());
    stage.expect(&["/codex/v1/responses 429"; 2]).await;
}

#[tokio::test]
async fn codex_does_not_repeat_a_429_that_will_not_pass() {
    let Some((stage, run)) = refused(Refusal::RateLimited(Some(3600))).await else { return };
    assert_eq!(run.code, Some(1), "{}", run.text());
    stage.expect(&["/codex/v1/responses 429"]).await;
}

#[tokio::test]
async fn codex_repeats_an_overload_by_its_status_alone_and_names_it() {
    let Some((stage, run)) = refused(Refusal::Overloaded).await else { return };
    failed_saying(&run, "Selected model is at capacity");
    stage.expect(&["/codex/v1/responses 503"; 2]).await;
}

#[tokio::test]
async fn codex_repeats_any_other_503() {
    let Some(codex) = cli() else { return };
    let stage = Stage::set().await;
    let down = Fault::text(503, "upstream connect error");
    stage.simulator.inject(Injection::new(down).path("/responses").always());
    assert_eq!(turn(&codex, &stage).await.code, Some(1));
    stage.expect(&["/codex/v1/responses 503"; 4]).await;
}

#[tokio::test]
async fn codex_repeats_a_500() {
    let Some((stage, run)) = refused(Refusal::ServerError).await else { return };
    failed_saying(&run, "high demand");
    stage.expect(&["/codex/v1/responses 500"; 4]).await;
}

#[tokio::test]
async fn codex_stops_at_a_400_and_shows_the_vendors_words() {
    let refusal = Refusal::Invalid("invalid_value".into(), "the moon is full".into(), Some("input".into()));
    let Some((stage, run)) = refused(refusal).await else { return };
    failed_saying(&run, "the moon is full");
    stage.expect(&["/codex/v1/responses 400"]).await;
}

#[tokio::test]
async fn codex_learns_of_a_dead_account_as_502_and_never_as_its_own_wrong_key() {
    let Some((stage, run)) = refused(Refusal::AccountDeactivated).await else { return };
    assert_eq!(run.code, Some(1), "{}", run.text());
    assert!(!run.stderr.contains("401"), "{}", run.text());
    let served = ["502", "503", "503", "503"].map(|status| format!("/codex/v1/responses {status}"));
    stage.expect(&served.each_ref().map(String::as_str)).await;
}

#[tokio::test]
async fn codex_with_a_wrong_key_is_told_so() {
    let Some(codex) = cli() else { return };
    let stage = Stage::set().await;
    let config = config(&stage, "gpt-5.6-sol", "");
    let run = play(program(&codex, &stage, &config, "say PONG-7731").env("POLLUX_KEY", "wrong")).await;
    failed_saying(&run, "401");
    stage.expect(&["/codex/v1/responses 401"; 2]).await;
    assert_eq!(stage.simulator.record().count("/responses"), 0);
}

#[tokio::test]
async fn codex_stops_at_a_model_that_is_not_there() {
    let Some(codex) = cli() else { return };
    let stage = Stage::set().await;
    let run = play(program(&codex, &stage, &config(&stage, "gpt-1", ""), "say PONG-7731")).await;
    failed_saying(&run, "gpt-5.6-sol");
    stage.expect(&["/codex/v1/responses 400"]).await;
}

#[tokio::test]
async fn codex_repeats_a_stream_that_broke_and_prints_the_text_once() {
    let Some(codex) = cli() else { return };
    for fault in [Fault::Truncate(2500), Fault::ResetAfter(2500), Fault::EndAfter(6)] {
        let stage = Stage::set().await;
        stage.simulator.inject(Injection::new(fault).path("/responses"));
        let run = turn(&codex, &stage).await;
        assert_eq!(run.code, Some(0), "{}", run.text());
        assert_eq!(run.stdout.matches("PONG-7731").count(), 1, "{}", run.text());
        stage.expect(&[TURN, TURN]).await;
    }
}

#[tokio::test]
async fn codex_gives_up_on_a_stream_that_always_breaks() {
    let Some(codex) = cli() else { return };
    let stage = Stage::set().await;
    stage.simulator.inject(Injection::new(Fault::Truncate(2500)).path("/responses").always());
    let run = turn(&codex, &stage).await;
    assert_eq!(run.code, Some(1), "{}", run.text());
    // Our word for it, so it understood how the stream ended.
    assert!(run.stderr.contains("the answer broke off"), "{}", run.text());
    stage.expect(&[TURN, TURN]).await;
}

#[tokio::test]
async fn codex_meets_a_usage_limit_inside_a_stream_and_stops_at_the_next_request() {
    let Some(codex) = cli() else { return };
    let stage = Stage::set().await;
    let limit = json!({"type": "usage_limit_reached", "message": "The usage limit has been reached",
        "plan_type": "plus", "resets_in_seconds": 9000});
    stage.simulator.inject(Injection::new(Fault::ErrorAfter(7, limit)).path("/responses").always());
    // The event passes as the vendor sent it, and the CLI knows its limit only as a status.
    failed_saying(&turn(&codex, &stage).await, "hit your usage limit");
    stage.expect(&[TURN, "/codex/v1/responses 429"]).await;
    assert_eq!(stage.simulator.record().count("/responses"), 1);
}

#[tokio::test]
async fn codex_stops_at_an_incomplete_answer() {
    let Some(codex) = cli() else { return };
    let stage = Stage::set().await;
    stage.simulator.openai().script().always(Answer::Cut("max_output_tokens".into(), "half".into()));
    failed_saying(&turn(&codex, &stage).await, "Incomplete response returned, reason: max_output_tokens");
    stage.expect(&[TURN]).await;
}

#[tokio::test]
async fn codex_stops_at_a_plan_without_codex_and_then_waits_for_an_account() {
    let Some((stage, run)) = refused(Refusal::UsageNotIncluded).await else { return };
    failed_saying(&run, "upgrade to Plus");
    stage.expect(&["/codex/v1/responses 429"]).await;
    // The pool is empty now, which somebody may change: worth a repetition after the time told.
    let config =
        config(&stage, "gpt-5.6-sol", "").replace("request_max_retries = 1", "request_max_retries = 0");
    let began = std::time::Instant::now();
    let run = play(program(&cli().unwrap(), &stage, &config, "say PONG-7731")).await;
    assert_eq!(run.code, Some(1), "{}", run.text());
    assert!(began.elapsed() >= Duration::from_secs(5), "{:?}", began.elapsed());
    stage.expect(&["/codex/v1/responses 429", "/codex/v1/responses 503", "/codex/v1/responses 503"]).await;
}
