//! A provider's `samples.json`, read strictly: a misspelt member would silently check nothing.

use bytes::Bytes;
use pollux_sdk::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Samples {
    pub(super) config: Value,
    #[serde(default)]
    pub(super) bad_config: Vec<Value>,
    pub(super) files: Vec<Value>,
    #[serde(default)]
    pub(super) account: Account,
    pub(super) calls: Vec<CallSample>,
    #[serde(default)]
    pub(super) answers: Vec<Answer>,
    #[serde(default)]
    pub(super) faults: Vec<Answer>,
    #[serde(default)]
    pub(super) failures: Vec<FailureSample>,
    #[serde(default)]
    pub(super) grants: Vec<GrantSample>,
    #[serde(default)]
    pub(super) quotas: Vec<QuotaSample>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Account {
    pub(super) access: Option<String>,
    pub(super) subject: Option<String>,
    pub(super) label: Option<String>,
    pub(super) extra: Map<String, Value>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CallSample {
    pub(super) path: String,
    #[serde(default = "post")]
    pub(super) method: String,
    #[serde(default)]
    pub(super) model: String,
    #[serde(default)]
    pub(super) query: String,
    #[serde(default)]
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: Option<Value>,
}

fn post() -> String {
    "POST".to_owned()
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Answer {
    pub(super) name: String,
    pub(super) call: usize,
    pub(super) events: Option<Vec<EventSample>>,
    pub(super) body: Option<Value>,
    pub(super) usage: Option<UsageSample>,
    pub(super) id: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EventSample {
    #[serde(default)]
    pub(super) name: String,
    pub(super) data: Value,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct UsageSample {
    pub(super) input: u64,
    pub(super) cache_read: Option<u64>,
    pub(super) cache_write: Option<u64>,
    pub(super) output: u64,
    pub(super) reasoning: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FailureSample {
    pub(super) name: String,
    pub(super) call: usize,
    pub(super) status: Option<u16>,
    pub(super) cause: Option<CauseSample>,
    #[serde(default)]
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: Option<Value>,
    pub(super) now: u64,
    pub(super) next: String,
    pub(super) effect: String,
    pub(super) until: Option<u64>,
    pub(super) code: Option<String>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum CauseSample {
    Event,
    Unsent,
    Lost,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GrantSample {
    pub(super) name: String,
    pub(super) status: u16,
    pub(super) body: Option<Value>,
    pub(super) gives: Option<Gives>,
    pub(super) error: Option<String>,
    pub(super) code: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Gives {
    pub(super) access: Option<String>,
    pub(super) refresh: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct QuotaSample {
    pub(super) name: String,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) windows: Vec<WindowSample>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WindowSample {
    pub(super) length: Option<u64>,
    pub(super) model: Option<String>,
    pub(super) used: Option<f64>,
    pub(super) resets_at: Option<u64>,
}

impl Samples {
    /// Reads them, and sees that they refer to each other rightly.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let samples: Self = serde_json::from_str(text).map_err(|error| error.to_string())?;
        ensure!(samples.config.is_object(), "`config` is no object");
        ensure!(!samples.files.is_empty(), "`files` is empty");
        ensure!(!samples.calls.is_empty(), "`calls` is empty");
        let answers = samples.answers.iter().chain(&samples.faults);
        let told = answers.clone().map(|answer| (&answer.name, answer.call));
        let judged = samples.failures.iter().map(|failure| (&failure.name, failure.call));
        for (name, call) in told.chain(judged) {
            ensure!(call < samples.calls.len(), "`{name}` is about call {call}, and there is none");
        }
        for Answer { name, events, body, .. } in answers {
            ensure!(events.is_some() != body.is_some(), "`{name}` has not one of `events` and `body`");
            ensure!(events.as_ref().is_none_or(|events| !events.is_empty()), "`{name}` has no event");
        }
        for FailureSample { name, status, cause, next, effect, until, .. } in &samples.failures {
            ensure!(status.is_some() != cause.is_some(), "`{name}` has not one of `status` and `cause`");
            ensure!(
                ["deliver", "rotate", "again"].contains(&next.as_str()),
                "`{name}`: next `{next}` is unknown"
            );
            let known =
                ["none", "cool_model", "cool_credential", "refresh", "suspend", "drop_model", "unfit"];
            ensure!(known.contains(&effect.as_str()), "`{name}`: effect `{effect}` is unknown");
            ensure!(
                until.is_some() == effect.starts_with("cool"),
                "`{name}`: a cooldown has `until`, nothing else has"
            );
        }
        for GrantSample { name, gives, error, .. } in &samples.grants {
            ensure!(gives.is_some() != error.is_some(), "`{name}` has not one of `gives` and `error`");
            let known = ["suspend", "transient", "unsure"];
            let fine = error.as_deref().is_none_or(|error| known.contains(&error));
            ensure!(fine, "`{name}`: error `{error:?}` is unknown");
        }
        let texts = samples.calls.iter().map(|call| &call.headers);
        let texts = texts.chain(samples.failures.iter().map(|failure| &failure.headers));
        for all in texts.chain(samples.quotas.iter().map(|quota| &quota.headers)) {
            ensure!(headers(all).len() == all.len(), "these are no headers: {all:?}");
        }
        Ok(samples)
    }
}

/// What can be a header.
pub(super) fn headers(of: &BTreeMap<String, String>) -> HeaderMap {
    let pair = |(name, value): (&String, &String)| {
        Some((HeaderName::try_from(name).ok()?, HeaderValue::try_from(value).ok()?))
    };
    of.iter().filter_map(pair).collect()
}

/// A body as it travels: a JSON text stands for itself, so that what is no JSON can be told.
pub(super) fn wire(body: Option<&Value>) -> Bytes {
    match body {
        None => Bytes::new(),
        Some(Value::String(text)) => text.clone().into(),
        Some(json) => json.to_string().into(),
    }
}
