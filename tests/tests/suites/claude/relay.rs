//! The Messages API through the pool: what goes up, and what comes back.

use std::collections::BTreeSet;

use pollux_tests::kit::{get, messages, send};
use pollux_tests::simulator::{Answer, Fault, Injection};
use serde_json::json;

use super::{CLAUDE_CODE, LIMIT, MESSAGES, ask, error, keys, logins, said};

#[tokio::test]
async fn answers_come_whole_and_streamed_as_the_vendor_sends_them() {
    let stage = keys(&["ada"]).await;
    assert_eq!(said(&stage.claude("say PONG").await), "say PONG");
    let mut stream = stage.claude_stream("say PONG").await;
    assert_eq!(stream.status, 200);
    let events = stream.rest(LIMIT).await;
    let names: Vec<&str> = events.iter().filter_map(|event| event.name.as_deref()).collect();
    assert_eq!(names[..3], ["message_start", "ping", "content_block_start"]);
    assert_eq!(names[names.len() - 3..], ["content_block_stop", "message_delta", "message_stop"]);
    let text: String =
        events.iter().filter_map(|event| event.json()["delta"]["text"].as_str().map(str::to_owned)).collect();
    assert_eq!(text, "say PONG");
}

#[tokio::test]
async fn thoughts_and_tools_come_through_in_both_shapes() {
    let stage = keys(&["ada"]).await;
    let anthropic = stage.simulator.anthropic();
    for _ in 0..2 {
        anthropic.script().next(Answer::Thought("hmm".into(), "yes".into()));
        anthropic.script().next(Answer::Tool("look".into(), json!({"at": [1, 2]})));
    }
    let thought = stage.claude("x").await.json();
    assert_eq!(
        (&thought["content"][0]["thinking"], &thought["content"][1]["text"]),
        (&json!("hmm"), &json!("yes"))
    );
    let tool = stage.claude("x").await.json();
    assert_eq!(
        (&tool["content"][0]["input"], &tool["stop_reason"]),
        (&json!({"at": [1, 2]}), &json!("tool_use"))
    );
    let kinds = async || {
        let events = stage.claude_stream("x").await.rest(LIMIT).await;
        let kind =
            |event: &pollux_tests::kit::Event| event.json()["delta"]["type"].as_str().map(str::to_owned);
        events.iter().filter_map(kind).collect::<BTreeSet<_>>()
    };
    assert!(
        kinds()
            .await
            .is_superset(&["thinking_delta", "signature_delta", "text_delta"].map(String::from).into())
    );
    assert!(kinds().await.contains("input_json_delta"));
}

#[tokio::test]
async fn bodies_go_up_byte_for_byte_with_all_that_nobody_knows() {
    let stage = logins(&["ada"]).await;
    let body = r#"{ "model":"claude-opus-5-5","max_tokens" : 64,
        "messages":[{"role":"user","content":"hello"},{"role":"system","content":"Be brief."}],
        "metadata":{"user_id":"{\"session_id\":\"s\"}"}, "of_tomorrow": [1.50e+01, {"type":"x"}],"stream":false }"#;
    let headers = [&stage.gateway.auth()[..], &[("content-type", "application/json")]].concat();
    let answer =
        send("POST", &stage.gateway.at("/claude/v1/messages?beta=true"), &headers, body).await.unwrap();
    assert_eq!(said(&answer), "hello");
    let sent = stage.simulator.record().last(MESSAGES).unwrap();
    assert_eq!(String::from_utf8_lossy(&sent.raw_body), body);
    assert_eq!(sent.query("beta"), Some("true"));
}

#[tokio::test]
async fn versions_and_betas_pass_and_what_a_login_needs_is_added_once() {
    let stage = logins(&["ada"]).await;
    stage.simulator.anthropic().habits(|habits| habits.wants_beta = true);
    let own = "oauth-2025-04-20";
    let betas = "claude-code-20250219,context-1m-2025-08-07";
    let with = format!("{betas},{own}");
    for (given, expected) in [
        (vec![], vec![("anthropic-version", "2023-06-01"), ("anthropic-beta", own)]),
        (
            vec![("anthropic-version", "2026-10-21"), ("anthropic-beta", betas)],
            vec![("anthropic-version", "2026-10-21"), ("anthropic-beta", with.as_str())],
        ),
        (vec![("anthropic-beta", with.as_str())], vec![("anthropic-beta", with.as_str())]),
    ] {
        assert_eq!(said(&ask(&stage, &given, &messages("hello")).await), "hello");
        let sent = stage.simulator.record().last(MESSAGES).unwrap();
        for (name, value) in expected {
            let all: Vec<_> = sent.headers.iter().filter(|(key, _)| key == name).collect();
            assert_eq!(all.len(), 1, "{all:?}");
            assert_eq!(all[0].1, value, "{name}");
        }
    }
}

