//! What Codex CLI asks beside its turns: answered as the provider's README says, by nobody else, about nobody.

use pollux_tests::kit::{Stage, get, post, send, wait_until};
use serde_json::{Value, json};
use std::{collections::BTreeSet, time::Duration};
// Naming the host is what links its providers.
use pollux as _;

const README: &str = include_str!("../../../providers/codex/README.md");
const LIMIT: Duration = Duration::from_secs(20);

/// One row of the table, for one path.
pub(super) struct Row {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    pub(super) status: u16,
    body: Value,
}

/// The table of the provider's README.
pub(super) fn table() -> Vec<Row> {
    let mut rows = Vec::new();
    for line in README.lines().filter(|line| line.starts_with("| GET |") || line.starts_with("| POST |")) {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let [method, paths, status, body] = cells[..] else { panic!("{line}") };
        let body: Value =
            serde_json::from_str(body.trim_matches('`')).unwrap_or_else(|error| panic!("{error}: {body}"));
        for path in paths.split('`').map(str::trim).filter(|path| !path.is_empty()) {
            rows.push(Row { method, path, status: status.parse().unwrap(), body: body.clone() });
        }
    }
    rows
}

/// Whether a body is as the table shows it; what stands in angle brackets may be anything.
fn fits(shown: &Value, body: &Value) -> bool {
    match (shown, body) {
        (Value::String(text), body) if text.starts_with('<') => !body.is_null(),
        (Value::Object(shown), Value::Object(body)) => {
            shown.len() == body.len()
                && shown.iter().all(|(key, shown)| body.get(key).is_some_and(|body| fits(shown, body)))
        }
        (Value::Array(shown), Value::Array(body)) => {
            shown.len() == body.len() && shown.iter().zip(body).all(|(shown, body)| fits(shown, body))
        }
        (shown, body) => shown == body,
    }
}

async fn stage() -> Stage {
    let stage = Stage::start("", &[], &["bob", "carol"]).await;
    let known = || async { stage.account("bob").await["quota"][0]["used"].is_number() };
    assert!(wait_until(known, LIMIT).await, "the pool knows no quota");
    stage
}

fn asked(stage: &Stage) -> usize {
    // The pool's own looks at quotas and models are no calls of a client.
    let all = stage.simulator.record().all();
    all.iter().filter(|one| !one.path.ends_with("/wham/usage") && !one.path.ends_with("/models")).count()
}

#[tokio::test]
async fn every_side_call_is_answered_as_the_table_says_and_never_goes_upstream() {
    let stage = stage().await;
    let before = asked(&stage);
    let rows = table();
    assert!(rows.len() >= 40, "{}", rows.len());
    let accounts = ["bob", "carol"].map(|label| stage.simulator.openai().account(label));
    for row in rows {
        let headers = [stage.gateway.auth()[0], ("chatgpt-account-id", "the-clients-own")];
        let body = match row.method {
            "GET" => String::new(),
            _ => json!({"jsonrpc": "2.0", "id": 7, "method": "initialize", "redeem_request_id": "r"})
                .to_string(),
        };
        for prefix in ["", "/codex"] {
            let url = stage.gateway.at(&format!("{prefix}{}", row.path));
            let answer = send(row.method, &url, &headers, body.clone()).await.unwrap();
            let what = format!("{} {prefix}{}: {}", row.method, row.path, answer.text());
            assert_eq!(answer.status, row.status, "{what}");
            assert!(fits(&row.body, &answer.json()), "{what}\nshown: {}", row.body);
            for account in &accounts {
                for private in [account.email(), account.account_id()] {
                    assert!(!answer.text().contains(&private), "{what} tells of an account");
                }
            }
        }
    }
    assert_eq!(asked(&stage), before, "a side call went upstream");
}

