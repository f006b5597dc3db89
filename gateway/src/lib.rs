//! The host.
mod bundled;
pub mod pool;
