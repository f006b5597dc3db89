//! Provider crates that ship in this binary. Naming them is what links them.

#[cfg(feature = "claude")]
use provider_claude as _;
#[cfg(feature = "codex")]
use provider_codex as _;
#[cfg(feature = "gemini")]
use provider_gemini as _;
#[cfg(feature = "geminicli")]
use provider_geminicli as _;
