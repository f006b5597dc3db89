use super::{Problem, SettingsError, legacy};
use config::{Map, Value, ValueKind};
use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    fmt, fs,
    io::{self, Read as _},
    path::Path,
};

const PREFIX: &str = "POLLUX__";
/// Beside the process, as the older systems have it.
const FILE: &str = ".env";
const FILE_BYTES: u64 = 1 << 20;

/// The part of the process environment that concerns settings, and that of the file `.env`.
#[derive(Clone, Default)]
pub struct Environment {
    variables: BTreeMap<String, Variable>,
    /// What is odd about the file.
    pub(super) notes: Vec<String>,
}

#[derive(Clone)]
struct Variable {
    text: String,
    of_file: bool,
}

impl Environment {
    /// The environment of this process, and below it the file `.env` of the working folder.
    ///
    /// # Errors
    /// Fails when a value of ours is not UTF-8.
    pub fn of_process() -> Result<Self, SettingsError> {
        let file = read(Path::new(FILE));
        Self::read(std::env::vars_os(), file.as_ref().map(Option::as_deref).map_err(ToString::to_string))
    }

    fn read(
        process: impl Iterator<Item = (OsString, OsString)>,
        file: Result<Option<&str>, String>,
    ) -> Result<Self, SettingsError> {
        let older = legacy::variables();
        let mut environment = Self::default();
        match file {
            Ok(text) => environment.add_file(text.unwrap_or_default(), &older),
            Err(error) => environment.notes.push(format!("{FILE} cannot be read: {error}")),
        }
        for (name, value) in process.filter_map(|(name, value)| Some((name.into_string().ok()?, value))) {
            let ours = name.starts_with("POLLUX_");
            if !ours && !older.contains(&name) {
                continue;
            }
            match value.into_string() {
                Ok(text) => drop(environment.variables.insert(name, Variable { text, of_file: false })),
                Err(_) if ours => {
                    return Err(Problem::of_place(&place(&name), "is not valid UTF-8").into());
                }
                Err(_) => environment.notes.push(format!("{} is not valid UTF-8 and not used", place(&name))),
            }
        }
        Ok(environment)
    }

    fn add_file(&mut self, text: &str, older: &BTreeSet<String>) {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        for line in dotenvy::from_read_iter(text.as_bytes()) {
            match line {
                Ok((name, text)) if name.starts_with(PREFIX) || older.contains(&name) => {
                    self.variables.insert(name, Variable { text, of_file: true });
                }
                Ok(_) => {}
                // The error quotes the line, which may hold a key.
                Err(_) => {
                    self.notes.push(format!(
                        "a line of {FILE} is no NAME=value and not used (quote what has spaces)"
                    ));
                }
            }
        }
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.variables.contains_key(name)
    }

    pub(super) fn has_value(&self, name: &str) -> bool {
        self.value(name).is_some()
    }

    /// A variable that is not blank. Compose files unset theirs so.
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(|variable| variable.text.as_str()).filter(|text| !text.trim().is_empty())
    }

    /// Where a variable stands, for people.
    pub(super) fn place(&self, name: &str) -> String {
        match self.variables.get(name) {
            Some(variable) if variable.of_file => format!("variable {name} in {FILE}"),
            _ => place(name),
        }
    }

    /// The variables as a layer. `lower` tells a number from text that looks like one.
    pub(super) fn layer(
        &self,
        lower: &Value,
        ids: &[&str],
        problems: &mut Vec<Problem>,
    ) -> Map<String, Value> {
        let mut layer = Value::from(Map::<String, Value>::new());
        for (name, Variable { text, .. }) in &self.variables {
            let Some(rest) = name.strip_prefix(PREFIX) else { continue };
            let path = path(rest, ids);
            match typed(text, find(lower, &path), &path) {
                Ok(kind) => insert(&mut layer, &path, Value::new(Some(&self.place(name)), kind)),
                Err(message) => {
                    let (key, section) =
                        path.split_last().map_or(("", String::new()), |(k, s)| (k.as_str(), s.join(".")));
                    problems.push(Problem::new(&self.place(name), &section, key, message));
                }
            }
        }
        into_table(layer)
    }
}

/// `None` where there is no such file.
fn read(path: &Path) -> io::Result<Option<String>> {
    let file = match fs::File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    let mut text = String::new();
    file.take(FILE_BYTES).read_to_string(&mut text)?;
    Ok(Some(text))
}

impl FromIterator<(String, String)> for Environment {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(variables: I) -> Self {
        let variables = variables.into_iter().map(|(name, text)| (name, Variable { text, of_file: false }));
        Self { variables: variables.collect(), notes: Vec::new() }
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.variables.keys()).finish()
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

pub(super) fn find<'a>(root: &'a Value, path: &[String]) -> Option<&'a ValueKind> {
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

pub(super) fn into_table(value: Value) -> Map<String, Value> {
    match value.kind {
        ValueKind::Table(table) => table,
        _ => Map::new(),
    }
}

pub(super) fn insert(at: &mut Value, path: &[String], value: Value) {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn read(process: &[(&str, &str)], file: Option<&str>) -> Environment {
        let process = process.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
        Environment::read(process, Ok(file)).unwrap()
    }

    #[test]
    fn the_process_comes_before_the_file() {
        let file = "\u{feff}# a comment\nexport NEXUS_KEY='of the file'\nPROXY=http://p:1\nOTHER=1\n\
                    POLLUX__BASIC__LISTEN_PORT=9\nPOLLUX_SEALING_KEY=x\nLOGLEVEL=\n";
        let environment = read(&[("PROXY", "http://q:1"), ("HOME", "/root")], Some(file));
        assert_eq!(environment.value("NEXUS_KEY"), Some("of the file"));
        assert_eq!(environment.value("PROXY"), Some("http://q:1"));
        assert_eq!(environment.place("NEXUS_KEY"), "variable NEXUS_KEY in .env");
        assert_eq!(environment.place("PROXY"), "environment variable PROXY");
        assert_eq!(environment.value("POLLUX__BASIC__LISTEN_PORT"), Some("9"));
        for name in ["OTHER", "HOME", "LOGLEVEL", "POLLUX_SEALING_KEY"] {
            assert_eq!(environment.value(name), None, "{name}");
        }
        assert_eq!(environment.notes, Vec::<String>::new());
    }

    #[test]
    fn a_line_that_is_none_is_told_without_its_text_and_the_others_count() {
        let environment = read(&[], Some("hunter2 hunter2\nNEXUS_KEY=k\n"));
        assert_eq!(environment.value("NEXUS_KEY"), Some("k"));
        assert_eq!(environment.notes.len(), 1);
        assert!(!environment.notes[0].contains("hunter2"), "{:?}", environment.notes);
    }

    #[cfg(unix)]
    #[test]
    fn what_is_no_text_is_a_mistake_where_the_variable_is_ours() {
        use std::os::unix::ffi::OsStringExt;
        let given = |name: &str| [(OsString::from(name), OsString::from_vec(vec![0xff]))].into_iter();
        assert!(Environment::read(given("POLLUX__BASIC__LOGLEVEL"), Ok(None)).is_err());
        let other = Environment::read(given("PROXY"), Ok(None)).unwrap();
        assert!(!other.has_value("PROXY") && other.notes[0].contains("PROXY"), "{:?}", other.notes);
    }
}
