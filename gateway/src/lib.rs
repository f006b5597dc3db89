//! The host.

mod bundled;
pub mod store;
