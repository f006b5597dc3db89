//! A gateway with two owners of one id: it must not start.

use pollux_outsider as _;
use pollux_sdk::{ConfigError, Provider, Settings, register_provider};
use std::{process::ExitCode, sync::Arc};

register_provider!("acme", build, "{}");

#[expect(clippy::needless_pass_by_value, reason = "every constructor has this type")]
fn build(settings: Settings) -> Result<Arc<dyn Provider>, ConfigError> {
    Err(ConfigError { provider: settings.id, message: "never built".to_owned() })
}

fn main() -> ExitCode {
    pollux::run()
}
