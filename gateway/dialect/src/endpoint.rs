use crate::{Dialect, Shape};
use http::Method;

/// What a client asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// Generate an answer. The only operation that is ever translated.
    Generate,
    /// Count the tokens of a request.
    CountTokens,
    /// Compact a conversation.
    Compact,
    /// Embed text.
    Embed,
    /// List the models; answered by the host or by `Provider::answer`.
    Models,
    /// The vendor's own protocol, envelope and all, through the pool.
    Vendor(&'static str),
    /// Answered here from the pool's state, never sent upstream.
    Local(&'static str),
}

/// A route as data. Paths are actix patterns; `{model}` is the model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Method.
    pub method: Method,
    /// Below the base it is mounted at.
    pub path: &'static str,
    /// What it does.
    pub operation: Operation,
    /// The language of its errors, and of its body unless `Vendor`.
    pub dialect: Dialect,
    /// The answer's shape where the path decides it; otherwise the body's `stream` does.
    pub shape: Option<Shape>,
}

impl Endpoint {
    /// A POST route of `dialect`.
    pub const fn post(path: &'static str, operation: Operation, dialect: Dialect) -> Self {
        Self { method: Method::POST, path, operation, dialect, shape: None }
    }
    /// A GET route of `dialect`.
    pub const fn get(path: &'static str, operation: Operation, dialect: Dialect) -> Self {
        Self { method: Method::GET, path, operation, dialect, shape: None }
    }
    /// Fixes the shape of the answer.
    pub const fn shaped(mut self, shape: Shape) -> Self {
        self.shape = Some(shape);
        self
    }
}

/// Version segments under which clients of `dialect` look for it.
pub const fn versions(dialect: Dialect) -> &'static [&'static str] {
    match dialect {
        Dialect::Gemini => &["/v1beta", "/v1"],
        _ => &["/v1"],
    }
}

/// Every route that clients of `dialect` know, supported by a provider or not.
pub fn endpoints(dialect: Dialect) -> Vec<Endpoint> {
    use Operation::{Compact, CountTokens, Embed, Generate, Models};
    let post = |path, operation| Endpoint::post(path, operation, dialect);
    let models = Endpoint::get("/models", Models, dialect);
    match dialect {
        Dialect::Responses => vec![
            post("/responses", Generate),
            Endpoint::get("/responses", Generate, dialect).shaped(Shape::Socket),
            post("/responses/compact", Compact),
            post("/embeddings", Embed),
            models,
        ],
        Dialect::Chat => vec![post("/chat/completions", Generate), post("/embeddings", Embed), models],
        Dialect::Messages => vec![post("/messages", Generate), post("/messages/count_tokens", CountTokens), models],
        Dialect::Gemini => vec![
            post("/models/{model}:generateContent", Generate).shaped(Shape::Whole),
            post("/models/{model}:streamGenerateContent", Generate).shaped(Shape::Events),
            post("/models/{model}:countTokens", CountTokens).shaped(Shape::Whole),
            post("/models/{model}:embedContent", Embed).shaped(Shape::Whole),
            post("/models/{model}:batchEmbedContents", Embed).shaped(Shape::Whole),
            Endpoint::get("/models/{model}", Models, dialect),
            Endpoint::get("/openai/models", Models, Dialect::Chat),
            models,
        ],
    }
}
