use pollux_sdk::Usage;
use std::time::SystemTime;

/// What an account has done since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Attempts that came to their end.
    pub served: u64,
    /// Attempts that did not, for whatever reason.
    pub failed: u64,
    /// Tokens in, cached ones included.
    pub input_tokens: u64,
    /// Tokens out, reasoning included.
    pub output_tokens: u64,
    /// When it was lent last.
    pub last_used_at: Option<SystemTime>,
}

impl Tally {
    pub(super) fn used(&mut self, usage: &Usage) {
        self.input_tokens = self.input_tokens.saturating_add(usage.input);
        self.output_tokens = self.output_tokens.saturating_add(usage.output);
    }

    pub(super) fn ended(&mut self, served: bool) {
        let count = if served { &mut self.served } else { &mut self.failed };
        *count = count.saturating_add(1);
    }
}
