//! The real clients, pinned by tests/clients, against a real gateway and the simulated vendors.
//!
//! What each does with an answer was measured in November 2026; requests are counted where it matters to a user
//! and to a vendor: between client and gateway.

mod code_assist;
mod codex;
mod codex_errors;
mod codex_ways;
mod gemini;
mod gemini_keys;
mod google_sdk;
mod javascript_sdks;
mod openai_sdk;
pub(super) mod stage;
