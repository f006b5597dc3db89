use super::Schedule;
use std::time::SystemTime;

/// How near the accounts are to serving a model; the least is the nearest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Prospect {
    /// One can, or its token is to be renewed first.
    Now,
    /// When another request is done.
    Next,
    /// When a rest is over.
    Later,
    /// Not by itself.
    Never,
}

impl Schedule {
    /// How near it is to serving this model. Costs the same whatever its size.
    pub fn prospect(&mut self, model: &str, now: SystemTime) -> Prospect {
        self.advance(now);
        let Some(lane) = self.lane(model).and_then(|model| self.lanes[model].as_ref()) else {
            return Prospect::Never;
        };
        if lane.ready.len() + lane.expired.len() + lane.refreshing > 0 {
            Prospect::Now
        } else if lane.busy > 0 {
            Prospect::Next
        } else if lane.cooling.is_empty() {
            Prospect::Never
        } else {
            Prospect::Later
        }
    }
}
