//! Streams: what passes, how they end when they break, and what a client that leaves costs.

use bytes::Bytes;
use futures_util::StreamExt as _;
use pollux_tests::kit::{End, Event, Events, Raw, Stage, client, contents, wait_until};
use pollux_tests::simulator::{Answer, Ending, Fault, Gate, Injection, openai};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(20);
const CODEX: &str = "/codex/responses";
const GEMINI: &str = ":streamGenerateContent";
const GEMINI_PATH: &str = "/geminicli/v1beta/models/gemini-2.5-pro:streamGenerateContent";
const SILENCE: &str = "[upstream]\nstream_idle_timeout = \"500ms\"";

fn bytes(parts: &[&str]) -> Vec<Bytes> {
    parts.iter().map(|part| Bytes::from((*part).to_owned())).collect()
}

async fn read(mut stream: Events) -> (Vec<Event>, Vec<u8>) {
    let events = stream.rest(LIMIT).await;
    assert_eq!(stream.end(), Some(&End::Clean), "the message itself is whole");
    assert!(stream.remainder().is_empty(), "{}", String::from_utf8_lossy(&stream.raw));
    (events, stream.raw)
}

/// A broken Codex stream ends with the one event that its CLI understands.
fn codex_failed(events: &[Event]) -> Value {
    let last = events.last().expect("there are events");
    let data = last.json();
    assert_eq!(last.name.as_deref(), Some("response.failed"), "{events:?}");
    assert_eq!((&data["type"], &data["response"]["status"]), (&json!("response.failed"), &json!("failed")));
    let error = &data["response"]["error"];
    assert!(error["code"].is_string() || error["type"].is_string(), "{data}");
    assert!(error["message"].is_string(), "{data}");
    assert!(data["response"]["id"].is_string() && data["sequence_number"].is_u64(), "{data}");
    let ends = events.iter().filter(|event| event.name.as_deref() == Some("response.failed")).count();
    assert_eq!(ends, 1);
    data
}

fn gemini_failed(events: &[Event]) -> Value {
    let data = events.last().expect("there are events").json();
    assert!(data["error"]["code"].is_u64() && data["error"]["message"].is_string(), "{events:?}");
    assert!(data["error"]["status"].is_string(), "{data}");
    let ends = events.iter().filter(|event| event.json().get("error").is_some()).count();
    assert_eq!(ends, 1);
    data["error"].clone()
}

#[tokio::test]
async fn a_codex_stream_passes_byte_for_byte() {
    let stage = Stage::start("", &[], &["bob"]).await;
    let odd = [
        "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"id\":\"r1\"}}\n\n",
        ": a comment\n\n",
        "id: 7\nretry: 100\nevent: response.output_text.delta\ndata:{\"type\":\"response.output_text.delta\",\ndata: \"delta\":\"\\u0061 \u{e9}\"}\n\n",
        "event: response.future_thing\r\ndata: {\"type\":\"response.future_thing\",\"n\":1.50}\r\n\r\n",
        "data: {\"type\":\"response.unnamed\"}\n\n",
        "event: response.completed\ndata: {\"type\":\"response.completed\",\"response\":{\"id\":\"r1\",\"usage\":{\"input_tokens\":1,\"output_tokens\":2}}}\n\n",
    ];
    stage.simulator.openai().script().next(Answer::Raw(bytes(&odd)));
    let (_, raw) = read(stage.codex_stream("x").await).await;
    assert_eq!(String::from_utf8_lossy(&raw), odd.concat());
    // The same, however the bytes fall into reads.
    let pieces: Vec<String> = odd.concat().chars().map(String::from).collect();
    let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
    stage.simulator.openai().script().next(Answer::Raw(bytes(&pieces)));
    let (_, raw) = read(stage.codex_stream("x").await).await;
    assert_eq!(String::from_utf8_lossy(&raw), odd.concat());
}

