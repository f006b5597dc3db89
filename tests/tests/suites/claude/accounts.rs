//! How accounts come in, and how their tokens stay fresh.

use futures_util::future::join_all;
use pollux_tests::kit::{Stage, post, wait_until};
use pollux_tests::simulator::anthropic::Refusal;
use serde_json::{Value, json};

use super::super::owner::{accounts, add, wait_accounts, wait_all};
use super::{LIMIT, MESSAGES, keys, logins, said};

fn reason(account: &Value) -> (&str, &str) {
    (account["state"].as_str().unwrap_or_default(), account["reason"]["code"].as_str().unwrap_or_default())
}

#[tokio::test]
async fn every_kind_of_entry_becomes_an_account_and_goes_upstream_in_its_own_way() {
    let stage = Stage::start("", &[], &[]).await;
    let account = |label| stage.simulator.anthropic().account(label);
    let entries = [
        ("ada", json!({"api_key": account("ada").key()}), "x-api-key"),
        ("ben", json!({"env": {"ANTHROPIC_API_KEY": account("ben").key()}}), "x-api-key"),
        ("cleo", json!({"refresh_token": account("cleo").refresh_token()}), "authorization"),
        ("dan", account("dan").credentials_file(), "authorization"),
        ("eve", json!({"claudeAiOauth": {"accessToken": account("eve").setup_token()}}), "authorization"),
        ("fay", json!({"api_key": account("fay").setup_token()}), "authorization"),
    ];
    stage.join("claude", &entries.clone().map(|(_, entry, _)| entry)).await;
    for _ in 0..entries.len() {
        assert_eq!(said(&stage.claude("hello").await), "hello");
    }
    let asked = stage.simulator.record().on(MESSAGES);
    for (label, _, header) in entries {
        let one = asked.iter().find(|one| one.account.as_deref() == Some(label));
        let one = one.unwrap_or_else(|| panic!("{label} was never asked"));
        let other = if header == "x-api-key" { "authorization" } else { "x-api-key" };
        assert!(one.header(header).is_some() && one.header(other).is_none(), "{label}: {:?}", one.headers);
        let betas = one.header("anthropic-beta");
        assert_eq!(betas, (header == "authorization").then_some("oauth-2025-04-20"), "{label}");
    }
    assert_eq!(stage.simulator.anthropic().tally().refreshes, 1, "only cleo's login had no access token");
}

#[tokio::test]
async fn owners_recognise_logins_by_address_and_keys_by_their_end() {
    let stage = keys(&["ada"]).await;
    let ben = stage.simulator.anthropic().account("ben").plan("claude_pro").used(0.42, 0.1);
    let setup = stage.simulator.anthropic().account("cleo").setup_token();
    stage.join("claude", &[json!({"refresh_token": ben.refresh_token()}), json!({"api_key": setup})]).await;
    let told = wait_accounts(&stage.gateway, |all| {
        all.iter().any(|one| one["quota"].as_array().is_some_and(|windows| windows.len() == 3))
    })
    .await;
    let label = |place: usize| told[place]["label"].as_str().unwrap_or_default();
    assert!(label(0).starts_with("API key ..."), "{told:#?}");
    assert_eq!(label(1), "ben@example.com");
    assert!(label(2).starts_with("login ..."), "{told:#?}");
    let windows = told[1]["quota"].as_array().unwrap();
    assert!(windows.iter().any(|window| window["used"] == 0.42), "{windows:?}");
    let shown = json!(told).to_string();
    assert!(!shown.contains("sk-ant-"), "a token is shown: {shown}");
}

#[tokio::test]
async fn an_entry_without_a_credential_is_refused_by_its_number_and_nothing_is_stored() {
    let stage = keys(&[]).await;
    let right = json!({"api_key": stage.simulator.anthropic().account("ada").key()});
    for wrong in [json!({"api_key": " "}), json!({"tokens": {"refresh_token": "rt_1"}}), json!({"key": "k"})]
    {
        let url = stage.gateway.at("/claude/resource:add");
        let answer = post(&url, &stage.gateway.auth(), &json!([right, wrong])).await;
        let (status, kind, message) = super::error(&answer);
        assert_eq!((status, kind.as_str()), (400, "invalid_request_error"));
        assert!(message.contains("entry 1") && message.contains("`api_key`"), "{message}");
    }
    assert_eq!(accounts(&stage.gateway).await.len(), 0);
}

