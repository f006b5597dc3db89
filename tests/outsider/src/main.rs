//! A gateway that serves the outsider's provider alone.

// Naming a provider's crate is what links it; a crate that is only listed in Cargo.toml registers nothing.
use pollux_outsider as _;

fn main() -> std::process::ExitCode {
    pollux::run()
}
