//! Sockets on the way down: idle ones go at once, an answer under way may end.

use super::sockets::{LIMIT, create, open};
use pollux_tests::kit::Stage;
use pollux_tests::simulator::{Fault, Gate, Injection};
use std::time::{Duration, Instant};

fn config(grace: &str) -> String {
    format!("[basic]\nshutdown_grace = \"{grace}\"\n[upstream]\nstream_idle_timeout = \"60s\"")
}

#[tokio::test]
async fn an_idle_socket_is_closed_at_once() {
    let mut stage = Stage::start(&config("60s"), &[], &["bob"]).await;
    let mut fresh = open(&stage).await;
    let mut used = open(&stage).await;
    used.turn(&create("x")).await;
    let began = Instant::now();
    stage.gateway.signal_term().unwrap();
    assert_eq!((fresh.closed().await, used.closed().await), (Some(1012), Some(1012)));
    assert_eq!(stage.gateway.wait_exit(LIMIT).await.and_then(|status| status.code()), Some(0));
    assert!(began.elapsed() < Duration::from_secs(30), "the grace is for answers");
}

#[tokio::test]
async fn an_answer_under_way_is_finished_before_its_socket_closes() {
    let mut stage = Stage::start(&config("20s"), &[], &["bob"]).await;
    let gate = Gate::new();
    stage.simulator.inject(Injection::new(Fault::GateBefore(gate.clone())).method("FRAME"));
    let mut socket = open(&stage).await;
    socket.send(&create("x")).await;
    assert!(gate.wait_for(1, LIMIT).await);
    stage.gateway.signal_term().unwrap();
    assert!(stage.gateway.log().wait_for("going down", LIMIT).await);
    socket.send(&create("too late")).await;
    let refused = socket.event().await;
    assert_eq!((&refused["type"], &refused["status"]), (&"error".into(), &503.into()), "nothing new begins");
    gate.open();
    assert_eq!(socket.rest().await.last().unwrap()["type"], "response.completed");
    assert_eq!(socket.closed().await, Some(1012));
    assert_eq!(stage.gateway.wait_exit(LIMIT).await.and_then(|status| status.code()), Some(0));
}

#[tokio::test]
async fn an_answer_that_outlasts_the_grace_is_cut_with_a_word() {
    let mut stage = Stage::start(&config("1s"), &[], &["bob"]).await;
    stage.simulator.inject(Injection::new(Fault::SilenceAfter(3)).method("FRAME"));
    let mut socket = open(&stage).await;
    socket.send(&create("x")).await;
    while socket.event().await["type"] != "response.created" {}
    stage.gateway.signal_term().unwrap();
    assert_eq!(socket.closed().await, Some(1012));
    assert_eq!(stage.gateway.wait_exit(LIMIT).await.and_then(|status| status.code()), Some(0));
}
