//! What the tests share, and the samples themselves.

mod accounts;
mod bodies;
mod configuration;
mod damage;
mod device;
mod requests;
mod streams;

use pollux_sdk::{
    AccountError, At, Bytes, Call, Cause, Credential, Dialect, Effect, Endpoint, Event, Failure, Grant,
    HeaderMap, HeaderName, HeaderValue, Io, Lease, Next, Operation, Payload, Provider, Reply, Request, Scope,
    Secret, Settings, Shape, StatusCode, Unreachable, async_trait,
};
use serde_json::{Value, json};
use std::{
    collections::VecDeque,
    pin::pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

fn provider(section: Value) -> Arc<dyn Provider> {
    crate::build(Settings { id: "codex", section }).unwrap()
}

fn samples() -> Value {
    serde_json::from_str(include_str!("../samples.json")).unwrap()
}

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

fn headers(of: &[(&str, &str)]) -> HeaderMap {
    let pair = |(name, value): &(&str, &str)| {
        (HeaderName::try_from(*name).unwrap(), HeaderValue::try_from(*value).unwrap())
    };
    of.iter().map(pair).collect()
}

fn call(path: &'static str, model: &str, of: &[(&str, &str)], body: impl Into<Bytes>) -> Call {
    let operation = if path == "/responses" { Operation::Generate } else { Operation::Compact };
    let body = Payload::new(body.into());
    Call {
        endpoint: Endpoint::post(path, operation, Dialect::Responses),
        dialect: Dialect::Responses,
        model: model.into(),
        shape: if body.is_true("stream") { Shape::Events } else { Shape::Whole },
        query: String::new(),
        headers: headers(of),
        body,
    }
}

fn sample_call(sample: &Value) -> Call {
    let path = if sample["path"] == "/responses/compact" { "/responses/compact" } else { "/responses" };
    let of: Vec<(&str, &str)> = sample["headers"]
        .as_object()
        .map(|all| all.iter().map(|(name, value)| (name.as_str(), value.as_str().unwrap())).collect())
        .unwrap_or_default();
    let call = call(path, sample["model"].as_str().unwrap_or_default(), &of, sample["body"].to_string());
    if sample["method"] == "GET" { on_socket(call) } else { call }
}

fn on_socket(mut call: Call) -> Call {
    call.endpoint =
        Endpoint::get("/responses", Operation::Generate, Dialect::Responses).shaped(Shape::Socket);
    call.shape = Shape::Socket;
    call
}

fn account() -> Credential {
    let mut account = Credential::from_refresh("r");
    account.access = Some(Secret::new("a"));
    account.subject = Some("user-1/acc-1".into());
    account.extra.insert("account_id".into(), "acc-1".into());
    account
}

/// Answers in the order given and keeps what was sent.
#[derive(Default)]
struct Script {
    replies: Mutex<VecDeque<Result<Reply, Unreachable>>>,
    sent: Mutex<Vec<Request>>,
}

impl Script {
    fn new(replies: impl IntoIterator<Item = (u16, Value)>) -> Self {
        let reply = |(status, body): (u16, Value)| {
            let text = body.as_str().map_or_else(|| body.to_string(), str::to_owned);
            let status = StatusCode::from_u16(status).unwrap();
            Ok(Reply { status, headers: HeaderMap::new(), body: text.into() })
        };
        Self { replies: Mutex::new(replies.into_iter().map(reply).collect()), sent: Mutex::default() }
    }
    fn sent(&self) -> Vec<Request> {
        self.sent.lock().unwrap().clone()
    }
}

#[async_trait]
impl Io for Script {
    async fn send(&self, request: Request) -> Result<Reply, Unreachable> {
        self.sent.lock().unwrap().push(request);
        let silence = Err(Unreachable { sent: true, text: "no answer in time".into() });
        self.replies.lock().unwrap().pop_front().unwrap_or(silence)
    }
    async fn pause(&self, _time: Duration) {}
    fn now(&self) -> SystemTime {
        at(1_795_000_000)
    }
}

/// The script never waits, so one poll is enough.
fn wait<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("the future waits for something"),
    }
}

