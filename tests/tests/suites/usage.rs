//! One record for each request: what it says, whatever became of the request.

use pollux_tests::kit::{Gateway, Stage, contents, get, post, send, wait_until};
use pollux_tests::simulator::{Fault, Gate, Injection, Simulator, google, openai};
use serde_json::{Value, json};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(30);
const CODEX: &str = "/codex/v1/responses";
const BACKEND: &str = "/codex/responses";

/// The records so far, oldest first.
pub(super) async fn recorded(stage: &Stage) -> Vec<Value> {
    let answer = stage.admin("GET", "/admin/usage/requests?limit=1000", "").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let mut rows = answer.json()["rows"].as_array().unwrap().clone();
    rows.reverse();
    rows
}

/// The records, once there are so many; more would show soon after.
pub(super) async fn records(stage: &Stage, count: usize) -> Vec<Value> {
    let there = || async { recorded(stage).await.len() >= count };
    assert!(wait_until(there, LIMIT).await, "{:#?}", recorded(stage).await);
    let rows = recorded(stage).await;
    assert_eq!(rows.len(), count, "{rows:#?}");
    rows
}

/// The record of the request with this id, once it is there.
async fn record(stage: &Stage, request_id: &str) -> Value {
    let find = || async {
        let rows = recorded(stage).await;
        rows.into_iter().filter(|row| row["request_id"] == request_id).collect::<Vec<_>>()
    };
    assert!(wait_until(|| async { !find().await.is_empty() }, LIMIT).await, "no record of {request_id}");
    let mut found = find().await;
    assert_eq!(found.len(), 1, "{found:#?}");
    found.remove(0)
}

fn tokens(row: &Value) -> [&Value; 5] {
    ["input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens"]
        .map(|name| &row[name])
}

/// Input and output as a vendor's own words on usage tell them.
fn told(usage: &Value) -> [Value; 2] {
    if usage["promptTokenCount"].is_u64() {
        let count = |name: &str| usage[name].as_u64().unwrap_or(0);
        let spoken = count("candidatesTokenCount") + count("thoughtsTokenCount");
        return [json!(count("promptTokenCount")), json!(spoken)];
    }
    [usage["input_tokens"].clone(), usage["output_tokens"].clone()]
}

#[tokio::test]
async fn an_answer_in_one_document_has_a_record_with_its_tokens_and_price() {
    let stage = Stage::start("", &["alice"], &["bob"]).await;
    let codex = stage.codex("hello").await.json();
    let gemini = stage.gemini("hello").await.json();
    let rows = records(&stage, 2).await;
    for (row, usage, dialect, provider, model, label) in [
        (&rows[0], &codex["usage"], "responses", "codex", "gpt-5.5", "bob@example.com"),
        (&rows[1], &gemini["usageMetadata"], "gemini", "geminicli", "gemini-2.5-pro", "alice@example.com"),
    ] {
        assert_eq!(
            [&row["input_tokens"], &row["output_tokens"]],
            [&told(usage)[0], &told(usage)[1]],
            "{row:#}"
        );
        assert_eq!(
            [&row["dialect"], &row["provider"], &row["model"], &row["account_label"], &row["key"]],
            [dialect, provider, model, label, "owner"]
        );
        assert_eq!(
            (&row["status"], &row["outcome"], &row["attempts"]),
            (&json!(200), &json!("ok"), &json!(1))
        );
        assert_eq!(row["account"], stage.account(label.split('@').next().unwrap()).await["id"]);
        assert!(row["first_byte_ms"].as_u64() <= row["duration_ms"].as_u64(), "{row:#}");
        assert!(row["at"].as_str().is_some_and(|at| at.ends_with('Z')), "{row:#}");
    }
    let (input, output) =
        (rows[0]["input_tokens"].as_f64().unwrap(), rows[0]["output_tokens"].as_f64().unwrap());
    let cached = rows[0]["cache_read_tokens"].as_f64().unwrap();
    // The list price of gpt-5.5: 5 dollars in, 0.5 cached, 30 out, for a million each.
    let dollars = ((input - cached) * 5.0 + cached * 0.5 + output * 30.0) / 1e6;
    assert!((rows[0]["cost_usd"].as_f64().unwrap() - dollars).abs() < 1e-9, "{dollars} {:#}", rows[0]);
    // Google writes caches by itself and does not say how much.
    assert_eq!(rows[1]["cache_write_tokens"], Value::Null);
}

#[tokio::test]
async fn a_stream_has_one_record_however_often_it_tells_its_usage() {
    let stage = Stage::start("", &["alice"], &["bob"]).await;
    let mut codex = stage.codex_stream("one two three").await;
    let last = codex.rest(LIMIT).await.pop().unwrap().json();
    let mut gemini = stage.gemini_stream("one two three").await;
    let events = gemini.rest(LIMIT).await;
    assert!(events.len() > 1);
    let rows = records(&stage, 2).await;
    let gemini = events.last().unwrap().json()["usageMetadata"].clone();
    for (row, usage) in [(&rows[0], &last["response"]["usage"]), (&rows[1], &gemini)] {
        assert_eq!([row["input_tokens"].clone(), row["output_tokens"].clone()], told(usage), "{row:#}");
        assert_eq!((&row["verdict"], &row["outcome"]), (&json!("streamed"), &json!("ok")));
        assert!(row["cost_usd"].as_f64().unwrap() > 0.0);
    }
}

