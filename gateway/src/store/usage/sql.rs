//! Statements that both databases read alike. Only numbers of ours are written into them; texts are parameters.

use super::{DAY, HOUR};

/// What is counted, as columns of the sums.
pub(super) const MEASURES: [&str; 15] = [
    "requests",
    "failed",
    "abandoned",
    "attempts",
    "metered",
    "priced",
    "first_bytes",
    "first_byte_ms",
    "duration_ms",
    "input",
    "cache_read",
    "cache_write",
    "output",
    "reasoning",
    "cost_nanos",
];

/// What is counted, as told by one request.
const TOLD: [&str; 15] = [
    "1",
    "CASE WHEN outcome = 'failed' THEN 1 ELSE 0 END",
    "CASE WHEN outcome = 'abandoned' THEN 1 ELSE 0 END",
    "attempts",
    "CASE WHEN input IS NULL THEN 0 ELSE 1 END",
    "CASE WHEN cost_nanos IS NULL THEN 0 ELSE 1 END",
    "CASE WHEN first_byte_ms IS NULL THEN 0 ELSE 1 END",
    "first_byte_ms",
    "duration_ms",
    "input",
    "cache_read",
    "cache_write",
    "output",
    "reasoning",
    "cost_nanos",
];

/// What requests are told apart by, as columns of the sums.
const KEYS: &str = "key_id, provider, account_id, model, dialect, status";
/// The same, as told by one request.
const TOLD_KEYS: &str = "key_id, provider, COALESCE(account_id, 0) AS account_id, COALESCE(model, '') AS model, dialect, \
     COALESCE(status, 0) AS status";

/// Adds the rows after `from` up to `through` to the sums. What is unknown stays so until one row knows.
pub(super) fn sum(period: i64, from: i64, through: i64) -> String {
    let columns = MEASURES.join(", ");
    let sums: Vec<String> = MEASURES.iter().map(|name| total(name)).collect();
    let told = told();
    let added: Vec<String> = MEASURES
        .iter()
        .map(|name| {
            let (old, new) = (format!("usage_sum.{name}"), format!("excluded.{name}"));
            format!("{name} = COALESCE({old} + {new}, {old}, {new})")
        })
        .collect();
    format!(
        "INSERT INTO usage_sum (period, at, {KEYS}, {columns}) \
         SELECT {period}, at, {KEYS}, {sums} FROM (\
         SELECT at / {period} * {period} AS at, {TOLD_KEYS}, {told} FROM usage_request \
         WHERE id > {from} AND id <= {through}) AS told WHERE at >= 0 GROUP BY at, {KEYS} \
         ON CONFLICT (period, at, {KEYS}) DO UPDATE SET {added}",
        sums = sums.join(", "),
        added = added.join(", "),
    )
}

/// PostgreSQL sums whole numbers to decimals, which nobody wants here.
pub(super) fn total(name: &str) -> String {
    format!("CAST(SUM({name}) AS BIGINT) AS {name}")
}

/// One row per request, in the shape of the sums.
pub(super) fn requests(condition: &str) -> String {
    format!("SELECT at, {TOLD_KEYS}, {told} FROM usage_request WHERE {condition}", told = told())
}

/// The sums of a period.
pub(super) fn sums(period: i64, condition: &str) -> String {
    let measures = MEASURES.join(", ");
    format!("SELECT at, {KEYS}, {measures} FROM usage_sum WHERE period = {period} AND {condition}")
}

/// Rows that are not in the sums yet.
pub(super) const UNSUMMED: &str = "id > COALESCE((SELECT value FROM usage_mark WHERE name = 'summed'), 0)";

fn told() -> String {
    let named: Vec<String> =
        TOLD.iter().zip(MEASURES).map(|(told, name)| format!("{told} AS {name}")).collect();
    named.join(", ")
}

pub(super) fn forget_requests(before: i64, most: i64) -> String {
    format!(
        "DELETE FROM usage_request WHERE id IN (SELECT id FROM usage_request WHERE at < {before} \
         AND NOT {UNSUMMED} ORDER BY at LIMIT {most})"
    )
}

pub(super) fn forget_hours(before: i64) -> String {
    // A day at a time: others wait for it.
    format!(
        "DELETE FROM usage_sum WHERE period = {HOUR} AND at < {before} AND at < {DAY} + \
         (SELECT MIN(at) FROM usage_sum WHERE period = {HOUR})"
    )
}
