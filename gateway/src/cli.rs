//! The command line. Exit codes: 0, 2 for a configuration that cannot be used, 1 for all else.

mod accounts;
mod export;
mod healthcheck;
mod import;
mod login;
mod offline;
mod remote;
mod stored;

pub use accounts::accounts;
pub use export::export;
pub use import::import;
pub use login::login;
pub use offline::run_offline;

use clap::{Args, Parser, Subcommand};
use std::{
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
    process::ExitCode,
};

/// The configuration cannot be used.
pub const EXIT_CONFIGURATION: u8 = 2;

/// Turns a pool of AI accounts into standard AI APIs.
#[derive(Debug, Clone, Parser)]
#[command(name = "pollux", version)]
pub struct Cli {
    // Not a path: clap refuses an empty one, and an empty variable is how compose files unset theirs.
    /// Configuration file; written where it does not exist [default: config.toml]
    #[arg(long, global = true, value_name = "FILE", env = "POLLUX_CONFIG")]
    config: Option<OsString>,
    #[command(subcommand)]
    command: Option<Command>,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Serve (the default)
    Serve,
    /// List the linked providers
    Providers,
    /// Look at the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Look at and change the accounts
    #[command(subcommand)]
    Accounts(AccountsCommand),
    /// Take in credential files: of a folder as `credentials_dirs` are read, or named one by one
    Import {
        /// Folders and files
        #[arg(required = true, value_name = "DIR|FILE")]
        paths: Vec<PathBuf>,
    },
    /// Write all accounts as credential files of the vendors' own tools, tokens in plain text
    Export {
        /// Folder to write to; it gets a subfolder for each provider
        #[arg(long, value_name = "DIR")]
        to: PathBuf,
        /// Say that the tokens are to be written
        #[arg(long)]
        include_secrets: bool,
    },
    /// Connect an account: with a browser, or by a code
    Login(LoginCommand),
    /// Ask the server on this machine whether it is healthy
    Healthcheck,
}

/// `pollux login`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct LoginCommand {
    /// Provider, as `pollux providers` lists them
    pub provider: String,
    /// Show a code to enter at the vendor's page, for machines without a browser
    #[arg(long)]
    pub device: bool,
    /// Only print the address, and open no browser
    #[arg(long)]
    pub no_browser: bool,
}

/// `pollux config`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Subcommand)]
pub enum ConfigCommand {
    /// Say whether the configuration can be used
    Check,
    /// Print each value and where it came from, secrets masked
    Show,
}

/// `pollux accounts`.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum AccountsCommand {
    /// List all accounts
    List,
    /// Show one account
    Show {
        /// Account
        id: String,
    },
    /// Let an account that waits for approval serve
    Approve {
        /// Account
        id: String,
    },
    /// Let an account serve no more, and keep it
    Pause {
        /// Account
        id: String,
    },
    /// Let a paused account serve again
    Resume {
        /// Account
        id: String,
    },
    /// Delete an account and its tokens
    Remove {
        /// Account
        id: String,
    },
    /// Renew an account's access token now
    Refresh {
        /// Account
        id: String,
    },
    /// End whatever an account rests for
    ForgetCooldown {
        /// Account
        id: String,
    },
    /// Set an account's label, limits or proxy, or a fact that only its owner knows, such as a project id
    Set {
        /// Account
        id: String,
        /// What to set; an empty value takes it away
        #[arg(required = true, value_name = "KEY=VALUE", value_parser = pair)]
        values: Vec<(String, String)>,
    },
}

/// Reads the arguments of this process.
///
/// # Errors
/// Gives the code to end with where help, the version or a mistake has been printed.
pub fn parse() -> Result<Cli, ExitCode> {
    Cli::try_parse().map_err(|error| {
        // Clap's own code for a mistake is 2, which means a bad configuration here.
        let code = if error.use_stderr() { ExitCode::FAILURE } else { ExitCode::SUCCESS };
        let _ = error.print();
        code
    })
}

impl Cli {
    /// The configuration file to use, whether it exists or not.
    pub fn config(&self) -> &Path {
        let named = self.config.as_deref().filter(|path| !path.is_empty());
        Path::new(named.unwrap_or(OsStr::new("config.toml")))
    }

    /// What to do.
    pub fn command(&self) -> &Command {
        self.command.as_ref().unwrap_or(&Command::Serve)
    }
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => Ok((key.trim().to_owned(), value.to_owned())),
        _ => Err("expected KEY=VALUE".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(arguments: &[&str]) -> Cli {
        Cli::try_parse_from(["pollux"].iter().chain(arguments)).unwrap()
    }

    #[test]
    fn serves_when_nothing_is_asked() {
        assert_eq!(*parsed(&[]).command(), Command::Serve);
        assert_eq!(*parsed(&["serve"]).command(), Command::Serve);
    }

    #[test]
    fn takes_the_configuration_before_and_after_the_command() {
        for arguments in [["--config", "x.toml", "providers"], ["providers", "--config", "x.toml"]] {
            assert_eq!(parsed(&arguments).config(), Path::new("x.toml"));
        }
    }

    #[test]
    fn an_empty_path_is_the_default_one() {
        assert_eq!(parsed(&["--config", ""]).config(), Path::new("config.toml"));
    }

    #[test]
    fn sets_several_facts_at_once() {
        let set = AccountsCommand::Set {
            id: "7".into(),
            values: vec![("project_id".into(), "a=b".into()), ("note".into(), String::new())],
        };
        assert_eq!(
            *parsed(&["accounts", "set", "7", "project_id=a=b", "note="]).command(),
            Command::Accounts(set)
        );
    }

    #[test]
    fn refuses_commands_that_lack_something() {
        for arguments in [
            &["accounts", "set", "7"][..],
            &["accounts", "set", "7", "novalue"],
            &["accounts", "show"],
            &["config"],
            &["sreve"],
        ] {
            assert!(Cli::try_parse_from(["pollux"].iter().chain(arguments)).is_err(), "{arguments:?}");
        }
    }
}
