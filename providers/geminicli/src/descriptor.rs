use crate::config::USUAL;
use pollux_sdk::kit::oauth::Section;
use pollux_sdk::kit::with_params;
use pollux_sdk::{Alias, Descriptor, Dialect, Endpoint, Login, Model, Operation, Redirect, Shape};

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
        aliases: &[Alias::Shared("/v1beta"), Alias::Shared("/v1")],
        endpoints: assist(),
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

/// Code Assist's methods as Gemini CLI 0.61.0 calls them. Three cost something and go through the pool; the others
/// would tell of one account, or change it, and are answered here.
fn assist() -> Vec<Endpoint> {
    use Operation::{Local, Vendor};
    let post = |path, operation| Endpoint::post(path, operation, Dialect::Gemini).shaped(Shape::Whole);
    let get = |path, name| Endpoint::get(path, Local(name), Dialect::Gemini).shaped(Shape::Whole);
    vec![
        post("/v1internal:generateContent", Vendor("generateContent")),
        post("/v1internal:streamGenerateContent", Vendor("streamGenerateContent")).shaped(Shape::Events),
        post("/v1internal:countTokens", Vendor("countTokens")),
        post("/v1internal:loadCodeAssist", Local("loadCodeAssist")),
        post("/v1internal:onboardUser", Local("onboardUser")),
        get("/v1internal/operations/pollux", "operation"),
        post("/v1internal:retrieveUserQuota", Local("retrieveUserQuota")),
        post("/v1internal:fetchAdminControls", Local("fetchAdminControls")),
        post("/v1internal:listExperiments", Local("listExperiments")),
        post("/v1internal:recordCodeAssistMetrics", Local("recordCodeAssistMetrics")),
        get("/v1internal:getCodeAssistGlobalUserSetting", "userSetting"),
        post("/v1internal:setCodeAssistGlobalUserSetting", Local("userSetting")),
    ]
}
