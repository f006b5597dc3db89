//! What the owner says of an account: its name, its share of the work, its own proxy.

use sea_orm_migration::{
    prelude::*,
    schema::{blob_null, boolean, integer},
};

pub(crate) struct Step;

impl MigrationName for Step {
    fn name(&self) -> &'static str {
        "m0003_limits"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Step {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let renamed = Table::alter()
            .table(Credential::Table)
            .rename_column(Credential::MaxInFlight, Credential::MaxConcurrency)
            .to_owned();
        manager.alter_table(renamed).await?;
        // SQLite adds one column at a time.
        for column in [
            integer(Credential::Weight).default(1).take(),
            blob_null(Credential::Proxy),
            boolean(Credential::Named).default(false).take(),
        ] {
            let added = Table::alter().table(Credential::Table).add_column(column).to_owned();
            manager.alter_table(added).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for column in [Credential::Named, Credential::Proxy, Credential::Weight] {
            let dropped = Table::alter().table(Credential::Table).drop_column(column).to_owned();
            manager.alter_table(dropped).await?;
        }
        let renamed = Table::alter()
            .table(Credential::Table)
            .rename_column(Credential::MaxConcurrency, Credential::MaxInFlight)
            .to_owned();
        manager.alter_table(renamed).await
    }
}

#[derive(DeriveIden)]
enum Credential {
    Table,
    MaxInFlight,
    MaxConcurrency,
    Weight,
    Proxy,
    Named,
}
