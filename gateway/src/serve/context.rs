use super::choice;
use crate::{
    auth::Key, files::Files, local, login::Logins, metrics::Metrics, relay::Service, settings::Settings,
    store::Store, usage::Recorder,
};
use actix_web::HttpRequest;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use pollux_dialect::Fault;
use pollux_sdk::Dialect;
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};
use tokio::sync::watch;

/// What every handler shares; built once, before the workers start.
#[derive(Debug)]
pub struct Context {
    /// As set.
    pub settings: Arc<Settings>,
    /// What clients must know.
    pub key: Key,
    /// What the owner must know; without it there is no admin API.
    pub admin_key: Option<Key>,
    /// Providers at work, by id.
    pub services: Vec<Arc<Service>>,
    /// Logins.
    pub logins: Arc<Logins>,
    /// Credential files.
    pub files: Files,
    /// Store.
    pub store: Store,
    /// How far the way down is gone.
    pub phase: watch::Sender<Phase>,
    /// Requests whose last byte has not left.
    pub running: Arc<AtomicUsize>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// What is recorded of each request.
    pub usage: Arc<Recorder>,
    /// When the server began.
    pub began: Instant,
}

/// The way down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// All is well.
    Serving,
    /// What runs may end, nothing new begins.
    Draining,
    /// The grace is over.
    Cutting,
}

/// Counts one request until it is dropped.
#[derive(Debug)]
pub struct Busy {
    running: Arc<AtomicUsize>,
    metrics: Arc<Metrics>,
    usage: Arc<Recorder>,
}

impl Busy {
    /// What is recorded of each request.
    pub fn usage(&self) -> &Recorder {
        &self.usage
    }

    /// What is counted.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.running.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Context {
    /// Counts a request.
    pub fn busy(&self) -> Busy {
        self.running.fetch_add(1, Ordering::AcqRel);
        Busy {
            running: Arc::clone(&self.running),
            metrics: Arc::clone(&self.metrics),
            usage: Arc::clone(&self.usage),
        }
    }

    /// Whether the server is going down.
    pub fn is_draining(&self) -> bool {
        *self.phase.borrow() != Phase::Serving
    }

    /// Whether a request may come in, by key or, at the root in local mode, by where it comes from.
    pub fn admit(&self, request: &HttpRequest, root: bool) -> Result<(), Fault> {
        if self.key.admits(request) {
            Ok(())
        } else if self.settings.basic.local && root {
            local::admit(request)
        } else {
            Err(Fault::unauthorized())
        }
    }

    /// The language in which a path's errors are told: its provider's, else the one that the request shows.
    pub fn dialect_of(&self, request: &HttpRequest) -> Dialect {
        let segment = request.path().split('/').nth(1).unwrap_or_default();
        let owner = self.services.iter().find(|service| service.id() == segment);
        let own = owner.and_then(|service| service.provider.descriptor().dialects.first().copied());
        own.unwrap_or_else(|| choice::spoken_at(&format!("/{segment}"), request))
    }
}

/// The client's `x-request-id` if it is a plain short word, else a new one.
pub fn request_id(request: &HttpRequest) -> String {
    let theirs = request.headers().get("x-request-id").and_then(|value| value.to_str().ok());
    let plain = |id: &&str| (1..=128).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic());
    theirs.filter(plain).map_or_else(|| URL_SAFE_NO_PAD.encode(rand::random::<[u8; 12]>()), ToOwned::to_owned)
}
