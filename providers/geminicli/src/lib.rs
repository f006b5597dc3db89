//! Gemini CLI: Google logins that speak Gemini through Code Assist's envelope.
//!
//! It knows Google's OAuth, Code Assist's methods and how both say no. It must never know an HTTP client, a
//! database or another provider.
//!
//! Keys of `Credential::extra`: `project` (given by the owner, or found while enrolling), `sub` (Google's user
//! id), `tier`, and `client_id` with `client_secret` where the login belongs to a client other than the
//! configured one. An owner's project for a known account goes to `project`, then `enroll` again.

mod account;
mod config;
mod descriptor;
mod local;
mod reply;
mod request;
mod signatures;
mod verdict;

#[cfg(test)]
mod tests;

use pollux_sdk::{
    AccountError, Attempt, Call, ConfigError, Credential, Descriptor, Facts, Failure, Grant, Inbound, Io,
    Lease, PoolView, Provider, Recognition, Refusal, Reply, Settings, Survey, Verdict, async_trait,
    kit::oauth::Section, register_provider,
};
use serde_json::Value;
use std::sync::Arc;

register_provider!("geminicli", build, include_str!("samples.json"));

fn build(settings: Settings) -> Result<Arc<dyn Provider>, ConfigError> {
    let config = Section::read(settings, &config::USUAL)?;
    Ok(Arc::new(GeminiCli { descriptor: descriptor::describe(&config), config, signatures: Arc::default() }))
}

#[derive(Debug)]
struct GeminiCli {
    config: Section,
    descriptor: Descriptor,
    signatures: Arc<signatures::Signatures>,
}

#[async_trait]
impl Provider for GeminiCli {
    fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }
    fn probe(&self, inbound: &Inbound<'_>) -> Facts {
        request::probe(inbound)
    }
    fn prepare(&self, call: &Call, lease: &Lease<'_>) -> Result<Attempt, Refusal> {
        request::prepare(&self.config, &self.signatures, call, lease)
    }
    fn classify(&self, call: &Call, failure: &Failure<'_>) -> Verdict {
        verdict::classify(call, failure)
    }
    fn answer(&self, call: &Call, pool: &PoolView<'_>) -> Option<Reply> {
        local::answer(call, pool)
    }
    fn import(&self, file: &Value) -> Option<Credential> {
        account::import(file)
    }
    fn recognise(&self, file: &Value) -> Recognition {
        account::recognise(file)
    }
    fn export(&self, credential: &Credential, file: &mut Value) {
        account::export(credential, file);
    }
    async fn obtain(&self, io: &dyn Io, grant: Grant<'_>) -> Result<Credential, AccountError> {
        account::obtain(&self.config, io, grant).await
    }
    async fn enroll(&self, io: &dyn Io, credential: Credential) -> Result<Vec<Credential>, AccountError> {
        account::enroll(&self.config, io, credential).await
    }
    async fn survey(&self, io: &dyn Io, credential: &Credential) -> Result<Survey, AccountError> {
        account::survey(&self.config, io, credential).await
    }
}
