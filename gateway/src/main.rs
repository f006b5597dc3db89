//! The `pollux` binary with the bundled providers.

fn main() -> std::process::ExitCode {
    pollux::run()
}
