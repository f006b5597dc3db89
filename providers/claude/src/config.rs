use pollux_sdk::kit::oauth::Usual;

/// Of Claude Code 2.1.329 (2026-11): the newest of each line, and what the versions before it ask for.
const MODELS: [&str; 6] = [
    "claude-opus-5-5",
    "claude-sonnet-5-5",
    "claude-haiku-5-5",
    "claude-opus-4-8",
    "claude-sonnet-4-6",
    "claude-haiku-4-5",
];

/// The vendor's own values. Who an account is, its API says.
pub(crate) const USUAL: Usual = Usual {
    models: &MODELS,
    api_url: "https://api.anthropic.com",
    authorize_url: "https://claude.com/cai/oauth/authorize",
    token_url: "https://platform.claude.com/v1/oauth/token",
    userinfo_url: "",
    // The public client of Claude Code; it has no secret.
    client_id: "9d1c250a-e61b-44d9-88ed-5944d1962f5e",
    client_secret: "",
};
