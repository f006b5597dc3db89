//! What each kind of failure does: to the request, and to the account.

use pollux_tests::kit::{Answer, Events, Stage, contents, wait_until};
use pollux_tests::simulator::{Ending, Fault, Gate, Injection, Reply, Simulator, google, openai};
use serde_json::{Value, json};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(20);
const HOUR: Duration = Duration::from_hours(1);
const CODEX: &str = "/codex/responses";

/// Two accounts at `OpenAI`, of which bob refuses.
async fn codex_pair(refusal: openai::Refusal) -> Stage {
    let stage = Stage::start("", &[], &["bob", "carol"]).await;
    stage.simulator.openai().account("bob").refuse(Some(refusal));
    stage
}

/// Two accounts at Google, of which alice refuses.
async fn gemini_pair(refusal: google::Refusal) -> Stage {
    let stage = Stage::start("", &["alice", "dave"], &[]).await;
    stage.simulator.google().account("alice").refuse(Some(refusal));
    stage
}

/// Asks until the account has been met, which takes two turns at most; every answer must be good.
async fn meet(stage: &Stage, label: &str) {
    for _ in 0..4 {
        let answers =
            if label == "alice" { [stage.gemini("PING").await] } else { [stage.codex("PING").await] };
        for answer in answers {
            assert_eq!(answer.status, 200, "{}", answer.text());
        }
        if stage.asked().iter().any(|asked| asked == label) {
            return;
        }
    }
    panic!("{label} was never asked: {:?}", stage.asked());
}

fn times(stage: &Stage, label: &str) -> usize {
    stage.asked().iter().filter(|asked| *asked == label).count()
}

fn is_suspended(account: &Value, code: &str) -> bool {
    account["state"] == "suspended" && account["reason"]["code"] == code
}

#[tokio::test]
async fn a_429_moves_the_request_to_another_account_and_rests_the_first() {
    let stage = codex_pair(openai::Refusal::RateLimited(Some(600))).await;
    meet(&stage, "bob").await;
    for _ in 0..4 {
        assert_eq!(stage.codex("PING").await.status, 200);
    }
    assert_eq!(times(&stage, "bob"), 1, "it rests: {:?}", stage.asked());
    let cooling = stage.account("bob").await["cooling"].take();
    assert_eq!(cooling[0]["model"], "gpt-5.5", "only this model rests: {cooling}");
    let other = json!({"model": "gpt-5.2-codex", "input": "x"});
    stage.simulator.openai().account("bob").refuse(None);
    stage.simulator.openai().account("carol").refuse(Some(openai::Refusal::Overloaded));
    assert_eq!(stage.post("/codex/v1/responses", &other).await.status, 200, "other models are not parked");
}

#[tokio::test]
async fn a_usage_limit_rests_the_whole_account_until_its_reset() {
    let stage = codex_pair(openai::Refusal::UsageLimitReached(HOUR)).await;
    meet(&stage, "bob").await;
    let other = json!({"model": "gpt-5.2-codex", "input": "x"});
    for _ in 0..3 {
        assert_eq!(stage.codex("PING").await.status, 200);
        assert_eq!(stage.post("/codex/v1/responses", &other).await.status, 200);
    }
    assert_eq!(times(&stage, "bob"), 1, "{:?}", stage.asked());
    let account = stage.account("bob").await;
    assert_eq!((&account["state"], &account["cooling"][0]["model"]), (&json!("active"), &Value::Null));
    let until = account["cooling"][0]["until"].as_u64().unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    assert!((now + 3500..now + 3700).contains(&until), "{until} {now}");
}

#[tokio::test]
async fn a_gemini_quota_moves_the_request_in_every_shape() {
    for refusal in [
        google::Refusal::QuotaExhausted(HOUR),
        google::Refusal::QuotaExhaustedGo(HOUR),
        google::Refusal::RateLimited(Duration::from_mins(2)),
        google::Refusal::CapacityExhausted,
        google::Refusal::QuotaFailurePerDay,
        google::Refusal::BareVertex,
        google::Refusal::InArray(Box::new(google::Refusal::QuotaExhausted(HOUR))),
    ] {
        let stage = gemini_pair(refusal.clone()).await;
        meet(&stage, "alice").await;
        let events = stage.gemini_stream("PING").await.rest(LIMIT).await;
        assert_eq!(events.last().unwrap().json()["candidates"][0]["finishReason"], "STOP", "{refusal:?}");
        assert_eq!(times(&stage, "alice"), 1, "{refusal:?}: {:?}", stage.asked());
        assert_eq!(stage.account("alice").await["state"], "active");
    }
}

