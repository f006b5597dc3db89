use crate::catalogue::REVIEWER;
use pollux_sdk::{
    ConfigError, Settings,
    kit::oauth::{Section, Usual},
};

/// Of Codex CLI 0.169.0's catalogue (2026-11), and the model of the first setups.
const MODELS: [&str; 6] = ["gpt-6.1-sol", "gpt-6-astra", "gpt-5.6-sol", "gpt-5.5", "gpt-5.2-codex", REVIEWER];

/// The vendor's own values. Nobody is asked who an account is: the tokens themselves say it.
const USUAL: Usual = Usual {
    models: &MODELS,
    api_url: "https://chatgpt.com",
    authorize_url: "https://auth.openai.com/oauth/authorize",
    token_url: "https://auth.openai.com/oauth/token",
    userinfo_url: "",
    // The public client of Codex CLI, as its source has it; it has no secret.
    client_id: "app_EMoamEEZ73f0CkXaXp7hrann",
    client_secret: "",
};

pub(crate) fn read(settings: Settings) -> Result<Section, ConfigError> {
    Section::read(settings, &USUAL)
}
