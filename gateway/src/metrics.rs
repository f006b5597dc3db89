//! Numbers for Prometheus. Names and labels are part of the operator's contract: change them with care.

use crate::{pool::Standing, relay::Service};
use pollux_sdk::{Effect, Next, Scope, Usage, Verdict};
use prometheus::{
    Encoder, GaugeVec, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGaugeVec, Opts, Registry,
    TextEncoder,
};
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
    cooldowns: IntCounterVec,
    waits: HistogramVec,
    refreshes: IntCounterVec,
    tokens: IntCounterVec,
    in_flight: IntGaugeVec,
    accounts: IntGaugeVec,
    quota: GaugeVec,
    usage_lost: IntCounter,
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
                "Attempts at upstream, by what the provider made of them.",
                &["provider", "verdict"],
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
            in_flight: gauge("pollux_requests_in_flight", "Requests whose last byte has not left.", &[])?,
            accounts: gauge(
                "pollux_accounts",
                "Accounts of the pool, by what they could do now.",
                &["provider", "state"],
            )?,
            quota,
            usage_lost,
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
        self.attempts.with_label_values(&[provider, word]).inc();
        if let Effect::Cool(scope, _) = verdict.effect {
            let scope = if scope == Scope::Model { "model" } else { "account" };
            self.cooldowns.with_label_values(&[provider, scope]).inc();
        }
    }

    /// A request has got its account, or given up.
    pub fn waited(&self, provider: &str, time: Duration) {
        self.waits.with_label_values(&[provider]).observe(time.as_secs_f64());
    }

    /// A refresh has ended: `fresh`, `later` or `dead`.
    pub fn refreshed(&self, provider: &str, outcome: &str) {
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
        self.accounts.reset();
        self.quota.reset();
        let now = SystemTime::now();
        for service in services {
            let mut counts: BTreeMap<&str, i64> = BTreeMap::new();
            for (held, standing) in service.pool.standings(now) {
                *counts.entry(word(standing)).or_default() += 1;
                for window in service.pool.quota_of(held.id, now).windows {
                    let Some(used) = window.used else { continue };
                    let hours = window.length.map_or(0, |length| length.as_secs() / 3600);
                    let name =
                        window.model.map_or_else(|| format!("{hours}h"), |model| format!("{hours}h {model}"));
                    self.quota.with_label_values(&[service.id(), &held.id.to_string(), &name]).set(used);
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
        metrics.request("p", "gemini", 200, Duration::from_secs(1), Some(Duration::from_millis(3)));
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
            text.contains(r#"pollux_requests_total{dialect="gemini",provider="p",status="200"} 1"#),
            "{text}"
        );
        assert!(text.contains(r#"pollux_cooldowns_total{provider="p",scope="model"} 1"#), "{text}");
        assert!(text.contains("pollux_requests_in_flight 2"), "{text}");
    }
}
