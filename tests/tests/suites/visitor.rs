//! A person who connects an account, played over plain HTTP: what a browser would keep and send is kept and sent.

use pollux_tests::kit::{Answer, Decision, Gateway, consent, get, send};
use std::fs::File;
use url::Url;

/// What browsers say they take.
pub(super) const PAGES: (&str, &str) = ("accept", "text/html,application/xhtml+xml,*/*;q=0.8");

/// Codex logins share the two ports that its vendor knows, with each other and with whatever runs on this machine:
/// every test that begins one holds this.
pub(super) fn ports() -> File {
    let file = File::create(std::env::temp_dir().join("pollux-tests-1455.lock")).unwrap();
    file.lock().unwrap();
    file
}

/// A login that has begun.
#[derive(Debug)]
pub(super) struct Login {
    pub(super) authorize: Url,
    /// `name=value`.
    pub(super) cookie: String,
    pub(super) set_cookie: String,
}

impl Login {
    /// Opens `/{provider}/auth` as a plain client, which is redirected.
    pub(super) async fn begin(gateway: &Gateway, provider: &str) -> Self {
        Self::begin_with(gateway, provider, &[]).await
    }

    pub(super) async fn begin_with(gateway: &Gateway, provider: &str, headers: &[(&str, &str)]) -> Self {
        let answer = get(&gateway.at(&format!("/{provider}/auth")), headers).await;
        assert_eq!(answer.status, 307, "{}", answer.text());
        Self::of(&answer)
    }

    /// What a redirect to the vendor says.
    pub(super) fn of(answer: &Answer) -> Self {
        let location = answer.header("location").expect("a redirect has a location");
        let set_cookie = answer.header("set-cookie").expect("the session is a cookie").to_owned();
        let cookie = set_cookie.split(';').next().unwrap_or_default().to_owned();
        Self { authorize: Url::parse(location).unwrap(), cookie, set_cookie }
    }

    /// A parameter of the authorize URL.
    pub(super) fn parameter(&self, name: &str) -> String {
        parameter(&self.authorize, name)
    }

    /// Allows as this account: where the vendor sends the browser.
    pub(super) async fn allow(&self, label: &str) -> Url {
        self.decide(Decision::Allow(label)).await
    }

    pub(super) async fn decide(&self, decision: Decision<'_>) -> Url {
        let back = consent(self.authorize.as_str(), decision).await;
        Url::parse(&back.unwrap_or_else(|page| panic!("the vendor refused: {}", page.text()))).unwrap()
    }

    /// Follows a callback to the gateway's own port, at this path, with the session's cookie.
    pub(super) async fn come_back(
        &self,
        gateway: &Gateway,
        path: &str,
        back: &Url,
        headers: &[(&str, &str)],
    ) -> Answer {
        let url = gateway.at(&format!("{path}?{}", back.query().unwrap_or_default()));
        let headers = [&[("cookie", self.cookie.as_str())], headers].concat();
        send("GET", &url, &headers, "").await.unwrap()
    }
}

/// A parameter of a URL, empty where there is none.
pub(super) fn parameter(url: &Url, name: &str) -> String {
    url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned()).unwrap_or_default()
}

/// The URL with another value for a parameter.
pub(super) fn with_parameter(url: &Url, name: &str, value: &str) -> Url {
    let pairs: Vec<_> = url.query_pairs().into_owned().filter(|(key, _)| key != name).collect();
    let mut changed = url.clone();
    changed.query_pairs_mut().clear().extend_pairs(pairs).append_pair(name, value);
    changed
}

/// The heading of a page.
pub(super) fn heading(page: &Answer) -> String {
    let text = page.text();
    let rest = text.split_once("<h1>").map(|(_, rest)| rest.to_owned()).unwrap_or_default();
    rest.split("</h1>").next().unwrap_or_default().to_owned()
}
