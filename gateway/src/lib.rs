//! The host.
mod bundled;
