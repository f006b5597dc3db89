//! From the end of a request's story to a row. It waits for nobody: what cannot be taken in at once is counted as lost.

use super::{
    OWNER,
    cost::{PriceList, cost},
};
use crate::{
    metrics::Metrics,
    store::{Outcome, UsageRow},
};
use pollux_sdk::Usage;
use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::sync::mpsc;

/// Answers of nobody's model are longer; what a broken vendor counts must not overflow a sum.
const MOST_TOKENS: u64 = 1_000_000_000_000;
/// Of a name in a row.
const LONGEST_NAME: usize = 128;

/// What a story tells when it is over.
#[derive(Debug, Clone, Copy)]
pub struct Used<'a> {
    /// `x-request-id`.
    pub request_id: &'a str,
    /// Whose key it came with; `None` is the owner's.
    pub key: Option<&'a str>,
    /// Provider id.
    pub provider: &'a str,
    /// The account that served, or was tried last.
    pub account: Option<i64>,
    /// Model asked for.
    pub model: &'a str,
    /// Language of the route; empty where it speaks none.
    pub dialect: &'a str,
    /// A list or a side call.
    pub aside: bool,
    /// Status told to the client; 0 is none.
    pub status: u16,
    /// How it ended, in one word.
    pub verdict: &'a str,
    /// Attempts made.
    pub attempts: u32,
    /// Until the first byte for the client was there.
    pub first_byte: Option<Duration>,
    /// Until the end.
    pub duration: Duration,
    /// Tokens, where the vendor told them.
    pub usage: Option<Usage>,
}

/// Takes in what requests used.
#[derive(Debug)]
pub struct Recorder {
    /// `None`: nothing is recorded.
    inbox: Option<mpsc::Sender<UsageRow>>,
    prices: PriceList,
    metrics: Arc<Metrics>,
}

impl Recorder {
    /// Hands rows to `inbox`.
    pub fn new(inbox: Option<mpsc::Sender<UsageRow>>, prices: PriceList, metrics: Arc<Metrics>) -> Self {
        Self { inbox, prices, metrics }
    }

    /// Whether anything is recorded.
    pub fn is_on(&self) -> bool {
        self.inbox.is_some()
    }

    /// Takes in one request. Never waits.
    pub fn note(&self, used: &Used<'_>) {
        let Some(inbox) = self.inbox.as_ref().filter(|_| counts(used)) else { return };
        if inbox.try_send(row(used, &self.prices, SystemTime::now())).is_err() {
            self.metrics.usage_lost();
        }
    }
}

/// Whether it is a request to a model: who does not know a key asks for nothing, what Pollux answers by itself uses
/// nothing, and a socket is not a request but carries some, or is asked to come as plain HTTP.
fn counts(used: &Used<'_>) -> bool {
    !used.dialect.is_empty()
        && !used.aside
        && !matches!(used.status, 101 | 426)
        && used.verdict != "unauthorized"
}

fn row(used: &Used<'_>, prices: &PriceList, now: SystemTime) -> UsageRow {
    let usage = used.usage.map(bounded);
    let tokens = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    // A name that is nobody's is the client's own text, and would be a line of its own in every sum.
    let known = !used.model.is_empty() && used.verdict != "unknown_model";
    UsageRow {
        id: 0,
        request_id: used.request_id.to_owned(),
        at: now.checked_sub(used.duration).unwrap_or(now),
        key: used.key.unwrap_or(OWNER).to_owned(),
        provider: used.provider.to_owned(),
        account: used.account,
        model: known.then(|| plain(used.model)),
        dialect: used.dialect.to_owned(),
        status: (used.status != 0).then_some(used.status),
        verdict: used.verdict.to_owned(),
        outcome: outcome(used.status, used.verdict),
        attempts: used.attempts,
        first_byte: used.first_byte,
        duration: used.duration,
        input: usage.map(|usage| tokens(usage.input)),
        cache_read: usage.and_then(|usage| usage.cache_read).map(tokens),
        cache_write: usage.and_then(|usage| usage.cache_write).map(tokens),
        output: usage.map(|usage| tokens(usage.output)),
        reasoning: usage.and_then(|usage| usage.reasoning).map(tokens),
        cost: usage.and_then(|usage| Some(cost(&usage, prices.find(used.model)?))),
    }
}

/// A stream may fail after its 200.
fn outcome(status: u16, verdict: &str) -> Outcome {
    match verdict {
        "client_gone" => Outcome::Abandoned,
        "failed" | "broken" => Outcome::Failed,
        _ if (200..400).contains(&status) => Outcome::Ok,
        _ => Outcome::Failed,
    }
}

fn bounded(usage: Usage) -> Usage {
    let most = |count: u64| count.min(MOST_TOKENS);
    Usage {
        input: most(usage.input),
        cache_read: usage.cache_read.map(most),
        cache_write: usage.cache_write.map(most),
        output: most(usage.output),
        reasoning: usage.reasoning.map(most),
    }
}

