//! What was used, by whom, and what it would have cost at list prices: one record per request, told by its story,
//! written down in batches, summed by hour and day, and shown to the owner and to each key.
//!
//! It never knows what a request said or what was answered, and nobody waits for it on a request's way.

mod answer;
mod api;
mod cost;
mod csv;
pub mod prices;
mod question;
mod record;
mod spans;
mod subscriptions;
mod writer;

#[cfg(test)]
pub use api::ADMIN_PATHS;
pub use api::mount;
pub use cost::{Entry, PriceList};
pub use record::{Recorder, Used};
pub use subscriptions::Subscriptions;
pub use writer::{Keep, Writer};

/// The name of the owner's own key, `pollux_key`.
pub const OWNER: &str = "owner";
