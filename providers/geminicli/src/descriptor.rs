use crate::config::{CLIENT_ID, Config};
use pollux_sdk::{Descriptor, Dialect, Login, Model, Operation, Redirect};
use url::Url;

pub(crate) const SCOPES: &str = "https://www.googleapis.com/auth/cloud-platform \
    https://www.googleapis.com/auth/userinfo.email https://www.googleapis.com/auth/userinfo.profile";

pub(crate) fn describe(config: &Config) -> Descriptor {
    Descriptor {
        id: "geminicli",
        title: "Gemini CLI",
        dialects: &[Dialect::Gemini],
        operations: &[Operation::Generate, Operation::CountTokens, Operation::Models],
        models: config.model_list.iter().map(Model::named).collect(),
        aliases: &[],
        endpoints: Vec::new(),
        request_headers: &["x-goog-api-client", "user-agent"],
        reply_headers: &["x-cloudaicompanion-trace-id"],
        login: Some(login(config)),
        single_use_refresh: false,
    }
}

fn login(config: &Config) -> Login {
    // Without `prompt=consent` a second login of the same person brings no refresh token (2026-08).
    let fixed = [
        ("client_id", config.oauth.client_id.as_str()),
        ("response_type", "code"),
        ("access_type", "offline"),
        ("prompt", "consent"),
        ("scope", SCOPES),
    ];
    let authorize = Url::parse_with_params(&config.oauth.authorize_url, fixed)
        .map_or_else(|_| config.oauth.authorize_url.clone(), Into::into);
    // Google allows Gemini CLI's client, an installed app's, loopback addresses only.
    let redirect = Redirect::Here { path: "/oauth2callback", anywhere: config.oauth.client_id != CLIENT_ID };
    Login { authorize, redirect }
}
