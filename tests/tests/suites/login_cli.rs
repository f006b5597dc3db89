//! `pollux login`: an account connected from a terminal, with a gateway beside it or without.

use super::owner::{LIMIT, accounts, gateway, served, wait_only};
use super::visitor::ports;
use pollux_tests::kit::{Database, Decision, Gateway, Session, consent, get};
use pollux_tests::simulator::Simulator;

/// The line that holds an authorize URL, once it is printed.
async fn address(session: &Session) -> String {
    assert!(
        session.log.wait_for("/authorize?", LIMIT).await || session.log.contains("/auth?"),
        "{}",
        session.log.text()
    );
    session.log.lines().into_iter().find(|line| line.starts_with("http://127.0.0.1")).expect("an address")
}

async fn succeeds(session: &mut Session) -> String {
    let code = session.wait(LIMIT).await;
    assert_eq!(code, Some(0), "{}", session.log.text());
    session.log.text()
}

#[tokio::test]
async fn a_browser_on_this_machine_brings_the_login_to_the_running_gateway() {
    let _ports = ports();
    let simulator = Simulator::start();
    simulator.openai().account("bob");
    let gateway = gateway(&simulator, "").await;
    let mut session = gateway.session(&["login", "codex", "--no-browser"]).unwrap();
    // Nobody types: the browser comes by itself.
    session.close_input();
    let back = consent(&address(&session).await, Decision::Allow("bob")).await.unwrap();
    assert!(back.starts_with("http://localhost:145"), "{back}");
    assert_eq!(get(&back, &[]).await.status, 200);
    let said = succeeds(&mut session).await;
    assert!(said.contains("with the gateway"), "{said}");
    let account = wait_only(&gateway, "active").await;
    assert_eq!((&account["label"], &account["trusted"]), (&"bob@example.com".into(), &true.into()));
    served(&gateway, "codex", "FROM-THE-TERMINAL").await;
    assert_eq!(simulator.openai().tally().exchanges, 1);
    assert!(simulator.openai().reuses().is_empty());
}

#[tokio::test]
async fn without_a_browser_here_the_address_is_pasted_and_only_the_right_one_counts() {
    let simulator = Simulator::start();
    simulator.google().account("alice");
    let gateway = gateway(&simulator, "").await;
    let mut session = gateway.session(&["login", "geminicli", "--no-browser"]).unwrap();
    let back = consent(&address(&session).await, Decision::Allow("alice")).await.unwrap();
    session.type_line("what?").unwrap();
    session.type_line("http://localhost/oauth2callback?code=x&state=of-another-login").unwrap();
    assert!(session.log.wait_for("no answer to this login", LIMIT).await, "{}", session.log.text());
    session.type_line(&back).unwrap();
    succeeds(&mut session).await;
    wait_only(&gateway, "active").await;
    served(&gateway, "geminicli", "PASTED").await;
}

#[tokio::test]
async fn a_denied_login_says_so_and_leaves_nothing() {
    let simulator = Simulator::start();
    simulator.google().account("alice");
    let gateway = gateway(&simulator, "").await;
    let mut session = gateway.session(&["login", "geminicli", "--no-browser"]).unwrap();
    let back = consent(&address(&session).await, Decision::Deny).await.unwrap();
    session.type_line(&back).unwrap();
    assert_eq!(session.wait(LIMIT).await, Some(1));
    assert!(session.log.contains("did not grant access: access_denied"), "{}", session.log.text());
    assert!(accounts(&gateway).await.is_empty());
}

#[tokio::test]
async fn a_code_entered_on_any_machine_connects_the_account() {
    let simulator = Simulator::start();
    simulator.openai().account("bob");
    simulator.openai().habits(|habits| habits.device_interval = 1);
    let gateway = gateway(&simulator, "").await;
    let mut session = gateway.session(&["login", "codex", "--device"]).unwrap();
    assert!(session.log.wait_for("and enter the code ABCD-1234", LIMIT).await, "{}", session.log.text());
    assert!(session.log.contains("/codex/device"), "{}", session.log.text());
    let asked = |count| {
        simulator.record().wait_until(LIMIT, move |all| {
            all.iter().filter(|one| one.path.contains("/deviceauth/token")).count() >= count
        })
    };
    assert!(asked(1).await, "it asks before anybody has entered the code");
    assert!(simulator.openai().enter_code("ABCD-1234", Some("bob")));
    succeeds(&mut session).await;
    wait_only(&gateway, "active").await;
    served(&gateway, "codex", "BY-CODE").await;
    assert_eq!(simulator.openai().tally().exchanges, 1);
}

#[tokio::test]
async fn a_code_that_is_denied_or_not_offered_is_told() {
    let simulator = Simulator::start();
    simulator.openai().account("bob");
    simulator.openai().habits(|habits| habits.device_interval = 1);
    let gateway = gateway(&simulator, "").await;
    let mut session = gateway.session(&["login", "codex", "--device"]).unwrap();
    assert!(session.log.wait_for("ABCD-1234", LIMIT).await, "{}", session.log.text());
    assert!(simulator.openai().enter_code("ABCD-1234", None));
    assert_eq!(session.wait(LIMIT).await, Some(1));
    assert!(session.log.contains("the login was denied"), "{}", session.log.text());

    simulator.openai().habits(|habits| habits.device_login = false);
    for (args, words) in [
        (["login", "codex", "--device"], "log in with a browser"),
        (["login", "geminicli", "--device"], "no login by code"),
        (["login", "nobody", "--no-browser"], "only for: claude, codex, geminicli"),
    ] {
        let mut session = gateway.session(&args).unwrap();
        assert_eq!(session.wait(LIMIT).await, Some(1), "{args:?}");
        assert!(session.log.contains(words), "{args:?}: {}", session.log.text());
    }
    assert!(accounts(&gateway).await.is_empty());
}

#[tokio::test]
async fn without_a_gateway_the_login_waits_in_the_database_for_its_start() {
    let simulator = Simulator::start();
    simulator.google().account("alice");
    let builder = Gateway::builder().simulator(&simulator).database(Database::Sqlite);
    let mut gateway = builder.start().await.unwrap();
    gateway.terminate(LIMIT).await.expect("it ends");
    let mut session = gateway.session(&["login", "geminicli", "--no-browser"]).unwrap();
    let back = consent(&address(&session).await, Decision::Allow("alice")).await.unwrap();
    assert_eq!(get(&back, &[]).await.status, 200, "the terminal listens where the gateway would");
    let said = succeeds(&mut session).await;
    assert!(said.contains("stored as account 1"), "{said}");
    gateway.restart().await.unwrap();
    wait_only(&gateway, "active").await;
    served(&gateway, "geminicli", "AFTER-THE-START").await;
}
