use super::{Problem, Settings, SettingsError, show};
use pollux_sdk::{Provider, Registration};
use serde_json::Value;
use std::{collections::BTreeMap, fmt, sync::Arc};

/// `[providers.ID]`, `[providers.defaults]` applied.
#[derive(Clone)]
pub struct ProviderSettings {
    /// Whether it is served.
    pub enabled: bool,
    /// A proxy to the vendor; may hold a password.
    pub proxy: Option<String>,
    /// Whether requests share connections (HTTP/2).
    pub enable_multiplexing: bool,
    /// Further attempts after a failed one.
    pub retry_max_times: u32,
    /// Calls per second to the token endpoint, at least one.
    pub oauth_tps: u32,
    /// The provider's own keys; those set to "" are left out.
    pub section: Value,
    /// Where each key of `section` stands, by its dotted name.
    pub(super) origins: BTreeMap<String, String>,
}
