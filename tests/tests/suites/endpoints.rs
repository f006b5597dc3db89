//! Every documented endpoint, asked over HTTP.

use pollux_tests::kit::{Answer, End, Stage, client, contents, get, post, send};
use serde_json::{Value, json};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(20);
const PRO: &str = "gemini-2.5-pro";

async fn stage() -> Stage {
    Stage::start("", &["alice"], &["bob"]).await
}

/// The values of one member of every object in a list.
fn each<'a>(list: &'a Value, member: &str) -> Vec<&'a str> {
    list.as_array().into_iter().flatten().filter_map(|one| one[member].as_str()).collect()
}

/// An error of Gemini's shape with this status.
fn gemini_error(answer: &Answer, status: u16) -> String {
    let error = answer.json()["error"].take();
    assert_eq!((answer.status, &error["code"]), (status, &json!(status)), "{}", answer.text());
    assert!(error["status"].is_string(), "{error}");
    error["message"].as_str().unwrap_or_default().to_owned()
}

/// An error of `OpenAI`'s shape with this status.
fn openai_error(answer: &Answer, status: u16) -> String {
    let error = answer.json()["error"].take();
    assert_eq!(answer.status, status, "{}", answer.text());
    assert!(
        error["type"].is_string() && error.get("code").is_some() && error.get("param").is_some(),
        "{error}"
    );
    error["message"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn gemini_answers_under_both_of_its_versions() {
    let stage = stage().await;
    for version in ["v1beta", "v1"] {
        let base = format!("/geminicli/{version}");
        let list = get(&stage.gateway.at(&format!("{base}/models")), &stage.gateway.auth()).await;
        let models = list.json()["models"].take();
        let names = each(&models, "name");
        assert_eq!(
            names,
            ["models/gemini-2.5-pro", "models/gemini-2.5-flash", "models/gemini-3-pro-preview"]
        );
        assert!(models[0]["supportedGenerationMethods"].to_string().contains("countTokens"), "{models}");
        assert!(!list.text().contains("null"), "{}", list.text());

        let one = get(&stage.gateway.at(&format!("{base}/models/{PRO}")), &stage.gateway.auth()).await;
        assert_eq!((one.status, &one.json()["name"]), (200, &json!(format!("models/{PRO}"))));

        let openai = get(&stage.gateway.at(&format!("{base}/openai/models")), &stage.gateway.auth()).await;
        let openai = openai.json();
        assert_eq!(openai["object"], "list");
        assert_eq!(each(&openai["data"], "id"), [PRO, "gemini-2.5-flash", "gemini-3-pro-preview"]);

        let unary = stage.post(&format!("{base}/models/{PRO}:generateContent"), &contents("PING-U")).await;
        assert_eq!(unary.status, 200, "{}", unary.text());
        assert!(unary.header("content-type").unwrap().starts_with("application/json"));
        let unary = unary.json();
        assert_eq!(unary["candidates"][0]["content"]["parts"][0]["text"], "PING-U", "{unary}");
        assert_eq!(unary["candidates"][0]["finishReason"], "STOP");
        assert!(
            unary.get("response").is_none() && unary.get("traceId").is_none(),
            "the envelope is off: {unary}"
        );

        let count = stage.post(&format!("{base}/models/{PRO}:countTokens"), &contents("one two")).await;
        assert_eq!(count.status, 200, "{}", count.text());
        assert!(count.json()["totalTokens"].as_u64().unwrap() > 0);
    }
}

#[tokio::test]
async fn a_gemini_stream_is_events_and_an_array_only_when_asked_for_by_name() {
    let stage = stage().await;
    let path = format!("/geminicli/v1beta/models/{PRO}:streamGenerateContent");
    for query in ["", "?alt=sse", "?alt=media"] {
        let mut stream = stage.events(&format!("{path}{query}"), &contents("one two three")).await;
        assert_eq!(stream.headers["content-type"], "text/event-stream", "{query}");
        let events = stream.rest(LIMIT).await;
        assert_eq!(stream.end(), Some(&End::Clean));
        let text: Vec<String> = events
            .iter()
            .map(|event| {
                event.json()["candidates"][0]["content"]["parts"][0]["text"].as_str().unwrap().to_owned()
            })
            .collect();
        assert!(text.len() > 1, "several events");
        assert_eq!(text.concat(), "one two three");
    }
    let array = stage.post(&format!("{path}?alt=json"), &contents("one two three")).await;
    assert!(array.header("content-type").unwrap().starts_with("application/json"));
    let array = array.json();
    let chunks = array.as_array().expect("one JSON array");
    assert!(chunks.len() > 1);
    assert_eq!(chunks.last().unwrap()["candidates"][0]["finishReason"], "STOP");
}

#[tokio::test]
async fn an_unknown_method_is_a_404_that_names_it_and_never_another_method() {
    let stage = stage().await;
    for version in ["v1beta", "v1"] {
        for method in ["flyToTheMoon", "generatecontent", "generateContentX", "predict"] {
            let answer =
                stage.post(&format!("/geminicli/{version}/models/{PRO}:{method}"), &contents("x")).await;
            let message = gemini_error(&answer, 404);
            assert!(message.contains(method), "{message}");
        }
        for method in ["embedContent", "batchEmbedContents"] {
            let answer =
                stage.post(&format!("/geminicli/{version}/models/{PRO}:{method}"), &contents("x")).await;
            let message = gemini_error(&answer, 501);
            assert!(message.contains(method), "{message}");
        }
    }
    assert!(stage.generated().is_empty(), "nothing went upstream");
}

#[tokio::test]
async fn a_gemini_post_without_a_method_is_no_generation() {
    let stage = stage().await;
    for path in [format!("/geminicli/v1beta/models/{PRO}"), "/geminicli/v1beta/models".to_owned()] {
        let answer = stage.post(&path, &contents("x")).await;
        gemini_error(&answer, 405);
    }
    let answer = stage.post(&format!("/geminicli/v1beta/models/{PRO}:"), &contents("x")).await;
    gemini_error(&answer, 404);
    assert!(stage.generated().is_empty());
}

#[tokio::test]
async fn an_unknown_model_is_told_with_the_models_there_are() {
    let stage = stage().await;
    for method in ["generateContent", "streamGenerateContent?alt=sse", "countTokens"] {
        let answer = stage.post(&format!("/geminicli/v1beta/models/gpt-5.5:{method}"), &contents("x")).await;
        let message = gemini_error(&answer, 404);
        assert!(message.contains("gpt-5.5") && message.contains("gemini-2.5-flash"), "{message}");
    }
    let one = get(&stage.gateway.at("/geminicli/v1beta/models/nothing"), &stage.gateway.auth()).await;
    assert!(gemini_error(&one, 404).contains("nothing"));
    for path in ["/codex/v1/responses", "/codex/v1/responses/compact"] {
        let answer = stage.post(path, &json!({"model": "gemini-2.5-pro", "input": "x"})).await;
        let message = openai_error(&answer, 400);
        assert!(message.contains("gemini-2.5-pro") && message.contains("gpt-5.6-sol"), "{message}");
        assert_eq!(answer.json()["error"]["param"], "model");
    }
    assert!(stage.generated().is_empty());
}

#[tokio::test]
async fn a_wrong_method_is_a_405_in_the_dialect_of_the_path() {
    let stage = stage().await;
    let auth = stage.gateway.auth();
    for (method, path) in [
        ("GET", "/geminicli/v1beta/models/gemini-2.5-pro:generateContent"),
        ("DELETE", "/geminicli/v1beta/models"),
        ("PUT", "/geminicli/v1/models/gemini-2.5-pro:countTokens"),
        ("GET", "/geminicli/resource:add"),
    ] {
        let answer = send(method, &stage.gateway.at(path), &auth, "").await.unwrap();
        assert!(gemini_error(&answer, 405).contains(method), "{}", answer.text());
    }
    for (method, path) in [
        ("DELETE", "/codex/v1/responses"),
        ("POST", "/codex/v1/models"),
        ("GET", "/codex/v1/responses/compact"),
    ] {
        let answer = send(method, &stage.gateway.at(path), &auth, "").await.unwrap();
        openai_error(&answer, 405);
    }
}

#[tokio::test]
async fn an_unknown_path_is_a_404_in_the_dialect_of_its_prefix() {
    let stage = stage().await;
    let auth = stage.gateway.auth();
    gemini_error(&get(&stage.gateway.at("/geminicli/v1beta/tunedModels"), &auth).await, 404);
    openai_error(&get(&stage.gateway.at("/codex/v1/nothing"), &auth).await, 404);
    openai_error(&get(&stage.gateway.at("/nothing/at/all"), &auth).await, 404);
    assert_eq!(get(&stage.gateway.at("/"), &[]).await.status, 404);
}

#[tokio::test]
async fn codex_lists_its_models_in_both_shapes() {
    let stage = stage().await;
    let list = get(&stage.gateway.at("/codex/v1/models"), &stage.gateway.auth()).await.json();
    assert_eq!(list["object"], "list");
    assert_eq!(each(&list["data"], "id"), ["gpt-5.5", "gpt-5.6-sol", "gpt-5.2-codex"]);
    assert!(
        list["data"]
            .as_array()
            .unwrap()
            .iter()
            .all(|one| one["object"] == "model" && one["created"].is_u64())
    );
    let catalogue =
        get(&stage.gateway.at("/codex/v1/models?client_version=0.169.0"), &stage.gateway.auth()).await;
    let catalogue = catalogue.json();
    assert!(catalogue.get("data").is_none());
    assert_eq!(each(&catalogue["models"], "slug"), ["gpt-5.5", "gpt-5.6-sol", "gpt-5.2-codex"]);
    for name in
        ["display_name", "visibility", "priority", "shell_type", "context_window", "base_instructions"]
    {
        assert!(catalogue["models"][0].get(name).is_some(), "{name} is missing: {catalogue}");
    }
}

#[tokio::test]
async fn codex_answers_in_one_document_and_as_a_stream() {
    let stage = stage().await;
    let unary = stage.codex("PING-D").await;
    assert_eq!(unary.status, 200, "{}", unary.text());
    assert!(unary.header("content-type").unwrap().starts_with("application/json"));
    let unary = unary.json();
    assert_eq!((&unary["object"], &unary["status"]), (&json!("response"), &json!("completed")));
    assert_eq!(unary["output"][0]["content"][0]["text"], "PING-D");
    assert!(unary["usage"]["output_tokens"].as_u64().unwrap() > 0);
    let mut stream = stage.codex_stream("PING-S").await;
    assert_eq!(
        (stream.status, &stream.headers["content-type"]),
        (200, &"text/event-stream".parse().unwrap())
    );
    let events = stream.rest(LIMIT).await;
    assert_eq!(stream.end(), Some(&End::Clean));
    assert_eq!(events.last().unwrap().name.as_deref(), Some("response.completed"));
    for received in stage.generated() {
        let body = received.json();
        assert_eq!((&body["stream"], &body["store"]), (&json!(true), &json!(false)), "upstream only streams");
    }
}

#[tokio::test]
async fn an_answer_with_empty_output_is_rebuilt_from_its_items() {
    let stage = stage().await;
    stage.simulator.openai().habits(|habits| habits.empty_output = true);
    let answer = stage.codex("PING-E").await.json();
    assert_eq!(answer["output"][0]["content"][0]["text"], "PING-E", "{answer}");
    assert_eq!(answer["output"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn an_incomplete_answer_says_so_with_200_as_the_real_api_does() {
    let stage = stage().await;
    let cut = pollux_tests::simulator::Answer::Cut("max_output_tokens".into(), "half".into());
    stage.simulator.openai().script().next(cut);
    let answer = stage.codex("x").await;
    assert_eq!(answer.status, 200);
    let answer = answer.json();
    assert_eq!(answer["status"], "incomplete");
    assert_eq!(answer["incomplete_details"]["reason"], "max_output_tokens");
    assert_eq!(answer["output"][0]["content"][0]["text"], "half");
}

#[tokio::test]
async fn compact_is_rewritten_to_a_stream_and_folded_into_json() {
    let stage = stage().await;
    let input = json!([{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "long talk"}]}]);
    let body = json!({"model": "gpt-5.5", "input": input, "instructions": "Be brief."});
    let answer = stage.post("/codex/v1/responses/compact", &body).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(
        answer.header("content-type").unwrap().starts_with("application/json"),
        "clients look at the type"
    );
    let folded = answer.json();
    assert!(folded["output"].as_array().unwrap().iter().any(|item| item["type"] == "compaction"), "{folded}");
    let [asked] = &stage.generated()[..] else { panic!("one request goes upstream") };
    assert_eq!(asked.path, "/backend-api/codex/responses", "the vendor retired its own path");
    let asked = asked.json();
    assert_eq!(asked["stream"], true);
    assert_eq!(asked["input"].as_array().unwrap().last().unwrap()["type"], "compaction_trigger");
    assert_eq!(asked["input"][0], input[0]);
}

#[tokio::test]
async fn where_there_is_no_websocket_a_client_is_told_to_post() {
    let stage = stage().await;
    stage.simulator.openai().habits(|habits| habits.sockets = false);
    let upgrade = [
        stage.gateway.auth()[0],
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    let answer = send("GET", &stage.gateway.at("/codex/v1/responses"), &upgrade, "").await.unwrap();
    assert_eq!(answer.status, 426, "{}", answer.text());
    assert!(answer.json()["error"]["message"].is_string());
    let asked = stage.generated().len();
    let plain = get(&stage.gateway.at("/codex/v1/responses"), &stage.gateway.auth()).await;
    assert_eq!((plain.status, stage.generated().len()), (426, asked), "{}", plain.text());
}

#[tokio::test]
async fn health_is_open_to_all() {
    let stage = Stage::start("", &[], &[]).await;
    let answer = get(&stage.gateway.at("/healthz"), &[]).await;
    assert_eq!(answer.status, 200);
    let head = client().head(stage.gateway.at("/healthz")).send().await.unwrap();
    assert!(head.status().as_u16() < 500);
}

#[tokio::test]
async fn a_request_id_comes_back_on_every_kind_of_answer() {
    let stage = stage().await;
    let auth = stage.gateway.auth()[0];
    let paths = [
        ("GET", "/geminicli/v1beta/models", 200),
        ("GET", "/codex/v1/models", 200),
        ("GET", "/geminicli/v1beta/models/x:y", 404),
        ("POST", "/codex/v1/responses", 400),
        ("DELETE", "/codex/v1/responses", 405),
        ("GET", "/nothing", 404),
    ];
    for (method, path, status) in paths {
        let headers = [auth, ("x-request-id", "mine-42")];
        let answer = send(method, &stage.gateway.at(path), &headers, "").await.unwrap();
        assert_eq!(
            (answer.status, answer.header("x-request-id")),
            (status, Some("mine-42")),
            "{method} {path}"
        );
    }
    let url = stage.gateway.at("/codex/v1/models");
    let unauthorized = send("GET", &url, &[("x-request-id", "mine-43")], "");
    let unauthorized = unauthorized.await.unwrap();
    assert_eq!((unauthorized.status, unauthorized.header("x-request-id")), (401, Some("mine-43")));
    let long = "x".repeat(200);
    let mut made = Vec::new();
    for id in ["", "with blank", &long] {
        let answer =
            send("GET", &stage.gateway.at("/codex/v1/models"), &[auth, ("x-request-id", id)], "").await;
        let id = answer.unwrap().header("x-request-id").unwrap_or_default().to_owned();
        assert!((8..=128).contains(&id.len()) && !id.contains(' '), "{id}");
        made.push(id);
    }
    made.dedup();
    assert_eq!(made.len(), 3, "made ids differ");
    let stream = stage.codex_stream("x").await;
    assert!(stream.headers.contains_key("x-request-id"));
}

#[tokio::test]
async fn upstream_is_told_who_we_are_and_a_vendors_own_client_who_it_is() {
    let stage = stage().await;
    let ask = async |agent: &str| {
        let headers = [stage.gateway.auth()[0], ("user-agent", agent), ("x-strange", "no")];
        let codex = json!({"model": "gpt-5.5", "input": "x"});
        post(&stage.gateway.at("/codex/v1/responses"), &headers, &codex).await;
        let path = format!("/geminicli/v1beta/models/{PRO}:generateContent");
        post(&stage.gateway.at(&path), &headers, &contents("x")).await;
        let [.., codex, gemini] = &stage.generated()[..] else { panic!("both were asked") };
        assert!(codex.header("x-strange").is_none() && gemini.header("x-strange").is_none());
        let agent = |one: &pollux_tests::simulator::Received| one.header("user-agent").unwrap().to_owned();
        (agent(codex), agent(gemini), codex.header("originator").map(str::to_owned))
    };
    let (codex, gemini, originator) = ask("openai-python/2.0").await;
    for agent in [codex, gemini] {
        assert!(agent.starts_with("pollux/"), "{agent}");
    }
    assert_eq!(originator.as_deref(), Some("pollux"));
    assert_eq!(ask("codex_exec/0.169.0 (Linux)").await.0, "codex_exec/0.169.0 (Linux)");
    assert_eq!(ask("GeminiCLI-tui/0.61.0/x (linux)").await.1, "GeminiCLI-tui/0.61.0/x (linux)");
    let all = stage.simulator.record().all();
    assert!(all.iter().all(|one| one.header("user-agent").is_some()));
}

#[tokio::test]
async fn more_than_64_models_are_no_problem() {
    let names: Vec<String> = (0..100).map(|number| format!("\"gpt-many-{number}\"")).collect();
    let config = format!("[providers.codex]\nmodel_list = [{}, \"gpt-5.5\"]", names.join(","));
    let simulator = pollux_tests::simulator::Simulator::start();
    let builder = pollux_tests::kit::Gateway::builder().simulator(&simulator).config(&config);
    let stage = Stage { gateway: builder.start().await.unwrap(), simulator };
    let list = get(&stage.gateway.at("/codex/v1/models"), &stage.gateway.auth()).await.json();
    assert_eq!(list["data"].as_array().unwrap().len(), 101);
    let answer = stage.post("/codex/v1/responses", &json!({"model": "gpt-many-99", "input": "x"})).await;
    assert_eq!(answer.status, 503, "known, but there is no account: {}", answer.text());
}
