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

pub use intake::{IntakeError, Origin};
pub use keeper::Keeper;
