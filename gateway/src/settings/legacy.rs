//! Settings of the systems before Pollux: which of their variables and keys mean which of ours.
//!
//! The table is `config/legacy.toml`; nothing here knows a system, a provider or a variable by name. What comes of
//! it ranks below `config.toml`, since some of the names may belong to other software, and above the defaults.

mod table;
mod value;

#[cfg(test)]
pub(super) use table::systems;
pub(super) use table::variables;
pub use table::{Table, tables};

use super::{
    Environment, Problem, Sources,
    environment::{find, insert, into_table},
    layers::{SECTIONS, origin},
    providers::json,
    section,
};
use config::{Map, Value, ValueKind};
use std::{net::IpAddr, path::PathBuf};
use table::{Kind, Setting, System};

const KEY: &str = "basic.pollux_key";
const ADDRESS: &str = "basic.listen_addr";
const DATABASE: &str = "basic.database_url";

/// What the settings of older systems come to.
#[derive(Debug)]
pub(super) struct Legacy {
    /// From the older keys of the configuration file, by our names.
    pub(super) file: Value,
    /// From their variables.
    pub(super) variables: Value,
    /// What differs from the defaults because their settings are all there is.
    pub(super) defaults: Value,
    pub(super) problems: Vec<Problem>,
    /// What is lost or does not count.
    pub(super) notes: Vec<String>,
    /// What was understood.
    pub(super) news: Vec<String>,
    /// The system whose settings are all there is.
    alone: Option<System>,
    /// Variables, their place, and our keys.
    taken: Vec<(String, Vec<String>, bool)>,
    big: Option<Big>,
    /// The database beside a file that stays as it is, and who named it.
    beside: Option<(String, PathBuf)>,
}

/// Models that rest apart from the others of their list.
#[derive(Debug)]
struct Big {
    list: String,
    groups: String,
    models: Vec<String>,
    place: String,
}

/// Whether somebody comes over from an older system, so that no first configuration is to be written.
pub(super) fn in_use(environment: &Environment) -> bool {
    let by = |system: &System| !system.defaults.is_empty() && own(system, environment).next().is_some();
    table::systems().iter().any(by)
}

/// The variables that only this system has, as far as they are set.
fn own<'a>(system: &'a System, environment: &'a Environment) -> impl Iterator<Item = &'a str> {
    let settings = system.setting.iter().filter(|setting| setting.own);
    settings.filter_map(|setting| setting.variable.as_deref()).filter(|name| environment.has_value(name))
}

impl Legacy {
    /// Takes the older keys out of `file`, and reads the variables. `exists`: whether there is such a file.
    pub(super) fn read(
        sources: Sources<'_>,
        defaults: &Map<String, Value>,
        file: &mut Map<String, Value>,
        exists: bool,
    ) -> Self {
        let mut legacy = Self::empty();
        let mut found: Vec<(System, Vec<String>)> = Vec::new();
        let mut of_file = false;
        for system in table::systems() {
            let mut signs = Vec::new();
            for setting in &system.setting {
                let Some(key) = setting.file.as_deref() else { continue };
                if let Some(value) = remove(file, key, sources.linked) {
                    signs.push(key.to_owned());
                    legacy.take_key(setting, key, &value, sources);
                }
            }
            of_file |= !signs.is_empty();
            signs.extend(own(&system, sources.environment).map(str::to_owned));
            for setting in &system.setting {
                if let Some(name) = setting.variable.as_deref()
                    && let Some(text) = sources.environment.value(name)
                    && (!setting.shared || !signs.is_empty())
                {
                    legacy.take_variable(setting, name, text, !signs.is_empty(), sources, defaults);
                }
            }
            if !signs.is_empty() && !system.defaults.is_empty() {
                found.push((system, signs));
            }
        }
        let ours = SECTIONS.iter().any(|section| file.contains_key(*section));
        if !exists || (of_file && !ours) {
            legacy.stand_alone(found, sources, exists);
        }
        legacy
    }

