//! Renewing tokens: once, ahead of time, never twice with the same token, and nobody is lost to a bad minute.

use super::owner::{LIMIT, act, add, ask, gateway, id, pooled, served, wait_accounts, wait_all, wait_only};
use pollux_tests::kit::wait_until;
use pollux_tests::simulator::{Fault, Gate, Injection, Simulator};
use serde_json::{Value, json};
use std::time::Duration;

fn code(account: &Value) -> &str {
    account.pointer("/reason/code").and_then(Value::as_str).unwrap_or_default()
}

/// Asks this many times at once.
async fn crowd(gateway: &pollux_tests::kit::Gateway, provider: &str, size: usize) -> Vec<(u16, String)> {
    let asking = (0..size).map(|number| async move {
        let answer = ask(gateway, provider, &format!("CROWD-{number}")).await;
        (answer.status, answer.text())
    });
    futures_util::future::join_all(asking).await
}

#[tokio::test]
async fn a_hundred_requests_that_meet_a_dead_token_cause_one_refresh_and_all_succeed() {
    for provider in ["geminicli", "codex"] {
        let simulator = Simulator::start();
        let (google, openai) = (simulator.google().account("alice"), simulator.openai().account("alice"));
        let gateway = gateway(&simulator, "[pool]\nacquire_timeout = \"20s\"").await;
        let token = if provider == "codex" { openai.refresh_token() } else { google.refresh_token() };
        pooled(&gateway, provider, &token).await;
        google.expire_access_tokens();
        openai.expire_access_tokens();
        let gate = Gate::new();
        simulator.inject(Injection::new(Fault::GateHead(gate.clone())).path("/token"));
        let release = async {
            assert!(gate.wait_for(1, LIMIT).await);
            tokio::time::sleep(Duration::from_millis(300)).await;
            gate.open();
        };
        let (answers, ()) = tokio::join!(crowd(&gateway, provider, 100), release);
        for (number, (status, text)) in answers.iter().enumerate() {
            assert!(*status == 200 && text.contains(&format!("CROWD-{number}")), "{status} {text}");
        }
        let refreshes = simulator.google().tally().refreshes + simulator.openai().tally().refreshes;
        assert_eq!(refreshes, 2, "one to come in, one for all of them");
        assert!(simulator.openai().reuses().is_empty());
    }
}

#[tokio::test]
async fn a_hundred_requests_wait_for_a_token_that_has_run_out() {
    for provider in ["geminicli", "codex"] {
        let simulator = Simulator::start();
        // A minute or less is not worth enrolling with, and its refresh is due at once.
        let google = simulator.google().account("alice").token_lifetime(Duration::from_secs(62));
        let openai = simulator.openai().account("alice").token_lifetime(Duration::from_secs(62));
        let gateway = gateway(&simulator, "[pool]\nacquire_timeout = \"20s\"").await;
        let gate = Gate::new();
        simulator.inject(Injection::new(Fault::GateBefore(gate.clone())).path("/token").after(1));
        let token = if provider == "codex" { openai.refresh_token() } else { google.refresh_token() };
        pooled(&gateway, provider, &token).await;
        // The refresh ahead of the end is under way while the old token still serves.
        assert!(gate.wait_for(1, LIMIT).await);
        served(&gateway, provider, "MEANWHILE").await;
        google.expire_access_tokens();
        openai.expire_access_tokens();
        google.token_lifetime(Duration::from_hours(1));
        openai.token_lifetime(Duration::from_hours(1));
        let release = async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            gate.open();
        };
        let (answers, ()) = tokio::join!(crowd(&gateway, provider, 100), release);
        assert!(answers.iter().all(|(status, _)| *status == 200), "{answers:?}");
        let refreshes = simulator.google().tally().refreshes + simulator.openai().tally().refreshes;
        assert_eq!(refreshes, 2);
        assert!(simulator.openai().reuses().is_empty());
    }
}

