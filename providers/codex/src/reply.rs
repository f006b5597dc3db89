use pollux_sdk::{
    At, Bytes, Event, HeaderMap, Payload, Quota, Reader, Step, Summary, Usage, Window, kit::unix,
};
use serde_json::Value;
use std::{borrow::Cow, time::Duration};

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
        let Some(response) = Payload::new(data.clone()).child("response") else { return };
        self.summary.id = response.text("id").map(Cow::into_owned);
        let usage = response.value("usage");
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

/// The event's name; without one (some lanes, sockets) its `type`.
fn kind<'a>(event: &Event<'a>) -> Cow<'a, str> {
    if event.name.is_empty() {
        return Payload::new(event.data.clone()).text("type").unwrap_or_default().into_owned().into();
    }
    event.name.into()
}

/// The quota windows in a reply's head.
pub(crate) fn header_quota(headers: &HeaderMap) -> Option<Quota> {
    quota(["used-percent", "window-minutes", "reset-at"], |slot, field| {
        headers.get(format!("x-codex-{slot}-{field}"))?.to_str().ok()?.trim().parse().ok()
    })
}

/// The quota windows of `wham/usage`.
pub(crate) fn usage_quota(usage: &Value) -> Option<Quota> {
    quota(["used_percent", "limit_window_seconds", "reset_at"], |slot, field| {
        usage["rate_limit"][format!("{slot}_window")][field].as_f64()
    })
}

fn event_quota(data: &Bytes) -> Option<Quota> {
    let event: Value = serde_json::from_slice(data).ok()?;
    let limit = event["metered_limit_name"].as_str().or(event["limit_name"].as_str());
    // Other names are limits beside the account's own, of models that they do not name.
    if limit.is_some_and(|name| name != "codex") {
        return None;
    }
    quota(["used_percent", "window_minutes", "reset_at"], |slot, field| {
        event["rate_limits"][slot][field].as_f64()
    })
}

/// The windows as `read` finds their fields: share, length, end. One that the plan does not have is told as 0
/// percent of 0 minutes without an end.
fn quota(fields: [&str; 3], read: impl Fn(&str, &str) -> Option<f64>) -> Option<Quota> {
    let unit = if fields[1].ends_with("minutes") { 60.0 } else { 1.0 };
    let window = |slot| {
        let [percent, length, reset] = fields.map(|field| read(slot, field));
        let percent = percent.filter(|percent| percent.is_finite())?;
        let length = Duration::try_from_secs_f64(length.unwrap_or_default() * unit).ok();
        let length = length.filter(|length| !length.is_zero());
        let resets_at = reset.filter(|at| *at > 0.0).and_then(unix);
        let told = percent != 0.0 || length.is_some() || resets_at.is_some();
        let used = Some((percent / 100.0).clamp(0.0, 1.0));
        told.then_some(Window { length, model: None, used, resets_at })
    };
    let windows: Vec<Window> = ["primary", "secondary"].into_iter().filter_map(window).collect();
    (!windows.is_empty()).then_some(Quota { windows })
}