    fn empty() -> Self {
        let table = || Value::from(Map::<String, Value>::new());
        Self {
            file: table(),
            variables: table(),
            defaults: table(),
            problems: Vec::new(),
            notes: Vec::new(),
            news: Vec::new(),
            alone: None,
            taken: Vec::new(),
            big: None,
            beside: None,
        }
    }

    fn take_key(&mut self, setting: &Setting, key: &str, value: &Value, sources: Sources<'_>) {
        let file = sources.file.display().to_string();
        let text = match json(value) {
            serde_json::Value::String(text) => text,
            other => other.to_string(),
        };
        if setting.to.is_empty() {
            let names = leaves(key, value);
            let have = if names.len() == 1 { "has" } else { "have" };
            return self.lose(&format!("{file}: {} {have}", names.join(", ")), setting);
        }
        let place = format!("{file} ({key})");
        if text.trim().is_empty() {
            return;
        }
        match value::read(setting.kind, &text) {
            Ok(values) => {
                self.mind_database(setting, &values, &place);
                put(&mut self.file, setting, values, &place, sources.linked);
                self.lose(&place, setting);
            }
            Err(expected) => {
                self.problems.push(Problem::new(&file, "", key, format!("expected {expected}")));
            }
        }
    }

    fn take_variable(
        &mut self,
        setting: &Setting,
        name: &str,
        text: &str,
        in_use: bool,
        sources: Sources<'_>,
        defaults: &Map<String, Value>,
    ) {
        let place = sources.environment.place(name);
        if setting.to.is_empty() {
            return self.lose(&format!("{place} has"), setting);
        }
        let mut values = match value::read(setting.kind, text) {
            Ok(values) => values,
            Err(expected) if in_use => {
                return self.problems.push(Problem::of_place(&place, format!("expected {expected}")));
            }
            Err(expected) => {
                let note = format!("{place} is not used: it is no {}", expected.trim_start_matches("a "));
                return self.notes.push(note.replace("no an ", "no "));
            }
        };
        if setting.kind == Kind::BigModels
            && let ([list, groups], Some(models)) = (setting.to.as_slice(), values.first().and_then(texts))
        {
            // They were served whatever the list said, so they are offered too.
            let path: Vec<String> = list.split('.').map(str::to_owned).collect();
            let offered = find(&self.variables, &path).and_then(texts);
            let root = Value::from(defaults.clone());
            let mut offered = offered.or_else(|| find(&root, &path).and_then(texts)).unwrap_or_default();
            offered
                .extend(models.iter().filter(|model| !offered.contains(model)).cloned().collect::<Vec<_>>());
            values = vec![value::texts(offered)];
            self.big = Some(Big { list: list.clone(), groups: groups.clone(), models, place: place.clone() });
        }
        self.mind_database(setting, &values, &place);
        put(&mut self.variables, setting, values, &place, sources.linked);
        self.taken.push((place.clone(), setting.to.clone(), setting.own));
        self.lose(&place, setting);
    }

    /// Tells what a setting loses here.
    fn lose(&mut self, what: &str, setting: &Setting) {
        if let Some(lost) = &setting.lost {
            let way = if setting.to.is_empty() { " no counterpart" } else { "" };
            self.notes.push(format!("{what}{way}: {lost}"));
        }
    }

    fn mind_database(&mut self, setting: &Setting, values: &[ValueKind], place: &str) {
        if setting.kind == Kind::Bolt
            && let Some(ValueKind::String(url)) = values.first()
            && let Some(path) = url.strip_prefix("sqlite:")
        {
            self.beside = Some((place.to_owned(), path.into()));
        }
    }

