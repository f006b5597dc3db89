//! Questions about what was used.

use super::{DAY, HOUR, UsageRow, raw, sql};
use crate::store::{Store, StoreError};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, EntityTrait, ExprTrait, QueryFilter, QueryOrder, QueryResult,
    QuerySelect, Statement, Value,
};
use std::{collections::HashMap, fmt::Write, ops::RangeInclusive};

/// What sums are told apart by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dimension {
    /// Hours of UTC.
    Hour,
    /// Days of UTC.
    Day,
    /// Provider.
    Provider,
    /// Model asked for.
    Model,
    /// Account that served.
    Account,
    /// Whose key.
    Key,
    /// Language of the route.
    Dialect,
    /// Status told to the client.
    Status,
}

impl Dimension {
    /// All of them, by name.
    pub const ALL: [(&'static str, Self); 8] = [
        ("hour", Self::Hour),
        ("day", Self::Day),
        ("provider", Self::Provider),
        ("model", Self::Model),
        ("account", Self::Account),
        ("key", Self::Key),
        ("dialect", Self::Dialect),
        ("status", Self::Status),
    ];

    /// As people write it.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, one)| *one == self).map_or("", |(name, _)| name)
    }

    fn column(self) -> String {
        match self {
            Self::Hour => format!("at / {HOUR} * {HOUR}"),
            Self::Day => format!("at / {DAY} * {DAY}"),
            Self::Account => "account_id".to_owned(),
            Self::Key => "key_id".to_owned(),
            other => other.name().to_owned(),
        }
    }

    fn is_time(self) -> bool {
        matches!(self, Self::Hour | Self::Day)
    }
}

/// Where a part of the answer comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Single requests.
    Requests,
    /// Sums by hour, and single requests that are not in them yet.
    Hours,
    /// Sums by day, and single requests that are not in them yet.
    Days,
}

/// A span of time, in unix milliseconds: `from` is in it, `to` is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// Where it comes from.
    pub source: Source,
    /// Its beginning.
    pub from: i64,
    /// Its end.
    pub to: i64,
}

/// Statuses wanted; `None` is that of a client which left before it got one.
pub type Statuses = Option<RangeInclusive<u16>>;

/// Which requests count. An empty list wants all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Providers.
    pub providers: Vec<String>,
    /// Models.
    pub models: Vec<String>,
    /// Accounts.
    pub accounts: Vec<i64>,
    /// Keys.
    pub keys: Vec<String>,
    /// Statuses.
    pub statuses: Vec<Statuses>,
}

/// What to sum up.
#[derive(Debug, Clone)]
pub struct Query {
    /// When: spans that do not overlap.
    pub parts: Vec<Part>,
    /// What sums are told apart by.
    pub by: Vec<Dimension>,
    /// Which requests count.
    pub filter: Filter,
    /// Groups at most.
    pub limit: u64,
}

/// The sums of one group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// What it has in common, in the order of the query. A moment or id is a number, an empty text is none.
    pub by: Vec<Common>,
    /// The sums.
    pub sums: Measures,
}

/// What the requests of a group have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Common {
    /// A moment in unix milliseconds, an account or a status; 0 is none of the latter.
    Number(i64),
    /// A name; empty is none.
    Text(String),
}

/// Sums. What no request told is `None`, not zero.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Measures {
    /// Requests.
    pub requests: i64,
    /// Of them, failed.
    pub failed: i64,
    /// Of them, left by their clients.
    pub abandoned: i64,
    /// Attempts made for them.
    pub attempts: i64,
    /// Of the requests, those whose tokens are known.
    pub metered: i64,
    /// Of the requests, those whose cost is known.
    pub priced: i64,
    /// Of the requests, those that came to a first byte.
    pub first_bytes: i64,
    /// Time to those, added up.
    pub first_byte_ms: Option<i64>,
    /// Time to the end, added up.
    pub duration_ms: i64,
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
    /// List price in billionths of a dollar.
    pub cost: Option<i64>,
}

