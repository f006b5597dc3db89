//! Responses over a WebSocket: frames, accounts, refusals.

use pollux_tests::frames::Frame;
use pollux_tests::kit::{Gateway, Refused, Socket, Socks, Stage, get, wait_until};
use pollux_tests::simulator::{Fault, Gate, Injection, Received, Simulator, openai};
use serde_json::{Value, json};
use std::future::ready;
use std::time::{Duration, Instant};

pub(super) const LIMIT: Duration = Duration::from_secs(20);
const HOUR: Duration = Duration::from_hours(1);
const PATH: &str = "/codex/v1/responses";

pub(super) async fn open(stage: &Stage) -> Socket {
    try_open(stage, &[]).await.unwrap_or_else(|refused| panic!("{refused:?}"))
}

pub(super) async fn try_open(stage: &Stage, headers: &[(&str, &str)]) -> Result<Socket, Refused> {
    let headers = [&stage.gateway.auth()[..], headers].concat();
    Socket::open(&stage.gateway.at(PATH), &headers, false).await
}

pub(super) fn create(text: &str) -> Value {
    json!({"type": "response.create", "model": "gpt-5.5", "input": text, "stream": true})
}

fn kinds(events: &[Value]) -> Vec<&str> {
    events.iter().filter_map(|event| event["type"].as_str()).collect()
}

fn id_of(events: &[Value]) -> &str {
    events.last().and_then(|event| event["response"]["id"].as_str()).expect("an answer has an id")
}

/// The accounts that opened sockets, in order.
fn openers(stage: &Stage) -> Vec<String> {
    let all = stage.simulator.record().on("/codex/responses");
    all.into_iter().filter(|one| one.method == "GET").filter_map(|one| one.account).collect()
}

fn frames(stage: &Stage) -> Vec<Value> {
    let all = stage.simulator.record().on("/codex/responses");
    all.iter().filter(|one| one.method == "FRAME").map(Received::json).collect()
}

/// Nothing is left of the account, and its usage says so, too.
fn exhaust(stage: &Stage, label: &str) {
    let account = stage.simulator.openai().account(label);
    account.used(100.0, 10.0).refuse(Some(openai::Refusal::UsageLimitReached(HOUR)));
}

/// Waits for the line of a socket that is over.
pub(super) async fn told(stage: &Stage) -> String {
    assert!(stage.gateway.log().wait_for("status=101", LIMIT).await, "{}", stage.gateway.log().text());
    stage.gateway.log().lines().into_iter().find(|line| line.contains("status=101")).unwrap_or_default()
}

#[tokio::test]
async fn answers_come_frame_by_frame_with_the_headers_of_the_vendor() {
    let stage = Stage::start("", &[], &["bob"]).await;
    let mut socket = open(&stage).await;
    assert!(socket.header("x-codex-turn-state").unwrap().starts_with("turn-bob-"));
    assert_eq!(socket.header("x-codex-primary-window-minutes"), Some("300"));
    assert_eq!(socket.header("x-models-etag"), Some("W/\"sim-models-1\""));
    assert_eq!(socket.header("openai-model"), None);
    let events = socket.turn(&create("say PONG-1")).await;
    let kinds = kinds(&events);
    assert_eq!(kinds[..2], ["codex.rate_limits", "response.created"]);
    assert_eq!(kinds.last(), Some(&"response.completed"));
    assert!(events.iter().any(|event| event["delta"].as_str().is_some_and(|delta| delta.contains("PONG"))));
    let sent = &frames(&stage)[0];
    assert_eq!((&sent["store"], &sent["input"][0]["role"]), (&json!(false), &json!("user")));
    assert_eq!(socket.close(1000).await, Some(1000));
    assert!(told(&stage).await.contains("verdict=\"closed\""));
    let seen = || ready(stage.simulator.openai().sockets()[0].close == Some(1000));
    assert!(wait_until(seen, LIMIT).await, "the vendor hears the client's own code");
}

