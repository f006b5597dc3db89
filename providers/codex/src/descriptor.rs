use crate::side;
use pollux_sdk::kit::{oauth::Section, with_params};
use pollux_sdk::{Alias, Descriptor, Dialect, Login, Model, Operation, Redirect};

pub(crate) const ID: &str = "codex";

const SCOPE: &str = "openid profile email offline_access api.connectors.read api.connectors.invoke";

/// What Codex CLI 0.169.0 and its predecessors send (2026-11), in all their spellings.
#[rustfmt::skip]
const REQUEST_HEADERS: [&str; 14] = [
    "x-codex-*", "session-id", "session_id", "thread-id", "conversation_id", "x-client-request-id",
    "x-openai-subagent", "x-openai-internal-codex-responses-lite", "x-responsesapi-include-timing-metrics",
    "openai-beta", "originator", "version", "user-agent", "chatgpt-account-id",
];

/// Not `openai-model`: where it differs from the model asked for, Codex CLI prints a warning about abuse.
#[rustfmt::skip]
const REPLY_HEADERS: [&str; 7] = [
    "x-codex-*", "x-request-id", "x-oai-request-id", "x-models-etag", "x-reasoning-included",
    "openai-processing-ms", "cf-ray",
];

/// What the provider is, as data.
pub(crate) fn describe(config: &Section) -> Descriptor {
    let fixed = [
        ("response_type", "code"),
        ("client_id", &config.oauth.client_id),
        ("scope", SCOPE),
        ("id_token_add_organizations", "true"),
        ("codex_cli_simplified_flow", "true"),
        ("originator", "pollux"),
    ];
    Descriptor {
        id: ID,
        title: "Codex",
        kind: "codex",
        dialects: &[Dialect::Responses],
        operations: &[Operation::Generate, Operation::Compact, Operation::Models],
        models: config.model_list.iter().map(Model::named).collect(),
        // As ChatGPT's backend has it, as OpenAI's API has it, and as a bare address is completed by some clients.
        aliases: &[Alias::Shared("/v1"), Alias::Own(""), Alias::Own("/backend-api/codex")],
        endpoints: side::endpoints(),
        request_headers: &REQUEST_HEADERS,
        reply_headers: &REPLY_HEADERS,
        login: Some(Login {
            authorize: with_params(&config.oauth.authorize_url, fixed),
            // The only addresses that the public client is registered with.
            redirect: Redirect::Loopback(&[1455, 1457], "/auth/callback"),
        }),
        single_use_refresh: true,
    }
}