#[tokio::test]
async fn every_event_keeps_its_name() {
    let stage = Stage::start("", &[], &["bob"]).await;
    let (events, _) = read(stage.codex_stream("one two three").await).await;
    for event in &events {
        assert_eq!(event.name.as_deref(), event.json()["type"].as_str(), "{event:?}");
    }
    assert!(events.len() > 8);
}

#[tokio::test]
async fn a_gemini_stream_keeps_what_it_does_not_know() {
    let stage = Stage::start("", &["alice"], &[]).await;
    let chunks = [
        r#"{"response":{"candidates":[{"content":{"parts":[{"text":"a","future":{"x":[1.50]}}],"role":"model"}}],"responseId":"r","newThing":{"a":null}},"traceId":"t","remainingCredits":[]}"#,
        r#"{"response":{"candidates":[{"finishReason":"FUTURE_REASON","content":{"role":"model"}}],"responseId":"r"}}"#,
    ];
    let framed: Vec<String> = chunks.iter().map(|chunk| format!("data: {chunk}\r\n\r\n")).collect();
    let framed: Vec<&str> = framed.iter().map(String::as_str).collect();
    stage.simulator.google().script().next(Answer::Raw(bytes(&framed)));
    let (events, _) = read(stage.gemini_stream("x").await).await;
    for (event, chunk) in events.iter().zip(chunks) {
        let inner: Value = serde_json::from_str(chunk).unwrap();
        assert_eq!(event.json(), inner["response"]);
    }
    assert_eq!(events.len(), 2);
}

/// Reads a stream cut at this byte; nothing where the answer was no stream.
async fn cut(stage: &Stage, path: &str, body: &Value, part: &str, size: usize) -> Option<Vec<Event>> {
    let mark = format!("cut-{part}-{size}-");
    let body: Value = serde_json::from_str(&body.to_string().replace("MARK", &mark)).unwrap();
    stage.simulator.inject(Injection::new(Fault::Truncate(size)).path(part).containing(&mark));
    let stream = stage.events(path, &body).await;
    if stream.status != 200 {
        assert_eq!(stream.status, 502, "cut at {size}");
        return None;
    }
    Some(read(stream).await.0)
}

#[tokio::test]
async fn a_codex_stream_cut_at_any_byte_ends_with_response_failed() {
    let stage = Stage::start("", &[], &["bob"]).await;
    stage.simulator.openai().habits(|habits| habits.rate_limits_event = false);
    let chunks = bytes(&[
        "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"id\":\"r1\"}}\n\n",
        "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"delta\":\"half\"}\n\n",
        "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"delta\":\" whole\"}\n\n",
        "event: response.completed\ndata: {\"type\":\"response.completed\",\"response\":{\"id\":\"r1\"}}\n\n",
    ]);
    let (total, created) = (chunks.concat().len(), chunks[0].len());
    let first_text = created + chunks[1].len();
    stage.simulator.openai().script().always(Answer::Raw(chunks));
    let body = json!({"model": "gpt-5.5", "input": "MARK", "stream": true});
    let stage = &stage;
    let body = &body;
    let all = (0..=total)
        .map(|size| async move { (size, cut(stage, "/codex/v1/responses", body, CODEX, size).await) });
    let mut seen: Vec<_> = futures_util::stream::iter(all).buffer_unordered(8).collect().await;
    seen.sort_by_key(|(size, _)| *size);
    for (size, events) in seen {
        match events {
            None => assert!(size < first_text, "cut at {size}: the text had come"),
            Some(events) if size == total => {
                assert_eq!(events.last().unwrap().name.as_deref(), Some("response.completed"));
            }
            Some(events) => {
                let done = events.iter().any(|event| event.name.as_deref() == Some("response.completed"));
                // Cut within the blank line after its last event, the answer is whole all the same.
                if !(done && size >= total - 2) {
                    codex_failed(&events);
                    assert!(size >= first_text - 1, "cut at {size} before any text is no stream: {events:?}");
                }
            }
        }
    }
    assert_eq!(stage.generated().len(), total + 1, "none was repeated");
    assert_eq!(stage.account("bob").await["cooling"], json!([]), "no account pays for it");
}

