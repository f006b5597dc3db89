use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

const TEXT: &str = include_str!("../../../../config/legacy.toml");

/// `config/legacy.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Systems {
    pub(in crate::settings) system: Vec<System>,
}

/// A system whose users come over.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::settings) struct System {
    pub(in crate::settings) name: String,
    /// Whoever reached it was let in.
    #[serde(default)]
    pub(in crate::settings) keyless: bool,
    /// By our dotted key.
    #[serde(default)]
    pub(in crate::settings) defaults: BTreeMap<String, toml::Value>,
    #[serde(default)]
    pub(in crate::settings) setting: Vec<Setting>,
    #[serde(default)]
    pub(in crate::settings) table: Vec<Table>,
}

/// One of its settings, and ours.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::settings) struct Setting {
    pub(in crate::settings) variable: Option<String>,
    /// The dotted key in its configuration file.
    pub(in crate::settings) file: Option<String>,
    #[serde(default)]
    pub(in crate::settings) to: Vec<String>,
    #[serde(default, rename = "as")]
    pub(in crate::settings) kind: Kind,
    #[serde(default)]
    pub(in crate::settings) own: bool,
    #[serde(default)]
    pub(in crate::settings) shared: bool,
    pub(in crate::settings) lost: Option<String>,
}

/// How a value is read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::settings) enum Kind {
    /// As it stands.
    #[default]
    Text,
    Flag,
    /// The opposite of a flag.
    Not,
    List,
    Folder,
    Loglevel,
    Proxy,
    Database,
    /// A file that is no database of ours: ours comes beside it.
    Bolt,
    /// Host and port in one.
    Address,
    /// One more than the retries.
    Attempts,
    /// A flag for the log's level.
    Debug,
    /// Models that rest apart from all others.
    BigModels,
}

/// A table of accounts in its database.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// Whose accounts it holds.
    pub provider: String,
    /// Members of a credential file beside its columns, as SQL.
    #[serde(default)]
    pub members: BTreeMap<String, String>,
}

pub(in crate::settings) fn systems() -> Vec<System> {
    let Systems { system } = toml::from_str(TEXT).expect("legacy.toml is compiled in and a test reads it");
    system
}

/// Every variable that some older system has.
pub(in crate::settings) fn variables() -> BTreeSet<String> {
    systems().into_iter().flat_map(|system| system.setting).filter_map(|setting| setting.variable).collect()
}

/// Tables of accounts in older databases.
pub fn tables() -> Vec<Table> {
    systems().into_iter().flat_map(|system| system.table).collect()
}
