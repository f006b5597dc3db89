//! The model provider with one thing broken: what, is said by the name of the check that must notice.

#![expect(clippy::unwrap_used, reason = "a flaw that cannot be put in is a failed test")]

use super::model::{Vendor, samples};
use pollux_sdk::{
    AccountError, At, Attempt, Bytes, Call, Cause, ConfigError, Credential, Descriptor, Dialect, Effect,
    Emit, Endpoint, Event, Facts, Failure, Grant, HeaderMap, HeaderName, HeaderValue, Inbound, Io, Lease,
    Model, Next, Operation, Payload, PoolView, Provider, Quota, Reader, Reason, Recognition, Refusal,
    Registration, Reply, Request, Scope, Secret, Settings, Shape, Step, Summary, Survey, Unreachable,
    Verdict, async_trait,
};
use serde_json::{Value, json};
use std::{
    cell::Cell,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, SystemTime},
};

thread_local! {
    /// A constructor is a plain function: this is how it learns what to break.
    static FLAW: Cell<&'static str> = const { Cell::new("") };
}

/// A registration of a provider with this flaw.
pub(super) fn registration(flaw: &'static str) -> Registration {
    FLAW.set(flaw);
    let mut samples = samples();
    match flaw {
        "its samples are readable" => samples["call"] = json!([]),
        "its samples cover every operation" => drop(samples["answers"].as_array_mut().unwrap().pop()),
        _ => {}
    }
    Registration { id: "model", build, samples: samples.to_string().leak() }
}

fn build(mut settings: Settings) -> Result<Arc<dyn Provider>, ConfigError> {
    let flaw = FLAW.get();
    let known = settings.section.get("of_no_provider").is_none();
    match flaw {
        "it builds from its sample configuration" => settings.section["model_list"] = json!(7),
        "an unknown key is refused by name" => {
            settings.section.as_object_mut().unwrap().remove("of_no_provider");
        }
        _ => {}
    }
    let mute = flaw == "a bad configuration is refused and the key named" && known;
    let inner = Vendor::new(settings)
        .map_err(|error| if mute { ConfigError { message: "wrong".to_owned(), ..error } } else { error })?;
    let mut descriptor = inner.descriptor().clone();
    describe(flaw, &mut descriptor);
    Ok(Arc::new(Flawed { inner, descriptor, flaw }))
}

fn describe(flaw: &str, about: &mut Descriptor) {
    match flaw {
        "its id is a plain word and it has a title" => about.title = " ",
        "it supports operations of its dialects only" => about.dialects = &[Dialect::Chat, Dialect::Chat],
        "its own paths are well formed and free" => {
            about.endpoints.push(Endpoint::get("/odd?x", Operation::Local("odd"), Dialect::Chat));
        }
        "its login leaves state, redirect and challenge to the host" => {
            about.login.as_mut().unwrap().authorize += "&state=x";
        }
        "no key and no cookie is among its request headers" => {
            about.request_headers = &["x-vendor-*", "cookie"];
        }
        "no cookie and no framing is among its reply headers" => about.reply_headers = &["set-*"],
        "it offers the models of its configuration" => about.models.push(Model::named("m-1")),
        _ => {}
    }
}

struct Flawed {
    inner: Vendor,
    descriptor: Descriptor,
    flaw: &'static str,
}

static COUNT: AtomicU32 = AtomicU32::new(0);

#[async_trait]
impl Provider for Flawed {
    fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    fn probe(&self, inbound: &Inbound<'_>) -> Facts {
        let blind = self.flaw == "a request's model is seen before an account is chosen";
        let facts = self.inner.probe(inbound);
        if blind { Facts { model: None, ..facts } } else { facts }
    }

