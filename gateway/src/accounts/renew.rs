use super::{Keeper, backoff::backoff};
use crate::store::{Row, StoreError};
use pollux_sdk::{AccountError, Credential, Grant, Reason};
use std::time::Duration;

/// What became of a refresh.
#[derive(Debug)]
pub(super) enum Renewal {
    /// The new tokens are durable; every row that held the old one.
    Fresh(Vec<Row>),
    /// Somebody else changed the row meanwhile: this is what it is now, if it still is.
    Overtaken(Option<Box<Row>>),
    /// Not now; nothing was spent.
    Later(String),
    /// For good, or until a person acts; every row that held the token.
    Dead(Vec<Row>),
}

impl Renewal {
    /// For counting.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::Fresh(_) => "fresh",
            Self::Overtaken(_) => "overtaken",
            Self::Later(_) => "later",
            Self::Dead(_) => "dead",
        }
    }
}

/// Why an account is out whose token may not be renewed.
pub(super) const REFRESH_OFF: &str = "refresh_off";

/// A commit that fails is tried again this often: the vendor's answer is in memory only.
const COMMIT_TRIES: u32 = 12;

impl Keeper {
    /// Spends the row's refresh token: intent, call, commit, in this order.
    pub(super) async fn renew(&self, row: &Row) -> Renewal {
        let renewal = self.spend(row).await;
        self.metrics.refreshed(self.id(), renewal.word());
        renewal
    }

    async fn spend(&self, row: &Row) -> Renewal {
        if row.credential.refresh.is_none() {
            let reason =
                Reason::new("login_expired", "the access token has ended and there is no refresh token");
            return self.bury(row, reason).await;
        }
        if !self.refreshes {
            let text = "its access token is of no use any more, and pool.refresh is false: set it to true, or bring a new token";
            return self.bury(row, Reason::new(REFRESH_OFF, text)).await;
        }
        let row = match self.store.begin_refresh(row.id, row.revision).await {
            Ok(Some(row)) => row,
            Ok(None) => return Renewal::Overtaken(self.store.get(row.id).await.ok().flatten().map(Box::new)),
            Err(error) => return Renewal::Later(error.to_string()),
        };
        let way = self.io.by(row.limits.proxy.as_ref());
        match self.provider.obtain(&way, Grant::Refresh(&row.credential)).await {
            Ok(answer) => self.commit(&row, &answer).await,
            Err(AccountError::Suspend(reason)) => self.bury(&row, reason).await,
            Err(AccountError::Unsure(text)) if self.provider.descriptor().single_use_refresh => {
                self.lose(&row, &text).await
            }
            Err(AccountError::Transient(text) | AccountError::Unsure(text)) => {
                if let Err(error) = self.store.abandon_refresh(&row).await {
                    tracing::error!(provider = self.id(), account = row.id, %error, "refresh intent not cleared");
                }
                Renewal::Later(text)
            }
        }
    }

    async fn commit(&self, begun: &Row, answer: &Credential) -> Renewal {
        let save = || {
            let (store, begun, answer) = (self.store.clone(), begun.clone(), answer.clone());
            async move { store.save_refreshed(&begun, &answer).await }
        };
        match persist("new tokens", save).await {
            Ok(rows) => Renewal::Fresh(rows),
            // The intent stays: the next start shows `refresh_unknown`.
            Err(error) => Renewal::Later(format!("the new tokens could not be stored: {error}")),
        }
    }

    async fn bury(&self, begun: &Row, reason: Reason) -> Renewal {
        let save = || {
            let (store, begun, reason) = (self.store.clone(), begun.clone(), reason.clone());
            async move { store.refuse_refresh(&begun, &reason).await }
        };
        persist("refused token", save)
            .await
            .map_or_else(|error| Renewal::Later(error.to_string()), Renewal::Dead)
    }

    async fn lose(&self, begun: &Row, text: &str) -> Renewal {
        let reason = unknown(text);
        let save = || {
            let (store, begun, reason) = (self.store.clone(), begun.clone(), reason.clone());
            async move { store.lost_refresh(&begun, &reason).await }
        };
        persist("unknown refresh", save)
            .await
            .map_or_else(|error| Renewal::Later(error.to_string()), Renewal::Dead)
    }
}

/// Why an account whose refresh has no known outcome is out.
pub(super) fn unknown(text: &str) -> Reason {
    let text = format!(
        "a refresh was begun and its outcome is unknown ({text}); the single-use token is not tried again: log in again"
    );
    Reason::new("refresh_unknown", text)
}

/// Repeats a write that must not be lost.
async fn persist<T, F>(what: &str, write: impl Fn() -> F) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    let mut failures = 0;
    loop {
        match write().await {
            Err(error) if failures < COMMIT_TRIES => {
                failures += 1;
                tracing::error!(%error, failures, "{what} not stored yet");
                tokio::time::sleep(backoff(failures).min(Duration::from_secs(5))).await;
            }
            done => return done,
        }
    }
}
