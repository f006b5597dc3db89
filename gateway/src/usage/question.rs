//! What a query string asks for. Pure: text and the time in, a question or the name of what is wrong out.

use super::spans::Span;
use crate::store::{DAY, Dimension, Filter, HOUR, Statuses};
use pollux_dialect::Fault;
use std::time::{Duration, SystemTime};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// Without `from`.
const DAYS: i64 = 30;
/// Rows of sums at most, unless said otherwise.
const GROUPS: u64 = 10_000;
/// Single requests at most, unless said otherwise.
const REQUESTS: u64 = 100;
/// Whatever is said.
const MOST: u64 = 100_000;
/// Values of one filter.
const VALUES: usize = 100;

/// Who asks, and for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The owner, for sums.
    Sums,
    /// The owner, for single requests.
    Requests,
    /// A key, for sums of its own.
    Own,
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// When.
    pub span: Span,
    /// What sums are told apart by.
    pub by: Vec<Dimension>,
    /// Which requests count.
    pub filter: Filter,
    /// Rows at most.
    pub limit: u64,
    /// Single requests below this number.
    pub before: Option<i64>,
    /// As a table rather than as JSON; `None`: what the `Accept` header says.
    pub csv: Option<bool>,
}

impl Question {
    /// Reads a query string.
    ///
    /// # Errors
    /// Names the parameter that is wrong, and what it may be.
    pub fn read(query: &str, scope: Scope, now: SystemTime) -> Result<Self, Fault> {
        let now = millis(now);
        let limit = if scope == Scope::Requests { REQUESTS } else { GROUPS };
        let (mut from, mut to) = (None, None);
        let (mut by, mut filter) = (Vec::new(), Filter::default());
        let (mut before, mut csv, mut most) = (None, None, limit);
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            let value = value.trim();
            match (&*name, scope) {
                // There it is the key itself.
                ("key", Scope::Own) => {}
                ("from", _) => from = Some(moment("from", value, now)?),
                ("to", _) => to = Some(moment("to", value, now)?),
                ("group", Scope::Sums | Scope::Own) => dimensions(value, scope, &mut by)?,
                ("provider", _) => {
                    extend("provider", value, &mut filter.providers, named)?;
                }
                ("model", _) => {
                    extend("model", value, &mut filter.models, named)?;
                }
                ("status", _) => {
                    extend("status", value, &mut filter.statuses, statuses)?;
                }
                ("key", _) => {
                    extend("key", value, &mut filter.keys, named)?;
                }
                ("account", Scope::Sums | Scope::Requests) => {
                    extend("account", value, &mut filter.accounts, |text| text.parse().ok())?;
                }
                ("before", Scope::Requests) => {
                    before = Some(value.parse().map_err(|_| wrong("before", "the `id` of a request"))?);
                }
                ("limit", _) => most = limited(value)?,
                ("format", _) => csv = Some(format(value)?),
                (name, scope) => return Err(unknown(name, scope)),
            }
        }
        if by.is_empty() {
            by.push(Dimension::Day);
        }
        let span = span(from, to, now)?;
        Ok(Self { span, by, filter, limit: most, before, csv })
    }
}

fn span(from: Option<i64>, to: Option<i64>, now: i64) -> Result<Span, Fault> {
    // What is under way has begun already; nothing begins later than now.
    let to = to.unwrap_or(now + 1).min(now + DAY);
    let from = from.unwrap_or_else(|| to / DAY * DAY - (DAYS - 1) * DAY).max(0);
    if from >= to {
        return Err(wrong("from", "a time before `to`"));
    }
    Ok(Span { from, to })
}

/// `2026-11-21`, `2026-11-21T10:00:00Z`, seconds since 1970, or how long ago: `24h`, `7d`.
fn moment(name: &str, text: &str, now: i64) -> Result<i64, Fault> {
    const EXPECTED: &str = "a time such as 2026-11-21, 2026-11-21T10:30:00Z, 1795300000, 24h or 7d";
    let wrong = || wrong(name, EXPECTED);
    if let Some((count, unit)) = text.char_indices().last().map(|(end, _)| text.split_at(end))
        && let Some(unit) = match unit {
            "h" => Some(HOUR),
            "d" => Some(DAY),
            _ => None,
        }
    {
        let count: i64 = count.parse().ok().filter(|count| *count >= 0).ok_or_else(wrong)?;
        return Ok(count.checked_mul(unit).map_or(0, |ago| now.saturating_sub(ago).max(0)));
    }
    if text.len() > 8 && text.bytes().all(|one| one.is_ascii_digit()) {
        let seconds: i64 = text.parse().map_err(|_| wrong())?;
        return seconds.checked_mul(1000).ok_or_else(wrong);
    }
    let whole = if text.len() == 10 { format!("{text}T00:00:00Z") } else { text.replace(' ', "+") };
    let at = OffsetDateTime::parse(&whole, &Rfc3339).map_err(|_| wrong())?;
    let millis = i64::try_from(at.unix_timestamp_nanos() / 1_000_000).map_err(|_| wrong())?;
    Ok(millis.max(0))
}

