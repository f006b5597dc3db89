use crate::{pool::Tally, store::Row, upstream::shown};
use pollux_sdk::{Quota, Window};
use serde_json::{Value, json};
use std::time::SystemTime;

/// What is known of an account only while the gateway runs.
#[derive(Debug, Clone, Default)]
pub(crate) struct Runtime {
    /// Model (or all of them), and until when.
    pub(crate) cooldowns: Vec<(Option<String>, SystemTime)>,
    /// Last readings.
    pub(crate) quota: Quota,
    /// Requests at the moment.
    pub(crate) in_flight: u32,
    /// What it has done since the start.
    pub(crate) tally: Tally,
}

/// An account as its owner sees it. `kind` is what the provider's users call it.
pub(crate) fn account(row: &Row, kind: &str, runtime: &Runtime) -> Value {
    let Runtime { cooldowns, quota, in_flight, tally } = runtime;
    let resting =
        |(model, until): &(Option<String>, SystemTime)| json!({"model": model, "until": unix(*until)});
    json!({
        "id": row.id,
        "provider": row.provider,
        "type": kind,
        "subject": row.credential.subject,
        "label": row.credential.label,
        "state": row.state.to_string(),
        "reason": row.reason.as_ref().map(|reason| json!({
            "code": reason.code, "text": reason.text, "link": reason.link,
        })),
        "refreshing": row.refresh_intent,
        "cooling": cooldowns.iter().map(resting).collect::<Vec<_>>(),
        "quota": quota.windows.iter().map(window).collect::<Vec<_>>(),
        "expires_at": row.credential.expires_at.map(unix),
        "in_flight": in_flight,
        "counters": {
            "served": tally.served,
            "failed": tally.failed,
            "input_tokens": tally.input_tokens,
            "output_tokens": tally.output_tokens,
            "last_used_at": tally.last_used_at.map(unix),
        },
        "priority": row.limits.priority,
        "weight": row.limits.weight,
        "max_concurrency": row.limits.max_concurrency,
        "proxy": row.limits.proxy.as_ref().map(|proxy| shown(proxy.expose())),
        "origin": row.origin,
        "trusted": row.trusted,
        "revision": row.revision,
        "created_at": unix(row.created_at),
        "updated_at": unix(row.updated_at),
    })
}

/// One quota window.
pub(crate) fn window(window: &Window) -> Value {
    json!({
        "seconds": window.length.map(|length| length.as_secs()),
        "model": window.model,
        "used": window.used,
        "resets_at": window.resets_at.map(unix),
    })
}

/// Unix seconds.
pub(crate) fn unix(at: SystemTime) -> u64 {
    at.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |time| time.as_secs())
}
