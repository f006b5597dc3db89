use std::{sync::Once, time::Duration};

/// Our name upstream, where a provider or a vendor's own client gives none.
const USER_AGENT: &str = concat!("pollux/", env!("CARGO_PKG_VERSION"));

/// Chooses rustls' crypto. No client can be built before, not even one for plain HTTP.
pub fn install_crypto() {
    static CRYPTO: Once = Once::new();
    // One crypto provider for the whole tree; a second installation is refused, which is fine.
    CRYPTO.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
}

/// How a provider's connections are made.
#[derive(Debug, Clone)]
pub struct Profile {
    /// `http`, `https` or `socks5` proxy.
    pub proxy: Option<String>,
    /// HTTP/2 where the server offers it; otherwise HTTP/1.1 with keep-alive.
    pub multiplexing: bool,
    /// Limit of a connection attempt.
    pub connect_timeout: Duration,
}

impl Profile {
    /// A client for relayed requests: no redirects, no total timeout (the relay has its own).
    pub(super) fn client(&self) -> Result<reqwest::Client, reqwest::Error> {
        self.builder()?.build()
    }

    /// A client for account operations.
    pub(super) fn account_client(&self, total: Duration) -> Result<reqwest::Client, reqwest::Error> {
        self.builder()?.timeout(total).build()
    }

    fn builder(&self) -> Result<reqwest::ClientBuilder, reqwest::Error> {
        install_crypto();
        let mut builder = reqwest::Client::builder()
            .user_agent(USER_AGENT)
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(self.connect_timeout)
            .tcp_nodelay(true)
            .tcp_keepalive(Duration::from_mins(1))
            .pool_idle_timeout(Duration::from_secs(90));
        builder = if self.multiplexing { builder.http2_adaptive_window(true) } else { builder.http1_only() };
        Ok(match &self.proxy {
            Some(proxy) => builder.proxy(reqwest::Proxy::all(proxy)?),
            None => builder.no_proxy(),
        })
    }
}
