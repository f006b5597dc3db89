//! The gateway's configuration and its accounts, all of them the simulator's.

use pollux::settings::{Environment, Settings, Sources};
use pollux_sdk::{Provider, linked};
use pollux_tests::kit::{send, vendors, wait_until};
use pollux_tests::simulator::Simulator;
use serde_json::{Value, json};
use std::{collections::BTreeMap, error::Error, fs, path::Path, sync::Arc, time::Duration};

/// What clients send. No secret: it opens a toy on this machine.
pub(crate) const KEY: &str = "sandbox";
/// The models that the clients ask for by themselves are among them.
pub(crate) const GEMINI: [&str; 4] =
    ["gemini-2.5-flash", "gemini-2.5-pro", "gemini-3.5-flash-lite", "gemini-3.8-flash"];
/// The first is one that Codex CLI knows.
pub(crate) const CODEX: [&str; 3] = ["gpt-5.6-sol", "gpt-5.5", "gpt-5.2-codex"];

/// The first is one that Claude Code knows.
pub(crate) const CLAUDE: [&str; 3] = ["claude-opus-5-5", "claude-haiku-5-5", "claude-haiku-4-5"];

const GOOGLE: [&str; 3] = ["ada", "ben", "cleo"];
const OPENAI: [&str; 3] = ["dora", "emil", "faye"];
const ANTHROPIC: [&str; 3] = ["gwen", "hugo", "iris"];
const KEYS: [&str; 2] = ["gina", "hank"];
const ADMIN_KEY: &str = "sandbox-admin";
const LIMIT: Duration = Duration::from_secs(20);

type Configured = (Settings, BTreeMap<&'static str, Arc<dyn Provider>>);

/// What the gateway is started with. Our own environment has no say: what the screen shows has to be so.
pub(crate) fn settings(
    simulator: &Simulator,
    folder: &Path,
    port: u16,
) -> Result<Configured, Box<dyn Error>> {
    let file = folder.join("config.toml");
    fs::write(&file, vendors(simulator))?;
    let database = format!("sqlite://{}", folder.join("data.db").display());
    let ours = [
        ("BASIC__LISTEN_ADDR", "127.0.0.1".to_owned()),
        ("BASIC__LISTEN_PORT", port.to_string()),
        ("BASIC__DATABASE_URL", database),
        ("BASIC__LOGLEVEL", "warn".to_owned()),
        ("BASIC__POLLUX_KEY", KEY.to_owned()),
        ("BASIC__ADMIN_KEY", ADMIN_KEY.to_owned()),
        ("BASIC__INSECURE_COOKIE", "true".to_owned()),
        ("BASIC__WORKERS", "2".to_owned()),
        ("BASIC__SHUTDOWN_GRACE", "2s".to_owned()),
        ("PROVIDERS__GEMINICLI__MODEL_LIST", json!(GEMINI).to_string()),
        ("PROVIDERS__CODEX__MODEL_LIST", json!(CODEX).to_string()),
        ("PROVIDERS__CLAUDE__MODEL_LIST", json!(CLAUDE).to_string()),
    ];
    let environment: Environment =
        ours.into_iter().map(|(key, value)| (format!("POLLUX__{key}"), value)).collect();
    let linked = linked()?;
    let ids: Vec<&'static str> = linked.keys().copied().collect();
    let settings = Settings::load(Sources { file: &file, environment: &environment, linked: &ids })?;
    let providers = settings.build_providers(&linked)?;
    Ok((settings, providers))
}

/// Brings in accounts the way an owner does, and waits until all of them serve. One more account at each vendor
/// is left out: somebody may want to log in.
pub(crate) async fn fill(simulator: &Simulator, port: u16) -> Result<(), Box<dyn Error>> {
    let (google, openai, anthropic) = (simulator.google(), simulator.openai(), simulator.anthropic());
    google.account("guest");
    openai.account("guest");
    anthropic.account("guest");
    let entry = |token: String| json!({ "refresh_token": token });
    let batches = [
        ("geminicli", GOOGLE.map(|label| entry(google.account(label).refresh_token())).to_vec()),
        ("codex", OPENAI.map(|label| entry(openai.account(label).refresh_token())).to_vec()),
        ("claude", ANTHROPIC.map(|label| json!({"api_key": anthropic.account(label).key()})).to_vec()),
        ("gemini", KEYS.map(|label| json!({"api_key": google.key(label).text()})).to_vec()),
    ];
    for (provider, entries) in batches {
        let url = format!("http://127.0.0.1:{port}/{provider}/resource:add");
        let answer = send("POST", &url, &[("x-goog-api-key", KEY)], json!(entries).to_string()).await?;
        if answer.status != 202 {
            return Err(format!("{provider} took no accounts: {}", answer.text()).into());
        }
    }
    if wait_until(|| active(port), LIMIT).await {
        Ok(())
    } else {
        Err(format!("the accounts were not ready within {LIMIT:?}").into())
    }
}

/// Whether every account that was brought in serves.
async fn active(port: u16) -> bool {
    let url = format!("http://127.0.0.1:{port}/admin/accounts");
    let authorization = format!("Bearer {ADMIN_KEY}");
    let Ok(answer) = send("GET", &url, &[("authorization", &authorization)], "").await else { return false };
    let is_active = |account: &&Value| account["state"] == "active";
    let active = answer.json().as_array().map(|all| all.iter().filter(is_active).count());
    active == Some(GOOGLE.len() + OPENAI.len() + ANTHROPIC.len() + KEYS.len())
}