#[tokio::test]
async fn upstream_hears_who_the_client_is_from_the_vendors_own_tools_and_else_that_it_is_us() {
    let stage = keys(&["ada"]).await;
    let ours = format!("pollux/{}", env!("CARGO_PKG_VERSION"));
    for (agent, expected) in [
        ("claude-cli/2.1.329 (external, sdk-cli)", "claude-cli/2.1.329 (external, sdk-cli)"),
        ("Anthropic/Python 2.11.0", "Anthropic/Python 2.11.0"),
        ("my-agent/1.0 claude-cli/2.1.329", ours.as_str()),
        ("curl/8.5.0", &ours),
    ] {
        let headers =
            [("user-agent", agent), ("x-app", "cli"), ("x-stainless-lang", "js"), ("x-secret", "s")];
        assert_eq!(said(&ask(&stage, &headers, &messages("hello")).await), "hello");
        let sent = stage.simulator.record().last(MESSAGES).unwrap();
        assert_eq!(sent.header("user-agent"), Some(expected));
        assert_eq!(sent.header("x-app"), (agent == expected).then_some("cli"));
        assert_eq!((sent.header("x-stainless-lang"), sent.header("x-secret")), (Some("js"), None));
    }
}

#[tokio::test]
async fn clients_send_the_key_in_any_form_and_it_ends_here() {
    let stage = logins(&["ada"]).await;
    let key = stage.gateway.key().to_owned();
    let (bearer, path) = (format!("Bearer {key}"), stage.gateway.at("/claude/v1/messages"));
    let body = messages("hello").to_string();
    for (url, header) in [
        (path.clone(), ("x-api-key", key.as_str())),
        (path.clone(), ("authorization", &bearer)),
        (format!("{path}?key={key}&beta=true"), ("x-none", "")),
    ] {
        let answer =
            send("POST", &url, &[header, ("content-type", "application/json")], body.clone()).await.unwrap();
        assert_eq!(said(&answer), "hello");
        let sent = stage.simulator.record().last(MESSAGES).unwrap();
        assert!(!format!("{sent:?}").contains(&key), "{sent:?}");
    }
    for headers in [&[][..], &[("x-api-key", "wrong")]] {
        let answer = send("POST", &path, headers, body.clone()).await.unwrap();
        assert_eq!(error(&answer).0, 401);
        assert_eq!(error(&answer).1, "authentication_error");
    }
}

#[tokio::test]
async fn tokens_are_counted_by_the_vendor() {
    let stage = keys(&["ada"]).await;
    let asked = json!({"model": "claude-haiku-4-5", "messages": [{"role": "user", "content": "hello"}], "stream": true});
    let answer = stage.post("/claude/v1/messages/count_tokens", &asked).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(answer.json()["input_tokens"].as_u64().is_some_and(|tokens| tokens > 0), "{}", answer.text());
    assert_eq!(stage.simulator.record().count("/count_tokens"), 1);
}

#[tokio::test]
async fn models_are_listed_as_the_vendor_lists_them() {
    let stage = keys(&["ada"]).await;
    let known = |answer: &pollux_tests::kit::Answer| answer.json()["data"][0]["max_input_tokens"] == 200_000;
    assert!(stage.gateway.wait_for("/claude/v1/models", LIMIT, known).await);
    let list = get(&stage.gateway.at("/claude/v1/models"), &stage.gateway.auth()).await.json();
    let ids: Vec<_> = list["data"].as_array().unwrap().iter().map(|model| model["id"].clone()).collect();
    assert_eq!(ids, ["claude-opus-5-5", "claude-haiku-5-5", "claude-haiku-4-5"]);
    assert_eq!((&list["has_more"], &list["first_id"], &list["last_id"]), (&json!(false), &ids[0], &ids[2]));
    for model in list["data"].as_array().unwrap() {
        assert_eq!(model["type"], "model");
        assert_eq!(model["created_at"], "2026-05-01T00:00:00Z", "{model}");
        assert!(model["display_name"].is_string());
    }
    let one = get(&stage.gateway.at("/claude/v1/models/claude-haiku-4-5"), &stage.gateway.auth()).await;
    assert_eq!(one.json(), list["data"][2]);
    let none = get(&stage.gateway.at("/claude/v1/models/claude-1"), &stage.gateway.auth()).await;
    assert_eq!((error(&none).0, error(&none).1.as_str()), (404, "not_found_error"));
}

