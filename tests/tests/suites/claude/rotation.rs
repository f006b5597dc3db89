//! What each kind of failure does: to the request, and to the account.

use pollux_tests::kit::{Stage, messages, wait_until};
use pollux_tests::simulator::anthropic::Refusal;
use pollux_tests::simulator::{Fault, Injection};
use serde_json::{Value, json};

use super::{
    HOUR, LIMIT, MESSAGES, add_keys, ask, ask_as_claude_code, error, keys, logins, logins_with, said,
};

const QUICK: &str = "[pool]\nacquire_timeout = \"100ms\"";

/// Two accounts, of which ada refuses.
fn pair(stage: Stage, refusal: Refusal) -> Stage {
    stage.simulator.anthropic().account("ada").refuse(Some(refusal));
    stage
}

/// Asks until ada has been met; every answer must be good.
async fn meet(stage: &Stage) {
    for _ in 0..4 {
        assert_eq!(said(&stage.claude("PING").await), "PING");
        if times(stage, "ada") > 0 {
            return;
        }
    }
    panic!("ada was never asked: {:?}", stage.asked());
}

fn times(stage: &Stage, label: &str) -> usize {
    stage.asked().iter().filter(|asked| *asked == label).count()
}

fn code(account: &Value) -> (&str, &str) {
    (account["state"].as_str().unwrap_or_default(), account["reason"]["code"].as_str().unwrap_or_default())
}

fn haiku() -> Value {
    let mut body = messages("PING");
    body["model"] = json!("claude-haiku-5-5");
    body
}

#[tokio::test]
async fn a_login_that_is_used_up_rests_as_a_whole_until_its_reset() {
    let stage = pair(logins(&["ada", "ben"]).await, Refusal::UsedUp(HOUR));
    meet(&stage).await;
    for _ in 0..3 {
        assert_eq!(said(&stage.claude("PING").await), "PING");
        assert_eq!(said(&ask(&stage, &[], &haiku()).await), "PING");
    }
    assert_eq!(times(&stage, "ada"), 1, "{:?}", stage.asked());
    let account = stage.account("ada").await;
    assert_eq!((&account["state"], &account["cooling"][0]["model"]), (&json!("active"), &Value::Null));
    let until = account["cooling"][0]["until"].as_u64().unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    assert!((now + 3500..now + 3700).contains(&until), "{until} {now}");
}

#[tokio::test]
async fn a_throttle_rests_the_model_and_leaves_the_others_alone() {
    let stage = pair(keys(&["ada", "ben"]).await, Refusal::RateLimited(Some(600)));
    meet(&stage).await;
    assert_eq!(stage_cooling(&stage, "claude-opus-5-5").await, 1);
    stage.simulator.anthropic().account("ada").refuse(None);
    stage.simulator.anthropic().account("ben").refuse(Some(Refusal::RateLimited(Some(600))));
    assert_eq!(said(&ask(&stage, &[], &haiku()).await), "PING", "ada serves other models");
}

/// How many accounts rest for this model.
async fn stage_cooling(stage: &Stage, model: &str) -> usize {
    let all = super::super::owner::accounts(&stage.gateway).await;
    let rests = |account: &&Value| {
        account["cooling"].as_array().is_some_and(|rests| rests.iter().any(|rest| rest["model"] == model))
    };
    all.iter().filter(rests).count()
}