    /// Nothing but older settings is there: the system behaves as it used to.
    fn stand_alone(&mut self, found: Vec<(System, Vec<String>)>, sources: Sources<'_>, exists: bool) {
        let file = sources.file.display();
        let others: Vec<String> = found.iter().skip(1).map(|(system, _)| system.name.clone()).collect();
        let Some((system, signs)) = found.into_iter().next() else { return };
        let place = format!("default of {}", system.name);
        let mut told = Vec::new();
        for (key, value) in &system.defaults {
            let value = Value::new(Some(&place), kind(value));
            told.push(format!("{key} = {}", json(&value)));
            if !is_unlinked(key, sources.linked) {
                insert(&mut self.defaults, &split(key), value);
            }
        }
        let because = if exists {
            format!("{file} is one of its own ({})", signs.join(", "))
        } else {
            let (list, verb) = (signs.join(", "), if signs.len() == 1 { "is" } else { "are" });
            format!("{list} {verb} set and there is no {file}")
        };
        self.news.push(format!("{}'s defaults apply, since {because}: {}", system.name, told.join(", ")));
        if !others.is_empty() {
            self.notes.push(format!(
                "settings of {} are there too; its defaults do not apply beside those of {}",
                others.join(", "),
                system.name
            ));
        }
        self.alone = Some(system);
    }

    /// What follows from all layers together. It ranks as the variables do.
    pub(super) fn derive(&self, merged: &Value) -> Map<String, Value> {
        let mut derived = Value::from(Map::<String, Value>::new());
        if let Some(big) = self.big.as_ref().filter(|big| !big.models.is_empty()) {
            let offered = find(merged, &split(&big.list)).and_then(texts).unwrap_or_default();
            let tiny: Vec<String> = offered.into_iter().filter(|model| !big.models.contains(model)).collect();
            let groups = [("big", big.models.clone()), ("tiny", tiny)];
            let groups = groups.into_iter().filter(|(_, models)| !models.is_empty()).map(|(name, models)| {
                let group = [
                    ("name".to_owned(), Value::from(name)),
                    ("models".to_owned(), Value::new(None, value::texts(models))),
                ];
                Value::from(group.into_iter().collect::<Map<String, Value>>())
            });
            let groups = Value::new(Some(&big.place), ValueKind::Array(groups.collect()));
            insert(&mut derived, &split(&big.groups), groups);
        }
        if let Some(system) = self.keyless(merged).filter(|_| is_loopback(merged)) {
            let place = format!("default of {} without a key", system.name);
            insert(&mut derived, &split("basic.local"), Value::new(Some(&place), true));
        }
        into_table(derived)
    }

    /// The system that let everybody in, where nobody has set a key.
    fn keyless(&self, merged: &Value) -> Option<&System> {
        let blank = |value: &ValueKind| matches!(value, ValueKind::String(text) if text.trim().is_empty());
        self.alone.as_ref().filter(|system| system.keyless && find(merged, &split(KEY)).is_some_and(blank))
    }

    /// What to do where the key is missing.
    pub(super) fn key_hint(&self, merged: &Value) -> Option<String> {
        let system = self.alone.as_ref()?;
        let is_key = |setting: &&Setting| setting.to == [KEY];
        let variable = system.setting.iter().find(is_key).and_then(|setting| setting.variable.as_deref());
        let ways = [variable, Some("POLLUX__BASIC__POLLUX_KEY")].into_iter().flatten();
        let ways = ways.collect::<Vec<_>>().join(" or ");
        let reachable = self.keyless(merged).is_some() && !is_loopback(merged);
        let why =
            if reachable { "other machines reach this address, so that clients need one; " } else { "" };
        Some(format!("{why}set {ways}"))
    }

    /// Tells which variables count after all, and which do not.
    pub(super) fn tell(&mut self, merged: &Value) {
        let mut counted = Vec::new();
        for (place, keys, own) in &self.taken {
            for key in keys {
                let Some(value) = section::find(merged, key) else { continue };
                let wins = origin(value).unwrap_or_default();
                if wins.contains(place.as_str()) {
                    counted.push(format!("{key} from {place}"));
                } else if *own {
                    self.notes.push(format!("{place} does not count: {wins} sets {key}"));
                }
            }
        }
        if !counted.is_empty() {
            self.news.push(format!("taken from an older system's settings: {}", counted.join(", ")));
        }
    }

