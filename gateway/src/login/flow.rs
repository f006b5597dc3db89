//! Decisions of a login, without any IO.

use pollux_sdk::Redirect;
use url::Url;

/// How a login goes on from its first page.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// The browser comes back by itself.
    Direct(String),
    /// It will end at an address that is not ours: the person brings the result.
    Carried(String),
}

/// What is known of the request that starts a login.
#[derive(Debug)]
pub(super) struct Scene<'a> {
    /// `Host` header.
    pub(super) host: Option<&'a str>,
    /// Whether a person looks at it.
    pub(super) browser: bool,
    /// Our port.
    pub(super) port: u16,
    /// Setting.
    pub(super) public_url: Option<&'a str>,
    /// The loopback port that listens for this login, if any.
    pub(super) listening: Option<u16>,
    /// Path of the login's first page.
    pub(super) path: &'a str,
}

/// Where the vendor is to send the browser, and whether that leads back here.
pub(super) fn way(redirect: &Redirect, scene: &Scene<'_>) -> Way {
    let host = scene.host.unwrap_or_default();
    let near = is_loopback(host);
    match redirect {
        Redirect::Here { path, anywhere } => match scene.public_url {
            Some(public) if *anywhere => Way::Direct(format!("{public}{path}")),
            _ if near => Way::Direct(format!("http://{host}{path}")),
            _ => Way::Carried(format!("http://localhost:{}{path}", scene.port)),
        },
        Redirect::Loopback(ports, path) => {
            let registered = scene.listening.or(ports.first().copied()).unwrap_or(scene.port);
            let uri = format!("http://localhost:{registered}{path}");
            if near && scene.listening.is_some() { Way::Direct(uri) } else { Way::Carried(uri) }
        }
        Redirect::Page(url) => Way::Carried((*url).to_owned()),
    }
}

/// The login's first page at a host name whose cookies the vendor's redirect will bring, where this one's are not:
/// the vendor only knows `localhost`, and cookies do not cross from 127.0.0.1.
pub(super) fn elsewhere(redirect: &Redirect, scene: &Scene<'_>) -> Option<String> {
    let host = scene.host.filter(|host| is_loopback(host) && !host.starts_with("localhost"))?;
    let wanted = scene.browser && matches!(redirect, Redirect::Loopback(..));
    let port = Url::parse(&format!("http://{host}/")).ok()?.port();
    let port = port.map(|port| format!(":{port}")).unwrap_or_default();
    wanted.then(|| format!("http://localhost{port}{}", scene.path))
}

/// `localhost`, `127.0.0.1` or `[::1]`, with or without a port.
fn is_loopback(host: &str) -> bool {
    Url::parse(&format!("http://{host}/")).is_ok_and(|url| match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    })
}

/// The vendor's authorize URL with what is ours in it.
pub(crate) fn authorize(base: &str, redirect_uri: &str, state: &str, challenge: &str) -> Option<String> {
    let mut url = Url::parse(base).ok()?;
    url.query_pairs_mut()
        .append_pair("redirect_uri", redirect_uri)
        .append_pair("state", state)
        .append_pair("code_challenge", challenge)
        .append_pair("code_challenge_method", "S256");
    Some(url.into())
}

/// What the vendor sent back.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Returned {
    pub(crate) code: Option<String>,
    pub(crate) state: Option<String>,
    pub(crate) error: Option<String>,
    pub(crate) description: Option<String>,
}

