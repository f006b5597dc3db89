//! What a gateway's owner does and sees, in one line each.

use pollux_tests::kit::{Answer, Gateway, get, post, send, wait_until};
use pollux_tests::simulator::Simulator;
use serde_json::{Value, json};
use std::cell::RefCell;
use std::time::Duration;

/// Long enough for a slow machine with many tests at once.
pub(super) const LIMIT: Duration = Duration::from_secs(30);

/// A gateway in front of a simulator, and some configuration over the usual one.
pub(super) async fn gateway(simulator: &Simulator, config: &str) -> Gateway {
    Gateway::builder().simulator(simulator).config(config).start().await.unwrap()
}

/// Brings entries by `resource:add`, which has to accept them.
pub(super) async fn add(gateway: &Gateway, provider: &str, entries: &Value) {
    let answer = post(&gateway.at(&format!("/{provider}/resource:add")), &gateway.auth(), entries).await;
    assert_eq!((answer.status, answer.text().as_str()), (202, "Success"));
}

fn admin(gateway: &Gateway) -> String {
    format!("Bearer {}", gateway.admin_key())
}

/// All accounts as the admin API shows them.
pub(super) async fn accounts(gateway: &Gateway) -> Vec<Value> {
    let answer = get(&gateway.at("/admin/accounts"), &[("authorization", &admin(gateway))]).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json().as_array().expect("a list").clone()
}

/// Does something to an account by the admin API.
pub(super) async fn act(gateway: &Gateway, id: i64, action: &str) -> Answer {
    let url = gateway.at(&format!("/admin/accounts/{id}/{action}"));
    send("POST", &url, &[("authorization", &admin(gateway))], "").await.unwrap()
}

/// Waits until the accounts satisfy a condition, and shows them where they do not.
pub(super) async fn wait_accounts(gateway: &Gateway, condition: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    let seen = RefCell::new(Vec::new());
    let ask = || async {
        let now = accounts(gateway).await;
        let satisfied = condition(&now);
        *seen.borrow_mut() = now;
        satisfied
    };
    let satisfied = wait_until(ask, LIMIT).await;
    let seen = seen.into_inner();
    assert!(satisfied, "the accounts stayed {:#}", json!(seen));
    seen
}

/// Waits until there are so many accounts, all in one state.
pub(super) async fn wait_all(gateway: &Gateway, count: usize, state: &str) -> Vec<Value> {
    wait_accounts(gateway, |all| all.len() == count && all.iter().all(|account| account["state"] == state))
        .await
}

/// The one account there is, once it is in this state.
pub(super) async fn wait_only(gateway: &Gateway, state: &str) -> Value {
    wait_all(gateway, 1, state).await.remove(0)
}

/// Brings one refresh token and waits until its account serves. The number is the account's id.
pub(super) async fn pooled(gateway: &Gateway, provider: &str, token: &str) -> i64 {
    let before = accounts(gateway).await.len();
    add(gateway, provider, &json!([{"refresh_token": token}])).await;
    let all = wait_all(gateway, before + 1, "active").await;
    id(all.last().expect("one was added"))
}

pub(super) fn id(account: &Value) -> i64 {
    account["id"].as_i64().expect("an account has an id")
}

/// Asks a model of either provider for a word.
pub(super) async fn ask(gateway: &Gateway, provider: &str, word: &str) -> Answer {
    let (path, body) = match provider {
        "geminicli" => (
            "/geminicli/v1beta/models/gemini-2.5-pro:generateContent",
            json!({"contents": [{"role": "user", "parts": [{"text": word}]}]}),
        ),
        _ => ("/codex/v1/responses", json!({"model": "gpt-5.2-codex", "input": word})),
    };
    post(&gateway.at(path), &gateway.auth(), &body).await
}

/// Asks, and the word has to come back.
pub(super) async fn served(gateway: &Gateway, provider: &str, word: &str) {
    let answer = ask(gateway, provider, word).await;
    assert!(answer.status == 200 && answer.text().contains(word), "{} {}", answer.status, answer.text());
}

/// What a command of the program printed and how it ended.
pub(super) async fn cli(gateway: &Gateway, args: &[&str]) -> (i32, String) {
    let output = gateway.command(args).await;
    let text = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&text).into_owned())
}
