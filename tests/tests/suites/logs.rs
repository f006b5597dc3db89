//! What the log says, and what it must never say.

use pollux_tests::kit::{Events, Gateway, Stage, contents, get, post, send};
use pollux_tests::simulator::{Fault, Injection, Simulator, google, openai};
use serde_json::{Value, json};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(20);
const CODEX: &str = "/codex/v1/responses";
const GEMINI: &str = "/geminicli/v1beta/models/gemini-2.5-pro";
/// In every body that is sent or answered.
const SECRET_TEXT: &str = "the-text-of-a-private-letter";

#[tokio::test]
async fn a_request_has_one_line_with_all_it_cost() {
    let stage = Stage::start("", &["alice"], &["bob", "carol"]).await;
    stage.simulator.inject(
        Injection::new(Fault::Answer(openai::Refusal::ServerError.reply(""))).path("/codex/responses"),
    );
    let headers = [stage.gateway.auth()[0], ("x-request-id", "story-1")];
    let answer = post(&stage.gateway.at(CODEX), &headers, &json!({"model": "gpt-5.5", "input": "x"})).await;
    assert_eq!(answer.status, 200);
    let line = stage.story("story-1").await;
    let served = stage.asked()[1].clone();
    let usage = answer.json()["usage"].clone();
    for field in [
        "provider=\"codex\"".to_owned(),
        "model=gpt-5.5".to_owned(),
        format!("credential={served}@example.com"),
        "attempts=2".to_owned(),
        "verdict=\"served\"".to_owned(),
        "status=200".to_owned(),
        format!("tokens_in={}", usage["input_tokens"]),
        format!("tokens_out={}", usage["output_tokens"]),
        "first_byte_ms=".to_owned(),
        "total_ms=".to_owned(),
    ] {
        assert!(line.contains(&field), "{field} is missing: {line}");
    }
    let lines = stage.gateway.log().lines();
    let of_it = lines.iter().filter(|line| line.contains("request served") && line.contains("story-1"));
    assert_eq!(of_it.count(), 1);
}

