//! A gateway with a second provider for the same vendor, which claims at the root what its configuration says.

use pollux_outsider as _;
use pollux_sdk::{
    Alias, Attempt, Call, ConfigError, Credential, Descriptor, Dialect, Endpoint, Lease, Operation, Provider,
    Refusal, Settings, linked, register_provider,
};
use serde_json::Value;
use std::{process::ExitCode, sync::Arc};

register_provider!("rival", build, "{}");

struct Rival {
    descriptor: Descriptor,
    /// Who does the work.
    acme: Arc<dyn Provider>,
}

fn build(mut settings: Settings) -> Result<Arc<dyn Provider>, ConfigError> {
    let claims =
        settings.section.as_object_mut().and_then(|section| section.remove("claims")).unwrap_or_default();
    let wrong = |message: String| ConfigError { provider: settings.id, message };
    let registered = linked().map_err(|error| wrong(error.to_string()))?;
    let acme = (registered["acme"].build)(settings.clone())?;
    let own = |path| Endpoint::post(path, Operation::Vendor("own"), Dialect::Chat);
    let (aliases, endpoints): (&'static [Alias], _) = match claims.as_str() {
        Some("shared" | "greeted") => (&[Alias::Shared("/v1")], Vec::new()),
        Some("owned") => (&[Alias::Own("/v1")], Vec::new()),
        Some("route") => (&[], vec![own("/v1/chat/completions")]),
        Some("prefix") => (&[Alias::Own("/acme/v1")], Vec::new()),
        Some("host") => (&[], vec![own("/healthz")]),
        Some("admin") => (&[], vec![own("/admin/accounts")]),
        other => return Err(wrong(format!("claims: {other:?}"))),
    };
    let mut descriptor =
        Descriptor { id: "rival", title: "Rival", aliases, endpoints, ..acme.descriptor().clone() };
    if claims == "greeted" {
        descriptor.dialects = &[Dialect::Messages];
    }
    Ok(Arc::new(Rival { descriptor, acme }))
}

impl Provider for Rival {
    fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }
    fn prepare(&self, call: &Call, lease: &Lease<'_>) -> Result<Attempt, Refusal> {
        self.acme.prepare(call, lease)
    }
    fn import(&self, file: &Value) -> Option<Credential> {
        self.acme.import(file)
    }
    fn export(&self, credential: &Credential, file: &mut Value) {
        self.acme.export(credential, file);
    }
}

fn main() -> ExitCode {
    pollux::run()
}
