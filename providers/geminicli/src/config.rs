use pollux_sdk::{ConfigError, HeaderName, HeaderValue, Method, Reason, Request, Secret, Settings};
use serde::Deserialize;
use url::Url;

/// Gemini CLI's own installed-app client: `OAUTH_CLIENT_ID` and `OAUTH_CLIENT_SECRET` of google-gemini/gemini-cli,
/// `packages/core/src/code_assist/oauth2.ts` (read 2026-11-21). The comment there says, after Google's guide to
/// installed applications, that this secret is not treated as one.
pub(crate) const CLIENT_ID: &str = "681255809395-oo8ft2oprdrnp9e3aqf6av3hmdib135j.apps.googleusercontent.com";
const CLIENT_SECRET: &str = "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";

/// The provider's section. A blank text means the default.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    #[serde(default = "model_list")]
    pub(crate) model_list: Vec<String>,
    #[serde(alias = "custom_api_url")]
    pub(crate) api_url: String,
    user_agent: String,
    pub(crate) oauth: OAuth,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct OAuth {
    pub(crate) authorize_url: String,
    pub(crate) token_url: String,
    pub(crate) userinfo_url: String,
    pub(crate) client_id: String,
    pub(crate) client_secret: Option<Secret>,
}

fn model_list() -> Vec<String> {
    vec!["gemini-2.5-pro".into()]
}

impl Config {
    /// Reads, completes and checks the section.
    pub(crate) fn read(settings: Settings) -> Result<Self, ConfigError> {
        let provider = settings.id;
        let wrong = |key: &str, error: &str| ConfigError { provider, message: format!("{key}: {error}") };
        let mut config: Self = settings.parse()?;
        let oauth = &mut config.oauth;
        for (key, value, usual) in [
            ("api_url", &mut config.api_url, "https://cloudcode-pa.googleapis.com"),
            ("oauth.authorize_url", &mut oauth.authorize_url, "https://accounts.google.com/o/oauth2/v2/auth"),
            ("oauth.token_url", &mut oauth.token_url, "https://oauth2.googleapis.com/token"),
            ("oauth.userinfo_url", &mut oauth.userinfo_url, "https://www.googleapis.com/oauth2/v2/userinfo"),
        ] {
            let given = value.trim().trim_end_matches('/');
            *value = if given.is_empty() { usual } else { given }.to_owned();
            let url = Url::parse(value).map_err(|error| wrong(key, &error.to_string()))?;
            if !matches!(url.scheme(), "http" | "https") {
                return Err(wrong(key, "must be an http or https address"));
            }
        }
        oauth.client_secret.take_if(|secret| secret.expose().trim().is_empty());
        if oauth.client_id.trim().is_empty() {
            if oauth.client_secret.is_some() {
                return Err(wrong("oauth.client_secret", "needs oauth.client_id beside it"));
            }
            (oauth.client_id, oauth.client_secret) = (CLIENT_ID.into(), Some(Secret::new(CLIENT_SECRET)));
        }
        HeaderValue::from_str(&config.user_agent).map_err(|error| wrong("user_agent", &error.to_string()))?;
        config.model_list.retain(|model| !model.trim().is_empty());
        Ok(config)
    }

    /// A JSON request of one login.
    pub(crate) fn signed(&self, method: Method, url: String, access: &Secret) -> Result<Request, Reason> {
        let request =
            Request::new(method, url).header(HeaderName::from_static("content-type"), "application/json");
        self.named(request).secret(HeaderName::from_static("authorization"), "Bearer ", access)
    }

    /// Adds the owner's User-Agent; without one the host adds ours.
    pub(crate) fn named(&self, mut request: Request) -> Request {
        if let (false, Ok(agent)) =
            (self.user_agent.trim().is_empty(), HeaderValue::from_str(&self.user_agent))
        {
            request.headers.insert(HeaderName::from_static("user-agent"), agent);
        }
        request
    }
}