impl Returned {
    /// Reads a callback's query.
    pub(crate) fn from_query(query: &str) -> Self {
        let mut returned = Self::default();
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            let slot = match name.as_ref() {
                "code" => &mut returned.code,
                "state" => &mut returned.state,
                "error" => &mut returned.error,
                "error_description" => &mut returned.description,
                _ => continue,
            };
            *slot = Some(value.into_owned()).filter(|value| !value.is_empty());
        }
        returned
    }

    /// Reads what a person pasted: the whole address, its query, or `code#state`.
    pub(crate) fn from_paste(text: &str) -> Self {
        let text = text.trim();
        if let Some((_, query)) = text.split_once('?') {
            return Self::from_query(query.split('#').next().unwrap_or_default());
        }
        if text.contains("code=") || text.contains("error=") {
            return Self::from_query(text);
        }
        match text.split_once('#') {
            Some((code, state)) => {
                Self { code: Some(code.into()), state: Some(state.into()), ..Self::default() }
            }
            None => Self::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Redirect = Redirect::Here { path: "/cb", anywhere: false };
    const OWN: Redirect = Redirect::Here { path: "/cb", anywhere: true };
    const LOOP: Redirect = Redirect::Loopback(&[1455, 1457], "/auth/cb");

    fn scene<'a>(host: &'a str, public_url: Option<&'a str>, listening: Option<u16>) -> Scene<'a> {
        Scene { host: Some(host), browser: true, port: 8188, public_url, listening, path: "/x/auth" }
    }

    #[test]
    fn the_way_follows_host_setting_and_vendor() {
        let direct = |uri: &str| Way::Direct(uri.into());
        let carried = |uri: &str| Way::Carried(uri.into());
        let table = [
            (HERE, scene("localhost:8188", None, None), direct("http://localhost:8188/cb")),
            (HERE, scene("127.0.0.1:9", None, None), direct("http://127.0.0.1:9/cb")),
            (HERE, scene("pool.example", None, None), carried("http://localhost:8188/cb")),
            (HERE, scene("pool.example", Some("https://p"), None), carried("http://localhost:8188/cb")),
            (OWN, scene("pool.example", Some("https://p"), None), direct("https://p/cb")),
            (LOOP, scene("localhost:8188", None, Some(1457)), direct("http://localhost:1457/auth/cb")),
            (LOOP, scene("localhost:8188", None, None), carried("http://localhost:1455/auth/cb")),
            (
                LOOP,
                scene("pool.example", Some("https://p"), Some(1455)),
                carried("http://localhost:1455/auth/cb"),
            ),
            (Redirect::Page("https://v/code"), scene("localhost:1", None, None), carried("https://v/code")),
        ];
        for (redirect, scene, expected) in table {
            assert_eq!(way(&redirect, &scene), expected, "{scene:?}");
        }
    }

    #[test]
    fn browsers_log_in_where_the_vendors_redirect_finds_their_cookie() {
        let table = [
            (LOOP, scene("127.0.0.1:8188", None, None), Some("http://localhost:8188/x/auth")),
            (LOOP, scene("[::1]:8188", None, None), Some("http://localhost:8188/x/auth")),
            (LOOP, scene("127.0.0.1", None, None), Some("http://localhost/x/auth")),
            (LOOP, Scene { browser: false, ..scene("127.0.0.1:8188", None, None) }, None),
            (LOOP, scene("localhost:8188", None, None), None),
            (LOOP, scene("pool.example", None, None), None),
            (HERE, scene("127.0.0.1:8188", None, None), None),
        ];
        for (redirect, scene, expected) in table {
            assert_eq!(elsewhere(&redirect, &scene).as_deref(), expected, "{scene:?}");
        }
    }

    #[test]
    fn takes_whatever_people_paste() {
        let whole = Returned::from_paste(" http://localhost:1455/auth/callback?code=a%2Fb&state=s&scope=x ");
        assert_eq!((whole.code.as_deref(), whole.state.as_deref()), (Some("a/b"), Some("s")));
        assert_eq!(Returned::from_paste("code=c&state=s").code.as_deref(), Some("c"));
        assert_eq!(Returned::from_paste("c#s").state.as_deref(), Some("s"));
        assert_eq!(
            Returned::from_paste("https://x/?error=access_denied").error.as_deref(),
            Some("access_denied")
        );
        assert_eq!(Returned::from_paste("nothing"), Returned::default());
    }
}
