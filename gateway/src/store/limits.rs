use super::{
    Row, Store, StoreError,
    accounts::{one, put},
    entity::credential::Model,
    merge,
    seal::Place,
};
use crate::limits::{Limits, Wanted};
use pollux_sdk::Secret;
use serde_json::{Map, Value};

impl Model {
    fn proxy_place(&self) -> Place<'_> {
        Place::Proxy { provider: &self.provider, seal_id: &self.seal_id }
    }
}

impl Store {
    /// The limits of a row. A proxy that does not open is none: the tokens beside it do not open either.
    pub(super) fn limits(&self, model: &Model) -> Limits {
        let sealed = model.proxy.as_deref();
        Limits {
            priority: model.priority,
            weight: u32::try_from(model.weight).unwrap_or(1).max(1),
            max_concurrency: model.max_concurrency.and_then(|limit| u32::try_from(limit).ok()),
            proxy: sealed.and_then(|sealed| self.0.sealer.open::<Secret>(&model.proxy_place(), sealed)),
        }
    }

    /// Lays what is wanted over the limits of a row.
    pub(super) fn limit(&self, model: &mut Model, wanted: &Wanted) {
        let limits = wanted.over(self.limits(model));
        model.priority = limits.priority;
        model.weight = i32::try_from(limits.weight).unwrap_or(1);
        model.max_concurrency = limits.max_concurrency.map(|limit| i32::try_from(limit).unwrap_or(i32::MAX));
        model.proxy = limits.proxy.map(|proxy| self.0.sealer.seal(&model.proxy_place(), &proxy));
        match &wanted.label {
            None => {}
            Some(Some(label)) => (model.label, model.named) = (Some(label.clone()), true),
            // The next enrolment brings the vendor's own.
            Some(None) => model.named = false,
        }
    }

    /// What an enrolment finds to be a stored account brings its limits along, where they are not the usual.
    pub(super) fn pass_limits_on(&self, model: &mut Model, newcomer: &Model) {
        let (theirs, usual) = (self.limits(newcomer), Limits::default());
        let said = Wanted {
            label: None,
            priority: Some(Some(theirs.priority)).filter(|_| theirs.priority != usual.priority),
            weight: Some(Some(theirs.weight)).filter(|_| theirs.weight != usual.weight),
            max_concurrency: Some(theirs.max_concurrency).filter(Option::is_some),
            proxy: Some(theirs.proxy).filter(Option::is_some),
        };
        self.limit(model, &said);
    }

    /// Changes what the owner may say about an account: its limits, and members of `extra` (`null` removes one).
    pub async fn amend(
        &self,
        id: i64,
        extra: Map<String, Value>,
        wanted: &Wanted,
    ) -> Result<Option<Row>, StoreError> {
        let turn = self.turn().await?;
        let Some(mut model) = one(&turn, id).await? else { return Ok(None) };
        if !extra.is_empty() {
            let mut credential = self.credential(&model)?;
            merge::amend(&mut credential.extra, extra);
            self.fill(&mut model, &credential)?;
        }
        self.limit(&mut model, wanted);
        let model = put(&turn, model).await?;
        turn.commit().await?;
        Ok(Some(self.row(model)))
    }
}
