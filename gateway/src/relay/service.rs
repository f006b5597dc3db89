use crate::{accounts::Keeper, pool::Pool, upstream::Upstream};
use pollux_sdk::{Model, Provider};
use std::{fmt, sync::Arc, time::Duration};

/// A provider at work: with its pool, its transport and its limits.
pub struct Service {
    /// The provider.
    pub provider: Arc<dyn Provider>,
    /// Its accounts.
    pub pool: Arc<Pool>,
    /// Who looks after them.
    pub keeper: Arc<Keeper>,
    /// Its transport.
    pub upstream: Upstream,
    /// Its limits.
    pub limits: Limits,
}

/// What one request may take.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Attempts after the first.
    pub retries: u32,
    /// Wait for the head of a reply, and for the whole of a unary one.
    pub response: Duration,
    /// Silence within a stream.
    pub idle: Duration,
    /// Bytes of an error body that are kept.
    pub error_body_bytes: usize,
    /// Bytes of a unary or folded answer.
    pub answer_bytes: usize,
    /// Bytes of one event.
    pub event_bytes: usize,
    /// How long the prelude of a stream may be held back.
    pub prelude: Duration,
    /// How much of it.
    pub prelude_bytes: usize,
    /// How long a socket may be open without an answer under way.
    pub socket_idle: Duration,
    /// Between two pings of a socket's ends.
    pub ping: Duration,
}

impl Service {
    /// The provider's id.
    pub fn id(&self) -> &'static str {
        self.provider.descriptor().id
    }

    /// Whether clients may ask for this model.
    pub fn offers(&self, model: &str) -> bool {
        let models = &self.provider.descriptor().models;
        models.is_empty() || models.iter().any(|one| one.id == model)
    }

    /// The models that lists show, with the vendor's own entries as far as they are known.
    pub fn models(&self) -> Vec<Model> {
        let offered = &self.provider.descriptor().models;
        if offered.is_empty() {
            return self.pool.catalogue();
        }
        let known = |model: &Model| match self.pool.entry(&model.id) {
            Some(entry) => Model { entry, ..model.clone() },
            None => model.clone(),
        };
        offered.iter().map(known).collect()
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").field("id", &self.id()).finish_non_exhaustive()
    }
}
