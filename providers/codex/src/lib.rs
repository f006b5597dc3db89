//! codex provider.
