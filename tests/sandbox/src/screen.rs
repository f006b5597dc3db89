//! What the person reads, and pastes.

use crate::pool::{CLAUDE, CODEX, GEMINI, KEY};
use std::path::Path;

/// Settings in a home of their own. With a base URL alone Gemini CLI 0.61.0 ends: "Invalid auth method selected".
pub(crate) const GEMINI_CLI: &str = r#"{
  "security": {"auth": {"selectedType": "gemini-api-key"}},
  "privacy": {"usageStatisticsEnabled": false}, "telemetry": {"enabled": false},
  "general": {"enableAutoUpdate": false}
}
"#;

/// The whole screen. Each command stands on lines of its own and works as it stands.
pub(crate) fn text(port: u16, folder: &Path) -> String {
    let base = format!("http://127.0.0.1:{port}");
    let [gemini, ..] = GEMINI;
    let [codex, ..] = CODEX;
    let [claude, ..] = CLAUDE;
    let json = "-H 'content-type: application/json'";
    let google = format!("-H 'x-goog-api-key: {KEY}' {json}");
    let openai = format!("-H 'authorization: Bearer {KEY}' {json}");
    let said = r#"'{"contents":[{"role":"user","parts":[{"text":"Hello, Gemini"}]}]}'"#;
    let asked = format!(r#"{{"model":"{codex}","input":"Hello, Codex""#);
    let anthropic = format!("-H 'x-api-key: {KEY}' -H 'anthropic-version: 2023-06-01' {json}");
    let told = r#""max_tokens":1024,"messages":[{"role":"user","content":"Hello, Claude"}]"#;
    let told = format!(r#"{{"model":"{claude}",{told}"#);
    let (prefix, home) = ("model_providers.pollux", folder.display());
    format!(
        r#"
Pollux sandbox at {base}, key: {KEY}

The vendors are simulated, and so are their models: an answer is what you said, repeated.
Three accounts of each vendor (Google, OpenAI, Anthropic) and two Gemini API keys are in the pool. Nothing leaves this
machine, and nothing stays on it. Paste what you like into another terminal; Ctrl-C ends it all.

== Gemini

curl -sS -w '\n' {base}/geminicli/v1beta/models/{gemini}:generateContent \
  {google} \
  -d {said}

curl -sSN '{base}/geminicli/v1beta/models/{gemini}:streamGenerateContent?alt=sse' \
  {google} \
  -d {said}

== Gemini API keys

curl -sS -w '\n' {base}/gemini/v1beta/models/gemini-embedding-001:embedContent \
  {google} \
  -d '{{"content":{{"parts":[{{"text":"Hello, Gemini"}}]}}}}'

== OpenAI Responses

curl -sS -w '\n' {base}/codex/v1/responses \
  {openai} \
  -d '{asked}}}'

curl -sSN {base}/codex/v1/responses \
  {openai} \
  -d '{asked},"stream":true}}'

== Anthropic Messages

curl -sS -w '\n' {base}/claude/v1/messages \
  {anthropic} \
  -d '{told}}}'

curl -sSN {base}/claude/v1/messages \
  {anthropic} \
  -d '{told},"stream":true}}'

== Gemini CLI

GEMINI_API_KEY={KEY} GOOGLE_GEMINI_BASE_URL={base}/geminicli GEMINI_CLI_TRUST_WORKSPACE=true \
  GEMINI_CLI_HOME={home} gemini -p 'Hello from Gemini CLI'

The same for good: the first line exported, and in ~/.gemini/settings.json:

{{"security": {{"auth": {{"selectedType": "gemini-api-key"}}}}}}

== Codex CLI

POLLUX_KEY={KEY} codex exec --skip-git-repo-check -c model={codex} -c model_provider=pollux \
  -c {prefix}.name=pollux -c {prefix}.base_url={base}/codex/v1 \
  -c {prefix}.wire_api=responses -c {prefix}.env_key=POLLUX_KEY \
  -c analytics.enabled=false -c features.plugins=false -c features.apps=false 'Hello from Codex CLI'

The same for good, in ~/.codex/config.toml:

model = "{codex}"
model_provider = "pollux"
[{prefix}]
name = "pollux"
base_url = "{base}/codex/v1"
wire_api = "responses"
env_key = "POLLUX_KEY"

== Claude Code

ANTHROPIC_BASE_URL={base}/claude ANTHROPIC_AUTH_TOKEN={KEY} CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1 \
  claude --model {claude} -p 'Hello from Claude Code'

The same for good, in ~/.claude/settings.json:

{{"env": {{"ANTHROPIC_BASE_URL": "{base}/claude", "ANTHROPIC_AUTH_TOKEN": "{KEY}"}}}}

== Connect one more account: open in a browser, allow as guest

http://localhost:{port}/geminicli/auth
http://localhost:{port}/claude/auth
http://localhost:{port}/codex/auth

"#
    )
}
