use actix_web::http::header::HttpDate;
use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
    time::SystemTime,
};

/// Troubles that are remembered.
const KEPT: usize = 50;

/// The last troubles, for whoever asks how it is going. Everybody may read it: it holds providers' names and our own
/// words, never those of a vendor or a client.
#[derive(Debug, Default)]
pub(super) struct Recent(Mutex<VecDeque<(SystemTime, String)>>);

impl Recent {
    pub(super) fn note(&self, text: String, now: SystemTime) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.truncate(KEPT - 1);
        kept.push_front((now, text));
    }

    /// Newest first.
    pub(super) fn told(&self) -> Vec<String> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().map(|(at, text)| format!("{}: {text}", HttpDate::from(*at))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_last_fifty_are_told_newest_first() {
        let recent = Recent::default();
        assert!(recent.told().is_empty());
        for number in 0..120 {
            recent.note(format!("trouble {number}"), SystemTime::UNIX_EPOCH + Duration::from_secs(number));
        }
        let told = recent.told();
        assert_eq!(told.len(), 50);
        assert_eq!(told[0], "Thu, 01 Jan 1970 00:01:59 GMT: trouble 119");
        assert!(told[49].ends_with("trouble 70"), "{}", told[49]);
    }
}