#[tokio::test]
async fn a_token_is_renewed_before_its_end_without_any_request() {
    let simulator = Simulator::start();
    let short = Duration::from_secs(200);
    let google = simulator.google().account("alice").token_lifetime(short);
    let openai = simulator.openai().account("bob").token_lifetime(short);
    let gateway = gateway(&simulator, "").await;
    // The second answer lives long: then nothing more is due.
    let entries = [("geminicli", google.refresh_token()), ("codex", openai.refresh_token())];
    let gate = Gate::new();
    for label in ["alice", "bob"] {
        let second = Injection::new(Fault::GateBefore(gate.clone())).path("/token").account(label);
        simulator.inject(second.after(1));
    }
    for (number, (provider, token)) in entries.iter().enumerate() {
        add(&gateway, provider, &json!([{"refresh_token": token}])).await;
        wait_all(&gateway, number + 1, "active").await;
    }
    assert!(gate.wait_for(2, LIMIT).await);
    google.token_lifetime(Duration::from_hours(1));
    openai.token_lifetime(Duration::from_hours(1));
    gate.open();
    let renewed = || {
        let both = simulator.google().tally().refreshes == 2 && simulator.openai().tally().refreshes == 2;
        std::future::ready(both)
    };
    assert!(wait_until(renewed, LIMIT).await);
    wait_all(&gateway, 2, "active").await;
    assert_eq!(simulator.record().count("enerateContent") + simulator.record().count("/responses"), 0);
    assert!(simulator.openai().reuses().is_empty());
}

#[tokio::test]
async fn accounts_that_share_a_login_are_renewed_together() {
    let simulator = Simulator::start();
    let alice =
        simulator.google().account("alice").kind(pollux_tests::simulator::google::Kind::ProjectRequired);
    let gateway = gateway(&simulator, "").await;
    let token = alice.refresh_token();
    let entries: Vec<Value> = (0..5)
        .map(|number| {
            alice.licensed_project(&format!("project-{number}"));
            json!({"refresh_token": token, "project_id": format!("project-{number}")})
        })
        .collect();
    add(&gateway, "geminicli", &json!(entries)).await;
    wait_all(&gateway, 5, "active").await;
    assert_eq!(simulator.google().tally().refreshes, 1);
    alice.expire_access_tokens();
    let answers = crowd(&gateway, "geminicli", 40).await;
    assert!(answers.iter().all(|(status, _)| *status == 200), "{answers:?}");
    assert_eq!(simulator.google().tally().refreshes, 2, "five accounts, one login, one refresh");
}

#[tokio::test]
async fn a_login_that_is_over_takes_its_account_out_with_the_reason() {
    let table = [
        ("codex", Some((400, "invalid_grant")), "invalid_grant"),
        ("codex", Some((401, "refresh_token_expired")), "refresh_token_expired"),
        ("codex", Some((401, "refresh_token_reused")), "refresh_token_reused"),
        ("codex", Some((401, "something_new")), "login_refused"),
        ("codex", None, "refresh_token_invalidated"),
        ("geminicli", None, "invalid_grant"),
    ];
    for (provider, refusal, expected) in table {
        let simulator = Simulator::start();
        let (google, openai) = (simulator.google().account("alice"), simulator.openai().account("alice"));
        let gateway = gateway(&simulator, "").await;
        let token = if provider == "codex" { openai.refresh_token() } else { google.refresh_token() };
        pooled(&gateway, provider, &token).await;
        match refusal {
            Some(refusal) => drop(openai.refuse_refresh(Some(refusal))),
            None if provider == "codex" => openai.revoke(),
            None => google.revoke(),
        }
        google.expire_access_tokens();
        openai.expire_access_tokens();
        let answer = ask(&gateway, provider, "OVER").await;
        assert!(![200, 401, 403].contains(&answer.status), "{} {}", answer.status, answer.text());
        let account = wait_only(&gateway, "suspended").await;
        assert_eq!(code(&account), expected, "{account:#}");
        let text = account["reason"]["text"].as_str().unwrap();
        assert!(text.contains("log in again"), "{text}");
        let tries = simulator.record().count("/token");
        let answer = ask(&gateway, provider, "OVER").await;
        assert_eq!(answer.status, 503, "{}", answer.text());
        assert_eq!(simulator.record().count("/token"), tries, "a dead token is not tried again");
        assert!(simulator.openai().reuses().is_empty());
        // A new login heals it.
        openai.refuse_refresh(None);
        let fresh = if provider == "codex" { openai.refresh_token() } else { google.refresh_token() };
        add(&gateway, provider, &json!([{"refresh_token": fresh}])).await;
        let healed = wait_only(&gateway, "active").await;
        assert_eq!(id(&healed), id(&account));
        served(&gateway, provider, "HEALED").await;
    }
}