impl Measures {
    /// Both together.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        let add = |one: i64, two: i64| one.saturating_add(two);
        let known = |one: Option<i64>, two: Option<i64>| match (one, two) {
            (Some(one), Some(two)) => Some(one.saturating_add(two)),
            (one, two) => one.or(two),
        };
        Self {
            requests: add(self.requests, other.requests),
            failed: add(self.failed, other.failed),
            abandoned: add(self.abandoned, other.abandoned),
            attempts: add(self.attempts, other.attempts),
            metered: add(self.metered, other.metered),
            priced: add(self.priced, other.priced),
            first_bytes: add(self.first_bytes, other.first_bytes),
            first_byte_ms: known(self.first_byte_ms, other.first_byte_ms),
            duration_ms: add(self.duration_ms, other.duration_ms),
            input: known(self.input, other.input),
            cache_read: known(self.cache_read, other.cache_read),
            cache_write: known(self.cache_write, other.cache_write),
            output: known(self.output, other.output),
            reasoning: known(self.reasoning, other.reasoning),
            cost: known(self.cost, other.cost),
        }
    }

    fn read(row: &QueryResult) -> Result<Self, StoreError> {
        let number = |name: &str| row.try_get::<Option<i64>>("", name);
        let count = |name: &str| number(name).map(Option::unwrap_or_default);
        Ok(Self {
            requests: count("requests")?,
            failed: count("failed")?,
            abandoned: count("abandoned")?,
            attempts: count("attempts")?,
            metered: count("metered")?,
            priced: count("priced")?,
            first_bytes: count("first_bytes")?,
            first_byte_ms: number("first_byte_ms")?,
            duration_ms: count("duration_ms")?,
            input: number("input")?,
            cache_read: number("cache_read")?,
            cache_write: number("cache_write")?,
            output: number("output")?,
            reasoning: number("reasoning")?,
            cost: number("cost_nanos")?,
        })
    }
}

impl Store {
    /// The sums that `query` asks for: time goes forward, within it the busiest group comes first.
    pub async fn usage(&self, query: &Query) -> Result<Vec<Group>, StoreError> {
        if query.parts.is_empty() {
            return Ok(Vec::new());
        }
        let (text, values) = statement(query);
        let db = &self.0.db;
        let statement = Statement::from_sql_and_values(db.get_database_backend(), text, values);
        let rows = db.query_all_raw(statement).await?;
        rows.iter().map(|row| group(row, &query.by)).collect()
    }

    /// Single requests between these moments (unix milliseconds), newest first, as far as they are kept; below the
    /// number `before`, for the next page.
    pub async fn usage_requests(
        &self,
        (from, to): (i64, i64),
        filter: &Filter,
        before: Option<i64>,
        limit: u64,
    ) -> Result<Vec<UsageRow>, StoreError> {
        use raw::Column;
        let mut wanted = Condition::all().add(Column::At.gte(from)).add(Column::At.lt(to));
        if let Some(before) = before {
            wanted = wanted.add(Column::Id.lt(before));
        }
        for (column, texts) in [
            (Column::Provider, &filter.providers),
            (Column::Model, &filter.models),
            (Column::KeyId, &filter.keys),
        ] {
            if !texts.is_empty() {
                wanted = wanted.add(column.is_in(texts.iter().map(String::as_str)));
            }
        }
        if !filter.accounts.is_empty() {
            wanted = wanted.add(Column::AccountId.is_in(filter.accounts.iter().copied()));
        }
        if !filter.statuses.is_empty() {
            let any = filter.statuses.iter().fold(Condition::any(), |any, range| {
                any.add(match range {
                    None => Column::Status.is_null(),
                    Some(range) => {
                        Column::Status.into_expr().between(i64::from(*range.start()), i64::from(*range.end()))
                    }
                })
            });
            wanted = wanted.add(any);
        }
        let query = raw::Entity::find().filter(wanted).order_by_desc(Column::Id).limit(limit);
        Ok(query.all(&self.0.db).await?.into_iter().map(UsageRow::from).collect())
    }

