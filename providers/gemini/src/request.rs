use crate::config::Config;
use crate::reply::Answer;
use pollux_sdk::{
    Attempt, Call, HeaderName, Lease, Method, Operation, Plain, Reader, Reason, Refusal, Request, Secret,
    Shape,
};

/// What names itself truthfully: Google's own clients of this API.
const TOOLS: [&str; 2] = ["GeminiCLI", "google-genai-sdk"];

/// The client's own request under the account's key, in the version of the API that the client chose.
pub(crate) fn prepare(config: &Config, call: &Call, lease: &Lease<'_>) -> Result<Attempt, Refusal> {
    if !call.body.is_object() {
        return Err(Refusal::Request("the body must be a JSON object".into()));
    }
    if !is_name(&call.model) {
        return Err(Refusal::Request(
            "the model's name has other characters than a-z, 0-9, `.`, `_`, `-`".into(),
        ));
    }
    let (method, answers, reader): (_, _, Box<dyn Reader>) = match (call.endpoint.operation, call.shape) {
        (Operation::Generate, Shape::Whole) => {
            ("generateContent", Shape::Whole, Box::new(Answer::new(Shape::Whole)))
        }
        (Operation::Generate, _) => {
            ("streamGenerateContent?alt=sse", Shape::Events, Box::new(Answer::new(Shape::Events)))
        }
        _ => (method(call)?, Shape::Whole, Box::new(Plain)),
    };
    let version = if call.endpoint.version.is_empty() { "/v1beta" } else { call.endpoint.version };
    let path = format!("{version}/models/{}:{method}", call.model);
    let mut request = ask(config, &path, lease.credential.access()?)?;
    (request.method, request.body) = (Method::POST, call.body.bytes().clone());
    Ok(Attempt { request: request.on_behalf_of(&call.headers, &TOOLS), answers, reader })
}

/// A request with the key. Not in the URL, where Google takes it as well: URLs are logged.
pub(crate) fn ask(config: &Config, path: &str, key: &Secret) -> Result<Request, Reason> {
    Request { method: Method::GET, ..Request::post(format!("{}{path}", config.api_url), "") }
        .agent(&config.user_agent)
        .secret(HeaderName::from_static("x-goog-api-key"), "", key)
}

/// What the path calls it: several methods are one operation.
fn method(call: &Call) -> Result<&'static str, Refusal> {
    let named = call.endpoint.path.rsplit_once(':').map(|(_, method)| method);
    named.ok_or_else(|| Refusal::Request("the Gemini API has no such method".into()))
}

fn is_name(model: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=128).contains(&model.len()) && model.bytes().all(plain)
}
