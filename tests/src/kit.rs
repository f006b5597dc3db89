//! What suites are written with: a real gateway process, its database, clients good and bad.
//!
//! ```no_run
//! use pollux_tests::kit::{Gateway, post};
//! use pollux_tests::simulator::Simulator;
//! use serde_json::json;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let simulator = Simulator::start();
//! let alice = simulator.google().account("alice");
//! let gateway = Gateway::builder().simulator(&simulator).config("[pool]\nacquire_timeout = \"1s\"").start().await?;
//! let added = json!([{"refresh_token": alice.refresh_token()}]);
//! let answer = post(&gateway.at("/geminicli/resource:add"), &gateway.auth(), &added).await;
//! assert_eq!(answer.status, 202);
//! # Ok(())
//! # }
//! ```

use std::future::Future;
use std::time::{Duration, Instant};

mod consent;
mod database;
mod gateway;
mod http;
mod installed;
mod log;
mod postgres;
mod program;
mod raw;
mod session;
mod socket;
mod socks;
mod sse;
mod stage;

#[cfg(test)]
mod tests;

pub use consent::{Decision, consent};
pub use database::Database;
pub use gateway::{Builder, Gateway, StartError, pollux, vendors};
pub use http::{Answer, client, form, get, install_crypto, post, send};
pub use installed::installed;
pub use log::Log;
pub use program::{Program, Run, Running};
pub use raw::{Closing, Raw};
pub use session::Session;
pub use socket::{Refused, Socket};
pub use socks::Socks;
pub use sse::{End, Event, Events};
pub use stage::{Stage, contents, messages};

/// Asks until the answer is yes, and tells whether it was within the limit.
pub async fn wait_until<F, Fut>(mut condition: F, limit: Duration) -> bool
where
    F: FnMut() -> Fut,
    Fut: Future<Output = bool>,
{
    let end = Instant::now() + limit;
    loop {
        if condition().await {
            return true;
        }
        if Instant::now() >= end {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A port nobody listens on, below the range from which the system picks ports for clients.
pub fn free_port() -> u16 {
    loop {
        let port = 20_000 + rand::random::<u16>() % 12_000;
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
