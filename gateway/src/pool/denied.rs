use pollux_dialect::Fault;
use pollux_sdk::Call;
use std::time::SystemTime;

/// Why there is no lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// There is no account that is in order.
    Empty,
    /// No account has this model.
    NoModel,
    /// Every usable account has been tried.
    Exhausted,
    /// All are cooling; the soonest deadline.
    Cooling(SystemTime),
    /// All are busy or refreshing, and none came free in time.
    Busy,
}

impl Denied {
    /// When the pool may serve again, as far as it knows.
    pub fn soonest(self) -> Option<SystemTime> {
        match self {
            Self::Cooling(until) => Some(until),
            _ => None,
        }
    }

    /// As operators are told.
    pub fn told(self) -> &'static str {
        match self {
            Self::Empty => "there is no account",
            Self::NoModel => "no account has the model",
            Self::Exhausted => "every account was tried",
            Self::Cooling(_) => "all accounts are cooling",
            Self::Busy => "no account came free in time",
        }
    }

    /// As the client is told.
    pub fn fault(self, call: &Call, now: SystemTime) -> Fault {
        match self {
            Self::Empty | Self::Exhausted => Fault::no_credential(),
            Self::NoModel => Fault::unknown_model::<&str>(call.endpoint.dialect, &call.model, &[]),
            Self::Cooling(until) => Fault::cooling(until, now),
            Self::Busy => Fault::busy(),
        }
    }
}
