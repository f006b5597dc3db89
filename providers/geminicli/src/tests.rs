//! What all tests share: a provider as the host builds it, calls, and a scripted outside world.

mod accounts;
mod relay;
mod samples;

use pollux_sdk::{
    Call, Credential, Dialect, Endpoint, HeaderMap, Io, Operation, Payload, Provider, Reply, Request,
    Settings, Shape, StatusCode, Unreachable, async_trait,
};
use serde_json::{Value, json};
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

/// 2026-11-21T22:26:40Z.
fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_300_000)
}

fn provider(section: Value) -> Arc<dyn Provider> {
    super::build(Settings { id: "geminicli", section }).unwrap()
}

fn call(operation: Operation, shape: Shape, body: &str) -> Call {
    Call {
        endpoint: Endpoint::post("/models/{model}:x", operation, Dialect::Gemini).shaped(shape),
        dialect: Dialect::Gemini,
        model: "gemini-2.5-pro".into(),
        shape,
        query: String::new(),
        headers: HeaderMap::new(),
        body: Payload::new(body.to_owned().into()),
    }
}

fn credential() -> Credential {
    let mut credential = Credential::from_refresh("1//r");
    credential.access = Some(pollux_sdk::Secret::new("ya29.1"));
    credential.extra.insert("project".into(), "my-project".into());
    credential.extra.insert("sub".into(), "1001".into());
    credential
}

/// Answers in order and remembers what was asked: `METHOD url body`.
#[derive(Default)]
struct Script {
    replies: Mutex<VecDeque<Result<(u16, String), Unreachable>>>,
    asked: Mutex<Vec<(String, HeaderMap, String)>>,
    paused: Mutex<Duration>,
}

impl Script {
    fn of(replies: impl IntoIterator<Item = (u16, Value)>) -> Self {
        let replies = replies.into_iter().map(|(status, body)| Ok((status, body.to_string()))).collect();
        Self { replies: Mutex::new(replies), ..Self::default() }
    }
    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().iter().map(|(line, _, _)| line.clone()).collect()
    }
    fn body(&self, index: usize) -> Value {
        serde_json::from_str(&self.asked.lock().unwrap()[index].2).unwrap()
    }
}

#[async_trait]
impl Io for Script {
    async fn send(&self, request: Request) -> Result<Reply, Unreachable> {
        let body = String::from_utf8(request.body.to_vec()).unwrap();
        self.asked.lock().unwrap().push((
            format!("{} {}", request.method, request.url),
            request.headers,
            body,
        ));
        let (status, body) = self.replies.lock().unwrap().pop_front().expect("one request too many")?;
        let status = StatusCode::from_u16(status).unwrap();
        Ok(Reply { status, headers: HeaderMap::new(), body: body.into() })
    }
    async fn pause(&self, time: Duration) {
        *self.paused.lock().unwrap() += time;
    }
    fn now(&self) -> SystemTime {
        now()
    }
}

#[test]
fn the_default_section_is_the_vendors_and_the_owners_client_frees_the_redirect() {
    use pollux_sdk::Redirect::Here;
    let usual = provider(json!({}));
    let login = usual.descriptor().login.clone().unwrap();
    assert_eq!(login.redirect, Here { path: "/oauth2callback", anywhere: false });
    assert_eq!(
        login.authorize,
        "https://accounts.google.com/o/oauth2/v2/auth?client_id=681255809395-oo8ft2oprdrnp9e3aqf6av3hmdib135j\
         .apps.googleusercontent.com&response_type=code&access_type=offline&prompt=consent&scope=https%3A%2F%2F\
         www.googleapis.com%2Fauth%2Fcloud-platform%20https%3A%2F%2Fwww.googleapis.com%2Fauth%2Fuserinfo.email%20\
         https%3A%2F%2Fwww.googleapis.com%2Fauth%2Fuserinfo.profile"
    );
    assert_eq!(usual.descriptor().models, [pollux_sdk::Model::named("gemini-2.5-pro")]);
    let blank = json!({"api_url": "", "user_agent": " ", "oauth": {"client_id": "", "client_secret": ""}});
    assert_eq!(provider(blank).descriptor().login.clone().unwrap().authorize, login.authorize);
    let model = provider(json!({"model_list": ["m-1", " "], "custom_api_url": "http://127.0.0.1:1"}))
        .descriptor()
        .models
        .clone();
    assert_eq!(model, [pollux_sdk::Model::named("m-1")]);
    let own = provider(json!({"oauth": {"client_id": "own", "authorize_url": "http://127.0.0.1:1/auth"}}));
    let login = own.descriptor().login.clone().unwrap();
    assert!(login.authorize.starts_with("http://127.0.0.1:1/auth?client_id=own&"), "{}", login.authorize);
    assert_eq!(login.redirect, Here { path: "/oauth2callback", anywhere: true });
}

/// Nothing scripted ever waits.
fn run<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match future.as_mut().poll(&mut context) {
        std::task::Poll::Ready(value) => value,
        std::task::Poll::Pending => panic!("a scripted future waits"),
    }
}
