//! The one task that writes down what was used, sums it up, and forgets what is old.

use crate::{
    metrics::Metrics,
    store::{Store, UsageRow},
};
use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, MissedTickBehavior, interval, timeout, timeout_at},
};

/// What has not been written when the process is killed is lost; so it is written often.
const PACE: Duration = Duration::from_millis(500);
/// Rows that may wait: many seconds of a busy gateway, a few MiB.
const WAITING: usize = 16_384;
/// Rows in one transaction.
const BATCH: usize = 2_000;
/// Between two summings up.
const SUM_EVERY: Duration = Duration::from_mins(1);
/// Between two forgettings.
const PRUNE_EVERY: Duration = Duration::from_hours(1);
/// On the way down: for the last requests to tell their stories.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// On the way down: for the database to take them.
const LAST_TRIES: Duration = Duration::from_secs(5);

/// How long what is kept.
#[derive(Debug, Clone, Copy)]
pub struct Keep {
    /// Single requests.
    pub requests: Duration,
    /// Sums by hour. Those by day are kept for ever.
    pub hours: Duration,
}

/// Owns what waits to be written.
#[derive(Debug)]
pub struct Writer {
    inbox: mpsc::Receiver<UsageRow>,
    batch: Vec<UsageRow>,
    store: Store,
    keep: Keep,
    metrics: Arc<Metrics>,
    /// As far as the log has told.
    lost: u64,
    troubled: bool,
    unsummed: bool,
}

impl Writer {
    /// A writer, and where rows are handed to it.
    pub fn new(store: Store, keep: Keep, metrics: Arc<Metrics>) -> (mpsc::Sender<UsageRow>, Self) {
        let (sender, inbox) = mpsc::channel(WAITING);
        // What the last process left behind is summed up first.
        let (batch, lost) = (Vec::new(), 0);
        let writer = Self { inbox, batch, store, keep, metrics, lost, troubled: false, unsummed: true };
        (sender, writer)
    }

