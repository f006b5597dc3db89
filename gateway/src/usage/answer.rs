//! Sums and single requests as tables: the same columns in JSON and in CSV. What is unknown is `null` or empty.

use super::{question::Question, spans::Span};
use crate::store::{Common, Dimension, Group, Measures, UsageRow};
use serde_json::{Map, Number, Value, json};
use std::{
    collections::HashMap,
    time::{Duration, SystemTime},
};
use time::{OffsetDateTime, UtcDateTime, format_description::well_known::Rfc3339};

/// One value of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cell {
    /// Nobody knows.
    Unknown,
    /// A whole number.
    Count(i64),
    /// Money, in billionths of a dollar.
    Dollars(i64),
    /// Text.
    Text(String),
}

impl Cell {
    fn json(&self) -> Value {
        match self {
            Self::Unknown => Value::Null,
            Self::Count(number) => (*number).into(),
            Self::Dollars(nanos) => dollars(*nanos),
            Self::Text(text) => text.as_str().into(),
        }
    }
}

impl From<Option<i64>> for Cell {
    fn from(count: Option<i64>) -> Self {
        count.map_or(Self::Unknown, Self::Count)
    }
}

/// A table.
#[derive(Debug)]
pub struct Table {
    /// Names of its columns.
    pub header: Vec<&'static str>,
    /// Its rows, as wide as the header.
    pub rows: Vec<Vec<Cell>>,
}

impl Table {
    /// Each row as an object.
    pub fn json(&self) -> Vec<Value> {
        let object = |row: &Vec<Cell>| {
            let members = self.header.iter().zip(row).map(|(name, cell)| ((*name).to_owned(), cell.json()));
            Value::Object(members.collect::<Map<_, _>>())
        };
        self.rows.iter().map(object).collect()
    }
}

/// What accounts are called, by id.
pub type Labels = HashMap<i64, String>;

fn label(labels: &Labels, id: Option<i64>) -> Cell {
    let label = id.and_then(|id| labels.get(&id));
    label.map_or(Cell::Unknown, |label| Cell::Text(label.clone()))
}

const MEASURES: [&str; 15] = [
    "requests",
    "failed",
    "abandoned",
    "attempts",
    "input_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "output_tokens",
    "reasoning_tokens",
    "cost_usd",
    "requests_without_usage",
    "requests_without_cost",
    "mean_first_byte_ms",
    "mean_duration_ms",
    "cache_read_percent",
];

/// The sums, one row a group.
pub fn sums(question: &Question, groups: &[Group], labels: &Labels) -> Table {
    let mut header = Vec::new();
    for by in &question.by {
        header.push(by.name());
        if *by == Dimension::Account {
            header.push("account_label");
        }
    }
    header.extend(MEASURES);
    let row = |group: &Group| {
        let mut row = Vec::with_capacity(header.len());
        for (by, common) in question.by.iter().zip(&group.by) {
            row.push(shared(*by, common));
            if let (Dimension::Account, Common::Number(id)) = (by, common) {
                row.push(label(labels, Some(*id)));
            }
        }
        row.extend(measures(&group.sums));
        row
    };
    let rows = groups.iter().map(row).collect();
    Table { header, rows }
}

fn shared(by: Dimension, common: &Common) -> Cell {
    match common {
        Common::Number(at) if by == Dimension::Day => Cell::Text(day(*at)),
        Common::Number(at) if by == Dimension::Hour => Cell::Text(moment(*at)),
        Common::Number(0) => Cell::Unknown,
        Common::Number(number) => Cell::Count(*number),
        Common::Text(text) if text.is_empty() => Cell::Unknown,
        Common::Text(text) => Cell::Text(text.clone()),
    }
}

fn measures(sums: &Measures) -> [Cell; 15] {
    let mean = |sum: Option<i64>, count: i64| sum.and_then(|sum| sum.checked_div(count)).into();
    // Of hits among requests nobody counted there is no rate.
    let hits = || {
        let (read, input) = (sums.cache_read?, sums.input?);
        read.checked_mul(100)?.checked_div(input)
    };
    [
        Cell::Count(sums.requests),
        Cell::Count(sums.failed),
        Cell::Count(sums.abandoned),
        Cell::Count(sums.attempts),
        sums.input.into(),
        sums.cache_read.into(),
        sums.cache_write.into(),
        sums.output.into(),
        sums.reasoning.into(),
        sums.cost.map_or(Cell::Unknown, Cell::Dollars),
        Cell::Count(sums.requests - sums.metered),
        Cell::Count(sums.requests - sums.priced),
        mean(sums.first_byte_ms, sums.first_bytes),
        mean(Some(sums.duration_ms), sums.requests),
        hits().into(),
    ]
}

