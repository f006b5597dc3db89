use super::{Group, Problem, layers, show, units};
use crate::upstream::is_proxy;
use config::{Map, Value, ValueKind};
use ipnet::IpNet;
use pollux_sdk::Secret;
use std::{collections::BTreeSet, net::IpAddr, num::NonZero, path::PathBuf, time::Duration};
use tracing_subscriber::EnvFilter;
use url::Url;

/// Reads one section key by key and keeps what is wrong. A key that is absent is `None` and no mistake.
#[derive(Debug)]
pub(super) struct Section<'a> {
    name: &'a str,
    table: Option<&'a Map<String, Value>>,
    problems: Vec<Problem>,
}

impl<'a> Section<'a> {
    /// Opens the section with this dotted name.
    pub(super) fn open(root: &'a Value, name: &'a str) -> Self {
        let mut problems = Vec::new();
        let table = find(root, name).and_then(|value| {
            let table = as_table(value);
            if table.is_none() {
                let place = layers::origin(value).unwrap_or("defaults");
                problems.push(Problem::new(place, "", name, "expected a section"));
            }
            table
        });
        Self { name, table, problems }
    }

    /// Refuses keys that `known` does not have.
    pub(super) fn only(mut self, known: &Value) -> Self {
        let Some(known) = find(known, self.name).and_then(as_table) else { return self };
        let mut strange: Vec<_> =
            self.table.into_iter().flatten().filter(|(key, _)| !known.contains_key(*key)).collect();
        strange.sort_by_key(|(key, _)| *key);
        let mut names: Vec<&str> = known.keys().map(String::as_str).collect();
        names.sort_unstable();
        for (key, value) in strange {
            let place = layers::origin(value).unwrap_or("configuration");
            let message = format!("there is no such key, only {}", names.join(", "));
            self.problems.push(Problem::new(place, self.name, key, message));
        }
        self
    }

    pub(super) fn close(self, problems: &mut Vec<Problem>) {
        problems.extend(self.problems);
    }

    pub(super) fn report(&mut self, place: &str, key: &str, message: &str) {
        self.problems.push(Problem::new(place, self.name, key, message));
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.table.is_some_and(|table| table.contains_key(key))
    }

