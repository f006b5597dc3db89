use crate::config::USUAL;
use pollux_sdk::{
    Descriptor, Dialect, Login, Model, Operation, Redirect,
    kit::{
        oauth::{OAuth, Section},
        with_params,
    },
};

pub(crate) const SCOPES: &str = "https://www.googleapis.com/auth/cloud-platform \
    https://www.googleapis.com/auth/userinfo.email https://www.googleapis.com/auth/userinfo.profile";

pub(crate) fn describe(config: &Section) -> Descriptor {
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
        login: Some(login(&config.oauth)),
        single_use_refresh: false,
    }
}

fn login(oauth: &OAuth) -> Login {
    // Without `prompt=consent` a second login of the same person brings no refresh token (2026-08).
    let fixed = [
        ("client_id", oauth.client_id.as_str()),
        ("response_type", "code"),
        ("access_type", "offline"),
        ("prompt", "consent"),
        ("scope", SCOPES),
    ];
    // Google allows Gemini CLI's client, an installed app's, loopback addresses only.
    let redirect = Redirect::Here { path: "/oauth2callback", anywhere: oauth.client_id != USUAL.client_id };
    Login { authorize: with_params(&oauth.authorize_url, fixed), redirect }
}
