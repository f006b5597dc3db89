use super::{Held, Pool};
use pollux_sdk::{Effect, Lease, Quota, Secret, Summary};
use std::{fmt, sync::Arc, time::SystemTime};

/// A lease guard: dropped anywhere, it gives the account back.
pub struct Grant {
    pool: Arc<Pool>,
    held: Arc<Held>,
    model: String,
    moved: bool,
    began: SystemTime,
    failed: bool,
    succeeded: bool,
}

impl Grant {
    pub(super) fn new(
        pool: Arc<Pool>,
        held: Arc<Held>,
        wish: &super::Wish,
        moved: bool,
        began: SystemTime,
    ) -> Self {
        Self { pool, held, model: wish.model.clone(), moved, began, failed: false, succeeded: false }
    }

    /// The account.
    pub fn id(&self) -> i64 {
        self.held.id
    }

    /// What people call it.
    pub fn label(&self) -> &str {
        &self.held.label
    }

    /// Its own proxy.
    pub fn proxy(&self) -> Option<&Secret> {
        self.held.proxy.as_ref()
    }

    /// What the provider may see of it.
    pub fn lease(&self) -> Lease<'_> {
        Lease::new(&self.held.credential, self.moved)
    }

    /// From here on it serves this model: a socket learns of it frame by frame.
    pub fn serve(&mut self, model: &str) {
        model.clone_into(&mut self.model);
    }

    /// Its client holds state of another account.
    pub fn mark_moved(&mut self) {
        self.moved = true;
    }

    /// Applies what a verdict says about the account, and gives it back.
    pub fn settle(mut self, effect: Effect) {
        self.note(effect);
    }

    /// Applies what a verdict says about the account.
    pub fn note(&mut self, effect: Effect) {
        self.failed = true;
        self.pool.apply(&self.held, &self.model, effect);
    }

    /// The vendor's reading of the account's allowance.
    pub fn reading(&mut self, quota: &Quota) {
        self.pool.reading(self.held.id, quota);
    }

    /// What the answer said of itself.
    pub fn learn(&mut self, summary: &Summary) {
        if let Some(usage) = &summary.usage {
            self.pool.used(self.held.id, usage);
        }
        if let Some(quota) = &summary.quota {
            self.reading(quota);
        }
        if let Some(id) = &summary.id {
            self.pool.bind(id, self.held.id);
        }
    }

    /// The answer came to its end.
    pub fn succeed(&mut self) {
        self.succeeded = !self.failed;
    }
}

impl Drop for Grant {
    fn drop(&mut self) {
        self.pool.release(&self.held, &self.model, self.succeeded, self.began);
    }
}

impl fmt::Debug for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grant").field("id", &self.held.id).field("moved", &self.moved).finish_non_exhaustive()
    }
}
