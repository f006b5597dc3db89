//! Which account a conversation stays on, how many requests an account takes, and what a restart remembers.

use futures_util::future::join_all;
use pollux_tests::kit::{Answer, Gateway, Stage, post};
use pollux_tests::simulator::{Fault, Gate, Injection, Simulator, google, openai};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(20);
const HOUR: Duration = Duration::from_hours(1);
const CODEX: &str = "/codex/responses";
const FOUR: [&str; 4] = ["bob", "carol", "dave", "erin"];

async fn ask(stage: &Stage, headers: &[(&str, &str)], extra: Value) -> Answer {
    let mut body = json!({"model": "gpt-5.5", "input": "x"});
    body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    let headers = [&stage.gateway.auth()[..], headers].concat();
    post(&stage.gateway.at("/codex/v1/responses"), &headers, &body).await
}

fn last_asked(stage: &Stage) -> String {
    stage.asked().pop().expect("somebody was asked")
}

#[tokio::test]
async fn a_session_keeps_its_account_in_every_form_clients_name_it() {
    let stage = Stage::start("", &[], &FOUR).await;
    for form in ["session-id", "session_id", "thread-id", "conversation_id", "prompt_cache_key"] {
        let mut accounts = BTreeSet::new();
        for session in 0..6 {
            let session = format!("{form}-{session}");
            let mut seen = BTreeSet::new();
            for _ in 0..3 {
                let answer = if form == "prompt_cache_key" {
                    ask(&stage, &[], json!({"prompt_cache_key": session})).await
                } else {
                    ask(&stage, &[(form, &session)], json!({})).await
                };
                assert_eq!(answer.status, 200, "{}", answer.text());
                seen.insert(last_asked(&stage));
            }
            assert_eq!(seen.len(), 1, "{session}: {seen:?}");
            accounts.extend(seen);
        }
        assert!(accounts.len() > 1, "{form}: sessions spread: {accounts:?}");
    }
}

#[tokio::test]
async fn requests_without_a_session_spread_over_the_accounts() {
    let stage = Stage::start("", &["alice", "frank"], &FOUR).await;
    for _ in 0..8 {
        assert_eq!(stage.codex("x").await.status, 200);
        assert_eq!(stage.gemini("x").await.status, 200);
    }
    let asked: BTreeSet<String> = stage.asked().into_iter().collect();
    assert_eq!(asked.len(), 6, "{asked:?}");
}

#[tokio::test]
async fn a_session_moves_when_its_account_is_out_and_says_so_upstream() {
    let stage = Stage::start("", &[], &["bob", "carol"]).await;
    let session =
        [("session-id", "s-1"), ("x-codex-turn-state", "state-of-the-first"), ("x-codex-note", "stays")];
    assert_eq!(ask(&stage, &session, json!({})).await.status, 200);
    let first = last_asked(&stage);
    assert_eq!(ask(&stage, &session, json!({})).await.status, 200);
    let sent = stage.generated().pop().unwrap();
    assert_eq!(sent.header("x-codex-turn-state"), Some("state-of-the-first"), "it is the account's own");
    stage.simulator.openai().account(&first).refuse(Some(openai::Refusal::UsageLimitReached(HOUR)));
    assert_eq!(ask(&stage, &session, json!({})).await.status, 200);
    let second = last_asked(&stage);
    assert_ne!(first, second);
    let sent = stage.generated().pop().unwrap();
    assert_eq!(sent.header("x-codex-turn-state"), None, "what belongs to the former account is dropped");
    assert_eq!(sent.header("x-codex-note"), Some("stays"));
    stage.simulator.openai().account(&first).refuse(None);
    for _ in 0..3 {
        assert_eq!(ask(&stage, &session, json!({})).await.status, 200);
        assert_eq!(last_asked(&stage), second, "and there it stays");
    }
}

#[tokio::test]
async fn a_session_stays_with_a_busy_account_rather_than_move() {
    let stage = Stage::start("[pool]\nacquire_timeout = \"15s\"", &[], &["bob", "carol"]).await;
    let session = [("session-id", "s-busy")];
    assert_eq!(ask(&stage, &session, json!({})).await.status, 200);
    let home = last_asked(&stage);
    let two = join_all((0..4).map(|_| ask(&stage, &session, json!({})))).await;
    assert!(two.iter().all(|answer| answer.status == 200));
    assert!(stage.asked().iter().all(|asked| *asked == home), "{:?}", stage.asked());
}

#[tokio::test]
async fn previous_response_id_is_refused_with_what_to_do_instead() {
    // No answers are stored upstream (store is false), so there is nothing to follow over HTTP.
    let stage = Stage::start("", &[], &["bob"]).await;
    let answer = ask(&stage, &[], json!({"previous_response_id": "resp_1"})).await;
    assert_eq!(answer.status, 400, "{}", answer.text());
    assert!(
        answer.text().contains("previous_response_id") && answer.text().contains("input"),
        "{}",
        answer.text()
    );
    assert!(stage.generated().is_empty());
    assert_eq!(ask(&stage, &[], json!({"previous_response_id": null})).await.status, 200);
}

