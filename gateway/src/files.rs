//! Credential files: folders of them are read, watched, and kept in step with the store.
//!
//! It knows folders, names and contents, and asks providers what a content is. It never knows a vendor's format, never
//! spends a token, and never takes a file's word over the store's unless the file has changed.

mod clerk;
mod folder;
mod report;
mod sort;
mod watch;
mod write;

pub use clerk::{Clerk, Files, limits, parse};
pub use folder::{Listing, Spot, gather, read};
pub use sort::{Sorted, sort, words};
pub use write::{create, text};