    fn prepare(&self, call: &Call, lease: &Lease<'_>) -> Result<Attempt, Refusal> {
        let access = lease.credential.access.as_ref();
        match self.flaw {
            "each sample call becomes a request" if lease.moved => {
                return Err(Refusal::Request("not after a move".to_owned()));
            }
            "a client's wrong body is never the credential's fault"
                if call.shape != Shape::Socket && !call.body.is_object() =>
            {
                return Err(Reason::new("odd", "the body is odd").into());
            }
            "an unusable token is never the client's fault" if access.is_none() => {
                return Err(Refusal::Request("there is no token".to_owned()));
            }
            _ => {}
        }
        let mut attempt = self.inner.prepare(call, lease)?;
        let request = &mut attempt.request;
        let mut set = |name, value: &str| {
            request.headers.insert(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        };
        match self.flaw {
            "the same call becomes the same request" => {
                set("x-count", &COUNT.fetch_add(1, Ordering::Relaxed).to_string());
            }
            "a request leaves framing to the host" => set("accept-encoding", "gzip"),
            "a request claims to be of no other client" => set("user-agent", "Mozilla/5.0"),
            "a request shows its token in sensitive headers only" => {
                let token = json!(access.map(Secret::expose)).to_string();
                request.body = call.body.with(&[("user", Some(token.as_bytes()))]);
            }
            "requests go to the configured `api_url`" => {
                "https://vendor.example/chat".clone_into(&mut request.url);
            }
            "unknown members of a body go upstream byte for byte" if call.shape != Shape::Socket => {
                let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
                request.body = body.to_string().into();
            }
            "each sample answer comes in the shape announced" if call.shape != Shape::Socket => {
                attempt.answers = Shape::Events;
            }
            "a socket is opened without a body, where sockets are offered" if call.shape == Shape::Socket => {
                request.method = pollux_sdk::Method::POST;
            }
            _ => {}
        }
        attempt.reader =
            Box::new(FlawedReader { inner: attempt.reader, flaw: self.flaw, kept: Summary::default() });
        Ok(attempt)
    }

    fn opens_sockets(&self) -> bool {
        self.inner.opens_sockets()
    }

    fn frame(&self, call: &Call, lease: &Lease<'_>) -> Result<Bytes, Refusal> {
        let frame = self.inner.frame(call, lease)?;
        if self.flaw != "a frame becomes the same frame, and holds no token" {
            return Ok(frame);
        }
        let count = COUNT.fetch_add(1, Ordering::Relaxed).to_string();
        Ok(Payload::new(frame).with(&[("count", Some(count.as_bytes()))]))
    }

    fn classify(&self, call: &Call, failure: &Failure<'_>) -> Verdict {
        let status = match failure.cause {
            Cause::Status(status) => status.as_u16(),
            _ => 0,
        };
        let bare = failure.body.is_empty();
        let right = self.inner.classify(call, failure);
        let cooled = |wait: Duration| Verdict::cool(Scope::Credential, failure.now + wait);
        match (self.flaw, &right.effect) {
            ("each sample failure is judged as it says", Effect::Cool(Scope::Credential, until)) => {
                Verdict::cool(Scope::Model, *until)
            }
            ("each sample cooldown ends when it says", Effect::Cool(..)) => cooled(Duration::from_secs(91)),
            ("no failure cools an account for ever or into the past", _)
                if failure.json()["seconds"] == u64::MAX =>
            {
                cooled(Duration::from_hours(401 * 24))
            }
            ("another try is never more than a minute away", _) if status == 503 => {
                Verdict { next: Next::Again(failure.retry_after().unwrap_or_default()), effect: Effect::None }
            }
            ("a broken connection is no account's fault", _) if failure.cause == Cause::Unsent => {
                cooled(Duration::from_secs(1))
            }
            ("what may have been paid for is not repeated", _) if failure.cause == Cause::Lost => {
                Verdict::AGAIN
            }
            ("what never left is tried again", _) if failure.cause == Cause::Unsent => Verdict::DELIVER,
            ("a server's error costs no account", _) if status == 599 => Verdict::rotate(Effect::DropModel),
            ("a bare 400, 413 or 422 is the client's", _) if status == 422 => Verdict::AGAIN,
            ("a refused credential is never the client's trouble", _) if status == 401 && bare => {
                Verdict::DELIVER
            }
            ("a bare 429 rests the account or its model", _) if status == 429 && bare => {
                Verdict::rotate(Effect::None)
            }
            ("no failure makes it panic", _) if failure.body == b"12" => panic!("twelve"),
            _ => right,
        }
    }

    fn quota(&self, headers: &HeaderMap) -> Option<Quota> {
        let mut quota = self.inner.quota(headers)?;
        let text = headers.get("x-vendor-used").and_then(|value| value.to_str().ok()).unwrap_or_default();
        for window in &mut quota.windows {
            match self.flaw {
                "quota headers are read as the samples say" => window.resets_at = None,
                "no quota header makes it panic or use more than all" => {
                    window.used = text.parse().ok().map(|percent: f64| percent / 100.0);
                }
                _ => {}
            }
        }
        Some(quota)
    }

    fn answer(&self, call: &Call, pool: &PoolView<'_>) -> Option<Reply> {
        let first = pool.accounts.first().filter(|_| self.flaw == "local answers show no token");
        let token = first.and_then(|account| account.credential.access.as_ref());
        token.map(|token| Reply::json(&json!([token.expose()]))).or_else(|| self.inner.answer(call, pool))
    }

    fn import(&self, file: &Value) -> Option<Credential> {
        match self.flaw {
            "its first sample file and account make a credential" => return None,
            "it takes no foreign file" if *file == json!([]) => return Some(Credential::from_key("x")),
            "no damage to a file makes it panic" => assert!(file["refresh"] != "9".repeat(400)),
            _ => {}
        }
        let mut credential = self.inner.import(file)?;
        let token = credential.refresh.as_ref().map(|token| token.expose().to_owned());
        match self.flaw {
            "it takes each of its credential files and no subject from them" => {
                credential.subject = Some("x".to_owned());
            }
            "nothing shows a token where it is printed" => credential.label = token,
            _ => {}
        }
        Some(credential)
    }

    fn recognise(&self, file: &Value) -> Recognition {
        match self.flaw {
            "it recognises the files that it takes, and no others" => Recognition::Own,
            _ => self.inner.recognise(file),
        }
    }

    fn export(&self, credential: &Credential, file: &mut Value) {
        let before = file.clone();
        self.inner.export(credential, file);
        match self.flaw {
            "an export is found again by an import" if before.is_object() => *file = before,
            "an export makes a whole file from nothing" if before.is_null() => *file = before,
            "an export leaves the foreign members of a file alone" => {
                file.as_object_mut().unwrap().remove("of_no_vendor");
            }
            _ => {}
        }
    }

    async fn obtain(&self, io: &dyn Io, grant: Grant<'_>) -> Result<Credential, AccountError> {
        let seen = Watched { io, flaw: self.flaw, body: Mutex::default() };
        let granted = self.inner.obtain(&seen, grant).await;
        let spare = Request::new(pollux_sdk::Method::GET, "https://vendor.example/me");
        match (self.flaw, granted) {
            ("a grant takes one call at most", granted) => {
                io.send(spare).await.ok();
                granted
            }
            ("each sample grant comes out as it says", Err(AccountError::Suspend(reason))) => {
                Err(AccountError::Transient(reason.text))
            }
            ("a token request that never left is a passing trouble", Err(AccountError::Transient(text)))
                if text.contains("unreachable") =>
            {
                Err(AccountError::Unsure(text))
            }
            ("a token request that got no reply may have been spent", Err(AccountError::Unsure(text)))
                if text.contains("unreachable") =>
            {
                Err(AccountError::Transient(text))
            }
            ("a broken token endpoint costs no account", Err(AccountError::Transient(text)))
                if text.contains("599") =>
            {
                Err(Reason::new("gone", text).into())
            }
            ("a success that cannot be read may have spent the token", Err(AccountError::Unsure(text)))
                if !text.contains("unreachable") =>
            {
                Err(AccountError::Transient(text))
            }
            ("no error of a token endpoint quotes a token", Err(AccountError::Unsure(text))) => {
                Err(AccountError::Unsure(text + &seen.body()))
            }
            (_, granted) => granted,
        }
    }

    async fn enroll(&self, io: &dyn Io, credential: Credential) -> Result<Vec<Credential>, AccountError> {
        let refresh = credential.refresh.clone();
        let seen = Watched { io, flaw: self.flaw, body: Mutex::default() };
        let enrolled = self.inner.enroll(&seen, credential).await;
        match self.flaw {
            "enrolment spends no token" => {
                let token = refresh.map(|token| token.expose().to_owned()).unwrap_or_default();
                io.send(Request::post("https://vendor.example/token", token)).await.ok();
            }
            "enrolment comes to an end" => {
                while seen.body().contains("pending") {
                    io.pause(Duration::from_secs(5)).await;
                }
            }
            "no answer to enrolment or survey makes it panic" => assert!(seen.body() != "12"),
            _ => {}
        }
        match (self.flaw, enrolled) {
            ("enrolment keeps the tokens", Ok(accounts)) => {
                Ok(accounts.into_iter().map(|account| Credential { refresh: None, ..account }).collect())
            }
            (
                "silence while enrolling, surveying or asking for a code is a passing trouble",
                Err(AccountError::Transient(text)),
            ) => Err(AccountError::Unsure(text)),
            (_, enrolled) => enrolled,
        }
    }

    async fn survey(&self, io: &dyn Io, credential: &Credential) -> Result<Survey, AccountError> {
        self.inner.survey(io, credential).await
    }
}

/// The world as the model sees it, and the last body that came out of it.
struct Watched<'a> {
    io: &'a dyn Io,
    flaw: &'static str,
    body: Mutex<String>,
}

