//! What is recorded of answers over a WebSocket, and of Anthropic's.

use super::sockets::{create, open};
use super::usage::records;
use pollux_tests::kit::{Stage, messages};
use pollux_tests::simulator::openai;
use serde_json::{Value, json};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(30);

#[tokio::test]
async fn each_answer_of_a_socket_has_a_record_and_the_socket_has_none() {
    let stage = Stage::start("", &[], &["bob"]).await;
    let mut socket = open(&stage).await;
    let mut told = Vec::new();
    for text in ["one", "two and more of it", "three"] {
        let events = socket.turn(&create(text)).await;
        told.push(events.last().unwrap()["response"]["usage"].clone());
    }
    socket.close(1000).await;
    let bob = stage.account("bob").await["id"].clone();
    let rows = records(&stage, 3).await;
    for (row, usage) in rows.iter().zip(&told) {
        assert_eq!(
            [&row["input_tokens"], &row["output_tokens"]],
            [&usage["input_tokens"], &usage["output_tokens"]]
        );
        assert_eq!((&row["account"], &row["model"]), (&bob, &json!("gpt-5.5")), "{row:#}");
        assert_eq!(
            (&row["status"], &row["outcome"], &row["attempts"]),
            (&json!(200), &json!("ok"), &json!(1))
        );
        assert!(row["cost_usd"].as_f64().unwrap() > 0.0);
    }
    let ids: std::collections::BTreeSet<_> = rows.iter().map(|row| row["request_id"].to_string()).collect();
    assert_eq!(ids.len(), 3);
}

#[tokio::test]
async fn a_refused_answer_of_a_socket_is_one_record_too() {
    let stage = Stage::start("", &[], &["bob"]).await;
    let mut socket = open(&stage).await;
    socket.turn(&create("fine")).await;
    stage.simulator.openai().account("bob").refuse(Some(openai::Refusal::UsageLimitReached(LIMIT * 600)));
    let refused = socket.turn(&create("too much")).await.pop().unwrap();
    assert_eq!(refused["status"], 429, "{refused:#}");
    drop(socket);
    let rows = records(&stage, 2).await;
    assert_eq!((&rows[1]["outcome"], &rows[1]["status"]), (&json!("failed"), &json!(429)), "{:#}", rows[1]);
    assert_eq!((&rows[1]["input_tokens"], &rows[1]["cost_usd"]), (&Value::Null, &Value::Null));
}

#[tokio::test]
async fn anthropics_input_is_told_with_what_its_cache_had_to_do_with() {
    let stage = Stage::start("", &[], &[]).await;
    let key = stage.simulator.anthropic().account("ann").key();
    stage.join("claude", &[json!({"api_key": key})]).await;
    let whole = stage.post("/claude/v1/messages", &messages("hello")).await.json();
    let mut body = messages("hello");
    body["stream"] = json!(true);
    let events = stage.events("/claude/v1/messages", &body).await.rest(LIMIT).await;
    let rows = records(&stage, 2).await;
    let usage = &whole["usage"];
    let count = |name: &str| usage[name].as_u64().unwrap_or(0);
    let cached = [count("cache_read_input_tokens"), count("cache_creation_input_tokens")];
    assert_eq!(
        rows[0]["input_tokens"].as_u64(),
        Some(count("input_tokens") + cached[0] + cached[1]),
        "{usage}"
    );
    assert_eq!(rows[0]["output_tokens"], usage["output_tokens"]);
    let delta = events.iter().rfind(|event| event.name.as_deref() == Some("message_delta")).unwrap().json();
    assert_eq!(rows[1]["output_tokens"], delta["usage"]["output_tokens"], "the last word counts, once");
    for row in &rows {
        assert_eq!((&row["dialect"], &row["provider"]), (&json!("messages"), &json!("claude")));
        assert!(row["cost_usd"].as_f64().unwrap() > 0.0, "{row:#}");
        assert_eq!(
            row["reasoning_tokens"],
            Value::Null,
            "it is in the output, and nobody says how much of it"
        );
    }
}
