//! Codex CLI in the three ways in which it can be pointed here: as a provider of its own, with a login towards a
//! provider of its own, and with a login as if the gateway were the vendor.

use std::path::Path;
use std::time::Duration;

use pollux_tests::kit::{Program, Run};
use pollux_tests::simulator::TOOL_OUTPUT;
use pollux_tests::simulator::openai::Refusal;
use serde_json::json;

use super::super::side_calls::table;
use super::codex::cli;
use super::stage::{Stage, play};

#[derive(Debug, Clone, Copy, PartialEq)]
enum Way {
    /// `base_url` and a key.
    Key,
    /// `requires_openai_auth`, and the rest at `chatgpt_base_url`.
    Login,
    /// The built-in provider at `openai_base_url`.
    BuiltIn,
}

const WAYS: [Way; 3] = [Way::Key, Way::Login, Way::BuiltIn];

/// As the users of such a gateway write it; plugins, apps and analytics are on, as they are by default.
fn config(stage: &Stage, way: Way) -> String {
    let (api, backend) = (stage.gateway.at("/v1"), stage.gateway.at("/backend-api"));
    let provider = |more: &str| {
        format!(
            "model_provider = \"codex-pool\"\n{COMMON}\n[model_providers.codex-pool]\nname = \"OpenAI via a pool\"\n\
             base_url = \"{api}\"\nwire_api = \"responses\"\nrequest_max_retries = 1\nstream_max_retries = 1\n{more}\n"
        )
    };
    match way {
        Way::Key => provider("env_key = \"POLLUX_KEY\""),
        Way::Login => {
            format!("chatgpt_base_url = \"{backend}\"\n{}", provider("requires_openai_auth = true"))
        }
        Way::BuiltIn => format!("chatgpt_base_url = \"{backend}\"\nopenai_base_url = \"{api}\"\n{COMMON}\n"),
    }
}

const COMMON: &str = "model = \"gpt-5.6-sol\"\napproval_policy = \"never\"\nsandbox_mode = \"danger-full-access\"\n\
                      check_for_update_on_startup = false";

fn program(codex: &Path, stage: &Stage, way: Way, prompt: &str) -> Program {
    // A login of the client's own, whose access token is our key.
    let account = stage.simulator.openai().account("client");
    let login = json!({
        "auth_mode": "chatgpt", "OPENAI_API_KEY": null, "last_refresh": "2026-11-20T00:00:00Z",
        "tokens": {
            "id_token": account.id_token(), "access_token": stage.gateway.key(), "refresh_token": "none",
            "account_id": account.account_id(),
        },
    });
    let program =
        Program::new(codex).and_then(|program| program.file(".codex/config.toml", &config(stage, way)));
    let mut program = program.expect("a home can be made").env("POLLUX_KEY", stage.gateway.key());
    if way != Way::Key {
        program = program.file(".codex/auth.json", &login.to_string()).expect("a home can be made");
    }
    program.arg("exec").arg("--skip-git-repo-check").arg(prompt)
}

async fn turn(codex: &Path, stage: &Stage, way: Way, prompt: &str) -> Run {
    play(program(codex, stage, way, prompt)).await
}

/// Every request of the CLI is a turn, a list of models, or a row of the table, and was answered as shown there.
fn all_expected(stage: &Stage, way: Way) {
    let rows = table();
    for line in stage.served() {
        let (route, status) = line.rsplit_once(' ').unwrap();
        let path = route.split('?').next().unwrap_or_default();
        let turn = matches!((path, status), ("/v1/responses", "200" | "426" | "101" | "429"));
        let models = (path, status) == ("/v1/models", "200") && route.contains("client_version=");
        let row = rows.iter().any(|row| {
            let notified = row.path.ends_with("/mcp") && status == "202";
            row.path == path && (row.status.to_string() == status || notified)
        });
        assert!(turn || models || row, "{way:?}: {line}");
    }
    // With a login the CLI does ask, or the lines above would prove nothing.
    let seen = |path: &str| stage.served().iter().any(|line| line.starts_with(path));
    for path in
        ["/backend-api/wham/accounts/check", "/backend-api/ps/mcp", "/backend-api/ps/plugins/installed"]
    {
        assert_eq!(seen(path), way != Way::Key, "{way:?}: {path}");
    }
    // Nothing but turns went on to the vendor, by accounts of the pool.
    for sent in stage.simulator.record().all().iter().filter(|sent| sent.path.contains("/backend-api/")) {
        assert_eq!(sent.account.as_deref(), Some("bob"), "{way:?}: {}", sent.path);
        let known = ["/codex/responses", "/codex/models", "/wham/usage"];
        assert!(known.iter().any(|path| sent.path.ends_with(path)), "{way:?}: {}", sent.path);
    }
}

#[tokio::test]
async fn codex_takes_a_turn_in_each_of_its_ways() {
    let Some(codex) = cli() else { return };
    for way in WAYS {
        let stage = Stage::set().await;
        let run = turn(&codex, &stage, way, "say PONG-7731").await;
        assert_eq!(run.code, Some(0), "{way:?}: {}", run.text());
        assert_eq!(run.stdout.matches("say PONG-7731").count(), 1, "{way:?}: {}", run.text());
        for complaint in
            ["failed to refresh available models", "MCP startup failed", "remote plugin catalog", "routing"]
        {
            assert!(!run.stderr.contains(complaint), "{way:?}: {}", run.stderr);
        }
        all_expected(&stage, way);
    }
}

#[tokio::test]
async fn codex_runs_a_tool_in_each_of_its_ways() {
    let Some(codex) = cli() else { return };
    for way in WAYS {
        let stage = Stage::set().await;
        let run = turn(&codex, &stage, way, "use TOOL: please").await;
        assert_eq!(run.code, Some(0), "{way:?}: {}", run.text());
        assert!(run.stdout.contains(TOOL_OUTPUT), "{way:?}: {}", run.text());
        all_expected(&stage, way);
    }
}

#[tokio::test]
async fn codex_meets_a_usage_limit_in_each_of_its_ways() {
    let Some(codex) = cli() else { return };
    for way in WAYS {
        let stage = Stage::with("[pool]\nacquire_timeout = \"100ms\"").await;
        stage
            .simulator
            .openai()
            .account("bob")
            .refuse(Some(Refusal::UsageLimitReached(Duration::from_hours(3))));
        let run = turn(&codex, &stage, way, "say PONG-7731").await;
        assert_eq!(run.code, Some(1), "{way:?}: {}", run.text());
        assert!(run.stderr.contains("hit your usage limit"), "{way:?}: {}", run.text());
        all_expected(&stage, way);
    }
}
