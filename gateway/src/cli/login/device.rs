use super::exchange;
use crate::upstream::AccountIo;
use pollux_sdk::{AccountError, Approval, Credential, Grant, Provider};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// What a vendor that is asked too often wants in addition (RFC 8628).
const SLOWER: Duration = Duration::from_secs(5);

/// Shows a code, and waits until a person has entered it anywhere.
pub(super) async fn log_in(provider: &dyn Provider, io: &AccountIo) -> Result<Credential, String> {
    let about = provider.descriptor();
    let device = provider.device(&io.by(None)).await.map_err(|error| match error {
        AccountError::Suspend(reason) if reason.code == "unsupported" => {
            format!("{} has no login by code; leave out --device", about.title)
        }
        AccountError::Suspend(reason) => reason.text,
        other => other.to_string(),
    })?;
    println!("Open {}\nand enter the code {}", device.page, device.code);
    let until = Instant::now() + device.life;
    let mut interval = device.interval;
    while Instant::now() + interval < until {
        sleep(interval).await;
        match provider.approval(&io.by(None), &device).await {
            Ok(Approval::Given { code, verifier, redirect_uri }) => {
                let (code, verifier) = (code.expose(), verifier.expose());
                let grant = Grant::Code { code, state: "", verifier, redirect_uri: &redirect_uri };
                return exchange(provider, io, grant).await;
            }
            Ok(Approval::SlowDown) => interval += SLOWER,
            Ok(Approval::Pending) => {}
            Err(AccountError::Suspend(reason)) => return Err(reason.text),
            // The next question may be answered.
            Err(error) => eprintln!("pollux: {error}"),
        }
    }
    Err("nobody entered the code in time: begin again".to_owned())
}
