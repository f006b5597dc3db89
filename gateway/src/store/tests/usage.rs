use super::*;
use std::collections::BTreeMap;

const MIDNIGHT: u64 = 1_795_219_200;
const HOUR_S: u64 = 3600;
const DAY_S: u64 = 24 * HOUR_S;

/// The request number `n`, which came at this second: they differ in everything that they are told apart by.
fn used(n: u64, second: u64) -> UsageRow {
    let told = |count: u64| i64::try_from(count).unwrap();
    let metered = !n.is_multiple_of(3);
    UsageRow {
        id: 0,
        request_id: format!("r{n}"),
        at: at(second) + Duration::from_millis(n % 1000),
        key: if n.is_multiple_of(5) { "other".into() } else { "owner".into() },
        provider: if n.is_multiple_of(2) { "acme".into() } else { "zeta".into() },
        account: (!n.is_multiple_of(7)).then_some(told(n % 4) + 1),
        model: (!n.is_multiple_of(11)).then(|| format!("m{}", n % 3)),
        dialect: "responses".into(),
        status: match n % 6 {
            0 => None,
            1 => Some(429),
            _ => Some(200),
        },
        verdict: "streamed".into(),
        outcome: [Outcome::Abandoned, Outcome::Failed, Outcome::Ok][usize::try_from(n % 6).unwrap().min(2)],
        attempts: u32::try_from(n % 3).unwrap(),
        first_byte: (!n.is_multiple_of(4)).then(|| Duration::from_millis(n)),
        duration: Duration::from_millis(n + 10),
        input: metered.then_some(told(n * 10)),
        cache_read: (metered && n.is_multiple_of(2)).then_some(told(n)),
        cache_write: None,
        output: metered.then_some(told(n)),
        reasoning: metered.then_some(0),
        cost: (metered && n.is_multiple_of(4)).then_some(told(n * 1000)),
    }
}

fn millis(second: u64) -> i64 {
    i64::try_from(second * 1000).unwrap()
}

fn part(source: Source, from: u64, to: u64) -> Part {
    Part { source, from: millis(from), to: millis(to) }
}

fn query(by: &[Dimension], parts: Vec<Part>) -> Query {
    Query { parts, by: by.to_vec(), filter: Filter::default(), limit: 1000 }
}

fn sums_of(row: &UsageRow) -> Measures {
    let count = |is: bool| i64::from(is);
    let span = |span: Duration| i64::try_from(span.as_millis()).unwrap();
    Measures {
        requests: 1,
        failed: count(row.outcome == Outcome::Failed),
        abandoned: count(row.outcome == Outcome::Abandoned),
        attempts: i64::from(row.attempts),
        metered: count(row.input.is_some()),
        priced: count(row.cost.is_some()),
        first_bytes: count(row.first_byte.is_some()),
        first_byte_ms: row.first_byte.map(span),
        duration_ms: span(row.duration),
        input: row.input,
        cache_read: row.cache_read,
        cache_write: row.cache_write,
        output: row.output,
        reasoning: row.reasoning,
        cost: row.cost,
    }
}

