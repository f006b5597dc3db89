//! One row per request, their sums by hour and by day, and how far summing and forgetting have come.

use sea_orm_migration::{
    prelude::*,
    schema::{big_integer, big_integer_null, big_pk_auto, string, text, text_null},
};

pub(crate) struct Step;

impl MigrationName for Step {
    fn name(&self) -> &'static str {
        "m0005_usage"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Step {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        requests(manager).await?;
        sums(manager).await?;
        let marks = Table::create()
            .table(UsageMark::Table)
            .col(string(UsageMark::Name).primary_key())
            .col(big_integer(UsageMark::Value))
            .to_owned();
        manager.create_table(marks).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table(UsageRequest::Table).to_owned()).await?;
        manager.drop_table(Table::drop().table(UsageSum::Table).to_owned()).await?;
        manager.drop_table(Table::drop().table(UsageMark::Table).to_owned()).await
    }
}

/// Without a foreign key: what an account has used is still true when it is gone.
async fn requests(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    let table = Table::create()
        .table(UsageRequest::Table)
        .col(big_pk_auto(UsageRequest::Id))
        .col(text(UsageRequest::RequestId))
        .col(big_integer(UsageRequest::At))
        .col(string(UsageRequest::KeyId))
        .col(string(UsageRequest::Provider))
        .col(big_integer_null(UsageRequest::AccountId))
        .col(text_null(UsageRequest::Model))
        .col(string(UsageRequest::Dialect))
        .col(big_integer_null(UsageRequest::Status))
        .col(string(UsageRequest::Verdict))
        .col(string(UsageRequest::Outcome))
        .col(big_integer(UsageRequest::Attempts))
        .col(big_integer_null(UsageRequest::FirstByteMs))
        .col(big_integer(UsageRequest::DurationMs))
        .col(big_integer_null(UsageRequest::Input))
        .col(big_integer_null(UsageRequest::CacheRead))
        .col(big_integer_null(UsageRequest::CacheWrite))
        .col(big_integer_null(UsageRequest::Output))
        .col(big_integer_null(UsageRequest::Reasoning))
        .col(big_integer_null(UsageRequest::CostNanos))
        .to_owned();
    manager.create_table(table).await?;
    let moments =
        Index::create().name("usage_request_at").table(UsageRequest::Table).col(UsageRequest::At).to_owned();
    manager.create_index(moments).await
}

/// What may be absent in a request is 0 or empty here, as it is part of the key.
async fn sums(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    let table = Table::create()
        .table(UsageSum::Table)
        .col(big_integer(UsageSum::Period))
        .col(big_integer(UsageSum::At))
        .col(string(UsageSum::KeyId))
        .col(string(UsageSum::Provider))
        .col(big_integer(UsageSum::AccountId))
        .col(text(UsageSum::Model))
        .col(string(UsageSum::Dialect))
        .col(big_integer(UsageSum::Status))
        .col(big_integer(UsageSum::Requests))
        .col(big_integer(UsageSum::Failed))
        .col(big_integer(UsageSum::Abandoned))
        .col(big_integer(UsageSum::Attempts))
        .col(big_integer(UsageSum::Metered))
        .col(big_integer(UsageSum::Priced))
        .col(big_integer(UsageSum::FirstBytes))
        .col(big_integer_null(UsageSum::FirstByteMs))
        .col(big_integer(UsageSum::DurationMs))
        .col(big_integer_null(UsageSum::Input))
        .col(big_integer_null(UsageSum::CacheRead))
        .col(big_integer_null(UsageSum::CacheWrite))
        .col(big_integer_null(UsageSum::Output))
        .col(big_integer_null(UsageSum::Reasoning))
        .col(big_integer_null(UsageSum::CostNanos))
        .primary_key(
            Index::create()
                .col(UsageSum::Period)
                .col(UsageSum::At)
                .col(UsageSum::KeyId)
                .col(UsageSum::Provider)
                .col(UsageSum::AccountId)
                .col(UsageSum::Model)
                .col(UsageSum::Dialect)
                .col(UsageSum::Status),
        )
        .to_owned();
    manager.create_table(table).await
}

#[derive(DeriveIden)]
enum UsageRequest {
    Table,
    Id,
    RequestId,
    At,
    KeyId,
    Provider,
    AccountId,
    Model,
    Dialect,
    Status,
    Verdict,
    Outcome,
    Attempts,
    FirstByteMs,
    DurationMs,
    Input,
    CacheRead,
    CacheWrite,
    Output,
    Reasoning,
    CostNanos,
}

#[derive(DeriveIden)]
enum UsageSum {
    Table,
    Period,
    At,
    KeyId,
    Provider,
    AccountId,
    Model,
    Dialect,
    Status,
    Requests,
    Failed,
    Abandoned,
    Attempts,
    Metered,
    Priced,
    FirstBytes,
    FirstByteMs,
    DurationMs,
    Input,
    CacheRead,
    CacheWrite,
    Output,
    Reasoning,
    CostNanos,
}

#[derive(DeriveIden)]
enum UsageMark {
    Table,
    Name,
    Value,
}