#[tokio::test]
async fn an_account_takes_no_more_than_its_limit_and_the_rest_wait_in_order() {
    let stage = Stage::start("[pool]\nacquire_timeout = \"15s\"", &[], &["bob"]).await;
    stage.amend("bob", &json!({"max_concurrency": 2})).await;
    let gate = Gate::new();
    stage.simulator.inject(Injection::new(Fault::GateBefore(gate.clone())).path(CODEX).always());
    let stage = &stage;
    let texts: Vec<String> = (0..6).map(|number| format!("turn-{number}-")).collect();
    let all = join_all(texts.iter().enumerate().map(|(number, text)| async move {
        // One after the other, so that there is an order to be kept.
        tokio::time::sleep(Duration::from_millis(120 * number as u64)).await;
        stage.codex(text).await
    }));
    let watch = async {
        assert!(gate.wait_for(2, LIMIT).await);
        tokio::time::sleep(Duration::from_millis(1200)).await;
        assert_eq!(gate.arrivals(), 2, "the limit holds");
        gate.open();
    };
    let (answers, ()) = futures_util::future::join(all, watch).await;
    assert!(answers.iter().all(|answer| answer.status == 200), "{answers:?}");
    let order: Vec<String> = stage
        .generated()
        .iter()
        .map(|one| one.json()["input"].to_string())
        .map(|input| texts.iter().find(|text| input.contains(*text)).unwrap().clone())
        .collect();
    // Two run at a time, so neighbours may swap; nobody is overtaken by more than the account takes at once.
    for (place, text) in order.iter().enumerate() {
        let number = texts.iter().position(|one| one == text).unwrap();
        assert!(number.abs_diff(place) <= 1, "{order:?}");
    }
}

#[tokio::test]
async fn who_waits_longer_than_the_settings_allow_gets_a_429_to_come_back() {
    let stage = Stage::start("[pool]\nacquire_timeout = \"500ms\"", &["alice"], &["bob"]).await;
    for label in ["alice", "bob"] {
        stage.amend(label, &json!({"max_concurrency": 1})).await;
    }
    let gate = Gate::new();
    for path in [CODEX, "enerateContent"] {
        stage.simulator.inject(Injection::new(Fault::GateBefore(gate.clone())).path(path).always());
    }
    let first = futures_util::future::join(stage.codex("first"), stage.gemini("first"));
    let second = async {
        assert!(gate.wait_for(2, LIMIT).await);
        let denied = [stage.codex("second").await, stage.gemini("second").await];
        gate.open();
        denied
    };
    let (first, denied) = futures_util::future::join(first, second).await;
    assert_eq!((first.0.status, first.1.status), (200, 200));
    for answer in denied {
        assert_eq!(answer.status, 429, "{}", answer.text());
        let wait: u64 = answer.header("retry-after").expect("a wait").parse().unwrap();
        assert!((1..=10).contains(&wait));
    }
    assert_eq!((stage.codex("third").await.status, stage.gemini("third").await.status), (200, 200));
}

#[tokio::test]
async fn a_short_rest_is_waited_for() {
    let stage = Stage::start("[pool]\nacquire_timeout = \"10s\"", &["alice"], &["bob"]).await;
    stage
        .simulator
        .inject(Injection::new(Fault::Answer(openai::Refusal::RateLimited(Some(1)).reply(""))).path(CODEX));
    let second = google::Refusal::RateLimited(Duration::from_secs(1)).reply("gemini-2.5-pro");
    stage.simulator.inject(Injection::new(Fault::Answer(second)).path("enerateContent"));
    assert_eq!(stage.codex("x").await.status, 200);
    assert_eq!(stage.gemini("x").await.status, 200);
    let statuses: Vec<_> = stage.generated().iter().filter_map(|one| one.status).collect();
    assert_eq!(statuses, [429, 200, 429, 200]);
}

#[tokio::test]
async fn rests_survive_a_restart() {
    let mut stage = Stage::start("", &["alice"], &["bob"]).await;
    stage.simulator.openai().account("bob").refuse(Some(openai::Refusal::UsageLimitReached(HOUR)));
    stage.simulator.google().account("alice").refuse(Some(google::Refusal::QuotaExhausted(HOUR)));
    assert_eq!((stage.codex("x").await.status, stage.gemini("x").await.status), (429, 429));
    let before =
        [stage.account("bob").await["cooling"].take(), stage.account("alice").await["cooling"].take()];
    // Written down by the keeper, off the hot path: a kill at this instant could come before it.
    assert!(stage.gateway.terminate(LIMIT).await.is_some_and(|status| status.success()));
    stage.gateway.restart().await.unwrap();
    let after =
        [stage.account("bob").await["cooling"].take(), stage.account("alice").await["cooling"].take()];
    assert_eq!(before, after);
    assert_eq!((stage.codex("x").await.status, stage.gemini("x").await.status), (429, 429));
    assert_eq!(stage.generated().len(), 2, "nobody was asked again");
}