/// No database takes every character.
fn plain(name: &str) -> String {
    name.chars().take(LONGEST_NAME).map(|c| if c.is_control() { '?' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::usage::prices;

    fn used() -> Used<'static> {
        Used {
            request_id: "r",
            key: None,
            provider: "p",
            account: Some(3),
            model: "gpt-5.5",
            dialect: "responses",
            aside: false,
            status: 200,
            verdict: "streamed",
            attempts: 2,
            first_byte: Some(Duration::from_millis(5)),
            duration: Duration::from_mins(1),
            usage: Some(Usage { input: 1000, output: 100, cache_read: Some(500), ..Usage::default() }),
        }
    }

    fn row(used: &Used<'_>) -> UsageRow {
        super::row(used, &prices::compiled().0, SystemTime::UNIX_EPOCH + Duration::from_secs(100))
    }

    #[test]
    fn what_nobody_told_stays_unknown() {
        let whole = row(&used());
        assert_eq!(whole.at, SystemTime::UNIX_EPOCH + Duration::from_secs(40), "when it began");
        assert_eq!((whole.cache_read, whole.cache_write, whole.reasoning), (Some(500), None, None));
        assert_eq!(whole.cost, Some(500 * 5000 + 500 * 500 + 100 * 30_000));
        assert_eq!(whole.key, OWNER);
        let silent = row(&Used { usage: None, status: 0, account: None, ..used() });
        assert_eq!((silent.input, silent.output, silent.cost), (None, None, None));
        assert_eq!((silent.status, silent.account), (None, None));
        assert_eq!(row(&Used { model: "free-but-unknown", ..used() }).cost, None);
    }

    #[tokio::test]
    async fn what_nobody_can_take_in_is_counted_and_waits_for_nobody() {
        let metrics = Arc::new(Metrics::new().unwrap());
        let (sender, mut inbox) = mpsc::channel(2);
        let recorder = Recorder::new(Some(sender), prices::compiled().0, Arc::clone(&metrics));
        for _ in 0..5 {
            recorder.note(&used());
        }
        assert_eq!((inbox.len(), metrics.usage_records_lost()), (2, 3));
        assert!(inbox.recv().await.is_some());
        recorder.note(&used());
        assert_eq!((inbox.len(), metrics.usage_records_lost()), (2, 3));
        let off = Recorder::new(None, PriceList::default(), Arc::clone(&metrics));
        off.note(&used());
        assert_eq!((off.is_on(), metrics.usage_records_lost()), (false, 3), "what nobody wants is not lost");
    }

    #[test]
    fn an_ending_is_what_the_client_saw() {
        for (status, verdict, expected) in [
            (200, "served", Outcome::Ok),
            (200, "streamed", Outcome::Ok),
            (200, "failed", Outcome::Failed),
            (200, "broken", Outcome::Failed),
            (200, "client_gone", Outcome::Abandoned),
            (0, "client_gone", Outcome::Abandoned),
            (429, "exhausted", Outcome::Failed),
            (503, "draining", Outcome::Failed),
        ] {
            assert_eq!(outcome(status, verdict), expected, "{status} {verdict}");
        }
    }

    #[test]
    fn only_requests_to_models_are_recorded() {
        for (one, expected) in [
            (used(), true),
            (Used { verdict: "exhausted", status: 429, ..used() }, true),
            (Used { verdict: "bad_body", status: 400, ..used() }, true),
            (Used { verdict: "unauthorized", status: 401, ..used() }, false),
            (Used { aside: true, verdict: "local", ..used() }, false),
            (Used { dialect: "", ..used() }, false),
            (Used { status: 101, ..used() }, false),
            (Used { status: 426, verdict: "no_socket", ..used() }, false),
        ] {
            assert_eq!(counts(&one), expected, "{one:?}");
        }
    }

    #[test]
    fn clients_texts_are_bounded_and_unknown_models_are_nobodys() {
        let odd = format!("a\0\n{}", "b".repeat(1000));
        let model = row(&Used { model: &odd, ..used() }).model.unwrap();
        assert!(model.starts_with("a??b") && model.chars().count() == LONGEST_NAME);
        assert_eq!(row(&Used { verdict: "unknown_model", ..used() }).model, None);
    }

    #[test]
    fn a_vendor_that_counts_wildly_overflows_nothing() {
        let usage =
            Usage { input: u64::MAX, output: u64::MAX, reasoning: Some(u64::MAX), ..Usage::default() };
        let wild = row(&Used { usage: Some(usage), ..used() });
        assert_eq!(wild.input, Some(1_000_000_000_000));
        assert!(wild.cost.is_some_and(|cost| cost > 0));
    }
}
