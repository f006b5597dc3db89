use crate::{Dialect, Shape};
use http::{HeaderMap, Method};

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
    /// The version segment it is mounted under, such as `/v1beta`; empty for a path without one.
    pub version: &'static str,
    /// Whether anybody may ask. Only for local answers that tell nothing of the pool.
    pub open: bool,
}

impl Endpoint {
    /// A POST route of `dialect`.
    pub const fn post(path: &'static str, operation: Operation, dialect: Dialect) -> Self {
        Self { method: Method::POST, path, operation, dialect, shape: None, version: "", open: false }
    }
    /// A GET route of `dialect`.
    pub const fn get(path: &'static str, operation: Operation, dialect: Dialect) -> Self {
        Self { method: Method::GET, path, operation, dialect, shape: None, version: "", open: false }
    }
    /// Answers without a key.
    #[must_use]
    pub const fn keyless(mut self) -> Self {
        self.open = true;
        self
    }
    /// Mounts it under a version segment.
    #[must_use]
    pub const fn under(mut self, version: &'static str) -> Self {
        self.version = version;
        self
    }
    /// Fixes the shape of the answer.
    #[must_use]
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

/// Where clients of `dialect` knock with HEAD, below the base they were given, before their first request. They
/// send no key with it, and any 2xx will do (Claude Code 2.1.197 and 2.1.329).
pub const fn knocks(dialect: Dialect) -> &'static [&'static str] {
    match dialect {
        Dialect::Messages => &["", "/", "/api/hello"],
        _ => &[],
    }
}

/// The language in which a list at `base` is answered where several share it: by the request's own marks, among the
/// languages whose clients look there.
pub fn spoken(base: &str, query: &str, headers: &HeaderMap) -> Dialect {
    const ALL: [Dialect; 4] = [Dialect::Responses, Dialect::Chat, Dialect::Messages, Dialect::Gemini];
    let at_home = |dialect: &Dialect| versions(*dialect).contains(&base);
    let common = !ALL.iter().any(at_home);
    let asked = query.split('&').any(|pair| pair.split('=').next() == Some("client_version"));
    // A Codex catalogue belongs to Responses whatever else is sent; OpenAI's clients have no mark of their own.
    let marks = [
        (asked, Dialect::Responses),
        (headers.contains_key("anthropic-version"), Dialect::Messages),
        (headers.contains_key("x-goog-api-key"), Dialect::Gemini),
        (true, Dialect::Responses),
    ];
    let fits = |dialect: &Dialect| common || at_home(dialect);
    let marked = marks.into_iter().filter(|(marked, _)| *marked).map(|(_, dialect)| dialect).find(fits);
    marked.or_else(|| ALL.into_iter().find(at_home)).unwrap_or(Dialect::Responses)
}

/// Every route that clients of `dialect` know, supported by a provider or not.
pub fn endpoints(dialect: Dialect) -> Vec<Endpoint> {
    use Operation::{Compact, CountTokens, Embed, Generate, Models};
    let post = |path, operation| Endpoint::post(path, operation, dialect);
    let models = Endpoint::get("/models", Models, dialect);
    let model = Endpoint::get("/models/{model}", Models, dialect);
    match dialect {
        Dialect::Responses => vec![
            post("/responses", Generate),
            Endpoint::get("/responses", Generate, dialect).shaped(Shape::Socket),
            post("/responses/compact", Compact),
            post("/embeddings", Embed),
            models,
            model,
        ],
        Dialect::Chat => vec![post("/chat/completions", Generate), post("/embeddings", Embed), models, model],
        Dialect::Messages => {
            let count = post("/messages/count_tokens", CountTokens).shaped(Shape::Whole);
            vec![post("/messages", Generate), count, models, model]
        }
        Dialect::Gemini => vec![
            post("/models/{model}:generateContent", Generate).shaped(Shape::Whole),
            post("/models/{model}:streamGenerateContent", Generate).shaped(Shape::Events),
            post("/models/{model}:countTokens", CountTokens).shaped(Shape::Whole),
            post("/models/{model}:embedContent", Embed).shaped(Shape::Whole),
            post("/models/{model}:batchEmbedContents", Embed).shaped(Shape::Whole),
            model,
            Endpoint::get("/openai/models", Models, Dialect::Chat),
            models,
        ],
    }
}

