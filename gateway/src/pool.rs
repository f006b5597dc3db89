//! Which account serves which request.

pub mod schedule;
pub mod session;
