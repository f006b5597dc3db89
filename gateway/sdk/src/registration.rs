use crate::Provider;
use serde::de::DeserializeOwned;
use std::{collections::BTreeMap, fmt, sync::Arc};

/// One provider's section of the configuration, the host's own keys (proxy, retries, ...) taken out. Its `Debug`
/// shows no value: client secrets stand there.
#[derive(Clone)]
pub struct Settings {
    /// The section's name.
    pub id: &'static str,
    /// The rest, for the provider alone.
    pub section: serde_json::Value,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Settings {
    /// Reads the section as the provider's own type.
    ///
    /// # Errors
    /// Fails on an unknown or ill-typed key.
    pub fn parse<T: DeserializeOwned>(self) -> Result<T, ConfigError> {
        serde_path_to_error::deserialize(self.section)
            .map_err(|error| ConfigError { provider: self.id, message: error.to_string() })
    }
}

/// The provider's configuration is wrong.
#[derive(Debug, thiserror::Error)]
#[error("providers.{provider}: {message}")]
pub struct ConfigError {
    /// Section.
    pub provider: &'static str,
    /// What is wrong.
    pub message: String,
}

/// A link-time entry; all of it const.
#[derive(Debug)]
pub struct Registration {
    /// Id.
    pub id: &'static str,
    /// Constructor.
    pub build: fn(Settings) -> Result<Arc<dyn Provider>, ConfigError>,
    /// JSON for the conformance suite: a configuration, credential files, replies and what they mean.
    pub samples: &'static str,
}

inventory::collect!(Registration);

/// Two linked crates claim one id.
#[derive(Debug, thiserror::Error)]
#[error("provider id `{0}` is registered twice")]
pub struct RegistryError(pub &'static str);

/// All linked registrations, by id.
///
/// # Errors
/// Fails when an id occurs twice.
pub fn linked() -> Result<BTreeMap<&'static str, &'static Registration>, RegistryError> {
    let mut found = BTreeMap::new();
    for entry in inventory::iter::<Registration> {
        if found.insert(entry.id, entry).is_some() {
            return Err(RegistryError(entry.id));
        }
    }
    Ok(found)
}

/// Registers a provider: id, constructor, samples.
#[macro_export]
macro_rules! register_provider {
    ($id:expr, $build:path, $samples:expr) => {
        $crate::__private::inventory::submit! {
            $crate::Registration { id: $id, build: $build, samples: $samples }
        }
    };
}
