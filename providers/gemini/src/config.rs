use pollux_sdk::kit::{is_web_url, text};
use pollux_sdk::{ConfigError, HeaderValue, Settings};
use serde::Deserialize;

const API_URL: &str = "https://generativelanguage.googleapis.com";

/// The section of the configuration. A blank text means the vendor's own value.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// Models offered; empty offers all that the keys have.
    pub(crate) model_list: Vec<String>,
    /// Base of the API, without a slash at its end.
    #[serde(alias = "custom_api_url")]
    pub(crate) api_url: String,
    pub(crate) user_agent: String,
}

impl Config {
    pub(crate) fn read(settings: Settings) -> Result<Self, ConfigError> {
        let id = settings.id;
        let mut config: Self = settings.parse()?;
        let given = text(&config.api_url.as_str().into()).unwrap_or(API_URL).trim_end_matches('/').to_owned();
        if !is_web_url(&given) {
            return Err(ConfigError::key(id, "api_url", &format!("`{given}` is not an http(s) URL")));
        }
        config.api_url = given;
        if HeaderValue::from_str(config.user_agent.trim()).is_err() {
            return Err(ConfigError::key(id, "user_agent", "it has characters that no header may have"));
        }
        config.model_list.retain(|model| !model.trim().is_empty());
        Ok(config)
    }
}
