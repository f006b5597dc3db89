//! `resource:add`: what is taken in, what is refused, and that nothing accepted is ever lost.

use super::owner::{LIMIT, accounts, act, add, ask, gateway, id, served, wait_accounts, wait_all, wait_only};
use pollux_tests::kit::{Database, post, send};
use pollux_tests::simulator::{Fault, Gate, Injection, Simulator, google::Kind};
use serde_json::{Value, json};
use std::time::{Duration, SystemTime};

/// Unix milliseconds, an hour from now.
fn in_an_hour() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    (since + Duration::from_hours(1)).as_secs() * 1000
}

#[tokio::test]
async fn every_known_shape_of_a_google_login_is_taken_in() {
    let simulator = Simulator::start();
    let google = simulator.google();
    for label in ["snake", "camel", "extra", "file"] {
        google.account(label);
    }
    google.account("owner").kind(Kind::ProjectRequired).licensed_project("licensed-1");
    let gateway = gateway(&simulator, "").await;
    let file = google.account("file");
    let entries = json!([
        {"refresh_token": google.account("snake").refresh_token()},
        {"refreshToken": google.account("camel").refresh_token()},
        {"refresh_token": google.account("extra").refresh_token(), "note": "kept by nobody", "n": [1, {"a": null}]},
        {"refresh_token": google.account("owner").refresh_token(), "project_id": "licensed-1"},
        {
            "access_token": file.access_token(), "refresh_token": file.refresh_token(),
            "scope": "https://www.googleapis.com/auth/cloud-platform", "token_type": "Bearer",
            "id_token": "e30.e30.x", "expiry_date": in_an_hour(),
        },
    ]);
    add(&gateway, "geminicli", &entries).await;
    wait_all(&gateway, 5, "active").await;
    let refreshed = simulator.record().on("/token");
    assert_eq!(refreshed.len(), 4, "the file's access token is still good");
    assert!(refreshed.iter().all(|request| request.account.as_deref() != Some("file")));
    let licensed = simulator.record().on(":loadCodeAssist");
    let named = |request: &&pollux_tests::simulator::Received| {
        request.json()["cloudaicompanionProject"] == "licensed-1"
    };
    assert_eq!(licensed.iter().filter(named).count(), 1);
    served(&gateway, "geminicli", "SHAPES").await;
}

#[tokio::test]
async fn every_known_shape_of_an_openai_login_is_taken_in() {
    let simulator = Simulator::start();
    let openai = simulator.openai();
    let gateway = gateway(&simulator, "").await;
    let file = openai.account("file");
    let entries = json!([
        {"refresh_token": openai.account("snake").refresh_token()},
        {"refreshToken": openai.account("camel").refresh_token()},
        {
            "OPENAI_API_KEY": null, "last_refresh": "2026-11-20T08:00:00Z",
            "tokens": {
                "id_token": file.id_token(), "access_token": file.access_token(),
                "refresh_token": file.refresh_token(), "account_id": file.account_id(),
            },
        },
    ]);
    add(&gateway, "codex", &entries).await;
    wait_all(&gateway, 3, "active").await;
    assert_eq!(openai.tally().refreshes, 2, "the file's access token is still good");
    assert_eq!(file.usable_refresh_tokens(), 1);
    assert!(openai.reuses().is_empty());
    served(&gateway, "codex", "SHAPES").await;
}

#[tokio::test]
async fn an_empty_list_is_success_and_stores_nothing() {
    let simulator = Simulator::start();
    let gateway = gateway(&simulator, "").await;
    for provider in ["geminicli", "codex"] {
        add(&gateway, provider, &json!([])).await;
    }
    assert!(accounts(&gateway).await.is_empty());
}

