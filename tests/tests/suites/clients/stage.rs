//! What every client's test begins with: the client, a gateway with one account, and a way to count.

use std::ops::Deref;
use std::path::Path;
use std::time::Duration;

use pollux_tests::kit::{self, Program, Run, wait_until};
use pollux_tests::simulator::Simulator;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

pub(in super::super) use pollux_tests::kit::installed;

/// A client hangs if it takes longer.
const LIMIT: Duration = Duration::from_mins(1);
/// Node takes seconds of a processor to load the larger clients; more at once only wait for each other.
static SEATS: Semaphore = Semaphore::const_new(3);

/// Runs a client to its end, a few at a time.
pub(in super::super) async fn play(program: Program) -> Run {
    let _seat = SEATS.acquire().await.expect("nobody closes it");
    let run = program.run(LIMIT).await.expect("the client starts");
    assert!(run.code.is_some(), "the client did not end within {LIMIT:?}:\n{}", run.text());
    run
}

/// A gateway with one account at each vendor, `alice` at Google and `bob` at `OpenAI`.
pub(in super::super) struct Stage(kit::Stage);

impl Deref for Stage {
    type Target = kit::Stage;

    fn deref(&self) -> &kit::Stage {
        &self.0
    }
}

impl Stage {
    pub(in super::super) async fn set() -> Self {
        Self::with("").await
    }

    pub(in super::super) async fn with(config: &str) -> Self {
        // The models that the clients ask for by themselves are among them.
        let models = [
            (
                "GEMINICLI",
                json!(["gemini-2.5-pro", "gemini-2.5-flash", "gemini-3.5-flash-lite", "gemini-3.8-flash"]),
            ),
            ("CODEX", json!(["gpt-5.6-sol", "gpt-5.2-codex"])),
        ];
        let mut builder = kit::Gateway::builder().config(config);
        for (provider, list) in models {
            builder = builder.env(&format!("POLLUX__PROVIDERS__{provider}__MODEL_LIST"), &list.to_string());
        }
        Self(kit::Stage::with(Simulator::start(), builder, &["alice"], &["bob"]).await)
    }

    /// Routes of all requests of clients so far, oldest first, as `route status`.
    pub(super) fn served(&self) -> Vec<String> {
        let word = |line: &str, name: &str| {
            let rest = line.split_once(&format!(" {name}="))?.1;
            rest.split(' ').next().map(str::to_owned)
        };
        let lines = self.gateway.log().lines();
        let lines = lines.iter().filter(|line| line.contains("request served"));
        lines
            .filter_map(|line| Some(format!("{} {}", word(line, "route")?, word(line, "status")?)))
            .filter(|line| !line.contains("/resource:add") && !line.starts_with("/healthz"))
            .collect()
    }

    /// Checks which requests the clients have made, all of them, in order.
    pub(in super::super) async fn expect(&self, routes: &[&str]) {
        // A request is logged when its last byte has left, which may be a moment after its client.
        let enough = || std::future::ready(self.served().len() >= routes.len());
        wait_until(enough, Duration::from_secs(10)).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(self.served(), routes);
    }
}

/// Runs a scenario of a script in tests/clients, and returns what it printed.
pub(in super::super) async fn scenario(
    stage: &Stage,
    interpreter: &Path,
    script: &str,
    prefix: &str,
    name: &str,
) -> Value {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients").join(script);
    let program = Program::new(interpreter).expect("a home can be made").arg(script).arg(name);
    let program = program.env("BASE_URL", stage.gateway.at(prefix)).env("API_KEY", stage.gateway.key());
    let modules = std::env::var_os("POLLUX_CLIENTS").map(|folder| Path::new(&folder).join("node_modules"));
    let run = play(program.env("NODE_PATH", modules.unwrap_or_default())).await;
    assert_eq!(run.code, Some(0), "{}", run.text());
    serde_json::from_str(run.stdout.trim()).unwrap_or_else(|error| panic!("{error}: {}", run.text()))
}
