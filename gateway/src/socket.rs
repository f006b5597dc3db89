//! Sockets: a client's frames relayed to a vendor's socket over one account.
//!
//! It knows handshakes, frames, answers under way and how a socket ends. It never knows what a provider's frames mean:
//! [`pollux_sdk::Provider::frame`] and the reader do.

mod close;
pub mod handshake;
mod line;
mod open;
mod side;
mod state;
mod turn;

pub use open::{Opened, serve};