#[tokio::test]
async fn a_wrong_body_is_refused_with_the_entry_named_and_nothing_is_stored() {
    let simulator = Simulator::start();
    let gateway = gateway(&simulator, "").await;
    let good = json!({"refresh_token": "1//good"});
    let table: [(Value, &str); 9] = [
        (json!({"refresh_token": "x"}), "array"),
        (json!("1//x"), "array"),
        (json!(null), "array"),
        (json!([good, {}]), "entry 1"),
        (json!([{"token_type": "Bearer"}, good]), "entry 0"),
        (json!([good, good, {"refresh_token": ""}]), "entry 2"),
        (json!([good, {"refresh_token": 7}]), "entry 1"),
        (json!([good, "1//x"]), "entry 1"),
        (json!([good, null]), "entry 1"),
    ];
    for provider in ["geminicli", "codex"] {
        let url = gateway.at(&format!("/{provider}/resource:add"));
        for (body, said) in &table {
            let answer = post(&url, &gateway.auth(), body).await;
            assert_eq!(answer.status, 400, "{body}");
            let error = answer.json()["error"]["message"].as_str().unwrap_or_default().to_owned();
            assert!(error.contains(said), "{body}: {error}");
        }
        for body in ["", "[", "[{\"refresh_token\":\"x\"}", "refresh_token=x", "[1,]"] {
            let answer = send("POST", &url, &gateway.auth(), body).await.unwrap();
            assert_eq!(answer.status, 400, "{body:?}");
            assert!(answer.json()["error"]["message"].is_string(), "{body:?}: {}", answer.text());
        }
    }
    assert!(accounts(&gateway).await.is_empty());
    assert_eq!(simulator.record().count("token"), 0);
}

#[tokio::test]
async fn a_refusal_never_quotes_a_token() {
    let simulator = Simulator::start();
    let gateway = gateway(&simulator, "").await;
    let url = gateway.at("/geminicli/resource:add");
    for body in ["[{\"refresh_token\":\"1//very-secret\"},{}]", "[{\"refresh_token\":\"1//very-secret\""] {
        let answer = send("POST", &url, &gateway.auth(), body).await.unwrap();
        assert_eq!(answer.status, 400);
        assert!(!answer.text().contains("very-secret"), "{}", answer.text());
    }
    assert!(!gateway.log().contains("very-secret"));
}

#[tokio::test]
async fn only_the_key_opens_it_in_any_of_its_three_forms() {
    let simulator = Simulator::start();
    let gateway = gateway(&simulator, "").await;
    for provider in ["geminicli", "codex"] {
        let path = gateway.at(&format!("/{provider}/resource:add"));
        let with_query = |key: &str| format!("{path}?key={key}");
        let wrong = [
            send("POST", &path, &[], "[]").await,
            send("POST", &path, &[("authorization", "Bearer nonsense")], "[]").await,
            send("POST", &path, &[("x-goog-api-key", "")], "[]").await,
            send("POST", &with_query("nonsense"), &[], "[]").await,
            send("POST", &with_query(gateway.admin_key()), &[], "[]").await,
        ];
        for answer in wrong {
            let answer = answer.unwrap();
            assert_eq!(answer.status, 401, "{}", answer.text());
            assert!(answer.json()["error"].is_object(), "{}", answer.text());
        }
        let right = [
            send("POST", &path, &gateway.auth(), "[]").await,
            send("POST", &path, &[("x-goog-api-key", gateway.key())], "[]").await,
            send("POST", &with_query(gateway.key()), &[], "[]").await,
            send("POST", &with_query(gateway.key()), &[("authorization", "Bearer nonsense")], "[]").await,
        ];
        for answer in right {
            assert_eq!(answer.unwrap().status, 202);
        }
    }
}

#[tokio::test]
async fn what_was_answered_with_success_survives_a_kill_at_once() {
    let simulator = Simulator::start();
    let mut gateway = gateway(&simulator, "").await;
    let bob = simulator.openai().account("bob");
    let google: Vec<Value> = (0..20)
        .map(|n| json!({"refresh_token": simulator.google().account(&format!("g{n}")).refresh_token()}))
        .collect();
    add(&gateway, "geminicli", &json!(google)).await;
    let file =
        json!([{"tokens": {"access_token": bob.access_token(), "refresh_token": bob.refresh_token()}}]);
    add(&gateway, "codex", &file).await;
    gateway.kill();
    gateway.restart().await.unwrap();
    if *gateway.database() != Database::Sqlite {
        // Another replica could be at them, so what the dead one had begun is taken up only after its claim ends.
        let all = wait_accounts(&gateway, |all| all.len() == 21).await;
        assert!(all.iter().all(|one| one["state"] == "active" || one["state"] == "validating"), "{all:?}");
        assert!(simulator.openai().reuses().is_empty());
        return;
    }
    wait_all(&gateway, 21, "active").await;
    assert!(simulator.openai().reuses().is_empty());
    served(&gateway, "geminicli", "AFTER").await;
    served(&gateway, "codex", "AFTER").await;
}

