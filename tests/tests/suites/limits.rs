//! What owners say of single accounts: name, priority, weight, requests at once, proxy.

use super::owner::{LIMIT, accounts, add, gateway, pooled, served, wait_accounts, wait_all};
use pollux_tests::kit::{Gateway, Socks, Stage, post, send, wait_until};
use pollux_tests::simulator::Simulator;
use serde_json::{Value, json};
use std::collections::BTreeMap;

async fn amend(gateway: &Gateway, id: i64, change: &Value) -> (u16, Value) {
    let key = format!("Bearer {}", gateway.admin_key());
    let url = gateway.at(&format!("/admin/accounts/{id}"));
    let answer = send("PATCH", &url, &[("authorization", &key)], change.to_string()).await.unwrap();
    (answer.status, answer.json())
}

fn port(url: &str) -> u16 {
    url.rsplit(':').next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn an_account_with_its_own_proxy_uses_it_for_requests_refreshes_and_surveys() {
    let simulator = Simulator::start();
    let socks = Socks::start().await.unwrap();
    let gateway = gateway(&simulator, "").await;
    let token = simulator.openai().account("bob").refresh_token();
    let proxy = socks.url("of-bob");
    add(&gateway, "codex", &json!([{"refresh_token": token, "proxy": proxy}])).await;
    let account = wait_all(&gateway, 1, "active").await.remove(0);
    assert_eq!(account["proxy"], proxy.replace("of-bob:proxy-password@", ""), "no password is told");
    let vendor = port(&simulator.openai_url());
    assert!(socks.seen().contains(&("of-bob".into(), vendor)), "the first refresh: {:?}", socks.seen());
    let surveyed = || async { simulator.record().count("/wham/usage") > 0 };
    assert!(wait_until(surveyed, LIMIT).await);
    served(&gateway, "codex", "THROUGH").await;

    // Whatever it needs of its vendor goes that way: a dead proxy leaves it alone with its requests.
    drop(socks);
    let answer = super::owner::ask(&gateway, "codex", "DEAD-PROXY").await;
    assert_eq!(answer.status, 502, "{}", answer.text());
    assert!(answer.text().contains("could not be reached"), "{}", answer.text());
    let (status, told) = amend(&gateway, account["id"].as_i64().unwrap(), &json!({"proxy": null})).await;
    assert_eq!((status, &told["proxy"]), (200, &Value::Null));
    served(&gateway, "codex", "STRAIGHT").await;
    assert!(!gateway.log().contains("proxy-password"), "{}", gateway.log().text());
}

#[tokio::test]
async fn accounts_of_one_pool_go_by_different_proxies() {
    let simulator = Simulator::start();
    let socks = Socks::start().await.unwrap();
    let gateway = gateway(&simulator, "[pool]\nstrategy = \"round_robin\"").await;
    for label in ["ann", "bob"] {
        let id = pooled(&gateway, "codex", &simulator.openai().account(label).refresh_token()).await;
        assert_eq!(amend(&gateway, id, &json!({"proxy": socks.url(label)})).await.0, 200);
    }
    for _ in 0..4 {
        served(&gateway, "codex", "EACH-ITS-OWN").await;
    }
    let users: Vec<String> = socks.seen().into_iter().map(|(user, _)| user).collect();
    assert!(["ann", "bob"].iter().all(|label| users.iter().any(|user| user == label)), "{users:?}");
}

#[tokio::test]
async fn turns_go_by_weight() {
    for strategy in ["balanced", "round_robin"] {
        let config = format!("[pool]\nstrategy = \"{strategy}\"");
        let stage = Stage::start(&config, &[], &["ann", "bob"]).await;
        // Equal readings, so that quota decides nothing.
        let read = || async {
            let (ann, bob) = (stage.account("ann").await, stage.account("bob").await);
            [ann, bob].iter().all(|one| one["quota"].as_array().is_some_and(|quota| !quota.is_empty()))
        };
        assert!(wait_until(read, LIMIT).await);
        stage.amend("ann", &json!({"weight": 3})).await;
        for _ in 0..8 {
            let body = json!({"model": "gpt-5.2-codex", "input": "x"});
            let answer = post(&stage.gateway.at("/codex/v1/responses"), &stage.gateway.auth(), &body).await;
            assert_eq!(answer.status, 200, "{}", answer.text());
        }
        let mut turns: BTreeMap<String, usize> = BTreeMap::new();
        for label in stage.asked() {
            *turns.entry(label).or_default() += 1;
        }
        assert_eq!(turns, [("ann".to_owned(), 6), ("bob".to_owned(), 2)].into(), "{strategy}");
    }
}

#[tokio::test]
async fn limits_come_with_an_entry_and_a_mistake_stores_nothing() {
    let simulator = Simulator::start();
    let gateway = gateway(&simulator, "").await;
    let token = simulator.google().account("alice").refresh_token();
    for (wrong, key) in [
        (json!({"weight": 0}), "weight"),
        (json!({"priority": "first"}), "priority"),
        (json!({"max_concurrency": -1}), "max_concurrency"),
        (json!({"proxy": "gopher://user:hush@p"}), "proxy"),
    ] {
        let mut entry = wrong.clone();
        entry["refresh_token"] = json!(token);
        let added = json!([{"refresh_token": "1//other"}, entry]);
        let answer = post(&gateway.at("/geminicli/resource:add"), &gateway.auth(), &added).await;
        let text = answer.text();
        assert_eq!(answer.status, 400, "{text}");
        assert!(text.contains("entry 1") && text.contains(key) && !text.contains("hush"), "{text}");
    }
    assert!(accounts(&gateway).await.is_empty());
    let entry = json!([{"refresh_token": token, "priority": 4, "weight": 2, "max_concurrency": 3}]);
    add(&gateway, "geminicli", &entry).await;
    let account = wait_all(&gateway, 1, "active").await.remove(0);
    let said = ["priority", "weight", "max_concurrency"].map(|key| account[key].clone());
    assert_eq!(said, [4, 2, 3].map(Value::from));
    // The same again, with another word on it.
    add(&gateway, "geminicli", &json!([{"refresh_token": token, "weight": 7}])).await;
    wait_accounts(&gateway, |all| all.len() == 1 && all[0]["weight"] == 7 && all[0]["priority"] == 4).await;
}

#[tokio::test]
async fn an_owners_name_for_an_account_stays_and_all_limits_survive_a_restart() {
    let simulator = Simulator::start();
    let mut gateway = gateway(&simulator, "").await;
    let alice = simulator.google().account("alice");
    let id = pooled(&gateway, "geminicli", &alice.refresh_token()).await;
    let change = json!({"label": "my own", "priority": 2, "weight": 5, "max_concurrency": 6,
        "proxy": "http://user:hush@127.0.0.1:9"});
    let (status, told) = amend(&gateway, id, &change).await;
    assert_eq!(
        (status, &told["label"], &told["proxy"]),
        (200, &json!("my own"), &json!("http://127.0.0.1:9"))
    );
    gateway.restart().await.unwrap();
    let after = accounts(&gateway).await.remove(0);
    for key in ["label", "priority", "weight", "max_concurrency", "proxy"] {
        assert_eq!(after[key], told[key], "{key}");
    }
    assert_eq!(amend(&gateway, id, &json!({"proxy": null})).await.0, 200);
    add(&gateway, "geminicli", &json!([{"refresh_token": alice.refresh_token()}])).await;
    assert!(gateway.log().wait_for("account=my own", LIMIT).await, "{}", gateway.log().text());
    wait_accounts(&gateway, |all| all.len() == 1 && all[0]["label"] == "my own").await;
    assert!(!gateway.log().contains("hush"));
}

#[tokio::test]
async fn a_change_that_cannot_be_names_its_field_and_changes_nothing() {
    let simulator = Simulator::start();
    let gateway = gateway(&simulator, "").await;
    let id = pooled(&gateway, "codex", &simulator.openai().account("bob").refresh_token()).await;
    let before = accounts(&gateway).await;
    for (change, param) in [
        (json!({"weight": 101, "priority": 3}), json!("weight")),
        (json!({"max_concurrency": 0}), json!("max_concurrency")),
        (json!({"proxy": "p:1"}), json!("proxy")),
        (json!({"label": ""}), json!("label")),
        (json!({"extra": []}), json!("extra")),
        (json!({"state": "paused"}), json!("state")),
        (json!([]), Value::Null),
    ] {
        let (status, told) = amend(&gateway, id, &change).await;
        assert_eq!((status, &told["error"]["param"]), (400, &param), "{change}: {told}");
    }
    assert_eq!(accounts(&gateway).await[0]["revision"], before[0]["revision"]);
}
