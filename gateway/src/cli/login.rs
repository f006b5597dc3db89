//! `pollux login`: connects an account from a terminal, with a browser here, with one elsewhere, or by a code.

mod browser;
mod device;
mod hand_over;

use super::LoginCommand;
use crate::{settings::Settings, startup::account_io, upstream::AccountIo};
use hand_over::Target;
use pollux_sdk::{AccountError, Credential, Provider};
use std::{collections::BTreeMap, process::ExitCode, sync::Arc};

type Providers = BTreeMap<&'static str, Arc<dyn Provider>>;

/// Logs in, and gives the account to the running gateway or into the database.
pub async fn login(settings: &Settings, providers: &Providers, command: &LoginCommand) -> ExitCode {
    match connect(settings, providers, command).await {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(text) => {
            eprintln!("pollux: {text}");
            ExitCode::FAILURE
        }
    }
}

async fn connect(
    settings: &Settings,
    providers: &Providers,
    command: &LoginCommand,
) -> Result<String, String> {
    let provider = find(providers, &command.provider)?;
    let io = account_io(settings, provider.descriptor().id).map_err(|error| error.to_string())?;
    // Before the person begins: afterwards there would be a login, and no place for it.
    let target = Target::find(settings).await?;
    let credential = if command.device {
        device::log_in(provider.as_ref(), &io).await?
    } else {
        browser::log_in(settings, provider.as_ref(), &io, !command.no_browser, target.is_store()).await?
    };
    target.take(settings, provider.as_ref(), credential).await
}

fn find<'a>(providers: &'a Providers, id: &str) -> Result<&'a Arc<dyn Provider>, String> {
    let able = |provider: &&Arc<dyn Provider>| provider.descriptor().login.is_some();
    if let Some(provider) = providers.get(id).filter(able) {
        return Ok(provider);
    }
    let known: Vec<&str> = providers.values().filter(able).map(|one| one.descriptor().id).collect();
    Err(format!("there is no login for `{id}`, only for: {}", known.join(", ")))
}

/// Spends the code of a login.
async fn exchange(
    provider: &dyn Provider,
    io: &AccountIo,
    grant: pollux_sdk::Grant<'_>,
) -> Result<Credential, String> {
    let told = |error: AccountError| match error {
        AccountError::Suspend(reason) => reason.text,
        other => other.to_string(),
    };
    let credential = provider.obtain(&io.by(None), grant).await.map_err(told)?;
    if crate::login::lasting(&credential) {
        return Ok(credential);
    }
    let text =
        "the vendor gave no refresh token: remove Pollux from the account's connected apps and log in again";
    Err(text.to_owned())
}
