use crate::{Credential, Dialect, Endpoint, Payload, Reader, Reason, Secret, Shape};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use std::fmt;

/// One client request, ready to be prepared. Shared by all its attempts.
#[derive(Debug)]
pub struct Call {
    /// The route it came by.
    pub endpoint: Endpoint,
    /// The language of `body`; one of the provider's, whatever the client speaks.
    pub dialect: Dialect,
    /// Model, after renaming; empty where the operation has none.
    pub model: String,
    /// Shape the client wants.
    pub shape: Shape,
    /// Raw query without the client's key.
    pub query: String,
    /// Only what `Descriptor::request_headers` allows, so copying all of them is safe.
    pub headers: HeaderMap,
    /// Body, or the provider's own protocol for `Vendor`.
    pub body: Payload,
}

/// A credential on loan for one attempt.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Lease<'a> {
    /// The account.
    pub credential: &'a Credential,
    /// The session was served by another account before: what is bound to that one must not be sent.
    pub moved: bool,
}

impl<'a> Lease<'a> {
    /// Lends `credential`.
    pub const fn new(credential: &'a Credential, moved: bool) -> Self {
        Self { credential, moved }
    }
}

/// A request ready to leave, and the reader of what comes back.
pub struct Attempt {
    /// What is sent.
    pub request: Request,
    /// Shape of the answer upstream. `Events` for a `Whole` call: the host folds the stream.
    pub answers: Shape,
    /// Reads that answer.
    pub reader: Box<dyn Reader>,
}

impl fmt::Debug for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attempt").field("answers", &self.answers).finish_non_exhaustive()
    }
}

/// Why no request can be built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The client's request cannot be served: 400, no attempt is made.
    #[error("{0}")]
    Request(String),
    /// The credential cannot be used: it is suspended, another one is tried.
    #[error(transparent)]
    Credential(#[from] Reason),
}

/// An HTTP request. Its `Debug` shows neither body nor query nor headers.
#[derive(Clone)]
pub struct Request {
    /// Method.
    pub method: Method,
    /// Absolute; a socket's is http(s) too.
    pub url: String,
    /// Headers; the host adds `user-agent: pollux/<version>` where there is none.
    pub headers: HeaderMap,
    /// Body.
    pub body: Bytes,
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = self.url.split('?').next().unwrap_or_default();
        write!(f, "Request({} {url}, {} bytes)", self.method, self.body.len())
    }
}

impl Request {
    /// A request without body.
    pub fn new(method: Method, url: impl Into<String>) -> Self {
        Self { method, url: url.into(), headers: HeaderMap::new(), body: Bytes::new() }
    }
    /// A POST of JSON bytes.
    pub fn post(url: impl Into<String>, body: impl Into<Bytes>) -> Self {
        Self { body: body.into(), ..Self::new(Method::POST, url) }
            .header(header::CONTENT_TYPE, "application/json")
    }
    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: &'static str) -> Self {
        self.headers.insert(name, HeaderValue::from_static(value));
        self
    }
    /// Puts `prefix` and a secret into a header that no log shows.
    ///
    /// # Errors
    /// Fails when the secret cannot be a header's value.
    pub fn secret(mut self, name: HeaderName, prefix: &str, secret: &Secret) -> Result<Self, Reason> {
        let mut value = HeaderValue::try_from(format!("{prefix}{}", secret.expose())).map_err(|_| {
            Reason::new("malformed_secret", "the stored secret has characters that no header may have")
        })?;
        value.set_sensitive(true);
        self.headers.insert(name, value);
        Ok(self)
    }
}

/// A whole HTTP reply. Its `Debug` shows no body: token endpoints answer with tokens.
#[derive(Clone)]
pub struct Reply {
    /// Status.
    pub status: StatusCode,
    /// Headers.
    pub headers: HeaderMap,
    /// Body, capped.
    pub body: Bytes,
}

impl Reply {
    /// A 200 with JSON.
    pub fn json(value: &serde_json::Value) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Self { status: StatusCode::OK, headers, body: value.to_string().into() }
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reply({}, {} bytes)", self.status, self.body.len())
    }
}

/// No reply came.
#[derive(Debug, Clone, thiserror::Error)]
#[error("upstream is unreachable: {text}")]
pub struct Unreachable {
    /// Whether the request may have reached upstream.
    pub sent: bool,
    /// For the log; no URL, no secret.
    pub text: String,
}
