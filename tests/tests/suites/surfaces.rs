//! Every provider at the paths of its vendor, beside those below its own prefix.

use pollux_tests::kit::{Answer, Gateway, Stage, contents, get, messages, post, send};
use pollux_tests::simulator::google::{KeyRefusal, Refusal};
use serde_json::{Value, json};
use std::{collections::BTreeSet, time::Duration};

const PRO: &str = "gemini-2.5-pro";
const GEMINI_MODELS: [&str; 3] = [PRO, "gemini-2.5-flash", "gemini-3-pro-preview"];
const CLAUDE_MODELS: [&str; 3] = ["claude-opus-5-5", "claude-haiku-5-5", "claude-haiku-4-5"];
const CODEX_MODELS: [&str; 3] = ["gpt-5.5", "gpt-5.6-sol", "gpt-5.2-codex"];

async fn stage() -> Stage {
    Stage::start("", &["alice"], &["bob"]).await
}

fn each(list: &Value, member: &str) -> BTreeSet<String> {
    let all = list.as_array().into_iter().flatten();
    all.map(|one| one[member].as_str().unwrap_or_default().trim_start_matches("models/").to_owned()).collect()
}

fn set(names: &[&[&str]]) -> BTreeSet<String> {
    names.concat().into_iter().map(str::to_owned).collect()
}

#[tokio::test]
async fn responses_are_at_every_base_that_clients_know() {
    let stage = stage().await;
    for base in ["/v1", "", "/backend-api/codex", "/codex/v1"] {
        let body = json!({"model": "gpt-5.5", "input": format!("PING{base}")});
        let answer = stage.post(&format!("{base}/responses"), &body).await;
        assert_eq!(answer.status, 200, "{base}: {}", answer.text());
        assert_eq!(answer.json()["output"][0]["content"][0]["text"], format!("PING{base}"));
        let body = json!({"model": "gpt-5.5", "input": [], "instructions": "Be brief."});
        let compact = stage.post(&format!("{base}/responses/compact"), &body).await;
        assert_eq!(compact.status, 200, "{base}: {}", compact.text());
        assert_eq!(compact.json()["output"][0]["type"], "compaction", "{}", compact.text());
    }
    assert!(stage.asked().iter().all(|account| account == "bob"), "{:?}", stage.asked());
}

#[tokio::test]
async fn gemini_is_at_the_root_in_both_of_its_versions() {
    let stage = stage().await;
    for base in ["/v1beta", "/v1"] {
        let path = format!("{base}/models/{PRO}");
        let answer = stage.post(&format!("{path}:generateContent"), &contents("PING-G")).await;
        assert_eq!(answer.status, 200, "{base}: {}", answer.text());
        assert_eq!(answer.json()["candidates"][0]["content"]["parts"][0]["text"], "PING-G");
        let stream = stage.post(&format!("{path}:streamGenerateContent?alt=sse"), &contents("PING-G")).await;
        assert!(stream.status == 200 && stream.text().starts_with("data: "), "{}", stream.text());
        let count = stage.post(&format!("{path}:countTokens"), &contents("PING-G")).await;
        assert!(count.json()["totalTokens"].is_u64(), "{}", count.text());
    }
    assert!(stage.asked().iter().all(|account| account == "alice"), "{:?}", stage.asked());
}

#[tokio::test]
async fn claude_is_at_the_root() {
    let stage = stage().await;
    let key = stage.simulator.anthropic().account("cleo").key();
    stage.join("claude", &[json!({"api_key": key})]).await;
    let message = stage.post("/v1/messages", &messages("PING-M")).await;
    assert_eq!(message.json()["content"][0]["text"], "PING-M", "{}", message.text());
    let count = stage.post("/v1/messages/count_tokens", &messages("PING-M")).await;
    assert!(count.json()["input_tokens"].is_u64(), "{}", count.text());
    for path in ["/", "/api/hello"] {
        assert_eq!(send("HEAD", &stage.gateway.at(path), &[], "").await.unwrap().status, 200, "{path}");
    }
}

