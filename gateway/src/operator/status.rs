//! How the pools are doing: numbers only, since everybody may be allowed to look. No account is named.

use crate::{pool::Standing, relay::Service, serve::Context};
use maud::{DOCTYPE, Markup, html};
use pollux_sdk::{Account, PoolView};
use serde::Serialize;
use std::{
    sync::atomic::Ordering,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// The page loads nothing and runs nothing.
pub(super) const PAGE_HEADERS: [(&str, &str); 4] = [
    ("content-security-policy", "default-src 'none'; img-src data:; base-uri 'none'; frame-ancestors 'none'"),
    ("cache-control", "no-store"),
    ("referrer-policy", "no-referrer"),
    ("x-content-type-options", "nosniff"),
];

/// All of it.
#[derive(Debug, Serialize)]
pub(super) struct Status {
    version: &'static str,
    uptime_seconds: u64,
    inflight: usize,
    pools: Vec<Pool>,
}

/// The accounts of one provider.
#[derive(Debug, Serialize)]
struct Pool {
    provider: &'static str,
    title: &'static str,
    accounts: usize,
    ready: usize,
    busy: usize,
    refreshing: usize,
    cooling: usize,
    /// When the first of those cooling is back, in unix seconds.
    next_ready_at: Option<u64>,
    windows: Vec<Window>,
}

/// The mean of the accounts' quota windows of one length.
#[derive(Debug, Serialize)]
struct Window {
    seconds: Option<u64>,
    model: Option<String>,
    used: Option<f64>,
    /// The soonest, in unix seconds.
    resets_at: Option<u64>,
}

pub(super) fn read(context: &Context, now: SystemTime) -> Status {
    Status {
        version: env!("CARGO_PKG_VERSION"),
        uptime_seconds: context.began.elapsed().as_secs(),
        inflight: context.running.load(Ordering::Acquire),
        pools: context.services.iter().map(|service| pool(service, now)).collect(),
    }
}

fn pool(service: &Service, now: SystemTime) -> Pool {
    let about = service.provider.descriptor();
    let standings = service.pool.standings(now);
    let count = |is: fn(Standing) -> bool| standings.iter().filter(|(_, standing)| is(*standing)).count();
    let ends = standings.iter().filter_map(|(_, standing)| match standing {
        Standing::Cooling(until) => Some(*until),
        _ => None,
    });
    let quotas: Vec<_> = standings.iter().map(|(held, _)| service.pool.quota_of(held.id, now)).collect();
    let accounts: Vec<Account<'_>> = standings
        .iter()
        .zip(&quotas)
        .map(|((held, standing), quota)| Account {
            credential: &held.credential,
            usable: *standing == Standing::Ready,
            quota,
        })
        .collect();
    let windows = PoolView { accounts: &accounts, models: &[], now }.quota().windows;
    Pool {
        provider: about.id,
        title: about.title,
        accounts: standings.len(),
        ready: count(|standing| standing == Standing::Ready),
        busy: count(|standing| standing == Standing::Busy),
        refreshing: count(|standing| matches!(standing, Standing::Refreshing | Standing::Expired)),
        cooling: count(|standing| matches!(standing, Standing::Cooling(_))),
        next_ready_at: ends.min().map(unix),
        windows: windows
            .into_iter()
            .map(|window| Window {
                seconds: window.length.map(|length| length.as_secs()),
                model: window.model,
                used: window.used,
                resets_at: window.resets_at.map(unix),
            })
            .collect(),
    }
}

fn unix(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Whether a browser asks: it names HTML, and not after JSON.
pub(super) fn wants_page(accept: &str) -> bool {
    let place = |kind: &str| accept.find(kind).unwrap_or(usize::MAX);
    place("text/html") < place("application/json")
}

pub(super) fn page(status: &Status) -> Markup {
    let now = unix(SystemTime::now());
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta http-equiv="refresh" content="30";
                link rel="icon" href="data:,";
                title { "Status - Pollux" }
            }
            body {
                main {
                    h1 { "Pollux" }
                    p {
                        "Version " (status.version) ", up for " (spoken(status.uptime_seconds)) ", "
                        (status.inflight) " requests in flight."
                    }
                    table {
                        thead { tr {
                            @for head in ["Pool", "Accounts", "Ready", "Busy", "Refreshing", "Cooling", "Next ready", "Quota used"] {
                                th scope="col" { (head) }
                            }
                        } }
                        tbody {
                            @for pool in &status.pools { tr {
                                th scope="row" { (pool.title) }
                                @for number in [pool.accounts, pool.ready, pool.busy, pool.refreshing, pool.cooling] {
                                    td { (number) }
                                }
                                td { (pool.next_ready_at.map_or_else(|| "-".to_owned(), |at| in_time(at, now))) }
                                td { @for (index, window) in pool.windows.iter().enumerate() {
                                    @if index > 0 { br; }
                                    (described(window, now))
                                } }
                            } }
                        }
                    }
                    p { "This page reloads itself every 30 seconds." }
                }
            }
        }
    }
}

/// `5 h: 42 %, resets in 1 h 5 min`.
fn described(window: &Window, now: u64) -> String {
    let name = window.seconds.map_or_else(|| "window".to_owned(), spoken);
    let model = window.model.as_ref().map(|model| format!(" ({model})")).unwrap_or_default();
    let used = window.used.map_or_else(|| "unknown".to_owned(), |used| format!("{:.0} %", used * 100.0));
    let reset = window.resets_at.map(|at| format!(", resets {}", in_time(at, now))).unwrap_or_default();
    format!("{name}{model}: {used}{reset}")
}

fn in_time(at: u64, now: u64) -> String {
    format!("in {}", spoken(at.saturating_sub(now)))
}

fn spoken(seconds: u64) -> String {
    let minutes = Duration::from_secs(seconds).as_secs().div_ceil(60);
    match (minutes / 1440, minutes % 1440 / 60, minutes % 60) {
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, 0) => format!("{hours} h"),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, 0, _) => format!("{days} d"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browsers_get_the_page_and_programs_the_numbers() {
        for (accept, page) in [
            ("", false),
            ("*/*", false),
            ("application/json", false),
            ("application/json, text/html", false),
            ("text/html", true),
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", true),
            ("application/xhtml+xml, text/html", true),
            ("text/html, application/json", true),
        ] {
            assert_eq!(wants_page(accept), page, "{accept}");
        }
    }

    #[test]
    fn times_and_windows_are_told_as_people_say_them() {
        for (seconds, text) in [
            (0, "0 min"),
            (61, "2 min"),
            (18_000, "5 h"),
            (18_060, "5 h 1 min"),
            (604_800, "7 d"),
            (90_000, "1 d 1 h"),
        ] {
            assert_eq!(spoken(seconds), text);
        }
        let window = Window { seconds: Some(18_000), model: None, used: Some(0.424), resets_at: Some(160) };
        assert_eq!(described(&window, 100), "5 h: 42 %, resets in 1 min");
        let unknown = Window { seconds: None, model: Some("m".into()), used: None, resets_at: None };
        assert_eq!(described(&unknown, 100), "window (m): unknown");
    }
}
