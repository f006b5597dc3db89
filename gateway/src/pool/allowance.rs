use pollux_sdk::{Quota, Window};
use std::time::{Duration, SystemTime};

/// What is known of an account's allowance, window by window. Unknown is not zero, and a reading from before a
/// reset is no reading.
#[derive(Debug, Clone, Default)]
pub struct Allowance {
    windows: Vec<Window>,
}

/// Windows kept of one account: vendors tell a handful, and one per model.
const WINDOWS: usize = 64;

impl Allowance {
    /// Takes a reading. Windows it does not mention keep their last one.
    pub fn learn(&mut self, reading: &Quota) {
        for window in &reading.windows {
            let same = |known: &Window| (known.length, &known.model) == (window.length, &window.model);
            match self.windows.iter().position(same) {
                Some(place) => self.windows[place].clone_from(window),
                None if self.windows.len() < WINDOWS => self.windows.push(window.clone()),
                None => {}
            }
        }
    }

    /// The windows as they stand now.
    pub fn quota(&self, now: SystemTime) -> Quota {
        Quota { windows: self.current(now).cloned().collect() }
    }

    /// The used share of the window that is nearest to its end, of those that hold for every model.
    pub fn used(&self, now: SystemTime) -> Option<f64> {
        self.shared(now).filter_map(|window| window.used).reduce(f64::max)
    }

    /// When the longest window starts anew.
    pub fn resets_at(&self, now: SystemTime) -> Option<SystemTime> {
        self.shared(now).max_by_key(|window| window.length.unwrap_or(Duration::ZERO))?.resets_at
    }

    fn shared(&self, now: SystemTime) -> impl Iterator<Item = &Window> {
        self.current(now).filter(|window| window.model.is_none())
    }

    fn current(&self, now: SystemTime) -> impl Iterator<Item = &Window> {
        self.windows.iter().filter(move |window| window.resets_at.is_none_or(|at| at > now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(hours: u64, model: Option<&str>, used: Option<f64>, resets_in: u64) -> Window {
        Window {
            length: Some(Duration::from_hours(hours)),
            model: model.map(Into::into),
            used,
            resets_at: Some(at(resets_in)),
        }
    }

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn a_window_is_known_by_its_length_and_forgotten_at_its_reset() {
        let mut allowance = Allowance::default();
        assert_eq!(allowance.used(at(0)), None);
        let windows = vec![window(5, None, Some(0.8), 100), window(168, None, Some(0.3), 900)];
        allowance.learn(&Quota { windows });
        assert_eq!((allowance.used(at(0)), allowance.resets_at(at(0))), (Some(0.8), Some(at(900))));
        allowance.learn(&Quota { windows: vec![window(5, None, Some(0.9), 100)] });
        assert_eq!(allowance.quota(at(0)).windows.len(), 2);
        assert_eq!(allowance.used(at(0)), Some(0.9));
        assert_eq!(allowance.used(at(100)), Some(0.3), "the short window started anew: its share is unknown");
        assert_eq!(allowance.used(at(900)), None);
    }

    #[test]
    fn a_models_own_window_does_not_speak_for_the_account() {
        let mut allowance = Allowance::default();
        allowance.learn(&Quota { windows: vec![window(24, Some("m"), Some(1.0), 100)] });
        assert_eq!((allowance.used(at(0)), allowance.quota(at(0)).windows.len()), (None, 1));
    }
}
