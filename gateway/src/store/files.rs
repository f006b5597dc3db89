//! Credential files as the store knows them: what was last read from, or written to, each, and whose account it holds.
//!
//! The store is the authority: a file says something new only when its content differs from what is noted here, and a
//! token that was spent says nothing but whose file it is.

use super::{
    Newcomer, Row, State, Store, StoreError,
    accounts::{guard, put},
    entity::{
        credential,
        source_file::{Column, Entity, Model},
    },
    merge, spent,
};
use crate::limits::Wanted;
use pollux_sdk::{Credential, Reason};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseTransaction, EntityTrait, IntoActiveModel, QueryFilter,
    sea_query::{Expr, OnConflict},
};
use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};
use tokio::sync::Notify;

const ORIGIN: &str = "file:";

/// What stands as the origin of an account that came from a file.
fn origin_of(path: &str) -> String {
    format!("{ORIGIN}{path}")
}

/// A file that was read before.
#[derive(Debug, Clone)]
pub struct FileRow {
    /// Which.
    pub path: String,
    /// Whose format it has.
    pub provider: String,
    /// Of the content, as [`Store::digest`] makes it.
    pub digest: String,
    /// The account it holds, if there still is one.
    pub account: Option<i64>,
}

/// What a file that is new, or has changed, says.
#[derive(Debug, Clone)]
pub struct FileNews {
    /// Which.
    pub path: String,
    /// Of the content.
    pub digest: String,
    /// What it holds.
    pub credential: Credential,
    /// What it says of the account's limits.
    pub limits: Wanted,
    /// The member of `extra` that one account alone may have.
    pub replaces: Option<&'static str>,
    /// Members of `extra` that change with the tokens and say nothing about whose they are.
    pub renewed: &'static [&'static str],
}

/// Accounts whose tokens changed, for who keeps files in step. Bounded by the accounts there are.
#[derive(Debug, Default)]
pub(super) struct Renewals {
    accounts: Mutex<BTreeSet<i64>>,
    told: Notify,
}

impl Renewals {
    pub(super) fn tell(&self, accounts: impl Iterator<Item = i64>) {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner).extend(accounts);
        self.told.notify_one();
    }
}

impl Store {
    /// Waits until something becomes of `take_renewals`.
    pub async fn renewed(&self) {
        self.0.renewals.told.notified().await;
    }