fn dimensions(value: &str, scope: Scope, by: &mut Vec<Dimension>) -> Result<(), Fault> {
    let own = |dimension| scope != Scope::Own || !matches!(dimension, Dimension::Account | Dimension::Key);
    let known: Vec<&str> =
        Dimension::ALL.iter().filter(|(_, one)| own(*one)).map(|(name, _)| *name).collect();
    for word in list(value) {
        let found = Dimension::ALL.iter().find(|(name, one)| *name == word && own(*one));
        let Some((_, dimension)) = found else { return Err(wrong("group", &known.join(", "))) };
        if !by.contains(dimension) {
            by.push(*dimension);
        }
    }
    if by.contains(&Dimension::Hour) && by.contains(&Dimension::Day) {
        return Err(wrong("group", "either `hour` or `day`"));
    }
    Ok(())
}

/// No name holds what no database takes.
fn named(text: &str) -> Option<String> {
    (!text.contains(char::is_control)).then(|| text.to_owned())
}

/// `200`, `4xx`, or `none` for clients that left before they got one.
fn statuses(text: &str) -> Option<Statuses> {
    if text == "none" {
        return Some(None);
    }
    if let Some(class) = text.strip_suffix("xx") {
        let class: u16 = class.parse().ok().filter(|class| (1..=5).contains(class))?;
        return Some(Some(class * 100..=class * 100 + 99));
    }
    let status = text.parse().ok().filter(|status| (100..600).contains(status))?;
    Some(Some(status..=status))
}

fn extend<T>(
    name: &str,
    value: &str,
    into: &mut Vec<T>,
    read: impl Fn(&str) -> Option<T>,
) -> Result<(), Fault> {
    let expected = match name {
        "status" => "statuses such as 200, 4xx or none",
        "account" => "ids of accounts, which are numbers",
        _ => "one or more names, separated by commas",
    };
    let before = into.len();
    for word in list(value) {
        into.push(read(word).ok_or_else(|| wrong(name, expected))?);
    }
    // An empty filter is not one that lets everything through.
    if into.len() == before || into.len() > VALUES {
        return Err(wrong(name, expected));
    }
    Ok(())
}

fn list(value: &str) -> impl Iterator<Item = &str> {
    value.split(',').map(str::trim).filter(|word| !word.is_empty())
}

fn limited(value: &str) -> Result<u64, Fault> {
    let limit = value.parse().ok().filter(|limit| (1..=MOST).contains(limit));
    limit.ok_or_else(|| wrong("limit", &format!("a number from 1 to {MOST}")))
}

fn format(value: &str) -> Result<bool, Fault> {
    match value {
        "csv" => Ok(true),
        "json" => Ok(false),
        _ => Err(wrong("format", "json or csv")),
    }
}

fn wrong(name: &str, expected: &str) -> Fault {
    Fault::bad_request(Some(name), format!("`{name}`: expected {expected}"))
}

fn unknown(name: &str, scope: Scope) -> Fault {
    let known = match scope {
        Scope::Sums => "from, to, group, provider, model, account, key, status, limit, format",
        Scope::Requests => "from, to, provider, model, account, key, status, before, limit, format",
        Scope::Own => "from, to, group, provider, model, status, limit, format",
    };
    let shown: String = name.chars().take(40).collect();
    Fault::bad_request(Some(&*shown), format!("`{shown}`: there is no such parameter, only {known}"))
}

