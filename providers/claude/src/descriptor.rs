use pollux_sdk::kit::{oauth::Section, with_params};
use pollux_sdk::{Alias, Descriptor, Dialect, Login, Model, Operation, Redirect};

pub(crate) const ID: &str = "claude";

/// No more than requests and the quota's display need: of Claude Code's own list, not the right to make API keys.
const SCOPE: &str = "user:profile user:inference";

/// What Claude Code and the vendor's SDKs send about themselves and their conversation (2026-11).
const REQUEST_HEADERS: [&str; 5] = ["anthropic-*", "x-claude-code-*", "x-stainless-*", "x-app", "user-agent"];

/// Rate limits of both families among them. Whose organization or workspace it is, is no client's business.
const REPLY_HEADERS: [&str; 3] = ["anthropic-ratelimit-*", "anthropic-priority-*", "request-id"];

/// What the provider is, as data.
pub(crate) fn describe(config: &Section) -> Descriptor {
    let fixed = [
        ("code", "true"),
        ("response_type", "code"),
        ("client_id", &config.oauth.client_id),
        ("scope", SCOPE),
    ];
    Descriptor {
        id: ID,
        kind: "claude",
        title: "Claude",
        dialects: &[Dialect::Messages],
        operations: &[Operation::Generate, Operation::CountTokens, Operation::Models],
        models: config.model_list.iter().map(Model::named).collect(),
        aliases: &[Alias::Shared("/v1")],
        endpoints: Vec::new(),
        request_headers: &REQUEST_HEADERS,
        reply_headers: &REPLY_HEADERS,
        login: Some(Login {
            authorize: with_params(&config.oauth.authorize_url, fixed),
            // The vendor's page that shows `code#state`, to be carried over by hand.
            redirect: Redirect::Page("https://platform.claude.com/oauth/code/callback"),
        }),
        // A refresh token may be replaced at its use; whether the former one lives on is not known.
        single_use_refresh: true,
    }
}
