//! What clients are told when something fails.

use pollux_tests::kit::{Answer, Stage, contents};
use pollux_tests::simulator::{Answer as Turn, Fault, Injection, Reply, google, openai};
use serde_json::{Value, json};
use std::time::Duration;

const HOUR: Duration = Duration::from_hours(1);
const CODEX: &str = "/codex/responses";
const GEMINI: &str = "enerateContent";

fn error(answer: &Answer) -> Value {
    let error = answer.json()["error"].take();
    assert!(error.is_object(), "{}", answer.text());
    error
}

fn retry_after(answer: &Answer) -> Option<u64> {
    answer.header("retry-after").map(|value| value.parse().expect("a number of seconds"))
}

fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

/// The answer of Codex, both ways, where this is all that upstream says.
async fn codex_told(reply: Reply) -> Vec<Answer> {
    let stage = Stage::start("[providers.defaults]\nretry_max_times = 0", &[], &["bob", "carol"]).await;
    stage.simulator.inject(Injection::new(Fault::Answer(reply)).path(CODEX).always());
    let streamed = json!({"model": "gpt-5.5", "input": "x", "stream": true});
    vec![stage.codex("x").await, stage.post("/codex/v1/responses", &streamed).await]
}

/// The answer of Gemini in all of its shapes, where this is all that upstream says. Who asked for a list gets a list
/// of one; it is taken out of it here.
async fn gemini_told(reply: Reply) -> Vec<Answer> {
    let config = "[providers.defaults]\nretry_max_times = 0";
    let stage = Stage::start(config, &["alice", "dave", "erin", "frank"], &[]).await;
    stage.simulator.inject(Injection::new(Fault::Answer(reply)).path("/v1internal:").always());
    let mut answers = Vec::new();
    for method in
        ["generateContent", "streamGenerateContent?alt=sse", "streamGenerateContent?alt=json", "countTokens"]
    {
        let path = format!("/geminicli/v1beta/models/gemini-2.5-pro:{method}");
        let mut answer = stage.post(&path, &contents("x")).await;
        if method.ends_with("alt=json") {
            let inside = answer.body.strip_prefix(b"[").and_then(|body| body.strip_suffix(b"]"));
            answer.body = inside.unwrap_or_else(|| panic!("no list: {}", answer.text())).to_vec().into();
        }
        answers.push(answer);
    }
    answers
}

#[tokio::test]
async fn a_usage_limit_keeps_type_plan_and_reset_and_has_no_retry_after() {
    for answer in codex_told(openai::Refusal::UsageLimitReached(HOUR).reply("")).await {
        let error = error(&answer);
        assert_eq!((answer.status, &error["type"]), (429, &json!("usage_limit_reached")));
        assert_eq!(error["plan_type"], "plus");
        assert!(error["resets_at"].as_u64().unwrap() > now() + 3000, "{error}");
        assert!(error["resets_in_seconds"].is_u64() && error["message"].is_string());
        assert_eq!(retry_after(&answer), None, "Codex CLI would repeat it");
    }
}

#[tokio::test]
async fn a_usage_limit_inside_a_stream_is_told_as_the_429_it_is() {
    let stage = Stage::start("", &[], &["bob"]).await;
    stage.simulator.openai().account("bob").refuse(Some(openai::Refusal::in_band_usage_limit("pro", HOUR)));
    let answer = stage.codex("x").await;
    let error = error(&answer);
    assert_eq!(
        (answer.status, &error["type"], &error["plan_type"]),
        (429, &json!("usage_limit_reached"), &json!("pro"))
    );
    assert_eq!(retry_after(&answer), None);
}

