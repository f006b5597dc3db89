//! The Gemini API: its keys, models and ways to say no, as documented and recorded in 2026.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::generate::{self, Granted};
use super::{Refusal, State, World, lock, request};
use crate::simulator::quota::{self, Quota};
use crate::simulator::reply::Reply;
use crate::simulator::script::{self, Script};
use crate::simulator::server::Asked;
use crate::simulator::token;

const SERVICE: &str = "generativelanguage.googleapis.com";
/// Models that only embed.
const EMBEDDING: &str = "gemini-embedding-001";

/// One way to say no.
#[derive(Clone, Debug)]
pub enum KeyRefusal {
    /// 400 `API_KEY_INVALID`.
    Invalid,
    /// 403 in a sentence alone: the key was found in public.
    Leaked,
    /// 403 `SERVICE_DISABLED`: the API is off in the key's project.
    ServiceDisabled,
    /// 429: the day's requests are spent; told beside a pace of seconds.
    PerDay,
    /// 429: the minute's requests are spent.
    PerMinute(Duration),
    /// 400: Google does not serve where the caller is.
    Elsewhere,
    /// 503.
    Overloaded,
    /// 400 with this message.
    InvalidArgument(String),
    /// 403: a file in the request belongs to somebody else.
    ForeignFile,
}

impl KeyRefusal {
    fn is_of_the_key(&self) -> bool {
        matches!(self, Self::Invalid | Self::Leaked | Self::ServiceDisabled)
    }