#[tokio::test]
async fn a_token_endpoint_in_trouble_never_costs_an_account() {
    let troubles = [
        Fault::text(500, "oops"),
        Fault::text(503, "<html>busy</html>"),
        Fault::json(429, &json!({"error": "rate_limited"})),
        Fault::json(400, &json!({"error": "temporarily_unavailable"})),
        Fault::json(401, &json!({"error": "invalid_client"})),
    ];
    for provider in ["geminicli", "codex"] {
        let simulator = Simulator::start();
        let (google, openai) = (simulator.google().account("alice"), simulator.openai().account("alice"));
        let gateway = gateway(&simulator, "").await;
        let token = if provider == "codex" { openai.refresh_token() } else { google.refresh_token() };
        let account = pooled(&gateway, provider, &token).await;
        for (number, trouble) in troubles.iter().enumerate() {
            // OpenAI's 401 is a refusal of the login where it does not name the client.
            simulator.inject(Injection::new(trouble.clone()).path("/token"));
            let before = wait_only(&gateway, "active").await;
            assert_eq!(act(&gateway, account, "refresh").await.status, 200);
            let healed = |all: &[Value]| {
                assert_eq!(all[0]["state"], "active", "{trouble:?}");
                all[0]["revision"].as_i64() > before["revision"].as_i64() && all[0]["refreshing"] == false
            };
            wait_accounts(&gateway, healed).await;
            let tried = simulator.record().on("/token").len();
            assert_eq!(tried, 1 + 2 * (number + 1), "{trouble:?}");
        }
        served(&gateway, provider, "TROUBLED").await;
        assert!(simulator.openai().reuses().is_empty());
    }
}

#[tokio::test]
async fn a_request_outlasts_a_refresh_that_fails_at_first() {
    for provider in ["geminicli", "codex"] {
        let simulator = Simulator::start();
        let (google, openai) = (simulator.google().account("alice"), simulator.openai().account("alice"));
        let gateway = gateway(&simulator, "[pool]\nacquire_timeout = \"20s\"").await;
        let token = if provider == "codex" { openai.refresh_token() } else { google.refresh_token() };
        pooled(&gateway, provider, &token).await;
        simulator.inject(Injection::new(Fault::text(503, "busy")).path("/token").times(2));
        google.expire_access_tokens();
        openai.expire_access_tokens();
        served(&gateway, provider, "PATIENT").await;
        assert!(simulator.openai().reuses().is_empty());
    }
}

#[tokio::test]
async fn google_may_break_off_in_any_way_and_is_asked_again() {
    let breaks = [Fault::Reset, Fault::Truncate(20), Fault::ResetAfter(10), Fault::text(200, "{}")];
    let simulator = Simulator::start();
    let alice = simulator.google().account("alice");
    let gateway = gateway(&simulator, "").await;
    let account = pooled(&gateway, "geminicli", &alice.refresh_token()).await;
    for fault in breaks {
        simulator.inject(Injection::new(fault.clone()).path("/token"));
        let before = wait_only(&gateway, "active").await;
        assert_eq!(act(&gateway, account, "refresh").await.status, 200);
        let healed = |all: &[Value]| {
            assert_eq!(all[0]["state"], "active", "{fault:?}");
            all[0]["revision"].as_i64() > before["revision"].as_i64() && all[0]["refreshing"] == false
        };
        wait_accounts(&gateway, healed).await;
    }
    served(&gateway, "geminicli", "BROKEN-OFF").await;
}

#[tokio::test]
async fn openai_is_never_asked_again_once_the_token_may_be_spent() {
    // What strikes after the vendor's work has spent the token; from outside all of them look alike.
    let breaks = [Fault::Reset, Fault::Truncate(20), Fault::ResetAfter(10), Fault::text(200, "{}")];
    for fault in breaks {
        let simulator = Simulator::start();
        let bob = simulator.openai().account("bob");
        let gateway = gateway(&simulator, "").await;
        let account = pooled(&gateway, "codex", &bob.refresh_token()).await;
        simulator.inject(Injection::new(fault.clone()).path("/token"));
        assert_eq!(act(&gateway, account, "refresh").await.status, 200);
        let lost = wait_only(&gateway, "refresh_unknown").await;
        assert_eq!(code(&lost), "refresh_unknown", "{fault:?}");
        assert!(lost["reason"]["text"].as_str().unwrap().contains("log in again"), "{lost:#}");
        assert!(gateway.log().wait_for("refresh_unknown", LIMIT).await);
        let tries = simulator.record().count("/token");
        assert_eq!(ask(&gateway, "codex", "LOST").await.status, 503);
        assert_eq!(act(&gateway, account, "refresh").await.status, 409);
        assert_eq!(act(&gateway, account, "resume").await.status, 409);
        tokio::time::sleep(Duration::from_millis(1500)).await;
        assert_eq!(simulator.record().count("/token"), tries, "{fault:?}");
        assert!(simulator.openai().reuses().is_empty(), "{fault:?}");
        add(&gateway, "codex", &json!([{"refresh_token": bob.refresh_token()}])).await;
        assert_eq!(id(&wait_only(&gateway, "active").await), account);
        served(&gateway, "codex", "BACK").await;
        assert!(simulator.openai().reuses().is_empty(), "{fault:?}");
    }
}