    /// Works until it is told to stop, and then until nothing waits any more.
    pub async fn run(mut self, mut stopping: watch::Receiver<bool>) {
        let mut pace = interval(PACE);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut sum_at, mut prune_at) = (Instant::now(), Instant::now());
        loop {
            tokio::select! {
                biased;
                _ = stopping.wait_for(|stop| *stop) => break,
                _ = pace.tick() => {}
            }
            self.write_waiting().await;
            self.tell_lost();
            if sum_at <= Instant::now() {
                sum_at = Instant::now() + SUM_EVERY;
                self.sum().await;
            }
            if prune_at <= Instant::now() {
                prune_at = Instant::now() + PRUNE_EVERY;
                self.prune().await;
            }
        }
        self.finish().await;
    }

    /// Writes what waits. What the database does not take stays, and comes first the next time.
    async fn write_waiting(&mut self) -> bool {
        loop {
            while self.batch.len() < BATCH {
                let Ok(row) = self.inbox.try_recv() else { break };
                self.batch.push(row);
            }
            if self.batch.is_empty() {
                return true;
            }
            match self.store.record_usage(&self.batch).await {
                Ok(()) => {
                    self.batch.clear();
                    self.unsummed = true;
                    if std::mem::take(&mut self.troubled) {
                        tracing::info!("usage is written down again");
                    }
                }
                Err(error) => {
                    if !std::mem::replace(&mut self.troubled, true) {
                        tracing::error!(%error, waiting = self.batch.len() + self.inbox.len(), "usage not written down yet");
                    }
                    return false;
                }
            }
        }
    }

    fn tell_lost(&mut self) {
        let lost = self.metrics.usage_records_lost();
        if lost > self.lost {
            tracing::warn!(lost = lost - self.lost, "usage not recorded: too much waits for the database");
            self.lost = lost;
        }
    }

    async fn sum(&mut self) {
        if !std::mem::take(&mut self.unsummed) {
            return;
        }
        match self.store.sum_usage().await {
            Ok(rows) => tracing::debug!(rows, "usage summed up"),
            Err(error) => {
                self.unsummed = true;
                tracing::warn!(%error, "usage not summed up yet");
            }
        }
    }

    async fn prune(&self) {
        let now = SystemTime::now();
        let before = |age: Duration| now.checked_sub(age).unwrap_or(SystemTime::UNIX_EPOCH);
        match self.store.prune_usage(before(self.keep.requests), before(self.keep.hours)).await {
            Ok(0) => {}
            Ok(rows) => tracing::info!(rows, "old usage forgotten"),
            Err(error) => tracing::warn!(%error, "old usage not forgotten yet"),
        }
    }

    /// The last requests are over, but their stories may still be on their way here.
    async fn finish(mut self) {
        while let Ok(Some(row)) = timeout(LAST_WORDS, self.inbox.recv()).await {
            self.batch.push(row);
        }
        let end = Instant::now() + LAST_TRIES;
        while !timeout_at(end, self.write_waiting()).await.unwrap_or(true) && Instant::now() < end {
            tokio::time::sleep(PACE).await;
        }
        let lost = self.batch.len() + self.inbox.len();
        if lost > 0 {
            return tracing::error!(lost, "usage could not be written down");
        }
        if timeout_at(end, self.sum()).await.is_err() {
            tracing::info!("usage will be summed up at the next start");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Filter, Opening, Outcome};

    const KEEP: Keep = Keep { requests: Duration::from_hours(1), hours: Duration::from_hours(48) };

    async fn store() -> Store {
        Store::open(Opening { url: "sqlite::memory:", key_file: None, key: None }).await.unwrap()
    }

    fn writer(store: &Store) -> (mpsc::Sender<UsageRow>, Writer) {
        Writer::new(store.clone(), KEEP, Arc::new(Metrics::new().unwrap()))
    }

    fn row() -> UsageRow {
        UsageRow {
            id: 0,
            request_id: "r".into(),
            at: SystemTime::now(),
            key: "owner".into(),
            provider: "acme".into(),
            account: None,
            model: None,
            dialect: "responses".into(),
            status: Some(200),
            verdict: "served".into(),
            outcome: Outcome::Ok,
            attempts: 1,
            first_byte: None,
            duration: Duration::ZERO,
            input: None,
            cache_read: None,
            cache_write: None,
            output: None,
            reasoning: None,
            cost: None,
        }
    }

    async fn stored(store: &Store) -> usize {
        store.usage_requests((0, i64::MAX), &Filter::default(), None, 100_000).await.unwrap().len()
    }

    #[tokio::test]
    async fn what_waits_at_the_end_is_written_and_summed_up() {
        let store = store().await;
        let (inbox, writer) = writer(&store);
        let (stop, stopping) = watch::channel(false);
        let running = tokio::spawn(writer.run(stopping));
        for _ in 0..BATCH + 10 {
            inbox.send(row()).await.unwrap();
        }
        stop.send_replace(true);
        inbox.send(row()).await.unwrap();
        drop(inbox);
        running.await.unwrap();
        assert_eq!(stored(&store).await, BATCH + 11);
        assert_eq!(store.sum_usage().await.unwrap(), 0, "that was done");
    }

    #[tokio::test]
    async fn who_never_lets_go_of_the_inbox_does_not_hold_up_the_end() {
        let store = store().await;
        let (inbox, writer) = writer(&store);
        let (stop, stopping) = watch::channel(false);
        inbox.send(row()).await.unwrap();
        stop.send_replace(true);
        timeout(Duration::from_secs(20), writer.run(stopping)).await.unwrap();
        assert_eq!(stored(&store).await, 1);
        drop(inbox);
    }

    #[tokio::test]
    async fn what_the_database_does_not_take_stays_and_the_end_does_not_wait_for_ever() {
        let store = store().await;
        let (inbox, mut writer) = writer(&store);
        store.close().await;
        inbox.send(row()).await.unwrap();
        assert!(!writer.write_waiting().await);
        assert_eq!(writer.batch.len(), 1);
        drop(inbox);
        timeout(LAST_TRIES * 4, writer.finish()).await.unwrap();
    }

    #[tokio::test]
    async fn old_requests_are_forgotten_and_new_ones_are_not() {
        let store = store().await;
        let (_inbox, writer) = writer(&store);
        let old = UsageRow { at: SystemTime::now() - Duration::from_hours(5), ..row() };
        store.record_usage(&[old, row()]).await.unwrap();
        writer.prune().await;
        assert_eq!(stored(&store).await, 2, "they are not summed up yet");
        store.sum_usage().await.unwrap();
        writer.prune().await;
        assert_eq!(stored(&store).await, 1);
    }
}
