use pollux_sdk::{At, Bytes, Event, HeaderMap, Payload, Quota, Reader, Step, Summary, Usage, Window};
use serde_json::Value;
use std::{
    borrow::Cow,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Reads Responses events. All of them go on as they came; only the last and the quota's are parsed.
#[derive(Debug, Default)]
pub(crate) struct Responses {
    summary: Summary,
    begun: bool,
}

impl Reader for Responses {
    fn read(&mut self, event: Event<'_>) -> Step {
        let at = match &*kind(&event) {
            "codex.rate_limits" => {
                self.summary.quota = event_quota(event.data).or(self.summary.quota.take());
                self.early()
            }
            "response.created" | "response.in_progress" | "response.queued" | "response.metadata" => {
                self.early()
            }
            "response.failed" | "error" => At::Fault,
            "response.completed" | "response.incomplete" => {
                self.learn(event.data);
                At::End
            }
            _ => At::Body,
        };
        self.begun |= at == At::Body;
        Step::same(at)
    }

    fn finish(&mut self) -> Summary {
        std::mem::take(self).summary
    }
}

impl Responses {
    /// Upstream interleaves these with the answer; they are a prelude only before it.
    const fn early(&self) -> At {
        if self.begun { At::Body } else { At::Prelude }
    }

    fn learn(&mut self, data: &Bytes) {
        let Some(response) = Payload::new(data.clone()).raw("response").map(Payload::new) else { return };
        self.summary.id = response.text("id").map(Cow::into_owned);
        let usage: Value =
            response.raw("usage").and_then(|raw| serde_json::from_slice(&raw).ok()).unwrap_or_default();
        let count = |path: &str| usage.pointer(path).and_then(Value::as_u64).unwrap_or_default();
        self.summary.usage = usage.is_object().then(|| Usage {
            input: count("/input_tokens"),
            cache_read: count("/input_tokens_details/cached_tokens"),
            cache_write: count("/input_tokens_details/cache_write_tokens"),
            output: count("/output_tokens"),
            reasoning: count("/output_tokens_details/reasoning_tokens"),
        });
    }
}

/// The event's name; without one (some lanes, sockets) its `type`, which upstream writes first.
fn kind<'a>(event: &Event<'a>) -> Cow<'a, str> {
    if !event.name.is_empty() {
        return Cow::Borrowed(event.name);
    }
    let head = &event.data[..event.data.len().min(96)];
    let text = head.utf8_chunks().next().map(|chunk| chunk.valid()).unwrap_or_default();
    let first =
        ["{", "\"type\"", ":", "\""].iter().try_fold(text, |rest, part| rest.trim_start().strip_prefix(part));
    match first.and_then(|rest| rest.split_once('"')).filter(|(name, _)| !name.contains('\\')) {
        Some((name, _)) => Cow::Owned(name.to_owned()),
        None => Cow::Owned(Payload::new(event.data.clone()).text("type").unwrap_or_default().into_owned()),
    }
}

/// The quota windows in a reply's head.
pub(crate) fn header_quota(headers: &HeaderMap) -> Option<Quota> {
    quota(["primary", "secondary"].map(|slot| {
        let read =
            |field: &str| headers.get(format!("x-codex-{slot}-{field}"))?.to_str().ok()?.trim().parse().ok();
        window(read("used-percent"), minutes(read("window-minutes")), read("reset-at"))
    }))
}

/// The quota windows of `wham/usage`.
pub(crate) fn usage_quota(usage: &Value) -> Option<Quota> {
    quota(["primary_window", "secondary_window"].map(|slot| {
        let read = |field: &str| usage["rate_limit"][slot][field].as_f64();
        window(read("used_percent"), read("limit_window_seconds"), read("reset_at"))
    }))
}

fn event_quota(data: &Bytes) -> Option<Quota> {
    let event: Value = serde_json::from_slice(data).ok()?;
    let limit = event["metered_limit_name"].as_str().or(event["limit_name"].as_str());
    // Other names are limits beside the account's own, of models that they do not name.
    if limit.is_some_and(|name| name != "codex") {
        return None;
    }
    quota(["primary", "secondary"].map(|slot| {
        let read = |field: &str| event["rate_limits"][slot][field].as_f64();
        window(read("used_percent"), minutes(read("window_minutes")), read("reset_at"))
    }))
}

fn quota(windows: [Option<Window>; 2]) -> Option<Quota> {
    let windows: Vec<Window> = windows.into_iter().flatten().collect();
    (!windows.is_empty()).then_some(Quota { windows })
}

fn minutes(minutes: Option<f64>) -> Option<f64> {
    minutes.map(|minutes| minutes * 60.0)
}

/// A window the plan does not have is told as 0 percent of 0 minutes without a reset.
fn window(percent: Option<f64>, seconds: Option<f64>, reset: Option<f64>) -> Option<Window> {
    let percent = percent.filter(|percent| percent.is_finite())?;
    let length =
        seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()).filter(|time| !time.is_zero());
    let resets_at = reset.filter(|at| *at > 0.0).and_then(instant);
    if percent == 0.0 && length.is_none() && resets_at.is_none() {
        return None;
    }
    Some(Window { length, model: None, used: Some((percent / 100.0).clamp(0.0, 1.0)), resets_at })
}

/// A unix time in seconds; `None` for what no calendar shows.
pub(crate) fn instant(seconds: f64) -> Option<SystemTime> {
    let year_5000 = 95_617_584_000.0;
    UNIX_EPOCH.checked_add(Duration::try_from_secs_f64(seconds).ok().filter(|_| seconds < year_5000)?)
}