#[tokio::test]
async fn who_leaves_leaves_a_record() {
    let stage = Stage::start("[upstream]\nstream_idle_timeout = \"60s\"", &["alice"], &["bob"]).await;
    stage.simulator.inject(Injection::new(Fault::SilenceAfter(6)).path(BACKEND));
    let mut codex = stage.codex_stream("one two three").await;
    assert!(codex.next(LIMIT).await.is_some());
    drop(codex);
    stage.simulator.inject(Injection::new(Fault::SilenceAfter(1)).path("streamGenerateContent"));
    let mut gemini = stage.gemini_stream("one two three").await;
    assert!(gemini.next(LIMIT).await.is_some());
    drop(gemini);
    let gate = Gate::new();
    stage.simulator.inject(Injection::new(Fault::GateHead(gate.clone())).path(BACKEND));
    let waiting = tokio::time::timeout(Duration::from_secs(1), stage.codex("never read"));
    assert!(waiting.await.is_err());
    let rows = records(&stage, 3).await;
    for row in &rows {
        assert_eq!(
            (&row["outcome"], &row["verdict"]),
            (&json!("abandoned"), &json!("client_gone")),
            "{row:#}"
        );
    }
    // What the vendor tells with its last word was not heard, which is not the same as none.
    assert_eq!(tokens(&rows[0]), [&Value::Null; 5]);
    assert_eq!((&rows[0]["cost_usd"], &rows[0]["status"]), (&Value::Null, &json!(200)));
    assert_eq!(rows[2]["status"], Value::Null, "it got no status: {:#}", rows[2]);
    assert!(rows[2]["account"].is_u64());
    gate.open();
}

#[tokio::test]
async fn a_request_that_went_to_several_accounts_is_counted_once() {
    let stage = Stage::start("", &[], &["bob", "carol"]).await;
    stage
        .simulator
        .inject(Injection::new(Fault::Answer(openai::Refusal::ServerError.reply(""))).path(BACKEND));
    let usage = stage.codex("hello").await.json()["usage"].clone();
    let rows = records(&stage, 1).await;
    assert_eq!(rows[0]["attempts"], 2);
    assert_eq!([rows[0]["input_tokens"].clone(), rows[0]["output_tokens"].clone()], told(&usage));
    assert_eq!(rows[0]["account_label"], format!("{}@example.com", stage.asked()[1]), "the one that served");
}

#[tokio::test]
async fn failures_are_recorded_with_what_the_client_was_told() {
    let idle = "[upstream]\nstream_idle_timeout = \"500ms\"";
    let stage = Stage::start(idle, &["alice"], &["bob"]).await;
    let ask = async |id: &str, body: &Value| {
        let headers = [stage.gateway.auth()[0], ("x-request-id", id)];
        post(&stage.gateway.at(CODEX), &headers, body).await.status
    };
    let stream = json!({"model": "gpt-5.5", "input": "x", "stream": true});
    stage.simulator.inject(Injection::new(Fault::SilenceAfter(6)).path(BACKEND));
    assert_eq!(ask("broken", &stream).await, 200);
    let failure = json!({"code": "server_error", "message": "oh"});
    stage.simulator.inject(Injection::new(Fault::ErrorAfter(6, failure)).path(BACKEND));
    assert_eq!(ask("failed", &stream).await, 200);
    assert_eq!(ask("unknown-model", &json!({"model": "nobody's", "input": "x"})).await, 400);
    assert_eq!(ask("no-model", &json!({"input": "x"})).await, 400);
    stage.simulator.openai().account("bob").refuse(Some(openai::Refusal::UsageLimitReached(LIMIT * 600)));
    assert_eq!(ask("limit", &stream).await, 429);
    assert_eq!(ask("cooling", &stream).await, 429);
    for (id, status, attempts, verdict) in [
        ("broken", 200, 1, "broken"),
        ("failed", 200, 1, "failed"),
        ("unknown-model", 400, 0, "unknown_model"),
        ("no-model", 400, 0, "bad_body"),
        ("limit", 429, 1, "exhausted"),
        ("cooling", 429, 0, "exhausted"),
    ] {
        let row = record(&stage, id).await;
        assert_eq!(
            (&row["status"], &row["attempts"], &row["verdict"], &row["outcome"]),
            (&json!(status), &json!(attempts), &json!(verdict), &json!("failed")),
            "{row:#}"
        );
        assert_eq!((tokens(&row), &row["cost_usd"]), ([&Value::Null; 5], &Value::Null), "{id}");
        assert_eq!(row["account"].is_null(), attempts == 0, "{id}");
    }
    assert_eq!(record(&stage, "unknown-model").await["model"], Value::Null, "it is nobody's model");
    stage.simulator.google().account("alice").refuse(Some(google::Refusal::ServiceDisabled));
    let refused = stage.gemini("x").await.status;
    let row = records(&stage, 7).await.pop().unwrap();
    assert_eq!((&row["provider"], &row["status"]), (&json!("geminicli"), &json!(refused)));
}