#[tokio::test]
async fn a_retryable_429_has_a_retry_after() {
    for refusal in [
        openai::Refusal::RateLimited(Some(7)),
        openai::Refusal::RateLimited(None),
        openai::Refusal::RateLimitDetail,
    ] {
        for answer in codex_told(refusal.reply("")).await {
            assert_eq!(answer.status, 429);
            assert!(error(&answer)["message"].is_string());
            let wait = retry_after(&answer).unwrap_or_else(|| panic!("{refusal:?} {:?}", answer.headers));
            assert!((1..=60).contains(&wait), "{wait}");
        }
    }
    for (refusal, most) in
        [(google::Refusal::RateLimited(Duration::from_secs(20)), 21), (google::Refusal::BareVertex, 60)]
    {
        for answer in gemini_told(refusal.reply("gemini-2.5-pro")).await {
            assert_eq!(answer.status, 429, "{}", answer.text());
            assert_eq!(error(&answer)["status"], "RESOURCE_EXHAUSTED");
            let wait = retry_after(&answer).unwrap_or_else(|| panic!("{refusal:?} {:?}", answer.headers));
            assert!((1..=most).contains(&wait), "{wait}");
        }
    }
}

#[tokio::test]
async fn a_terminal_gemini_429_keeps_its_details_and_has_no_retry_after() {
    for (refusal, mark) in [
        (google::Refusal::QuotaExhausted(HOUR), "QUOTA_EXHAUSTED"),
        (google::Refusal::QuotaFailurePerDay, "PerDay"),
        (google::Refusal::InArray(Box::new(google::Refusal::QuotaExhausted(HOUR))), "QUOTA_EXHAUSTED"),
    ] {
        let details = refusal.error("gemini-2.5-pro")["details"].clone();
        let reply = refusal.reply("gemini-2.5-pro");
        for answer in gemini_told(reply).await {
            let error = error(&answer);
            assert_eq!((answer.status, &error["code"]), (429, &json!(429)));
            assert_eq!(error["details"].as_array().unwrap().len(), details.as_array().unwrap().len());
            assert!(error["details"].to_string().contains(mark), "{error}");
            assert_eq!(retry_after(&answer), None, "{error}");
        }
    }
}

#[tokio::test]
async fn upstreams_own_bytes_reach_the_client_where_the_dialect_is_the_same() {
    let body = r#"{ "error" : {"code":"context_length_exceeded","message":"too \u0061 long","type":"invalid_request_error","param":"input","future":[1e5]}, "more":1 }"#;
    for answer in codex_told(Reply::whole(400, "application/json", body)).await {
        assert_eq!((answer.status, answer.text().as_str()), (400, body));
        assert!(answer.header("content-type").unwrap().starts_with("application/json"));
    }
    let body = r#"{ "error": {"code":400,"message":"bad \u0061","status":"FAILED_PRECONDITION","details":[{"@type":"x","future":1.50}]} }"#;
    for answer in gemini_told(Reply::whole(400, "application/json", body)).await {
        assert_eq!((answer.status, answer.text().as_str()), (400, body));
    }
}

#[tokio::test]
async fn detail_shaped_bodies_get_an_error_object_and_keep_the_detail() {
    for (body, status, says) in [
        (json!({"detail": "Store must be set to false"}), 400, "Store must be set to false"),
        (json!({"detail": "Unsupported parameter: foo"}), 400, "Unsupported parameter: foo"),
        (json!({"detail": {"code": "odd_thing", "message": "it is odd"}}), 422, "it is odd"),
        (json!({"detail": [{"msg": "Field required"}]}), 422, "Field required"),
        (json!({"message": "bare"}), 400, "bare"),
        (json!({"error": "plain words"}), 400, "plain words"),
    ] {
        for answer in codex_told(Reply::json(status, &body)).await {
            let error = error(&answer);
            assert_eq!(answer.status, status);
            assert!(error["message"].as_str().unwrap().contains(says), "{error}");
            assert!(
                error["type"].is_string() && error.get("code").is_some() && error.get("param").is_some(),
                "{error}"
            );
            if body.get("detail").is_some() {
                assert_eq!(answer.json()["detail"], body["detail"]);
            }
        }
    }
    let [answer, ..] =
        &codex_told(Reply::json(400, &json!({"detail": "Unsupported parameter: foo"}))).await[..]
    else {
        panic!()
    };
    assert_eq!(
        (&error(answer)["code"], &error(answer)["param"]),
        (&json!("unsupported_parameter"), &json!("foo"))
    );
}

