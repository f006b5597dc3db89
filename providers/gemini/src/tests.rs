//! Requests as they leave, and keys as they come in.

use super::build;
use pollux_sdk::{
    AccountError, Call, Credential, Dialect, Endpoint, HeaderMap, Io, Lease, Operation, Payload, Provider,
    Refusal, Reply, Request, Settings, Shape, StatusCode, Unreachable, async_trait,
};
use serde_json::{Value, json};
use std::{
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

fn provider(section: Value) -> Arc<dyn Provider> {
    build(Settings { id: "gemini", section }).unwrap()
}

fn call(path: &'static str, version: &'static str, operation: Operation, shape: Shape) -> Call {
    Call {
        endpoint: Endpoint::post(path, operation, Dialect::Gemini).shaped(shape).under(version),
        dialect: Dialect::Gemini,
        model: "gemini-2.5-flash".into(),
        shape,
        query: "alt=json&fields=x".into(),
        headers: HeaderMap::new(),
        body: Payload::new(r#"{ "contents":[ ] }"#.into()),
    }
}

fn sent(call: &Call) -> Request {
    let key = Credential::from_key("AIza-1");
    provider(json!({})).prepare(call, &Lease::new(&key, false)).unwrap().request
}

#[test]
fn every_method_goes_on_in_the_version_that_the_client_chose() {
    use Operation::{CountTokens, Embed, Generate};
    let stream = "/models/{model}:streamGenerateContent";
    for (path, version, operation, shape, url) in [
        (
            "/models/{model}:generateContent",
            "/v1beta",
            Generate,
            Shape::Whole,
            "/v1beta/models/gemini-2.5-flash:generateContent",
        ),
        (
            "/models/{model}:generateContent",
            "/v1",
            Generate,
            Shape::Whole,
            "/v1/models/gemini-2.5-flash:generateContent",
        ),
        (stream, "/v1", Generate, Shape::Events, "/v1/models/gemini-2.5-flash:streamGenerateContent?alt=sse"),
        (
            stream,
            "/v1beta",
            Generate,
            Shape::Array,
            "/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse",
        ),
        (
            "/models/{model}:countTokens",
            "",
            CountTokens,
            Shape::Whole,
            "/v1beta/models/gemini-2.5-flash:countTokens",
        ),
        (
            "/models/{model}:embedContent",
            "/v1",
            Embed,
            Shape::Whole,
            "/v1/models/gemini-2.5-flash:embedContent",
        ),
        (
            "/models/{model}:batchEmbedContents",
            "/v1",
            Embed,
            Shape::Whole,
            "/v1/models/gemini-2.5-flash:batchEmbedContents",
        ),
    ] {
        let request = sent(&call(path, version, operation, shape));
        assert_eq!(request.url, format!("https://generativelanguage.googleapis.com{url}"));
        assert_eq!(request.headers["x-goog-api-key"], "AIza-1");
        assert_eq!(&request.body[..], br#"{ "contents":[ ] }"#);
    }
}

#[test]
fn a_model_that_is_no_name_does_not_reach_the_address() {
    for odd in ["", "../files", "a/b", "a?x=y", "a#b", "a%2Fb", "a b", "\u{e9}", &"x".repeat(129)] {
        let call = Call {
            model: odd.into(),
            ..call("/models/{model}:generateContent", "/v1", Operation::Generate, Shape::Whole)
        };
        let refusal = provider(json!({})).prepare(&call, &Lease::new(&Credential::from_key("k"), false));
        assert!(matches!(refusal, Err(Refusal::Request(_))), "{odd}");
    }
}

#[test]
fn googles_own_clients_name_themselves_and_others_do_not() {
    for (agent, passes) in [
        ("google-genai-sdk/3.4.0 gl-python/3.11.7", true),
        ("GeminiCLI-tui/0.61.0/x", true),
        ("curl/8", false),
        ("python-requests google-genai-sdk", false),
    ] {
        let mut call = call("/models/{model}:generateContent", "/v1", Operation::Generate, Shape::Whole);
        call.headers.insert("user-agent", agent.parse().unwrap());
        assert_eq!(sent(&call).headers.get("user-agent").is_some(), passes, "{agent}");
    }
}

#[test]
fn other_vendors_keys_and_logins_are_none_of_ours() {
    let provider = provider(json!({}));
    for file in [
        json!({"api_key": "sk-ant-api03-x"}),
        json!({"OPENAI_API_KEY": "sk-x"}),
        json!({"refresh_token": "1//r"}),
        json!({"api_key": {"a": "b"}}),
    ] {
        assert!(provider.import(&file).is_none(), "{file}");
    }
}

/// Answers every request alike and remembers the last one.
struct World(u16, Value, Mutex<Option<Request>>);

#[async_trait]
impl Io for World {
    async fn send(&self, request: Request) -> Result<Reply, Unreachable> {
        *self.2.lock().unwrap() = Some(request);
        let status = StatusCode::from_u16(self.0).unwrap();
        Ok(Reply { status, headers: HeaderMap::new(), body: self.1.to_string().into() })
    }
    async fn pause(&self, _: Duration) {}
    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH
    }
}

/// Nothing scripted ever waits.
fn run<T>(future: impl Future<Output = T>) -> T {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::pin!(future).poll(&mut context) {
        std::task::Poll::Ready(value) => value,
        std::task::Poll::Pending => panic!("a scripted future waits"),
    }
}

#[test]
fn a_key_is_asked_once_and_known_by_its_digest() {
    let world = World(200, json!({"models": []}), Mutex::default());
    let key = Credential::from_key("AIzaSyExampleKeyOfTheTests");
    let account = run(provider(json!({})).enroll(&world, key)).unwrap().pop().unwrap();
    assert_eq!(account.label.as_deref(), Some("...ests"));
    assert_eq!(account.subject.unwrap().len(), 32);
    let asked = world.2.lock().unwrap().take().unwrap();
    assert_eq!(asked.url, "https://generativelanguage.googleapis.com/v1beta/models?pageSize=1");
}

#[test]
fn only_what_is_said_of_the_key_keeps_it_out() {
    let invalid = json!({"error": {"code": 400, "message": "API key not valid.", "details": [{"reason": "API_KEY_INVALID"}]}});
    let denied = json!({"error": {"code": 403, "message": "The caller does not have permission"}});
    for (status, body, code) in [
        (400, invalid, Some("api_key_invalid")),
        (403, denied, Some("permission_denied")),
        (400, json!({"error": {"code": 400, "message": "odd"}}), None),
        (403, json!("a firewall"), None),
        (429, json!({}), None),
        (503, json!({}), None),
    ] {
        let world = World(status, body, Mutex::default());
        let error = run(provider(json!({})).enroll(&world, Credential::from_key("k"))).unwrap_err();
        match (error, code) {
            (AccountError::Suspend(reason), Some(code)) => assert_eq!(reason.code, code),
            (AccountError::Transient(_), None) => {}
            (error, _) => panic!("{status}: {error:?}"),
        }
    }
}

#[test]
fn a_survey_tells_the_models_in_googles_words() {
    let entry = json!({"name": "models/gemini-2.5-flash", "inputTokenLimit": 1_048_576});
    let world = World(200, json!({"models": [entry, {"name": "tunedModels/x"}, {}]}), Mutex::default());
    let survey = run(provider(json!({})).survey(&world, &Credential::from_key("k"))).unwrap();
    let models = survey.models.unwrap();
    assert_eq!((models.len(), models[0].id.as_str(), &models[0].entry), (1, "gemini-2.5-flash", &entry));
}

#[test]
fn keys_are_recognised_by_their_form_and_their_names() {
    use pollux_sdk::Recognition::{Foreign, Own, Possible};
    for (file, expected) in [
        (json!({"api_key": "AIza-1"}), Own),
        (json!({"GEMINI_API_KEY": "k"}), Own),
        (json!({"api_key": "k"}), Possible),
        (json!({"api_key": "sk-ant-1"}), Foreign),
        (json!({"refresh_token": "1//r"}), Foreign),
    ] {
        assert_eq!(provider(json!({})).recognise(&file), expected, "{file}");
    }
}
