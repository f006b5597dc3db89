use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Spaces calls out to so many a second, with a burst of twice as many.
#[derive(Debug)]
pub(super) struct Pace {
    interval: Duration,
    burst: Duration,
    /// When the bucket will be full again.
    full_at: Mutex<Instant>,
}

impl Pace {
    pub(super) fn new(per_second: u32) -> Self {
        let interval = Duration::from_secs(1) / per_second.max(1);
        Self { interval, burst: Duration::from_secs(2), full_at: Mutex::new(Instant::now()) }
    }

    /// Takes a turn: how long to wait for it.
    pub(super) fn turn(&self, now: Instant) -> Duration {
        let mut full_at = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        *full_at = (*full_at).max(now) + self.interval;
        full_at.duration_since(now).saturating_sub(self.burst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lets_a_burst_through_and_then_spaces_calls() {
        let (pace, now) = (Pace::new(5), Instant::now());
        let waits: Vec<_> = (0..12).map(|_| pace.turn(now).as_millis()).collect();
        assert!(waits[..10].iter().all(|wait| *wait == 0), "{waits:?}");
        assert_eq!(waits[10..], [200, 400]);
        assert_eq!(pace.turn(now + Duration::from_mins(1)), Duration::ZERO, "a quiet minute fills it up");
    }
}