#[tokio::test]
async fn a_prewarm_is_answered_by_the_vendor_and_followed_on_the_same_socket() {
    let stage = Stage::start("", &[], &["bob", "carol"]).await;
    let mut socket = open(&stage).await;
    let mut warm = create("remember the word BASIL");
    warm["generate"] = json!(false);
    warm["x_unknown"] = json!({"b": [1, 2.50], "a": null});
    let warmed = socket.turn(&warm).await;
    assert_eq!(warmed.last().unwrap()["response"]["usage"]["output_tokens"], 0);
    assert!(warmed.last().unwrap()["response"]["usage"]["input_tokens"].as_u64().unwrap() > 0);
    let follow = json!({
        "type": "response.create", "model": "gpt-5.5", "stream": true, "previous_response_id": id_of(&warmed),
        "input": [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "say PONG-2"}]}],
    });
    let answer = socket.turn(&follow).await;
    assert_eq!(kinds(&answer).last(), Some(&"response.completed"), "{answer:?}");
    let sent = frames(&stage);
    assert_eq!((&sent[0]["generate"], &sent[0]["x_unknown"]), (&json!(false), &warm["x_unknown"]));
    assert_eq!(sent[1]["previous_response_id"], id_of(&warmed));
    assert_eq!(openers(&stage).len(), 1);
}

#[tokio::test]
async fn an_unknown_previous_answer_is_the_vendors_to_refuse() {
    let stage = Stage::start("", &[], &["bob"]).await;
    let mut socket = open(&stage).await;
    let mut lost = create("x");
    lost["previous_response_id"] = json!("resp_of_another_socket");
    let error = socket.turn(&lost).await.pop().unwrap();
    assert_eq!((&error["type"], &error["status"]), (&json!("error"), &json!(400)));
    assert_eq!(error["error"]["code"], "previous_response_not_found");
    assert_eq!(kinds(&socket.turn(&create("again")).await).last(), Some(&"response.completed"));
}

#[tokio::test]
async fn each_answer_is_one_line_and_counted_once() {
    let stage = Stage::start("", &[], &["bob"]).await;
    let mut socket = open(&stage).await;
    let answers = [socket.turn(&create("one")).await, socket.turn(&create("two three")).await];
    assert_eq!(socket.close(1000).await, Some(1000));
    told(&stage).await;
    let lines = stage.gateway.log().lines();
    let turns: Vec<_> =
        lines.iter().filter(|line| line.contains("request served") && line.contains(" turn=")).collect();
    assert_eq!(turns.len(), 2, "{turns:?}");
    let mut total = 0;
    for (line, answer) in turns.iter().zip(&answers) {
        let usage = &answer.last().unwrap()["response"]["usage"];
        assert!(line.contains("status=200") && line.contains("verdict=\"served\""), "{line}");
        assert!(line.contains(&format!("tokens_in={}", usage["input_tokens"])), "{line} {usage}");
        assert!(line.contains("model=gpt-5.5"), "{line}");
        total += usage["output_tokens"].as_u64().unwrap();
    }
    let key = [("authorization", format!("Bearer {}", stage.gateway.admin_key()))];
    let metrics = get(&stage.gateway.at("/metrics"), &[(key[0].0, key[0].1.as_str())]).await.text();
    assert!(
        metrics.contains(&format!("pollux_tokens_total{{kind=\"output\",provider=\"codex\"}} {total}")),
        "{metrics}"
    );
    assert!(
        metrics.contains("pollux_websocket_closes_total{by=\"client\",code=\"1000\",provider=\"codex\"} 1"),
        "{metrics}"
    );
}