/// The same question, answered by looking at each request.
fn expected(rows: &[UsageRow], query: &Query) -> BTreeMap<String, Measures> {
    let mut groups: BTreeMap<String, Measures> = BTreeMap::new();
    for row in rows {
        let began = super::super::millis(row.at);
        let wanted = |list: &[String], one: &str| list.is_empty() || list.iter().any(|item| item == one);
        let filter = &query.filter;
        let status = |range: &Statuses| match (range, row.status) {
            (None, status) => status.is_none(),
            (Some(range), status) => status.is_some_and(|status| range.contains(&status)),
        };
        let counts = query.parts.iter().any(|part| (part.from..part.to).contains(&began))
            && wanted(&filter.providers, &row.provider)
            && wanted(&filter.models, row.model.as_deref().unwrap_or_default())
            && wanted(&filter.keys, &row.key)
            && (filter.accounts.is_empty()
                || row.account.is_some_and(|account| filter.accounts.contains(&account)))
            && (filter.statuses.is_empty() || filter.statuses.iter().any(status));
        if !counts {
            continue;
        }
        let common: Vec<Common> = query
            .by
            .iter()
            .map(|by| match by {
                Dimension::Hour => Common::Number(began / HOUR * HOUR),
                Dimension::Day => Common::Number(began / DAY * DAY),
                Dimension::Provider => Common::Text(row.provider.clone()),
                Dimension::Model => Common::Text(row.model.clone().unwrap_or_default()),
                Dimension::Account => Common::Number(row.account.unwrap_or_default()),
                Dimension::Key => Common::Text(row.key.clone()),
                Dimension::Dialect => Common::Text(row.dialect.clone()),
                Dimension::Status => Common::Number(row.status.unwrap_or_default().into()),
            })
            .collect();
        let sum = groups.entry(format!("{common:?}")).or_default();
        *sum = sum.plus(&sums_of(row));
    }
    groups
}

async fn answered(store: &Store, query: &Query) -> BTreeMap<String, Measures> {
    let groups = store.usage(query).await.unwrap();
    let count = groups.len();
    let map: BTreeMap<_, _> =
        groups.into_iter().map(|group| (format!("{:?}", group.by), group.sums)).collect();
    assert_eq!(map.len(), count, "no group comes twice");
    map
}

/// Three days of requests, with a day between them on which nothing ran.
fn planted() -> Vec<UsageRow> {
    (0..240_u64)
        .map(|n| {
            let day = if n < 120 { 0 } else { 2 + n % 2 };
            used(n, MIDNIGHT + day * DAY_S + (n * 977) % DAY_S)
        })
        .collect()
}

#[tokio::test]
async fn sums_answer_as_single_requests_would_for_every_question() {
    everywhere(async |ground| {
        let store = ground.open().await;
        let rows = planted();
        // Some of them are in the sums, the others are not yet.
        store.record_usage(&rows[..150]).await.unwrap();
        assert_eq!(store.sum_usage().await.unwrap(), 150);
        store.record_usage(&rows[150..]).await.unwrap();
        let whole = |source| vec![part(source, MIDNIGHT, MIDNIGHT + 4 * DAY_S)];
        let ragged = vec![
            part(Source::Requests, MIDNIGHT + 100, MIDNIGHT + HOUR_S),
            part(Source::Hours, MIDNIGHT + HOUR_S, MIDNIGHT + DAY_S),
            part(Source::Days, MIDNIGHT + DAY_S, MIDNIGHT + 3 * DAY_S),
            part(Source::Requests, MIDNIGHT + 3 * DAY_S, MIDNIGHT + 3 * DAY_S + 5000),
        ];
        let filters = [
            Filter::default(),
            Filter { providers: vec!["acme".into()], ..Filter::default() },
            Filter {
                models: vec!["m1".into(), "m2".into()],
                keys: vec!["other".into()],
                ..Filter::default()
            },
            Filter { accounts: vec![2, 4], ..Filter::default() },
            Filter { statuses: vec![None, Some(400..=499)], ..Filter::default() },
            Filter { models: vec!["'; DROP TABLE usage_sum; --".into()], ..Filter::default() },
        ];
        for filter in filters {
            for parts in [whole(Source::Requests), whole(Source::Hours), whole(Source::Days), ragged.clone()]
            {
                for by in [
                    &[Dimension::Day][..],
                    &[Dimension::Model, Dimension::Provider],
                    &[Dimension::Account, Dimension::Key, Dimension::Status],
                    &[Dimension::Dialect],
                ] {
                    let query = Query { filter: filter.clone(), ..query(by, parts.clone()) };
                    assert_eq!(answered(&store, &query).await, expected(&rows, &query), "{query:?}");
                }
            }
        }
        let hourly = query(&[Dimension::Hour], whole(Source::Hours));
        assert_eq!(answered(&store, &hourly).await, expected(&rows, &hourly));
        let all = query(&[], whole(Source::Days));
        assert_eq!(store.usage(&all).await.unwrap().len(), 1);
        assert_eq!(answered(&store, &all).await, expected(&rows, &all));
    })
    .await;
}