#[tokio::test]
async fn a_wrong_key_is_out_before_anybody_meets_it() {
    let stage = keys(&["ada"]).await;
    add(&stage.gateway, "claude", &json!([{"api_key": "sk-ant-api03-wrong"}])).await;
    let all = wait_accounts(&stage.gateway, |all| all.len() == 2 && all[1]["state"] == "suspended").await;
    assert_eq!(reason(&all[1]), ("suspended", "invalid_api_key"));
    for _ in 0..3 {
        assert_eq!(said(&stage.claude("hello").await), "hello");
    }
}

#[tokio::test]
async fn an_account_that_comes_again_stays_one() {
    let stage = keys(&[]).await;
    let ada = stage.simulator.anthropic().account("ada");
    let key = ada.key();
    for _ in 0..2 {
        add(&stage.gateway, "claude", &json!([{"api_key": key}])).await;
        add(&stage.gateway, "claude", &json!([{"refresh_token": ada.refresh_token()}])).await;
        add(&stage.gateway, "claude", &json!([ada.credentials_file()])).await;
        let all = wait_all(&stage.gateway, 2, "active").await;
        assert_eq!(all.iter().filter(|one| one["label"] == "ada@example.com").count(), 1, "{all:#?}");
    }
    assert!(stage.simulator.anthropic().reuses().is_empty());
}

#[tokio::test]
async fn many_requests_with_one_ended_token_cause_one_refresh() {
    let stage = logins(&["ada"]).await;
    let anthropic = stage.simulator.anthropic();
    let before = anthropic.tally().refreshes;
    anthropic.account("ada").expire_access_tokens();
    let answers = join_all((0..12).map(|_| stage.claude("hello"))).await;
    for answer in &answers {
        assert_eq!(said(answer), "hello");
    }
    assert_eq!(anthropic.tally().refreshes, before + 1);
    assert!(anthropic.reuses().is_empty());
    let sent = stage.simulator.record().last("/oauth/token").unwrap().json();
    assert_eq!(sent["grant_type"], "refresh_token");
    assert_eq!(sent["scope"], "user:profile user:inference", "what was granted, and no more");
}

#[tokio::test]
async fn a_refresh_token_that_is_not_replaced_serves_again() {
    let stage = Stage::start("", &[], &[]).await;
    let anthropic = stage.simulator.anthropic();
    anthropic.habits(|habits| habits.rotates = false);
    stage.join("claude", &[json!({"refresh_token": anthropic.account("ada").refresh_token()})]).await;
    for round in 2..4 {
        anthropic.account("ada").expire_access_tokens();
        assert_eq!(said(&stage.claude("hello").await), "hello");
        assert_eq!(anthropic.tally().refreshes, round);
    }
}

#[tokio::test]
async fn a_busy_token_endpoint_costs_no_account() {
    let stage = logins(&["ada"]).await;
    let ada = stage.simulator.anthropic().account("ada");
    let busy =
        json!({"error": {"type": "rate_limit_error", "message": "Rate limited. Please try again later."}});
    ada.refuse_refresh(Some((429, busy)));
    ada.expire_access_tokens();
    assert_ne!(stage.claude("hello").await.status, 200);
    assert_eq!(stage.account("ada").await["state"], "active");
    ada.refuse_refresh(None);
    let served = || async { stage.claude("hello").await.status == 200 };
    assert!(wait_until(served, LIMIT).await, "{}", stage.account("ada").await);
}

#[tokio::test]
async fn a_login_that_is_over_is_out_with_its_reason() {
    let stage = logins(&["ada"]).await;
    stage.simulator.anthropic().account("ada").revoke();
    assert_ne!(stage.claude("hello").await.status, 200);
    let account = stage.account_when("ada", |account| account["state"] == "suspended").await;
    assert_eq!(reason(&account), ("suspended", "invalid_grant"));
}

#[tokio::test]
async fn trouble_with_the_usage_page_is_no_trouble_of_the_account() {
    let stage = Stage::start("", &[], &[]).await;
    let ada = stage.simulator.anthropic().account("ada").refuse_usage(Some(Refusal::RateLimited(None)));
    stage.join("claude", &[json!({"refresh_token": ada.refresh_token()})]).await;
    assert!(stage.simulator.record().wait_for("/api/oauth/usage", 1, LIMIT).await);
    assert_eq!(said(&stage.claude("hello").await), "hello");
    assert_eq!(stage.account("ada").await["state"], "active");
    assert_eq!(stage.simulator.record().count("/api/oauth/usage"), 1, "it is not asked again at once");
}
