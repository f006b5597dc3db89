//! Numbers for Prometheus. Names and labels are part of the operator's contract: change them with care.

mod recent;

use crate::{pool::Standing, relay::Service};
use pollux_sdk::{Effect, Next, Scope, Usage, Verdict};
use prometheus::{
    Encoder, GaugeVec, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGaugeVec, Opts, Registry,
    TextEncoder,
};
use recent::Recent;
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, SystemTime},
};

/// From a cache hit to the longest answer.
const SECONDS: [f64; 12] = [0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0];

/// Everything that is counted.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    seconds: HistogramVec,
    first_byte: HistogramVec,
    attempts: IntCounterVec,
    verdicts: IntCounterVec,
    cooldowns: IntCounterVec,
    waits: HistogramVec,
    refreshes: IntCounterVec,
    tokens: IntCounterVec,
    sockets: IntCounterVec,
    in_flight: IntGaugeVec,
    busy: IntGaugeVec,
    resting: IntGaugeVec,
    accounts: IntGaugeVec,
    quota: GaugeVec,
    usage_lost: IntCounter,
    recent: Recent,
}

impl Metrics {
    /// All at zero.
    ///
    /// # Errors
    /// Fails where two have one name, which a test would show.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let counter = |name: &str, help: &str, labels: &[&str]| {
            let counter = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(counter.clone())).map(|()| counter)
        };
        let histogram = |name: &str, help: &str| {
            let options = HistogramOpts::new(name, help).buckets(SECONDS.into());
            let histogram = HistogramVec::new(options, &["provider"])?;
            registry.register(Box::new(histogram.clone())).map(|()| histogram)
        };
        let gauge = |name: &str, help: &str, labels: &[&str]| {
            let gauge = IntGaugeVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(gauge.clone())).map(|()| gauge)
        };
        let quota = GaugeVec::new(
            Opts::new("pollux_quota_used_ratio", "Used share of a quota window, 0 to 1; absent is unknown."),
            &["provider", "account", "window"],
        )?;
        registry.register(Box::new(quota.clone()))?;
        let usage_lost = IntCounter::new(
            "pollux_usage_records_lost_total",
            "Requests whose use could not be recorded, as too many waited for the database.",
        )?;
        registry.register(Box::new(usage_lost.clone()))?;
        let sockets = counter(
            "pollux_websocket_closes_total",
            "WebSockets closed, by who ended them and with which code.",
            &["provider", "by", "code"],
        )?;
        Ok(Self {
            requests: counter(
                "pollux_requests_total",
                "Requests answered, by the status told to the client.",
                &["provider", "dialect", "status"],
            )?,
            seconds: histogram(
                "pollux_request_seconds",
                "Time from a request's head to its answer's last byte.",
            )?,
            first_byte: histogram(
                "pollux_first_byte_seconds",
                "Time from a request's head to its answer's first byte.",
            )?,
            attempts: counter(
                "pollux_attempts_total",
                "Attempts at upstream, by how they ended: served or failed.",
                &["provider", "outcome"],
            )?,
            verdicts: counter(
                "pollux_verdicts_total",
                "Failed attempts, by what follows for the request and for the account.",
                &["provider", "next", "effect"],
            )?,
            cooldowns: counter(
                "pollux_cooldowns_total",
                "Accounts sent to rest, whole or for one model.",
                &["provider", "scope"],
            )?,
            waits: histogram("pollux_queue_wait_seconds", "Time a request waited for an account.")?,
            refreshes: counter(
                "pollux_refreshes_total",
                "Tokens refreshed, or not.",
                &["provider", "outcome"],
            )?,
            tokens: counter(
                "pollux_tokens_total",
                "Tokens as vendors counted them; cached and reasoning ones are parts of input and output.",
                &["provider", "kind"],
            )?,
            sockets,
            in_flight: gauge("pollux_requests_in_flight", "Requests whose last byte has not left.", &[])?,
            busy: gauge(
                "pollux_account_requests_in_flight",
                "Requests that hold an account.",
                &["provider", "account"],
            )?,
            resting: gauge(
                "pollux_cooldowns_active",
                "Accounts at rest now, whole or for one model.",
                &["provider", "scope"],
            )?,
            accounts: gauge(
                "pollux_accounts",
                "Accounts of the pool, by what they could do now.",
                &["provider", "state"],
            )?,
            quota,
            usage_lost,
            recent: Recent::default(),
            registry,
        })
    }

    /// A request has ended.
    pub fn request(
        &self,
        provider: &str,
        dialect: &str,
        status: u16,
        total: Duration,
        first: Option<Duration>,
    ) {
        self.requests.with_label_values(&[provider, dialect, &status.to_string()]).inc();
        self.seconds.with_label_values(&[provider]).observe(total.as_secs_f64());
        if let Some(first) = first {
            self.first_byte.with_label_values(&[provider]).observe(first.as_secs_f64());
        }
    }

    /// An attempt was served.
    pub fn served(&self, provider: &str) {
        self.attempts.with_label_values(&[provider, "served"]).inc();
    }

    /// An attempt failed, and this was made of it.
    pub fn failed(&self, provider: &str, verdict: &Verdict) {
        let word = match verdict.next {
            Next::Deliver => "deliver",
            Next::Rotate => "rotate",
            Next::Again(_) => "again",
        };
        let effect = match verdict.effect {
            Effect::None => "none",
            Effect::Cool(Scope::Model, _) => "cool_model",
            Effect::Cool(..) => "cool_account",
            Effect::Refresh => "refresh",
            Effect::Suspend(_) => "suspend",
            Effect::DropModel => "drop_model",
            _ => "other",
        };
        self.attempts.with_label_values(&[provider, "failed"]).inc();
        self.verdicts.with_label_values(&[provider, word, effect]).inc();
        if let Effect::Cool(scope, _) = verdict.effect {
            let scope = if scope == Scope::Model { "model" } else { "account" };
            self.cooldowns.with_label_values(&[provider, scope]).inc();
        }
    }

    /// A request has got its account, or given up.
    pub fn waited(&self, provider: &str, time: Duration) {
        self.waits.with_label_values(&[provider]).observe(time.as_secs_f64());
    }

    /// A WebSocket of a client has ended.
    pub fn socket_closed(&self, provider: &str, by: &str, code: u16) {
        // Anybody may invent a code of his own; each would be a series for ever.
        let code = if (1000..1016).contains(&code) { code.to_string() } else { "other".to_owned() };
        self.sockets.with_label_values(&[provider, by, &code]).inc();
    }

    /// Something went wrong. `what` is of our own words: it is told to everybody.
    pub fn trouble(&self, provider: &str, what: impl std::fmt::Display) {
        self.recent.note(format!("{provider}: {what}"), SystemTime::now());
    }

    /// The last troubles, newest first.
    pub fn recent_errors(&self) -> Vec<String> {
        self.recent.told()
    }

    /// A refresh has ended: `fresh`, `overtaken`, `later` or `dead`.
    pub fn refreshed(&self, provider: &str, outcome: &str) {
        if matches!(outcome, "later" | "dead") {
            self.trouble(provider, format_args!("a refresh came to nothing ({outcome})"));
        }
        self.refreshes.with_label_values(&[provider, outcome]).inc();
    }

    /// An answer's tokens.
    pub fn tokens(&self, provider: &str, usage: &Usage) {
        for (kind, count) in [
            ("input", Some(usage.input)),
            ("cache_read", usage.cache_read),
            ("cache_write", usage.cache_write),
            ("output", Some(usage.output)),
            ("reasoning", usage.reasoning),
        ] {
            self.tokens.with_label_values(&[provider, kind]).inc_by(count.unwrap_or(0));
        }
    }

    /// The use of a request could not be recorded.
    pub fn usage_lost(&self) {
        self.usage_lost.inc();
    }

    /// How many were lost so.
    pub fn usage_records_lost(&self) -> u64 {
        self.usage_lost.get()
    }

    /// The text of a scrape. What stands in the pools is read now.
    pub fn render(&self, services: &[Arc<Service>], in_flight: usize) -> Vec<u8> {
        self.in_flight.with_label_values::<&str>(&[]).set(i64::try_from(in_flight).unwrap_or(i64::MAX));
        for gauge in [&self.accounts, &self.busy, &self.resting] {
            gauge.reset();
        }
        self.quota.reset();
        let now = SystemTime::now();
        for service in services {
            // A series that is not there yet is no zero to whoever counts.
            self.sockets.with_label_values(&[service.id(), "client", "1000"]);
            let mut counts: BTreeMap<&str, i64> = BTreeMap::new();
            for (held, standing) in service.pool.standings(now) {
                *counts.entry(word(standing)).or_default() += 1;
                let id = held.id.to_string();
                let runtime = service.pool.runtime_of(held.id, now);
                if runtime.in_flight > 0 {
                    self.busy.with_label_values(&[service.id(), &id]).set(runtime.in_flight.into());
                }
                for (model, _) in &runtime.cooldowns {
                    let scope = if model.is_some() { "model" } else { "account" };
                    self.resting.with_label_values(&[service.id(), scope]).inc();
                }
                for window in runtime.quota.windows {
                    let Some(used) = window.used else { continue };
                    let hours = window.length.map_or(0, |length| length.as_secs() / 3600);
                    let name =
                        window.model.map_or_else(|| format!("{hours}h"), |model| format!("{hours}h {model}"));
                    self.quota.with_label_values(&[service.id(), &id, &name]).set(used);
                }
            }
            for (state, count) in counts {
                self.accounts.with_label_values(&[service.id(), state]).set(count);
            }
        }
        let mut text = Vec::new();
        if let Err(error) = TextEncoder::new().encode(&self.registry.gather(), &mut text) {
            tracing::error!(%error, "metrics not encoded");
        }
        text
    }
}