#[tokio::test]
async fn a_gemini_stream_cut_at_any_byte_ends_with_an_error_chunk() {
    let stage = Stage::start("", &["alice"], &[]).await;
    let chunks = bytes(&[
        "data: {\"response\":{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"half\"}]}}]}}\r\n\r\n",
        "data: {\"response\":{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\" whole\"}]},\"finishReason\":\"STOP\"}]}}\r\n\r\n",
    ]);
    let (total, first) = (chunks.concat().len(), chunks[0].len());
    stage.simulator.google().script().always(Answer::Raw(chunks));
    let body = contents("MARK");
    let (stage, body) = (&stage, &body);
    let path = "/geminicli/v1beta/models/gemini-2.5-pro:streamGenerateContent?alt=sse";
    let all = (0..=total).map(|size| async move { (size, cut(stage, path, body, GEMINI, size).await) });
    let seen: Vec<_> = futures_util::stream::iter(all).buffer_unordered(8).collect().await;
    for (size, events) in seen {
        match events {
            None => assert!(size < first, "cut at {size}"),
            Some(events) => {
                let done = events.iter().any(|event| event.json()["candidates"][0]["finishReason"] == "STOP");
                if done {
                    assert!(size >= total - 4, "cut at {size}: {events:?}");
                } else {
                    assert!(size >= first - 4, "cut at {size}: {events:?}");
                    assert_eq!(gemini_failed(&events)["code"], 502);
                }
            }
        }
    }
    assert_eq!(stage.generated().len(), total + 1);
}

#[tokio::test]
async fn a_cut_array_stays_an_array_and_ends_with_the_error() {
    let stage = Stage::start(SILENCE, &["alice"], &[]).await;
    for fault in [Fault::EndAfter(1), Fault::SilenceAfter(1), Fault::ResetAfter(300), Fault::Truncate(300)] {
        stage.simulator.inject(Injection::new(fault.clone()).path(GEMINI));
        let answer = stage.post(&format!("{GEMINI_PATH}?alt=json"), &contents("one two three")).await;
        let array = answer.json();
        let array = array.as_array().unwrap_or_else(|| panic!("{fault:?}: {}", answer.text()));
        assert!(array.last().unwrap()["error"]["message"].is_string(), "{fault:?}: {}", answer.text());
    }
}

#[tokio::test]
async fn every_other_way_to_break_ends_with_an_event_too() {
    let stage = Stage::start(SILENCE, &["alice"], &["bob"]).await;
    stage.simulator.openai().habits(|habits| habits.rate_limits_event = false);
    for fault in [
        Fault::ResetAfter(3000),
        Fault::SilenceAfter(5),
        Fault::EndAfter(5),
        Fault::EndAfter(8),
        Fault::RawAfter(5, Bytes::from_static(b"data: [DONE]\n\n")),
        Fault::RawAfter(5, Bytes::from_static(b"event: error\ndata: {\"type\":\"error\",\"code\":\"server_error\",\"message\":\"flat\"}\n\n")),
        Fault::RawAfter(5, Bytes::from_static(b"event: response.failed\ndata: {broken\n\n")),
        Fault::RawAfter(5, Bytes::from_static(b"event: response.output_text.delta\ndata: {\"type\":\"response.out")),
        Fault::RawAfter(5, Bytes::from_static(b"event: response.output_text.delta")),
        Fault::HugeAfter(5, 80 << 20),
    ] {
        stage.simulator.inject(Injection::new(fault.clone()).path(CODEX));
        let (events, raw) = read(stage.codex_stream("one two three").await).await;
        assert!(raw.len() < 70 << 20, "{fault:?}");
        codex_failed(&events);
        let kinds: Vec<_> = events.iter().filter_map(|event| event.name.as_deref()).collect();
        assert!(!kinds.contains(&"error"), "Codex CLI ignores it: {kinds:?}");
    }
    for fault in [
        Fault::ResetAfter(300),
        Fault::SilenceAfter(1),
        Fault::EndAfter(1),
        Fault::EndAfter(2),
        Fault::RawAfter(1, Bytes::from_static(b"data: [DONE]\n\n")),
        Fault::RawAfter(1, Bytes::from_static(b"<html>sorry</html>")),
        Fault::RawAfter(1, Bytes::from_static(b"<html>\n\nsorry</html>\n\n")),
        Fault::RawAfter(1, Bytes::from_static(b"data: {\"response\":{\"candidates\":[{\"conte")),
        Fault::HugeAfter(1, 80 << 20),
    ] {
        stage.simulator.inject(Injection::new(fault.clone()).path(GEMINI));
        let (events, raw) = read(stage.gemini_stream("one two three").await).await;
        gemini_failed(&events);
        assert!(!String::from_utf8_lossy(&raw).contains("html"), "{fault:?}");
    }
}

