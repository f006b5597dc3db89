//! Claude: Anthropic API keys and Claude logins behind the Messages dialect.
//!
//! It knows Anthropic's login, which credential goes into which header, and what its answers mean.
//! It must never know a web framework, an HTTP client, a database, or who the gateway's clients are.

mod account;
mod catalogue;
mod config;
mod descriptor;
mod reply;
mod request;
mod verdict;

#[cfg(test)]
mod tests;

use pollux_sdk::{
    AccountError, Attempt, Call, ConfigError, Credential, Descriptor, Failure, Grant, HeaderMap, Io, Lease,
    PoolView, Provider, Quota, Recognition, Refusal, Reply, Settings, Survey, Verdict, async_trait,
    kit::oauth::Section, register_provider,
};
use serde_json::Value;
use std::sync::Arc;

register_provider!(descriptor::ID, build, include_str!("../samples.json"));

fn build(settings: Settings) -> Result<Arc<dyn Provider>, ConfigError> {
    let config = Section::read(settings, &config::USUAL)?;
    Ok(Arc::new(Claude { descriptor: descriptor::describe(&config), config }))
}

#[derive(Debug)]
struct Claude {
    descriptor: Descriptor,
    config: Section,
}

#[async_trait]
impl Provider for Claude {
    fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }
    fn prepare(&self, call: &Call, lease: &Lease<'_>) -> Result<Attempt, Refusal> {
        request::prepare(&self.config, call, lease)
    }
    fn classify(&self, call: &Call, failure: &Failure<'_>) -> Verdict {
        verdict::classify(call, failure)
    }
    fn quota(&self, headers: &HeaderMap) -> Option<Quota> {
        reply::header_quota(headers)
    }
    fn answer(&self, call: &Call, pool: &PoolView<'_>) -> Option<Reply> {
        catalogue::answer(call, pool)
    }
    fn import(&self, file: &Value) -> Option<Credential> {
        account::import(file)
    }
    fn recognise(&self, file: &Value) -> Recognition {
        account::recognise(file)
    }
    fn renewed(&self) -> &'static [&'static str] {
        &["scope"]
    }
    fn export(&self, credential: &Credential, file: &mut Value) {
        account::export(credential, file);
    }
    async fn obtain(&self, io: &dyn Io, grant: Grant<'_>) -> Result<Credential, AccountError> {
        account::obtain(&self.config, io, grant).await
    }
    async fn enroll(&self, io: &dyn Io, credential: Credential) -> Result<Vec<Credential>, AccountError> {
        Ok(vec![account::enroll(&self.config, io, credential).await?])
    }
    async fn survey(&self, io: &dyn Io, credential: &Credential) -> Result<Survey, AccountError> {
        account::survey(&self.config, io, credential).await
    }
}