#[tokio::test]
async fn a_refusal_at_the_handshake_moves_on_before_the_client_sees_anything() {
    for refusal in [openai::Refusal::UsageLimitReached(HOUR), openai::Refusal::TokenInvalidated] {
        let stage = Stage::start("", &[], &["bob", "carol"]).await;
        let out = stage.simulator.openai().account("bob");
        out.used(100.0, 10.0).refuse(Some(refusal.clone()));
        for _ in 0..2 {
            let mut socket = open(&stage).await;
            assert_eq!(kinds(&socket.turn(&create("x")).await).last(), Some(&"response.completed"));
            assert_eq!(socket.close(1000).await, Some(1000));
        }
        let openers = openers(&stage);
        assert!(openers.iter().filter(|who| *who == "bob").count() <= 2, "{refusal:?}: {openers:?}");
        let carol = openers.iter().filter(|who| *who == "carol").count();
        assert_eq!(carol, 2, "{refusal:?}: {openers:?}");
    }
}

#[tokio::test]
async fn who_is_left_alone_gets_a_plain_http_error() {
    let stage = Stage::start("[pool]\nacquire_timeout = \"300ms\"", &[], &["bob"]).await;
    exhaust(&stage, "bob");
    for _ in 0..2 {
        let refused = try_open(&stage, &[]).await.expect_err("nobody can serve");
        assert_eq!(refused.status, 429, "{refused:?}");
        assert_eq!(refused.json()["error"]["type"], "usage_limit_reached");
    }
    assert_eq!(openers(&stage).len(), 1, "an account at rest is not asked again");
}

#[tokio::test]
async fn where_upstream_offers_no_socket_the_client_is_told_so_at_once() {
    let stage = Stage::start("", &[], &["bob"]).await;
    stage.simulator.openai().habits(|habits| habits.sockets = false);
    assert_eq!(try_open(&stage, &[]).await.expect_err("no socket").status, 426);
    for status in [404, 405, 501] {
        let fault = Fault::json(status, &json!({"detail": "no"}));
        stage.simulator.inject(Injection::new(fault).method("GET").path("/codex/responses"));
        assert_eq!(try_open(&stage, &[]).await.expect_err("no socket").status, 426, "{status}");
    }
    assert_eq!(openers(&stage).len(), 4, "one try each");
    assert_eq!(stage.codex("x").await.status, 200, "and nobody is to blame");
}

#[tokio::test]
async fn a_vendor_that_stumbles_at_the_handshake_is_asked_again() {
    let stage = Stage::start("", &[], &["bob"]).await;
    stage.simulator.inject(Injection::new(Fault::Reset).method("GET").path("/codex/responses"));
    let busy = openai::Refusal::ServerError.reply("");
    stage.simulator.inject(Injection::new(Fault::Answer(busy)).method("GET").path("/codex/responses"));
    let mut socket = open(&stage).await;
    assert_eq!(kinds(&socket.turn(&create("x")).await).last(), Some(&"response.completed"));
}

#[tokio::test]
async fn strangers_do_not_get_in() {
    let stage = Stage::start("", &[], &["bob"]).await;
    let url = stage.gateway.at(PATH);
    let wrong = Socket::open(&url, &[("authorization", "Bearer wrong")], false).await.expect_err("no key");
    assert_eq!(wrong.status, 401);
    for (origin, fine) in
        [("https://evil.example", false), ("null", false), (stage.gateway.url().as_str(), true)]
    {
        let opened = try_open(&stage, &[("origin", origin)]).await;
        assert_eq!(opened.as_ref().err().map(|refused| refused.status), (!fine).then_some(403), "{origin}");
    }
    let plain = get(&url, &stage.gateway.auth()).await;
    assert_eq!(plain.status, 426);
    assert_eq!(openers(&stage).len(), 1, "nothing of it came to the vendor");
}

