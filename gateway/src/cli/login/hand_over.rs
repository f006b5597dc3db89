use super::super::{
    remote::{self, Answer},
    stored,
};
use crate::{
    limits::Wanted,
    settings::Settings,
    store::{Newcomer, State, Store},
};
use pollux_sdk::{Credential, Method, Provider};
use serde_json::Value;

/// Who takes the account.
pub(super) enum Target {
    Gateway,
    Store(Store),
}

impl Target {
    /// The gateway that runs, else the database, which is kept from others until the login is there.
    pub(super) async fn find(settings: &Settings) -> Result<Self, String> {
        if remote::is_there(settings).await {
            return Ok(Self::Gateway);
        }
        stored::open(settings).await.map(Self::Store)
    }

    pub(super) fn is_store(&self) -> bool {
        matches!(self, Self::Store(_))
    }

    /// Hands the account over. A gateway that is gone meanwhile has left its database.
    pub(super) async fn take(
        self,
        settings: &Settings,
        provider: &dyn Provider,
        credential: Credential,
    ) -> Result<String, String> {
        match self {
            Self::Store(store) => keep(&store, provider, credential).await,
            Self::Gateway => {
                let id = provider.descriptor().id;
                let mut entry = Value::Null;
                provider.export(&credential, &mut entry);
                let entries = Value::Array(vec![entry]);
                let path = format!("/{id}/resource:add");
                let key = Some(&settings.basic.pollux_key);
                match remote::ask(settings, key, Method::POST, &path, Some(&entries)).await {
                    Answer::Done(_) => {
                        Ok("The login is with the gateway, which checks it now: see `pollux accounts list`."
                            .to_owned())
                    }
                    Answer::Refused(text) => Err(format!("the gateway did not take the login: {text}")),
                    Answer::Nobody => keep(&stored::open(settings).await?, provider, credential).await,
                }
            }
        }
    }
}

async fn keep(store: &Store, provider: &dyn Provider, credential: Credential) -> Result<String, String> {
    let newcomer =
        Newcomer { credential, origin: "command line".to_owned(), trusted: true, limits: Wanted::default() };
    let rows = store.ingest(provider.descriptor().id, vec![newcomer]).await;
    store.close().await;
    let rows = rows.map_err(|error| format!("the login was not stored: {error}"))?;
    Ok(match rows.first() {
        Some(row) if row.state == State::Validating => {
            format!("The login is stored as account {}. It is checked when the gateway starts.", row.id)
        }
        Some(row) => format!("The login is stored as account {}, which is {}.", row.id, row.state),
        None => "The login is stored.".to_owned(),
    })
}
