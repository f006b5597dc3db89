//! What the command line asks for.

use crate::{
    cli::{self, Cli, Command, EXIT_CONFIGURATION},
    log,
    settings::{Environment, Settings, SettingsError, Sources, welcome},
    startup::{Gateway, StartError},
};
use pollux_sdk::{Provider, linked};
use std::{collections::BTreeMap, process::ExitCode, sync::Arc};
use tokio::signal::unix::{SignalKind, signal};

/// Runs the command line of this process with every provider that is linked into it.
pub fn run() -> ExitCode {
    let cli = match cli::parse() {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    if let Some(code) = cli::run_offline(&cli) {
        return code;
    }
    let (settings, providers) = match configure(&cli) {
        Ok(configured) => configured,
        Err(error) => return complain(&error, true),
    };
    let system = actix_web::rt::System::new();
    match cli.command() {
        Command::Accounts(command) => {
            return system.block_on(cli::accounts(&settings, &providers, command));
        }
        Command::Login(command) => return system.block_on(cli::login(&settings, &providers, command)),
        Command::Import { paths } => return system.block_on(cli::import(&settings, &providers, paths)),
        Command::Export { to, include_secrets } => {
            return system.block_on(cli::export(&settings, &providers, to, *include_secrets));
        }
        _ => {}
    }
    if let Err(error) = log::start(&settings.basic) {
        return complain(&error, true);
    }
    match system.block_on(serve(settings, providers)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => complain(&with_cause(&error), error.is_configuration()),
    }
}

/// An error with the causes that it does not tell itself.
fn with_cause(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let told = error.to_string();
        if !text.contains(&told) {
            text = format!("{text}: {told}");
        }
        cause = error.source();
    }
    text
}

fn complain(error: &dyn std::fmt::Display, configuration: bool) -> ExitCode {
    eprintln!("pollux: {error}");
    if configuration { ExitCode::from(EXIT_CONFIGURATION) } else { ExitCode::FAILURE }
}

type Configured = (Settings, BTreeMap<&'static str, Arc<dyn Provider>>);

fn configure(cli: &Cli) -> Result<Configured, String> {
    let linked = linked().map_err(|error| error.to_string())?;
    let ids: Vec<&'static str> = linked.keys().copied().collect();
    let text = |error: SettingsError| error.to_string();
    let environment = Environment::of_process().map_err(text)?;
    let sources = Sources { file: cli.config(), environment: &environment, linked: &ids };
    if !matches!(cli.command(), Command::Serve) {
        let settings = Settings::load(sources).map_err(text)?;
        // An account can be looked at whatever is wrong with its provider's section.
        let lenient = matches!(cli.command(), Command::Accounts(_));
        return match settings.build_providers(&linked) {
            Ok(providers) => Ok((settings, providers)),
            Err(_) if lenient => Ok((settings, BTreeMap::new())),
            Err(error) => Err(text(error)),
        };
    }
    let (settings, created) = Settings::start(sources).map_err(text)?;
    let providers = settings.build_providers(&linked).map_err(text)?;
    if created {
        eprint!("{}", welcome(cli.config(), &settings, &providers));
    }
    Ok((settings, providers))
}

async fn serve(
    settings: Settings,
    providers: BTreeMap<&'static str, Arc<dyn Provider>>,
) -> Result<(), StartError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(StartError::Io)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(StartError::Io)?;
    let gateway = Gateway::start(settings, providers).await?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    // A second signal does not wait for anybody.
    tokio::select! {
        () = gateway.stop() => {}
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}