#[tokio::test]
async fn what_two_providers_of_google_have_goes_to_the_first_in_order_that_can() {
    for (order, first, second) in
        [(r#"["geminicli", "gemini"]"#, "alice", "ann"), (r#"["gemini", "geminicli"]"#, "ann", "alice")]
    {
        let config = format!("[pool]\norder = {order}\nacquire_timeout = \"200ms\"");
        let stage = Stage::start(&config, &["alice"], &[]).await;
        let google = stage.simulator.google();
        stage.join("gemini", &[json!({"api_key": google.key("ann").text()})]).await;
        let ask = async || {
            let answer =
                stage.post(&format!("/v1beta/models/{PRO}:generateContent"), &contents("PING")).await;
            (answer.status, stage.asked().pop().unwrap_or_default())
        };
        assert_eq!(ask().await, (200, first.to_owned()), "{order}");
        google.account("alice").refuse(Some(Refusal::QuotaExhausted(Duration::from_hours(3))));
        google.key("ann").refuse(Some(KeyRefusal::PerDay));
        assert_eq!(ask().await, (429, first.to_owned()), "it could until now");
        google.account("alice").refuse(None);
        google.key("ann").refuse(None);
        assert_eq!(ask().await, (200, second.to_owned()), "{order}: the first one rests");
    }
}

#[tokio::test]
async fn the_shared_list_is_told_in_the_language_of_who_asks() {
    let stage = stage().await;
    let key = stage.gateway.key();
    let auth = stage.gateway.auth()[0];
    let url = stage.gateway.at("/v1/models");

    let openai = get(&url, &[auth]).await.json();
    assert_eq!(openai["object"], "list");
    assert_eq!(each(&openai["data"], "id"), set(&[&GEMINI_MODELS, &CODEX_MODELS, &CLAUDE_MODELS]));
    let owner = |id: &str| {
        let data = openai["data"].as_array().unwrap();
        data.iter().find(|model| model["id"] == id).unwrap()["owned_by"].clone()
    };
    assert_eq!((owner(PRO), owner("gpt-5.5")), (json!("geminicli"), json!("codex")));

    let codex = get(&format!("{url}?client_version=0.169.0"), &[auth]).await.json();
    assert_eq!(each(&codex["models"], "slug"), set(&[&CODEX_MODELS]), "{codex}");
    let codex = get(&format!("{url}?client_version=0.169.0"), &[auth, ("anthropic-version", "x")]).await;
    assert!(codex.json()["models"][0]["slug"].is_string(), "{}", codex.text());

    let gemini = get(&url, &[("x-goog-api-key", key)]).await.json();
    assert_eq!(each(&gemini["models"], "name"), set(&[&GEMINI_MODELS]), "{gemini}");

    let anthropic = get(&url, &[auth, ("anthropic-version", "2023-06-01")]).await.json();
    assert!(anthropic["data"].is_array() && anthropic["has_more"] == false, "{anthropic}");
    assert!(anthropic.get("object").is_none(), "{anthropic}");
    assert_eq!(each(&anthropic["data"], "id"), set(&[&CLAUDE_MODELS]));
}

#[tokio::test]
async fn one_model_is_told_in_the_language_of_who_asks() {
    let stage = stage().await;
    let (key, auth) = (stage.gateway.key(), stage.gateway.auth()[0]);
    let one = async |model: &str, headers: &[(&str, &str)]| {
        get(&stage.gateway.at(&format!("/v1/models/{model}")), headers).await
    };
    for model in [PRO, "gpt-5.5"] {
        let told = one(model, &[auth]).await.json();
        assert_eq!((&told["id"], &told["object"]), (&json!(model), &json!("model")));
    }
    assert_eq!(one(PRO, &[("x-goog-api-key", key)]).await.json()["name"], format!("models/{PRO}"));
    for (headers, message) in [
        (&[auth][..], "/error/message"),
        (&[("x-goog-api-key", key)], "/error/message"),
        (&[auth, ("anthropic-version", "2023-06-01")], "/error/message"),
    ] {
        let none = one("nothing", headers).await;
        assert_eq!(none.status, 404, "{}", none.text());
        assert!(
            none.json().pointer(message).unwrap().as_str().unwrap().contains("nothing"),
            "{}",
            none.text()
        );
    }
    assert_eq!(one("nothing", &[auth, ("anthropic-version", "x")]).await.json()["type"], "error");
}

#[tokio::test]
async fn where_one_provider_alone_is_the_path_decides() {
    let stage = stage().await;
    let (key, auth) = (stage.gateway.key(), stage.gateway.auth()[0]);
    let marks = [auth, ("anthropic-version", "2023-06-01"), ("x-goog-api-key", key)];
    for path in ["/codex/v1/models", "/models", "/backend-api/codex/models"] {
        let list = get(&stage.gateway.at(path), &marks).await.json();
        assert_eq!(each(&list["data"], "id"), set(&[&CODEX_MODELS]), "{path}");
    }
    for path in ["/geminicli/v1/models", "/geminicli/v1beta/models", "/v1beta/models"] {
        for query in ["", "?client_version=0.169.0"] {
            let list = get(&stage.gateway.at(&format!("{path}{query}")), &marks[..2]).await.json();
            assert_eq!(each(&list["models"], "name"), set(&[&GEMINI_MODELS]), "{path}{query}");
        }
    }
    let openai = get(&stage.gateway.at("/v1beta/openai/models"), &[auth]).await.json();
    assert_eq!(each(&openai["data"], "id"), set(&[&GEMINI_MODELS]));
}

/// Which dialect an error is told in.
fn dialect(answer: &Answer) -> &'static str {
    let body = answer.json();
    match (body["type"].as_str(), body["error"]["code"].is_u64()) {
        (Some("error"), _) => "anthropic",
        (_, true) => "gemini",
        _ if body["error"]["type"].is_string() => "openai",
        _ => "none",
    }
}

#[tokio::test]
async fn errors_at_the_root_are_in_the_language_of_the_path_or_of_who_asks() {
    type Case<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)], u16, &'a str);
    let stage = stage().await;
    let auth = stage.gateway.auth()[0];
    let (anthropic, google) = (("anthropic-version", "2023-06-01"), ("x-goog-api-key", "wrong"));
    let table: [Case<'_>; 14] = [
        ("GET", "/v1/models", &[], 401, "openai"),
        ("GET", "/v1/models", &[anthropic], 401, "anthropic"),
        ("GET", "/v1/models", &[google], 401, "gemini"),
        ("GET", "/v1beta/models", &[], 401, "gemini"),
        ("POST", "/v1/responses", &[], 401, "openai"),
        ("POST", "/v1/models/gemini-2.5-pro:generateContent", &[], 401, "gemini"),
        ("DELETE", "/v1/responses", &[auth], 405, "openai"),
        ("DELETE", "/v1beta/models/x:countTokens", &[auth], 405, "gemini"),
        ("POST", "/v1/models", &[auth, anthropic], 405, "anthropic"),
        ("GET", "/v1beta/nothing", &[auth], 404, "gemini"),
        ("GET", "/v1/nothing", &[auth, anthropic], 404, "anthropic"),
        ("GET", "/v1/nothing", &[auth], 404, "openai"),
        ("POST", "/v1/responses", &[auth], 400, "openai"),
        ("GET", "/", &[], 404, "openai"),
    ];
    for (method, path, headers, status, told) in table {
        let answer = send(method, &stage.gateway.at(path), headers, "").await.unwrap();
        assert_eq!((answer.status, dialect(&answer)), (status, told), "{method} {path}: {}", answer.text());
    }
    let unknown = stage.post("/v1/responses", &json!({"model": PRO, "input": "x"})).await;
    assert_eq!(unknown.status, 400, "a model of another provider is none here: {}", unknown.text());
    assert!(unknown.text().contains("gpt-5.5") && !unknown.text().contains("gemini-2.5-flash"));
    assert!(stage.generated().is_empty());
}