#[tokio::test]
async fn models_are_checked_frame_by_frame() {
    let stage = Stage::start("", &[], &["bob"]).await;
    let mut socket = open(&stage).await;
    let mut other = create("x");
    other["model"] = json!("gpt-of-nobody");
    let error = socket.turn(&other).await.pop().unwrap();
    assert_eq!((&error["type"], &error["status"]), (&json!("error"), &json!(400)));
    assert_eq!(
        (&error["error"]["code"], &error["error"]["param"]),
        (&json!("model_not_found"), &json!("model"))
    );
    let mut none = create("x");
    none.as_object_mut().unwrap().remove("model");
    assert_eq!(socket.turn(&none).await.pop().unwrap()["error"]["param"], "model");
    let mut odd = create("x");
    odd["input"] = json!(7);
    assert_eq!(socket.turn(&odd).await.pop().unwrap()["status"], 400);
    socket.frame(&Frame::Text("no json".into())).await;
    assert_eq!(socket.event().await["status"], 400);
    assert!(frames(&stage).is_empty(), "nothing of it came to the vendor");
    assert_eq!(kinds(&socket.turn(&create("x")).await).last(), Some(&"response.completed"));
}

#[tokio::test]
async fn frames_that_ask_for_nothing_are_passed_on_and_get_nothing() {
    let stage = Stage::start("", &[], &["bob"]).await;
    let mut socket = open(&stage).await;
    socket.send(&json!({"type": "response.processed", "response_id": "resp_1"})).await;
    socket.send(&json!({"type": "of.the.future"})).await;
    let events = socket.turn(&create("x")).await;
    assert_eq!(events[0]["type"], "codex.rate_limits", "the answer to the request, and to nothing else");
    assert_eq!(stage.simulator.openai().sockets()[0].ignored, 2);
}

#[tokio::test]
async fn an_error_frame_is_the_vendors_own_and_settles_the_account() {
    let stage = Stage::start("[pool]\nacquire_timeout = \"300ms\"", &[], &["bob"]).await;
    let mut socket = open(&stage).await;
    exhaust(&stage, "bob");
    let error = socket.turn(&create("x")).await.pop().unwrap();
    assert_eq!((&error["type"], &error["status"]), (&json!("error"), &json!(429)));
    assert_eq!(error["error"]["type"], "usage_limit_reached");
    assert!(error["headers"]["x-codex-primary-used-percent"].is_string(), "{error}");
    let rest = stage.account_when("bob", |one| one["cooling"][0]["until"].is_u64()).await;
    assert!(rest["cooling"][0]["until"].is_u64(), "{rest}");
    let again = socket.turn(&create("y")).await.pop().unwrap();
    assert_eq!(again["status"], 429, "{again}");
    assert_eq!(frames(&stage).len(), 1, "an account at rest is not asked again");
    assert_eq!(stage.codex("x").await.status, 429);
}

#[tokio::test]
async fn a_client_is_sent_to_another_account_when_its_own_runs_dry() {
    let stage = Stage::start("", &[], &["bob", "carol"]).await;
    let mut socket = open(&stage).await;
    let first = openers(&stage)[0].clone();
    assert_eq!(kinds(&socket.turn(&create("x")).await).last(), Some(&"response.completed"));
    exhaust(&stage, &first);
    socket.send(&create("y")).await;
    assert_eq!(socket.closed().await, Some(1013), "try again: there is another one");
    let mut socket = open(&stage).await;
    assert_eq!(kinds(&socket.turn(&create("y")).await).last(), Some(&"response.completed"));
    assert_ne!(openers(&stage).pop(), Some(first));
}

