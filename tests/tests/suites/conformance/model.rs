//! A provider that does everything a provider can do, for a vendor that does not exist.

use pollux_sdk::{
    AccountError, Alias, At, Attempt, Bytes, Call, ConfigError, Credential, Descriptor, Dialect, Effect,
    Emit, Endpoint, Event, Failure, Grant, HeaderMap, HeaderName, Io, Lease, Login, Method, Model, Next,
    Operation, Payload, PoolView, Provider, Quota, Reader, Reason, Redirect, Refusal, Reply, Request, Scope,
    Secret, Settings, Shape, Step, Summary, Usage, Verdict, Window, async_trait,
};
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::{Duration, UNIX_EPOCH};

const AUTHORIZATION: HeaderName = HeaderName::from_static("authorization");
const MONTH: Duration = Duration::from_hours(30 * 24);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Config {
    #[serde(default)]
    api_url: String,
    model_list: Vec<String>,
}

#[derive(Debug)]
pub(super) struct Vendor {
    base: String,
    descriptor: Descriptor,
}

impl Vendor {
    pub(super) fn new(settings: Settings) -> Result<Self, ConfigError> {
        let config: Config = settings.parse()?;
        let given = config.api_url.trim_end_matches('/');
        let base = if given.is_empty() { "https://vendor.example" } else { given }.to_owned();
        let descriptor = Descriptor {
            id: "model",
            title: "Model",
            kind: "model",
            dialects: &[Dialect::Chat],
            operations: &[Operation::Generate, Operation::Models],
            models: config.model_list.iter().map(Model::named).collect(),
            aliases: &[Alias::Own("/api")],
            endpoints: vec![
                Endpoint::post("/echo", Operation::Vendor("echo"), Dialect::Chat).shaped(Shape::Whole),
                Endpoint::get("/talk", Operation::Vendor("talk"), Dialect::Chat).shaped(Shape::Socket),
                Endpoint::get("/usage", Operation::Local("usage"), Dialect::Chat),
            ],
            request_headers: &["x-vendor-*"],
            reply_headers: &["x-vendor-*", "x-request-id"],
            login: Some(Login {
                authorize: "https://vendor.example/authorize?response_type=code&client_id=us".to_owned(),
                redirect: Redirect::Loopback(&[1999], "/callback"),
            }),
            single_use_refresh: true,
        };
        Ok(Self { base, descriptor })
    }

    fn get(&self, path: &str, account: &Credential) -> Result<Request, Reason> {
        Request::new(Method::GET, format!("{}{path}", self.base)).secret(
            AUTHORIZATION,
            "Bearer ",
            account.access()?,
        )
    }
}