#[tokio::test]
async fn a_last_event_without_its_blank_line_is_delivered_with_one() {
    let stage = Stage::start("", &["alice"], &["bob"]).await;
    let last =
        "event: response.completed\ndata: {\"type\":\"response.completed\",\"response\":{\"id\":\"r\"}}";
    for end in ["", "\n"] {
        let raw = Bytes::from(format!("{last}{end}"));
        stage.simulator.inject(Injection::new(Fault::RawAfter(5, raw)).path(CODEX));
        let (events, _) = read(stage.codex_stream("one two three").await).await;
        assert_eq!(events.last().unwrap().name.as_deref(), Some("response.completed"));
    }
    let last = "data: {\"response\":{\"candidates\":[{\"finishReason\":\"STOP\"}]}}";
    stage.simulator.inject(Injection::new(Fault::RawAfter(1, Bytes::from(last))).path(GEMINI));
    let (events, _) = read(stage.gemini_stream("one two three").await).await;
    assert_eq!(events.last().unwrap().json()["candidates"][0]["finishReason"], "STOP");
}

#[tokio::test]
async fn a_client_that_leaves_a_silent_stream_cancels_upstream() {
    let stage = one_at_a_time("[upstream]\nstream_idle_timeout = \"60s\"").await;
    stage.simulator.inject(Injection::new(Fault::SilenceAfter(6)).path(CODEX));
    stage.simulator.inject(Injection::new(Fault::SilenceAfter(1)).path(GEMINI));
    let mut codex = stage.codex_stream("one two three").await;
    let mut gemini = stage.gemini_stream("one two three").await;
    assert!(codex.next(LIMIT).await.is_some() && gemini.next(LIMIT).await.is_some());
    drop((codex, gemini));
    let gone = |all: &[pollux_tests::simulator::Received]| {
        all.iter().filter(|one| one.ending() == Some(Ending::PeerGone)).count() == 2
    };
    assert!(
        stage.simulator.record().wait_until(LIMIT, gone).await,
        "without a write nobody would have noticed"
    );
    assert_eq!((stage.codex("next").await.status, stage.gemini("next").await.status), (200, 200));
}

#[tokio::test]
async fn an_error_inside_a_stream_keeps_upstreams_words() {
    let stage = Stage::start("", &["alice"], &["bob"]).await;
    stage.simulator.openai().habits(|habits| habits.rate_limits_event = false);
    let error = json!({"code": "server_error", "message": "it broke in the middle", "future": 1});
    stage.simulator.inject(Injection::new(Fault::ErrorAfter(5, error)).path(CODEX));
    let (events, _) = read(stage.codex_stream("one two three").await).await;
    let failed = codex_failed(&events);
    assert_eq!(failed["response"]["error"]["message"], "it broke in the middle");
    assert_eq!(failed["response"]["error"]["future"], 1);
    let error = json!({"code": 503, "status": "UNAVAILABLE", "message": "it broke in the middle", "details": [{"@type": "x"}]});
    stage.simulator.inject(Injection::new(Fault::ErrorAfter(1, error.clone())).path(GEMINI));
    let (events, _) = read(stage.gemini_stream("one two three").await).await;
    assert_eq!(gemini_failed(&events), error);
    assert_eq!(stage.generated().len(), 2);
}

