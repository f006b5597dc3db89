//! What requests used: a row for each, their sums by hour and day, and how far summing and forgetting have come.
//!
//! Rows get their numbers in the order in which they are committed, as writers take turns. So the sums know by one
//! number what is in them already, whenever they were last brought up to date.

mod report;
mod sql;

pub use report::{Common, Dimension, Filter, Group, Measures, Part, Query, Source, Statuses};

use super::{Store, StoreError, entity::usage_request as raw, millis, moment};
use sea_orm::{
    ActiveValue::{NotSet, Set},
    ColumnTrait, ConnectionTrait, DatabaseTransaction, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
};
use std::time::{Duration, SystemTime};

/// Milliseconds of an hour.
pub const HOUR: i64 = 3_600_000;
/// Milliseconds of a day.
pub const DAY: i64 = 24 * HOUR;

/// Rows in one insert: far below what either database takes as parameters.
const INSERTED: usize = 500;
/// Rows summed or forgotten in one turn: others wait for it.
const AT_ONCE: i64 = 10_000;

/// What one request used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageRow {
    /// Grows with each row; 0 before it is stored.
    pub id: i64,
    /// `x-request-id`.
    pub request_id: String,
    /// When it came.
    pub at: SystemTime,
    /// Whose key it came with.
    pub key: String,
    /// Provider id.
    pub provider: String,
    /// The account that served, or was tried last.
    pub account: Option<i64>,
    /// The model asked for, if it is one of ours.
    pub model: Option<String>,
    /// Language of the route.
    pub dialect: String,
    /// Status told to the client; `None` if it left before.
    pub status: Option<u16>,
    /// How it ended, in one word.
    pub verdict: String,
    /// The same, coarser.
    pub outcome: Outcome,
    /// Attempts made.
    pub attempts: u32,
    /// Until the first byte for the client was there.
    pub first_byte: Option<Duration>,
    /// Until the end.
    pub duration: Duration,
    /// All input.
    pub input: Option<i64>,
    /// Of it, read from a cache.
    pub cache_read: Option<i64>,
    /// Of it, written to a cache.
    pub cache_write: Option<i64>,
    /// All output.
    pub output: Option<i64>,
    /// Of it, reasoning.
    pub reasoning: Option<i64>,
    /// What it would cost at list prices, in billionths of a dollar.
    pub cost: Option<i64>,
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The client got its answer.
    Ok,
    /// It got an error, or an answer that broke off.
    Failed,
    /// It left before the end.
    Abandoned,
}

impl Outcome {
    /// As it is stored and told.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed => "failed",
            Self::Abandoned => "abandoned",
        }
    }

    fn of(word: &str) -> Self {
        match word {
            "ok" => Self::Ok,
            "abandoned" => Self::Abandoned,
            _ => Self::Failed,
        }
    }
}

/// Since when what is still there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Horizons {
    /// Single requests, in unix milliseconds; a whole hour.
    pub requests: i64,
    /// Sums by hour; a whole day.
    pub hours: i64,
}

/// What has been done up to where.
#[derive(Debug, Clone, Copy)]
enum Mark {
    /// The last row that is in the sums.
    Summed,
    /// Single requests before it are gone.
    Requests,
    /// Sums by hour before it are gone.
    Hours,
}

impl Mark {
    const fn name(self) -> &'static str {
        match self {
            Self::Summed => "summed",
            Self::Requests => "requests",
            Self::Hours => "hours",
        }
    }
}

impl Store {
    /// Keeps what these requests used: all of it or nothing.
    pub async fn record_usage(&self, rows: &[UsageRow]) -> Result<(), StoreError> {
        let turn = self.turn().await?;
        for rows in rows.chunks(INSERTED) {
            let models = rows.iter().map(UsageRow::model);
            raw::Entity::insert_many(models).exec_without_returning(&turn).await?;
        }
        Ok(turn.commit().await?)
    }

    /// Brings the sums up to date with the rows, however long that was not done, and says how many there were.
    pub async fn sum_usage(&self) -> Result<u64, StoreError> {
        let mut summed = 0;
        loop {
            let turn = self.turn().await?;
            let from = mark(&turn, Mark::Summed).await?;
            let last = raw::Entity::find()
                .select_only()
                .column(raw::Column::Id)
                .filter(raw::Column::Id.gt(from))
                .order_by_asc(raw::Column::Id)
                .limit(u64::try_from(AT_ONCE).unwrap_or_default())
                .into_tuple::<i64>()
                .all(&turn)
                .await?;
            let Some(&through) = last.last() else { return Ok(summed) };
            for period in [HOUR, DAY] {
                turn.execute_unprepared(&sql::sum(period, from, through)).await?;
            }
            set_mark(&turn, Mark::Summed, through).await?;
            turn.commit().await?;
            summed += last.len() as u64;
        }
    }

