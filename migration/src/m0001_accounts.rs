//! Accounts, their cooldowns, logins under way, spent refresh tokens, and the proof of the sealing key.
//!
//! Moments are unix milliseconds, so that both databases hold and compare them alike.

use sea_orm_migration::{
    prelude::*,
    schema::{
        big_integer, big_integer_null, big_pk_auto, blob, boolean, integer, integer_null, string,
        string_null, text, text_null,
    },
};

pub(crate) struct Step;

impl MigrationName for Step {
    fn name(&self) -> &'static str {
        "m0001_accounts"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Step {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        credentials(manager).await?;
        cooldowns(manager).await?;
        logins(manager).await?;
        spent_tokens(manager).await?;
        let vault = Table::create()
            .table(Vault::Table)
            .col(big_integer(Vault::Id).primary_key())
            .col(blob(Vault::Sealed))
            .to_owned();
        manager.create_table(vault).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table(Cooldown::Table).to_owned()).await?;
        manager.drop_table(Table::drop().table(Credential::Table).to_owned()).await?;
        manager.drop_table(Table::drop().table(Login::Table).to_owned()).await?;
        manager.drop_table(Table::drop().table(SpentToken::Table).to_owned()).await?;
        manager.drop_table(Table::drop().table(Vault::Table).to_owned()).await
    }
}

async fn credentials(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    let table = Table::create()
        .table(Credential::Table)
        .col(big_pk_auto(Credential::Id))
        .col(string(Credential::Provider))
        .col(text(Credential::Subject))
        .col(text_null(Credential::Label))
        .col(blob(Credential::Sealed))
        .col(string(Credential::SealId))
        .col(string(Credential::TokenHash))
        .col(big_integer_null(Credential::ExpiresAt))
        .col(string(Credential::State))
        .col(string_null(Credential::ReasonCode))
        .col(text_null(Credential::ReasonText))
        .col(text_null(Credential::ReasonLink))
        .col(big_integer(Credential::Revision))
        .col(big_integer_null(Credential::RefreshIntentAt))
        .col(string_null(Credential::RefreshIntentBy))
        .col(text(Credential::Origin))
        .col(boolean(Credential::Trusted))
        .col(default_zero(integer(Credential::Priority)))
        .col(integer_null(Credential::MaxInFlight))
        .col(big_integer(Credential::CreatedAt))
        .col(big_integer(Credential::UpdatedAt))
        .to_owned();
    manager.create_table(table).await?;
    let subjects = Index::create()
        .name("credential_subject")
        .table(Credential::Table)
        .col(Credential::Provider)
        .col(Credential::Subject)
        .unique()
        .to_owned();
    manager.create_index(subjects).await?;
    let tokens = Index::create()
        .name("credential_token")
        .table(Credential::Table)
        .col(Credential::Provider)
        .col(Credential::TokenHash)
        .to_owned();
    manager.create_index(tokens).await
}

async fn cooldowns(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    let table = Table::create()
        .table(Cooldown::Table)
        .col(big_integer(Cooldown::CredentialId))
        .col(text(Cooldown::Model))
        .col(big_integer(Cooldown::Until))
        .primary_key(Index::create().col(Cooldown::CredentialId).col(Cooldown::Model))
        .foreign_key(
            ForeignKey::create()
                .name("cooldown_credential")
                .from(Cooldown::Table, Cooldown::CredentialId)
                .to(Credential::Table, Credential::Id)
                .on_delete(ForeignKeyAction::Cascade),
        )
        .to_owned();
    manager.create_table(table).await
}

async fn logins(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    let table = Table::create()
        .table(Login::Table)
        .col(string(Login::IdHash).primary_key())
        .col(string(Login::Provider))
        .col(blob(Login::Sealed))
        .col(text(Login::RedirectUri))
        .col(text(Login::Home))
        .col(text(Login::Origin))
        .col(boolean(Login::Trusted))
        .col(big_integer(Login::ExpiresAt))
        .to_owned();
    manager.create_table(table).await
}

async fn spent_tokens(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    let table = Table::create()
        .table(SpentToken::Table)
        .col(string(SpentToken::Provider))
        .col(string(SpentToken::TokenHash))
        .col(string(SpentToken::Heir))
        .col(big_integer(SpentToken::SpentAt))
        .primary_key(Index::create().col(SpentToken::Provider).col(SpentToken::TokenHash))
        .to_owned();
    manager.create_table(table).await?;
    let heirs = Index::create()
        .name("spent_token_heir")
        .table(SpentToken::Table)
        .col(SpentToken::Provider)
        .col(SpentToken::Heir)
        .to_owned();
    manager.create_index(heirs).await
}

fn default_zero(mut column: ColumnDef) -> ColumnDef {
    column.default(0).take()
}

#[derive(DeriveIden)]
enum Credential {
    Table,
    Id,
    Provider,
    Subject,
    Label,
    Sealed,
    SealId,
    TokenHash,
    ExpiresAt,
    State,
    ReasonCode,
    ReasonText,
    ReasonLink,
    Revision,
    RefreshIntentAt,
    RefreshIntentBy,
    Origin,
    Trusted,
    Priority,
    MaxInFlight,
    CreatedAt,
    UpdatedAt,
}

#[derive(DeriveIden)]
enum Cooldown {
    Table,
    CredentialId,
    Model,
    Until,
}

#[derive(DeriveIden)]
enum Login {
    Table,
    IdHash,
    Provider,
    Sealed,
    RedirectUri,
    Home,
    Origin,
    Trusted,
    ExpiresAt,
}

#[derive(DeriveIden)]
enum SpentToken {
    Table,
    Provider,
    TokenHash,
    Heir,
    SpentAt,
}

#[derive(DeriveIden)]
enum Vault {
    Table,
    Id,
    Sealed,
}
