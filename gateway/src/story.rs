//! The story of one request: collected on its way, told in one log line when the last byte has left.

use crate::{metrics::Metrics, serve::Busy, usage::Used};
use pollux_sdk::Usage;
use std::{fmt, time::Instant};

/// What the line says. Dropping it tells it.
#[derive(Debug)]
pub struct Story {
    /// `x-request-id`, as it came or made here.
    pub id: String,
    /// Method and path, secrets masked.
    pub route: String,
    /// Provider id.
    pub provider: &'static str,
    /// Model asked for.
    pub model: String,
    /// Label of the credential that served, or was tried last.
    pub credential: String,
    /// Its id.
    pub account: Option<i64>,
    /// Whose key the request came with; `None` is the owner's.
    pub key: Option<String>,
    /// Attempts made.
    pub attempts: u32,
    /// How it ended, in one word.
    pub verdict: &'static str,
    /// Status told to the client.
    pub status: u16,
    /// Tokens, where the vendor told them.
    pub usage: Option<Usage>,
    began: Instant,
    first_byte: Option<Instant>,
    /// Language of the route.
    pub dialect: &'static str,
    /// A list or a side call: nothing that uses anything.
    pub aside: bool,
    /// Which answer of a socket it is.
    pub turn: Option<u64>,
    /// The code with which a socket was closed.
    pub close: Option<u16>,
    untold: bool,
    busy: Busy,
}

impl Story {
    /// Begins now.
    pub fn begin(id: String, route: String, busy: Busy) -> Self {
        Self {
            id,
            route,
            provider: "",
            model: String::new(),
            credential: String::new(),
            account: None,
            key: None,
            attempts: 0,
            // Dropped before anybody said otherwise: nobody waits for it any more.
            verdict: "client_gone",
            status: 0,
            usage: None,
            began: Instant::now(),
            first_byte: None,
            dialect: "",
            aside: false,
            turn: None,
            close: None,
            untold: false,
            busy,
        }
    }

    /// What is counted.
    pub fn metrics(&self) -> &Metrics {
        self.busy.metrics()
    }

    /// It goes on under another name.
    pub fn untold(mut self) {
        self.untold = true;
    }

    /// The first byte for the client is there.
    pub fn first_byte(&mut self) {
        self.first_byte.get_or_insert_with(Instant::now);
    }
}

impl Drop for Story {
    fn drop(&mut self) {
        let millis =
            |at: Instant| u64::try_from(at.duration_since(self.began).as_millis()).unwrap_or(u64::MAX);
        let now = Instant::now();
        let since = |at: Instant| at.duration_since(self.began);
        if self.untold {
            return;
        }
        let metrics = self.busy.metrics();
        // A socket's request is over with its handshake; what it carries is counted by itself.
        let served = if self.status == 101 { self.first_byte.unwrap_or(now) } else { now };
        metrics.request(self.provider, self.dialect, self.status, since(served), self.first_byte.map(since));
        if let Some(usage) = &self.usage {
            metrics.tokens(self.provider, usage);
        }
        self.busy.usage().note(&Used {
            request_id: &self.id,
            key: self.key.as_deref(),
            provider: self.provider,
            account: self.account,
            model: &self.model,
            dialect: self.dialect,
            aside: self.aside,
            status: self.status,
            verdict: self.verdict,
            attempts: self.attempts,
            first_byte: self.first_byte.map(since),
            duration: since(now),
            usage: self.usage,
        });
        tracing::info!(
            target: "pollux::request",
            request_id = %self.id,
            route = %self.route,
            provider = self.provider,
            model = %Plain(&self.model),
            credential = %self.credential,
            attempts = self.attempts,
            verdict = self.verdict,
            status = self.status,
            turn = self.turn,
            close = self.close,
            first_byte_ms = self.first_byte.map(millis),
            total_ms = millis(now),
            tokens_in = self.usage.map(|usage| usage.input),
            tokens_cached = self.usage.and_then(|usage| usage.cache_read),
            tokens_out = self.usage.map(|usage| usage.output),
            "request served"
        );
    }
}

/// A client's own text in a log line: bounded, without control characters.
struct Plain<'a>(&'a str);

impl fmt::Display for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let clean = |c: char| if c.is_control() { '?' } else { c };
        self.0.chars().take(128).map(clean).try_for_each(|c| fmt::Write::write_char(f, c))
    }
}

/// A path with its query, the values of `key`, `code` and `state` masked.
pub fn masked(path: &str, query: &str) -> String {
    const SECRET: [&str; 5] = ["key", "code", "state", "token", "ticket"];
    let mut text: String = Plain(path).to_string();
    for (index, pair) in query.split('&').filter(|pair| !pair.is_empty()).take(16).enumerate() {
        text.push(if index == 0 { '?' } else { '&' });
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let decoded =
            url::form_urlencoded::parse(name.as_bytes()).next().map(|(name, _)| name.to_ascii_lowercase());
        let secret = decoded.is_none_or(|name| SECRET.iter().any(|word| name.contains(word)));
        text.push_str(&Plain(name).to_string());
        text.push('=');
        text.push_str(if secret { "***" } else { value.get(..value.len().min(64)).unwrap_or("") });
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_what_is_secret_in_urls() {
        assert_eq!(
            masked("/oauth2callback", "state=abc&code=4%2F0&scope=x"),
            "/oauth2callback?state=***&code=***&scope=x"
        );
        assert_eq!(masked("/v1/models", "k%65y=pk-1&alt=sse"), "/v1/models?k%65y=***&alt=sse");
        assert_eq!(masked("/a\nb", ""), "/a?b");
    }
}
