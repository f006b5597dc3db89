use super::{
    Problem, Settings, SettingsError,
    layers::{self, Layers},
    section::{Section, as_table, find},
    show,
};
use config::{Map, Value, ValueKind};
use pollux_sdk::{ConfigError, Provider, Registration};
use serde_json::Value as Json;
use std::{collections::BTreeMap, fmt, sync::Arc};

/// The host's own keys; all others are the provider's.
const HOST_KEYS: [&str; 5] = ["enabled", "proxy", "enable_multiplexing", "retry_max_times", "oauth_tps"];

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
    pub section: Json,
    /// Where each of the owner's keys in `section` stands, by its dotted name.
    origins: BTreeMap<String, String>,
}

/// One entry per linked provider. Broken defaults are reported and do not hide what is wrong further on.
pub(super) fn read(
    layers: &Layers,
    linked: &[&str],
    problems: &mut Vec<Problem>,
) -> BTreeMap<String, ProviderSettings> {
    Section::open(&layers.merged, "providers").close(problems);
    let mut defaults = Section::open(&layers.merged, "providers.defaults").only(&layers.defaults);
    let common = host_keys(&mut defaults, ProviderSettings::unset());
    defaults.close(problems);
    let mut read = BTreeMap::new();
    for id in linked {
        let name = format!("providers.{id}");
        let mut section = Section::open(&layers.merged, &name);
        let mut settings = host_keys(&mut section, common.clone());
        section.close(problems);
        if let Some(table) = find(&layers.merged, &name).and_then(as_table) {
            settings.section = own_keys(table);
            note_origins(table, "", &mut settings.origins);
        }
        read.insert((*id).to_owned(), settings);
    }
    read
}

/// `inherited`, overridden by what the section has: `proxy = ""` goes without the common one.
fn host_keys(section: &mut Section<'_>, inherited: ProviderSettings) -> ProviderSettings {
    ProviderSettings {
        enabled: section.boolean("enabled").unwrap_or(inherited.enabled),
        proxy: if section.has("proxy") { section.proxy("proxy") } else { inherited.proxy },
        enable_multiplexing: section.boolean("enable_multiplexing").unwrap_or(inherited.enable_multiplexing),
        retry_max_times: section.integer("retry_max_times", 0, 100).unwrap_or(inherited.retry_max_times),
        oauth_tps: section.integer("oauth_tps", 1, 1000).unwrap_or(inherited.oauth_tps),
        ..inherited
    }
}

fn own_keys(table: &Map<String, Value>) -> Json {
    match json_table(table) {
        Json::Object(mut members) => {
            members.retain(|key, _| !HOST_KEYS.contains(&key.as_str()));
            Json::Object(members)
        }
        other => other,
    }
}

fn json_table(table: &Map<String, Value>) -> Json {
    let sorted: BTreeMap<_, _> = table.iter().collect();
    let is_set = |value: &Value| !matches!(&value.kind, ValueKind::String(text) if text.is_empty());
    sorted
        .into_iter()
        .filter(|(_, value)| is_set(value))
        .map(|(key, value)| (key.clone(), json(value)))
        .collect()
}

pub(super) fn json(value: &Value) -> Json {
    match &value.kind {
        ValueKind::Nil => Json::Null,
        ValueKind::Boolean(value) => (*value).into(),
        ValueKind::I64(value) => (*value).into(),
        ValueKind::U64(value) => (*value).into(),
        ValueKind::I128(value) => value.to_string().into(),
        ValueKind::U128(value) => value.to_string().into(),
        ValueKind::Float(value) => (*value).into(),
        ValueKind::String(text) => text.as_str().into(),
        ValueKind::Table(table) => json_table(table),
        ValueKind::Array(items) => items.iter().map(json).collect(),
    }
}

fn note_origins(table: &Map<String, Value>, prefix: &str, origins: &mut BTreeMap<String, String>) {
    for (key, value) in table {
        let name = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        if let Some(origin) = layers::origin(value) {
            origins.insert(name.clone(), origin.to_owned());
        }
        if let Some(inner) = as_table(value) {
            note_origins(inner, &name, origins);
        }
    }
}

impl Settings {
    /// Builds every enabled provider from its section.
    ///
    /// # Errors
    /// Names every section that its provider refuses.
    pub fn build_providers(
        &self,
        linked: &BTreeMap<&'static str, &'static Registration>,
    ) -> Result<BTreeMap<&'static str, Arc<dyn Provider>>, SettingsError> {
        let mut built = BTreeMap::new();
        let mut problems = Vec::new();
        for (id, registration) in linked {
            let Some(settings) = self.providers.get(*id).filter(|settings| settings.enabled) else {
                continue;
            };
            match (registration.build)(pollux_sdk::Settings { id, section: settings.section.clone() }) {
                Ok(provider) => {
                    built.insert(*id, provider);
                }
                Err(error) => problems.push(settings.problem(&error)),
            }
        }
        if problems.is_empty() { Ok(built) } else { Err(SettingsError { problems }) }
    }
}

impl ProviderSettings {
    /// What default.toml cannot say about a provider that it does not know.
    fn unset() -> Self {
        Self {
            enabled: true,
            proxy: None,
            enable_multiplexing: false,
            retry_max_times: 3,
            oauth_tps: 5,
            section: Json::Object(serde_json::Map::new()),
            origins: BTreeMap::new(),
        }
    }

    /// The defaults of one provider, as if there were no configuration.
    pub fn without_owner(id: &str) -> Self {
        let defaults = layers::defaults(&[id]);
        let section =
            defaults.get("providers").and_then(|providers| as_table(providers)?.get(id)).and_then(as_table);
        Self { section: section.map_or_else(|| Self::unset().section, own_keys), ..Self::unset() }
    }

    pub(crate) fn build(&self, registration: &Registration) -> Result<Arc<dyn Provider>, ConfigError> {
        (registration.build)(pollux_sdk::Settings { id: registration.id, section: self.section.clone() })
    }

    /// The provider names the key in its message, by path or in backticks; that finds the place.
    fn problem(&self, error: &ConfigError) -> Problem {
        let message = error.message.as_str();
        let path = message.split_once(": ").map(|(path, _)| path);
        let quoted = message.split('`').nth(1);
        let named = |key: &str| {
            self.origins
                .iter()
                .find(|(name, _)| *name == key || name.rsplit('.').next() == Some(key))
                .map(|(_, at)| at)
        };
        let place =
            [path, quoted].into_iter().flatten().find_map(named).or_else(|| self.origins.values().next());
        let place = place.map_or("configuration", String::as_str);
        let section = format!("providers.{}", error.provider);
        match path {
            // Serde quotes the value it does not like.
            Some(path) if show::is_secret(path) => Problem::new(place, &section, path, "has the wrong type"),
            _ => Problem::new(place, &section, "", message),
        }
    }
}

impl fmt::Debug for ProviderSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProviderSettings")
            .field("enabled", &self.enabled)
            .field("proxy", &self.proxy.as_deref().map(show::without_userinfo))
            .field("enable_multiplexing", &self.enable_multiplexing)
            .field("retry_max_times", &self.retry_max_times)
            .field("oauth_tps", &self.oauth_tps)
            .finish_non_exhaustive()
    }
}
