use crate::config::Config;
use crate::request::ask;
use crate::verdict::suspension;
use pollux_sdk::kit::google::GoogleError;
use pollux_sdk::kit::oauth::put;
use pollux_sdk::kit::{each, fingerprint, masked, text};
use pollux_sdk::{AccountError, Credential, Io, Model, Recognition, Reply, Secret, Survey};
use serde_json::{Value, json};

/// An entry of `resource:add`, and the variables under which Google's tools look for a key.
const NAMES: [&str; 4] = ["api_key", "apiKey", "GEMINI_API_KEY", "GOOGLE_API_KEY"];

/// Recognises a key by its name. Other vendors' keys begin with `sk-`, and stand under the same name.
pub(crate) fn import(file: &Value) -> Option<Credential> {
    let key = NAMES.iter().find_map(|name| text(&file[*name]))?;
    (!key.starts_with("sk-")).then(|| Credential::from_key(key))
}

/// Tells Google's keys by their form, and by names that only Google's tools have.
pub(crate) fn recognise(file: &Value) -> Recognition {
    let Some(credential) = import(file) else { return Recognition::Foreign };
    let form = credential.access.is_some_and(|key| key.expose().starts_with("AIza"));
    let named = ["GEMINI_API_KEY", "GOOGLE_API_KEY"].iter().any(|name| file.get(*name).is_some());
    if form || named { Recognition::Own } else { Recognition::Possible }
}

/// Writes the key under the name that the file uses already.
pub(crate) fn export(credential: &Credential, file: &mut Value) {
    if !file.is_object() {
        *file = json!({});
    }
    put(file, &NAMES, credential.access.as_ref().map(|key| key.expose().into()));
}

/// Asks with the key for the models, which costs nothing, so that a bad one is known at once. Google does not tell
/// whose a key is: the key is the account.
pub(crate) async fn enroll(
    config: &Config,
    io: &dyn Io,
    mut credential: Credential,
) -> Result<Vec<Credential>, AccountError> {
    models(config, io, credential.access()?, 1).await?;
    let key = credential.access()?;
    let (subject, label) = (fingerprint(key), masked(key));
    (credential.subject, credential.label) = (Some(subject), Some(label));
    Ok(vec![credential])
}

/// Asks which models the key has.
pub(crate) async fn survey(
    config: &Config,
    io: &dyn Io,
    account: &Credential,
) -> Result<Survey, AccountError> {
    let list = models(config, io, account.access()?, 1000).await?.value();
    let model = |entry: &Value| {
        let id = text(&entry["name"])?.strip_prefix("models/")?.to_owned();
        Some(Model { id, entry: entry.clone() })
    };
    let models: Vec<Model> = each(&list["models"]).filter_map(model).collect();
    Ok(Survey { models: (!models.is_empty()).then_some(models), ..Survey::default() })
}

async fn models(config: &Config, io: &dyn Io, key: &Secret, most: u16) -> Result<Reply, AccountError> {
    let reply = io.ask(ask(config, &format!("/v1beta/models?pageSize={most}"), key)?).await?;
    if reply.status.is_success() {
        return Ok(reply);
    }
    let error = GoogleError::read(&reply.body);
    let passing =
        || AccountError::Transient(format!("Google answered {}: {}", reply.status, error.message()));
    Err(suspension(reply.status.as_u16(), &error).map_or_else(passing, Into::into))
}
