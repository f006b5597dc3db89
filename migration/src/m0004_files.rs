//! Credential files: what was last read from, or written to, each, and whose account it holds.

use sea_orm_migration::{
    prelude::*,
    schema::{big_integer_null, string, string_null, text},
};

pub(crate) struct Step;

impl MigrationName for Step {
    fn name(&self) -> &'static str {
        "m0004_files"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Step {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // No foreign key: that an account is gone does not make its file unread.
        let table = Table::create()
            .table(SourceFile::Table)
            .col(text(SourceFile::Path).primary_key())
            .col(string(SourceFile::Provider))
            .col(string(SourceFile::Digest))
            .col(big_integer_null(SourceFile::CredentialId))
            .col(big_integer_null(SourceFile::FormerId))
            .col(string_null(SourceFile::Replaces))
            .to_owned();
        manager.create_table(table).await?;
        let accounts = Index::create()
            .name("source_file_credential")
            .table(SourceFile::Table)
            .col(SourceFile::CredentialId)
            .to_owned();
        manager.create_index(accounts).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table(SourceFile::Table).to_owned()).await
    }
}

#[derive(DeriveIden)]
enum SourceFile {
    Table,
    Path,
    Provider,
    Digest,
    CredentialId,
    FormerId,
    Replaces,
}