fn millis(at: SystemTime) -> i64 {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX / 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// 2026-11-21T22:26:40Z.
    const NOW: i64 = 1_795_300_000_000;
    const TODAY: i64 = NOW / DAY * DAY;

    fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_300_000)
    }

    fn read(query: &str) -> Question {
        Question::read(query, Scope::Sums, now()).unwrap()
    }

    fn refused(query: &str, scope: Scope) -> Fault {
        Question::read(query, scope, now()).unwrap_err()
    }

    #[test]
    fn without_a_word_it_is_the_last_thirty_days_by_day() {
        let question = read("");
        assert_eq!(question.span, Span { from: TODAY - 29 * DAY, to: NOW + 1 });
        assert_eq!((question.by, question.limit), (vec![Dimension::Day], GROUPS));
        assert_eq!(question.filter, Filter::default());
    }

    #[test]
    fn times_are_read_in_each_form_that_people_write() {
        for (text, expected) in [
            ("2026-11-20", TODAY - DAY),
            ("2026-11-20T10:30:00Z", TODAY - DAY + 10 * HOUR + HOUR / 2),
            ("2026-11-20T12:30:00%2B02:00", TODAY - DAY + 10 * HOUR + HOUR / 2),
            ("2026-11-20T12:30:00+02:00", TODAY - DAY + 10 * HOUR + HOUR / 2),
            ("1795200000", 1_795_200_000_000),
            ("24h", NOW - DAY),
            ("7d", NOW - 7 * DAY),
            ("99999999999999d", 0),
        ] {
            assert_eq!(read(&format!("from={text}")).span.from, expected, "{text}");
        }
        for text in ["", "yesterday", "2026-13-01", "2026-11-20T25:00:00Z", "-3d", "d", "12", "1e9", "é"] {
            assert_eq!(
                refused(&format!("from={text}"), Scope::Sums).param.as_deref(),
                Some("from"),
                "{text}"
            );
        }
        assert_eq!(refused("from=1d&to=2d", Scope::Sums).param.as_deref(), Some("from"));
    }

    #[test]
    fn filters_add_up() {
        let question =
            read("provider=a&provider=b,c&model=x&account=1,2&key=owner&status=200,5xx,none&limit=7");
        let filter = question.filter;
        assert_eq!(filter.providers, ["a", "b", "c"]);
        assert_eq!(
            (filter.models, filter.accounts, filter.keys),
            (vec!["x".into()], vec![1, 2], vec!["owner".into()])
        );
        assert_eq!(filter.statuses, [Some(200..=200), Some(500..=599), None]);
        assert_eq!(question.limit, 7);
        assert_eq!(read("group=day,model&group=key").by, [Dimension::Day, Dimension::Model, Dimension::Key]);
        assert_eq!(read("format=csv").csv, Some(true));
    }

    #[test]
    fn what_is_wrong_is_named() {
        use Scope::{Own, Requests, Sums};
        for (query, scope, param) in [
            ("group=colour", Sums, "group"),
            ("group=day,hour", Sums, "group"),
            ("group=account", Own, "group"),
            ("group=day", Requests, "group"),
            ("account=x", Sums, "account"),
            ("account=1", Own, "account"),
            ("status=99", Sums, "status"),
            ("status=6xx", Sums, "status"),
            ("status=", Sums, "status"),
            ("provider=", Sums, "provider"),
            ("model=a%00b", Sums, "model"),
            ("limit=0", Sums, "limit"),
            ("limit=100001", Sums, "limit"),
            ("format=xml", Sums, "format"),
            ("before=x", Requests, "before"),
            ("before=3", Sums, "before"),
            ("colour=red", Sums, "colour"),
        ] {
            let fault = refused(query, scope);
            assert_eq!((fault.status, fault.param.as_deref()), (400, Some(param)), "{query}");
            assert!(fault.message.contains(param), "{}", fault.message);
        }
    }

    #[test]
    fn a_key_may_come_in_the_query_of_its_own_use() {
        let own = Question::read("key=secret&group=model", Scope::Own, now()).unwrap();
        assert_eq!(own.filter, Filter::default());
    }

    proptest! {
        #[test]
        fn no_query_is_too_odd(query: String, time: String) {
            for scope in [Scope::Sums, Scope::Requests, Scope::Own] {
                let _ = Question::read(&query, scope, now());
                let _ = Question::read(&format!("from={time}&to={time}"), scope, now());
            }
        }

        #[test]
        fn a_question_is_always_about_some_time(from in 0..10_000_i64, to in 0..10_000_i64) {
            if let Ok(question) = Question::read(&format!("from={from}h&to={to}h"), Scope::Sums, now()) {
                prop_assert!(question.span.from < question.span.to);
            }
        }
    }
}
