//! Looking after the accounts of one provider: taking them in, keeping their tokens fresh, writing down what
//! requests learnt.
//!
//! The keeper is the only one that spends tokens, and it does so from one loop: that is what makes a refresh
//! single flight. Every vendor answer is durable before anything follows from it.

mod backoff;
mod intake;
mod keeper;
mod queue;
mod renew;
mod survey;

pub use intake::{IntakeError, Origin};
pub use keeper::Keeper;

use crate::store::Row;
use tokio::sync::watch;

impl Row {
    /// What people call it, in logs too. Never a token.
    pub fn label(&self) -> String {
        self.credential.label.clone().unwrap_or_else(|| format!("account {}", self.id))
    }
}

/// Waits until the owner of a task wants it to end.
pub(crate) async fn stopped(stop: &mut watch::Receiver<bool>) {
    drop(stop.wait_for(|stop| *stop).await);
}