#[tokio::test]
async fn a_vendor_out_of_reach_spends_nothing() {
    let simulator = Simulator::start();
    let bob = simulator.openai().account("bob");
    let nobody = format!("http://127.0.0.1:{}", pollux_tests::kit::free_port());
    let config = format!("[providers.codex.oauth]\ntoken_url = \"{nobody}/oauth/token\"");
    let gateway = gateway(&simulator, &config).await;
    add(&gateway, "codex", &json!([{"refresh_token": bob.refresh_token()}])).await;
    wait_accounts(&gateway, |all| code(&all[0]) == "retrying").await;
    assert_eq!(bob.usable_refresh_tokens(), 1);
}

#[tokio::test]
async fn a_late_refusal_of_an_old_token_does_not_renew_the_new_one() {
    let simulator = Simulator::start();
    let bob = simulator.openai().account("bob");
    let gateway = gateway(&simulator, "").await;
    let account = pooled(&gateway, "codex", &bob.refresh_token()).await;
    let gate = Gate::new();
    simulator.inject(Injection::new(Fault::GateHead(gate.clone())).path("/responses"));
    bob.expire_access_tokens();
    let late = ask(&gateway, "codex", "LATE");
    let renewing = async {
        assert!(gate.wait_for(1, LIMIT).await, "the first request waits with its refusal");
        let before = simulator.openai().tally().refreshes;
        assert_eq!(act(&gateway, account, "refresh").await.status, 200);
        let renewed = || std::future::ready(simulator.openai().tally().refreshes == before + 1);
        assert!(wait_until(renewed, LIMIT).await);
        wait_accounts(&gateway, |all| all[0]["refreshing"] == false).await;
        served(&gateway, "codex", "NEW").await;
        gate.open();
        before + 1
    };
    let (answer, refreshes) = tokio::join!(late, renewing);
    assert_eq!(answer.status, 200, "{}", answer.text());
    served(&gateway, "codex", "AGAIN").await;
    assert_eq!(simulator.openai().tally().refreshes, refreshes);
    assert!(simulator.openai().reuses().is_empty());
}

#[tokio::test]
async fn a_token_refused_even_when_fresh_takes_its_account_out() {
    let simulator = Simulator::start();
    let bob = simulator.openai().account("bob");
    let gateway = gateway(&simulator, "").await;
    pooled(&gateway, "codex", &bob.refresh_token()).await;
    bob.refuse(Some(pollux_tests::simulator::openai::Refusal::TokenInvalidated));
    let answer = ask(&gateway, "codex", "REFUSED").await;
    assert!(![200, 401, 403].contains(&answer.status), "{} {}", answer.status, answer.text());
    for _ in 0..3 {
        ask(&gateway, "codex", "REFUSED").await;
    }
    let account = wait_only(&gateway, "suspended").await;
    assert!(!code(&account).is_empty());
    let refreshes = simulator.openai().tally().refreshes;
    assert!(refreshes <= 3, "{refreshes} refreshes");
    assert!(simulator.openai().reuses().is_empty());
}

#[tokio::test]
async fn an_access_token_without_a_refresh_token_serves_until_its_end() {
    let simulator = Simulator::start();
    let bob = simulator.openai().account("bob");
    let gateway = gateway(&simulator, "").await;
    add(&gateway, "codex", &json!([{"access_token": bob.access_token()}])).await;
    wait_only(&gateway, "active").await;
    served(&gateway, "codex", "ACCESS-ONLY").await;
    bob.expire_access_tokens();
    let answer = ask(&gateway, "codex", "OVER").await;
    assert!(![200, 401, 403].contains(&answer.status), "{} {}", answer.status, answer.text());
    let account = wait_only(&gateway, "suspended").await;
    assert_eq!(code(&account), "login_expired");
}
