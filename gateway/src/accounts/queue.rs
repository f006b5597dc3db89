use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tokio::{sync::Notify, time::Instant};

/// Accounts to be looked after, each not before its time. Bounded by the rows there are.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: Mutex<BTreeMap<i64, Instant>>,
    changed: Notify,
}

impl Queue {
    pub(super) fn push(&self, id: i64, pause: Duration) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(id, Instant::now() + pause);
        self.changed.notify_one();
    }

    pub(super) fn remove(&self, id: i64) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }

    /// Takes up to `room` that are due.
    pub(super) fn take_due(&self, room: usize) -> Vec<i64> {
        let now = Instant::now();
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let due: Vec<i64> =
            waiting.iter().filter(|(_, at)| **at <= now).map(|(id, _)| *id).take(room).collect();
        waiting.retain(|id, _| !due.contains(id));
        due
    }

    /// When the next one is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).values().min().copied()
    }

    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }
}