#[tokio::test]
async fn a_page_is_never_forwarded() {
    let page = "<!DOCTYPE html><title>Error</title><body>secret-internals</body>";
    for status in [400, 404, 413, 429, 500, 502, 503, 504, 520] {
        let mut answers = codex_told(Reply::html(status, page)).await;
        answers.extend(gemini_told(Reply::html(status, page)).await);
        for answer in answers {
            assert_eq!(answer.status, status, "{}", answer.text());
            assert!(!answer.text().contains('<') && !answer.text().contains("secret"), "{}", answer.text());
            assert!(error(&answer)["message"].is_string());
            assert!(answer.header("content-type").unwrap().starts_with("application/json"));
        }
    }
}

#[tokio::test]
async fn a_401_or_403_of_our_account_is_a_502_that_names_the_origin() {
    for reply in [
        openai::Refusal::TokenInvalidated.reply(""),
        openai::Refusal::AccountDeactivated.reply(""),
        openai::Refusal::DeactivatedWorkspace.reply(""),
        openai::Refusal::Cloudflare.reply(""),
        Reply::json(403, &json!({"detail": "Forbidden"})),
    ] {
        for answer in codex_told(reply).await {
            assert_eq!(answer.status, 502, "{}", answer.text());
            assert!(error(&answer)["message"].as_str().unwrap().contains("Codex"), "{}", answer.text());
        }
    }
    for refusal in [
        google::Refusal::Unauthenticated,
        google::Refusal::PermissionDenied,
        google::Refusal::ValidationRequired,
        google::Refusal::TosViolation,
    ] {
        for answer in gemini_told(refusal.reply("")).await {
            assert_eq!(answer.status, 502, "{}", answer.text());
            assert!(error(&answer)["message"].as_str().unwrap().contains("Gemini CLI"), "{}", answer.text());
        }
    }
}

#[tokio::test]
async fn an_empty_pool_is_a_503_that_says_so() {
    let stage = Stage::start("", &[], &[]).await;
    for answer in [
        stage.codex("x").await,
        stage.post("/codex/v1/responses", &json!({"model": "gpt-5.5", "stream": true, "input": []})).await,
        stage.gemini("x").await,
        stage.post("/geminicli/v1/models/gemini-2.5-pro:streamGenerateContent", &contents("x")).await,
    ] {
        assert_eq!(answer.status, 503, "{}", answer.text());
        assert!(error(&answer)["message"].as_str().unwrap().contains("no available credential"));
    }
}

#[tokio::test]
async fn a_pool_that_rests_for_long_is_a_429_with_the_soonest_deadline_and_no_retry_after() {
    let stage = Stage::start("", &["alice", "dave"], &["bob", "carol"]).await;
    for (label, hours) in [("bob", 3), ("carol", 2)] {
        stage
            .simulator
            .openai()
            .account(label)
            .refuse(Some(openai::Refusal::UsageLimitReached(HOUR * hours)));
    }
    for (label, hours) in [("alice", 2), ("dave", 3)] {
        stage.simulator.google().account(label).refuse(Some(google::Refusal::QuotaExhausted(HOUR * hours)));
    }
    assert_eq!((stage.codex("x").await.status, stage.gemini("x").await.status), (429, 429));
    let before = stage.generated().len();
    assert_eq!(before, 4);
    let codex = stage.codex("x").await;
    let told = error(&codex);
    assert_eq!((codex.status, &told["type"]), (429, &json!("usage_limit_reached")));
    let reset = told["resets_at"].as_u64().unwrap();
    assert!((now() + 7000..now() + 7300).contains(&reset), "the soonest: {told}");
    assert_eq!(retry_after(&codex), None);
    let gemini = stage.gemini("x").await;
    let told = error(&gemini);
    assert_eq!((gemini.status, &told["status"]), (429, &json!("RESOURCE_EXHAUSTED")));
    assert!(told["details"].to_string().contains("PerDay"), "Gemini CLI stops only for such a one: {told}");
    assert_eq!(retry_after(&gemini), None);
    assert_eq!(stage.generated().len(), before, "nobody was asked again");
}

