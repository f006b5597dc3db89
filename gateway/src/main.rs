//! pollux.
use pollux::{
    cli,
    settings::{Environment, Settings, Sources, welcome},
};
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = match cli::parse() {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    if let Some(code) = cli::run_offline(&cli) {
        return code;
    }
    let trial = || {
        let environment = Environment::of_process()?;
        let linked = pollux_sdk::linked().expect("ids are unique");
        let ids: Vec<_> = linked.keys().copied().collect();
        let sources = Sources { file: cli.config(), environment: &environment, linked: &ids };
        let (settings, created) = Settings::start(sources)?;
        let providers = settings.build_providers(&linked)?;
        if created {
            eprint!("{}", welcome(cli.config(), &settings, &providers));
        }
        Ok::<_, pollux::settings::SettingsError>(())
    };
    match trial() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(cli::EXIT_CONFIGURATION)
        }
    }
}