impl Watched<'_> {
    fn body(&self) -> String {
        self.body.lock().unwrap().clone()
    }
}

#[async_trait]
impl Io for Watched<'_> {
    async fn send(&self, mut request: Request) -> Result<Reply, Unreachable> {
        if self.flaw == "no secret stands in the address of a token request" {
            request.url = format!("{}?{}", request.url, String::from_utf8_lossy(&request.body));
        }
        let reply = self.io.send(request).await?;
        *self.body.lock().unwrap() = String::from_utf8_lossy(&reply.body).into_owned();
        let told: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
        if self.flaw == "no reply of a token endpoint makes it panic" {
            // What happens to `now + lifetime`, too.
            assert!(told["seconds"] != u64::MAX, "overflow when adding duration to instant");
        }
        Ok(reply)
    }
    async fn pause(&self, time: Duration) {
        self.io.pause(time).await;
    }
    fn now(&self) -> SystemTime {
        self.io.now()
    }
}

struct FlawedReader {
    inner: Box<dyn Reader>,
    flaw: &'static str,
    kept: Summary,
}

impl Reader for FlawedReader {
    fn read(&mut self, event: Event<'_>) -> Step {
        let right = self.inner.read(event);
        let at = match (self.flaw, right.at) {
            ("a stream is not over at its first event", At::Prelude) => At::End,
            ("a prelude comes before the answer only", At::Body)
                if pollux_sdk::mentions(event.data, "late") =>
            {
                At::Prelude
            }
            ("each sample answer ends", At::End)
            | ("each sample fault is seen, and none before it", At::Fault) => At::Body,
            ("no event makes a reader panic", _) if event.data == "12" => panic!("twelve"),
            (_, at) => at,
        };
        let emit = match (self.flaw, right.emit) {
            ("what a reader makes of an event is JSON of like size", Emit::Data(_)) => {
                Emit::Data(Bytes::from_static(b"data: {}"))
            }
            (_, emit) => emit,
        };
        Step { emit, at }
    }

    fn finish(&mut self) -> Summary {
        let right = self.inner.finish();
        match self.flaw {
            "each sample answer tells its usage and its id" => Summary { usage: None, ..right },
            "a reader that finished starts anew" => {
                if right != Summary::default() {
                    self.kept = right;
                }
                self.kept.clone()
            }
            _ => right,
        }
    }
}
