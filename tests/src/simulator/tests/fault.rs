use std::time::Instant;

use super::*;
use crate::kit::{Closing, End, Events, Raw, get, send};

struct Stage {
    simulator: Simulator,
    bob: openai::Account,
    headers: Vec<(&'static str, String)>,
    url: String,
}

fn stage() -> Stage {
    let simulator = Simulator::start();
    simulator.openai().habits(|habits| habits.rate_limits_event = false);
    let bob = simulator.openai().account("bob");
    let headers = codex_headers(&bob);
    let url = format!("{}/backend-api/codex/responses", simulator.openai_url());
    Stage { simulator, bob, headers, url }
}

impl Stage {
    async fn stream(&self) -> Events {
        let body = responses("gpt-5.5", "one two three");
        Events::post(&self.url, &borrowed(&self.headers), &body).await.expect("a head arrives")
    }

    async fn read(&self) -> (Vec<Value>, End, Vec<u8>) {
        let mut stream = self.stream().await;
        let events = stream.rest(Duration::from_millis(300)).await;
        let end = stream.end().expect("the stream has ended").clone();
        (events.iter().map(crate::kit::Event::json).collect(), end, stream.raw)
    }

    async fn refresh(&self, token: &str) -> Result<Http, reqwest::Error> {
        let body =
            json!({"client_id": openai::CLIENT_ID, "grant_type": "refresh_token", "refresh_token": token});
        let url = format!("{}/oauth/token", self.simulator.openai_url());
        send("POST", &url, &[("content-type", "application/json")], body.to_string()).await
    }
}

#[tokio::test]
async fn a_rule_strikes_where_when_and_as_often_as_it_says() {
    let stage = stage();
    let simulator = &stage.simulator;
    simulator.openai().account("carol");
    let id = simulator.inject(
        Injection::new(Fault::json(503, &json!({"error": {"code": "slow_down"}})))
            .path("/responses")
            .account("bob")
            .after(1)
            .times(2),
    );
    let mut statuses = Vec::new();
    for _ in 0..5 {
        statuses.push(codex(simulator, &stage.headers, &responses("gpt-5.5", "hi")).await.status);
    }
    assert_eq!(statuses, [200, 503, 503, 200, 200]);
    assert_eq!(simulator.hits(id), 2);

    let always = simulator.inject(Injection::new(Fault::text(500, "oops")).containing("magic word").always());
    let carol = codex_headers(&simulator.openai().account("carol"));
    assert_eq!(codex(simulator, &carol, &responses("gpt-5.5", "hi")).await.status, 200);
    assert_eq!(codex(simulator, &carol, &responses("gpt-5.5", "the magic word")).await.text(), "oops");
    simulator.remove(always);
    assert_eq!(codex(simulator, &carol, &responses("gpt-5.5", "the magic word")).await.status, 200);
    simulator.inject(Injection::new(Fault::Answer(Reply::cloudflare())).method("GET").always());
    assert_eq!(get(&stage.url, &[]).await.status, 403);
    assert_eq!(codex(simulator, &carol, &responses("gpt-5.5", "hi")).await.status, 200);
    simulator.clear_faults();
    assert_eq!(get(&stage.url, &borrowed(&carol)).await.status, 404);
}

#[tokio::test]
async fn truncation_cuts_at_any_byte_and_never_looks_like_an_end() {
    let stage = stage();
    let (_, end, whole) = stage.read().await;
    assert_eq!(end, End::Clean);
    for size in [0, 1, 6, 7, whole.len() / 2, whole.len() - 1] {
        stage.simulator.inject(Injection::new(Fault::Truncate(size)));
        let (_, end, raw) = stage.read().await;
        assert!(matches!(end, End::Broken(_)), "{size}: {end:?}");
        assert_eq!(raw.len(), size);
    }
    stage.simulator.inject(Injection::new(Fault::Truncate(whole.len())));
    assert_eq!(stage.read().await.1, End::Clean);
    let last = stage.simulator.record().all();
    let cut = last.iter().filter(|seen| seen.ending() == Some(Ending::Cut)).count();
    assert_eq!(cut, 6);
}

#[tokio::test]
async fn a_whole_body_can_be_cut_as_well() {
    let stage = stage();
    stage.simulator.inject(Injection::new(Fault::Truncate(10)));
    let token = stage.bob.refresh_token();
    assert!(stage.refresh(&token).await.is_err());
    assert_eq!(stage.refresh(&token).await.unwrap().status, 401, "the token was spent all the same");
}

#[tokio::test]
async fn resets_are_resets() {
    let stage = stage();
    let request = Raw::request("POST", "/backend-api/codex/responses", &[], b"{}");
    for (fault, some) in [(Fault::Reset, false), (Fault::ResetAfter(5), true)] {
        stage.simulator.inject(Injection::new(fault));
        let mut raw = Raw::connect(&stage.simulator.openai_url()).await.unwrap();
        raw.send(&request).await.unwrap();
        let (bytes, closing) = raw.read_to_end(LIMIT).await;
        assert_eq!(closing, Closing::Reset);
        assert_eq!(!bytes.is_empty(), some);
    }
    stage.simulator.inject(Injection::new(Fault::Truncate(5)));
    let mut raw = Raw::connect(&stage.simulator.openai_url()).await.unwrap();
    raw.send(&request).await.unwrap();
    assert_eq!(raw.read_to_end(LIMIT).await.1, Closing::Closed);
}

#[tokio::test]
async fn early_faults_spend_nothing_and_late_ones_do() {
    let stage = stage();
    let token = stage.bob.refresh_token();
    stage.simulator.inject(Injection::new(Fault::Reset));
    assert!(stage.refresh(&token).await.is_err());
    stage.simulator.inject(Injection::new(Fault::json(500, &json!({}))));
    assert_eq!(stage.refresh(&token).await.unwrap().status, 500);
    assert_eq!(stage.simulator.openai().tally().refreshes, 0);
    stage.simulator.inject(Injection::new(Fault::ResetAfter(0)));
    assert!(stage.refresh(&token).await.is_err());
    assert_eq!(stage.simulator.openai().tally().refreshes, 1);
}

#[tokio::test]
async fn silence_lasts_until_the_client_leaves() {
    let stage = stage();
    for fault in [Fault::Silence, Fault::SilenceAfter(2)] {
        stage.simulator.inject(Injection::new(fault));
        let mut raw = Raw::connect(&stage.simulator.openai_url()).await.unwrap();
        let mut headers = borrowed(&stage.headers);
        headers.push(("content-type", "application/json"));
        let body = responses("gpt-5.5", "hi").to_string();
        raw.send(&Raw::request("POST", "/backend-api/codex/responses", &headers, body.as_bytes()))
            .await
            .unwrap();
        let (_, closing) = raw.read_to_end(Duration::from_millis(200)).await;
        assert_eq!(closing, Closing::Open);
        drop(raw);
        let gone = |all: &[Received]| all.last().is_some_and(|seen| seen.ending() == Some(Ending::PeerGone));
        assert!(stage.simulator.record().wait_until(LIMIT, gone).await);
    }
}

#[tokio::test]
async fn delays_fall_where_they_are_put() {
    let stage = stage();
    let wait = Duration::from_millis(150);
    for (fault, head, first, last) in [
        (Fault::DelayBefore(wait), true, false, false),
        (Fault::DelayHead(wait), true, false, false),
        (Fault::DelayFirstEvent(wait), false, true, false),
        (Fault::DelayEvents(Duration::from_millis(30)), false, false, true),
    ] {
        stage.simulator.inject(Injection::new(fault.clone()));
        let start = Instant::now();
        let mut stream = stage.stream().await;
        let headed = start.elapsed();
        let one = stream.next(LIMIT).await.unwrap().at;
        let rest = stream.rest(LIMIT).await;
        let span = rest.last().unwrap().at - one;
        assert_eq!(
            (headed >= wait, one - start >= headed + wait / 2, span >= wait),
            (head, first, last),
            "{fault:?}"
        );
    }
}

#[tokio::test]
async fn a_gate_holds_a_request_before_or_after_its_work() {
    let stage = stage();
    for (before, refreshes) in [(true, 0), (false, 2)] {
        let gate = Gate::new();
        let fault = if before { Fault::GateBefore(gate.clone()) } else { Fault::GateHead(gate.clone()) };
        stage.simulator.inject(Injection::new(fault));
        let token = stage.bob.refresh_token();
        let (answer, ()) = tokio::join!(stage.refresh(&token), async {
            assert!(gate.wait_for(1, LIMIT).await);
            assert_eq!(stage.simulator.openai().tally().refreshes, refreshes);
            gate.open();
        });
        assert_eq!(answer.unwrap().status, 200);
        assert_eq!(gate.arrivals(), 1);
    }
}

#[tokio::test]
async fn errors_come_first_or_in_the_middle_in_the_vendors_own_form() {
    let stage = stage();
    let error = json!({"code": "rate_limit_exceeded", "message": "Please try again in 1.5s."});
    for (after, kinds) in [(0, 2), (4, 5)] {
        stage.simulator.inject(Injection::new(Fault::ErrorAfter(after, error.clone())));
        let (events, end, _) = stage.read().await;
        assert_eq!((events.len(), end), (kinds, End::Clean));
        let last = events.last().unwrap();
        assert_eq!((&last["type"], &last["response"]["error"]), (&json!("response.failed"), &error));
        assert_eq!(last["response"]["id"], events[0]["response"]["id"]);
        assert_eq!(last["sequence_number"], kinds - 1);
    }
    let token = stage.simulator.google().account("alice").project("p").access_token();
    stage.simulator.inject(Injection::new(Fault::ErrorAfter(1, google::Refusal::Unavailable.error(""))));
    let answer = assist(
        &stage.simulator,
        &token,
        "streamGenerateContent?alt=sse",
        &generation("p", "gemini-2.5-pro", "hi"),
    )
    .await;
    let chunks = super::events(&answer);
    assert_eq!((answer.status, chunks.len()), (200, 2));
    assert_eq!(chunks[1]["error"]["status"], "UNAVAILABLE");
}

#[tokio::test]
async fn streams_can_end_early_be_malformed_huge_or_foreign() {
    let stage = stage();
    stage.simulator.inject(Injection::new(Fault::EndAfter(3)));
    let (events, end, _) = stage.read().await;
    assert_eq!((events.len(), end), (3, End::Clean));

    stage.simulator.inject(Injection::new(Fault::MalformedAfter(2)));
    let (events, ..) = stage.read().await;
    assert!(events[1].is_object() && events[2].is_null() && events[3].is_object());

    stage.simulator.inject(Injection::new(Fault::HugeAfter(1, 3_000_000)));
    let (events, _, raw) = stage.read().await;
    assert!(events[1]["padding"].as_str().unwrap().len() == 3_000_000 && raw.len() > 3_000_000);

    stage
        .simulator
        .inject(Injection::new(Fault::RawAfter(1, "event: error\ndata: {\"type\":\"error\"}\n\n".into())));
    let (events, ..) = stage.read().await;
    assert_eq!((events.len(), &events[1]["type"]), (2, &json!("error")));

    stage.simulator.inject(Injection::new(Fault::huge(500, 1 << 20)));
    let answer = codex(&stage.simulator, &stage.headers, &responses("gpt-5.5", "hi")).await;
    assert_eq!((answer.status, answer.body.len()), (500, 1 << 20));

    let head = Fault::Head(200, vec![("openai-model".into(), "other".into())]);
    stage.simulator.inject(Injection::new(head).and(Fault::EndAfter(1)));
    let answer = codex(&stage.simulator, &stage.headers, &responses("gpt-5.5", "hi")).await;
    assert_eq!((answer.header("openai-model"), super::events(&answer).len()), (Some("other"), 1));
}

#[tokio::test]
async fn the_record_tells_who_sent_what_on_which_connection() {
    let stage = stage();
    let mut raw = Raw::connect(&stage.simulator.openai_url()).await.unwrap();
    for _ in 0..2 {
        raw.send(&Raw::request(
            "GET",
            "/backend-api/nothing?a=b%20c",
            &[("X-One", "1"), ("user-agent", "u")],
            b"",
        ))
        .await
        .unwrap();
        assert!(!raw.read_until("Not Found", LIMIT).await.is_empty());
    }
    let mut chunked = Raw::connect(&stage.simulator.google_url()).await.unwrap();
    let head = b"POST /token HTTP/1.1\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n";
    chunked.send(head).await.unwrap();
    chunked.send_slowly(b"3\r\na=b\r\n2;x=y\r\n&c\r\n0\r\n\r\n", 4, Duration::from_millis(1)).await.unwrap();
    let (answer, closing) = chunked.read_to_end(LIMIT).await;
    assert!(answer.starts_with(b"HTTP/1.1 400 ") && closing == Closing::Closed);
    let all = stage.simulator.record().all();
    assert_eq!(all.len(), 3);
    assert_eq!(all[0].connection, all[1].connection);
    assert_ne!(all[0].connection, all[2].connection);
    assert_eq!((all[0].vendor, all[2].vendor), (Vendor::OpenAi, Vendor::Google));
    assert_eq!(
        (all[0].query("a"), all[0].header("x-one"), all[0].status),
        (Some("b c"), Some("1"), Some(404))
    );
    assert_eq!(&all[2].body[..], b"a=b&c");
    assert_eq!(stage.simulator.record().connections(), 2);
    drop(raw);
    let closed = || std::future::ready(stage.simulator.record().open_connections() == 0);
    assert!(crate::kit::wait_until(closed, LIMIT).await);
    assert_eq!(stage.simulator.record().unanswered(), 0);
}

#[tokio::test]
async fn a_dropped_simulator_closes_its_ports() {
    let stage = stage();
    let url = stage.url.clone();
    let mut held = Raw::connect(&url).await.unwrap();
    drop(stage);
    assert_ne!(held.read_to_end(LIMIT).await.1, Closing::Open);
    assert!(Raw::connect(&url).await.is_err());
}
