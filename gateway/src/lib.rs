//! The host: it turns linked providers into one gateway.
//!
//! It knows routes, attempts, accounts, storage and pages. It never knows a provider by name: [`run`] serves
//! whatever is linked (see `bundled.rs`, or link your own and call it).
//!
//! Start reading at `startup.rs`, then follow a request: `routes.rs`, `serve.rs`, `relay.rs`, `stream.rs`, and
//! for sockets `socket.rs`.

#![allow(
    unreachable_pub,
    reason = "in here `pub` means: used by other modules; what leaves the crate stands below"
)]

mod accounts;
mod admin;
mod auth;
mod bridge;
mod bundled;
mod cli;
mod files;
mod limits;
mod local;
pub mod log;
mod login;
mod metrics;
mod operator;
mod origin;
mod pool;
mod relay;
mod resource;
mod routes;
mod run;
mod serve;
mod server;
pub mod settings;
mod socket;
pub mod startup;
mod store;
mod story;
mod stream;
pub mod takeover;
mod token;
mod upstream;
mod usage;

pub use run::run;
