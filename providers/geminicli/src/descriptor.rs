use crate::config::USUAL;
use pollux_sdk::kit::oauth::Section;
use pollux_sdk::kit::with_params;
use pollux_sdk::{Descriptor, Dialect, Login, Model, Operation, Redirect};

pub(crate) const SCOPES: &str = "https://www.googleapis.com/auth/cloud-platform \
    https://www.googleapis.com/auth/userinfo.email https://www.googleapis.com/auth/userinfo.profile";

pub(crate) fn describe(own: &Section) -> Descriptor {
    let client = own.oauth.client_id.as_str();
    // Without `prompt=consent` a second login of the same person brings no refresh token (2026-08).
    let fixed = [
        ("client_id", client),
        ("response_type", "code"),
        ("access_type", "offline"),
        ("prompt", "consent"),
        ("scope", SCOPES),
    ];
    Descriptor {
        id: "geminicli",
        title: "Gemini CLI",
        kind: "gemini",
        dialects: &[Dialect::Gemini],
        operations: &[Operation::Generate, Operation::CountTokens, Operation::Models],
        models: own.model_list.iter().map(Model::named).collect(),
        aliases: &[],
        endpoints: Vec::new(),
        request_headers: &["x-goog-api-client", "user-agent"],
        reply_headers: &["x-cloudaicompanion-trace-id"],
        login: Some(Login {
            authorize: with_params(&own.oauth.authorize_url, fixed),
            // Google allows Gemini CLI's client, an installed app's, loopback addresses only.
            redirect: Redirect::Here { path: "/oauth2callback", anywhere: client != USUAL.client_id },
        }),
        single_use_refresh: false,
    }
}
