use super::{Problem, SettingsError, Sources, environment::into_table, legacy::Legacy};
use config::{Config, ConfigError, File, FileFormat, Map, Source, Value, ValueKind};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

const DEFAULT: &str = include_str!("../../../config/default.toml");
pub(super) const SECTIONS: [&str; 5] = ["basic", "pool", "upstream", "usage", "providers"];

/// The sources, merged. Every leaf carries where it came from; none is the defaults.
#[derive(Debug)]
pub(super) struct Layers {
    pub(super) merged: Value,
    /// The defaults alone: the keys there are.
    pub(super) defaults: Value,
    pub(super) file_exists: bool,
    /// Sections that do not exist and the like; they are not in `merged`.
    pub(super) problems: Vec<Problem>,
    /// What the owner should know though it is no mistake.
    pub(super) notes: Vec<String>,
    /// What was understood of an older system's settings.
    pub(super) news: Vec<String>,
    /// What to do where the key is missing.
    pub(super) key_hint: Option<String>,
    /// To be made before the database is.
    pub(super) database_folder: Option<PathBuf>,
}

#[derive(Debug, Clone)]
struct Layer(Map<String, Value>);

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }
    fn collect(&self) -> Result<Map<String, Value>, ConfigError> {
        Ok(self.0.clone())
    }
}

impl Layers {
    pub(super) fn read(sources: Sources<'_>) -> Result<Self, SettingsError> {
        let linked = sources.linked;
        let place = sources.file.display().to_string();
        let mut problems = Vec::new();
        let defaults = defaults(linked);

        let text = text(sources.file, &place)?;
        let mut file = text.as_deref().map_or_else(|| Ok(Map::new()), |text| parse(text, &place))?;
        let mut legacy = Legacy::read(sources, &defaults, &mut file, text.is_some());
        problems.append(&mut legacy.problems);
        check(&mut file, &place, linked, &mut problems);

        let ids: Vec<&str> = linked.iter().copied().chain(["defaults"]).collect();
        let [older_defaults, older_variables, older_keys] =
            [&legacy.defaults, &legacy.variables, &legacy.file].map(|value| into_table(value.clone()));
        let lower = merge(&[&defaults, &older_defaults, &older_variables, &older_keys, &file])?;
        let mut variables = sources.environment.layer(&lower, &ids, &mut problems);
        check(&mut variables, "environment", linked, &mut problems);

        let all = |derived: &Map<String, Value>| {
            let older = [&older_defaults, &older_variables, derived, &older_keys];
            merge(&[&[&defaults], older.as_slice(), &[&file, &variables]].concat())
        };
        let merged = all(&legacy.derive(&all(&Map::new())?))?;
        legacy.tell(&merged);
        Ok(Self {
            key_hint: legacy.key_hint(&merged),
            database_folder: legacy.database_folder(&merged),
            merged,
            defaults: merge(&[&defaults])?,
            file_exists: text.is_some(),
            problems,
            notes: [sources.environment.notes.as_slice(), &legacy.notes].concat(),
            news: legacy.news,
        })
    }
}

/// The defaults, without the providers that this binary lacks.
pub(super) fn defaults(linked: &[&str]) -> Map<String, Value> {
    let mut table = File::from_str(DEFAULT, FileFormat::Toml)
        .collect()
        .expect("default.toml is compiled in and a test reads it");
    if let Some(Value { kind: ValueKind::Table(providers), .. }) = table.get_mut("providers") {
        providers.retain(|id, _| id == "defaults" || linked.contains(&id.as_str()));
    }
    table
}

/// Where `value` came from, or the first leaf in it.
pub(super) fn origin(value: &Value) -> Option<&str> {
    match &value.kind {
        ValueKind::Table(table) => table.values().find_map(origin),
        _ => value.origin(),
    }
}

