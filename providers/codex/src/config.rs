use pollux_sdk::{ConfigError, HeaderValue, Request, Secret, Settings};
use serde::Deserialize;
use url::Url;

/// The provider's section. An empty text is the default, or none where there is no default.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// Offered until an account's survey names its own.
    pub(crate) model_list: Vec<String>,
    #[serde(alias = "custom_api_url")]
    pub(crate) api_url: String,
    user_agent: String,
    pub(crate) oauth: OAuth,
}

/// The login endpoints and the client they know us by.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct OAuth {
    pub(crate) authorize_url: String,
    pub(crate) token_url: String,
    /// Taken for symmetry with other providers, never called: the tokens themselves say whose they are.
    userinfo_url: String,
    pub(crate) client_id: String,
    client_secret: Option<Secret>,
}

/// Of Codex CLI 0.169.0's catalogue (2026-11), and the model of the first setups.
const MODELS: [&str; 6] =
    ["gpt-6.1-sol", "gpt-6-astra", "gpt-5.6-sol", "gpt-5.5", "gpt-5.2-codex", crate::catalogue::REVIEWER];

impl Config {
    /// Reads, fills up and checks the section.
    pub(crate) fn read(settings: Settings) -> Result<Self, ConfigError> {
        let provider = settings.id;
        let mut config: Self = settings.parse()?;
        let wrong = |key: &str, what: &str| Err(ConfigError { provider, message: format!("{key}: {what}") });
        let oauth = &mut config.oauth;
        for (key, value, default) in [
            ("api_url", &mut config.api_url, "https://chatgpt.com"),
            ("oauth.authorize_url", &mut oauth.authorize_url, "https://auth.openai.com/oauth/authorize"),
            ("oauth.token_url", &mut oauth.token_url, "https://auth.openai.com/oauth/token"),
            ("oauth.userinfo_url", &mut oauth.userinfo_url, ""),
            // The public client of Codex CLI, as its source has it; it has no secret.
            ("oauth.client_id", &mut oauth.client_id, "app_EMoamEEZ73f0CkXaXp7hrann"),
        ] {
            let given = value.trim();
            *value = if given.is_empty() { default } else { given }.to_owned();
            let web = Url::parse(value).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
            if key.ends_with("_url") && !value.is_empty() && !web {
                return wrong(key, &format!("`{value}` is not an http(s) URL"));
            }
        }
        config.api_url.truncate(config.api_url.trim_end_matches('/').len());
        if HeaderValue::from_str(config.user_agent.trim()).is_err() {
            return wrong("user_agent", "it has characters that no header may have");
        }
        if config.model_list.is_empty() {
            config.model_list = MODELS.map(Into::into).into();
        }
        if config.model_list.iter().any(|model| model.trim().is_empty()) {
            return wrong("model_list", "a model has no name");
        }
        Ok(config)
    }

    /// Adds the configured User-Agent where there is one; otherwise the host adds its own.
    pub(crate) fn signed(&self, mut request: Request) -> Request {
        if let Some(agent) =
            HeaderValue::from_str(self.user_agent.trim()).ok().filter(|agent| !agent.is_empty())
        {
            request.headers.insert("user-agent", agent);
        }
        request
    }
}

impl OAuth {
    /// A client of one's own may have a secret.
    pub(crate) fn secret(&self) -> Option<&str> {
        self.client_secret.as_ref().map(Secret::expose).filter(|secret| !secret.is_empty())
    }
}