    /// What accounts are called, also where their secrets cannot be read.
    pub async fn account_labels(&self) -> Result<HashMap<i64, String>, StoreError> {
        use crate::store::entity::credential::{Column, Entity};
        let rows: Vec<(i64, Option<String>)> = Entity::find()
            .select_only()
            .column(Column::Id)
            .column(Column::Label)
            .into_tuple()
            .all(&self.0.db)
            .await?;
        Ok(rows.into_iter().filter_map(|(id, label)| Some((id, label?))).collect())
    }
}

fn statement(query: &Query) -> (String, Vec<Value>) {
    let mut values = Vec::new();
    let condition = condition(&query.filter, &mut values);
    let mut sources = Vec::new();
    for part in &query.parts {
        let Part { from, to, .. } = part;
        let within = format!("at >= {from} AND at < {to}");
        let period = match part.source {
            Source::Requests => {
                sources.push(sql::requests(&within));
                continue;
            }
            Source::Hours => HOUR,
            Source::Days => DAY,
        };
        sources.push(sql::sums(period, &within));
        // With the sign no index serves the time: those rows are few and the last, and are found by number.
        sources.push(sql::requests(&format!("{} AND +at >= {from} AND +at < {to}", sql::UNSUMMED)));
    }
    let named: Vec<String> =
        query.by.iter().enumerate().map(|(place, by)| format!("{} AS by_{place}", by.column())).collect();
    let sums: Vec<String> = sql::MEASURES.iter().map(|name| sql::total(name)).collect();
    let groups: Vec<String> = query.by.iter().map(|by| by.column()).collect();
    let order: Vec<String> = {
        let times = query.by.iter().enumerate().filter(|(_, by)| by.is_time());
        let others = query.by.iter().enumerate().filter(|(_, by)| !by.is_time());
        let place = |(place, _): (usize, &Dimension)| format!("by_{place}");
        let count = std::iter::once("CAST(SUM(requests) AS BIGINT) DESC".to_owned());
        times.map(place).chain(count).chain(others.map(place)).collect()
    };
    let columns: Vec<String> = named.into_iter().chain(sums).collect();
    let mut text = format!(
        "SELECT {} FROM ({}) AS told WHERE {condition}",
        columns.join(", "),
        sources.join(" UNION ALL ")
    );
    if query.by.is_empty() {
        return (text, values);
    }
    let _ =
        write!(text, " GROUP BY {} ORDER BY {} LIMIT {}", groups.join(", "), order.join(", "), query.limit);
    (text, values)
}

/// The filter in the shape of the sums, where what is absent is 0 or empty.
fn condition(filter: &Filter, values: &mut Vec<Value>) -> String {
    let mut all = vec!["1 = 1".to_owned()];
    for (column, texts) in
        [("provider", &filter.providers), ("model", &filter.models), ("key_id", &filter.keys)]
    {
        if texts.is_empty() {
            continue;
        }
        let places: Vec<String> = texts
            .iter()
            .map(|text| {
                values.push(Value::from(text.clone()));
                format!("${}", values.len())
            })
            .collect();
        all.push(format!("{column} IN ({})", places.join(", ")));
    }
    if !filter.accounts.is_empty() {
        let numbers: Vec<String> = filter.accounts.iter().map(i64::to_string).collect();
        all.push(format!("account_id IN ({})", numbers.join(", ")));
    }
    if !filter.statuses.is_empty() {
        let ranges: Vec<String> = filter
            .statuses
            .iter()
            .map(|range| match range {
                None => "status = 0".to_owned(),
                Some(range) => format!("status BETWEEN {} AND {}", range.start(), range.end()),
            })
            .collect();
        all.push(format!("({})", ranges.join(" OR ")));
    }
    all.join(" AND ")
}

fn group(row: &QueryResult, by: &[Dimension]) -> Result<Group, StoreError> {
    let common = by.iter().enumerate().map(|(place, by)| {
        let name = format!("by_{place}");
        Ok(match by {
            Dimension::Hour | Dimension::Day | Dimension::Account | Dimension::Status => {
                Common::Number(row.try_get("", &name)?)
            }
            _ => Common::Text(row.try_get("", &name)?),
        })
    });
    Ok(Group { by: common.collect::<Result<_, StoreError>>()?, sums: Measures::read(row)? })
}