#[async_trait]
impl Provider for Vendor {
    fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }
    fn prepare(&self, call: &Call, lease: &Lease<'_>) -> Result<Attempt, Refusal> {
        if call.shape == Shape::Socket {
            let request = self.get("/talk", lease.credential)?;
            return Ok(Attempt { request, answers: call.shape, reader: Box::<Chat>::default() });
        }
        if !call.body.is_object() {
            return Err(Refusal::Request("the body is no JSON object".to_owned()));
        }
        let path = if call.endpoint.operation == Operation::Generate { "/chat" } else { "/echo" };
        let mut request = Request::post(format!("{}{path}", self.base), call.body.bytes().clone());
        request.headers.extend(call.headers.clone());
        let request = request.secret(AUTHORIZATION, "Bearer ", lease.credential.access()?)?;
        Ok(Attempt { request, answers: call.shape, reader: Box::<Chat>::default() })
    }
    fn opens_sockets(&self) -> bool {
        true
    }
    fn classify(&self, _call: &Call, failure: &Failure<'_>) -> Verdict {
        let body = failure.json();
        match (body["code"].as_str(), body["seconds"].as_u64()) {
            (Some("quota"), Some(seconds)) => {
                Verdict::cool(Scope::Credential, failure.now + Duration::from_secs(seconds).min(MONTH))
            }
            (Some("busy"), _) => {
                let pause =
                    failure.retry_after().unwrap_or(Duration::from_secs(1)).min(Duration::from_secs(9));
                Verdict { next: Next::Again(pause), effect: Effect::None }
            }
            (Some("banned"), _) => Verdict::suspend(Reason::new("banned", "the account is banned")),
            _ => failure.usual(),
        }
    }
    fn quota(&self, headers: &HeaderMap) -> Option<Quota> {
        let read = |name: &str| {
            headers.get(name)?.to_str().ok()?.parse::<f64>().ok().filter(|number| number.is_finite())
        };
        let used = read("x-vendor-used")? / 100.0;
        let after = read("x-vendor-reset").and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        let window = Window {
            length: Some(Duration::from_hours(1)),
            model: None,
            used: Some(used.clamp(0.0, 1.0)),
            resets_at: after.and_then(|after| UNIX_EPOCH.checked_add(after)),
        };
        Some(Quota { windows: vec![window] })
    }
    fn answer(&self, call: &Call, pool: &PoolView<'_>) -> Option<Reply> {
        let local = matches!(call.endpoint.operation, Operation::Local(_));
        local.then(|| Reply::json(&json!({"accounts": pool.accounts.len()})))
    }
    fn import(&self, file: &Value) -> Option<Credential> {
        let text = |key: &str| file[key].as_str().filter(|text| !text.trim().is_empty()).map(Secret::new);
        let credential = Credential::from_refresh("");
        let (access, refresh) = (text("access"), text("refresh"));
        refresh.as_ref().or(access.as_ref())?;
        Some(Credential { access, refresh, ..credential })
    }
    fn export(&self, credential: &Credential, file: &mut Value) {
        if !file.is_object() {
            *file = json!({});
        }
        for (key, token) in [("access", &credential.access), ("refresh", &credential.refresh)] {
            if let Some(token) = token {
                file[key] = token.expose().into();
            }
        }
    }
    async fn obtain(&self, io: &dyn Io, grant: Grant<'_>) -> Result<Credential, AccountError> {
        let body = match grant {
            Grant::Code { code, verifier, .. } => json!({"code": code, "verifier": verifier}),
            Grant::Refresh(old) => json!({"refresh": old.refresh.as_ref().map(Secret::expose)}),
            _ => return Err(AccountError::unsupported()),
        };
        let reply = io.send(Request::post(format!("{}/token", self.base), body.to_string())).await?;
        let told: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
        if !reply.status.is_success() {
            let refused = told["error"] == "invalid_grant" && reply.status.is_client_error();
            let passing = AccountError::Transient(format!("the token endpoint answered {}", reply.status));
            return Err(if refused { Reason::new("invalid_grant", "log in again").into() } else { passing });
        }
        let unsure = || AccountError::Unsure("no token in the answer".to_owned());
        let new = self.import(&told).ok_or_else(unsure)?;
        let lifetime = Duration::from_secs(told["seconds"].as_u64().unwrap_or(3600));
        Ok(Credential { expires_at: io.now().checked_add(lifetime), ..new })
    }
    async fn enroll(&self, io: &dyn Io, mut credential: Credential) -> Result<Vec<Credential>, AccountError> {
        let reply = io.send(self.get("/me", &credential)?).await;
        let reply = reply.map_err(|error| AccountError::Transient(error.to_string()))?;
        let told: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
        credential.subject = told["id"].as_str().map(str::to_owned).or(credential.subject);
        Ok(vec![credential])
    }
}

/// Reads chat chunks between a `start` event and `[DONE]`, and whole answers.
#[derive(Debug, Default)]
struct Chat(Summary);

