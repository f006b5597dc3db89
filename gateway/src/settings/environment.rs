use super::{Problem, SettingsError};
use config::{Map, Value, ValueKind};
use std::{collections::BTreeMap, fmt};

const PREFIX: &str = "POLLUX__";

/// The part of the process environment that concerns settings.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// The environment of this process.
    ///
    /// # Errors
    /// Fails when a value of ours is not UTF-8.
    pub fn of_process() -> Result<Self, SettingsError> {
        let ours = std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value)));
        ours.filter(|(name, _)| name.starts_with("POLLUX_"))
            .map(|(name, value)| match value.into_string() {
                Ok(value) => Ok((name, value)),
                Err(_) => Err(Problem::of_place(&place(&name), "is not valid UTF-8").into()),
            })
            .collect()
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    pub(super) fn has_value(&self, name: &str) -> bool {
        self.0.get(name).is_some_and(|value| !value.trim().is_empty())
    }

    /// The variables as a layer. `lower` tells a number from text that looks like one.
    pub(super) fn layer(
        &self,
        lower: &Value,
        ids: &[&str],
        problems: &mut Vec<Problem>,
    ) -> Map<String, Value> {
        let mut layer = Value::from(Map::<String, Value>::new());
        for (name, text) in &self.0 {
            let Some(rest) = name.strip_prefix(PREFIX) else { continue };
            let path = path(rest, ids);
            match typed(text, find(lower, &path), &path) {
                Ok(kind) => insert(&mut layer, &path, Value::new(Some(&place(name)), kind)),
                Err(message) => {
                    let (key, section) =
                        path.split_last().map_or(("", String::new()), |(k, s)| (k.as_str(), s.join(".")));
                    problems.push(Problem::new(&place(name), &section, key, message));
                }
            }
        }
        match layer.kind {
            ValueKind::Table(table) => table,
            _ => Map::new(),
        }
    }
}

impl FromIterator<(String, String)> for Environment {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(variables: I) -> Self {
        Self(variables.into_iter().collect())
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

pub(super) fn place(name: &str) -> String {
    format!("environment variable {name}")
}

/// `PROVIDERS__MY_VENDOR__OAUTH_TPS` as a path. A shell's variable names have no dash, ids may.
fn path(rest: &str, ids: &[&str]) -> Vec<String> {
    let mut path: Vec<String> = rest.split("__").map(str::to_lowercase).collect();
    if let [first, id, ..] = path.as_mut_slice()
        && first == "providers"
        && let Some(known) = ids.iter().find(|known| known.to_lowercase().replace('-', "_") == *id)
    {
        *id = (*known).to_owned();
    }
    path
}

fn find<'a>(root: &'a Value, path: &[String]) -> Option<&'a ValueKind> {
    path.iter().try_fold(&root.kind, |kind, segment| match kind {
        ValueKind::Table(table) => table.get(segment).map(|value| &value.kind),
        _ => None,
    })
}

/// What `text` means where a lower layer holds `lower`. Only a provider knows the type of a key that no lower
/// layer has, so there the text's own look decides, and JSON quotes make it text.
fn typed(text: &str, lower: Option<&ValueKind>, path: &[String]) -> Result<ValueKind, String> {
    let plain = ValueKind::from(text);
    let json = || serde_json::from_str::<serde_json::Value>(text).ok().filter(|value| !value.is_null());
    match lower {
        Some(ValueKind::Array(_)) => match json() {
            Some(list @ serde_json::Value::Array(_)) => Ok(kind(list)),
            _ => Err(r#"expected a list as JSON such as ["a", "b"]"#.to_owned()),
        },
        Some(ValueKind::Boolean(_)) => Ok(text.parse::<bool>().map_or(plain, ValueKind::from)),
        Some(ValueKind::I64(_)) => Ok(text.parse::<i64>().map_or(plain, ValueKind::from)),
        Some(ValueKind::Float(_)) => Ok(text.parse::<f64>().map_or(plain, ValueKind::from)),
        None if path.first().is_some_and(|first| first == "providers") => Ok(json().map_or(plain, kind)),
        Some(_) | None => Ok(plain),
    }
}

fn kind(value: serde_json::Value) -> ValueKind {
    use serde_json::Value as Json;
    match value {
        Json::Null => ValueKind::Nil,
        Json::Bool(value) => value.into(),
        Json::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => whole.into(),
            (None, Some(float)) => float.into(),
            (None, None) => ValueKind::String(number.to_string()),
        },
        Json::String(text) => text.into(),
        Json::Array(items) => {
            ValueKind::Array(items.into_iter().map(|item| Value::new(None, kind(item))).collect())
        }
        Json::Object(members) => ValueKind::Table(
            members.into_iter().map(|(name, item)| (name, Value::new(None, kind(item)))).collect(),
        ),
    }
}

fn insert(at: &mut Value, path: &[String], value: Value) {
    let Some((first, rest)) = path.split_first() else {
        *at = value;
        return;
    };
    if !matches!(at.kind, ValueKind::Table(_)) {
        at.kind = ValueKind::Table(Map::new());
    }
    if let ValueKind::Table(table) = &mut at.kind {
        insert(table.entry(first.clone()).or_insert_with(|| Value::new(None, ValueKind::Nil)), rest, value);
    }
}