#[tokio::test]
async fn a_damaged_event_in_the_middle_does_not_end_a_codex_stream() {
    let stage = Stage::start("", &[], &["bob"]).await;
    stage.simulator.inject(Injection::new(Fault::MalformedAfter(5)).path(CODEX));
    let (events, _) = read(stage.codex_stream("one two three").await).await;
    assert_eq!(events.last().unwrap().name.as_deref(), Some("response.completed"));
}

/// In flight at once: one request at a time on the only account.
async fn one_at_a_time(config: &str) -> Stage {
    let stage = Stage::start(config, &["alice"], &["bob"]).await;
    for label in ["alice", "bob"] {
        stage.amend(label, &json!({"max_concurrency": 1})).await;
    }
    stage
}

#[tokio::test]
async fn a_client_that_leaves_cancels_upstream_and_frees_the_account() {
    let stage =
        one_at_a_time("[upstream]\nstream_idle_timeout = \"60s\"\n[pool]\nacquire_timeout = \"15s\"").await;
    stage.simulator.openai().script().set_deltas(200);
    stage.simulator.openai().script().set_pace(Duration::from_millis(50));
    stage.simulator.google().script().set_deltas(200);
    stage.simulator.google().script().set_pace(Duration::from_millis(50));
    let long = "x".repeat(400);
    let mut codex = stage.codex_stream(&long).await;
    while codex
        .next(LIMIT)
        .await
        .is_some_and(|event| event.name.as_deref() != Some("response.output_text.delta"))
    {}
    let mut gemini = stage.gemini_stream(&long).await;
    assert!(gemini.next(LIMIT).await.is_some());
    let left = Instant::now();
    drop((codex, gemini));
    let gone = |all: &[pollux_tests::simulator::Received]| {
        all.iter().filter(|one| one.ending() == Some(Ending::PeerGone)).count() == 2
    };
    assert!(stage.simulator.record().wait_until(LIMIT, gone).await, "upstream is cancelled");
    assert!(left.elapsed() < Duration::from_secs(8), "and not only when the stream would have ended");
    stage.simulator.openai().script().set_pace(Duration::ZERO);
    stage.simulator.google().script().set_pace(Duration::ZERO);
    assert_eq!(
        (stage.codex("next").await.status, stage.gemini("next").await.status),
        (200, 200),
        "the lease is free"
    );
    for label in ["alice", "bob"] {
        assert_eq!(stage.account(label).await["cooling"], json!([]), "nobody is punished");
    }
    let told = async || stage.gateway.log().count("client_gone") == 2;
    assert!(wait_until(told, LIMIT).await, "the log tells it");
}

#[tokio::test]
async fn a_client_that_leaves_before_the_first_byte_cancels_upstream_too() {
    let stage = one_at_a_time("[upstream]\nresponse_timeout = \"60s\"\nstream_idle_timeout = \"60s\"\n[pool]\nacquire_timeout = \"15s\"").await;
    let gate = Gate::new();
    for path in [CODEX, "enerateContent"] {
        stage
            .simulator
            .inject(Injection::new(Fault::GateHead(gate.clone())).path(path).containing("leave").always());
    }
    let bearer = stage.gateway.auth()[0];
    for (count, (path, body)) in [
        ("/codex/v1/responses", json!({"model": "gpt-5.5", "input": "leave", "stream": true})),
        ("/codex/v1/responses", json!({"model": "gpt-5.5", "input": "leave"})),
        (GEMINI_PATH, contents("leave")),
        ("/geminicli/v1beta/models/gemini-2.5-pro:generateContent", contents("leave")),
    ]
    .into_iter()
    .enumerate()
    {
        let mut client = Raw::connect(&stage.gateway.url()).await.unwrap();
        let headers = [bearer, ("content-type", "application/json")];
        client.send(&Raw::request("POST", path, &headers, body.to_string().as_bytes())).await.unwrap();
        assert!(gate.wait_for(count + 1, LIMIT).await);
        drop(client);
        let gone = |all: &[pollux_tests::simulator::Received]| {
            all.iter().filter(|one| one.ending() == Some(Ending::PeerGone)).count() == count + 1
        };
        assert!(stage.simulator.record().wait_until(LIMIT, gone).await, "{path}: upstream is cancelled");
    }
    assert_eq!((stage.codex("next").await.status, stage.gemini("next").await.status), (200, 200));
}

