//! Code Assist's own surface, as Gemini CLI asks for it: three methods through the pool, the rest answered here.

use pollux_tests::kit::{Answer, Stage, form, get, post, wait_until};
use pollux_tests::simulator::google::Refusal;
use pollux_tests::simulator::{Answer as Turn, Fault, Injection, Simulator};
use serde_json::{Value, json};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(30);
const WHOLE: &str = "/geminicli/v1internal:generateContent";
const STREAM: &str = "/geminicli/v1internal:streamGenerateContent?alt=sse";

/// Space and numbers in it are such as no JSON library would write.
const INSIDE: &str = r#"{ "contents":[ {"role":"user","parts":[{"text":"say \u0050ONG-7731"}]} ], "generationConfig":{"temperature":1.0e+0},"session_id":"s-1" }"#;

fn envelope(session: &str) -> Value {
    let contents = json!([{"role": "user", "parts": [{"text": "say PONG-7731"}]}]);
    json!({"model": "gemini-2.5-pro", "project": "pollux", "user_prompt_id": "u", "request": {"contents": contents, "session_id": session}})
}

fn text(envelope: &Value) -> String {
    let parts = envelope["response"]["candidates"][0]["content"]["parts"].as_array().into_iter().flatten();
    parts.filter_map(|part| part["text"].as_str()).collect()
}

async fn raw(stage: &Stage, path: &str, body: String) -> Answer {
    let headers = [&stage.gateway.auth()[..], &[("content-type", "application/json")]].concat();
    pollux_tests::kit::send("POST", &stage.gateway.at(path), &headers, body).await.unwrap()
}

#[tokio::test]
async fn the_accounts_project_takes_the_place_of_the_callers_and_all_inside_stays() {
    let stage = Stage::start("", &["alice"], &[]).await;
    let body = format!(
        r#"{{"project":"pollux","model":"gemini-2.5-pro","enabled_credit_types":["GOOGLE_ONE_AI"],"user_prompt_id":"u","request":{INSIDE}}}"#
    );
    let whole = raw(&stage, WHOLE, body.clone()).await;
    assert_eq!(text(&whole.json()), "say PONG-7731", "{}", whole.text());
    assert!(whole.json()["traceId"].is_string(), "the envelope stays: {}", whole.text());
    let streamed = raw(&stage, STREAM, body).await;
    let chunks = streamed.text();
    let chunks: Vec<Value> =
        chunks.lines().filter_map(|line| serde_json::from_str(line.strip_prefix("data: ")?).ok()).collect();
    assert_eq!(chunks.iter().map(text).collect::<String>(), "say PONG-7731", "{}", streamed.text());
    assert!(chunks.iter().all(|chunk| chunk["traceId"].is_string()));
    for sent in stage.generated() {
        let sent = String::from_utf8(sent.body.to_vec()).unwrap();
        assert!(sent.contains(INSIDE), "{sent}");
        let outside: Value = serde_json::from_str(&sent).unwrap();
        assert_eq!((&outside["project"], &outside["user_prompt_id"]), (&json!("alice-project"), &json!("u")));
        assert!(!sent.contains("GOOGLE_ONE_AI"), "nobody spends the owner's credits: {sent}");
    }
    assert_eq!(stage.generated().len(), 2);
}

#[tokio::test]
async fn a_count_goes_through_the_pool_as_it_is() {
    let stage = Stage::start("", &["alice"], &[]).await;
    let body = r#"{ "request":{"model":"models/gemini-2.5-pro", "contents":[{"parts":[{"text":"a"}]}]} }"#;
    let counted = raw(&stage, "/geminicli/v1internal:countTokens", body.into()).await;
    assert!(counted.json()["totalTokens"].as_u64().unwrap() > 0, "{}", counted.text());
    assert_eq!(stage.simulator.record().last(":countTokens").unwrap().body, body);
}