#[tokio::test]
async fn when_all_rest_clients_are_told_for_how_long_or_not_to_come_back() {
    let stage = logins_with(QUICK, &["ada"]).await;
    stage.simulator.anthropic().account("ada").refuse(Some(Refusal::RateLimited(Some(40))));
    for _ in 0..2 {
        let answer = stage.claude("PING").await;
        assert_eq!((error(&answer).0, error(&answer).1.as_str()), (429, "rate_limit_error"));
        let wait: u64 = answer.header("retry-after").unwrap().parse().unwrap();
        assert!((30..=41).contains(&wait), "{wait}");
    }
    assert_eq!(times(&stage, "ada"), 1, "the second one was not sent up");
    let stage = logins_with(QUICK, &["ada"]).await;
    stage.simulator.anthropic().account("ada").refuse(Some(Refusal::UsedUp(HOUR)));
    for _ in 0..2 {
        let answer = stage.claude("PING").await;
        assert_eq!((error(&answer).0, error(&answer).1.as_str()), (429, "rate_limit_error"));
        assert_eq!((answer.header("retry-after"), answer.header("x-should-retry")), (None, Some("false")));
    }
    assert_eq!(times(&stage, "ada"), 1);
}

#[tokio::test]
async fn an_overloaded_vendor_is_asked_again_and_no_account_pays_for_it() {
    for refusal in [Refusal::Overloaded, Refusal::ServerError, Refusal::Timeout] {
        let stage = keys(&["ada", "ben"]).await;
        stage.simulator.inject(Injection::new(Fault::Answer(refusal.reply(""))).path(MESSAGES));
        assert_eq!(said(&stage.claude("PING").await), "PING");
        let asked = stage.asked();
        assert!(asked.len() == 2 && asked[0] != asked[1], "{asked:?}");
        for account in super::super::owner::accounts(&stage.gateway).await {
            assert_eq!((&account["state"], &account["cooling"]), (&json!("active"), &json!([])));
        }
    }
}

#[tokio::test]
async fn an_overload_that_lasts_is_told_in_the_vendors_words() {
    let stage = keys(&["ada"]).await;
    stage.simulator.anthropic().account("ada").refuse(Some(Refusal::Overloaded));
    let answer = stage.claude("PING").await;
    assert_eq!(error(&answer), (529, "overloaded_error".into(), "Overloaded".into()));
    assert_eq!(times(&stage, "ada"), 4, "once, and three more times");
}

#[tokio::test]
async fn an_error_before_the_first_word_moves_and_nobody_sees_it() {
    for kind in ["overloaded_error", "api_error"] {
        let stage = keys(&["ada", "ben"]).await;
        let fault = Fault::ErrorAfter(2, json!({"type": kind, "message": "no"}));
        stage.simulator.inject(Injection::new(fault).path(MESSAGES));
        let events = stage.claude_stream("PING").await.rest(LIMIT).await;
        let names: Vec<_> = events.iter().filter_map(|event| event.name.as_deref()).collect();
        assert_eq!(names.iter().filter(|name| **name == "message_start").count(), 1, "{names:?}");
        assert_eq!((names.last(), names.contains(&"error")), (Some(&"message_stop"), false));
        let asked = stage.asked();
        assert!(asked.len() == 2 && asked[0] != asked[1], "{asked:?}");
    }
}

#[tokio::test]
async fn an_error_after_the_first_word_is_the_end_in_the_vendors_words() {
    let stage = keys(&["ada", "ben"]).await;
    let told = json!({"type": "overloaded_error", "message": "too many"});
    stage.simulator.inject(Injection::new(Fault::ErrorAfter(4, told.clone())).path(MESSAGES));
    let events = stage.claude_stream("one two three").await.rest(LIMIT).await;
    let last = events.last().unwrap();
    assert_eq!((last.name.as_deref(), &last.json()["error"]), (Some("error"), &told));
    assert_eq!(stage.asked().len(), 1);
}

#[tokio::test]
async fn a_login_that_serves_claude_code_alone_leaves_other_clients_to_the_keys() {
    let stage = logins(&["ada"]).await;
    stage.simulator.anthropic().account("ada").only_claude_code();
    add_keys(&stage, &["ben"]).await;
    for _ in 0..4 {
        assert_eq!(said(&stage.claude("PING").await), "PING");
    }
    assert!(times(&stage, "ada") > 0 && times(&stage, "ben") == 4, "{:?}", stage.asked());
    let account = stage.account("ada").await;
    assert_eq!((&account["state"], &account["cooling"]), (&json!("active"), &json!([])));
    stage.simulator.anthropic().account("ben").refuse(Some(Refusal::RateLimited(Some(600))));
    for _ in 0..2 {
        assert_eq!(said(&ask_as_claude_code(&stage, "PING").await), "PING");
    }
    let answer = stage.claude("PING").await;
    assert_eq!(answer.status, 429, "a key would serve, only not now: {}", answer.text());
}

