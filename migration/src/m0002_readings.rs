//! The last readings of accounts' allowances, so that a restart does not begin blind.

use sea_orm_migration::{
    prelude::*,
    schema::{big_integer, text},
};

pub(crate) struct Step;

impl MigrationName for Step {
    fn name(&self) -> &'static str {
        "m0002_readings"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Step {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let table = Table::create()
            .table(Reading::Table)
            .col(big_integer(Reading::CredentialId).primary_key())
            .col(text(Reading::Quota))
            .col(big_integer(Reading::ReadAt))
            .foreign_key(
                ForeignKey::create()
                    .name("reading_credential")
                    .from(Reading::Table, Reading::CredentialId)
                    .to(Credential::Table, Credential::Id)
                    .on_delete(ForeignKeyAction::Cascade),
            )
            .to_owned();
        manager.create_table(table).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table(Reading::Table).to_owned()).await
    }
}

#[derive(DeriveIden)]
enum Reading {
    Table,
    CredentialId,
    Quota,
    ReadAt,
}

#[derive(DeriveIden)]
enum Credential {
    Table,
    Id,
}
