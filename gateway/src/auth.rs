//! Who may call: the shared key, in the three forms that clients send it.

use actix_web::HttpRequest;
use pollux_sdk::Secret;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// A key that callers must know. Compared by digest, so neither content nor length can be timed.
#[derive(Clone)]
pub struct Key([u8; 32]);

impl Key {
    /// The key to compare with.
    pub fn new(secret: &Secret) -> Self {
        Self(Sha256::digest(secret.expose()).into())
    }

    /// Whether `given` is it.
    pub fn is(&self, given: &str) -> bool {
        let digest: [u8; 32] = Sha256::digest(given).into();
        digest.ct_eq(&self.0).into()
    }

    /// Whether the request carries it in any form. A wrong form beside a right one does no harm: clients add
    /// headers of their own.
    pub fn admits(&self, request: &HttpRequest) -> bool {
        given(request).any(|given| self.is(&given))
    }

    /// As [`Self::admits`], but not by URL: those are kept in histories and logs of others.
    pub fn admits_by_header(&self, request: &HttpRequest) -> bool {
        in_headers(request).any(|given| self.is(given))
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(..)")
    }
}

/// All keys that a request sends: `Authorization: Bearer`, `x-goog-api-key`, `x-api-key`, `?key=`, in this order.
fn given(request: &HttpRequest) -> impl Iterator<Item = String> {
    let headers = in_headers(request).map(ToOwned::to_owned);
    let query = url::form_urlencoded::parse(request.query_string().as_bytes())
        .filter(|(name, _)| name == "key")
        .map(|(_, value)| value.into_owned());
    headers.chain(query)
}

fn in_headers(request: &HttpRequest) -> impl Iterator<Item = &str> {
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    let given = [header("authorization").and_then(bearer), header("x-goog-api-key"), header("x-api-key")];
    given.into_iter().flatten().map(str::trim)
}

fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token)
}

/// The raw query without the client's key.
pub fn without_key(query: &str) -> String {
    let is_key = |pair: &&str| {
        url::form_urlencoded::parse(pair.as_bytes()).next().is_some_and(|(name, _)| name == "key")
    };
    query.split('&').filter(|pair| !pair.is_empty() && !is_key(pair)).collect::<Vec<_>>().join("&")
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    #[test]
    fn any_right_form_lets_in() {
        let key = Key::new(&Secret::new("right"));
        let admits = |request: TestRequest| key.admits(&request.to_http_request());
        let get = |uri: &str| TestRequest::get().uri(uri);
        assert!(admits(get("/x").insert_header(("authorization", "Bearer right"))));
        assert!(admits(get("/x").insert_header(("authorization", "bearer right"))));
        assert!(admits(get("/x").insert_header(("x-goog-api-key", "right"))));
        assert!(admits(get("/x?a=b&key=right")));
        assert!(admits(get("/x?key=wrong&key=right")));
        assert!(admits(get("/x?key=right").insert_header(("x-goog-api-key", "wrong"))));
        assert!(!admits(get("/x?key=wrong").insert_header(("authorization", "Basic right"))));
        assert!(!admits(get("/x")));
        assert!(!admits(get("/x?key=")));
    }

    #[test]
    fn the_key_leaves_the_query() {
        assert_eq!(without_key("alt=sse&key=s&k%65y=s&x"), "alt=sse&x");
        assert_eq!(without_key(""), "");
    }
}