#[tokio::test]
async fn sums_are_made_up_for_after_any_downtime_and_never_twice() {
    everywhere(async |ground| {
        let store = ground.open().await;
        let rows = planted();
        store.record_usage(&rows).await.unwrap();
        // Days pass, the process with them; nothing was summed up on any of those.
        let store = ground.reopen(store).await;
        let from_sums = |source| query(&[Dimension::Day], vec![part(source, 0, MIDNIGHT + 9 * DAY_S)]);
        for _ in 0..3 {
            store.sum_usage().await.unwrap();
            for source in [Source::Hours, Source::Days] {
                let query = from_sums(source);
                assert_eq!(answered(&store, &query).await, expected(&rows, &query));
            }
        }
        assert_eq!(store.sum_usage().await.unwrap(), 0, "there is nothing left to do");
        assert_eq!(answered(&store, &from_sums(Source::Days)).await.len(), 3);
    })
    .await;
}

#[tokio::test]
async fn what_comes_late_finds_its_hour() {
    everywhere(async |ground| {
        let store = ground.open().await;
        let (early, late) = (used(4, MIDNIGHT + 10), used(8, MIDNIGHT + 20));
        store.record_usage(std::slice::from_ref(&early)).await.unwrap();
        store.sum_usage().await.unwrap();
        store.record_usage(&[used(2, MIDNIGHT + 9 * HOUR_S)]).await.unwrap();
        store.sum_usage().await.unwrap();
        store.record_usage(std::slice::from_ref(&late)).await.unwrap();
        store.sum_usage().await.unwrap();
        let hour = query(&[], vec![part(Source::Hours, MIDNIGHT, MIDNIGHT + HOUR_S)]);
        assert_eq!(store.usage(&hour).await.unwrap()[0].sums, sums_of(&early).plus(&sums_of(&late)));
    })
    .await;
}

#[tokio::test]
async fn single_requests_are_forgotten_only_when_their_sums_are_there() {
    everywhere(async |ground| {
        let store = ground.open().await;
        let rows = planted();
        store.record_usage(&rows[..200]).await.unwrap();
        store.sum_usage().await.unwrap();
        store.record_usage(&rows[200..]).await.unwrap();
        let far = at(MIDNIGHT + 100 * DAY_S);
        assert_eq!(store.prune_usage(far, at(0)).await.unwrap(), 200);
        let left = store.usage_requests((0, i64::MAX), &Filter::default(), None, 1000).await.unwrap();
        assert_eq!(left.len(), 40, "what is in no sum yet stays");
        let days = query(&[Dimension::Day], vec![part(Source::Days, 0, MIDNIGHT + 9 * DAY_S)]);
        assert_eq!(answered(&store, &days).await, expected(&rows, &days));
        store.sum_usage().await.unwrap();
        store.prune_usage(far, at(0)).await.unwrap();
        let store = ground.reopen(store).await;
        assert_eq!(answered(&store, &days).await, expected(&rows, &days));
        let left = store.usage_requests((0, i64::MAX), &Filter::default(), None, 1000).await.unwrap();
        assert_eq!(left, []);
        // Numbers are not given twice, or the sums would miss what comes.
        store.record_usage(&[used(1, MIDNIGHT)]).await.unwrap();
        assert_eq!(store.sum_usage().await.unwrap(), 1);
    })
    .await;
}

