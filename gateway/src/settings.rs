//! What the operator decides: defaults, then `config.toml`, then the environment, read into types once at start.

mod environment;
mod first_run;
mod layers;
mod legacy;
mod problem;
mod providers;
mod read;
mod section;
mod show;
mod units;
mod usage;

pub use crate::pool::Strategy;
use crate::usage::{Keep, PriceList, Subscriptions};
pub use environment::Environment;
pub use first_run::welcome;
pub use legacy::{Table as LegacyTable, tables as legacy_tables};
pub use problem::{Problem, SettingsError};
pub use providers::ProviderSettings;

use ipnet::IpNet;
use layers::Layers;
use pollux_sdk::Secret;
use std::{
    collections::BTreeMap,
    fmt,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

/// Everything that can be set.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The server itself.
    pub basic: Basic,
    /// Choosing accounts.
    pub pool: Pool,
    /// Waiting for vendors.
    pub upstream: Upstream,
    /// Recording what was used.
    pub usage: Usage,
    /// One entry per linked provider, enabled or not.
    pub providers: BTreeMap<String, ProviderSettings>,
    /// What the operator should know at start though it is no error.
    pub notes: Vec<String>,
    /// What was understood of an older system's settings.
    pub news: Vec<String>,
}

/// `[basic]`.
#[expect(clippy::struct_excessive_bools, reason = "each is a key of its own in the file")]
#[derive(Clone)]
pub struct Basic {
    /// Address to listen on.
    pub listen_addr: IpAddr,
    /// Port to listen on; 0 is a free one.
    pub listen_port: u16,
    /// `sqlite:` or `postgres:`; may hold a password.
    pub database_url: String,
    /// Tracing directives.
    pub loglevel: String,
    /// How log lines look.
    pub log_format: LogFormat,
    /// What clients send.
    pub pollux_key: Secret,
    /// What the admin API wants; `None` switches it off.
    pub admin_key: Option<Secret>,
    /// Whether programs of this machine need no key.
    pub local: bool,
    /// Whether providers show at the root beside their prefixes.
    pub root_aliases: bool,
    /// Whether login cookies travel over plain HTTP.
    pub insecure_cookie: bool,
    /// Whether `/metrics` and `/status` are for everybody.
    pub public_status: bool,
    /// Without a trailing slash.
    pub public_url: Option<String>,
    /// Who may connect accounts.
    pub onboarding: Onboarding,
    /// Whose `X-Forwarded-For` counts.
    pub trusted_proxies: Vec<IpNet>,
    /// The largest request body after decoding, in bytes.
    pub body_limit: usize,
    /// The sealing key, where it is not beside the SQLite file.
    pub key_file: Option<PathBuf>,
    /// Threads that serve requests, at least one.
    pub workers: usize,
    /// How long streams may go on after SIGTERM.
    pub shutdown_grace: Duration,
}

/// `[pool]`.
#[derive(Debug, Clone)]
pub struct Pool {
    /// How the next account is chosen.
    pub strategy: Strategy,
    /// How long a request waits for an account.
    pub acquire_timeout: Duration,
    /// How long an idle session keeps its account.
    pub session_ttl: Duration,
    /// Ids of providers, the preferred first, where several serve one path.
    pub order: Vec<String>,
    /// Folders of credential files.
    pub credentials_dirs: Vec<PathBuf>,
    /// Whether renewed tokens go back into the files they came from.
    pub write_back: bool,
    /// Whether tokens are renewed.
    pub refresh: bool,
    /// Models that rest together.
    pub groups: Vec<Group>,
}

/// `[[pool.groups]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// For people.
    pub name: String,
    /// At least one; none of them is in another group.
    pub models: Vec<String>,
}

/// `[upstream]`.
#[derive(Debug, Clone)]
pub struct Upstream {
    /// Until a connection stands.
    pub connect_timeout: Duration,
    /// Until an answer in one piece is complete.
    pub response_timeout: Duration,
    /// The longest silence within a stream.
    pub stream_idle_timeout: Duration,
    /// The longest time a socket may be idle.
    pub socket_idle_timeout: Duration,
    /// Between two pings of a socket's ends.
    pub socket_ping_interval: Duration,
}

/// `[usage]`.
#[derive(Debug, Clone)]
pub struct Usage {
    /// Whether it is recorded.
    pub enabled: bool,
    /// How long it is kept.
    pub keep: Keep,
    /// What tokens cost.
    pub prices: PriceList,
    /// What plans cost.
    pub subscriptions: Subscriptions,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For collectors.
    Json,
}

/// Who may connect accounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Onboarding {
    /// Anyone; accounts from public addresses wait for approval.
    Open,
    /// Who knows the key.
    Key,
}

/// Where settings come from.
#[derive(Debug, Clone, Copy)]
pub struct Sources<'a> {
    /// The configuration file; it need not exist.
    pub file: &'a Path,
    /// The environment.
    pub environment: &'a Environment,
    /// Ids of the linked providers.
    pub linked: &'a [&'static str],
}

impl Settings {
    /// Reads all sources. A missing file is an empty one.
    ///
    /// # Errors
    /// Names every key that is wrong, and where it stands.
    pub fn load(sources: Sources<'_>) -> Result<Self, SettingsError> {
        read::settings(&Layers::read(sources)?, sources)
    }

    /// As `load`, but writes a first configuration file where there is none and the environment gives no key.
    /// Also says whether it did; then `welcome` has something to tell.
    ///
    /// # Errors
    /// As `load`, and where the file cannot be written.
    pub fn start(sources: Sources<'_>) -> Result<(Self, bool), SettingsError> {
        let created = first_run::write_missing(sources)?;
        let layers = Layers::read(sources)?;
        let settings = read::settings(&layers, sources)?;
        first_run::make_folder(&layers)?;
        Ok((settings, created))
    }

    /// Each value and where it came from, secrets masked.
    ///
    /// # Errors
    /// Fails where a source cannot be read at all.
    pub fn show(sources: Sources<'_>) -> Result<String, SettingsError> {
        Ok(show::render(&Layers::read(sources)?))
    }

    /// Where a process on this machine reaches the server.
    pub fn local_address(&self) -> SocketAddr {
        let address = match self.basic.listen_addr {
            IpAddr::V4(address) if address.is_unspecified() => IpAddr::from([127, 0, 0, 1]),
            IpAddr::V6(address) if address.is_unspecified() => IpAddr::from(std::net::Ipv6Addr::LOCALHOST),
            address => address,
        };
        SocketAddr::new(address, self.basic.listen_port)
    }
}

impl fmt::Debug for Basic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Basic")
            .field("listen_addr", &self.listen_addr)
            .field("listen_port", &self.listen_port)
            .field("database_url", &show::without_userinfo(&self.database_url))
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