fn text(path: &Path, place: &str) -> Result<Option<String>, SettingsError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::IsADirectory => Err(Problem::of_place(
            place,
            "is a directory, not a file (Docker makes one where the file to mount does not exist)",
        )
        .into()),
        Err(error) => Err(Problem::of_place(place, format!("cannot be read: {error}")).into()),
    }
}

fn parse(text: &str, place: &str) -> Result<Map<String, Value>, SettingsError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    // The parser's own display quotes the line, which may hold a key.
    let broken = |message: String| Problem::of_place(place, message);
    if let Err(error) = toml::from_str::<toml::Table>(text) {
        let line =
            error.span().map_or(1, |span| 1 + text[..span.start.min(text.len())].matches('\n').count());
        return Err(broken(format!("line {line} is not TOML: {}", error.message())).into());
    }
    let table = File::from_str(text, FileFormat::Toml)
        .collect()
        .map_err(|_| broken("holds a number that is too large".to_owned()))?;
    Ok(table.into_iter().map(|(key, value)| (key, stamped(value, place))).collect())
}

fn stamped(value: Value, place: &str) -> Value {
    let kind = match value.kind {
        ValueKind::Table(table) => {
            ValueKind::Table(table.into_iter().map(|(key, value)| (key, stamped(value, place))).collect())
        }
        leaf => leaf,
    };
    Value::new(Some(&place.to_owned()), kind)
}

/// Takes out sections that do not exist, and gives keys with two names their first.
fn check(layer: &mut Map<String, Value>, place: &str, linked: &[&str], problems: &mut Vec<Problem>) {
    let mut names: Vec<_> = layer.keys().cloned().collect();
    names.sort();
    for name in names.iter().filter(|name| !SECTIONS.contains(&name.as_str())) {
        let Some(value) = layer.remove(name) else { continue };
        let place = origin(&value).unwrap_or(place);
        problems.push(match value.kind {
            ValueKind::Table(_) => Problem::new(
                place,
                name,
                "",
                format!("there is no such section, only {}", SECTIONS.join(", ")),
            ),
            _ => Problem::of_place(
                place,
                format!("{name}: stands outside of a section ({})", SECTIONS.join(", ")),
            ),
        });
    }
    let Some(Value { kind: ValueKind::Table(providers), .. }) = layer.get_mut("providers") else { return };
    let mut ids: Vec<_> = providers.keys().cloned().collect();
    ids.sort();
    for id in ids.iter().filter(|id| *id != "defaults") {
        let Some(section) = providers.get_mut(id) else { continue };
        let place = origin(section).unwrap_or(place).to_owned();
        if linked.contains(&id.as_str()) {
            rename_alias(section, id, &place, problems);
        } else {
            let there_are = if linked.is_empty() { "none".to_owned() } else { linked.join(", ") };
            let message = format!("no such provider is linked into this binary; linked: {there_are}");
            problems.push(Problem::new(&place, &format!("providers.{id}"), "", message));
            providers.remove(id);
        }
    }
}

/// Done here and not by the provider, which would otherwise see the default under one name and the owner's value
/// under the other.
fn rename_alias(section: &mut Value, id: &str, place: &str, problems: &mut Vec<Problem>) {
    const ALIAS: &str = "custom_api_url";
    const NAME: &str = "api_url";
    let ValueKind::Table(table) = &mut section.kind else { return };
    let Some(value) = table.remove(ALIAS) else { return };
    if table.contains_key(NAME) {
        let message = format!("is the same key as {NAME}, which is set too");
        problems.push(Problem::new(place, &format!("providers.{id}"), ALIAS, message));
    } else {
        table.insert(NAME.to_owned(), value);
    }
}

fn merge(layers: &[&Map<String, Value>]) -> Result<Value, SettingsError> {
    let mut builder = Config::builder();
    for layer in layers {
        builder = builder.add_source(Layer((*layer).clone()));
    }
    let config = builder.build().map_err(|error| Problem::of_place("configuration", error.to_string()))?;
    Ok(config.cache)
}