#[tokio::test]
async fn where_nobody_serves_a_client_it_is_told_why() {
    for (refusal, status, words) in [
        (Refusal::OnlyClaudeCode, 400, "only authorized for use with Claude Code"),
        (Refusal::ThirdParty, 400, "Third-party apps now draw from your extra usage"),
        (Refusal::NotAllowed, 403, "currently not allowed for this organization"),
        (Refusal::NotSupported, 403, "currently not supported"),
    ] {
        let stage = pair(logins(&["ada"]).await, refusal);
        let answer = stage.claude("PING").await;
        let (given, _, message) = error(&answer);
        assert_eq!(given, status, "{message}");
        assert!(message.contains(words), "{message}");
        assert_eq!((times(&stage, "ada"), &stage.account("ada").await["state"]), (1, &json!("active")));
    }
}

#[tokio::test]
async fn a_login_that_refuses_even_claude_code_is_not_usable_here() {
    let stage = pair(logins(&["ada", "ben"]).await, Refusal::OnlyClaudeCode);
    for _ in 0..4 {
        assert_eq!(said(&ask_as_claude_code(&stage, "PING").await), "PING");
    }
    let account = stage.account_when("ada", |account| account["state"] == "suspended").await;
    assert_eq!(code(&account), ("suspended", "not_usable_here"));
    assert!(account["reason"]["text"].as_str().unwrap().contains("only authorized for use with Claude Code"));
    assert_eq!(times(&stage, "ada"), 1);
}

#[tokio::test]
async fn accounts_that_the_vendor_has_closed_are_out_with_a_reason() {
    for (refusal, expected) in
        [(Refusal::OrganizationDisabled, "organization_disabled"), (Refusal::Unpaid, "payment_required")]
    {
        let stage = pair(logins(&["ada", "ben"]).await, refusal);
        meet(&stage).await;
        let account = stage.account_when("ada", |account| account["state"] == "suspended").await;
        assert_eq!(code(&account), ("suspended", expected));
    }
    let stage = keys(&["ada", "ben"]).await;
    stage.simulator.anthropic().account("ada").delete_keys();
    let out = || async {
        let _ = stage.claude("PING").await;
        let all = super::super::owner::accounts(&stage.gateway).await;
        all.iter().any(|account| code(account) == ("suspended", "invalid_api_key"))
    };
    assert!(wait_until(out, LIMIT).await);
}

#[tokio::test]
async fn a_model_that_one_account_lacks_is_asked_of_the_other() {
    let stage = keys(&["ada", "ben"]).await;
    stage.simulator.anthropic().account("ada").models(&["claude-haiku-5-5"]);
    meet(&stage).await;
    for _ in 0..3 {
        assert_eq!(said(&stage.claude("PING").await), "PING");
    }
    assert_eq!(times(&stage, "ada"), 1, "it is known now");
    stage.simulator.anthropic().account("ben").models(&["claude-haiku-5-5"]);
    let (status, kind, message) = error(&stage.claude("PING").await);
    assert_eq!((status, kind.as_str(), message.as_str()), (404, "not_found_error", "model: claude-opus-5-5"));
}

#[tokio::test]
async fn an_empty_pool_is_told_in_anthropics_shape() {
    let stage = keys(&[]).await;
    let (status, kind, _) = error(&stage.claude("PING").await);
    assert_eq!((status, kind.as_str()), (503, "api_error"));
}