#[tokio::test]
async fn the_owners_balance_is_nobody_elses_to_see() {
    let stage = Stage::start("", &["alice"], &[]).await;
    let document = json!({"candidates": [{"content": {"parts": [{"text": "a"}]}, "finishReason": "STOP"}]});
    let credits = json!([{"creditType": "GOOGLE_ONE_AI", "creditAmount": "77"}]);
    let told = json!({"response": document, "traceId": "t", "remainingCredits": credits});
    for path in [WHOLE, STREAM] {
        stage.simulator.google().script().next(Turn::Json(told.clone()));
        let answer = stage.post(path, &envelope("s")).await;
        assert!(answer.text().contains(r#""traceId":"t""#), "{}", answer.text());
        assert!(!answer.text().contains("77"), "{}", answer.text());
    }
}

#[tokio::test]
async fn a_session_of_the_envelope_stays_with_its_account() {
    let stage = Stage::start("", &["alice", "dave", "erin"], &[]).await;
    for _ in 0..6 {
        assert_eq!(stage.post(WHOLE, &envelope("conversation-1")).await.status, 200);
    }
    let asked = stage.asked();
    assert!(asked.iter().all(|one| *one == asked[0]), "{asked:?}");
}

#[tokio::test]
async fn what_tells_of_an_account_is_answered_for_the_pool() {
    let stage = Stage::start("", &["alice"], &[]).await;
    let settled = || std::future::ready(stage.simulator.record().count(":retrieveUserQuota") == 1);
    assert!(wait_until(settled, LIMIT).await, "the survey is over");
    let before = stage.simulator.record().all().len();
    let operation = json!({"name": "operations/pollux", "done": true,
        "response": {"cloudaicompanionProject": {"id": "pollux", "name": "Pollux"}}});
    let setting = json!({"cloudaicompanionProject": "pollux", "freeTierDataCollectionOptin": false});
    let onboard = json!({"tierId": "standard-tier", "metadata": {"pluginType": "GEMINI"}});
    let opt_in = json!({"cloudaicompanionProject": "pollux", "freeTierDataCollectionOptin": true});
    let of_project = json!({"project": "pollux"});
    for (method, path, body, answer) in [
        ("POST", ":onboardUser", &onboard, &operation),
        ("GET", "/operations/pollux", &Value::Null, &operation),
        ("POST", ":fetchAdminControls", &of_project, &json!({"adminControlsApplicable": false})),
        ("POST", ":listExperiments", &of_project, &json!({"experimentIds": [], "flags": []})),
        ("POST", ":recordCodeAssistMetrics", &of_project, &json!({})),
        ("GET", ":getCodeAssistGlobalUserSetting", &Value::Null, &setting),
        ("POST", ":setCodeAssistGlobalUserSetting", &opt_in, &setting),
    ] {
        let url = stage.gateway.at(&format!("/geminicli/v1internal{path}"));
        let told = if method == "GET" {
            get(&url, &stage.gateway.auth()).await
        } else {
            post(&url, &stage.gateway.auth(), body).await
        };
        assert_eq!((told.status, &told.json()), (200, answer), "{path}");
    }
    let loaded = stage.post("/geminicli/v1internal:loadCodeAssist", &json!({"metadata": {}})).await.json();
    assert_eq!(
        (&loaded["currentTier"]["id"], &loaded["cloudaicompanionProject"]),
        (&json!("standard-tier"), &json!("pollux"))
    );
    assert_eq!(stage.simulator.record().all().len(), before, "none of it goes to Google");
}

#[tokio::test]
async fn the_quota_told_is_the_pools() {
    let simulator = Simulator::start();
    simulator.google().account("alice").remaining(0.5);
    simulator.google().account("dave").remaining(1.0);
    let builder = pollux_tests::kit::Gateway::builder();
    let stage = Stage::with(simulator, builder, &["alice", "dave"], &[]).await;
    let ask = || async {
        let told =
            stage.post("/geminicli/v1internal:retrieveUserQuota", &json!({"project": "p"})).await.json();
        let buckets = told["buckets"].as_array().cloned().unwrap_or_default();
        let pro = buckets.iter().find(|bucket| bucket["modelId"] == "gemini-2.5-pro").cloned();
        (told, pro.unwrap_or_default())
    };
    let mean = || async { ask().await.1["remainingFraction"] == 0.75 };
    assert!(wait_until(mean, LIMIT).await, "{:?}", ask().await);
    let (told, pro) = ask().await;
    assert_eq!(told["pool"], json!({"accounts": 2, "usable": 2}));
    assert_eq!(pro["tokenType"], "REQUESTS");
    assert!(pro["resetTime"].as_str().is_some_and(|at| at.ends_with('Z')), "{pro}");
    assert!(!told.to_string().contains("3.5-flash"), "a model that is not offered: {told}");
    assert!(!told.to_string().contains("example.com") && !told.to_string().contains("-project"), "{told}");
}

#[tokio::test]
async fn all_of_it_shows_at_the_root() {
    let stage = Stage::start("", &["alice"], &[]).await;
    let answer = stage.post("/v1internal:generateContent", &envelope("s")).await;
    assert_eq!(text(&answer.json()), "say PONG-7731", "{}", answer.text());
    let streamed = stage.post("/v1internal:streamGenerateContent?alt=sse", &envelope("s")).await;
    assert!(streamed.text().contains("traceId"), "{}", streamed.text());
    let counted =
        json!({"request": {"model": "models/gemini-2.5-pro", "contents": [{"parts": [{"text": "a"}]}]}});
    assert_eq!(stage.post("/v1internal:countTokens", &counted).await.status, 200);
    for method in
        ["loadCodeAssist", "onboardUser", "retrieveUserQuota", "fetchAdminControls", "listExperiments"]
    {
        assert_eq!(stage.post(&format!("/v1internal:{method}"), &json!({})).await.status, 200, "{method}");
    }
    for path in ["/v1internal:getCodeAssistGlobalUserSetting", "/v1internal/operations/pollux"] {
        assert_eq!(get(&stage.gateway.at(path), &stage.gateway.auth()).await.status, 200, "{path}");
    }
    let stranger = post(&stage.gateway.at("/v1internal:generateContent"), &[], &envelope("s")).await;
    assert_eq!(stranger.json()["error"]["status"], "UNAUTHENTICATED", "{}", stranger.text());
}

#[tokio::test]
async fn failures_are_told_in_googles_words() {
    let stage = Stage::start("[pool]\nacquire_timeout = \"100ms\"", &["alice"], &[]).await;
    let told = |answer: &Answer| (answer.status, answer.json()["error"]["status"].clone());
    let stranger =
        post(&stage.gateway.at(WHOLE), &[("authorization", "Bearer ya29.other")], &envelope("s")).await;
    assert_eq!(told(&stranger), (401, json!("UNAUTHENTICATED")), "{}", stranger.text());
    let homeless = stage.post(WHOLE, &json!({"request": {"contents": []}})).await;
    assert_eq!(told(&homeless), (400, json!("INVALID_ARGUMENT")), "{}", homeless.text());
    let mut other = envelope("s");
    other["model"] = json!("gemini-0");
    assert_eq!(told(&stage.post(WHOLE, &other).await), (404, json!("NOT_FOUND")));
    let odd = stage.post("/geminicli/v1internal:fetchAvailableModels", &json!({})).await;
    assert_eq!(told(&odd), (404, json!("NOT_FOUND")), "{}", odd.text());
    let alice = stage.simulator.google().account("alice");
    for (refusal, status, words) in [
        (Refusal::InvalidArgument("the moon is full".into()), 400, "the moon is full"),
        (Refusal::Unavailable, 503, "currently unavailable"),
        (Refusal::QuotaExhausted(Duration::from_hours(3)), 429, "Individual quota reached"),
    ] {
        alice.refuse(Some(refusal));
        let answer = stage.post(STREAM, &envelope("s")).await;
        assert_eq!(answer.status, status, "{}", answer.text());
        assert!(answer.text().contains(words), "{}", answer.text());
    }
}

#[tokio::test]
async fn a_refused_account_gives_way_to_another_and_a_broken_stream_says_so() {
    let stage = Stage::start("", &["alice", "dave"], &[]).await;
    stage.simulator.google().account("alice").refuse(Some(Refusal::QuotaExhausted(Duration::from_hours(3))));
    for turn in 0..3 {
        let answer = stage.post(STREAM, &envelope(&format!("s-{turn}"))).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    stage.simulator.inject(Injection::new(Fault::EndAfter(1)).path(":streamGenerateContent"));
    let broken = stage.post(STREAM, &envelope("s")).await;
    assert!(broken.text().contains("the answer broke off"), "{}", broken.text());
}

#[tokio::test]
async fn a_client_that_knows_logins_only_renews_its_key_with_its_key() {
    let stage = Stage::start("", &["alice"], &[]).await;
    let url = stage.gateway.at("/oauth/token");
    let key = stage.gateway.key();
    let renewed = form(&url, &[], &[("grant_type", "refresh_token"), ("refresh_token", key)]).await;
    assert_eq!((renewed.status, &renewed.json()["access_token"]), (200, &json!(key)));
    assert_eq!(
        (&renewed.json()["token_type"], renewed.header("cache-control")),
        (&json!("Bearer"), Some("no-store"))
    );
    let json = json!({"grant_type": "refresh_token", "refresh_token": key, "client_id": "x"});
    assert_eq!(post(&url, &[], &json).await.status, 200);
    for (grant, token, error) in [
        ("refresh_token", "wrong", "invalid_grant"),
        ("authorization_code", key, "unsupported_grant_type"),
        ("refresh_token", "", "invalid_grant"),
    ] {
        let refused = form(&url, &[], &[("grant_type", grant), ("refresh_token", token)]).await;
        assert_eq!((refused.status, &refused.json()["error"]), (400, &json!(error)));
    }
    for body in [&[][..], &[("grant_type", "refresh_token")]] {
        assert_eq!(form(&url, &[], body).await.json()["error"], "invalid_request");
    }
    assert!(!stage.gateway.log().text().contains(key));
}