#[tokio::test]
async fn every_end_of_a_request_is_told_with_its_status() {
    let stage = Stage::start("[upstream]\nstream_idle_timeout = \"500ms\"", &["alice"], &["bob"]).await;
    let auth = stage.gateway.auth()[0];
    let ask = async |id: &str, headers: &[(&str, &str)], body: &str| {
        let headers = [headers, &[("x-request-id", id), ("content-type", "application/json")]].concat();
        send("POST", &stage.gateway.at(CODEX), &headers, body.to_owned()).await.unwrap().status
    };
    let body = json!({"model": "gpt-5.5", "input": "x", "stream": true}).to_string();
    assert_eq!(ask("end-401", &[], &body).await, 401);
    assert_eq!(ask("end-400", &[auth], "{").await, 400);
    assert_eq!(ask("end-model", &[auth], r#"{"model":"nothing"}"#).await, 400);
    assert_eq!(ask("end-200", &[auth], &body).await, 200);
    stage.simulator.inject(Injection::new(Fault::SilenceAfter(6)).path("/codex/responses"));
    assert_eq!(ask("end-broken", &[auth], &body).await, 200);
    stage.simulator.openai().account("bob").refuse(Some(openai::Refusal::UsageLimitReached(LIMIT * 600)));
    assert_eq!(ask("end-429", &[auth], &body).await, 429);
    for (id, status) in [
        ("end-401", 401),
        ("end-400", 400),
        ("end-model", 400),
        ("end-200", 200),
        ("end-broken", 200),
        ("end-429", 429),
    ] {
        let line = stage.story(id).await;
        assert!(line.contains(&format!("status={status} ")), "{line}");
        assert!(!line.contains("verdict=\"\""), "{line}");
    }
    let broken = stage.story("end-broken").await;
    assert!(!broken.contains("verdict=\"streamed\"") && !broken.contains("verdict=\"served\""), "{broken}");
}

#[tokio::test]
async fn lines_are_json_where_asked_for() {
    let stage = Stage::start("[basic]\nlog_format = \"json\"", &["alice"], &[]).await;
    let headers = [stage.gateway.auth()[0], ("x-request-id", "json-1")];
    let url = stage.gateway.at(&format!("{GEMINI}:generateContent?key=abc"));
    assert_eq!(post(&url, &headers, &contents("x")).await.status, 200);
    let line: Value = serde_json::from_str(&stage.story("json-1").await).expect("a line is JSON");
    assert_eq!((&line["request_id"], &line["provider"]), (&json!("json-1"), &json!("geminicli")));
    assert_eq!(
        (&line["status"], &line["attempts"], &line["model"]),
        (&json!(200), &json!(1), &json!("gemini-2.5-pro"))
    );
    assert!(
        line["tokens_in"].is_u64() && line["total_ms"].is_u64() && line["timestamp"].is_string(),
        "{line}"
    );
    assert!(line["route"].as_str().unwrap().ends_with("?key=***"), "{line}");
    for line in stage.gateway.log().lines() {
        assert!(serde_json::from_str::<Value>(&line).is_ok_and(|line| line.is_object()), "{line}");
    }
}

#[tokio::test]
async fn the_start_tells_accounts_by_state_and_the_proxy_without_its_password() {
    let mut stage = Stage::start("", &["alice"], &["bob", "carol"]).await;
    stage.simulator.openai().account("bob").refuse(Some(openai::Refusal::AccountDeactivated));
    for _ in 0..2 {
        stage.codex("x").await;
    }
    stage.account_when("bob", |one| one["state"] == "suspended").await;
    let before = stage.gateway.log().lines().len();
    stage.gateway.set_env("POLLUX__PROVIDERS__CODEX__PROXY", "http://proxy-user:proxy-password@127.0.0.1:9/");
    stage.gateway.restart().await.unwrap();
    let lines = &stage.gateway.log().lines()[before..];
    let has = |parts: &[&str]| lines.iter().any(|line| parts.iter().all(|part| line.contains(part)));
    assert!(has(&["accounts", "provider=\"codex\"", "state=active", "count=1"]), "{lines:#?}");
    assert!(has(&["accounts", "provider=\"codex\"", "state=suspended", "count=1"]), "{lines:#?}");
    assert!(has(&["accounts", "provider=\"geminicli\"", "state=active", "count=1"]), "{lines:#?}");
    assert!(has(&["provider=\"codex\"", "proxy=\"http://127.0.0.1:9\""]), "{lines:#?}");
    assert!(!has(&["proxy-password"]) && !has(&["proxy-user"]), "{lines:#?}");
    assert!(has(&["pollux serves", "address=127.0.0.1"]), "{lines:#?}");
}

/// A run in which all goes wrong that can.
async fn mixed(level: &str) -> (Stage, Vec<String>) {
    let simulator = Simulator::start();
    let tokens: Vec<String> = vec![
        simulator.openai().account("zoe").refresh_token(),
        simulator.google().account("yves").refresh_token(),
        "1//never-issued-by-anybody".to_owned(),
        "rt_never-issued-either".to_owned(),
    ];
    let builder = Gateway::builder()
        .config(&format!("[basic]\nloglevel = \"{level}\"\n[upstream]\nstream_idle_timeout = \"500ms\"\nresponse_timeout = \"2s\""))
        .env("RUST_LOG", level);
    let stage = Stage::with(simulator, builder, &["alice", "dave"], &["bob", "carol"]).await;
    let key = stage.gateway.key().to_owned();
    let bearer = stage.gateway.auth()[0];
    for (provider, tokens) in [("codex", [&tokens[0], &tokens[3]]), ("geminicli", [&tokens[1], &tokens[2]])] {
        let body = json!(tokens.map(|token| json!({"refresh_token": token})));
        assert_eq!(stage.post(&format!("/{provider}/resource:add"), &body).await.status, 202);
        let broken = json!([{"refresh_token": tokens[0], "project_id": 5}, {"refreshToken": ""}]);
        stage.post(&format!("/{provider}/resource:add"), &broken).await;
    }
    let text = json!({"model": "gpt-5.5", "input": SECRET_TEXT});
    let streamed = json!({"model": "gpt-5.5", "input": SECRET_TEXT, "stream": true});
    let gemini = contents(SECRET_TEXT);
    let error = json!({"code": "server_error", "message": format!("while reading {SECRET_TEXT}")});
    let spoken = json!({"error": {"code": 400, "message": format!("bad: {SECRET_TEXT}"), "status": "INVALID_ARGUMENT"}});
    for round in 0..8 {
        match round {
            1 => drop(
                stage.simulator.inject(
                    Injection::new(Fault::Answer(openai::Refusal::ServerError.reply("")))
                        .path("/codex/responses")
                        .times(2),
                ),
            ),
            2 => drop(stage.simulator.inject(
                Injection::new(Fault::ErrorAfter(6, error.clone())).path("/codex/responses").times(2),
            )),
            3 => drop(stage.simulator.inject(Injection::new(Fault::Reset).path("enerateContent").times(2))),
            4 => drop(
                stage
                    .simulator
                    .inject(Injection::new(Fault::json(400, &spoken)).path("enerateContent").times(2)),
            ),
            5 => {
                for label in ["bob", "carol"] {
                    stage.simulator.openai().account(label).expire_access_tokens();
                }
                stage.simulator.google().account("alice").expire_access_tokens();
            }
            6 => drop(
                stage.simulator.google().account("alice").refuse(Some(google::Refusal::ValidationRequired)),
            ),
            7 => drop(
                stage.simulator.openai().account("bob").refuse(Some(openai::Refusal::AccountDeactivated)),
            ),
            _ => {}
        }
        stage.post(CODEX, &text).await;
        let _ = Events::post(&stage.gateway.at(CODEX), &[bearer], &streamed).await.unwrap().rest(LIMIT).await;
        stage
            .post(&format!("{GEMINI}:generateContent?key={key}&state=hidden-state&code=hidden-code"), &gemini)
            .await;
        stage.post(&format!("{GEMINI}:streamGenerateContent?alt=sse&key={key}"), &gemini).await;
        stage.post(&format!("{GEMINI}:countTokens"), &gemini).await;
    }
    let wrong = [
        ("authorization", "Bearer a-wrong-key-of-somebody"),
        ("x-goog-api-key", "another-wrong-key"),
        ("cookie", "hidden-cookie=1"),
    ];
    send("POST", &stage.gateway.at(&format!("{CODEX}?key=a-third-wrong-key")), &wrong, SECRET_TEXT)
        .await
        .unwrap();
    send("POST", &stage.gateway.at(CODEX), &[bearer], SECRET_TEXT).await.unwrap();
    for path in ["/oauth2callback", "/auth/callback", "/codex/auth/callback"] {
        get(&stage.gateway.at(&format!("{path}?code=hidden-code&state=hidden-state")), &[]).await;
    }
    get(&stage.gateway.at("/nowhere?key=a-third-wrong-key&code=hidden-code"), &[]).await;
    get(&stage.gateway.at("/admin/accounts"), &[("authorization", "Bearer a-wrong-key-of-somebody")]).await;
    (stage, tokens)
}

#[tokio::test]
async fn no_token_key_or_body_is_in_the_log_at_any_level() {
    for level in ["debug", "trace"] {
        let (mut stage, mut secrets) = mixed(level).await;
        // Everything the vendors were sent as a token, in whichever form, is a secret of ours.
        for received in stage.simulator.record().all() {
            secrets.extend(
                received.header("authorization").map(|value| value.trim_start_matches("Bearer ").to_owned()),
            );
            for field in ["refresh_token", "access_token", "client_secret"] {
                secrets.extend(received.form(field));
                secrets.extend(received.json()[field].as_str().map(str::to_owned));
            }
        }
        secrets.extend([
            stage.gateway.key().to_owned(),
            stage.gateway.admin_key().to_owned(),
            SECRET_TEXT.to_owned(),
        ]);
        for hidden in [
            "hidden-state",
            "hidden-code",
            "hidden-cookie",
            "a-wrong-key",
            "another-wrong-key",
            "a-third-wrong-key",
        ] {
            secrets.push(hidden.to_owned());
        }
        secrets.retain(|secret| secret.len() > 6);
        secrets.sort();
        secrets.dedup();
        assert!(secrets.len() > 12, "{secrets:?}");
        assert!(stage.gateway.terminate(LIMIT).await.is_some());
        let lines = stage.gateway.log().lines();
        assert!(lines.len() > 50);
        for line in &lines {
            for secret in &secrets {
                // A part of a token is a leak, too.
                let part = &secret[secret.len().saturating_sub(24)..];
                assert!(!line.contains(part), "{secret} at {level}: {line}");
            }
        }
    }
}

#[tokio::test]
async fn rust_log_overrides_the_level_module_by_module() {
    let quiet = Gateway::builder().env("RUST_LOG", "warn").start().await.unwrap();
    assert!(!quiet.log().contains("pollux serves"), "{}", quiet.log().text());
    let gateway = Gateway::builder()
        .config("[basic]\nloglevel = \"error\"")
        .env("RUST_LOG", "error,pollux::startup=info");
    let gateway = gateway.start().await.unwrap();
    assert!(gateway.log().wait_for("pollux serves", LIMIT).await);
    get(&gateway.at("/codex/v1/models"), &gateway.auth()).await;
    assert!(!gateway.log().contains("request served"), "{}", gateway.log().text());
}

#[tokio::test]
async fn a_clients_text_cannot_forge_a_line() {
    let stage = Stage::start("", &[], &["bob"]).await;
    let forged = "x\n2026-01-01T00:00:00Z  INFO pollux::request: request served request_id=forged\u{1b}[31m";
    let answer = stage.post(CODEX, &json!({"model": forged, "input": "x"})).await;
    assert_eq!(answer.status, 400);
    let path = "/codex/v1/%0Arequest%20served%20request_id=forged";
    get(&stage.gateway.at(path), &stage.gateway.auth()).await;
    assert!(stage.gateway.log().wait_for("unknown_model", LIMIT).await);
    for line in stage.gateway.log().lines() {
        assert!(!line.starts_with("2026-01-01") && !line.contains('\u{1b}'), "{line:?}");
        assert!(!line.starts_with("request served"), "{line:?}");
    }
}
