//! Connecting an account in a browser.
//!
//! The vendor's part (the authorize URL, the exchange) is the provider's; state, PKCE, cookies, sessions, pages and
//! the loopback listener are here, once for all providers.

mod callback;
mod flow;
mod limiter;
mod loopback;
mod pages;
mod session;
mod start;

pub(crate) use callback::lasting;
pub use callback::{callback, paste, paste_page, result};
pub(crate) use flow::{Returned, authorize};
pub use loopback::Loopback;
pub(crate) use loopback::bind;
pub(crate) use session::{LIFE, Session};
pub use start::start;

use crate::{auth::Key, relay::Service, settings::Settings, store::Store};
use lru::LruCache;
use std::{
    num::NonZeroUsize,
    sync::{Arc, Mutex, PoisonError},
};

/// Result pages that are remembered.
const TICKETS: NonZeroUsize = NonZeroUsize::new(4096).expect("4096 is not zero");

/// What login pages need; one for the whole server.
#[derive(Debug)]
pub struct Logins {
    pub(crate) settings: Arc<Settings>,
    pub(crate) key: Key,
    store: Store,
    loopback: Loopback,
    limiter: limiter::Limiter,
    /// Result page to account.
    tickets: Mutex<LruCache<String, i64>>,
}

impl Logins {
    /// Ready to log in.
    pub fn new(settings: Arc<Settings>, store: Store, loopback: Loopback) -> Self {
        let key = Key::new(&settings.basic.pollux_key);
        Self {
            settings,
            key,
            store,
            loopback,
            limiter: limiter::Limiter::default(),
            tickets: Mutex::new(LruCache::new(TICKETS)),
        }
    }

    fn ticket(&self, account: i64) -> String {
        let ticket = session::random();
        self.tickets.lock().unwrap_or_else(PoisonError::into_inner).put(ticket.clone(), account);
        ticket
    }

    fn account_of(&self, ticket: &str) -> Option<i64> {
        self.tickets.lock().unwrap_or_else(PoisonError::into_inner).get(ticket).copied()
    }
}

/// The login of one provider, as its handlers see it.
#[derive(Debug, Clone)]
pub struct Desk {
    /// What all logins share.
    pub logins: Arc<Logins>,
    /// The provider.
    pub service: Arc<Service>,
}
