use super::*;
use pollux_sdk::{Emit, Quota, Reader, Step, Summary, Window};

const TEXT: &str = include_str!("../../fixtures/text.sse");
const COMPACTION: &str = include_str!("../../fixtures/compaction.sse");
const FAILED: &str = include_str!("../../fixtures/failed.sse");

fn reader() -> Box<dyn Reader> {
    let call = call("/responses", "m", &[], r#"{"input":[]}"#);
    provider(json!({})).prepare(&call, &Lease::new(&account(), false)).unwrap().reader
}

/// Reads a recorded stream, with its event names or without.
fn read(stream: &str, names: bool) -> (Vec<At>, Summary) {
    let mut reader = reader();
    let places = stream.split("\n\n").filter(|frame| !frame.is_empty()).map(|frame| {
        let line = |field: &str| frame.lines().find_map(|line| line.strip_prefix(field)).unwrap_or_default();
        let data = Bytes::copy_from_slice(line("data: ").as_bytes());
        let Step { emit, at } =
            reader.read(Event { name: if names { line("event: ") } else { "" }, data: &data });
        assert_eq!(emit, Emit::Same, "{frame}");
        at
    });
    (places.collect(), reader.finish())
}

fn window(minutes: u64, used: f64, resets_at: u64) -> Window {
    Window {
        length: Some(Duration::from_mins(minutes)),
        model: None,
        used: Some(used),
        resets_at: Some(at(resets_at)),
    }
}

#[test]
fn recorded_streams_are_read_alike_with_and_without_event_names() {
    use At::{Body, End, Fault, Prelude};
    for names in [true, false] {
        let (places, summary) = read(TEXT, names);
        assert_eq!(places, [Prelude, Prelude, Prelude, Prelude, Body, Body, Body, Body, Body, End]);
        assert_eq!(summary.id.as_deref(), Some("resp_1"));
        let usage = summary.usage.unwrap();
        assert_eq!(
            (usage.input, usage.cache_read, usage.cache_write, usage.output, usage.reasoning),
            (120, Some(100), Some(7), 30, Some(20))
        );
        let windows = vec![window(300, 0.375, 1_795_000_060), window(10_080, 0.12, 1_795_006_000)];
        assert_eq!(summary.quota, Some(Quota { windows }));
        let (places, summary) = read(COMPACTION, names);
        assert_eq!((places, summary.id.as_deref()), (vec![Prelude, Body, End], Some("resp_2")));
        let (places, summary) = read(FAILED, names);
        assert_eq!((places, summary), (vec![Prelude, Fault], Summary::default()));
    }
}

#[test]
fn the_type_is_found_wherever_it_stands() {
    for data in [
        r#"{"type":"response.failed"}"#,
        r#"{ "type" : "response.failed" }"#,
        r#"{"sequence_number":1,"type":"response.failed"}"#,
        r#"{"typ\u0065":"response.failed"}"#,
        r#"{"type":"response.f\u0061iled"}"#,
        r#"{"x":"äöüäöüäöüäöüäöüäöüäöüäöüäöüäöüäöüäöüäöüäöüäöüäöüäöüäöü","type":"response.failed"}"#,
    ] {
        assert_eq!(reader().read(Event { name: "", data: &Bytes::from(data) }).at, At::Fault, "{data}");
    }
    for data in ["", "[DONE]", "{", "null", r#"{"type":5}"#, r#"{"type":"#] {
        assert_eq!(reader().read(Event { name: "", data: &Bytes::from(data) }).at, At::Body, "{data}");
    }
}

#[test]
fn damaged_ends_teach_nothing_but_still_end() {
    for data in [
        "",
        "{}",
        r#"{"response":5}"#,
        r#"{"response":{"id":5,"usage":7}}"#,
        r#"{"response":{"usage":{"input_tokens":-1}}}"#,
    ] {
        let mut reader = reader();
        assert_eq!(
            reader.read(Event { name: "response.completed", data: &Bytes::from(data) }).at,
            At::End,
            "{data}"
        );
        let summary = reader.finish();
        assert_eq!(
            (summary.id, summary.usage.unwrap_or_default()),
            (None, pollux_sdk::Usage::default()),
            "{data}"
        );
    }
}

#[test]
fn the_limit_of_a_model_does_not_hide_the_accounts_own() {
    let mut reader = reader();
    for name in ["codex", "codex_other"] {
        let event = json!({"rate_limits": {"primary": {"used_percent": 50}}, "metered_limit_name": name});
        reader.read(Event { name: "codex.rate_limits", data: &Bytes::from(event.to_string()) });
    }
    assert_eq!(reader.finish().quota.unwrap().windows[0].used, Some(0.5));
}

#[test]
fn quota_events_inside_an_answer_do_not_bring_the_prelude_back() {
    let mut reader = reader();
    let quota = Bytes::from_static(br#"{"type":"codex.rate_limits","rate_limits":{"primary":{"used_percent":100}},"metered_limit_name":"codex_other"}"#);
    assert_eq!(reader.read(Event { name: "", data: &quota }).at, At::Prelude);
    reader.read(Event { name: "response.output_text.delta", data: &Bytes::new() });
    assert_eq!(reader.read(Event { name: "", data: &quota }).at, At::Body);
    assert_eq!(reader.finish().quota, None, "the limit of one model is not the account's");
    assert_eq!(
        reader.read(Event { name: "response.created", data: &quota }).at,
        At::Prelude,
        "it starts anew"
    );
}

#[test]
fn headers_tell_the_windows_that_there_are() {
    let codex = provider(json!({}));
    let quota = |of: &[(&str, &str)]| codex.quota(&headers(of)).map(|quota| quota.windows);
    let primary = [
        ("x-codex-primary-used-percent", "37.5"),
        ("x-codex-primary-window-minutes", "300"),
        ("x-codex-primary-reset-at", "1795000060"),
    ];
    let absent = [
        ("x-codex-secondary-used-percent", "0"),
        ("x-codex-secondary-window-minutes", "0"),
        ("x-codex-secondary-reset-at", ""),
    ];
    assert_eq!(quota(&[&primary[..], &absent].concat()), Some(vec![window(300, 0.375, 1_795_000_060)]));
    assert_eq!(quota(&absent), None);
    assert_eq!(quota(&[("x-codex-primary-used-percent", "")]), None);
    assert_eq!(quota(&[("x-codex-primary-used-percent", "NaN")]), None);
    let odd = quota(&[
        ("x-codex-primary-used-percent", "1e9"),
        ("x-codex-primary-window-minutes", "-5"),
        ("x-codex-primary-reset-at", "1e300"),
    ]);
    assert_eq!(odd, Some(vec![Window { length: None, model: None, used: Some(1.0), resets_at: None }]));
}