/// All of it as one object.
pub fn total(sums: &Measures) -> Value {
    let cells = measures(sums);
    MEASURES
        .iter()
        .zip(&cells)
        .map(|(name, cell)| ((*name).to_owned(), cell.json()))
        .collect::<Map<_, _>>()
        .into()
}

/// Single requests.
pub fn requests(rows: &[UsageRow], labels: &Labels) -> Table {
    let header = vec![
        "id",
        "request_id",
        "at",
        "key",
        "provider",
        "account",
        "account_label",
        "model",
        "dialect",
        "status",
        "outcome",
        "verdict",
        "attempts",
        "first_byte_ms",
        "duration_ms",
        "input_tokens",
        "cache_read_tokens",
        "cache_write_tokens",
        "output_tokens",
        "reasoning_tokens",
        "cost_usd",
    ];
    let text = |text: &str| Cell::Text(text.to_owned());
    let millis = |span: Duration| i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
    let row = |row: &UsageRow| {
        vec![
            Cell::Count(row.id),
            text(&row.request_id),
            Cell::Text(precise(row.at)),
            text(&row.key),
            text(&row.provider),
            row.account.into(),
            label(labels, row.account),
            row.model.as_deref().map_or(Cell::Unknown, text),
            text(&row.dialect),
            row.status.map(i64::from).into(),
            text(row.outcome.word()),
            text(&row.verdict),
            Cell::Count(i64::from(row.attempts)),
            row.first_byte.map(millis).into(),
            Cell::Count(millis(row.duration)),
            row.input.into(),
            row.cache_read.into(),
            row.cache_write.into(),
            row.output.into(),
            row.reasoning.into(),
            row.cost.map_or(Cell::Unknown, Cell::Dollars),
        ]
    };
    Table { header, rows: rows.iter().map(row).collect() }
}

/// A span as it is told.
pub fn told(span: Span) -> [(&'static str, Value); 2] {
    [("from", json!(moment(span.from))), ("to", json!(moment(span.to)))]
}

/// Dollars as a number.
fn dollars(nanos: i64) -> Value {
    #[expect(clippy::cast_precision_loss, reason = "15 digits are enough for money")]
    let dollars = nanos as f64 / 1e9;
    Number::from_f64(dollars).map_or(Value::Null, Value::Number)
}

/// Unix milliseconds as people read them, in UTC.
pub fn moment(millis: i64) -> String {
    // Beyond the years that the format has, a number says as much.
    let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(millis) * 1_000_000).ok();
    at.and_then(|at| at.format(&Rfc3339).ok()).unwrap_or_else(|| millis.to_string())
}

fn precise(at: SystemTime) -> String {
    let at = UtcDateTime::from(at);
    let millis = at.unix_timestamp_nanos() / 1_000_000;
    moment(i64::try_from(millis).unwrap_or_default())
}

fn day(millis: i64) -> String {
    moment(millis).chars().take(10).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_unknown_is_not_zero() {
        let none = total(&Measures { requests: 2, ..Measures::default() });
        assert_eq!(none["cost_usd"], Value::Null);
        assert_eq!(none["input_tokens"], Value::Null);
        assert_eq!(none["mean_first_byte_ms"], Value::Null);
        assert_eq!(none["requests_without_usage"], 2);
        let free = Measures {
            requests: 2,
            priced: 2,
            metered: 2,
            cost: Some(0),
            input: Some(0),
            ..Measures::default()
        };
        let free = total(&free);
        assert_eq!((&free["cost_usd"], &free["input_tokens"]), (&json!(0.0), &json!(0)));
        assert_eq!(free["cache_read_percent"], Value::Null);
    }

    #[test]
    fn moments_are_told_in_utc() {
        assert_eq!(moment(1_795_300_000_000), "2026-11-21T22:26:40Z");
        assert_eq!(moment(1_795_300_000_250), "2026-11-21T22:26:40.25Z");
        assert_eq!(day(1_795_300_000_000), "2026-11-21");
        assert_eq!(moment(i64::MAX), i64::MAX.to_string());
    }
}