#[test]
fn failures_of_the_samples_get_their_verdicts() {
    let (samples, codex) = (samples(), provider(json!({})));
    for row in samples["failures"].as_array().unwrap() {
        let name = row["name"].as_str().unwrap();
        let call = sample_call(&samples["calls"][usize::try_from(row["call"].as_u64().unwrap()).unwrap()]);
        let cause = match row["cause"].as_str() {
            Some("event") => Cause::Event,
            Some("unsent") => Cause::Unsent,
            Some("lost") => Cause::Lost,
            _ => Cause::Status(
                StatusCode::from_u16(u16::try_from(row["status"].as_u64().unwrap()).unwrap()).unwrap(),
            ),
        };
        let body = row["body"].as_str().map_or_else(|| row["body"].to_string(), str::to_owned);
        let of: Vec<(&str, &str)> = row["headers"]
            .as_object()
            .map(|all| all.iter().map(|(name, value)| (name.as_str(), value.as_str().unwrap())).collect())
            .unwrap_or_default();
        let failure = Failure {
            cause,
            headers: &headers(&of),
            body: body.as_bytes(),
            now: at(row["now"].as_u64().unwrap()),
        };
        let verdict = codex.classify(&call, &failure);
        let next = match verdict.next {
            Next::Deliver => "deliver",
            Next::Rotate => "rotate",
            Next::Again(_) => "again",
        };
        let (effect, until, code) = match verdict.effect {
            Effect::None => ("none", None, None),
            Effect::Cool(Scope::Model, until) => ("cool_model", Some(until), None),
            Effect::Cool(Scope::Credential, until) => ("cool_credential", Some(until), None),
            Effect::Refresh => ("refresh", None, None),
            Effect::Suspend(reason) => ("suspend", None, Some(reason.code)),
            Effect::DropModel => ("drop_model", None, None),
            _ => ("?", None, None),
        };
        assert_eq!(
            (next, effect),
            (row["next"].as_str().unwrap(), row["effect"].as_str().unwrap()),
            "{name}"
        );
        assert_eq!(until, row["until"].as_u64().map(at), "{name}");
        assert_eq!(code.as_deref(), row["code"].as_str(), "{name}");
    }
}

#[test]
fn a_short_delay_is_read_from_the_words_of_a_rate_limit() {
    let (call, codex) = (call("/responses", "m", &[], "{}"), provider(json!({})));
    for (text, wait) in [
        ("Please try again in 1.5s.", 1500),
        ("Please try again in 2 seconds.", 2000),
        ("please TRY AGAIN in 700ms", 700),
        ("try again in 800 milliseconds", 800),
        ("try again in 1ms", 500),
        ("try again in 1.2.3s", 60_000),
        ("try again in soon", 60_000),
        ("try again in ", 60_000),
        ("try again in 3", 60_000),
    ] {
        let body =
            json!({"response": {"error": {"code": "rate_limit_exceeded", "message": text}}}).to_string();
        let failure = Failure {
            cause: Cause::Event,
            headers: &HeaderMap::new(),
            body: body.as_bytes(),
            now: at(1_795_000_000),
        };
        let until = at(1_795_000_000) + Duration::from_millis(wait);
        assert_eq!(codex.classify(&call, &failure).effect, Effect::Cool(Scope::Model, until), "{text}");
    }
}

#[test]
fn answers_of_the_samples_end_and_tell_their_usage() {
    let (samples, codex) = (samples(), provider(json!({})));
    for (group, end) in [("answers", At::End), ("faults", At::Fault)] {
        for row in samples[group].as_array().unwrap() {
            let call =
                sample_call(&samples["calls"][usize::try_from(row["call"].as_u64().unwrap()).unwrap()]);
            let account = account();
            let mut attempt = codex.prepare(&call, &Lease::new(&account, false)).unwrap();
            assert_eq!(attempt.answers == Shape::Socket, call.shape == Shape::Socket);
            assert_ne!(attempt.answers, Shape::Whole);
            let events = row["events"].as_array().unwrap();
            for (place, event) in events.iter().enumerate() {
                let data = Bytes::from(event["data"].to_string());
                let step = attempt.reader.read(Event { name: event["name"].as_str().unwrap(), data: &data });
                assert_eq!(step.at == end, place + 1 == events.len(), "{}: {event}", row["name"]);
            }
            let summary = attempt.reader.finish();
            let usage = summary.usage.unwrap_or_default();
            let told = |key: &str| row["usage"][key].as_u64();
            assert_eq!(
                [usage.input, usage.output].map(Some),
                ["input", "output"].map(|key| told(key).or(Some(0))),
                "{}",
                row["name"]
            );
            assert_eq!(
                [usage.cache_read, usage.cache_write, usage.reasoning],
                ["cache_read", "cache_write", "reasoning"].map(told),
                "{}",
                row["name"]
            );
            assert_eq!(summary.id.as_deref(), row["id"].as_str(), "{}", row["name"]);
        }
    }
}

#[test]
fn grants_of_the_samples_mean_what_they_say() {
    let codex = provider(json!({}));
    for row in samples()["grants"].as_array().unwrap() {
        let status = u16::try_from(row["status"].as_u64().unwrap()).unwrap();
        let script = Script::new([(status, row["body"].clone())]);
        let outcome = wait(codex.obtain(&script, Grant::Refresh(&account())));
        let (error, code, gives) = match outcome {
            Ok(credential) => (None, None, Some(credential)),
            Err(AccountError::Suspend(reason)) => (Some("suspend"), Some(reason.code), None),
            Err(AccountError::Transient(_)) => (Some("transient"), None, None),
            Err(AccountError::Unsure(_)) => (Some("unsure"), None, None),
        };
        assert_eq!(
            (error, code.as_deref()),
            (row["error"].as_str(), row["code"].as_str()),
            "{}",
            row["name"]
        );
        let Some(credential) = gives else { continue };
        assert_eq!(
            credential.refresh.as_ref().map(Secret::expose),
            row["gives"]["refresh"].as_str(),
            "{}",
            row["name"]
        );
        assert_eq!(
            credential.access.as_ref().map(Secret::expose),
            row["gives"]["access"].as_str(),
            "{}",
            row["name"]
        );
    }
}