    fn reply(&self, model: &str) -> Reply {
        let reason = |reason: &str| json!({"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "domain": "googleapis.com", "metadata": {"service": SERVICE}});
        match self {
            Self::Invalid => {
                let message = "API key not valid. Please pass a valid API key.";
                error(400, "INVALID_ARGUMENT", message, &[reason("API_KEY_INVALID")])
            }
            Self::Leaked => {
                let message = "Your API key was reported as leaked. Please use another API key.";
                error(403, "PERMISSION_DENIED", message, &[])
            }
            Self::ServiceDisabled => {
                let message =
                    "Generative Language API has not been used in project 1 before or it is disabled.";
                error(403, "PERMISSION_DENIED", message, &[reason("SERVICE_DISABLED")])
            }
            Self::PerDay => {
                spent("GenerateRequestsPerDayPerProjectPerModel-FreeTier", model, Duration::from_secs(53))
            }
            Self::PerMinute(wait) => {
                spent("GenerateRequestsPerMinutePerProjectPerModel-FreeTier", model, *wait)
            }
            Self::Elsewhere => {
                error(400, "FAILED_PRECONDITION", "User location is not supported for the API use.", &[])
            }
            Self::Overloaded => {
                error(503, "UNAVAILABLE", "The model is overloaded. Please try again later.", &[])
            }
            Self::InvalidArgument(message) => error(400, "INVALID_ARGUMENT", message, &[]),
            Self::ForeignFile => {
                let message = "You do not have permission to access the File abc or it may not exist.";
                error(403, "PERMISSION_DENIED", message, &[])
            }
        }
    }
}

fn error(code: u16, status: &str, message: &str, details: &[Value]) -> Reply {
    let mut error = json!({"code": code, "message": message, "status": status});
    if !details.is_empty() {
        error["details"] = details.into();
    }
    Reply::json(code, &json!({ "error": error }))
}

fn spent(quota: &str, model: &str, wait: Duration) -> Reply {
    let message = "You exceeded your current quota, please check your plan and billing details.";
    let details = [
        json!({"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{
            "quotaMetric": format!("{SERVICE}/generate_content_free_tier_requests"), "quotaId": quota,
            "quotaDimensions": {"location": "global", "model": model}, "quotaValue": "250",
        }]}),
        json!({"@type": "type.googleapis.com/google.rpc.Help", "links": [
            {"description": "Learn more about Gemini API quotas", "url": "https://ai.google.dev/gemini-api/docs/rate-limits"},
        ]}),
        json!({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": format!("{}s", wait.as_secs())}),
    ];
    error(429, "RESOURCE_EXHAUSTED", message, &details)
}

#[derive(Debug, Default)]
struct Held {
    text: String,
    refusal: Option<KeyRefusal>,
    quotas: Vec<Quota<KeyRefusal>>,
}

/// All keys, by label.
#[derive(Debug, Default)]
pub(super) struct Keys(BTreeMap<String, Held>);

impl Keys {
    /// The label of the key that a request carries.
    pub(super) fn owner(&self, asked: &Asked) -> Option<String> {
        let given = given(asked)?;
        self.0.iter().find(|(_, held)| held.text == given).map(|(label, _)| label.clone())
    }
}

fn given(asked: &Asked) -> Option<&str> {
    asked.request.header("x-goog-api-key").or_else(|| asked.query("key"))
}

/// One key of the Gemini API; the setters change it while it is in use.
#[derive(Clone, Debug)]
pub struct Key {
    world: Arc<World>,
    label: String,
}

#[expect(clippy::return_self_not_must_use, reason = "a setter has done its work when it returns")]
impl Key {
    pub(super) fn of(world: &Arc<World>, label: &str) -> Self {
        let made = || Held { text: format!("AIzaSy-sim-{label}-{}", token::random()), ..Held::default() };
        lock(&world.google).keys.0.entry(label.to_owned()).or_insert_with(made);
        Self { world: Arc::clone(world), label: label.to_owned() }
    }

    fn change(&self, change: impl FnOnce(&mut Held)) -> Self {
        lock(&self.world.google).keys.0.get_mut(&self.label).map(change);
        self.clone()
    }

    /// The key itself.
    pub fn text(&self) -> String {
        let state = lock(&self.world.google);
        state.keys.0.get(&self.label).map(|held| held.text.clone()).unwrap_or_default()
    }

    /// Refuses everything until told otherwise; nothing lifts refusal and quotas.
    pub fn refuse(&self, refusal: Option<KeyRefusal>) -> Self {
        self.change(|held| {
            if refusal.is_none() {
                held.quotas.clear();
            }
            held.refusal = refusal;
        })
    }

    /// After this many answers (of one model, or of all), generation is refused.
    pub fn quota(&self, model: Option<&str>, answers: usize, refusal: KeyRefusal) -> Self {
        let quota = Quota { model: model.map(str::to_owned), left: answers, refusal };
        self.change(|held| held.quotas.push(quota))
    }
}

/// Whose key it is, if the request may be looked at.
fn admit(state: &State, asked: &Asked) -> Result<String, Reply> {
    if asked.request.bearer().is_some() {
        return Err(Refusal::Unauthenticated.reply(""));
    }
    if given(asked).is_none() {
        let message = "Method doesn't allow unregistered callers (callers without established identity). \
                       Please use API Key or other form of API consumer identity to call this API.";
        return Err(error(403, "PERMISSION_DENIED", message, &[]));
    }
    state.keys.owner(asked).ok_or_else(|| KeyRefusal::Invalid.reply(""))
}

pub(super) fn answer(state: &mut State, script: &Script, asked: &Asked, method: &str, path: &str) -> Reply {
    let label = match admit(state, asked) {
        Ok(label) => label,
        Err(refused) => return refused,
    };
    let (version, rest) = path.trim_start_matches('/').split_once('/').unwrap_or_default();
    match (method, rest.strip_prefix("models")) {
        ("GET", Some("")) => listed(state, &label, version, asked),
        ("GET", Some(name)) => one(state, version, name.trim_start_matches('/')),
        ("POST", Some(target)) => {
            let Some((model, call)) = target.trim_start_matches('/').rsplit_once(':') else {
                return Reply::html(404, "<!DOCTYPE html><title>Error 404 (Not Found)!!1</title>");
            };
            called(state, script, asked, &label, version, model, call).unwrap_or_else(|refused| refused)
        }
        _ => Reply::html(404, "<!DOCTYPE html><title>Error 404 (Not Found)!!1</title>"),
    }
}

/// Previews are in the beta of the API alone.
fn offered(state: &State, version: &str) -> Vec<String> {
    let all = state.models.iter().cloned().chain([EMBEDDING.to_owned()]);
    all.filter(|model| version == "v1beta" || !model.contains("preview")).collect()
}

fn methods(model: &str) -> &'static [&'static str] {
    if model == EMBEDDING {
        &["embedContent", "batchEmbedContents", "countTokens"]
    } else {
        &["generateContent", "streamGenerateContent", "countTokens"]
    }
}

fn described(model: &str) -> Value {
    json!({
        "name": format!("models/{model}"), "version": "001", "displayName": format!("Simulated {model}"),
        "description": "A simulated model.", "inputTokenLimit": 1_048_576, "outputTokenLimit": 65536,
        "supportedGenerationMethods": methods(model), "temperature": 1, "topP": 0.95, "topK": 64, "maxTemperature": 2,
    })
}

fn listed(state: &State, label: &str, version: &str, asked: &Asked) -> Reply {
    // What a key is refused for altogether, it is refused for here.
    let refusal = state.keys.0[label].refusal.as_ref();
    if let Some(refusal) = refusal.filter(|refusal| refusal.is_of_the_key()) {
        return refusal.reply("");
    }
    let size = asked.query("pageSize").and_then(|size| size.parse().ok()).unwrap_or(50);
    let all = offered(state, version);
    let models: Vec<_> = all.iter().take(size).map(|model| described(model)).collect();
    let mut list = json!({ "models": models });
    if all.len() > size {
        list["nextPageToken"] = json!("more");
    }
    Reply::json(200, &list)
}

fn one(state: &State, version: &str, model: &str) -> Reply {
    if offered(state, version).iter().any(|name| name == model) {
        return Reply::json(200, &described(model));
    }
    missing(model, version, "GetModel")
}

fn missing(model: &str, version: &str, call: &str) -> Reply {
    let message = format!(
        "models/{model} is not found for API version {version}, or is not supported for {call}. Call ListModels to \
         see the list of available models and their supported methods."
    );
    error(404, "NOT_FOUND", &message, &[])
}

fn called(
    state: &mut State,
    script: &Script,
    asked: &Asked,
    label: &str,
    version: &str,
    model: &str,
    call: &str,
) -> Result<Reply, Reply> {
    let known = offered(state, version).iter().any(|name| name == model);
    if !known || !methods(model).contains(&call) {
        return Err(missing(model, version, call));
    }
    let wrong = |message: &str| KeyRefusal::InvalidArgument(message.to_owned()).reply("");
    let Some(body @ Value::Object(_)) = asked.json() else {
        return Err(wrong("Invalid JSON payload received."));
    };
    if call.starts_with("generate") || call.starts_with("stream") {
        request::check(&body, model, &state.signatures).map_err(|message| wrong(&message))?;
    }
    let held = state.keys.0.get_mut(label).ok_or_else(|| KeyRefusal::Invalid.reply(""))?;
    if let Some(refusal) = &held.refusal {
        return Err(refusal.reply(model));
    }
    quota::spend(&mut held.quotas, model).map_err(|refusal| refusal.reply(model))?;
    Ok(match call {
        "generateContent" => {
            let granted = Granted::new(script, model, &body);
            generate::whole(state, &granted, named)
        }
        "streamGenerateContent" => {
            let granted = Granted::new(script, model, &body);
            generate::streamed(state, script, asked, &granted, named)
        }
        "countTokens" => {
            let inner = body.get("generateContentRequest").unwrap_or(&body);
            let tokens = script::count_tokens(inner["contents"].to_string().len());
            let details = json!([{"modality": "TEXT", "tokenCount": tokens}]);
            Reply::json(200, &json!({"totalTokens": tokens, "promptTokensDetails": details}))
        }
        "embedContent" => Reply::json(200, &json!({"embedding": embedding(&body["content"])})),
        _ => {
            let requests = body["requests"]
                .as_array()
                .ok_or_else(|| wrong("* BatchEmbedContentsRequest.requests: required"))?;
            let all: Vec<_> = requests.iter().map(|request| embedding(&request["content"])).collect();
            Reply::json(200, &json!({ "embeddings": all }))
        }
    })
}

/// The document as it is, with the id of the answer in it.
fn named(document: &Value, id: &str) -> Value {
    let mut named = document.clone();
    named["responseId"] = json!(id);
    named
}

/// Tells texts apart by their length, which is enough to see whose embedding it is.
fn embedding(content: &Value) -> Value {
    json!({"values": [content.to_string().len(), 0.5, -0.25]})
}