#[tokio::test]
async fn a_stream_refused_with_200_and_an_error_first_still_moves() {
    let stage = Stage::start("", &["alice", "dave"], &[]).await;
    let quota = google::Refusal::QuotaExhausted(HOUR).error("gemini-2.5-pro");
    let id =
        stage.simulator.inject(Injection::new(Fault::ErrorAfter(0, quota)).path(":streamGenerateContent"));
    let events = stage.gemini_stream("PING").await.rest(LIMIT).await;
    assert_eq!(stage.simulator.hits(id), 1);
    assert!(events.iter().all(|event| event.json().get("error").is_none()), "{events:?}");
    assert_eq!(events.last().unwrap().json()["candidates"][0]["finishReason"], "STOP");
    let asked = stage.asked();
    assert!(asked.len() == 2 && asked[0] != asked[1], "{asked:?}");
    let rests = stage.account(asked[0].as_str()).await;
    assert!(rests["cooling"][0].is_object(), "{rests}");
}

#[tokio::test]
async fn a_failure_after_response_created_still_moves() {
    for streamed in [true, false] {
        let stage = codex_pair(openai::Refusal::in_band_usage_limit("plus", HOUR)).await;
        for _ in 0..3 {
            if streamed {
                let mut stream = stage.codex_stream("PING").await;
                let events = stream.rest(LIMIT).await;
                let names: Vec<_> = events.iter().filter_map(|event| event.name.as_deref()).collect();
                assert_eq!(names.iter().filter(|name| **name == "response.created").count(), 1, "{names:?}");
                assert_eq!(names.last(), Some(&"response.completed"));
            } else {
                assert_eq!(stage.codex("PING").await.status, 200);
            }
        }
        assert_eq!(times(&stage, "bob"), 1, "{:?}", stage.asked());
        assert!(stage.account("bob").await["cooling"][0]["until"].is_u64());
    }
}

#[tokio::test]
async fn a_server_error_moves_at_once_and_leaves_the_account_alone() {
    for fault in [
        Fault::Answer(openai::Refusal::ServerError.reply("")),
        Fault::Answer(openai::Refusal::Overloaded.reply("")),
        Fault::Answer(openai::Refusal::SlowDown.reply("")),
        Fault::text(502, "<html>bad gateway</html>"),
        Fault::text(504, ""),
    ] {
        let stage = Stage::start("", &[], &["bob", "carol"]).await;
        stage.simulator.inject(Injection::new(fault).path(CODEX));
        assert_eq!(stage.codex("PING").await.status, 200);
        let asked = stage.asked();
        assert!(asked.len() == 2 && asked[0] != asked[1], "{asked:?}");
        assert_eq!(stage.account(&asked[0]).await["cooling"], json!([]));
    }
}

#[tokio::test]
async fn with_one_account_a_server_error_is_tried_again_on_it() {
    let stage = Stage::start("", &["alice"], &["bob"]).await;
    stage
        .simulator
        .inject(Injection::new(Fault::Answer(openai::Refusal::ServerError.reply(""))).path(CODEX).times(2));
    assert_eq!(stage.codex("PING").await.status, 200);
    assert_eq!(times(&stage, "bob"), 3);
    stage.simulator.inject(
        Injection::new(Fault::Answer(google::Refusal::Unavailable.reply(""))).path("enerateContent").times(2),
    );
    assert_eq!(stage.gemini("PING").await.status, 200);
    assert_eq!(times(&stage, "alice"), 3);
}

