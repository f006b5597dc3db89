//! Who is let in, and that the key stays here.

use pollux_tests::kit::{Answer, Gateway, Stage, contents, get, send};
use serde_json::json;

const GEMINI: &str = "/geminicli/v1beta/models";
const CODEX: &str = "/codex/v1/models";

async fn gateway() -> Gateway {
    Gateway::builder().start().await.unwrap()
}

async fn status(gateway: &Gateway, path: &str, headers: &[(&str, &str)]) -> u16 {
    get(&gateway.at(path), headers).await.status
}

#[tokio::test]
async fn each_form_of_the_key_lets_in() {
    let gateway = gateway().await;
    let key = gateway.key();
    let bearer = format!("Bearer {key}");
    for path in [GEMINI, CODEX] {
        assert_eq!(status(&gateway, path, &[("authorization", &bearer)]).await, 200);
        assert_eq!(status(&gateway, path, &[("x-goog-api-key", key)]).await, 200);
        assert_eq!(status(&gateway, path, &[("x-api-key", key)]).await, 200);
        assert_eq!(status(&gateway, &format!("{path}?key={key}"), &[]).await, 200);
    }
}

#[tokio::test]
async fn any_right_form_lets_in_beside_wrong_ones() {
    let gateway = gateway().await;
    let key = gateway.key();
    let bearer = format!("Bearer {key}");
    assert_eq!(
        status(&gateway, GEMINI, &[("authorization", &bearer), ("x-goog-api-key", "wrong")]).await,
        200
    );
    assert_eq!(
        status(&gateway, GEMINI, &[("authorization", "Bearer wrong"), ("x-goog-api-key", key)]).await,
        200
    );
    assert_eq!(status(&gateway, &format!("{CODEX}?key=wrong"), &[("authorization", &bearer)]).await, 200);
    let both = [("authorization", "Bearer wrong"), ("x-goog-api-key", "wrong")];
    assert_eq!(status(&gateway, &format!("{CODEX}?key={key}"), &both).await, 200);
}

fn refused(answer: &Answer, gemini: bool) {
    assert_eq!(answer.status, 401, "{}", answer.text());
    let error = answer.json()["error"].take();
    assert!(error["message"].is_string(), "{error}");
    if gemini {
        assert_eq!((&error["code"], &error["status"]), (&json!(401), &json!("UNAUTHENTICATED")));
    } else {
        assert_eq!(error["code"], "invalid_api_key");
        assert!(error["type"].is_string());
    }
}

#[tokio::test]
async fn without_the_key_the_answer_is_401_in_the_dialect_of_the_path() {
    let stage = Stage::start("", &["alice"], &["bob"]).await;
    let gateway = &stage.gateway;
    let admin = format!("Bearer {}", gateway.admin_key());
    let forms: [&[(&str, &str)]; 6] = [
        &[],
        &[("authorization", "Bearer wrong")],
        &[("authorization", "Basic cG9sbHV4LWtleS1vZi10aGUtdGVzdHM=")],
        &[("x-goog-api-key", "")],
        &[("x-api-key", "wrong")],
        &[("authorization", &admin)],
    ];
    let generate = "/geminicli/v1beta/models/gemini-2.5-pro:generateContent";
    for headers in forms {
        for (method, path) in [("GET", GEMINI), ("POST", generate), ("POST", "/geminicli/resource:add")] {
            refused(&send(method, &gateway.at(path), headers, "{}").await.unwrap(), true);
        }
        refused(&get(&gateway.at("/geminicli/v1beta/models?key=wrong"), headers).await, true);
        for (method, path) in [
            ("GET", CODEX),
            ("POST", "/codex/v1/responses"),
            ("POST", "/codex/v1/responses/compact"),
            ("POST", "/codex/resource:add"),
        ] {
            refused(&send(method, &gateway.at(path), headers, "{}").await.unwrap(), false);
        }
    }
    assert!(stage.generated().is_empty());
}

#[tokio::test]
async fn the_key_never_goes_upstream_in_any_form() {
    let stage = Stage::start("", &["alice"], &["bob"]).await;
    let gateway = &stage.gateway;
    let key = gateway.key();
    let bearer = format!("Bearer {key}");
    let json = ("content-type", "application/json");
    let codex = json!({"model": "gpt-5.5", "input": "hello", "stream": true}).to_string();
    let gemini = contents("hello").to_string();
    let forms: [(&str, Vec<(&str, &str)>); 4] = [
        ("", vec![json, ("authorization", &bearer)]),
        (
            "",
            vec![
                json,
                ("x-goog-api-key", key),
                ("x-api-key", key),
                ("cookie", key),
                ("proxy-authorization", &bearer),
            ],
        ),
        ("&key=KEY", vec![json]),
        ("&k%65y=KEY&key=KEY", vec![json, ("authorization", &bearer), ("x-codex-note", "passes")]),
    ];
    for (query, headers) in &forms {
        let query = query.replace("KEY", key);
        for (path, body) in [
            ("/codex/v1/responses?a=b", &codex),
            ("/geminicli/v1beta/models/gemini-2.5-pro:streamGenerateContent?alt=sse", &gemini),
            ("/geminicli/v1beta/models/gemini-2.5-pro:generateContent?a=b", &gemini),
            ("/geminicli/v1beta/models/gemini-2.5-pro:countTokens?a=b", &gemini),
        ] {
            let answer =
                send("POST", &gateway.at(&format!("{path}{query}")), headers, body.clone()).await.unwrap();
            assert_eq!(answer.status, 200, "{path}{query}: {}", answer.text());
        }
    }
    assert!(stage.generated().len() >= 12);
    for received in stage.simulator.record().all() {
        let seen = format!("{:?} {:?} {}", received.headers, received.query, received.path);
        let body = String::from_utf8_lossy(&received.raw_body).into_owned();
        assert!(!seen.contains(key) && !body.contains(key), "{seen} {body}");
        assert!(received.query("key").is_none() && received.header("x-goog-api-key").is_none());
        assert!(received.header("cookie").is_none() && received.header("x-api-key").is_none());
    }
}

#[tokio::test]
async fn a_client_is_not_told_more_for_a_nearly_right_key() {
    let gateway = gateway().await;
    let key = gateway.key();
    let near =
        [format!("{key}x"), key[..key.len() - 1].to_owned(), key.to_uppercase(), format!("{key}\u{e9}")];
    let mut answers = Vec::new();
    for key in &near {
        let key: String = url::form_urlencoded::byte_serialize(key.as_bytes()).collect();
        answers.push(get(&gateway.at(&format!("{CODEX}?key={key}")), &[]).await.text());
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
}

#[tokio::test]
async fn an_odd_session_id_is_no_end_of_the_process() {
    let stage = Stage::start("", &["alice"], &["bob"]).await;
    let auth = stage.gateway.auth()[0];
    let long = "s".repeat(4000);
    let json = ("content-type", "application/json");
    let body = json!({"model": "gpt-5.5", "input": "hi"}).to_string();
    for session in ["\t", "a\tb", "~!@#$%^&*()", "\u{e4}\u{f6}\u{fc}", &long] {
        let headers = [auth, json, ("session_id", session), ("x-codex-turn-state", session)];
        let url = stage.gateway.at("/codex/v1/responses");
        let answer = send("POST", &url, &headers, body.clone()).await.unwrap();
        assert_eq!(answer.status, 200, "{session:?}: {}", answer.text());
    }
    assert_eq!(get(&stage.gateway.at("/healthz"), &[]).await.status, 200);
}
