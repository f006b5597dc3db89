use super::{
    layers::{Layers, origin},
    providers::json,
};
use config::{Map, Value, ValueKind};
use std::{collections::BTreeMap, fmt::Write};

const MASK: &str = "***";

/// Every value with its origin, in TOML's own shape.
pub(super) fn render(layers: &Layers) -> String {
    let mut out = String::new();
    if let ValueKind::Table(root) = &layers.merged.kind {
        table(root, "", &mut out);
    }
    out
}

fn table(members: &Map<String, Value>, name: &str, out: &mut String) {
    let (sections, keys): (BTreeMap<_, _>, BTreeMap<_, _>) =
        members.iter().partition(|(_, value)| matches!(value.kind, ValueKind::Table(_)));
    if !keys.is_empty() {
        let _ = writeln!(out, "{}[{name}]", if out.is_empty() { "" } else { "\n" });
    }
    for (key, member) in keys {
        let line = format!("{key} = {}", value(key, member));
        let _ = writeln!(out, "{line:<52} # {}", origin(member).unwrap_or("default"));
    }
    for (key, section) in sections {
        if let ValueKind::Table(inner) = &section.kind {
            table(inner, &if name.is_empty() { key.clone() } else { format!("{name}.{key}") }, out);
        }
    }
}

/// A value as it may be printed: secrets masked by their key's name, passwords in addresses by their form.
pub(super) fn value(key: &str, value: &Value) -> String {
    let json = masked(json(value));
    let empty = json.as_str().is_some_and(str::is_empty);
    if is_secret(key) && !empty { format!("\"{MASK}\"") } else { json.to_string() }
}

/// By the end of its name, with or without the sections before it.
pub(super) fn is_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    ["key", "secret", "password", "token"].iter().any(|end| key.ends_with(end))
}

fn masked(value: serde_json::Value) -> serde_json::Value {
    use serde_json::Value as Json;
    match value {
        Json::String(text) => without_userinfo(&text).into(),
        Json::Array(items) => items.into_iter().map(masked).collect(),
        Json::Object(members) => members
            .into_iter()
            .map(|(key, value)| {
                let value = if is_secret(&key) { MASK.into() } else { masked(value) };
                (key, value)
            })
            .collect(),
        other => other,
    }
}

/// Done by form and not by a URL parser: an address that does not parse may hold a password all the same.
pub(super) fn without_userinfo(text: &str) -> String {
    let mut shown = match text.split_once("://") {
        Some((scheme, rest)) => match rest.rsplit_once('@') {
            Some((_, host)) => format!("{scheme}://{MASK}@{host}"),
            None => text.to_owned(),
        },
        None => text.to_owned(),
    };
    // PostgreSQL takes the password as a parameter too.
    if let Some(at) = shown.find("password=") {
        let start = at + "password=".len();
        let end = shown[start..].find('&').map_or(shown.len(), |length| start + length);
        shown.replace_range(start..end, MASK);
    }
    shown
}