    /// The folder of a database that this module has put beside an older file, where it is the one in use.
    pub(super) fn database_folder(&self, merged: &Value) -> Option<PathBuf> {
        let (place, path) = self.beside.as_ref()?;
        let value = section::find(merged, DATABASE)?;
        (origin(value) == Some(place)).then(|| path.parent().map(ToOwned::to_owned))?
    }
}

fn split(key: &str) -> Vec<String> {
    key.split('.').map(str::to_owned).collect()
}

/// A provider that is not linked has no section.
fn is_unlinked(key: &str, linked: &[&str]) -> bool {
    let mut path = key.split('.');
    path.next() == Some("providers")
        && path.next().is_some_and(|id| id != "defaults" && !linked.contains(&id))
}

/// Puts values under the setting's keys. Lists of one key grow.
fn put(layer: &mut Value, setting: &Setting, values: Vec<ValueKind>, place: &str, linked: &[&str]) {
    for (key, value) in setting.to.iter().zip(values).filter(|(key, _)| !is_unlinked(key, linked)) {
        let path = split(key);
        let former = section::find(layer, key).filter(|_| setting.kind == Kind::Folder);
        let value = match (former, value) {
            (Some(Value { kind: ValueKind::Array(former), .. }), ValueKind::Array(more)) => {
                let both =
                    format!("{}, {place}", section::find(layer, key).and_then(origin).unwrap_or_default());
                Value::new(Some(&both), ValueKind::Array(former.iter().cloned().chain(more).collect()))
            }
            (_, value) => Value::new(Some(&place.to_owned()), value),
        };
        insert(layer, &path, value);
    }
}

/// Takes a dotted key out of the file.
fn remove(file: &mut Map<String, Value>, key: &str, linked: &[&str]) -> Option<Value> {
    if let Some(id) = key.strip_prefix("providers.")
        && linked.contains(&id)
    {
        return None;
    }
    let Some((first, rest)) = key.split_once('.') else { return file.remove(key) };
    match &mut file.get_mut(first)?.kind {
        ValueKind::Table(table) => remove(table, rest, &[]),
        _ => None,
    }
}

/// The dotted names of what is below a key.
fn leaves(key: &str, value: &Value) -> Vec<String> {
    let ValueKind::Table(table) = &value.kind else { return vec![key.to_owned()] };
    let mut names: Vec<String> =
        table.iter().flat_map(|(name, value)| leaves(&format!("{key}.{name}"), value)).collect();
    names.sort();
    if names.is_empty() { vec![key.to_owned()] } else { names }
}

fn texts(kind: &ValueKind) -> Option<Vec<String>> {
    let ValueKind::Array(items) = kind else { return None };
    items.iter().map(|item| item.clone().into_string().ok()).collect()
}

fn is_loopback(merged: &Value) -> bool {
    let text = section::find(merged, ADDRESS).and_then(|value| value.clone().into_string().ok());
    text.and_then(|text| text.trim().parse::<IpAddr>().ok()).is_some_and(|address| address.is_loopback())
}

fn kind(value: &toml::Value) -> ValueKind {
    match value {
        toml::Value::String(text) => text.as_str().into(),
        toml::Value::Integer(number) => (*number).into(),
        toml::Value::Float(number) => (*number).into(),
        toml::Value::Boolean(value) => (*value).into(),
        toml::Value::Datetime(time) => time.to_string().into(),
        toml::Value::Array(items) => {
            ValueKind::Array(items.iter().map(|item| Value::new(None, kind(item))).collect())
        }
        toml::Value::Table(table) => ValueKind::Table(
            table.iter().map(|(name, value)| (name.clone(), Value::new(None, kind(value)))).collect(),
        ),
    }
}
