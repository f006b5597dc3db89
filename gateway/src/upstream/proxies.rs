//! Connections by proxy: the provider's own, and those that single accounts have.

use super::Profile;
use lru::LruCache;
use pollux_sdk::Secret;
use std::{
    fmt,
    num::NonZeroUsize,
    sync::{Mutex, PoisonError},
};
use url::Url;

/// Connection pools of accounts' own proxies that are kept; the least recently used goes, its requests go on.
const KEPT: NonZeroUsize = NonZeroUsize::new(256).expect("256 is not zero");

type Build = fn(&Profile) -> Result<reqwest::Client, reqwest::Error>;

/// A client for the provider's connections, and one for each proxy of an account.
pub(super) struct Clients {
    usual: reqwest::Client,
    profile: Profile,
    build: Build,
    own: Mutex<LruCache<String, reqwest::Client>>,
}

impl Clients {
    pub(super) fn new(profile: &Profile, build: Build) -> Result<Self, reqwest::Error> {
        let own = Mutex::new(LruCache::new(KEPT));
        Ok(Self { usual: build(profile)?, profile: profile.clone(), build, own })
    }

    /// The client for this proxy, or the provider's.
    pub(super) fn by(&self, proxy: Option<&Secret>) -> Result<reqwest::Client, reqwest::Error> {
        let Some(proxy) = proxy.map(Secret::expose) else { return Ok(self.usual.clone()) };
        if let Some(client) = self.own.lock().unwrap_or_else(PoisonError::into_inner).get(proxy) {
            return Ok(client.clone());
        }
        let client = (self.build)(&Profile { proxy: Some(proxy.to_owned()), ..self.profile.clone() })?;
        self.own.lock().unwrap_or_else(PoisonError::into_inner).put(proxy.to_owned(), client.clone());
        Ok(client)
    }
}

impl fmt::Debug for Clients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clients(..)")
    }
}

/// Whether it is the address of a proxy that can be used.
pub fn is_proxy(text: &str) -> bool {
    let begins =
        ["http://", "https://", "socks5://", "socks5h://"].iter().any(|scheme| text.starts_with(scheme));
    // The parser would take blanks out, and we would keep them.
    let odd = text.chars().any(|c| c.is_whitespace() || c.is_control());
    begins && !odd && Url::parse(text).is_ok_and(|url| url.host_str().is_some_and(|host| !host.is_empty()))
}

/// A proxy's address as people may see it: without user and password.
pub fn shown(proxy: &str) -> String {
    let Ok(url) = Url::parse(proxy) else { return "set".to_owned() };
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}://{}{port}", url.scheme(), url.host_str().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxies_are_addresses_and_shown_without_their_password() {
        for (text, expected) in [
            ("http://p:3128", Some("http://p:3128")),
            ("https://me:hush@p", Some("https://p")),
            ("socks5://me:hush@10.0.0.1:1080", Some("socks5://10.0.0.1:1080")),
            ("socks5h://p:1", Some("socks5h://p:1")),
            ("ftp://p", None),
            ("p:3128", None),
            ("http:p", None),
            (" http://p", None),
            ("http://p\n", None),
            ("http://", None),
            ("", None),
        ] {
            assert_eq!(is_proxy(text).then(|| shown(text)).as_deref(), expected, "{text}");
        }
    }
}