#[tokio::test]
async fn retries_end_where_retry_max_times_says() {
    for (retries, config) in [(0, "retry_max_times = 0"), (2, "retry_max_times = 2"), (3, "")] {
        let config = format!("[providers.defaults]\n{config}");
        let stage = Stage::start(&config, &["alice"], &["bob", "carol"]).await;
        stage.simulator.inject(Injection::new(Fault::text(500, "{}")).path(CODEX).always());
        stage.simulator.inject(Injection::new(Fault::text(503, "{}")).path("enerateContent").always());
        let answer = stage.codex("PING").await;
        assert_eq!(
            (answer.status, stage.simulator.record().count(CODEX)),
            (500, retries + 1),
            "{}",
            answer.text()
        );
        let answer = stage.gemini("PING").await;
        assert_eq!((answer.status, times(&stage, "alice")), (503, retries + 1), "{}", answer.text());
    }
}

#[tokio::test]
async fn a_provider_may_have_its_own_number_of_retries() {
    let config = "[providers.defaults]\nretry_max_times = 3\n[providers.codex]\nretry_max_times = 1";
    let stage = Stage::start(config, &[], &["bob"]).await;
    stage.simulator.inject(Injection::new(Fault::text(500, "{}")).path(CODEX).always());
    assert_eq!(stage.codex("PING").await.status, 500);
    assert_eq!(times(&stage, "bob"), 2);
}

#[tokio::test]
async fn a_refused_connection_is_tried_again_and_told_as_502_with_its_origin() {
    let mut stage = Stage::start("[providers.defaults]\nretry_max_times = 1", &["alice"], &["bob"]).await;
    let nowhere = format!("http://127.0.0.1:{}", pollux_tests::kit::free_port());
    stage.gateway.set_env("POLLUX__PROVIDERS__CODEX__API_URL", &nowhere);
    stage.gateway.set_env("POLLUX__PROVIDERS__GEMINICLI__API_URL", &nowhere);
    stage.gateway.restart().await.unwrap();
    let id = ("x-request-id", "refused-1");
    for (path, body, origin) in [
        ("/codex/v1/responses", json!({"model": "gpt-5.5", "input": "x"}), "Codex"),
        ("/geminicli/v1beta/models/gemini-2.5-pro:generateContent", contents("x"), "Gemini CLI"),
    ] {
        let headers = [stage.gateway.auth()[0], id];
        let answer = pollux_tests::kit::post(&stage.gateway.at(path), &headers, &body).await;
        assert_eq!(answer.status, 502, "{}", answer.text());
        assert!(answer.json()["error"]["message"].as_str().unwrap().contains(origin), "{}", answer.text());
        assert!(!answer.text().contains("127.0.0.1"), "{}", answer.text());
    }
    let line = stage.story("refused-1").await;
    assert!(line.contains("attempts=2"), "{line}");
}

#[tokio::test]
async fn an_expired_token_is_refreshed_and_the_request_repeated_on_the_only_account() {
    let stage = Stage::start("", &["alice"], &["bob"]).await;
    let (google, openai) = (stage.simulator.google(), stage.simulator.openai());
    let before = (google.tally().refreshes, openai.tally().refreshes);
    openai.account("bob").expire_access_tokens();
    google.account("alice").expire_access_tokens();
    assert_eq!(stage.codex("PING").await.status, 200);
    assert_eq!(stage.gemini("PING").await.status, 200);
    assert_eq!((google.tally().refreshes, openai.tally().refreshes), (before.0 + 1, before.1 + 1));
    let statuses: Vec<_> = stage.generated().iter().filter_map(|one| one.status).collect();
    assert_eq!(statuses, [401, 200, 401, 200]);
    assert!(openai.reuses().is_empty());
}

