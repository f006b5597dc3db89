use super::{Cli, Command, ConfigCommand, EXIT_CONFIGURATION, healthcheck};
use crate::settings::{Environment, ProviderSettings, Settings, SettingsError, Sources};
use pollux_sdk::{Registration, linked};
use std::{
    collections::BTreeMap,
    fmt::Display,
    io::{self, Write},
    process::ExitCode,
};

type Linked = BTreeMap<&'static str, &'static Registration>;

/// Runs what needs neither the database nor a runtime; `None` leaves the command to the caller.
pub fn run_offline(cli: &Cli) -> Option<ExitCode> {
    use Command::{Accounts, Export, Import, Login, Serve};
    if matches!(cli.command(), Serve | Accounts(_) | Login(_) | Import { .. } | Export { .. }) {
        return None;
    }
    let linked = match linked() {
        Ok(linked) => linked,
        Err(error) => {
            complain(&error);
            return Some(ExitCode::FAILURE);
        }
    };
    Some(run(cli, &linked).unwrap_or_else(|error| {
        complain(&error);
        ExitCode::from(EXIT_CONFIGURATION)
    }))
}

fn run(cli: &Cli, linked: &Linked) -> Result<ExitCode, SettingsError> {
    let environment = Environment::of_process()?;
    let ids: Vec<_> = linked.keys().copied().collect();
    let sources = Sources { file: cli.config(), environment: &environment, linked: &ids };
    match cli.command() {
        Command::Providers => Ok(providers(sources, linked)),
        Command::Config(ConfigCommand::Show) => show(sources, linked),
        Command::Config(ConfigCommand::Check) => check(sources, linked),
        Command::Healthcheck => Ok(health(&Settings::load(sources)?)),
        Command::Serve
        | Command::Accounts(_)
        | Command::Login(_)
        | Command::Import { .. }
        | Command::Export { .. } => Ok(ExitCode::FAILURE),
    }
}

/// A title is known once a provider is built, with the owner's section or without.
fn providers(sources: Sources<'_>, linked: &Linked) -> ExitCode {
    let owners = Settings::load(sources).ok();
    let width = linked.keys().map(|id| id.len()).max().unwrap_or(0);
    let lines: Vec<String> = linked
        .iter()
        .map(|(id, registration)| {
            let owners = owners.as_ref().and_then(|settings| settings.providers.get(*id));
            let defaults = ProviderSettings::without_owner(id);
            match owners.into_iter().chain([&defaults]).find_map(|settings| settings.build(registration).ok())
            {
                Some(provider) => format!("{id:<width$}  {}", provider.descriptor().title),
                None => (*id).to_owned(),
            }
        })
        .collect();
    print(&lines.join("\n"))
}

fn check(sources: Sources<'_>, linked: &Linked) -> Result<ExitCode, SettingsError> {
    let settings = Settings::load(sources)?;
    let built = settings.build_providers(linked)?;
    for note in settings.news.iter().chain(&settings.notes) {
        complain(note);
    }
    let served: Vec<_> = built.into_keys().collect();
    Ok(print(&format!("{} is fine, serves: {}", sources.file.display(), served.join(", "))))
}

/// Shows also what is wrong, since that is when somebody looks.
fn show(sources: Sources<'_>, linked: &Linked) -> Result<ExitCode, SettingsError> {
    let code = print(Settings::show(sources)?.trim_end());
    Settings::load(sources)?.build_providers(linked)?;
    Ok(code)
}

fn health(settings: &Settings) -> ExitCode {
    let address = settings.local_address();
    match healthcheck::ask(address) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format!("{address}: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// A reader that goes away (`| head`) is no failure worth a panic.
fn print(text: &str) -> ExitCode {
    match writeln!(io::stdout().lock(), "{text}") {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn complain(what: &dyn Display) {
    let _ = writeln!(io::stderr().lock(), "{what}");
}
