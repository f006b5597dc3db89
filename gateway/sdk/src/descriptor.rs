use crate::{Dialect, Endpoint, Login, Operation};
use serde_json::Value;

/// What a provider is. The host builds routes, login pages, header filters and the models list from it.
#[derive(Debug, Clone)]
pub struct Descriptor {
    /// Id: path prefix, configuration section, database column.
    pub id: &'static str,
    /// Name for people.
    pub title: &'static str,
    /// What its users call such accounts in lists and files: `codex`, `gemini`, `claude`. Providers of one family
    /// share it.
    pub kind: &'static str,
    /// The languages it speaks upstream, the preferred first. Their whole surface is mounted under `/{id}`.
    pub dialects: &'static [Dialect],
    /// Operations it supports; the others of the dialect answer 501.
    pub operations: &'static [Operation],
    /// Models offered; empty where every model that upstream takes is. Then lists show those of the surveys.
    pub models: Vec<Model>,
    /// Bases outside `/{id}` at which the surface of its dialects also appears when root aliases are on.
    pub aliases: &'static [Alias],
    /// The vendor's own routes, mounted under `/{id}` and, with aliases, at the root.
    pub endpoints: Vec<Endpoint>,
    /// Request headers that may go upstream (`x-codex-*` is a prefix). All others never reach `prepare`.
    pub request_headers: &'static [&'static str],
    /// Reply headers that may go back to the client.
    pub reply_headers: &'static [&'static str],
    /// Browser login, if there is one.
    pub login: Option<Login>,
    /// Whether a refresh token dies with its first use. Then an unknown outcome of a refresh ends in
    /// `refresh_unknown` instead of a repetition.
    pub single_use_refresh: bool,
}

/// A base at the root for the surface of a provider's dialects, version segment included: `/v1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alias {
    /// Nobody else may serve a path there.
    Own(&'static str),
    /// Others that say the same may serve the same paths. A request goes by its model to the first of `[pool] order`
    /// that has a usable account; lists tell the models of all, in the language of who asks.
    Shared(&'static str),
}

impl Alias {
    /// The base.
    pub const fn base(self) -> &'static str {
        match self {
            Self::Own(base) | Self::Shared(base) => base,
        }
    }
}

/// A model as lists show it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Model {
    /// Id.
    pub id: String,
    /// The vendor's own catalogue entry, for lists in the vendor's shape.
    pub entry: Value,
}

impl Model {
    /// A model of which only the id is known.
    pub fn named(id: impl Into<String>) -> Self {
        Self { id: id.into(), entry: Value::Null }
    }
}