#[tokio::test]
async fn many_requests_with_one_expired_token_cause_one_refresh() {
    let stage = Stage::start("", &[], &["bob"]).await;
    let openai = stage.simulator.openai();
    let before = openai.tally().refreshes;
    openai.account("bob").expire_access_tokens();
    let all = (0..20).map(|_| stage.codex("PING"));
    for answer in futures_util::future::join_all(all).await {
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    assert_eq!(openai.tally().refreshes, before + 1);
}

#[tokio::test]
async fn a_late_401_for_an_old_token_causes_no_second_refresh() {
    let stage = Stage::start("", &[], &["bob"]).await;
    let openai = stage.simulator.openai();
    let before = openai.tally().refreshes;
    let gate = Gate::new();
    stage.simulator.inject(Injection::new(Fault::GateBefore(gate.clone())).path(CODEX).containing("late"));
    let late = stage.codex("late");
    let meanwhile = async {
        assert!(gate.wait_for(1, LIMIT).await);
        openai.account("bob").expire_access_tokens();
        assert_eq!(stage.codex("early").await.status, 200);
        assert_eq!(openai.tally().refreshes, before + 1);
        gate.open();
    };
    let (late, ()) = futures_util::future::join(late, meanwhile).await;
    assert_eq!(late.status, 200, "{}", late.text());
    assert!(late.text().contains("late"));
    assert_eq!(openai.tally().refreshes, before + 1, "the old token's 401 says nothing of the new one");
    assert_eq!(stage.account("bob").await["state"], "active");
}

#[tokio::test]
async fn a_second_401_after_a_refresh_suspends_the_account() {
    let stage = Stage::start("", &["alice"], &["bob"]).await;
    stage.simulator.openai().account("bob").refuse(Some(openai::Refusal::TokenInvalidated));
    stage.simulator.google().account("alice").refuse(Some(google::Refusal::Unauthenticated));
    let before = stage.simulator.openai().tally().refreshes;
    for (answer, label) in [(stage.codex("PING").await, "bob"), (stage.gemini("PING").await, "alice")] {
        assert_eq!(answer.status, 502, "its own key is right: {}", answer.text());
        let account = stage.account_when(label, |account| account["state"] == "suspended").await;
        assert!(is_suspended(&account, "login_rejected"), "{account}");
        assert_eq!(times(&stage, label), 2, "{:?}", stage.asked());
    }
    assert_eq!(stage.simulator.openai().tally().refreshes, before + 1);
    let answer = stage.codex("PING").await;
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert!(answer.text().contains("no available credential"), "{}", answer.text());
}

#[tokio::test]
async fn a_dead_account_is_suspended_with_its_reason_while_another_serves() {
    for (refusal, code) in [
        (openai::Refusal::DeactivatedWorkspace, "deactivated_workspace"),
        (openai::Refusal::DeactivatedWorkspaceError, "deactivated_workspace"),
        (openai::Refusal::AccountDeactivated, "account_deactivated"),
        (openai::Refusal::UsageNotIncluded, "usage_not_included"),
    ] {
        let stage = codex_pair(refusal).await;
        meet(&stage, "bob").await;
        let account = stage.account_when("bob", |account| account["state"] == "suspended").await;
        assert!(is_suspended(&account, code), "{account}");
        assert_eq!(stage.codex("PING").await.status, 200);
        assert_eq!(times(&stage, "bob"), 1);
    }
    for (refusal, code, link) in [
        (google::Refusal::ValidationRequired, "validation_required", true),
        (google::Refusal::SubscriptionRequired, "subscription_required", false),
        (google::Refusal::TosViolation, "tos_violation", false),
        (google::Refusal::ServiceDisabled, "service_disabled", true),
        (google::Refusal::SecurityPolicyViolated, "security_policy_violated", false),
    ] {
        let stage = gemini_pair(refusal).await;
        meet(&stage, "alice").await;
        let account = stage.account_when("alice", |account| account["state"] == "suspended").await;
        assert!(is_suspended(&account, code), "{account}");
        assert_eq!(account["reason"]["link"].is_string(), link, "{account}");
        assert_eq!(times(&stage, "alice"), 1);
    }
}

#[tokio::test]
async fn a_403_without_a_reason_bans_nobody() {
    let stage = gemini_pair(google::Refusal::PermissionDenied).await;
    meet(&stage, "alice").await;
    assert_eq!(stage.gemini("PING").await.status, 200);
    assert_eq!(times(&stage, "alice"), 1, "it rests");
    let account = stage.account("alice").await;
    assert_eq!(account["state"], "active", "{account}");
    assert!(account["cooling"][0]["until"].is_u64());
}

#[tokio::test]
async fn a_403_of_cloudflare_rests_the_account_shortly_and_bans_nobody() {
    let stage = codex_pair(openai::Refusal::Cloudflare).await;
    meet(&stage, "bob").await;
    assert_eq!(stage.codex("PING").await.status, 200);
    assert_eq!(times(&stage, "bob"), 1, "it rests");
    let account = stage.account("bob").await;
    assert_eq!(account["state"], "active", "{account}");
    assert!(account["cooling"][0]["until"].is_u64(), "{account}");
}

#[tokio::test]
async fn an_account_without_the_model_is_left_out_for_that_model_only() {
    let stage = Stage::start("", &["alice", "dave"], &["bob", "carol"]).await;
    stage.simulator.google().account("alice").models(&["gemini-2.5-flash"]);
    stage.simulator.openai().account("bob").models(&["gpt-5.2-codex"]);
    meet(&stage, "alice").await;
    meet(&stage, "bob").await;
    for _ in 0..3 {
        assert_eq!(stage.gemini("PING").await.status, 200);
        assert_eq!(stage.codex("PING").await.status, 200);
    }
    assert_eq!((times(&stage, "alice"), times(&stage, "bob")), (1, 1));
    // Now only they are left, and still serve what they have.
    stage.simulator.google().account("dave").refuse(Some(google::Refusal::TosViolation));
    stage.simulator.openai().account("carol").refuse(Some(openai::Refusal::AccountDeactivated));
    let flash = "/geminicli/v1beta/models/gemini-2.5-flash:generateContent";
    for _ in 0..2 {
        assert_eq!(stage.post(flash, &contents("x")).await.status, 200);
        assert_eq!(
            stage.post("/codex/v1/responses", &json!({"model": "gpt-5.2-codex", "input": "x"})).await.status,
            200
        );
    }
    for (answer, status, model) in
        [(stage.gemini("x").await, 404, "gemini-2.5-pro"), (stage.codex("x").await, 400, "gpt-5.5")]
    {
        assert_eq!(answer.status, status, "nobody is left who has it: {}", answer.text());
        assert!(answer.text().contains(model), "{}", answer.text());
    }
}

/// Upstream saw one request, and the client a 502 that says whose fault it was.
fn lost(stage: &Stage, answer: &Answer) {
    assert_eq!(answer.status, 502, "{}", answer.text());
    assert!(answer.json()["error"]["message"].is_string());
    assert_eq!(stage.generated().len(), 1, "it may have been paid for: {:?}", stage.asked());
}

#[tokio::test]
async fn what_may_have_been_paid_for_is_never_repeated() {
    let config = "[upstream]\nresponse_timeout = \"1s\"\nstream_idle_timeout = \"1s\"";
    for fault in [
        Fault::Reset,
        Fault::Silence,
        Fault::Truncate(0),
        Fault::Truncate(40),
        Fault::ResetAfter(40),
        Fault::SilenceAfter(0),
        Fault::DelayHead(Duration::from_secs(4)),
    ] {
        let stage = Stage::start(config, &["alice", "dave"], &[]).await;
        stage.simulator.inject(Injection::new(fault.clone()).path("enerateContent").always());
        lost(&stage, &stage.gemini("PING").await);
        let stage = Stage::start(config, &[], &["bob", "carol"]).await;
        stage.simulator.inject(Injection::new(fault).path(CODEX).always());
        lost(&stage, &stage.codex("PING").await);
    }
}

#[tokio::test]
async fn a_stream_that_is_lost_before_its_first_byte_is_a_502_and_not_repeated() {
    let config = "[upstream]\nresponse_timeout = \"1s\"\nstream_idle_timeout = \"1s\"";
    for fault in [Fault::Reset, Fault::Truncate(0), Fault::EndAfter(0), Fault::SilenceAfter(0)] {
        let stage = Stage::start(config, &["alice", "dave"], &["bob", "carol"]).await;
        stage.simulator.inject(Injection::new(fault.clone()).path("enerateContent"));
        let stream = stage.gemini_stream("PING").await;
        assert_eq!((stream.status, stage.generated().len()), (502, 1), "{fault:?}");
        stage.simulator.inject(Injection::new(fault.clone()).path(CODEX));
        let stream = stage.codex_stream("PING").await;
        assert_eq!((stream.status, stage.generated().len()), (502, 2), "{fault:?}");
    }
}

#[tokio::test]
async fn a_200_that_holds_no_answer_is_a_502_and_never_forwarded() {
    let stage = Stage::start("", &["alice", "dave"], &["bob"]).await;
    for body in ["", "<html>captive portal</html>", "{}", "{\"traceId\":\"t\"}", "null", "[]"] {
        for (method, path) in [(":generateContent", "generateContent"), (":countTokens", "countTokens")] {
            if method == ":countTokens" && body.starts_with(['{', '[']) {
                continue; // the vendor's own, whatever it means
            }
            let reply = Reply::whole(200, "text/html", body.to_owned());
            let id = stage.simulator.inject(Injection::new(Fault::Answer(reply)).path(method));
            let answer =
                stage.post(&format!("/geminicli/v1beta/models/gemini-2.5-pro:{path}"), &contents("x")).await;
            assert_eq!((answer.status, stage.simulator.hits(id)), (502, 1), "{body}: {}", answer.text());
            assert!(answer.json()["error"]["message"].is_string(), "{body}: {}", answer.text());
            assert!(!answer.text().contains("html"), "{}", answer.text());
        }
        let reply = Reply::whole(200, "text/html", body.to_owned());
        stage.simulator.inject(Injection::new(Fault::Answer(reply)).path(CODEX));
        let answer = stage.codex("x").await;
        assert_eq!(answer.status, 502, "{body}: {}", answer.text());
        assert!(!answer.text().contains("html"), "{}", answer.text());
    }
}

#[tokio::test]
async fn a_reset_on_a_kept_connection_is_no_repetition_either() {
    let stage = Stage::start("", &[], &["bob", "carol"]).await;
    for _ in 0..3 {
        assert_eq!(stage.codex("warm").await.status, 200);
    }
    stage.simulator.inject(Injection::new(Fault::Reset).path(CODEX).containing("cut").always());
    assert_eq!(stage.codex("cut").await.status, 502);
    assert_eq!(stage.generated().len(), 4);
}

#[tokio::test]
async fn after_the_first_text_nothing_is_repeated() {
    let stage = Stage::start("", &["alice", "dave"], &["bob", "carol"]).await;
    stage.simulator.openai().habits(|habits| habits.rate_limits_event = false);
    let limit = openai::Refusal::in_band_usage_limit("plus", HOUR);
    let openai::Refusal::InBand(error) = limit else { panic!("in band") };
    // created, in_progress, item added, part added, and one delta.
    stage.simulator.inject(Injection::new(Fault::ErrorAfter(5, error)).path(CODEX));
    let mut stream: Events = stage.codex_stream("one two three").await;
    let events = stream.rest(LIMIT).await;
    assert_eq!(stream.status, 200);
    assert!(events.iter().any(|event| event.name.as_deref() == Some("response.output_text.delta")));
    let last = events.last().unwrap();
    assert_eq!(last.name.as_deref(), Some("response.failed"), "{events:?}");
    assert_eq!(last.json()["response"]["error"]["type"], "usage_limit_reached", "{}", last.data);
    let [only] = &stage.asked()[..] else { panic!("{:?}", stage.asked()) };
    let rests = async || stage.account(only).await["cooling"][0]["until"].is_u64();
    assert!(wait_until(rests, LIMIT).await, "the account's effect counts all the same");

    let quota = google::Refusal::QuotaExhausted(HOUR).error("gemini-2.5-pro");
    stage.simulator.inject(Injection::new(Fault::ErrorAfter(1, quota)).path(":streamGenerateContent"));
    let events = stage.gemini_stream("one two three").await.rest(LIMIT).await;
    assert_eq!(events.len(), 2, "{events:?}");
    assert_eq!(events[1].json()["error"]["status"], "RESOURCE_EXHAUSTED");
    assert!(
        events[1].json()["error"]["details"].to_string().contains("QUOTA_EXHAUSTED"),
        "{}",
        events[1].data
    );
    assert_eq!(stage.generated().len(), 2);
    let label = stage.asked()[1].clone();
    let rests = async || stage.account(&label).await["cooling"][0]["until"].is_u64();
    assert!(wait_until(rests, LIMIT).await);
}

#[tokio::test]
async fn the_clients_own_mistake_is_told_at_once() {
    let stage = Stage::start("", &["alice", "dave"], &["bob", "carol"]).await;
    let detail =
        openai::Refusal::Invalid("context_length_exceeded".into(), "too long".into(), Some("input".into()));
    let invalid = google::Refusal::InvalidArgument("bad schema".into());
    for (fault, status) in [
        (detail.reply(""), 400),
        (openai::Refusal::CyberPolicy.reply(""), 400),
        (openai::Refusal::Detail("Input must be a list".into()).reply(""), 400),
        (Reply::json(413, &json!({"detail": "too large"})), 413),
        (Reply::json(422, &json!({"detail": [{"msg": "x"}]})), 422),
        (Reply::json(404, &json!({"detail": "Not Found"})), 404),
    ] {
        let before = stage.generated().len();
        stage.simulator.inject(Injection::new(Fault::Answer(fault)).path(CODEX));
        assert_eq!((stage.codex("x").await.status, stage.generated().len()), (status, before + 1));
    }
    for (fault, status) in [(invalid.reply(""), 400), (google::Refusal::FailedPrecondition.reply(""), 400)] {
        let before = stage.generated().len();
        stage.simulator.inject(Injection::new(Fault::Answer(fault)).path("enerateContent"));
        assert_eq!((stage.gemini("x").await.status, stage.generated().len()), (status, before + 1));
    }
    for label in ["alice", "bob", "carol", "dave"] {
        let account = stage.account(label).await;
        assert_eq!((&account["state"], &account["cooling"]), (&json!("active"), &json!([])));
    }
}

#[tokio::test]
async fn a_dead_account_in_the_token_endpoint_does_not_stop_the_request() {
    let stage = Stage::start("", &[], &["bob", "carol"]).await;
    let bob = stage.simulator.openai().account("bob");
    bob.expire_access_tokens();
    bob.revoke();
    for _ in 0..3 {
        assert_eq!(stage.codex("PING").await.status, 200);
    }
    let account = stage.account_when("bob", |account| account["state"] != "active").await;
    assert_ne!(account["state"], "active", "{account}");
    assert!(account["reason"]["code"].is_string(), "{account}");
}

#[tokio::test]
async fn a_token_endpoint_that_is_down_costs_no_account() {
    for refusal in [(429, "rate_limit_exceeded"), (500, "server_error"), (503, "slow_down")] {
        let stage = Stage::start("", &[], &["bob"]).await;
        let bob = stage.simulator.openai().account("bob");
        bob.expire_access_tokens();
        bob.refuse_refresh(Some(refusal));
        let answer = stage.codex("PING").await;
        assert!(matches!(answer.status, 429 | 502 | 503), "{}", answer.text());
        assert_eq!(stage.account("bob").await["state"], "active", "{refusal:?}");
        bob.refuse_refresh(None);
        let served = async || stage.codex("PING").await.status == 200;
        assert!(wait_until(served, LIMIT).await, "{refusal:?}: it recovers by itself");
    }
}

#[tokio::test]
async fn a_request_at_the_edge_of_expiry_waits_for_the_refresh_instead_of_failing() {
    let simulator = Simulator::start();
    simulator.openai().account("bob").token_lifetime(Duration::from_secs(2));
    simulator.google().account("alice").token_lifetime(Duration::from_secs(2));
    let builder = pollux_tests::kit::Gateway::builder().config("[pool]\nacquire_timeout = \"10s\"");
    let stage = Stage::with(simulator, builder, &["alice"], &["bob"]).await;
    for _ in 0..8 {
        let (codex, gemini) = futures_util::future::join(stage.codex("PING"), stage.gemini("PING")).await;
        assert_eq!((codex.status, gemini.status), (200, 200), "{} {}", codex.text(), gemini.text());
        tokio::time::sleep(Duration::from_millis(400)).await;
    }
    assert!(stage.simulator.openai().reuses().is_empty());
    let cut = stage.generated().iter().filter(|one| one.ending() == Some(Ending::Cut)).count();
    assert_eq!(cut, 0);
}