#[tokio::test]
async fn a_pool_that_rests_shortly_is_a_429_with_retry_after() {
    let stage = Stage::start("", &["alice"], &["bob"]).await;
    stage.simulator.openai().account("bob").refuse(Some(openai::Refusal::RateLimited(Some(30))));
    stage
        .simulator
        .google()
        .account("alice")
        .refuse(Some(google::Refusal::RateLimited(Duration::from_secs(30))));
    // The first answer is upstream's own, the second the pool's.
    for _ in 0..2 {
        for answer in [stage.codex("x").await, stage.gemini("x").await] {
            assert_eq!(answer.status, 429, "{}", answer.text());
            let wait = retry_after(&answer).expect("a wait");
            assert!((20..=31).contains(&wait), "{wait}");
        }
    }
    assert_eq!(stage.generated().len(), 2);
}

#[tokio::test]
async fn the_real_error_is_told_and_not_that_the_pool_is_empty_now() {
    let stage = Stage::start("", &["alice"], &["bob"]).await;
    stage.simulator.openai().account("bob").refuse(Some(openai::Refusal::UsageNotIncluded));
    stage.simulator.google().account("alice").refuse(Some(google::Refusal::QuotaExhausted(HOUR)));
    let codex = stage.codex("x").await;
    assert_eq!(
        (codex.status, &error(&codex)["type"]),
        (429, &json!("usage_not_included")),
        "{}",
        codex.text()
    );
    assert_eq!(retry_after(&codex), None);
    let gemini = stage.gemini("x").await;
    assert!(gemini.status == 429 && gemini.text().contains("Individual quota reached"), "{}", gemini.text());
}

#[tokio::test]
async fn a_5xx_keeps_its_status_code_and_retry_after() {
    for (refusal, status, code) in [
        (openai::Refusal::ServerError, 500, "server_error"),
        (openai::Refusal::Overloaded, 503, "server_is_overloaded"),
    ] {
        for answer in codex_told(refusal.reply("").with("retry-after", "3")).await {
            assert_eq!((answer.status, &error(&answer)["code"]), (status, &json!(code)));
            assert_eq!(retry_after(&answer), Some(3));
        }
    }
    for (refusal, status) in
        [(google::Refusal::Internal, "INTERNAL"), (google::Refusal::Unavailable, "UNAVAILABLE")]
    {
        for answer in gemini_told(refusal.reply("")).await {
            assert_eq!(error(&answer)["status"], status);
            assert!(answer.status >= 500);
        }
    }
}