impl Reader for Chat {
    fn read(&mut self, event: Event<'_>) -> Step {
        if event.name == "start" {
            return Step::same(At::Prelude);
        }
        if event.data == "[DONE]" {
            return Step::same(At::End);
        }
        let payload = Payload::new(event.data.clone());
        if payload.raw("error").is_some() {
            return Step::same(At::Fault);
        }
        if let Some(raw) = payload.raw("usage") {
            let usage: Value = serde_json::from_slice(&raw).unwrap_or_default();
            let count = |key: &str| usage[key].as_u64();
            if let (Some(input), Some(output)) = (count("input"), count("output")) {
                self.0.usage = Some(Usage { input, output, ..Usage::default() });
            }
            self.0.id = payload.text("id").map(Into::into);
        }
        let at = if payload.text("object").as_deref() == Some("chunk") { At::Body } else { At::End };
        // The envelope is taken off.
        let inner = payload.raw("inner").filter(|inner| serde_json::from_slice::<Value>(inner).is_ok());
        Step { emit: inner.map_or(Emit::Same, |inner: Bytes| Emit::Data(inner)), at }
    }
    fn finish(&mut self) -> Summary {
        std::mem::take(&mut self.0)
    }
}

pub(super) fn samples() -> Value {
    let usage = json!({"input": 2, "output": 3});
    json!({
        "config": {"model_list": ["m-1"]},
        "bad_config": [{"model_list": 1}, {"model_list": ["m-1"], "api_uri": "x"}],
        "files": [{"access": "a-token", "refresh": "r-token"}, {"refresh": "r-token", "more": {"of": "it"}}],
        "account": {"subject": "u-1", "label": "ada"},
        "calls": [
            {"path": "/chat/completions", "model": "m-1", "headers": {"x-vendor-lane": "1"},
             "body": {"model": "m-1", "stream": true, "messages": [{"role": "user", "content": "Hi"}]}},
            {"path": "/chat/completions", "model": "m-1", "body": {"model": "m-1", "messages": []}},
            {"path": "/echo", "model": "m-1", "body": {"model": "m-1", "deep": [{"er": {}}]}},
            {"path": "/usage", "method": "GET"},
            {"path": "/talk", "method": "GET", "model": "m-1", "body": {"model": "m-1", "deep": [{"er": {}}]}}
        ],
        "answers": [
            {"name": "stream", "call": 0, "usage": usage, "id": "c-1", "events": [
                {"name": "start", "data": {}},
                {"data": {"object": "chunk", "inner": {"text": "Hi"}}},
                {"data": {"object": "chunk", "late": true, "id": "c-1", "usage": usage}},
                {"data": "[DONE]"}]},
            {"name": "whole", "call": 1, "body": {"object": "chat", "id": "c-2", "usage": usage}, "usage": usage, "id": "c-2"},
            {"name": "talk", "call": 4, "events": [{"name": "start", "data": {}}, {"data": {"object": "chunk"}}, {"data": "[DONE]"}]},
            {"name": "echo", "call": 2, "body": {"deep": []}}
        ],
        "faults": [
            {"name": "error", "call": 0, "events": [{"data": {"object": "chunk"}}, {"data": {"error": {}}}]},
            {"name": "error at once", "call": 1, "body": {"error": {"code": "busy"}}}
        ],
        "failures": [
            {"name": "quota", "call": 0, "status": 429, "body": {"code": "quota", "seconds": 90}, "now": 1_795_000_000,
             "next": "rotate", "effect": "cool_credential", "until": 1_795_000_090},
            {"name": "busy", "call": 0, "cause": "event", "body": {"code": "busy"}, "now": 1_795_000_000,
             "next": "again", "effect": "none"},
            {"name": "banned", "call": 1, "status": 403, "body": {"code": "banned"}, "now": 1_795_000_000,
             "next": "rotate", "effect": "suspend", "code": "banned"}
        ],
        "grants": [
            {"name": "renewed", "status": 200, "body": {"access": "new-a", "refresh": "new-r", "seconds": 60},
             "gives": {"access": "new-a", "refresh": "new-r"}},
            {"name": "revoked", "status": 400, "body": {"error": "invalid_grant"}, "error": "suspend", "code": "invalid_grant"}
        ],
        "quotas": [{"name": "half", "headers": {"x-vendor-used": "50", "x-vendor-reset": "1795003600"},
                    "windows": [{"length": 3600, "used": 0.5, "resets_at": 1_795_003_600}]}]
    })
}