#[tokio::test]
async fn strangers_lists_and_the_owners_own_doings_are_not_use() {
    let stage = Stage::start("", &["alice"], &["bob"]).await;
    let body = json!({"model": "gpt-5.5", "input": "x"});
    assert_eq!(post(&stage.gateway.at(CODEX), &[], &body).await.status, 401);
    assert_eq!(get(&stage.gateway.at("/codex/v1/models"), &stage.gateway.auth()).await.status, 200);
    assert_eq!(get(&stage.gateway.at("/usage"), &stage.gateway.auth()).await.status, 200);
    assert_eq!(stage.gemini("x").await.status, 200);
    let rows = records(&stage, 1).await;
    assert_eq!(rows[0]["provider"], "geminicli");
}

#[tokio::test]
async fn a_count_of_tokens_uses_none() {
    let stage = Stage::start("", &["alice"], &[]).await;
    let path = "/geminicli/v1beta/models/gemini-2.5-pro:countTokens";
    assert_eq!(stage.post(path, &contents("hello")).await.status, 200);
    let rows = records(&stage, 1).await;
    assert_eq!((tokens(&rows[0]), &rows[0]["outcome"]), ([&Value::Null; 5], &json!("ok")));
}

#[tokio::test]
async fn what_has_no_list_price_has_no_cost_and_the_owners_price_is_one() {
    let config = "[[usage.prices]]\nmodels = [\"gemini-2.5-pro\"]\ninput = 1000000\noutput = 0\n";
    let stage = Stage::start(config, &["alice"], &["bob"]).await;
    stage.gemini("hello").await;
    let priced = records(&stage, 1).await.remove(0);
    assert_eq!(priced["cost_usd"].as_f64(), priced["input_tokens"].as_f64(), "a dollar a token");
    // Its name is like another's, which has a price.
    let simulator = Simulator::start();
    simulator.openai().model(openai::Model::new("gpt-5.5-unheard-of"));
    let builder = Gateway::builder().env("POLLUX__PROVIDERS__CODEX__MODEL_LIST", r#"["gpt-5.5-unheard-of"]"#);
    let stage = Stage::with(simulator, builder, &[], &["bob"]).await;
    stage.post(CODEX, &json!({"model": "gpt-5.5-unheard-of", "input": "x"})).await;
    let unpriced = records(&stage, 1).await.remove(0);
    assert!(unpriced["input_tokens"].as_u64().unwrap() > 0);
    assert_eq!(unpriced["cost_usd"], Value::Null);
}

#[tokio::test]
async fn nothing_is_recorded_where_the_owner_does_not_want_it() {
    let stage = Stage::start("[usage]\nenabled = false", &["alice"], &[]).await;
    assert_eq!(stage.gemini("x").await.status, 200);
    // Longer than records wait to be written.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let answer = stage.admin("GET", "/admin/usage", "").await.json();
    assert_eq!((&answer["recording"], &answer["total"]["requests"]), (&json!(false), &json!(0)));
    assert_eq!(recorded(&stage).await.len(), 0);
}

#[tokio::test]
async fn a_record_holds_nothing_of_what_was_said_and_no_key() {
    let stage = Stage::start("", &["alice"], &[]).await;
    let secret = "the-text-of-a-private-letter";
    stage.gemini(secret).await;
    let url = format!("/geminicli/v1beta/models/gemini-2.5-pro:generateContent?key={}", stage.gateway.key());
    let body = contents(secret).to_string();
    let headers = [("content-type", "application/json")];
    assert_eq!(send("POST", &stage.gateway.at(&url), &headers, body).await.unwrap().status, 200);
    let text = json!(records(&stage, 2).await).to_string();
    assert!(!text.contains(secret) && !text.contains(stage.gateway.key()), "{text}");
}

#[tokio::test]
async fn many_at_once_are_all_recorded() {
    let stage = Stage::start("", &["alice", "amy"], &[]).await;
    let all = (0..60).map(|_| stage.gemini("x"));
    let answers = futures_util::future::join_all(all).await;
    let served = answers.iter().filter(|answer| answer.status == 200).count();
    let rows = records(&stage, 60).await;
    assert_eq!(rows.iter().filter(|row| row["outcome"] == "ok").count(), served);
    let metrics = stage.admin("GET", "/metrics", "").await.text();
    assert!(metrics.contains("pollux_usage_records_lost_total 0"), "{metrics}");
}