#[tokio::test]
async fn a_conversation_that_begins_anew_moves_while_its_socket_stays() {
    let stage = Stage::start("", &[], &["bob", "carol"]).await;
    let mut socket = open(&stage).await;
    let first = openers(&stage)[0].clone();
    let answer = socket.turn(&create("x")).await;
    // Another client finds out that the account is at its limit.
    exhaust(&stage, &first);
    let other = if first == "bob" { "carol" } else { "bob" };
    let id = stage.account(other).await["id"].clone();
    assert_eq!(stage.admin("POST", &format!("/admin/accounts/{id}/pause"), "").await.status, 200);
    assert_eq!(stage.codex("z").await.status, 429);
    assert_eq!(stage.admin("POST", &format!("/admin/accounts/{id}/resume"), "").await.status, 200);
    assert_eq!(kinds(&socket.turn(&create("y")).await).last(), Some(&"response.completed"));
    assert_ne!(openers(&stage).pop().as_ref(), Some(&first));
    let mut follow = create("more");
    follow["previous_response_id"] = json!(id_of(&answer));
    let error = socket.turn(&follow).await.pop().unwrap();
    assert_eq!(error["error"]["code"], "previous_response_not_found", "the client then sends all of it");
}

#[tokio::test]
async fn an_error_without_status_gets_the_one_its_client_waits_for() {
    let stage = Stage::start("", &[], &["bob"]).await;
    let mut socket = open(&stage).await;
    let bare = r#"{"type":"error","error":{"type":"service_unavailable_error","code":"server_is_overloaded","message":"busy"},"sequence_number":2}"#;
    stage.simulator.inject(Injection::new(Fault::RawAfter(0, bare.into())).method("FRAME"));
    let error = socket.turn(&create("x")).await.pop().unwrap();
    assert_eq!((&error["status"], &error["error"]["code"]), (&json!(503), &json!("server_is_overloaded")));
    assert_eq!(kinds(&socket.turn(&create("x")).await).last(), Some(&"response.completed"));
}

#[tokio::test]
async fn compression_is_spoken_on_both_sides() {
    let stage = Stage::start("", &[], &["bob"]).await;
    let mut socket = Socket::open(&stage.gateway.at(PATH), &stage.gateway.auth(), true).await.unwrap();
    assert!(socket.header("sec-websocket-extensions").unwrap().starts_with("permessage-deflate"));
    let long = "abc ".repeat(5000);
    let events = socket.turn(&create(&long)).await;
    assert_eq!(kinds(&events).last(), Some(&"response.completed"));
    assert!(socket.compressed() > 0, "towards the client");
    assert!(stage.simulator.openai().sockets()[0].compressed > 0, "towards the vendor");
    assert!(frames(&stage)[0]["input"].to_string().contains(&long));
    stage.simulator.openai().habits(|habits| habits.socket_deflate = false);
    let mut plain = open(&stage).await;
    assert_eq!(plain.header("sec-websocket-extensions"), None);
    assert_eq!(kinds(&plain.turn(&create(&long)).await).last(), Some(&"response.completed"));
    assert_eq!((plain.compressed(), stage.simulator.openai().sockets()[1].compressed), (0, 0));
}

#[tokio::test]
async fn pings_go_both_ways_and_each_is_answered() {
    let stage = Stage::start("[upstream]\nsocket_ping_interval = \"200ms\"", &[], &["bob"]).await;
    stage.simulator.openai().habits(|habits| habits.socket_ping = true);
    let mut socket = open(&stage).await;
    socket.frame(&Frame::Ping("mine".into())).await;
    assert_eq!(socket.next(LIMIT).await, Some(Frame::Pong("mine".into())));
    let began = Instant::now();
    while socket.pings < 3 && began.elapsed() < LIMIT {
        drop(socket.next(Duration::from_millis(100)).await);
    }
    assert!(socket.pings >= 3);
    let seen = || ready(stage.simulator.openai().sockets()[0].pings >= 3);
    assert!(wait_until(seen, LIMIT).await);
    assert!(stage.simulator.openai().sockets()[0].pongs >= 1, "the vendor's own ping is answered, too");
}

#[tokio::test]
async fn who_answers_no_ping_is_gone() {
    let stage = Stage::start("[upstream]\nsocket_ping_interval = \"200ms\"", &[], &["bob"]).await;
    let socket = open(&stage).await;
    assert!(told(&stage).await.contains("client_gone"));
    drop(socket);
}