#[tokio::test]
async fn a_slow_reader_gets_everything() {
    let stage = Stage::start("", &[], &["bob"]).await;
    let text = "0123456789abcdef".repeat(200_000);
    stage.simulator.openai().script().set_deltas(2000);
    stage.simulator.openai().script().next(Answer::Text(text.clone()));
    let body = json!({"model": "gpt-5.5", "input": "x", "stream": true});
    let request = client().post(stage.gateway.at("/codex/v1/responses")).body(body.to_string());
    let response = request.header("authorization", stage.gateway.auth()[0].1).send().await.unwrap();
    let mut stream = response.bytes_stream();
    let (mut all, mut paused) = (Vec::new(), 0);
    while let Some(chunk) = stream.next().await {
        all.extend_from_slice(&chunk.unwrap());
        // Long enough to fill every buffer in between, more than once.
        if all.len() > (paused + 1) * (2 << 20) && paused < 3 {
            paused += 1;
            tokio::time::sleep(Duration::from_millis(800)).await;
        }
    }
    let all = String::from_utf8(all).unwrap();
    let told: String = all
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .map(|data| serde_json::from_str::<Value>(data).unwrap())
        .filter(|event| event["type"] == "response.output_text.delta")
        .map(|event| event["delta"].as_str().unwrap().to_owned())
        .collect();
    assert!(told == text, "{} of {} bytes", told.len(), text.len());
    assert!(paused >= 3);
    assert!(all.trim_end().lines().last().unwrap().contains("response.completed"));
}

#[tokio::test]
async fn a_stream_longer_than_the_idle_timeout_goes_on_while_it_moves() {
    let stage = Stage::start(
        "[upstream]\nstream_idle_timeout = \"1s\"\nresponse_timeout = \"1s\"",
        &["alice"],
        &["bob"],
    )
    .await;
    stage.simulator.openai().script().set_pace(Duration::from_millis(250));
    stage.simulator.google().script().set_pace(Duration::from_millis(400));
    stage.simulator.google().script().set_deltas(5);
    let (codex, gemini) =
        futures_util::future::join(stage.codex_stream("one two"), stage.gemini_stream("one two three")).await;
    let (codex, gemini) = futures_util::future::join(read(codex), read(gemini)).await;
    assert_eq!(codex.0.last().unwrap().name.as_deref(), Some("response.completed"));
    assert_eq!(gemini.0.last().unwrap().json()["candidates"][0]["finishReason"], "STOP");
}

#[tokio::test]
async fn comments_of_upstream_count_as_life_and_reach_the_client() {
    let stage = Stage::start("[upstream]\nstream_idle_timeout = \"1s\"", &[], &["bob"]).await;
    stage.simulator.openai().script().set_pace(Duration::from_millis(400));
    let mut chunks = vec![
        "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"delta\":\"a\"}\n\n",
    ];
    chunks.extend([": ping\n\n"; 5]);
    chunks.push(
        "event: response.completed\ndata: {\"type\":\"response.completed\",\"response\":{\"id\":\"r\"}}\n\n",
    );
    stage.simulator.openai().script().next(Answer::Raw(bytes(&chunks)));
    let (_, raw) = read(stage.codex_stream("x").await).await;
    assert_eq!(String::from_utf8_lossy(&raw), chunks.concat());
}

