use super::Keeper;
use crate::limits::Wanted;
use pollux_sdk::{AccountError, Survey};
use std::time::SystemTime;

impl Keeper {
    /// Asks the vendor what an account may do, and passes it on to the pool.
    pub(super) async fn survey(&self, id: i64) {
        let Some(held) = self.pool.held(id) else { return };
        match self.provider.survey(&self.io.by(held.proxy.as_ref()), &held.credential).await {
            Ok(survey) => self.learn(id, survey).await,
            Err(AccountError::Suspend(reason)) => self.pool.suspend(id, reason),
            Err(AccountError::Transient(text) | AccountError::Unsure(text)) => {
                tracing::debug!(provider = self.id(), account = id, error = text, "survey failed");
            }
        }
    }

    async fn learn(&self, id: i64, mut survey: Survey) {
        if self.pool.surveyed(id, &survey, SystemTime::now()) {
            tracing::info!(provider = self.id(), account = id, "the vendor lets the account in again");
            if let Err(error) = self.store.lift(id, None).await {
                tracing::warn!(provider = self.id(), account = id, %error, "cooldown not lifted in the store");
            }
        }
        let Some(held) = self.pool.held(id) else { return };
        survey.extra.retain(|key, value| held.credential.extra.get(key) != Some(value));
        if survey.extra.is_empty() {
            return;
        }
        match self.store.amend(id, survey.extra, &Wanted::default()).await {
            Ok(Some(row)) => self.take(&row),
            Ok(None) => self.pool.remove(id),
            Err(error) => tracing::warn!(provider = self.id(), account = id, %error, "news not stored"),
        }
    }
}