    /// Where the key stands; `None` in the defaults.
    pub(super) fn origin(&self, key: &str) -> Option<&'a str> {
        layers::origin(self.table?.get(key)?)
    }

    pub(super) fn read<T>(
        &mut self,
        key: &str,
        expected: &str,
        parse: impl FnOnce(&Value) -> Option<T>,
    ) -> Option<T> {
        let value = self.table?.get(key)?;
        let parsed = parse(value);
        if parsed.is_none() {
            let place = layers::origin(value).unwrap_or("defaults");
            let found = show::value(key, value);
            self.problems.push(Problem::new(
                place,
                self.name,
                key,
                format!("expected {expected}, found {}", shortened(&found)),
            ));
        }
        parsed
    }

    /// A text in its own syntax.
    pub(super) fn parsed<T>(
        &mut self,
        key: &str,
        expected: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        self.read(key, expected, |value| parse(text(value)?.trim()))
    }

    /// A text in its own syntax; "" is none. So is what is wrong, and that is kept among the problems.
    fn optional<T>(&mut self, key: &str, expected: &str, parse: impl Fn(&str) -> Option<T>) -> Option<T> {
        self.parsed(key, expected, |text| if text.is_empty() { Some(None) } else { parse(text).map(Some) })?
    }

    pub(super) fn secret(&mut self, key: &str, expected: &str) -> Option<Secret> {
        let value = self.table?.get(key)?;
        let place = layers::origin(value).unwrap_or("defaults").to_owned();
        let message = match text(value).map(str::trim) {
            Some("") => format!("empty; expected {expected}"),
            Some(key) if !key.chars().any(char::is_control) => return Some(Secret::new(key)),
            Some(_) => format!("holds a control character; expected {expected}"),
            None => format!("expected {expected}, in quotes"),
        };
        self.report(&place, key, &message);
        None
    }

    pub(super) fn boolean(&mut self, key: &str) -> Option<bool> {
        self.read(key, "true or false", |value| match &value.kind {
            ValueKind::Boolean(value) => Some(*value),
            ValueKind::String(text) => text.trim().parse().ok(),
            _ => None,
        })
    }

    pub(super) fn integer(&mut self, key: &str, least: u32, most: u32) -> Option<u32> {
        let within = |value: u32| (least..=most).contains(&value).then_some(value);
        self.read(key, &format!("a whole number from {least} to {most}"), |value| {
            within(integer(value)?.try_into().ok()?)
        })
    }

    pub(super) fn duration(&mut self, key: &str, zero: bool) -> Option<Duration> {
        let expected = if zero {
            "seconds or a time such as \"30s\", \"10m\" or \"1h\", at most 365 days"
        } else {
            "seconds or a time such as \"500ms\", \"30s\" or \"1h\", more than zero and at most 365 days"
        };
        self.read(key, expected, |value| {
            units::duration(&scalar(value)?).filter(|duration| zero || !duration.is_zero())
        })
    }

    pub(super) fn size(&mut self, key: &str) -> Option<usize> {
        self.read(key, "bytes or a size such as \"50 MiB\", more than zero", |value| {
            usize::try_from(units::size(&scalar(value)?)?).ok().filter(|size| *size > 0)
        })
    }

    /// One per core where it is 0 or "".
    pub(super) fn workers(&mut self, key: &str) -> Option<usize> {
        let count =
            self.read(key, "a whole number from 0 (one per core) to 1024", |value| match &value.kind {
                ValueKind::String(text) if text.trim().is_empty() => Some(0),
                _ => usize::try_from(integer(value)?).ok().filter(|count| *count <= 1024),
            })?;
        Some(if count > 0 { count } else { std::thread::available_parallelism().map_or(1, NonZero::get) })
    }

    pub(super) fn one_of<T: Copy>(&mut self, key: &str, choices: &[(&str, T)]) -> Option<T> {
        let names: Vec<String> = choices.iter().map(|(name, _)| format!("\"{name}\"")).collect();
        self.parsed(key, &names.join(" or "), |text| {
            choices.iter().find(|(name, _)| *name == text).map(|(_, value)| *value)
        })
    }

    pub(super) fn networks(&mut self, key: &str) -> Option<Vec<IpNet>> {
        let network = |item: &Value| {
            let text = text(item)?.trim();
            text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
        };
        self.read(key, "a list of addresses or networks such as [\"127.0.0.1\", \"10.0.0.0/8\"]", |value| {
            match &value.kind {
                ValueKind::Array(items) => items.iter().map(network).collect(),
                ValueKind::String(text) if text.trim().is_empty() => Some(Vec::new()),
                _ => None,
            }
        })
    }

    /// Ids of providers, each once. The defaults may name some that this binary lacks.
    pub(super) fn order(&mut self, key: &str, linked: &[&str]) -> Option<Vec<String>> {
        let default = self.origin(key).is_none();
        let expected = format!("a list of providers, each once, of these: {}", linked.join(", "));
        self.read(key, &expected, |value| {
            let ids: Vec<String> = match &value.kind {
                ValueKind::Array(items) => {
                    items.iter().map(|item| text(item).map(str::to_owned)).collect::<Option<_>>()?
                }
                ValueKind::String(text) if text.trim().is_empty() => Vec::new(),
                _ => return None,
            };
            let known = |id: &String| default || linked.contains(&id.as_str());
            let fine = ids.iter().enumerate().all(|(at, id)| known(id) && !ids[..at].contains(id));
            fine.then_some(ids)
        })
    }

    pub(super) fn path(&mut self, key: &str) -> Option<PathBuf> {
        self.optional(key, "a path", |text| Some(PathBuf::from(text)))
    }

    /// A list of paths; "" is none, and a text alone is a list of one.
    pub(super) fn paths(&mut self, key: &str) -> Option<Vec<PathBuf>> {
        let path =
            |item: &Value| text(item).map(str::trim).filter(|path| !path.is_empty()).map(PathBuf::from);
        self.read(key, "a list of folders such as [\"./credentials\"]", |value| match &value.kind {
            ValueKind::Array(items) => items.iter().map(path).collect(),
            ValueKind::String(text) if text.trim().is_empty() => Some(Vec::new()),
            ValueKind::String(_) => path(value).map(|path| vec![path]),
            _ => None,
        })
    }

    pub(super) fn database_url(&mut self, key: &str) -> Option<String> {
        self.parsed(key, "sqlite://FILE or postgres://USER:PASSWORD@HOST/NAME", |text| {
            let (scheme, rest) = text.split_once(':')?;
            let known = ["sqlite", "postgres", "postgresql"].contains(&scheme)
                && !rest.trim_start_matches('/').is_empty();
            known.then(|| text.to_owned())
        })
    }

    pub(super) fn public_url(&mut self, key: &str) -> Option<String> {
        self.optional(key, "an http:// or https:// address without user, query or fragment", |text| {
            let url = Url::parse(text).ok()?;
            let plain = url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
            let usable = plain
                && url.password().is_none()
                && ["http", "https"].contains(&url.scheme())
                && url.has_host();
            usable.then(|| text.trim_end_matches('/').to_owned())
        })
    }

    pub(super) fn groups(&mut self, key: &str) -> Option<Vec<Group>> {
        const EXPECTED: &str = "a list of groups, each with a `name` and `models`";
        let groups = self.read(key, EXPECTED, |value| match &value.kind {
            ValueKind::Array(items) => items.iter().map(group).collect::<Option<Vec<Group>>>(),
            ValueKind::String(text) if text.trim().is_empty() => Some(Vec::new()),
            _ => None,
        })?;
        let place = self.origin(key).unwrap_or("defaults").to_owned();
        let (mut names, mut models) = (BTreeSet::new(), BTreeSet::new());
        for group in &groups {
            if !names.insert(&group.name) {
                self.report(&place, key, &format!("two groups are called `{}`", group.name));
                return None;
            }
            if let Some(model) = group.models.iter().find(|model| !models.insert(*model)) {
                self.report(
                    &place,
                    key,
                    &format!("`{model}` is named twice; a model is in one group at most"),
                );
                return None;
            }
        }
        Some(groups)
    }

    pub(super) fn proxy(&mut self, key: &str) -> Option<String> {
        self.optional(key, "an http://, https:// or socks5:// address", |text| {
            is_proxy(text).then(|| text.to_owned())
        })
    }

    pub(super) fn loglevel(&mut self, key: &str) -> Option<String> {
        const EXPECTED: &str =
            "off, error, warn, info, debug or trace, or directives such as \"info,sqlx=warn\"";
        self.parsed(key, EXPECTED, |text| is_loglevel(text).then(|| text.to_owned()))
    }
}

