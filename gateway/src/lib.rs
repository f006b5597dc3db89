//! The host.
mod bundled;
pub mod cli;
pub mod settings;
