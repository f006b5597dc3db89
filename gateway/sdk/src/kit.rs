//! What most providers need and none should write again: texts, times, tokens and forms, each tolerant of
//! whatever an upstream sends.

pub mod google;
pub mod oauth;
pub mod openai;

use crate::{
    AccountError, Bytes, ConfigError, Failure, HeaderMap, HeaderName, HeaderValue, Io, Reason, Reply,
    Request, Scope, Secret, Verdict, elements,
};
use serde::de::DeserializeOwned;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// A text that says something: trimmed, never empty.
pub fn text(value: &Value) -> Option<&str> {
    value.as_str().map(str::trim).filter(|text| !text.is_empty())
}

/// A vendor's words, fit for a page and a log: one line, bounded.
pub fn sentence(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_control()).take(300).collect()
}

/// The members of a JSON list; none of what is no list.
pub fn each(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

/// The first element of a JSON list, as a slice of it.
pub fn first(list: &Bytes) -> Option<Bytes> {
    elements(list)?.into_iter().next()
}

/// A JSON list of raw elements.
pub fn list(elements: &[Bytes]) -> Bytes {
    [b"[", &elements.join(&b","[..])[..], b"]"].concat().into()
}

/// A moment from now; a wait beyond every calendar is none.
pub fn after(now: SystemTime, wait: Duration) -> SystemTime {
    now.checked_add(wait).unwrap_or(now)
}

/// A unix time in seconds; `None` for what no calendar shows.
pub fn unix(seconds: f64) -> Option<SystemTime> {
    const YEAR_5000: f64 = 95_617_584_000.0;
    let since = Duration::try_from_secs_f64(seconds).ok().filter(|_| seconds < YEAR_5000)?;
    UNIX_EPOCH.checked_add(since)
}

/// A time as RFC 3339 writes it.
pub fn rfc3339(text: &str) -> Option<SystemTime> {
    OffsetDateTime::parse(text, &Rfc3339).ok().map(Into::into)
}

/// A time as RFC 3339 writes it, to the second; of what was before 1970, its beginning.
pub fn stamp(at: SystemTime) -> String {
    pollux_dialect::rfc3339(at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs())
}

/// A span as people and protocols write it: `11h16m14.14s`, `900ms`, `1.5 seconds`. What follows it is not read.
pub fn span(text: &str) -> Option<Duration> {
    const UNITS: [(&str, f64); 9] = [
        ("ns", 1e-9),
        ("us", 1e-6),
        ("µs", 1e-6),
        ("ms", 1e-3),
        ("milli", 1e-3),
        ("s", 1.0),
        ("m", 60.0),
        ("h", 3600.0),
        ("d", 86_400.0),
    ];
    let (mut seconds, mut rest) = (None, text.trim_start());
    while rest.starts_with(|letter: char| letter.is_ascii_digit()) {
        let end = rest.find(|letter: char| letter != '.' && !letter.is_ascii_digit())?;
        let (number, tail) = (&rest[..end], rest[end..].trim_start());
        let (_, factor) = UNITS.into_iter().find(|(unit, _)| tail.starts_with(unit))?;
        seconds = Some(seconds.unwrap_or(0.0) + number.parse::<f64>().ok()? * factor);
        rest = tail.trim_start_matches(char::is_alphabetic);
    }
    Duration::try_from_secs_f64(seconds?).ok()
}

/// The claims of a JWT, unverified: right for tokens that came from the vendor itself over TLS, or from the
/// account's owner, and for nothing else.
pub fn claims<T: DeserializeOwned + Clone>(token: &str) -> Option<T> {
    jsonwebtoken::dangerous::insecure_decode_claims(token).ok()
}

/// Tells two keys apart without telling either: half of a SHA-256, in hex. Only for what nobody can guess.
pub fn fingerprint(key: &Secret) -> String {
    let digest: [u8; 32] = Sha256::digest(key.expose()).into();
    let (half, _) = digest.split_at(16);
    half.iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
}

/// A key as people recognise it: its last four characters, or none of a short one.
pub fn masked(key: &Secret) -> String {
    let letters: Vec<char> = key.expose().chars().collect();
    let tail = if letters.len() < 16 { &[][..] } else { &letters[letters.len() - 4..] };
    format!("...{}", tail.iter().collect::<String>())
}

/// Whether `value` is an http(s) URL.
pub fn is_web_url(value: &str) -> bool {
    url::Url::parse(value).is_ok_and(|url| matches!(url.scheme(), "http" | "https"))
}

/// A URL with parameters; what is no URL stays as it is.
pub fn with_params<'a>(url: &str, params: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    // A space as `+` is for forms, and not every server takes it in a URL.
    url::Url::parse_with_params(url, params)
        .map_or_else(|_| url.to_owned(), |url| url.as_str().replace('+', "%20"))
}

