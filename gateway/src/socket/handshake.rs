//! What is said before the first frame (RFC 6455, section 4; RFC 7692, section 7). Pure.

use base64::{Engine, engine::general_purpose::STANDARD};
use pollux_dialect::Fault;
use pollux_sdk::HeaderMap;
use sha1::{Digest, Sha1};

/// What we offer upstream.
pub const OFFER: &str = "permessage-deflate; client_no_context_takeover";
/// What we agree to with clients: neither side keeps a window between messages, so an idle socket costs no memory
/// for it.
const AGREED: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
const MAGIC: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// A client's wish for a socket, found in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The answer to its key.
    pub accept: String,
    /// The extension that both sides will use.
    pub extension: Option<String>,
}

/// Reads a client's request for a socket.
pub fn wanted(headers: &HeaderMap) -> Result<Wanted, Fault> {
    if !has(headers, "connection", "upgrade") || !has(headers, "upgrade", "websocket") {
        return Err(Fault::upgrade_required());
    }
    if text(headers, "sec-websocket-version") != Some("13") {
        return Err(Fault::bad_request(Some("sec-websocket-version"), "the WebSocket version must be 13"));
    }
    let key = text(headers, "sec-websocket-key").unwrap_or_default();
    if STANDARD.decode(key).map_or(0, |key| key.len()) != 16 {
        let message = "`sec-websocket-key` must be 16 bytes in base64";
        return Err(Fault::bad_request(Some("sec-websocket-key"), message));
    }
    if is_foreign(headers) {
        return Err(Fault::new(403, "origin_not_allowed", "pages of other origins may open no socket here"));
    }
    Ok(Wanted { accept: accept(key), extension: answered(headers) })
}

/// Whether a browser speaks for another site's page. Other clients name no origin.
fn is_foreign(headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get("origin") else { return false };
    let (Ok(origin), Some(host)) = (origin.to_str(), text(headers, "host")) else { return true };
    let Ok(origin) = url::Url::parse(origin) else { return true };
    // The port that goes without saying is the origin's scheme's.
    let here = url::Url::parse(&format!("{}://{host}", origin.scheme()));
    here.map_or(true, |here| here.origin() != origin.origin() || !origin.origin().is_tuple())
}

/// The extension we answer with: the first offer that can be kept.
fn answered(headers: &HeaderMap) -> Option<String> {
    extensions(headers).find_map(|(name, parameters)| {
        let mut answer = AGREED.to_owned();
        for (key, value) in &parameters {
            match (*key, *value) {
                (
                    "server_no_context_takeover" | "client_no_context_takeover" | "client_max_window_bits",
                    None,
                ) => {}
                ("client_max_window_bits", Some(bits)) if window(bits) => {}
                // Only the whole window can be promised; another offer may ask for less.
                ("server_max_window_bits", Some("15")) => answer.push_str("; server_max_window_bits=15"),
                _ => return None,
            }
        }
        (name == "permessage-deflate" && once(&parameters)).then_some(answer)
    })
}

/// Checks upstream's 101 and gives the extension it agreed to.
pub fn agreed(headers: &HeaderMap, key: &str) -> Result<Option<String>, &'static str> {
    if !has(headers, "upgrade", "websocket") || text(headers, "sec-websocket-accept") != Some(&accept(key)) {
        return Err("upstream's 101 is no answer to our handshake");
    }
    let mut agreed = None;
    for (name, parameters) in extensions(headers) {
        let fine = parameters.iter().all(|(key, value)| match (*key, *value) {
            ("server_no_context_takeover" | "client_no_context_takeover", None) => true,
            ("server_max_window_bits", Some(bits)) => window(bits),
            _ => false,
        });
        if name != "permessage-deflate" || !fine || !once(&parameters) || agreed.is_some() {
            return Err("upstream's 101 has an extension that was not offered");
        }
        let flags = parameters.iter().filter(|(_, value)| value.is_none());
        agreed = Some(flags.fold(name.to_owned(), |all, (key, _)| format!("{all}; {key}")));
    }
    Ok(agreed)
}

/// A key for our own handshakes.
pub fn new_key() -> String {
    STANDARD.encode(rand::random::<[u8; 16]>())
}

fn accept(key: &str) -> String {
    STANDARD.encode(Sha1::new().chain_update(key).chain_update(MAGIC).finalize())
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

/// Whether a list header has a word.
fn has(headers: &HeaderMap, name: &str, word: &str) -> bool {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|item| item.trim().eq_ignore_ascii_case(word))
}

type Parameters<'a> = Vec<(&'a str, Option<&'a str>)>;