#[tokio::test]
async fn accounts_and_suspensions_survive_a_restart() {
    let mut stage = Stage::start("", &["alice"], &["bob", "carol"]).await;
    stage.simulator.openai().account("bob").refuse(Some(openai::Refusal::AccountDeactivated));
    for _ in 0..3 {
        assert_eq!(stage.codex("x").await.status, 200);
    }
    assert_eq!(stage.account_when("bob", |one| one["state"] == "suspended").await["state"], "suspended");
    assert!(stage.gateway.terminate(LIMIT).await.is_some_and(|status| status.success()));
    stage.gateway.restart().await.unwrap();
    let bob = stage.account("bob").await;
    assert_eq!((&bob["state"], &bob["reason"]["code"]), (&json!("suspended"), &json!("account_deactivated")));
    for _ in 0..3 {
        assert_eq!((stage.codex("x").await.status, stage.gemini("x").await.status), (200, 200));
    }
    assert_eq!(stage.asked().iter().filter(|asked| *asked == "bob").count(), 1);
}

#[tokio::test]
async fn a_longer_rest_is_not_shortened_by_a_later_shorter_report_nor_by_a_refresh() {
    let stage = Stage::start("", &[], &["bob"]).await;
    let gate = Gate::new();
    // Sent before, answered after the longer report.
    stage.simulator.inject(Injection::new(Fault::GateHead(gate.clone())).path(CODEX).containing("late"));
    stage.simulator.inject(
        Injection::new(Fault::Answer(openai::Refusal::UsageLimitReached(HOUR).reply("")))
            .path(CODEX)
            .containing("long"),
    );
    stage
        .simulator
        .openai()
        .account("bob")
        .refuse(Some(openai::Refusal::UsageLimitReached(Duration::from_mins(1))));
    let late = stage.codex("late");
    let long = async {
        assert!(gate.wait_for(1, LIMIT).await);
        assert_eq!(stage.codex("long").await.status, 429);
        let until = stage.account("bob").await["cooling"][0]["until"].as_u64().unwrap();
        gate.open();
        until
    };
    let (late, until) = futures_util::future::join(late, long).await;
    assert_eq!(late.status, 429);
    let statuses: Vec<_> = stage.generated().iter().filter_map(|one| one.status).collect();
    assert_eq!(statuses, [429, 429], "both reports arrived");
    assert_eq!(stage.account("bob").await["cooling"][0]["until"], until);
    let id = stage.account("bob").await["id"].clone();
    assert_eq!(stage.admin("POST", &format!("/admin/accounts/{id}/refresh"), "").await.status, 200);
    assert!(stage.gateway.log().wait_for("token refreshed", LIMIT).await);
    assert_eq!(stage.account("bob").await["cooling"][0]["until"], until, "new tokens bring no new quota");
}

#[tokio::test]
async fn the_owner_can_end_a_rest_and_pause_an_account() {
    let stage = Stage::start("", &[], &["bob"]).await;
    let bob = stage.simulator.openai().account("bob");
    bob.refuse(Some(openai::Refusal::UsageLimitReached(HOUR)));
    assert_eq!(stage.codex("x").await.status, 429);
    bob.refuse(None);
    let id = stage.account("bob").await["id"].clone();
    assert_eq!(stage.codex("x").await.status, 429);
    assert_eq!(stage.admin("POST", &format!("/admin/accounts/{id}/forget-cooldown"), "").await.status, 200);
    assert_eq!(stage.codex("x").await.status, 200);
    assert_eq!(stage.admin("POST", &format!("/admin/accounts/{id}/pause"), "").await.status, 200);
    assert_eq!(stage.codex("x").await.status, 503);
    assert_eq!(stage.admin("POST", &format!("/admin/accounts/{id}/resume"), "").await.status, 200);
    assert_eq!(stage.codex("x").await.status, 200);
}

#[tokio::test]
async fn an_account_with_more_left_goes_first() {
    let simulator = Simulator::start();
    for (label, used) in [("bob", 80.0), ("carol", 10.0), ("dave", 60.0)] {
        simulator.openai().account(label).used(used, 0.0);
    }
    let stage = Stage::with(simulator, Gateway::builder(), &[], &["bob", "carol", "dave"]).await;
    // Each tells its reading in its first answer.
    for _ in 0..3 {
        join_all((0..3).map(|_| stage.codex("x"))).await;
    }
    let before = stage.generated().len();
    for _ in 0..4 {
        assert_eq!(stage.codex("x").await.status, 200);
    }
    assert!(stage.asked()[before..].iter().all(|asked| asked == "carol"), "{:?}", stage.asked());
}