#[tokio::test]
async fn sums_by_hour_are_forgotten_and_those_by_day_stay() {
    everywhere(async |ground| {
        let store = ground.open().await;
        let rows = planted();
        store.record_usage(&rows).await.unwrap();
        store.sum_usage().await.unwrap();
        let second_day = MIDNIGHT + DAY_S;
        store.prune_usage(at(second_day + HOUR_S + 7), at(second_day + 7)).await.unwrap();
        let kept = store.usage_horizons().await.unwrap();
        assert_eq!(kept, Horizons { requests: millis(second_day + HOUR_S), hours: millis(second_day) });
        let hours = query(&[], vec![part(Source::Hours, 0, second_day)]);
        assert_eq!(store.usage(&hours).await.unwrap()[0].sums, Measures::default());
        for query in [
            query(&[Dimension::Day], vec![part(Source::Days, 0, MIDNIGHT + 9 * DAY_S)]),
            query(&[Dimension::Day], vec![part(Source::Hours, second_day, MIDNIGHT + 9 * DAY_S)]),
        ] {
            assert_eq!(answered(&store, &query).await, expected(&rows, &query));
        }
        // Asking for less to be kept, and then for more again, does not bring anything back.
        store.prune_usage(at(0), at(0)).await.unwrap();
        assert_eq!(store.usage_horizons().await.unwrap(), kept);
    })
    .await;
}

#[tokio::test]
async fn single_requests_come_newest_first_and_page_by_page() {
    everywhere(async |ground| {
        let store = ground.open().await;
        let rows: Vec<UsageRow> = (0..30).map(|n| used(n, MIDNIGHT + n * 60)).collect();
        store.record_usage(&rows).await.unwrap();
        let all = (0, i64::MAX);
        let filter = Filter { providers: vec!["zeta".into()], ..Filter::default() };
        let (mut seen, mut before) = (Vec::new(), None);
        loop {
            let page = store.usage_requests(all, &filter, before, 4).await.unwrap();
            let Some(last) = page.last() else { break };
            before = Some(last.id);
            seen.extend(page);
        }
        let told: Vec<UsageRow> = seen.into_iter().map(|row| UsageRow { id: 0, ..row }).collect();
        let wanted: Vec<UsageRow> = rows.iter().rev().filter(|row| row.provider == "zeta").cloned().collect();
        assert_eq!(told, wanted, "and each comes back as it was told");
        let gone = Filter { statuses: vec![None], ..Filter::default() };
        let gone = store.usage_requests(all, &gone, None, 100).await.unwrap();
        assert!(gone.len() == 5 && gone.iter().all(|row| row.status.is_none()));
        let span = (millis(MIDNIGHT + 60), millis(MIDNIGHT + 180));
        assert_eq!(store.usage_requests(span, &Filter::default(), None, 100).await.unwrap().len(), 2);
    })
    .await;
}

#[tokio::test]
async fn two_that_sum_up_at_once_count_nothing_twice() {
    everywhere(async |ground| {
        let store = ground.open().await;
        let rows = planted();
        let work = rows.chunks(24).map(|rows| {
            let store = store.clone();
            async move {
                store.record_usage(rows).await.unwrap();
                store.sum_usage().await.unwrap()
            }
        });
        let summed: u64 = futures_util::future::join_all(work).await.into_iter().sum();
        assert_eq!(summed, rows.len() as u64);
        let days = query(&[Dimension::Day], vec![part(Source::Days, 0, MIDNIGHT + 9 * DAY_S)]);
        assert_eq!(answered(&store, &days).await, expected(&rows, &days));
    })
    .await;
}

#[tokio::test]
async fn use_outlives_its_account() {
    everywhere(async |ground| {
        let store = ground.open().await;
        let account = active(&store, "carol", "token").await;
        let row = UsageRow { account: Some(account.id), ..used(4, MIDNIGHT) };
        store.record_usage(&[row]).await.unwrap();
        assert_eq!(store.account_labels().await.unwrap()[&account.id], "carol@example.org");
        assert!(store.remove(account.id).await.unwrap());
        let by = query(&[Dimension::Account], vec![part(Source::Days, 0, MIDNIGHT + DAY_S)]);
        assert_eq!(store.usage(&by).await.unwrap()[0].by, [Common::Number(account.id)]);
    })
    .await;
}
