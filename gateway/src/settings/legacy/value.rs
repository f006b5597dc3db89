//! What the text of an older setting means in ours.

use super::super::section::is_loglevel;
use super::table::Kind;
use crate::upstream::is_proxy;
use config::{Value, ValueKind};
use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::Path,
};

/// One value for each of the setting's keys; none where the setting says nothing. The error says what was expected.
pub(super) fn read(kind: Kind, text: &str) -> Result<Vec<ValueKind>, &'static str> {
    let text = text.trim();
    let one = |value: ValueKind| Ok(vec![value]);
    match kind {
        Kind::Text => one(text.into()),
        Kind::Flag => one(flag(text)?.into()),
        Kind::Not => one((!flag(text)?).into()),
        Kind::Debug => Ok(if flag(text)? { vec!["debug".into()] } else { Vec::new() }),
        Kind::List | Kind::BigModels => one(texts(list(text)?)),
        Kind::Folder => one(texts(vec![text.to_owned()])),
        Kind::Loglevel => {
            let level = text.to_ascii_lowercase();
            if is_loglevel(&level) { one(level.into()) } else { Err("a level such as info") }
        }
        Kind::Proxy => {
            if is_proxy(text) {
                one(text.into())
            } else {
                Err("an http://, https:// or socks5:// address")
            }
        }
        Kind::Database => database(text).map(|url| vec![url.into()]),
        Kind::Bolt => one(format!("sqlite:{}", beside(text)).into()),
        Kind::Address => {
            let (address, port) = address(text).ok_or("an address such as 127.0.0.1:8989")?;
            Ok(vec![address.to_string().into(), i64::from(port).into()])
        }
        Kind::Attempts => {
            let attempts = text.parse::<i64>().ok().filter(|attempts| *attempts > 0);
            one((attempts.ok_or("a whole number above zero")? - 1).into())
        }
    }
}

fn flag(text: &str) -> Result<bool, &'static str> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "t" | "true" | "yes" | "on" => Ok(true),
        "0" | "f" | "false" | "no" | "off" => Ok(false),
        _ => Err("1 or 0, true or false"),
    }
}

/// JSON, or the same without quotes, as the older systems took it.
fn list(text: &str) -> Result<Vec<String>, &'static str> {
    const EXPECTED: &str = r#"a list such as ["a", "b"]"#;
    if let Ok(list) = serde_json::from_str(text) {
        return Ok(list);
    }
    let inner = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).ok_or(EXPECTED)?;
    let items = inner.split(',').map(|item| item.trim().trim_matches(['"', '\'']));
    let items: Vec<String> = items.filter(|item| !item.is_empty()).map(str::to_owned).collect();
    let plain = |item: &String| !item.contains(['"', '[', ']', '{', '}']);
    if items.iter().all(plain) { Ok(items) } else { Err(EXPECTED) }
}

pub(super) fn texts(items: Vec<String>) -> ValueKind {
    ValueKind::Array(items.into_iter().map(|item| Value::new(None, ValueKind::String(item))).collect())
}

/// An address with its scheme, or a file.
fn database(text: &str) -> Result<String, &'static str> {
    let known = ["sqlite:", "postgres:", "postgresql:"].iter().any(|scheme| text.starts_with(scheme));
    match text {
        _ if known => Ok(text.to_owned()),
        _ if text.contains("://") => Err("sqlite://FILE or postgres://USER:PASSWORD@HOST/NAME"),
        file => Ok(format!("sqlite:{file}")),
    }
}

/// The file of ours beside one that stays as it is: its name always differs.
fn beside(file: &str) -> String {
    Path::new(file).with_extension("pollux.db").display().to_string()
}

/// Without a host it is every address of the machine.
fn address(text: &str) -> Option<(IpAddr, u16)> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Some((address.ip(), address.port()));
    }
    let (host, port) = text.rsplit_once(':')?;
    let host = match host {
        "" | "*" => Ipv4Addr::UNSPECIFIED,
        "localhost" => Ipv4Addr::LOCALHOST,
        _ => return None,
    };
    Some((host.into(), port.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::providers::json;
    use serde_json::json;

    fn read_as(kind: Kind, text: &str) -> Result<serde_json::Value, &'static str> {
        let values = read(kind, text)?;
        Ok(values.into_iter().map(|kind| json(&Value::new(None, kind))).collect())
    }

    #[test]
    fn reads_values_as_the_older_systems_wrote_them() {
        for (kind, text, expected) in [
            (Kind::Text, " k ", json!(["k"])),
            (Kind::Flag, "1", json!([true])),
            (Kind::Flag, "False", json!([false])),
            (Kind::Not, "1", json!([false])),
            (Kind::Not, "0", json!([true])),
            (Kind::Debug, "1", json!(["debug"])),
            (Kind::Debug, "0", json!([])),
            (Kind::List, r#"["a","b"]"#, json!([["a", "b"]])),
            (Kind::List, "[a, 'b' , \"c\"]", json!([["a", "b", "c"]])),
            (Kind::BigModels, "[]", json!([[]])),
            (Kind::Folder, "./credentials", json!([["./credentials"]])),
            (Kind::Loglevel, "INFO", json!(["info"])),
            (Kind::Loglevel, "info,sqlx=warn", json!(["info,sqlx=warn"])),
            (Kind::Proxy, "socks5://127.0.0.1:1080", json!(["socks5://127.0.0.1:1080"])),
            (Kind::Database, "sqlite://data.db", json!(["sqlite://data.db"])),
            (Kind::Database, "/var/lib/data.db", json!(["sqlite:/var/lib/data.db"])),
            (Kind::Database, "postgres://u:p@h/d", json!(["postgres://u:p@h/d"])),
            (Kind::Bolt, "./data/proxy.db", json!(["sqlite:./data/proxy.pollux.db"])),
            (Kind::Bolt, "x.pollux.db", json!(["sqlite:x.pollux.pollux.db"])),
            (Kind::Bolt, "proxy", json!(["sqlite:proxy.pollux.db"])),
            (Kind::Address, "127.0.0.1:8989", json!(["127.0.0.1", 8989])),
            (Kind::Address, ":8989", json!(["0.0.0.0", 8989])),
            (Kind::Address, "localhost:1", json!(["127.0.0.1", 1])),
            (Kind::Address, "[::1]:8989", json!(["::1", 8989])),
            (Kind::Attempts, "3", json!([2])),
            (Kind::Attempts, "1", json!([0])),
        ] {
            assert_eq!(read_as(kind, text), Ok(expected), "{kind:?} {text}");
        }
    }

    #[test]
    fn refuses_what_means_nothing() {
        for (kind, text) in [
            (Kind::Flag, "maybe"),
            (Kind::List, "a"),
            (Kind::List, r#"[{"a": 1}]"#),
            (Kind::Loglevel, "loud"),
            (Kind::Proxy, "127.0.0.1:1080"),
            (Kind::Database, "mysql://u:p@h/d"),
            (Kind::Address, "8989"),
            (Kind::Address, "example.org:80"),
            (Kind::Address, "localhost:70000"),
            (Kind::Attempts, "0"),
            (Kind::Attempts, "-1"),
            (Kind::Attempts, "9223372036854775808"),
        ] {
            assert!(read_as(kind, text).is_err(), "{kind:?} {text}");
        }
    }
}
