//! Codex: `ChatGPT` accounts behind the Responses dialect.
//!
//! It knows `OpenAI`'s login, the `ChatGPT` backend's rules for Responses bodies, and what its answers mean.
//! It must never know a web framework, an HTTP client, a database, or who the gateway's clients are.

mod account;
mod catalogue;
mod config;
mod descriptor;
mod device;
mod reply;
mod request;
mod side;
mod verdict;

#[cfg(test)]
mod tests;

use pollux_sdk::{
    AccountError, Approval, Attempt, Bytes, Call, ConfigError, Credential, Descriptor, Device, Facts,
    Failure, Grant, HeaderMap, Inbound, Io, Lease, Operation, PoolView, Provider, Quota, Recognition,
    Refusal, Reply, Settings, Shape, Survey, Verdict, async_trait, kit::oauth::Section, register_provider,
};
use serde_json::Value;
use std::sync::Arc;

register_provider!(descriptor::ID, build, include_str!("../samples.json"));

fn build(settings: Settings) -> Result<Arc<dyn Provider>, ConfigError> {
    let config = Section::read(settings, &config::USUAL)?;
    Ok(Arc::new(Codex { descriptor: descriptor::describe(&config), config }))
}

#[derive(Debug)]
struct Codex {
    descriptor: Descriptor,
    config: Section,
}

#[async_trait]
impl Provider for Codex {
    fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }
    fn prepare(&self, call: &Call, lease: &Lease<'_>) -> Result<Attempt, Refusal> {
        request::prepare(&self.config, call, lease)
    }
    fn probe(&self, inbound: &Inbound<'_>) -> Facts {
        let mut facts = inbound.facts();
        if facts.shape == Some(Shape::Socket) {
            facts.model = facts.model.or_else(|| request::hinted_model(inbound.headers));
        }
        facts
    }
    fn opens_sockets(&self) -> bool {
        true
    }
    fn frame(&self, call: &Call, lease: &Lease<'_>) -> Result<Bytes, Refusal> {
        request::frame(call, lease)
    }
    fn classify(&self, call: &Call, failure: &Failure<'_>) -> Verdict {
        verdict::classify(call, failure)
    }
    fn quota(&self, headers: &HeaderMap) -> Option<Quota> {
        reply::header_quota(headers)
    }
    fn answer(&self, call: &Call, pool: &PoolView<'_>) -> Option<Reply> {
        match call.endpoint.operation {
            Operation::Local(name) => side::answer(name, call, pool),
            _ => catalogue::answer(call, pool),
        }
    }
    fn import(&self, file: &Value) -> Option<Credential> {
        account::import(file)
    }
    fn recognise(&self, file: &Value) -> Recognition {
        account::recognise(file)
    }
    fn renewed(&self) -> &'static [&'static str] {
        &["id_token"]
    }
    fn export(&self, credential: &Credential, file: &mut Value) {
        account::export(credential, file);
    }
    async fn obtain(&self, io: &dyn Io, grant: Grant<'_>) -> Result<Credential, AccountError> {
        account::obtain(&self.config, io, grant).await
    }
    async fn device(&self, io: &dyn Io) -> Result<Device, AccountError> {
        device::begin(&self.config, io).await
    }
    async fn approval(&self, io: &dyn Io, device: &Device) -> Result<Approval, AccountError> {
        device::approval(&self.config, io, device).await
    }
    async fn enroll(&self, _io: &dyn Io, credential: Credential) -> Result<Vec<Credential>, AccountError> {
        Ok(vec![account::enroll(credential)?])
    }
    async fn survey(&self, io: &dyn Io, credential: &Credential) -> Result<Survey, AccountError> {
        account::survey(&self.config, io, credential).await
    }
}