#[tokio::test]
async fn the_table_has_every_side_call_of_the_provider() {
    let linked = pollux_sdk::linked().unwrap();
    let section = json!({"model_list": ["gpt-5.5"]});
    let provider = (linked["codex"].build)(pollux_sdk::Settings { id: "codex", section }).unwrap();
    let endpoints = &provider.descriptor().endpoints;
    let declared: BTreeSet<(&str, &str)> =
        endpoints.iter().map(|one| (one.method.as_str(), one.path)).collect();
    let rows = table();
    let shown: BTreeSet<(&str, &str)> = rows.iter().map(|row| (row.method, row.path)).collect();
    assert_eq!(declared, shown);
    let local = |one: &&pollux_sdk::Endpoint| matches!(one.operation, pollux_sdk::Operation::Local(_));
    assert_eq!(endpoints.iter().filter(local).count(), endpoints.len(), "none goes upstream");
}

#[tokio::test]
async fn usage_is_that_of_the_whole_pool() {
    let stage = stage().await;
    stage.simulator.openai().account("bob").used(80.0, 20.0);
    stage.simulator.openai().account("carol").used(21.0, 40.0);
    for _ in 0..4 {
        assert_eq!(stage.codex("x").await.status, 200);
    }
    let usage =
        || async { get(&stage.gateway.at("/backend-api/wham/usage"), &stage.gateway.auth()).await.json() };
    let percent = |usage: &Value, window: &str| usage["rate_limit"][window]["used_percent"].as_u64();
    // Half of 80 and 21, and of 20 and 40.
    let reached = || async {
        let usage = usage().await;
        (percent(&usage, "primary_window"), percent(&usage, "secondary_window")) == (Some(51), Some(30))
    };
    assert!(wait_until(reached, LIMIT).await, "{}", usage().await);
    let told = usage().await;
    assert_eq!((&told["plan_type"], &told["pool"]), (&json!("pool"), &json!({"accounts": 2, "usable": 2})));
    let limit = &told["rate_limit"];
    assert_eq!((&limit["allowed"], &limit["limit_reached"]), (&json!(true), &json!(false)));
    assert_eq!(limit["primary_window"]["limit_window_seconds"], 18_000);
    assert_eq!(limit["secondary_window"]["limit_window_seconds"], 604_800);
    let window = &limit["primary_window"];
    assert!(window["reset_at"].as_u64().unwrap() > 1_700_000_000 && window["reset_after_seconds"].is_u64());
    assert_eq!(
        get(&stage.gateway.at("/api/codex/usage"), &stage.gateway.auth()).await.json()["plan_type"],
        "pool"
    );
}

#[tokio::test]
async fn an_empty_pool_allows_nothing_and_has_no_window() {
    let stage = Stage::start("", &[], &[]).await;
    let told = get(&stage.gateway.at("/backend-api/wham/usage"), &stage.gateway.auth()).await.json();
    assert_eq!(told["rate_limit"]["allowed"], false);
    assert!(told["rate_limit"]["primary_window"].is_null(), "{told}");
}

#[tokio::test]
async fn side_calls_want_the_key_but_for_the_one_that_the_client_asks_without() {
    let stage = Stage::start("", &[], &[]).await;
    for row in table() {
        let body = if row.method == "GET" { "" } else { r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"# };
        let answer = send(row.method, &stage.gateway.at(row.path), &[], body).await.unwrap();
        let keyless = row.path.ends_with("/mcp") || row.path.ends_with("/apps");
        assert_eq!(answer.status, if keyless { 200 } else { 401 }, "{} {}", row.method, row.path);
    }
}

#[tokio::test]
async fn the_mcp_server_has_nothing_and_says_so() {
    let stage = Stage::start("", &[], &[]).await;
    let url = stage.gateway.at("/backend-api/ps/mcp");
    let ask = async |id: Value, method: &str| {
        let params = json!({"protocolVersion": "2026-01-01"});
        post(&url, &[], &json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})).await
    };
    let begun = ask(json!(0), "initialize").await.json();
    assert_eq!((&begun["id"], &begun["result"]["protocolVersion"]), (&json!(0), &json!("2026-01-01")));
    assert_eq!(
        ask(json!("a"), "tools/list").await.json(),
        json!({"jsonrpc": "2.0", "id": "a", "result": {"tools": []}})
    );
    assert_eq!(ask(json!(3), "tools/call").await.json()["error"]["code"], -32601);
    let notified = ask(Value::Null, "notifications/initialized").await;
    assert_eq!((notified.status, notified.text().as_str()), (202, ""));
    assert_eq!(send("POST", &url, &[], "[1]").await.unwrap().status, 400);
}