fn word(standing: Standing) -> &'static str {
    match standing {
        Standing::Ready => "ready",
        Standing::Busy => "busy",
        Standing::Refreshing | Standing::Expired => "refreshing",
        Standing::Cooling(_) => "cooling",
        Standing::Unserved | Standing::Disabled | Standing::Tried => "off",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_family_has_help_and_type() {
        let metrics = Metrics::new().unwrap();
        metrics.request("p", "chat", 200, Duration::from_secs(1), Some(Duration::from_millis(3)));
        metrics.failed("p", &Verdict::cool(Scope::Model, SystemTime::UNIX_EPOCH));
        metrics.tokens("p", &Usage { input: 3, ..Usage::default() });
        let text = String::from_utf8(metrics.render(&[], 2)).unwrap();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let name = line.split(['{', ' ']).next().unwrap();
            let family =
                ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
            assert!(text.contains(&format!("# HELP {family} ")), "{line}");
            assert!(text.contains(&format!("# TYPE {family} ")), "{line}");
        }
        assert!(
            text.contains(r#"pollux_requests_total{dialect="chat",provider="p",status="200"} 1"#),
            "{text}"
        );
        assert!(text.contains(r#"pollux_cooldowns_total{provider="p",scope="model"} 1"#), "{text}");
        assert!(text.contains("pollux_requests_in_flight 2"), "{text}");
        assert!(
            text.contains(r#"pollux_verdicts_total{effect="cool_model",next="rotate",provider="p"} 1"#),
            "{text}"
        );
        assert!(text.contains(r#"pollux_attempts_total{outcome="failed",provider="p"} 1"#), "{text}");
    }

    #[test]
    fn strangers_cannot_invent_series() {
        let metrics = Metrics::new().unwrap();
        for code in [1000, 1012, 999, 1016, 3000, 4999, u16::MAX] {
            metrics.socket_closed("p", "client", code);
        }
        let text = String::from_utf8(metrics.render(&[], 0)).unwrap();
        let closes: Vec<&str> =
            text.lines().filter(|line| line.starts_with("pollux_websocket_closes_total")).collect();
        assert_eq!(
            closes,
            [
                r#"pollux_websocket_closes_total{by="client",code="1000",provider="p"} 1"#,
                r#"pollux_websocket_closes_total{by="client",code="1012",provider="p"} 1"#,
                r#"pollux_websocket_closes_total{by="client",code="other",provider="p"} 5"#,
            ]
        );
    }
}