#[tokio::test]
async fn events_arrive_one_by_one_and_not_at_the_end() {
    let stage = Stage::start("[upstream]\nstream_idle_timeout = \"60s\"", &["alice"], &["bob"]).await;
    stage.simulator.openai().script().set_pace(Duration::from_millis(300));
    stage.simulator.google().script().set_pace(Duration::from_millis(600));
    for codex in [true, false] {
        let text = "one two three";
        let mut stream = if codex { stage.codex_stream(text).await } else { stage.gemini_stream(text).await };
        let events = stream.rest(LIMIT).await;
        let mut apart: Vec<Duration> = events.windows(2).map(|pair| pair[1].at - pair[0].at).collect();
        apart.sort();
        // Not a speed: what was sent apart must not arrive in one piece.
        assert!(apart[apart.len() / 2] > Duration::from_millis(50), "{apart:?}");
    }
}

#[tokio::test]
async fn the_prelude_is_held_back_but_not_for_ever() {
    let stage =
        Stage::start("[upstream]\nstream_idle_timeout = \"60s\"\nresponse_timeout = \"60s\"", &[], &["bob"])
            .await;
    stage.simulator.openai().habits(|habits| habits.rate_limits_event = false);
    stage.simulator.inject(Injection::new(Fault::SilenceAfter(2)).path(CODEX));
    let began = Instant::now();
    let mut stream = stage.codex_stream("x").await;
    assert_eq!(stream.status, 200);
    assert!(began.elapsed() > Duration::from_secs(1), "it was held back: {:?}", began.elapsed());
    for name in ["response.created", "response.in_progress"] {
        assert_eq!(stream.next(LIMIT).await.unwrap().name.as_deref(), Some(name));
    }
    assert!(began.elapsed() < Duration::from_secs(15), "and delivered long before its end");
}

#[tokio::test]
async fn usage_is_in_the_log_line_of_a_stream() {
    let stage = Stage::start("", &["alice"], &["bob"]).await;
    for (stream, provider) in [
        (stage.codex_stream("one two three").await, "codex"),
        (stage.gemini_stream("one two three").await, "geminicli"),
    ] {
        let id = stream.headers["x-request-id"].to_str().unwrap().to_owned();
        let (events, _) = read(stream).await;
        let last = events.last().unwrap().json();
        let input = last
            .pointer("/response/usage/input_tokens")
            .or(last.pointer("/usageMetadata/promptTokenCount"))
            .unwrap();
        let output = last
            .pointer("/response/usage/output_tokens")
            .or(last.pointer("/usageMetadata/candidatesTokenCount"))
            .unwrap();
        let line = stage.story(&id).await;
        for field in
            [format!("provider=\"{provider}\""), format!("tokens_in={input}"), format!("tokens_out={output}")]
        {
            assert!(line.contains(&field), "{field} is missing: {line}");
        }
    }
}

#[tokio::test]
async fn a_limit_told_in_the_middle_rests_the_account_for_the_next_request() {
    let stage = Stage::start("", &[], &["bob", "carol"]).await;
    let openai::Refusal::InBand(error) =
        openai::Refusal::in_band_usage_limit("plus", Duration::from_hours(1))
    else {
        panic!("in band")
    };
    stage.simulator.inject(Injection::new(Fault::ErrorAfter(7, error)).path(CODEX));
    let (events, _) = read(stage.codex_stream("one two three").await).await;
    codex_failed(&events);
    let first = stage.asked()[0].clone();
    for _ in 0..4 {
        assert_eq!(stage.codex("next").await.status, 200);
    }
    assert_eq!(stage.asked().iter().filter(|label| **label == first).count(), 1, "{:?}", stage.asked());
}
