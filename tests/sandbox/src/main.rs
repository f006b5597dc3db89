//! Pollux and its vendors in one process, its pool filled: nothing to sign up for, nothing leaves the machine.
//!
//! It knows Pollux as its users do, by configuration and HTTP, and the simulator as the test suites do.

mod pool;
mod screen;

use pollux::startup::{Gateway, StartError};
use pollux_tests::simulator::Simulator;
use std::{error::Error, io::Write as _, ops::RangeInclusive, path::Path, process::ExitCode, time::Duration};
use tokio::signal::unix::{SignalKind, signal};

/// The usual port, and those that are tried where it is taken.
const PORTS: RangeInclusive<u16> = 8188..=8287;
/// The time between two events of a stream, so that one can see it stream.
const PACE: Duration = Duration::from_millis(60);

fn main() -> ExitCode {
    match actix_rt::System::new().block_on(run()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("pollux-sandbox: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn Error>> {
    // Before anything is there to be left behind.
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let folder = tempfile::Builder::new().prefix("pollux-sandbox-").tempdir()?;
    let simulator = Simulator::start();
    for script in [simulator.google().script(), simulator.openai().script(), simulator.anthropic().script()] {
        script.set_deltas(6);
        script.set_pace(PACE);
    }
    let gateway = start(&simulator, folder.path()).await?;
    let port = gateway.address().port();
    pool::fill(&simulator, port).await?;
    let gemini = folder.path().join(".gemini");
    std::fs::create_dir(&gemini)?;
    std::fs::write(gemini.join("settings.json"), screen::GEMINI_CLI)?;
    print(&screen::text(port, folder.path()));
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    print("\nGoing down.\n");
    gateway.stop().await;
    Ok(())
}

/// A gateway on the first port that is free.
async fn start(simulator: &Simulator, folder: &Path) -> Result<Gateway, Box<dyn Error>> {
    let mut taken = None;
    for port in PORTS {
        let (settings, providers) = pool::settings(simulator, folder, port)?;
        pollux::log::start(&settings.basic)?;
        match Gateway::start(settings, providers).await {
            Err(error @ StartError::Listen { .. }) => taken = Some(error),
            started => return Ok(started?),
        }
    }
    Err(taken.map_or_else(|| "there is no port to try".into(), Into::into))
}

/// A screen that nobody reads (a closed pipe) is no reason to end.
fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