impl Request {
    /// A POST of form fields.
    pub fn form<'a>(url: impl Into<String>, fields: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        Self::post(url, body)
            .header(HeaderName::from_static("content-type"), "application/x-www-form-urlencoded")
    }

    /// A POST of fields as the members of a JSON object.
    pub fn members<'a>(url: impl Into<String>, fields: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let members = fields.into_iter().map(|(name, text)| (name.to_owned(), text.into()));
        Self::post(url, Value::Object(members.collect()).to_string())
    }

    /// Names the sender as the owner wishes; an empty name leaves it to the host.
    #[must_use]
    pub fn agent(mut self, name: &str) -> Self {
        if let Some(name) = HeaderValue::from_str(name.trim()).ok().filter(|name| !name.is_empty()) {
            self.headers.insert("user-agent", name);
        }
        self
    }

    /// Takes over the client's headers that it lacks. `user-agent` is one only of the vendor's own `tools`, told by how
    /// theirs begins: any other client is us.
    #[must_use]
    pub fn on_behalf_of(mut self, headers: &HeaderMap, tools: &[&str]) -> Self {
        for (name, value) in headers {
            let passes = name != "user-agent"
                || tools.iter().any(|tool| value.as_bytes().starts_with(tool.as_bytes()));
            if passes && !self.headers.contains_key(name) {
                self.headers.insert(name, value.clone());
            }
        }
        self
    }

    /// Puts an access token where nearly every API wants it.
    ///
    /// # Errors
    /// Fails when the token cannot be a header's value.
    pub fn bearer(self, token: &Secret) -> Result<Self, Reason> {
        self.secret(HeaderName::from_static("authorization"), "Bearer ", token)
    }
}

impl Reply {
    /// The body as JSON; `null` if it is none.
    pub fn value(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

impl dyn Io + '_ {
    /// Sends what spends nothing: without an answer it may simply be sent again.
    ///
    /// # Errors
    /// Fails when no answer came.
    pub async fn ask(&self, request: Request) -> Result<Reply, AccountError> {
        self.send(request).await.map_err(|error| AccountError::Transient(error.to_string()))
    }
}

impl Failure<'_> {
    /// Another credential, and a rest for this one.
    pub fn cool(&self, scope: Scope, wait: Duration) -> Verdict {
        Verdict::cool(scope, after(self.now, wait))
    }
}

impl ConfigError {
    /// `key` is wrong, and why.
    pub fn key(provider: &'static str, key: &str, what: &str) -> Self {
        Self { provider, message: format!("{key}: {what}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn no_number_is_too_absurd() {
        for seconds in [f64::NAN, f64::INFINITY, -1.0, 1e300] {
            assert_eq!(unix(seconds), None);
        }
        assert_eq!(unix(1.5), UNIX_EPOCH.checked_add(Duration::from_millis(1500)));
        assert_eq!(after(UNIX_EPOCH, Duration::MAX), UNIX_EPOCH);
        assert_eq!(rfc3339("1970-01-01T00:00:01Z"), unix(1.0));
        assert_eq!(rfc3339("soon"), None);
        assert_eq!(stamp(UNIX_EPOCH + Duration::from_millis(1500)), "1970-01-01T00:00:01Z");
    }

    #[test]
    fn spans_are_read_in_every_spelling() {
        for (text, millis) in [
            ("11h16m14.14s", Some(40_574_140)),
            ("33740.9s", Some(33_740_900)),
            ("900ms", Some(900)),
            ("1.5s. And then", Some(1500)),
            (" 2 seconds", Some(2000)),
            ("800 milliseconds", Some(800)),
            ("0s", Some(0)),
            ("1d1h", Some(90_000_000)),
            ("1.2.3s", None),
            ("-5s", None),
            ("5", None),
            ("1y", None),
            ("s", None),
            ("", None),
            ("\u{e9}", None),
        ] {
            assert_eq!(span(text), millis.map(Duration::from_millis), "{text}");
        }
        assert_eq!(span(&format!("{}s", "9".repeat(400))), None);
    }

    #[test]
    fn lists_come_apart_and_together() {
        let bytes = Bytes::from_static(b"[ {\"a\":1} ,2]");
        assert_eq!(first(&bytes), Some(Bytes::from_static(b"{\"a\":1}")));
        assert_eq!((first(&Bytes::from_static(b"[]")), first(&Bytes::from_static(b"[1"))), (None, None));
        assert_eq!(list(&elements(&bytes).unwrap()), "[{\"a\":1},2]");
        assert_eq!(each(&json!([1, 2])).chain(each(&json!({"a": 1}))).count(), 2);
    }

    #[test]
    fn texts_are_trimmed_and_bounded() {
        assert_eq!((text(&json!(" a ")), text(&json!("  ")), text(&json!(1))), (Some("a"), None, None));
        assert_eq!(sentence("a\nb"), "ab");
        assert_eq!(sentence(&"x".repeat(999)).len(), 300);
    }

    #[test]
    fn a_key_is_told_apart_and_never_told() {
        let key = Secret::new("abc");
        assert_eq!(fingerprint(&key), "ba7816bf8f01cfea414140de5dae2223");
        assert_eq!(masked(&key), "...");
        assert_eq!(masked(&Secret::new("0123456789abcdeé")), "...cdeé");
    }

    #[test]
    fn parameters_are_encoded_for_urls_and_forms() {
        assert_eq!(with_params("https://x/a?b=1", [("scope", "c d+e")]), "https://x/a?b=1&scope=c%20d%2Be");
        assert_eq!(with_params("nonsense", [("a", "b")]), "nonsense");
        assert_eq!(&Request::form("https://x", [("a", "b c")]).body[..], b"a=b+c");
        assert_eq!(&Request::members("https://x", [("a", "b \"c")]).body[..], br#"{"a":"b \"c"}"#);
    }
}
