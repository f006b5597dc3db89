//! Log lines on stdout: text for people, JSON for collectors.

use crate::settings::{Basic, LogFormat};
use tracing_subscriber::{EnvFilter, fmt, prelude::*};

/// Starts logging. `RUST_LOG` wins over `loglevel`, module by module.
///
/// # Errors
/// Fails on directives that cannot be read.
pub fn start(basic: &Basic) -> Result<(), String> {
    let directives = std::env::var("RUST_LOG").ok().filter(|text| !text.trim().is_empty());
    let directives = directives.unwrap_or_else(|| basic.loglevel.clone());
    // Libraries below us are of interest only when asked for by name.
    let quiet = "sqlx=warn,sea_orm=warn,sea_orm_migration=warn,hyper_util=warn,h2=warn,actix_server=warn,actix_http=error,mio=warn";
    let filter = EnvFilter::try_new(format!("{quiet},{directives}")).map_err(|error| error.to_string())?;
    let lines = fmt::layer().with_writer(std::io::stdout);
    let registry = tracing_subscriber::registry().with(filter);
    let started = match basic.log_format {
        LogFormat::Text => {
            registry.with(lines.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stdout()))).try_init()
        }
        LogFormat::Json => registry.with(lines.json().flatten_event(true)).try_init(),
    };
    // Two gateways in one process share the first one's log.
    drop(started);
    Ok(())
}