#[tokio::test]
async fn a_message_may_have_64_mib_and_no_more() {
    let stage = Stage::start("", &[], &["bob"]).await;
    stage.simulator.openai().habits(|habits| habits.socket_deflate = false);
    let mut socket = open(&stage).await;
    // The frame that the vendor ignores costs the least.
    let head = r#"{"type":"of.the.future","padding":""#;
    let exact = format!("{head}{}\"}}", "x".repeat((64 << 20) - head.len() - 2));
    socket.frame(&Frame::Text(exact.into())).await;
    let taken = || ready(stage.simulator.openai().sockets()[0].ignored == 1);
    assert!(wait_until(taken, Duration::from_mins(1)).await);
    let over = pollux_tests::frames::encode(
        &Frame::Text("x".repeat((64 << 20) + 1).into()),
        pollux_tests::frames::Side::Client,
        false,
    );
    // Its head is enough.
    let _ = socket.raw(&over[..4096]).await;
    assert_eq!(socket.closed().await, Some(1009));
}

#[tokio::test]
async fn what_is_no_text_is_not_taken() {
    let stage = Stage::start("", &[], &["bob"]).await;
    let mut socket = open(&stage).await;
    socket.frame(&Frame::Binary("{}".into())).await;
    assert_eq!(socket.closed().await, Some(1003));
    let mut socket = open(&stage).await;
    // An unmasked frame is none of a client's.
    socket.raw(&[0x81, 0x02, b'{', b'}']).await.unwrap();
    assert_eq!(socket.closed().await, Some(1002));
}

#[tokio::test]
async fn the_vendors_close_reaches_the_client() {
    let stage = Stage::start("", &[], &["bob"]).await;
    // (where it closes, with what, what the client hears)
    for (events, code, heard) in [
        (usize::MAX, 1000, 1000),
        (usize::MAX, 1012, 1012),
        (3, 1000, 1011),
        (3, 1009, 1009),
        (3, 1005, 1011),
        (0, 4001, 4001),
    ] {
        let mut socket = open(&stage).await;
        stage.simulator.inject(Injection::new(Fault::CloseAfter(events, code)).method("FRAME"));
        socket.send(&create("x")).await;
        assert_eq!(socket.closed().await, Some(heard), "{code} after {events}");
    }
    let mut socket = open(&stage).await;
    stage.simulator.inject(Injection::new(Fault::ResetAfter(900)).method("FRAME"));
    socket.send(&create("x")).await;
    assert_eq!(socket.closed().await, Some(1011), "a vendor that vanishes");
    assert_eq!(kinds(&open(&stage).await.turn(&create("x")).await).last(), Some(&"response.completed"));
}

#[tokio::test]
async fn a_client_that_leaves_gives_the_account_back_and_ends_its_answer() {
    let stage = Stage::start("[pool]\nacquire_timeout = \"15s\"", &[], &["bob"]).await;
    stage.amend("bob", &json!({"max_concurrency": 1})).await;
    let gate = Gate::new();
    stage.simulator.inject(Injection::new(Fault::GateBefore(gate.clone())).method("FRAME"));
    let mut socket = open(&stage).await;
    socket.send(&create("x")).await;
    assert!(gate.wait_for(1, LIMIT).await);
    drop(socket);
    let ended = || ready(stage.simulator.openai().sockets()[0].ended);
    assert!(wait_until(ended, LIMIT).await, "upstream's socket is closed");
    assert_eq!(kinds(&open(&stage).await.turn(&create("y")).await).last(), Some(&"response.completed"));
    assert!(told(&stage).await.contains("client_gone"));
}

#[tokio::test]
async fn a_socket_counts_against_the_limit_of_its_account() {
    let stage = Stage::start("[pool]\nacquire_timeout = \"300ms\"", &[], &["bob"]).await;
    stage.amend("bob", &json!({"max_concurrency": 1})).await;
    let socket = open(&stage).await;
    assert_eq!(try_open(&stage, &[]).await.expect_err("it is busy").status, 429);
    assert_eq!(socket.close(1000).await, Some(1000));
    told(&stage).await;
    drop(open(&stage).await);
}

