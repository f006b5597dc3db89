//! What the machine room asks.

use pollux_tests::{
    kit::{Gateway, Stage, get, post, send, wait_until},
    simulator::{Simulator, openai::Refusal},
};
use serde_json::{Value, json};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(20);

#[tokio::test]
async fn numbers_are_the_owners_and_count_what_was_served() {
    let simulator = Simulator::start();
    let bob = simulator.openai().account("bob");
    let gateway = Gateway::builder().simulator(&simulator).start().await.unwrap();
    let added = json!([{"refresh_token": bob.refresh_token()}]);
    assert_eq!(post(&gateway.at("/codex/resource:add"), &gateway.auth(), &added).await.status, 202);
    assert!(gateway.log().wait_for("account is in the pool", LIMIT).await);
    let body = json!({"model": "gpt-5.2-codex", "input": "hello"});
    assert_eq!(post(&gateway.at("/codex/v1/responses"), &gateway.auth(), &body).await.status, 200);

    let key = format!("Bearer {}", gateway.admin_key());
    for path in ["/metrics", "/status"] {
        assert_eq!(get(&gateway.at(path), &[]).await.status, 401, "{path}");
        assert_eq!(get(&gateway.at(path), &gateway.auth()).await.status, 401, "{path} with a client's key");
    }
    let text = get(&gateway.at("/metrics"), &[("authorization", &key)]).await.text();
    for line in [
        r#"pollux_requests_total{dialect="responses",provider="codex",status="200"} 1"#,
        r#"pollux_attempts_total{outcome="served",provider="codex"} 1"#,
        r#"pollux_accounts{provider="codex",state="ready"} 1"#,
        "# TYPE pollux_request_seconds histogram",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    assert!(!text.contains(r#"pollux_tokens_total{kind="output",provider="codex"} 0"#), "{text}");
    let status = get(&gateway.at("/status"), &[("authorization", &key)]).await.json();
    let pools = status["pools"].as_array().unwrap();
    let pool = pools.iter().find(|pool| pool["provider"] == "codex").unwrap();
    assert_eq!(pool["title"], "Codex");
    let counts = ["accounts", "ready", "busy", "refreshing", "cooling"].map(|key| pool[key].clone());
    assert_eq!(counts, [1, 1, 0, 0, 0].map(Value::from));
    let lengths: Vec<_> =
        pool["windows"].as_array().unwrap().iter().map(|window| window["seconds"].clone()).collect();
    assert_eq!(lengths, [json!(18_000), json!(604_800)], "{status}");
}

#[tokio::test]
async fn health_is_open_and_says_how_long_it_lives() {
    let gateway = Gateway::builder().start().await.unwrap();
    let health = get(&gateway.at("/healthz"), &[]).await;
    assert_eq!((health.status, health.json()["ok"].clone()), (200, json!(true)));
    assert!(health.json()["uptime_seconds"].is_u64());
    assert_eq!(get(&gateway.at("/readyz"), &[]).await.status, 200);
}

#[tokio::test]
async fn public_status_opens_the_numbers() {
    let gateway = Gateway::builder().config("[basic]\npublic_status = true").start().await.unwrap();
    assert_eq!(get(&gateway.at("/metrics"), &[]).await.status, 200);
    assert_eq!(get(&gateway.at("/admin/accounts"), &[]).await.status, 401);
}

#[tokio::test]
async fn health_tells_the_last_troubles_without_anybodys_name() {
    let stage = Stage::start("[pool]\nacquire_timeout = \"100ms\"", &[], &["bob"]).await;
    stage.simulator.openai().account("bob").refuse(Some(Refusal::UsageLimitReached(Duration::from_hours(3))));
    let body = json!({"model": "gpt-5.2-codex", "input": "a secret prompt"});
    for _ in 0..60 {
        let url = stage.gateway.at("/codex/v1/responses");
        assert_eq!(post(&url, &stage.gateway.auth(), &body).await.status, 429);
    }
    let health = get(&stage.gateway.at("/healthz"), &[]).await;
    let told = health.json();
    assert_eq!((&told["ok"], &told["accounts"], &told["inflight"]), (&json!(true), &json!(1), &json!(0)));
    let errors: Vec<&str> =
        told["recent_errors"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert_eq!(errors.len(), 50, "{errors:?}");
    assert!(errors.iter().all(|error| error.contains("GMT: codex: all accounts are cooling")), "{errors:?}");
    for secret in ["bob", "secret", "gpt-5", stage.gateway.key(), "token"] {
        assert!(!health.text().contains(secret), "{secret} in {}", health.text());
    }
}

#[tokio::test]
async fn a_browser_gets_a_page_of_the_status_and_a_program_its_numbers() {
    let stage = Stage::start("[basic]\npublic_status = true", &["alice"], &["bob"]).await;
    let url = stage.gateway.at("/status");
    let page = get(&url, &[("accept", "text/html,application/xhtml+xml,*/*;q=0.8")]).await;
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    assert!(
        page.header("content-security-policy").is_some_and(|policy| policy.contains("default-src 'none'"))
    );
    for word in ["<table>", "Gemini CLI", "Codex", "Ready"] {
        assert!(page.text().contains(word), "{word} in {}", page.text());
    }
    for accept in ["application/json", "*/*"] {
        let status = get(&url, &[("accept", accept)]).await;
        assert_eq!(status.header("content-type"), Some("application/json"), "{accept}");
        assert!(!status.text().contains("example.com"), "everybody may look, and nobody is named");
        assert!(status.json()["pools"].as_array().is_some_and(|pools| pools.len() >= 2));
    }
    assert!(!page.text().contains("example.com"));
}

#[tokio::test]
async fn without_an_admin_key_everything_of_the_owners_names_the_key_to_set() {
    let config = "[basic]\npollux_key = \"k-1234567890\"\nlisten_addr = \"127.0.0.1\"\n";
    let port = pollux_tests::kit::free_port();
    let config = format!("{config}listen_port = {port}\n");
    let builder = Gateway::builder().raw_config(&config).config(&format!("[basic]\nlisten_port = {port}"));
    let gateway = builder.database(pollux_tests::kit::Database::Sqlite).start().await.unwrap();
    for (method, path) in [
        ("GET", "/metrics"),
        ("GET", "/status"),
        ("GET", "/admin/accounts"),
        ("GET", "/admin/openapi.json"),
        ("GET", "/admin/explain?model=m"),
        ("DELETE", "/admin/accounts/1"),
        ("POST", "/admin/accounts/1/refresh"),
    ] {
        let answer =
            send(method, &gateway.at(path), &[("authorization", "Bearer k-1234567890")], "").await.unwrap();
        assert_eq!(answer.status, 403, "{path}: {}", answer.text());
        assert!(answer.text().contains("basic.admin_key"), "{path}: {}", answer.text());
    }
}

#[tokio::test]
async fn the_admin_key_counts_in_headers_only() {
    let gateway = Gateway::builder().start().await.unwrap();
    let (key, bearer) = (gateway.admin_key(), format!("Bearer {}", gateway.admin_key()));
    for path in ["/admin/accounts", "/admin/openapi.json", "/metrics", "/status"] {
        for (headers, status) in [
            (vec![("authorization", bearer.as_str())], 200),
            (vec![("x-api-key", key)], 200),
            (vec![("x-goog-api-key", key)], 200),
            (vec![("authorization", "Bearer wrong")], 401),
            (vec![], 401),
        ] {
            assert_eq!(get(&gateway.at(path), &headers).await.status, status, "{path} {headers:?}");
        }
        assert_eq!(get(&gateway.at(&format!("{path}?key={key}")), &[]).await.status, 401, "{path}");
    }
}

#[tokio::test]
async fn owners_see_accounts_as_a_bare_list_with_type_and_counters_and_no_token() {
    let stage = Stage::start("", &["alice"], &["bob"]).await;
    let body = json!({"model": "gpt-5.2-codex", "input": "hello"});
    let url = stage.gateway.at("/codex/v1/responses");
    assert_eq!(post(&url, &stage.gateway.auth(), &body).await.status, 200);
    let counted = || async { stage.account("bob").await["counters"]["served"] == 1 };
    assert!(wait_until(counted, LIMIT).await, "{}", stage.account("bob").await);
    let answer = stage.admin("GET", "/admin/accounts", "").await;
    let listed = answer.json();
    let types: Vec<&Value> = listed.as_array().expect("a bare list").iter().map(|one| &one["type"]).collect();
    assert_eq!(types, ["gemini", "codex"]);
    let bob = stage.account("bob").await;
    assert_eq!((&bob["state"], &bob["in_flight"], &bob["weight"]), (&json!("active"), &json!(0), &json!(1)));
    let counters = &bob["counters"];
    assert!(
        counters["input_tokens"].as_u64() > Some(0) && counters["output_tokens"].as_u64() > Some(0),
        "{counters}"
    );
    assert!(counters["last_used_at"].is_u64() && bob["expires_at"].is_u64(), "{bob}");
    let openai = stage.simulator.openai();
    let text = answer.text();
    for token in ["eyJ", "refresh_token", "access_token"] {
        assert!(!text.contains(token), "{token} in {text}");
    }
    assert_eq!(openai.account("bob").usable_refresh_tokens(), 1);
}

#[tokio::test]
async fn explain_knows_who_would_be_chosen_and_why_the_others_are_out() {
    let stage = Stage::start("[pool]\nacquire_timeout = \"100ms\"", &[], &["ann", "bob", "cyd", "dan"]).await;
    let ids: Vec<i64> = {
        let mut ids = Vec::new();
        for label in ["ann", "bob", "cyd", "dan"] {
            ids.push(stage.account(label).await["id"].as_i64().unwrap());
        }
        ids
    };
    let explain = async |query: &str| {
        let answer = stage.admin("GET", &format!("/admin/explain?model=gpt-5.2-codex{query}"), "").await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    };
    let chosen = |told: &Value| {
        let all = told["candidates"].as_array().unwrap().clone();
        let chosen: Vec<Value> = all.into_iter().filter(|one| one["chosen"] == true).collect();
        assert_eq!(chosen.len(), 1, "{told}");
        assert_eq!(chosen[0]["in"], true);
        chosen[0]["label"].as_str().unwrap().trim_end_matches("@example.com").to_owned()
    };
    // Whoever it names is who serves: with and without a session, new and old.
    for (number, session) in ["", "s-1", "s-2", "s-1", "s-3", "", "s-2", "s-1"].into_iter().enumerate() {
        let query = if session.is_empty() { String::new() } else { format!("&key={session}") };
        let told = chosen(&explain(&query).await);
        let body = json!({"model": "gpt-5.2-codex", "input": "x", "prompt_cache_key": session});
        let url = stage.gateway.at("/codex/v1/responses");
        assert_eq!(post(&url, &stage.gateway.auth(), &body).await.status, 200);
        assert_eq!(stage.asked().last(), Some(&told), "request {number}");
    }
    assert_eq!(stage.admin("POST", &format!("/admin/accounts/{}/pause", ids[0]), "").await.status, 200);
    for label in ["bob", "cyd"] {
        stage
            .simulator
            .openai()
            .account(label)
            .refuse(Some(Refusal::UsageLimitReached(Duration::from_hours(3))));
    }
    for session in 0..12 {
        let body =
            json!({"model": "gpt-5.2-codex", "input": "x", "prompt_cache_key": format!("n-{session}")});
        post(&stage.gateway.at("/codex/v1/responses"), &stage.gateway.auth(), &body).await;
    }
    let told = explain("").await;
    let of = |id: i64| {
        let all = told["candidates"].as_array().unwrap();
        all.iter().find(|one| one["id"] == id).unwrap_or_else(|| panic!("no {id} in {told}")).clone()
    };
    assert_eq!((&of(ids[0])["in"], &of(ids[0])["why"]), (&json!(false), &json!("paused by its owner")));
    for id in &ids[1..3] {
        assert_eq!((&of(*id)["in"], &of(*id)["why"]), (&json!(false), &json!("cooling")), "{told}");
        assert!(of(*id)["until"].is_u64(), "{told}");
    }
    assert_eq!((&of(ids[3])["in"], &of(ids[3])["chosen"]), (&json!(true), &json!(true)));
    let wrong = stage.admin("GET", "/admin/explain", "").await;
    assert_eq!((wrong.status, &wrong.json()["error"]["param"]), (400, &json!("model")));
}

#[tokio::test]
async fn a_pause_does_not_make_an_account_forget_its_rest() {
    let stage = Stage::start("[pool]\nacquire_timeout = \"100ms\"", &[], &["bob"]).await;
    let bob = stage.simulator.openai().account("bob");
    bob.refuse(Some(Refusal::UsageLimitReached(Duration::from_hours(3))));
    let body = json!({"model": "gpt-5.2-codex", "input": "x"});
    let ask =
        async || post(&stage.gateway.at("/codex/v1/responses"), &stage.gateway.auth(), &body).await.status;
    assert_eq!(ask().await, 429);
    let before = stage.account_when("bob", |one| one["cooling"][0]["until"].is_u64()).await;
    let id = &before["id"];
    // The keeper writes rests down in its own time.
    for action in ["pause", "resume"] {
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(stage.admin("POST", &format!("/admin/accounts/{id}/{action}"), "").await.status, 200);
    }
    let after = stage.account("bob").await;
    assert_eq!((&after["state"], &after["cooling"]), (&json!("active"), &before["cooling"]));
    let forget = format!("/admin/accounts/{id}/forget-cooldown");
    assert_eq!(stage.admin("POST", &forget, "").await.json()["cooling"], json!([]));
    bob.refuse(None);
    assert_eq!(ask().await, 200);
}
