use pollux_sdk::kit::{each, rfc3339, text, unix};
use pollux_sdk::{At, Event, HeaderMap, Payload, Quota, Reader, Step, Summary, Usage, Window};
use serde_json::Value;
use std::{borrow::Cow, time::Duration};

const FIVE_HOURS: Duration = Duration::from_hours(5);
const WEEK: Duration = Duration::from_hours(7 * 24);

/// Reads Messages events, or the one document of a unary answer. All of them go on as they came; only the two that
/// tell usage are parsed.
#[derive(Debug, Default)]
pub(crate) struct Messages {
    summary: Summary,
    begun: bool,
}

impl Reader for Messages {
    fn read(&mut self, event: Event<'_>) -> Step {
        // Pings come at any time; they are a prelude only before the answer.
        let early = if self.begun { At::Body } else { At::Prelude };
        let at = match &*kind(&event) {
            "message_start" => {
                if let Some(message) = Payload::new(event.data.clone()).child("message") {
                    self.learn(&message);
                }
                early
            }
            "ping" => early,
            "message_delta" => {
                self.learn(&Payload::new(event.data.clone()));
                At::Body
            }
            "message" => {
                self.learn(&Payload::new(event.data.clone()));
                At::End
            }
            "message_stop" => At::End,
            "error" => At::Fault,
            _ => At::Body,
        };
        self.begun |= at == At::Body;
        Step::same(at)
    }

    fn finish(&mut self) -> Summary {
        std::mem::take(self).summary
    }
}

impl Messages {
    /// Usage is cumulative, and each telling may leave out what the former has told.
    fn learn(&mut self, message: &Payload) {
        if let Some(id) = message.text("id") {
            self.summary.id = Some(id.into_owned());
        }
        let told = message.value("usage");
        let count = |key: &str| told[key].as_u64();
        if !told.is_object() {
            return;
        }
        let known = self.summary.usage.unwrap_or_default();
        let cache_read = count("cache_read_input_tokens").or(known.cache_read);
        let cache_write = count("cache_creation_input_tokens").or(known.cache_write);
        let of_cache = |read: Option<u64>, written: Option<u64>| {
            read.unwrap_or_default().saturating_add(written.unwrap_or_default())
        };
        let plain = known.input.saturating_sub(of_cache(known.cache_read, known.cache_write));
        // The vendor's `input_tokens` leaves out what the cache had to do with.
        let plain = count("input_tokens").unwrap_or(plain);
        self.summary.usage = Some(Usage {
            input: plain.saturating_add(of_cache(cache_read, cache_write)),
            cache_read,
            cache_write,
            output: count("output_tokens").unwrap_or(known.output),
            // It is in the output, and nobody says how much of it.
            reasoning: None,
        });
    }
}

/// The event's name; without one its `type`.
fn kind<'a>(event: &Event<'a>) -> Cow<'a, str> {
    if event.name.is_empty() {
        return Payload::new(event.data.clone()).text("type").unwrap_or_default().into_owned().into();
    }
    event.name.into()
}

/// The quota windows in a reply's head: those of a subscription, and the tightest per-minute limit of a key.
pub(crate) fn header_quota(headers: &HeaderMap) -> Option<Quota> {
    let read = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    let number = |name: &str| read(name)?.parse::<f64>().ok().filter(|number| number.is_finite());
    let mut windows: Vec<Window> = headers
        .keys()
        .filter_map(|name| {
            let slot = name.as_str().strip_prefix("anthropic-ratelimit-unified-")?;
            let slot = slot.strip_suffix("-utilization")?;
            let (length, model) = window(slot)?;
            // 1 is all of it, and overage lets it grow beyond.
            let used = number(name.as_str()).map(|used| used.clamp(0.0, 1.0))?;
            let reset = number(&format!("anthropic-ratelimit-unified-{slot}-reset"));
            let resets_at = reset.filter(|at| *at > 0.0).and_then(unix);
            Some(Window { length: Some(length), model, used: Some(used), resets_at })
        })
        .collect();
    windows.sort_by(|one, other| (one.length, &one.model).cmp(&(other.length, &other.model)));
    let bucket = |kind: &&str| {
        let field = |field: &str| format!("anthropic-ratelimit-{kind}-{field}");
        let (limit, remaining) = (number(&field("limit"))?, number(&field("remaining"))?);
        let used = (limit > 0.0).then(|| (1.0 - remaining / limit).clamp(0.0, 1.0));
        let resets_at = read(&field("reset")).and_then(rfc3339);
        Some(Window { length: Some(Duration::from_mins(1)), model: None, used, resets_at })
    };
    let tighter = |one: Window, other: Window| if other.used > one.used { other } else { one };
    windows.extend(BUCKETS.iter().filter_map(bucket).reduce(tighter));
    (!windows.is_empty()).then_some(Quota { windows })
}

/// What a key's limits count.
pub(crate) const BUCKETS: [&str; 4] = ["requests", "tokens", "input-tokens", "output-tokens"];

/// Length and model line of a subscription's window, by its name in headers; `None` for what is no allowance.
fn window(slot: &str) -> Option<(Duration, Option<String>)> {
    match slot.split_once(['_', '-']).unwrap_or((slot, "")) {
        ("5h", "") => Some((FIVE_HOURS, None)),
        ("7d", "") => Some((WEEK, None)),
        ("7d", line) if line.len() <= 32 => Some((WEEK, Some(line.to_owned()))),
        _ => None,
    }
}

/// The quota windows of `oauth/usage`.
pub(crate) fn usage_quota(usage: &Value) -> Option<Quota> {
    const WINDOWS: [(&str, Duration, Option<&str>); 4] = [
        ("five_hour", FIVE_HOURS, None),
        ("seven_day", WEEK, None),
        ("seven_day_opus", WEEK, Some("opus")),
        ("seven_day_sonnet", WEEK, Some("sonnet")),
    ];
    let read = |(key, length, model): (&str, Duration, Option<&str>)| {
        let told = &usage[key];
        // Here it is percent.
        let used = told["utilization"].as_f64().filter(|used| used.is_finite())?;
        let resets_at = text(&told["resets_at"]).and_then(rfc3339);
        let used = Some((used / 100.0).clamp(0.0, 1.0));
        Some(Window { length: Some(length), model: model.map(Into::into), used, resets_at })
    };
    let windows: Vec<Window> = WINDOWS.into_iter().filter_map(read).collect();
    (!windows.is_empty()).then_some(Quota { windows })
}

/// The models that `v1/models` lists, as id and entry.
pub(crate) fn listed(list: &Value) -> impl Iterator<Item = (&str, &Value)> {
    each(&list["data"]).filter_map(|entry| Some((text(&entry["id"])?, entry)))
}