fn extensions(headers: &HeaderMap) -> impl Iterator<Item = (&str, Parameters<'_>)> {
    let values = headers.get_all("sec-websocket-extensions").iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).filter(|item| !item.trim().is_empty()).map(|item| {
        let mut parts = item.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let pair = |part: &'_ str| -> (usize, usize) { (part.find('=').unwrap_or(part.len()), part.len()) };
        let parameters = parts.map(|part| {
            let (at, end) = pair(part);
            let value = (at < end).then(|| part[at + 1..].trim().trim_matches('"'));
            (part[..at].trim(), value)
        });
        (name, parameters.collect())
    })
}

fn window(bits: &str) -> bool {
    bits.parse().is_ok_and(|bits: u8| (8..=15).contains(&bits))
}

fn once(parameters: &Parameters<'_>) -> bool {
    let twin = |at: usize, key: &str| parameters[at + 1..].iter().any(|(other, _)| *other == key);
    !parameters.iter().enumerate().any(|(at, (key, _))| twin(at, key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use pollux_sdk::{HeaderName, HeaderValue};

    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        pairs.iter().map(pair).collect()
    }

    fn asked(more: &[(&'static str, &'static str)]) -> Result<Wanted, u16> {
        let usual = [
            ("host", "pollux.example:8188"),
            ("connection", "keep-alive, Upgrade"),
            ("upgrade", "WebSocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", KEY),
        ];
        let mut all = headers(&usual);
        for (name, value) in more {
            all.insert(*name, HeaderValue::from_static(value));
        }
        wanted(&all).map_err(|fault| fault.status)
    }

    #[test]
    fn the_specifications_own_key_is_answered_as_it_says() {
        let wanted = asked(&[]).unwrap();
        assert_eq!((wanted.accept.as_str(), wanted.extension), ("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", None));
    }

    #[test]
    fn what_is_no_handshake_is_told_so() {
        for (wrong, status) in [
            (("connection", "close"), 426),
            (("upgrade", "h2c"), 426),
            (("sec-websocket-version", "8"), 400),
            (("sec-websocket-key", "c2hvcnQ="), 400),
            (("sec-websocket-key", "?"), 400),
        ] {
            assert_eq!(asked(&[wrong]), Err(status), "{wrong:?}");
        }
    }

    #[test]
    fn only_pages_of_this_very_origin_get_in() {
        for (origin, fine) in [
            ("http://pollux.example:8188", true),
            ("https://pollux.example:8188", true),
            ("http://pollux.example", false),
            ("https://evil.example", false),
            ("http://pollux.example.evil.example:8188", false),
            ("null", false),
            ("", false),
            ("file://", false),
        ] {
            assert_eq!(asked(&[("origin", origin)]).is_ok(), fine, "{origin}");
        }
        assert!(asked(&[("host", "pollux.example"), ("origin", "https://pollux.example")]).is_ok());
    }

    #[test]
    fn compression_is_agreed_to_where_it_can_be_kept() {
        let both = Some(AGREED.to_owned());
        for (offer, answer) in [
            ("permessage-deflate", both.clone()),
            ("permessage-deflate; client_max_window_bits", both.clone()),
            ("permessage-deflate; client_max_window_bits=12; server_no_context_takeover", both.clone()),
            (
                "permessage-deflate; server_max_window_bits=15",
                Some(format!("{AGREED}; server_max_window_bits=15")),
            ),
            ("permessage-deflate; server_max_window_bits=10", None),
            ("permessage-deflate; server_max_window_bits=10, permessage-deflate", both.clone()),
            ("x-webkit-deflate-frame, permessage-deflate", both),
            ("permessage-deflate; client_max_window_bits=16", None),
            ("permessage-deflate; odd", None),
            ("permessage-deflate; client_max_window_bits; client_max_window_bits", None),
            ("bbf-usp-protocol", None),
            (";;==,", None),
        ] {
            assert_eq!(asked(&[("sec-websocket-extensions", offer)]).unwrap().extension, answer, "{offer}");
        }
    }

    #[test]
    fn upstreams_101_is_held_to_what_was_offered() {
        let agreed = |extension: Option<&'static str>, accept: &'static str| {
            let mut all = headers(&[("upgrade", "websocket"), ("sec-websocket-accept", accept)]);
            all.extend(extension.map(|value| {
                (HeaderName::from_static("sec-websocket-extensions"), HeaderValue::from_static(value))
            }));
            agreed(&all, KEY)
        };
        let right = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
        assert_eq!(agreed(None, right), Ok(None));
        assert!(agreed(None, "bm90IGl0").is_err());
        let kept = "permessage-deflate; server_no_context_takeover";
        assert_eq!(agreed(Some(kept), right), Ok(Some(kept.into())));
        let smaller = "permessage-deflate; server_max_window_bits=10; client_no_context_takeover";
        assert_eq!(agreed(Some(smaller), right), Ok(Some(OFFER.into())));
        for odd in [
            "permessage-deflate; client_max_window_bits=9",
            "x-other",
            "permessage-deflate, permessage-deflate",
        ] {
            assert!(agreed(Some(odd), right).is_err(), "{odd}");
        }
    }
}