    /// Accounts whose tokens changed since it was asked last.
    pub fn take_renewals(&self) -> BTreeSet<i64> {
        std::mem::take(&mut *self.0.renewals.accounts.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Tells one content from another without giving it away.
    pub fn digest(&self, content: &str) -> String {
        self.0.sealer.fingerprint("file", content)
    }

    /// All files that were read before.
    pub async fn files(&self) -> Result<Vec<FileRow>, StoreError> {
        Ok(Entity::find().all(&self.0.db).await?.into_iter().map(FileRow::from).collect())
    }

    /// The account that a file holds now.
    pub async fn account_of(&self, path: &str) -> Result<Option<i64>, StoreError> {
        let file = Entity::find_by_id(path.to_owned()).one(&self.0.db).await?;
        Ok(file.and_then(|file| file.credential_id))
    }

    /// The files that hold one of these accounts.
    pub async fn files_of(&self, accounts: &BTreeSet<i64>) -> Result<Vec<FileRow>, StoreError> {
        let query = Entity::find().filter(Column::CredentialId.is_in(accounts.iter().copied()));
        Ok(query.all(&self.0.db).await?.into_iter().map(FileRow::from).collect())
    }

    /// Takes in what a file says: it joins, or it says something new about the account it held, or it turns out to be
    /// older than what is stored. The first row is the file's account; further ones `Departed`.
    pub async fn take_file(&self, provider: &str, news: FileNews) -> Result<Vec<Row>, StoreError> {
        let turn = self.turn().await?;
        let known = Entity::find_by_id(news.path.clone()).one(&turn).await?;
        let hash = self.token_hash(provider, &news.credential).ok_or(StoreError::NoToken)?;
        let heir = spent::heir(&turn, provider, &hash).await?;
        let linked = match known.as_ref().and_then(|file| file.credential_id) {
            Some(id) => credential::Entity::find_by_id(id).one(&turn).await?,
            None => None,
        };
        let steady = |news: &FileNews, model: &credential::Model| {
            let mut said = news.credential.extra.clone();
            said.retain(|name, _| !news.renewed.contains(&name.as_str()));
            model.provider == provider && merge::agrees(&self.remains(model).extra, &said)
        };
        let current = heir.as_ref().unwrap_or(&hash);
        let linked = linked.filter(|model| model.token_hash == *current && steady(&news, model));
        let mut model = match linked {
            Some(model) => model,
            None => self.admit_file(&turn, provider, &news, heir.is_some()).await?,
        };
        let again = model.is(State::Suspended) || model.is(State::Departed);
        let newer = heir.is_none() && model.token_hash == hash && self.is_newer(&model, &news.credential);
        if newer {
            let said = Credential { subject: None, label: None, ..news.credential.clone() };
            let merged = merge::merge(self.remains(&model), &said);
            self.fill(&mut model, &merged)?;
        }
        if again {
            guard(&turn, &mut model, State::Validating, None).await?;
        }
        let limited = !news.limits.is_empty();
        if limited {
            self.limit(&mut model, &news.limits);
        }
        if newer || again || limited {
            model = put(&turn, model).await?;
        }
        let departed = note(&turn, provider, known, news, &model).await?;
        turn.commit().await?;
        Ok([model].into_iter().chain(departed).map(|model| self.row(model)).collect())
    }

    async fn admit_file(
        &self,
        turn: &DatabaseTransaction,
        provider: &str,
        news: &FileNews,
        stale: bool,
    ) -> Result<credential::Model, StoreError> {
        let mut newcomer = Newcomer {
            credential: Credential { subject: None, ..news.credential.clone() },
            origin: origin_of(&news.path),
            // Who can write into the folder is the owner.
            trusted: true,
            limits: Wanted::default(),
        };
        if stale {
            newcomer.credential.extra.retain(|name, _| !news.renewed.contains(&name.as_str()));
        }
        self.admit(turn, provider, newcomer).await
    }

    /// The refresh token is the same; somebody else may have renewed the access token.
    fn is_newer(&self, model: &credential::Model, said: &Credential) -> bool {
        let stored = self.remains(model);
        said.access.is_some() && said.access != stored.access && said.expires_at > stored.expires_at
    }

    /// The content that a file has now was written by us.
    pub async fn file_written(&self, path: &str, digest: &str) -> Result<(), StoreError> {
        Entity::update_many()
            .col_expr(Column::Digest, Expr::value(digest))
            .filter(Column::Path.eq(path))
            .exec(&self.0.db)
            .await?;
        Ok(())
    }

    /// These files are gone, and so are the accounts that came with them. The answer has those that `Departed`.
    pub async fn files_gone(&self, paths: &[String]) -> Result<Vec<Row>, StoreError> {
        let turn = self.turn().await?;
        let mut departed = Vec::new();
        for path in paths {
            let Some(file) = Entity::find_by_id(path.clone()).one(&turn).await? else { continue };
            Entity::delete_by_id(path.clone()).exec(&turn).await?;
            for id in [file.credential_id, file.former_id].into_iter().flatten() {
                departed.extend(depart(&turn, id, || gone(path)).await?);
            }
        }
        turn.commit().await?;
        Ok(departed.into_iter().map(|model| self.row(model)).collect())
    }
}

impl From<Model> for FileRow {
    fn from(model: Model) -> Self {
        Self {
            path: model.path,
            provider: model.provider,
            digest: model.digest,
            account: model.credential_id,
        }
    }
}

/// Writes down whose file it is. An account that it held before stays until the new one has proved itself.
async fn note(
    turn: &DatabaseTransaction,
    provider: &str,
    known: Option<Model>,
    news: FileNews,
    model: &credential::Model,
) -> Result<Vec<credential::Model>, StoreError> {
    let others = |id: Option<i64>| id.filter(|id| *id != model.id);
    let (previous, former) = known.map_or((None, None), |file| (file.credential_id, file.former_id));
    let (former, orphan) = match (others(former), others(previous)) {
        (Some(former), orphan) => (Some(former), orphan),
        (None, previous) => (previous, None),
    };
    let row = Model {
        path: news.path.clone(),
        provider: provider.into(),
        digest: news.digest,
        credential_id: Some(model.id),
        former_id: former,
        replaces: news.replaces.map(Into::into),
    };
    let again = OnConflict::column(Column::Path)
        .update_columns([
            Column::Provider,
            Column::Digest,
            Column::CredentialId,
            Column::FormerId,
            Column::Replaces,
        ])
        .to_owned();
    Entity::insert(row.into_active_model()).on_conflict(again).exec_without_returning(turn).await?;
    let mut departed = Vec::new();
    if let Some(orphan) = orphan {
        departed.extend(depart(turn, orphan, || changed(&news.path)).await?);
    }
    let settled = [State::Active, State::Pending, State::Paused].into_iter().any(|state| model.is(state));
    if let Some(former) = former.filter(|_| settled) {
        departed.extend(release(turn, &news.path, former).await?);
    }
    Ok(departed)
}

/// The file's new account has proved itself: the former one goes.
async fn release(
    turn: &DatabaseTransaction,
    path: &str,
    former: i64,
) -> Result<Option<credential::Model>, StoreError> {
    Entity::update_many()
        .col_expr(Column::FormerId, Expr::value(None::<i64>))
        .filter(Column::Path.eq(path))
        .exec(turn)
        .await?;
    depart(turn, former, || changed(path)).await
}

/// Files follow their accounts through an enrolment; what it replaces departs.
pub(super) async fn follow(
    store: &Store,
    turn: &DatabaseTransaction,
    base: &credential::Model,
    became: &[credential::Model],
) -> Result<Vec<credential::Model>, StoreError> {
    let Some(heir) = became.first() else { return Ok(Vec::new()) };
    let mut departed = Vec::new();
    for file in Entity::find().filter(Column::CredentialId.eq(base.id)).all(turn).await? {
        Entity::update_many()
            .col_expr(Column::CredentialId, Expr::value(heir.id))
            .filter(Column::Path.eq(file.path.as_str()))
            .exec(turn)
            .await?;
        if let Some(former) = file.former_id {
            departed.extend(release(turn, &file.path, former).await?);
        }
        if let Some(member) = &file.replaces {
            departed.extend(replace(store, turn, member, became).await?);
        }
    }
    Ok(departed)
}

/// Every other account that has the same member departs.
async fn replace(
    store: &Store,
    turn: &DatabaseTransaction,
    member: &str,
    became: &[credential::Model],
) -> Result<Vec<credential::Model>, StoreError> {
    let Some(heir) = became.first() else { return Ok(Vec::new()) };
    let extra = store.remains(heir).extra;
    let Some(value) = extra.get(member) else { return Ok(Vec::new()) };
    let others = credential::Entity::find()
        .filter(credential::Column::Provider.eq(heir.provider.as_str()))
        .filter(credential::Column::Id.is_not_in(became.iter().map(|model| model.id)))
        .filter(credential::Column::State.ne(State::Departed.to_string()))
        .all(turn)
        .await?;
    let mut departed = Vec::new();
    for mut other in others {
        // Who is still being looked at may turn out to be the one that replaces.
        if other.is(State::Validating) || store.remains(&other).extra.get(member) != Some(value) {
            continue;
        }
        let text = format!("account {} of the same {member} took its place", heir.id);
        other.set_state(State::Departed, Some(Reason::new("replaced", text)));
        departed.push(put(turn, other).await?);
    }
    Ok(departed)
}

/// Lets an account go whose file no longer holds it, unless another file does, or it came another way.
async fn depart(
    turn: &DatabaseTransaction,
    id: i64,
    reason: impl FnOnce() -> Reason,
) -> Result<Option<credential::Model>, StoreError> {
    let Some(mut model) = credential::Entity::find_by_id(id).one(turn).await? else { return Ok(None) };
    let held = Entity::find().filter(Column::CredentialId.eq(id)).one(turn).await?.is_some();
    if held || model.is(State::Departed) || !model.origin.starts_with(ORIGIN) {
        return Ok(None);
    }
    model.set_state(State::Departed, Some(reason()));
    put(turn, model).await.map(Some)
}

fn gone(path: &str) -> Reason {
    Reason::new("file_gone", format!("its file {path} is gone"))
}

fn changed(path: &str) -> Reason {
    Reason::new("file_changed", format!("its file {path} holds another account"))
}

/// The account is deleted; its files stay read.
pub(super) async fn forget<C: ConnectionTrait>(db: &C, id: i64) -> Result<(), StoreError> {
    for column in [Column::CredentialId, Column::FormerId] {
        Entity::update_many()
            .col_expr(column, Expr::value(None::<i64>))
            .filter(column.eq(id))
            .exec(db)
            .await?;
    }
    Ok(())
}