    /// Forgets single requests and sums by hour that began before these moments, as far as they are in the sums.
    pub async fn prune_usage(&self, requests: SystemTime, hours: SystemTime) -> Result<u64, StoreError> {
        let requests = millis(requests) / HOUR * HOUR;
        let hours = millis(hours) / DAY * DAY;
        let turn = self.turn().await?;
        // Said first: nobody counts on what is about to go.
        for (name, before) in [(Mark::Requests, requests), (Mark::Hours, hours)] {
            let before = before.max(mark(&turn, name).await?);
            set_mark(&turn, name, before).await?;
        }
        turn.commit().await?;
        let mut gone = 0;
        for statement in [sql::forget_requests(requests, AT_ONCE), sql::forget_hours(hours)] {
            loop {
                let turn = self.turn().await?;
                let forgotten = turn.execute_unprepared(&statement).await?.rows_affected();
                turn.commit().await?;
                gone += forgotten;
                if forgotten == 0 {
                    break;
                }
            }
        }
        Ok(gone)
    }

    /// Since when what is still there.
    pub async fn usage_horizons(&self) -> Result<Horizons, StoreError> {
        let requests = mark(&self.0.db, Mark::Requests).await?;
        let hours = mark(&self.0.db, Mark::Hours).await?;
        Ok(Horizons { requests, hours })
    }
}

async fn mark(db: &impl ConnectionTrait, mark: Mark) -> Result<i64, StoreError> {
    use super::entity::usage_mark::Entity;
    let row = Entity::find_by_id(mark.name().to_owned()).one(db).await?;
    Ok(row.map_or(0, |row| row.value))
}

async fn set_mark(turn: &DatabaseTransaction, mark: Mark, value: i64) -> Result<(), StoreError> {
    use super::entity::usage_mark::{ActiveModel, Column, Entity};
    use sea_orm::sea_query::OnConflict;
    let newer = OnConflict::column(Column::Name).update_column(Column::Value).to_owned();
    let row = ActiveModel { name: Set(mark.name().to_owned()), value: Set(value) };
    Entity::insert(row).on_conflict(newer).exec_without_returning(turn).await?;
    Ok(())
}

impl UsageRow {
    fn model(&self) -> raw::ActiveModel {
        raw::ActiveModel {
            id: NotSet,
            request_id: Set(self.request_id.clone()),
            at: Set(millis(self.at)),
            key_id: Set(self.key.clone()),
            provider: Set(self.provider.clone()),
            account_id: Set(self.account),
            model: Set(self.model.clone()),
            dialect: Set(self.dialect.clone()),
            status: Set(self.status.map(i64::from)),
            verdict: Set(self.verdict.clone()),
            outcome: Set(self.outcome.word().to_owned()),
            attempts: Set(i64::from(self.attempts)),
            first_byte_ms: Set(self.first_byte.map(whole_millis)),
            duration_ms: Set(whole_millis(self.duration)),
            input: Set(self.input),
            cache_read: Set(self.cache_read),
            cache_write: Set(self.cache_write),
            output: Set(self.output),
            reasoning: Set(self.reasoning),
            cost_nanos: Set(self.cost),
        }
    }
}

impl From<raw::Model> for UsageRow {
    fn from(row: raw::Model) -> Self {
        let span = |millis: i64| Duration::from_millis(u64::try_from(millis).unwrap_or_default());
        Self {
            id: row.id,
            request_id: row.request_id,
            at: moment(row.at),
            key: row.key_id,
            provider: row.provider,
            account: row.account_id,
            model: row.model,
            dialect: row.dialect,
            status: row.status.and_then(|status| u16::try_from(status).ok()),
            verdict: row.verdict,
            outcome: Outcome::of(&row.outcome),
            attempts: u32::try_from(row.attempts).unwrap_or_default(),
            first_byte: row.first_byte_ms.map(span),
            duration: span(row.duration_ms),
            input: row.input,
            cache_read: row.cache_read,
            cache_write: row.cache_write,
            output: row.output,
            reasoning: row.reasoning,
            cost: row.cost_nanos,
        }
    }
}

fn whole_millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}