/// The last segment of a Gemini path, taken apart: `gemini-2.5-pro:generateContent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target<'a> {
    /// Model, without `models/`.
    pub model: &'a str,
    /// What follows the last colon.
    pub method: &'a str,
    /// What the dialect does by that name; `None` for a method nobody knows.
    pub operation: Option<Operation>,
}

impl<'a> Target<'a> {
    /// Takes `{model}:{method}` apart; `None` without a colon, or with nothing on a side of it.
    ///
    /// A known method that a provider lacks is a 501, an unknown one a 404: never another method in its place.
    pub fn parse(segment: &'a str) -> Option<Self> {
        let (model, method) = segment.rsplit_once(':')?;
        let model = model.strip_prefix("models/").unwrap_or(model);
        let operation = match method {
            "generateContent" | "streamGenerateContent" => Some(Operation::Generate),
            "countTokens" => Some(Operation::CountTokens),
            "embedContent" | "batchEmbedContents" => Some(Operation::Embed),
            _ => None,
        };
        (!model.is_empty() && !method.is_empty()).then_some(Self { model, method, operation })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_gemini_route_is_a_known_target_of_the_same_operation() {
        let mut seen = 0;
        for endpoint in endpoints(Dialect::Gemini) {
            if let Some(target) = endpoint.path.strip_prefix("/models/").and_then(Target::parse) {
                assert_eq!(target.operation, Some(endpoint.operation), "{}", endpoint.path);
                seen += 1;
            }
        }
        assert_eq!(seen, 5);
    }

    #[test]
    fn a_path_is_taken_apart_at_its_last_colon() {
        let parse =
            |segment| Target::parse(segment).map(|target| (target.model, target.method, target.operation));
        assert_eq!(parse("g:countTokens"), Some(("g", "countTokens", Some(Operation::CountTokens))));
        assert_eq!(parse("models/g:fly"), Some(("g", "fly", None)));
        assert_eq!(parse("a:b:embedContent"), Some(("a:b", "embedContent", Some(Operation::Embed))));
        for odd in ["g", "", ":generateContent", "g:", "models/:generateContent"] {
            assert_eq!(parse(odd), None, "{odd}");
        }
    }

    #[test]
    fn a_shared_list_is_told_by_the_marks_of_the_request() {
        let table: [(&str, &str, &[&str], Dialect); 10] = [
            ("/v1", "", &[], Dialect::Responses),
            ("/v1", "client_version=0.169.0", &[], Dialect::Responses),
            ("/v1", "", &["anthropic-version"], Dialect::Messages),
            ("/v1", "", &["x-goog-api-key"], Dialect::Gemini),
            ("/v1", "limit=1&client_version=1", &["anthropic-version", "x-goog-api-key"], Dialect::Responses),
            ("/v1", "", &["anthropic-version", "x-goog-api-key"], Dialect::Messages),
            // Only Gemini's clients look there.
            ("/v1beta", "", &[], Dialect::Gemini),
            ("/v1beta", "client_version=1", &["anthropic-version"], Dialect::Gemini),
            ("/nobodys", "", &["x-goog-api-key"], Dialect::Gemini),
            ("/nobodys", "client_versions=1", &[], Dialect::Responses),
        ];
        for (base, query, marks, dialect) in table {
            let headers = marks.iter().map(|mark| (mark.parse().unwrap(), "x".parse().unwrap())).collect();
            assert_eq!(spoken(base, query, &headers), dialect, "{base} {query} {marks:?}");
        }
    }

    #[test]
    fn no_dialect_lists_a_route_twice() {
        for dialect in [Dialect::Responses, Dialect::Chat, Dialect::Messages, Dialect::Gemini] {
            let routes = endpoints(dialect);
            for (at, route) in routes.iter().enumerate() {
                let twin = routes[at + 1..]
                    .iter()
                    .find(|other| (&other.method, other.path) == (&route.method, route.path));
                assert_eq!(twin, None);
            }
        }
    }
}
