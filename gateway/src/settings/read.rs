//! From merged layers to types. Every section is read to its end, so that all mistakes show at once.

use super::{
    Basic, LogFormat, Onboarding, Pool, Problem, Settings, SettingsError, Sources, Strategy, Upstream,
    first_run::random_key, layers::Layers, providers, section::Section, usage,
};
use pollux_sdk::Secret;
use std::net::IpAddr;

pub(super) fn settings(layers: &Layers, sources: Sources<'_>) -> Result<Settings, SettingsError> {
    let mut problems = layers.problems.clone();
    let mut notes = layers.notes.clone();
    let basic = basic(layers, sources, &mut problems, &mut notes);
    let pool = pool(layers, sources.linked, &mut problems);
    let upstream = upstream(layers, &mut problems);
    let usage = usage::read(layers, &mut problems);
    let providers = providers::read(layers, sources.linked, &mut problems);
    match (basic, pool, upstream, usage) {
        (Some(basic), Some(pool), Some(upstream), Some(usage)) if problems.is_empty() => {
            let news = layers.news.clone();
            Ok(Settings { basic, pool, upstream, usage, providers, notes, news })
        }
        _ => Err(SettingsError { problems }),
    }
}

fn basic(
    layers: &Layers,
    sources: Sources<'_>,
    problems: &mut Vec<Problem>,
    notes: &mut Vec<String>,
) -> Option<Basic> {
    let file = sources.file.display().to_string();
    let mut section = Section::open(&layers.merged, "basic").only(&layers.defaults);
    let listen_addr =
        section.parsed("listen_addr", "an IP address such as 0.0.0.0 or ::", |text| text.parse().ok());
    let listen_port = section.integer("listen_port", 0, 65_535);
    let database_url = section.database_url("database_url");
    let loglevel = section.loglevel("loglevel");
    let log_format = section.one_of("log_format", &[("text", LogFormat::Text), ("json", LogFormat::Json)]);
    let local = section.boolean("local");
    if local == Some(true) && listen_addr.is_some_and(|address: IpAddr| !address.is_loopback()) {
        let place = section.origin("local").unwrap_or("defaults").to_owned();
        let message = "true admits callers without a key, so listen_addr must be 127.0.0.1 or ::1";
        section.report(&place, "local", message);
    }
    let root_aliases = section.boolean("root_aliases");
    let pollux_key = pollux_key(&mut section, &file, layers, local == Some(true));
    let admin_key = admin_key(&mut section, &file, local == Some(true), notes);
    let insecure_cookie = section.boolean("insecure_cookie");
    let public_status = section.boolean("public_status");
    let public_url = section.public_url("public_url");
    let onboarding = section.one_of("onboarding", &[("open", Onboarding::Open), ("key", Onboarding::Key)]);
    let trusted_proxies = section.networks("trusted_proxies");
    let body_limit = section.size("body_limit");
    let key_file = section.path("key_file");
    let workers = section.workers("workers");
    let shutdown_grace = section.duration("shutdown_grace", true);

    let replicated = database_url.as_ref().is_some_and(|url| !url.starts_with("sqlite:"));
    if replicated && key_file.is_none() && !sources.environment.has_value("POLLUX_SEALING_KEY") {
        let message = "missing; expected a path, or POLLUX_SEALING_KEY in the environment, as the database is PostgreSQL";
        section.report(&file, "key_file", message);
    }
    section.close(problems);
    Some(Basic {
        listen_addr: listen_addr?,
        listen_port: u16::try_from(listen_port?).ok()?,
        database_url: database_url?,
        loglevel: loglevel?,
        log_format: log_format?,
        pollux_key: pollux_key?,
        admin_key,
        local: local?,
        root_aliases: root_aliases?,
        insecure_cookie: insecure_cookie?,
        public_status: public_status?,
        public_url,
        onboarding: onboarding?,
        trusted_proxies: trusted_proxies?,
        body_limit: body_limit?,
        key_file,
        workers: workers?,
        shutdown_grace: shutdown_grace?,
    })
}

fn pollux_key(section: &mut Section<'_>, file: &str, layers: &Layers, local: bool) -> Option<Secret> {
    const EXPECTED: &str = "the key that clients send";
    if section.origin("pollux_key").is_some() {
        return section.secret("pollux_key", EXPECTED);
    }
    if local {
        // Nobody has to know it.
        return Some(Secret::new(random_key("pk")));
    }
    let missing = match &layers.key_hint {
        Some(hint) => format!("missing; {hint}"),
        None if layers.file_exists => format!("missing; expected {EXPECTED}"),
        None => format!("missing, as there is no such file (`pollux serve` writes one); expected {EXPECTED}"),
    };
    section.report(file, "pollux_key", &missing);
    None
}

/// Configuration files from before there was an admin API have no such key, so its absence is no mistake.
fn admin_key(section: &mut Section<'_>, file: &str, local: bool, notes: &mut Vec<String>) -> Option<Secret> {
    if section.origin("admin_key").is_some() {
        return section.secret("admin_key", "the key of the admin API, or no such line to switch it off");
    }
    if !local {
        notes.push(format!("the admin API is off: {file} has no admin_key in [basic]"));
    }
    None
}

fn pool(layers: &Layers, linked: &[&str], problems: &mut Vec<Problem>) -> Option<Pool> {
    let mut section = Section::open(&layers.merged, "pool").only(&layers.defaults);
    let strategy = section.one_of(
        "strategy",
        &[
            ("balanced", Strategy::Balanced),
            ("round_robin", Strategy::RoundRobin),
            ("fill_first", Strategy::FillFirst),
            ("soonest_reset", Strategy::SoonestReset),
        ],
    );
    let acquire_timeout = section.duration("acquire_timeout", false);
    let session_ttl = section.duration("session_ttl", false);
    let order = section.order("order", linked);
    let credentials_dirs = section.paths("credentials_dirs");
    let write_back = section.boolean("write_back");
    let refresh = section.boolean("refresh");
    let groups = section.groups("groups");
    section.close(problems);
    Some(Pool {
        strategy: strategy?,
        acquire_timeout: acquire_timeout?,
        session_ttl: session_ttl?,
        order: order?,
        credentials_dirs: credentials_dirs?,
        write_back: write_back?,
        refresh: refresh?,
        groups: groups?,
    })
}

fn upstream(layers: &Layers, problems: &mut Vec<Problem>) -> Option<Upstream> {
    let mut section = Section::open(&layers.merged, "upstream").only(&layers.defaults);
    let connect_timeout = section.duration("connect_timeout", false);
    let response_timeout = section.duration("response_timeout", false);
    let stream_idle_timeout = section.duration("stream_idle_timeout", false);
    let socket_idle_timeout = section.duration("socket_idle_timeout", false);
    let socket_ping_interval = section.duration("socket_ping_interval", false);
    section.close(problems);
    Some(Upstream {
        connect_timeout: connect_timeout?,
        response_timeout: response_timeout?,
        stream_idle_timeout: stream_idle_timeout?,
        socket_idle_timeout: socket_idle_timeout?,
        socket_ping_interval: socket_ping_interval?,
    })
}