#[tokio::test]
async fn a_silent_answer_and_an_idle_socket_come_to_an_end() {
    let config = "[upstream]\nstream_idle_timeout = \"600ms\"\nsocket_idle_timeout = \"1500ms\"";
    let stage = Stage::start(config, &[], &["bob"]).await;
    let mut socket = open(&stage).await;
    stage.simulator.inject(Injection::new(Fault::SilenceAfter(2)).method("FRAME"));
    socket.send(&create("x")).await;
    assert_eq!(socket.closed().await, Some(1011));
    let mut idle = open(&stage).await;
    assert_eq!(kinds(&idle.turn(&create("x")).await).last(), Some(&"response.completed"));
    assert_eq!(idle.closed().await, Some(1001));
}

#[tokio::test]
async fn a_client_that_reads_nothing_stops_its_own_upstream_and_nobody_elses() {
    let simulator = Simulator::start();
    simulator.openai().habits(|habits| habits.socket_deflate = false);
    let patient = Gateway::builder().config("[upstream]\nstream_idle_timeout = \"60s\"");
    let stage = Stage::with(simulator, patient, &[], &["bob"]).await;
    let mut lazy = open(&stage).await;
    let huge = Injection::new(Fault::HugeAfter(2, 48 << 20)).method("FRAME").containing("lazy");
    stage.simulator.inject(huge.always());
    lazy.send(&create("lazy")).await;
    lazy.send(&create("lazy")).await;
    let mut other = open(&stage).await;
    assert_eq!(kinds(&other.turn(&create("y")).await).last(), Some(&"response.completed"));
    let ended = stage.simulator.record().on("/codex/responses");
    let ended = ended.iter().filter(|one| one.method == "FRAME" && one.ended.is_some()).count();
    assert!(ended < 3, "both of the lazy one's answers were taken in ahead of it");
    for _ in 0..2 {
        assert_eq!(kinds(&lazy.rest().await).last(), Some(&"response.completed"), "nothing was lost");
    }
}

#[tokio::test]
async fn a_moved_session_says_nothing_of_its_former_account() {
    let stage = Stage::start("", &[], &["bob", "carol"]).await;
    let session = [("session-id", "s-1"), ("x-codex-turn-state", "state-of-the-first")];
    let socket = try_open(&stage, &session).await.unwrap();
    let first = openers(&stage)[0].clone();
    assert_eq!(socket.close(1000).await, Some(1000));
    exhaust(&stage, &first);
    let mut socket = try_open(&stage, &session).await.unwrap();
    let mut turn = create("x");
    turn["client_metadata"] = json!({"x-codex-turn-state": "state-of-the-first", "x-codex-window-id": "w:0"});
    assert_eq!(kinds(&socket.turn(&turn).await).last(), Some(&"response.completed"));
    let handshake = stage.simulator.record().on("/codex/responses");
    let handshake = handshake.iter().rev().find(|one| one.method == "GET").unwrap();
    assert_eq!(handshake.header("x-codex-turn-state"), None);
    assert_eq!(frames(&stage)[0]["client_metadata"], json!({"x-codex-window-id": "w:0"}));
}

#[tokio::test]
async fn a_socket_goes_by_its_accounts_own_proxy() {
    let stage = Stage::start("", &[], &["bob"]).await;
    let socks = Socks::start().await.unwrap();
    stage.amend("bob", &json!({"proxy": socks.url("of-bob")})).await;
    let before = socks.seen().len();
    let mut socket = open(&stage).await;
    assert_eq!(socks.seen().len(), before + 1, "{:?}", socks.seen());
    assert_eq!(kinds(&socket.turn(&create("x")).await).last(), Some(&"response.completed"));
}