#[tokio::test]
async fn a_knock_at_the_base_is_answered_to_everybody() {
    let stage = keys(&[]).await;
    for path in ["/claude", "/claude/", "/claude/api/hello"] {
        let answer = send("HEAD", &stage.gateway.at(path), &[], "").await.unwrap();
        assert_eq!((answer.status, answer.body.len()), (200, 0), "{path}");
    }
    assert_eq!(send("HEAD", &stage.gateway.at("/codex"), &[], "").await.unwrap().status, 404);
}

#[tokio::test]
async fn rate_limits_come_back_and_whose_account_it_is_does_not() {
    let stage = keys(&["ada"]).await;
    stage.simulator.anthropic().account("ada").requests_left(50, 5);
    let answer = stage.claude("hello").await;
    assert_eq!(answer.header("anthropic-ratelimit-requests-remaining"), Some("5"));
    assert!(answer.header("request-id").is_some());
    assert_eq!(answer.header("anthropic-organization-id"), None);
    let stage = logins(&["ben"]).await;
    stage.simulator.anthropic().account("ben").used(0.42, 0.1);
    let stream = stage.claude_stream("hello").await;
    let header = |name: &str| stream.headers.get(name).and_then(|value| value.to_str().ok());
    assert_eq!(header("anthropic-ratelimit-unified-5h-utilization"), Some("0.42"));
    assert_eq!(header("anthropic-organization-id"), None);
}

#[tokio::test]
async fn wrong_requests_are_told_in_anthropics_shape_and_name_the_field() {
    let stage = keys(&["ada"]).await;
    let mut unknown = messages("hello");
    unknown["model"] = json!("claude-1");
    let (status, kind, message) = error(&ask(&stage, &[], &unknown).await);
    assert_eq!((status, kind.as_str()), (404, "not_found_error"));
    assert!(message.contains("claude-1") && message.contains("claude-opus-5-5"), "{message}");
    let (status, kind, message) = error(&ask(&stage, &[], &json!({"messages": []})).await);
    assert_eq!((status, kind.as_str()), (400, "invalid_request_error"));
    assert!(message.contains("model"), "{message}");
    assert_eq!(stage.simulator.record().count(MESSAGES), 0, "none of them went up");
    let mut without = messages("hello");
    without.as_object_mut().unwrap().remove("max_tokens");
    let told = error(&ask(&stage, &[], &without).await);
    assert_eq!(told, (400, "invalid_request_error".into(), "max_tokens: Field required".into()));
}

#[tokio::test]
async fn a_conversation_keeps_its_account_in_both_forms_claude_code_names_it() {
    let stage = keys(&["ada", "ben", "cleo"]).await;
    let mut homes = BTreeSet::new();
    for session in 0..6 {
        let mut seen = BTreeSet::new();
        for _ in 0..2 {
            let name = format!("header-{session}");
            assert_eq!(said(&ask(&stage, &[("x-claude-code-session-id", &name)], &messages("x")).await), "x");
            seen.insert(stage.asked().pop().unwrap());
        }
        assert_eq!(seen.len(), 1, "{seen:?}");
        homes.append(&mut seen);
        let mut body = messages("x");
        body["metadata"] = json!({"user_id": format!("{{\"session_id\":\"body-{session}\"}}")});
        for _ in 0..2 {
            assert_eq!(said(&ask(&stage, &[CLAUDE_CODE], &body).await), "x");
            seen.insert(stage.asked().pop().unwrap());
        }
        assert_eq!(seen.len(), 1, "{seen:?}");
        homes.append(&mut seen);
    }
    assert!(homes.len() > 1, "conversations spread: {homes:?}");
}

#[tokio::test]
async fn a_stream_that_breaks_off_ends_with_an_error_event() {
    let stage = keys(&["ada"]).await;
    stage.simulator.inject(Injection::new(Fault::EndAfter(5)).path(MESSAGES));
    let events = stage.claude_stream("one two three").await.rest(LIMIT).await;
    let last = events.last().unwrap();
    assert_eq!((last.name.as_deref(), &last.json()["type"]), (Some("error"), &json!("error")), "{last:?}");
    assert!(events.iter().all(|event| event.name.as_deref() != Some("message_stop")), "{events:?}");
    assert_eq!(stage.simulator.record().count(MESSAGES), 1, "what may have been paid for is not repeated");
}
