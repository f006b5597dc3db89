use lru::LruCache;
use std::{
    num::NonZeroUsize,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Attempts of one address within a window.
const ATTEMPTS: u32 = 30;
const WINDOW: Duration = Duration::from_mins(1);
const ADDRESSES: NonZeroUsize = NonZeroUsize::new(10_000).expect("ten thousand is not zero");

/// Counts login attempts by address.
#[derive(Debug)]
pub(super) struct Limiter(Mutex<LruCache<String, (Instant, u32)>>);

impl Default for Limiter {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(ADDRESSES)))
    }
}

impl Limiter {
    /// Counts an attempt: the wait until the next window when there were too many.
    pub(super) fn refuse(&self, address: &str, now: Instant) -> Option<Duration> {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = seen.get_or_insert_mut(address.to_owned(), || (now, 0));
        if now.duration_since(entry.0) >= WINDOW {
            *entry = (now, 0);
        }
        entry.1 = entry.1.saturating_add(1);
        (entry.1 > ATTEMPTS).then(|| WINDOW.saturating_sub(now.duration_since(entry.0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_beyond_the_limit_and_forgets_after_the_window() {
        let (limiter, now) = (Limiter::default(), Instant::now());
        assert!((0..ATTEMPTS).all(|_| limiter.refuse("a", now).is_none()));
        assert_eq!(limiter.refuse("a", now), Some(WINDOW));
        assert!(limiter.refuse("b", now).is_none());
        assert!(limiter.refuse("a", now + WINDOW).is_none());
    }
}