#[tokio::test]
async fn a_failed_answer_in_one_document_is_an_error_and_never_200() {
    let stage = Stage::start("[providers.defaults]\nretry_max_times = 0", &[], &["bob"]).await;
    for (code, status) in [
        ("server_error", 500),
        ("context_length_exceeded", 400),
        ("invalid_prompt", 400),
        ("server_is_overloaded", 503),
        ("cyber_policy", 400),
    ] {
        let refusal = openai::Refusal::InBand(json!({"code": code, "message": "it did not work"}));
        stage.simulator.openai().account("bob").refuse(Some(refusal));
        let answer = stage.codex("x").await;
        let error = error(&answer);
        assert_eq!((answer.status, &error["code"]), (status, &json!(code)), "{error}");
        assert_eq!(error["message"], "it did not work");
    }
    stage.simulator.openai().account("bob").refuse(None);
    // Events of no known kind, none at all, or a bare error.
    let flat = json!({"type": "error", "code": "server_error", "message": "flat", "param": null, "sequence_number": 0});
    stage.simulator.openai().script().next(Turn::Json(flat));
    let answer = stage.codex("x").await;
    assert_eq!((answer.status, &error(&answer)["message"]), (500, &json!("flat")));
    for raw in [
        "",
        ": nothing\n\n",
        "data: {\"type\":\"unknown\"}\n\n",
        "data: [DONE]\n\n",
        "data: null\n\n",
        "data: {br\n\n",
    ] {
        stage.simulator.openai().script().next(Turn::Raw(vec![raw.as_bytes().to_vec().into()]));
        let answer = stage.codex("x").await;
        assert_eq!(answer.status, 502, "{raw:?}: {}", answer.text());
        assert!(error(&answer)["message"].is_string());
    }
}

#[tokio::test]
async fn a_codex_client_that_is_too_old_for_a_model_is_told_upstreams_reason() {
    let stage = Stage::start("", &[], &["bob", "carol"]).await;
    stage.simulator.openai().model(openai::Model::new("gpt-5.5").since("0.153.0"));
    let body = json!({"model": "gpt-5.5", "input": "x"});
    let ask = async |agent: &str, version: &str| {
        let headers = [
            stage.gateway.auth()[0],
            ("user-agent", agent),
            ("originator", "codex_exec"),
            ("version", version),
        ];
        pollux_tests::kit::post(&stage.gateway.at("/codex/v1/responses"), &headers, &body).await
    };
    let old = ask("codex_exec/0.99.0", "0.99.0").await;
    assert_eq!(old.status, 400, "{}", old.text());
    assert!(old.text().contains("not supported"), "{}", old.text());
    assert_eq!(stage.asked().len(), 1, "no other account would help it");
    let new = ask("codex_exec/0.169.0", "0.169.0").await;
    assert_eq!(new.status, 200, "the old client cost no account its model: {}", new.text());
}

#[tokio::test]
async fn rate_limit_and_request_id_headers_of_upstream_come_back() {
    let stage = Stage::start("", &[], &["bob"]).await;
    stage.simulator.openai().account("bob").used(37.0, 12.0);
    let streamed = stage.codex_stream("x").await;
    let unary = stage.codex("x").await;
    for headers in [&streamed.headers, &unary.headers] {
        assert_eq!(headers["x-codex-primary-used-percent"], "37");
        assert!(headers.contains_key("x-codex-turn-state") && headers.contains_key("x-oai-request-id"));
        assert!(headers.contains_key("x-models-etag"));
        assert!(!headers.contains_key("openai-model"), "Codex CLI warns about it");
        assert_eq!(headers.get_all("x-request-id").iter().count(), 1);
    }
    stage.simulator.openai().account("bob").refuse(Some(openai::Refusal::UsageLimitReached(HOUR)));
    let limited = stage.codex("x").await;
    assert_eq!(limited.header("x-codex-primary-used-percent"), Some("37"), "{:?}", limited.headers);
}

#[tokio::test]
async fn an_error_body_without_end_is_capped() {
    let stage = Stage::start("[providers.defaults]\nretry_max_times = 0", &["alice"], &["bob"]).await;
    stage.simulator.inject(Injection::new(Fault::huge(400, 30 << 20)).path(CODEX));
    stage.simulator.inject(Injection::new(Fault::huge(400, 30 << 20)).path(GEMINI));
    for answer in [stage.codex("x").await, stage.gemini("x").await] {
        assert_eq!(answer.status, 400, "{}", answer.text());
        assert!(answer.body.len() < 2 << 20, "{}", answer.body.len());
        assert!(error(&answer)["message"].is_string());
    }
}