#[tokio::test]
async fn a_kill_in_the_middle_of_validation_starts_it_anew() {
    let simulator = Simulator::start();
    let gate = Gate::new();
    simulator.inject(Injection::new(Fault::GateBefore(gate.clone())).path(":loadCodeAssist"));
    let mut gateway = gateway(&simulator, "").await;
    let token = simulator.google().account("alice").refresh_token();
    add(&gateway, "geminicli", &json!([{"refresh_token": token}])).await;
    assert!(gate.wait_for(1, LIMIT).await);
    gateway.kill();
    gate.open();
    gateway.restart().await.unwrap();
    let account = wait_only(&gateway, "active").await;
    assert_eq!(account["label"], "alice@example.com");
    served(&gateway, "geminicli", "ANEW").await;
}

#[tokio::test]
async fn a_passing_trouble_is_tried_again_and_told_meanwhile() {
    for path in ["/token", ":loadCodeAssist"] {
        let simulator = Simulator::start();
        simulator.inject(Injection::new(Fault::text(503, "try later")).path(path).times(2));
        let gateway = gateway(&simulator, "").await;
        let token = simulator.google().account("alice").refresh_token();
        add(&gateway, "geminicli", &json!([{"refresh_token": token}])).await;
        let told = |all: &[Value]| all[0]["reason"]["code"] == "retrying" && all[0]["state"] == "validating";
        let all = wait_accounts(&gateway, told).await;
        assert!(all[0]["reason"]["text"].as_str().unwrap().contains("503"), "{path}: {:#}", all[0]);
        let account = wait_only(&gateway, "active").await;
        assert!(account["reason"].is_null(), "{path}: {account:#}");
        assert_eq!(gateway.log().count("validation failed, trying again later"), 2, "{path}");
        assert!(gateway.log().wait_for("account is in the pool", LIMIT).await);
    }
}

#[tokio::test]
async fn a_refused_token_is_told_in_the_log_and_to_the_owner() {
    let simulator = Simulator::start();
    let gateway = gateway(&simulator, "").await;
    add(&gateway, "geminicli", &json!([{"refresh_token": "1//of-nobody"}])).await;
    add(&gateway, "codex", &json!([{"refresh_token": "rt_of-nobody"}])).await;
    let all = wait_all(&gateway, 2, "suspended").await;
    let codes: Vec<&str> = all.iter().map(|account| account["reason"]["code"].as_str().unwrap()).collect();
    assert_eq!(codes, ["invalid_grant", "refresh_token_invalidated"]);
    for code in codes {
        assert!(gateway.log().wait_for(code, LIMIT).await);
    }
    assert!(!gateway.log().contains("of-nobody"), "a token is in the log");
    assert_eq!(ask(&gateway, "geminicli", "X").await.status, 503);
}

#[tokio::test]
async fn the_same_account_twice_is_one_with_the_newer_tokens() {
    let simulator = Simulator::start();
    let gateway = gateway(&simulator, "").await;
    let (alice, bob) = (simulator.google().account("alice"), simulator.openai().account("bob"));
    let newest = [alice.refresh_token(), alice.refresh_token()];
    for token in &newest {
        add(&gateway, "geminicli", &json!([{"refresh_token": token}])).await;
        wait_only(&gateway, "active").await;
    }
    let refreshes = simulator.google().tally().refreshes;
    let account = wait_only(&gateway, "active").await;
    assert_eq!(act(&gateway, id(&account), "refresh").await.status, 200);
    assert!(simulator.record().wait_for("/token", refreshes + 1, LIMIT).await);
    let last = simulator.record().last("/token").unwrap();
    assert_eq!(last.form("refresh_token").as_deref(), Some(newest[1].as_str()));
    for token in [bob.refresh_token(), bob.refresh_token()] {
        add(&gateway, "codex", &json!([{"refresh_token": token}])).await;
        wait_all(&gateway, 2, "active").await;
    }
    served(&gateway, "codex", "NEWER").await;
    assert!(simulator.openai().reuses().is_empty());
}

