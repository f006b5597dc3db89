//! Acme AI: an `OpenAI`-compatible vendor with API keys.

use pollux_sdk::{
    Alias, At, Attempt, Call, ConfigError, Credential, Descriptor, Dialect, Event, HeaderName, Lease, Model,
    Operation, Payload, Plain, Provider, Reader, Refusal, Request, Secret, Settings, Shape, Step, Summary,
    Usage, register_provider,
};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

register_provider!("acme", build, include_str!("samples.json"));

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Config {
    api_url: String,
    model_list: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self { api_url: "https://api.acme.example/v1".to_owned(), model_list: vec!["acme-1".to_owned()] }
    }
}

fn build(settings: Settings) -> Result<Arc<dyn Provider>, ConfigError> {
    let config: Config = settings.parse()?;
    let descriptor = Descriptor {
        id: "acme",
        title: "Acme AI",
        kind: "acme",
        dialects: &[Dialect::Chat],
        operations: &[Operation::Generate, Operation::Embed, Operation::Models],
        models: config.model_list.iter().map(Model::named).collect(),
        aliases: &[Alias::Shared("/v1")],
        endpoints: Vec::new(),
        request_headers: &[],
        reply_headers: &["x-request-id"],
        login: None,
        single_use_refresh: false,
    };
    Ok(Arc::new(Acme { descriptor, api_url: config.api_url.trim_end_matches('/').to_owned() }))
}

#[derive(Debug)]
struct Acme {
    descriptor: Descriptor,
    api_url: String,
}

impl Provider for Acme {
    fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    fn prepare(&self, call: &Call, lease: &Lease<'_>) -> Result<Attempt, Refusal> {
        let (path, reader): (_, Box<dyn Reader>) = match call.endpoint.operation {
            Operation::Embed => ("embeddings", Box::new(Plain)),
            _ => ("chat/completions", Box::new(Chat { answers: call.shape, summary: Summary::default() })),
        };
        let key = lease.credential.access()?;
        let request = Request::post(format!("{}/{path}", self.api_url), call.body.bytes().clone());
        let request = request.secret(HeaderName::from_static("authorization"), "Bearer ", key)?;
        Ok(Attempt { request, answers: call.shape, reader })
    }

    fn import(&self, file: &Value) -> Option<Credential> {
        let key = file["acme_key"].as_str().filter(|key| !key.trim().is_empty())?;
        Some(Credential::from_key(key))
    }

    fn export(&self, credential: &Credential, file: &mut Value) {
        if !file.is_object() {
            *file = json!({});
        }
        file["acme_key"] = credential.access.as_ref().map(Secret::expose).into();
    }
}

/// Reads chunks up to `[DONE]`, or one whole answer.
#[derive(Debug)]
struct Chat {
    answers: Shape,
    summary: Summary,
}

impl Reader for Chat {
    fn read(&mut self, event: Event<'_>) -> Step {
        if event.data == "[DONE]" {
            return Step::same(At::End);
        }
        let chunk = Payload::new(event.data.clone());
        if chunk.raw("error").is_some_and(|error| error != "null") {
            return Step::same(At::Fault);
        }
        if let Some(usage) = chunk.raw("usage").and_then(|raw| serde_json::from_slice(&raw).ok()) {
            self.summary.usage = told(&usage).or(self.summary.usage);
        }
        self.summary.id = chunk.text("id").map(Into::into).or(self.summary.id.take());
        Step::same(if self.answers == Shape::Whole { At::End } else { At::Body })
    }

    fn finish(&mut self) -> Summary {
        std::mem::take(&mut self.summary)
    }
}

fn told(usage: &Value) -> Option<Usage> {
    let count = |path: &str| usage.pointer(path).and_then(Value::as_u64);
    Some(Usage {
        input: count("/prompt_tokens")?,
        cache_read: count("/prompt_tokens_details/cached_tokens"),
        cache_write: None,
        output: count("/completion_tokens")?,
        reasoning: count("/completion_tokens_details/reasoning_tokens"),
    })
}