pub(super) fn is_loglevel(text: &str) -> bool {
    // The filter takes a bare word for a module's name, so that "inof" would silence everything.
    let level = |word: &str| ["off", "error", "warn", "info", "debug", "trace"].contains(&word);
    let fine = text.split(',').all(|part| part.contains('=') || level(&part.trim().to_ascii_lowercase()));
    fine && EnvFilter::builder().parse(text).is_ok()
}

fn group(value: &Value) -> Option<Group> {
    let word = |value: &Value| text(value).map(str::trim).filter(|word| !word.is_empty()).map(str::to_owned);
    let table = as_table(value).filter(|table| table.len() == 2)?;
    let ValueKind::Array(models) = &table.get("models")?.kind else { return None };
    let models: Vec<String> = models.iter().map(word).collect::<Option<_>>()?;
    Some(Group { name: word(table.get("name")?)?, models }).filter(|group| !group.models.is_empty())
}

pub(super) fn find<'a>(root: &'a Value, name: &str) -> Option<&'a Value> {
    name.split('.').try_fold(root, |value, segment| as_table(value)?.get(segment))
}

pub(super) fn as_table(value: &Value) -> Option<&Map<String, Value>> {
    match &value.kind {
        ValueKind::Table(table) => Some(table),
        _ => None,
    }
}

fn text(value: &Value) -> Option<&str> {
    match &value.kind {
        ValueKind::String(text) => Some(text),
        _ => None,
    }
}

fn integer(value: &Value) -> Option<i64> {
    match &value.kind {
        ValueKind::I64(number) => Some(*number),
        ValueKind::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

fn scalar(value: &Value) -> Option<String> {
    match &value.kind {
        ValueKind::I64(number) => Some(number.to_string()),
        ValueKind::String(text) => Some(text.clone()),
        _ => None,
    }
}

fn shortened(found: &str) -> String {
    const MOST: usize = 80;
    if found.chars().count() <= MOST {
        found.to_owned()
    } else {
        found.chars().take(MOST).chain("...".chars()).collect()
    }
}