#[tokio::test]
async fn without_aliases_nothing_is_at_the_root() {
    let stage = Stage::start("[basic]\nroot_aliases = false", &["alice"], &["bob"]).await;
    let auth = stage.gateway.auth();
    for path in ["/v1/models", "/v1beta/models", "/models", "/backend-api/wham/usage", "/api/codex/usage"] {
        assert_eq!(get(&stage.gateway.at(path), &auth).await.status, 404, "{path}");
    }
    for path in ["/v1/responses", "/responses", "/backend-api/codex/responses", "/backend-api/ps/mcp"] {
        let answer = post(&stage.gateway.at(path), &auth, &json!({"model": "gpt-5.5", "input": "x"})).await;
        assert_eq!(answer.status, 404, "{path}");
    }
    assert_eq!(stage.codex("x").await.status, 200);
    assert_eq!(get(&stage.gateway.at("/codex/backend-api/wham/usage"), &auth).await.status, 200);
}

#[tokio::test]
async fn a_provider_that_is_off_leaves_its_paths_to_nobody() {
    let gateway = Gateway::builder().config("[providers.codex]\nenabled = false").start().await.unwrap();
    let list = get(&gateway.at("/v1/models"), &gateway.auth()).await.json();
    assert_eq!(list["object"], "list", "the language does not depend on who is there: {list}");
    assert_eq!(each(&list["data"], "owned_by"), set(&[&["geminicli", "claude"]]), "{list}");
    let answer = post(&gateway.at("/v1/responses"), &gateway.auth(), &json!({})).await;
    assert_eq!(answer.status, 404, "{}", answer.text());
}
