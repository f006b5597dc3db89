//! Gemini API: keys of Google's public API, which speaks Gemini as it is.
//!
//! It knows the API's methods, its keys and how it says no. It must never know an HTTP client, a database or another
//! provider.

mod account;
mod config;
mod descriptor;
mod reply;
mod request;
mod verdict;

#[cfg(test)]
mod tests;

use config::Config;
use pollux_sdk::{
    AccountError, Attempt, Call, ConfigError, Credential, Descriptor, Failure, Io, Lease, Provider,
    Recognition, Refusal, Settings, Survey, Verdict, async_trait, register_provider,
};
use serde_json::Value;
use std::sync::Arc;

register_provider!("gemini", build, include_str!("samples.json"));

fn build(settings: Settings) -> Result<Arc<dyn Provider>, ConfigError> {
    let config = Config::read(settings)?;
    Ok(Arc::new(Gemini { descriptor: descriptor::describe(&config), config }))
}

#[derive(Debug)]
struct Gemini {
    config: Config,
    descriptor: Descriptor,
}

#[async_trait]
impl Provider for Gemini {
    fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }
    fn prepare(&self, call: &Call, lease: &Lease<'_>) -> Result<Attempt, Refusal> {
        request::prepare(&self.config, call, lease)
    }
    fn classify(&self, call: &Call, failure: &Failure<'_>) -> Verdict {
        verdict::classify(call, failure)
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
    async fn enroll(&self, io: &dyn Io, credential: Credential) -> Result<Vec<Credential>, AccountError> {
        account::enroll(&self.config, io, credential).await
    }
    async fn survey(&self, io: &dyn Io, credential: &Credential) -> Result<Survey, AccountError> {
        account::survey(&self.config, io, credential).await
    }
}