#[tokio::test]
async fn one_google_login_with_two_projects_is_two_accounts_and_one_refresh() {
    let simulator = Simulator::start();
    let alice = simulator.google().account("alice").kind(Kind::ProjectRequired);
    alice.licensed_project("first").licensed_project("second");
    let gateway = gateway(&simulator, "").await;
    let token = alice.refresh_token();
    let entries = json!([
        {"refresh_token": token, "project_id": "first"},
        {"refresh_token": token, "project_id": "second"},
    ]);
    add(&gateway, "geminicli", &entries).await;
    let all = wait_all(&gateway, 2, "active").await;
    assert_eq!(simulator.google().tally().refreshes, 1);
    let subjects: Vec<&Value> = all.iter().map(|account| &account["subject"]).collect();
    assert_eq!(
        subjects,
        [&json!(format!("{}/first", alice.sub())), &json!(format!("{}/second", alice.sub()))]
    );
    add(&gateway, "geminicli", &entries).await;
    let all = wait_all(&gateway, 2, "active").await;
    // Asking to renew one brings the new token to both.
    assert_eq!(act(&gateway, id(&all[0]), "refresh").await.status, 200);
    assert!(simulator.record().wait_for("/token", 2, LIMIT).await);
    let renewed = |now: &[Value]| {
        now.iter().zip(&all).all(|(now, before)| now["revision"].as_i64() > before["revision"].as_i64())
    };
    wait_accounts(&gateway, renewed).await;
    assert_eq!(simulator.google().tally().refreshes, 2);
}

#[tokio::test]
async fn one_person_in_two_workspaces_is_two_accounts() {
    let simulator = Simulator::start();
    let gateway = gateway(&simulator, "").await;
    let openai = simulator.openai();
    openai.account("work").user("user-1").workspace("workspace-a");
    openai.account("home").user("user-1").workspace("workspace-b");
    openai.account("again").user("user-1").workspace("workspace-b");
    for label in ["work", "home", "again"] {
        add(&gateway, "codex", &json!([{"refresh_token": openai.account(label).refresh_token()}])).await;
    }
    wait_all(&gateway, 2, "active").await;
    assert!(openai.reuses().is_empty());
}

#[tokio::test]
async fn a_token_that_comes_many_times_in_one_request_is_spent_once() {
    let simulator = Simulator::start();
    let gateway = gateway(&simulator, "").await;
    let (google, openai) = (
        simulator.google().account("alice").refresh_token(),
        simulator.openai().account("bob").refresh_token(),
    );
    let same = |token: &str| json!([{"refresh_token": token}, {"refreshToken": token}, {"refresh_token": format!(" {token} ")}]);
    add(&gateway, "geminicli", &same(&google)).await;
    add(&gateway, "codex", &same(&openai)).await;
    wait_all(&gateway, 2, "active").await;
    // A spent token that comes back is known for what it is.
    add(&gateway, "codex", &same(&openai)).await;
    wait_all(&gateway, 2, "active").await;
    served(&gateway, "codex", "ONCE").await;
    assert_eq!((simulator.google().tally().refreshes, simulator.openai().tally().refreshes), (1, 1));
    assert!(simulator.openai().reuses().is_empty());
}

#[tokio::test]
async fn more_than_one_call_may_bring_is_refused_whole() {
    let simulator = Simulator::start();
    let gateway = gateway(&simulator, "[basic]\nbody_limit = \"1 MiB\"").await;
    let url = gateway.at("/geminicli/resource:add");
    let many = json!(vec![json!({"refresh_token": "x"}); 10_001]);
    let answer = post(&url, &gateway.auth(), &many).await;
    assert_eq!(answer.status, 400, "{}", answer.text());
    let huge = json!([{"refresh_token": "x".repeat(2 << 20)}]);
    let answer = post(&url, &gateway.auth(), &huge).await;
    assert_eq!(answer.status, 413, "{}", answer.text());
    assert!(accounts(&gateway).await.is_empty());
}
