use super::*;
use crate::kit::{Decision, consent, form, get};
use crate::simulator::openai::CLIENT_ID;

const VERIFIER: &str = "0123456789012345678901234567890123456789abcdef";
const BACK: &str = "http://localhost:1455/auth/callback";

fn authorize(simulator: &Simulator, changes: &[(&str, &str)]) -> String {
    let challenge = challenge(VERIFIER);
    let mut fields = vec![
        ("client_id", CLIENT_ID),
        ("redirect_uri", BACK),
        ("response_type", "code"),
        ("scope", "openid profile email offline_access api.connectors.read api.connectors.invoke"),
        ("state", "the-state"),
        ("code_challenge", &challenge),
        ("code_challenge_method", "S256"),
        ("id_token_add_organizations", "true"),
        ("codex_cli_simplified_flow", "true"),
        ("originator", "pollux"),
    ];
    for (name, value) in changes {
        fields.retain(|(field, _)| field != name);
        if !value.is_empty() {
            fields.push((name, value));
        }
    }
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    format!("{}/oauth/authorize?{query}", simulator.openai_url())
}

async fn code(simulator: &Simulator) -> String {
    let location = consent(&authorize(simulator, &[]), Decision::Allow("bob")).await.expect("consent");
    let url = url::Url::parse(&location).unwrap();
    assert!(url.query_pairs().any(|(name, value)| name == "state" && value == "the-state"));
    url.query_pairs().find(|(name, _)| name == "code").unwrap().1.into_owned()
}

async fn exchange(simulator: &Simulator, code: &str, verifier: &str) -> Http {
    let fields = [
        ("client_id", CLIENT_ID),
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", BACK),
        ("code_verifier", verifier),
    ];
    form(&format!("{}/oauth/token", simulator.openai_url()), &[], &fields).await
}

async fn refresh(simulator: &Simulator, token: &str) -> Http {
    let body = json!({"client_id": CLIENT_ID, "grant_type": "refresh_token", "refresh_token": token});
    post(&format!("{}/oauth/token", simulator.openai_url()), &[], &body).await
}

#[tokio::test]
async fn a_login_ends_in_tokens_with_the_recorded_claims() {
    let simulator = Simulator::start();
    let bob = simulator.openai().account("bob").plan("pro").workspace("acc-7").user("user-7");
    let answer = exchange(&simulator, &code(&simulator).await, VERIFIER).await;
    assert_eq!(answer.status, 200);
    let tokens = answer.json();
    let id = claims(tokens["id_token"].as_str().unwrap()).unwrap();
    assert_eq!(id["email"], bob.email());
    let auth = &id["https://api.openai.com/auth"];
    assert_eq!((&auth["chatgpt_account_id"], &auth["chatgpt_plan_type"]), (&json!("acc-7"), &json!("pro")));
    assert_eq!(auth["chatgpt_user_id"], "user-7");
    let access = claims(tokens["access_token"].as_str().unwrap()).unwrap();
    assert!(access["exp"].as_u64().unwrap() > crate::simulator::token::now() + 800_000);
    assert_eq!(tokens["expires_in"], 864_000);
    assert_eq!(refresh(&simulator, tokens["refresh_token"].as_str().unwrap()).await.status, 200);
}

#[tokio::test]
async fn authorize_refuses_each_wrong_parameter() {
    let simulator = Simulator::start();
    for (name, value) in [
        ("client_id", "app_other"),
        ("redirect_uri", "http://localhost:8188/auth/callback"),
        ("redirect_uri", ""),
        ("response_type", "token"),
        ("scope", ""),
        ("scope", "profile"),
        ("scope", "openid admin"),
        ("code_challenge", ""),
        ("code_challenge_method", "plain"),
        ("state", ""),
    ] {
        assert_eq!(get(&authorize(&simulator, &[(name, value)]), &[]).await.status, 400, "{name}={value}");
    }
    assert_eq!(
        get(&authorize(&simulator, &[("redirect_uri", "http://localhost:1457/auth/callback")]), &[])
            .await
            .status,
        200
    );
    simulator.openai().allow_redirect("https://pollux.example/auth/callback");
    assert_eq!(
        get(&authorize(&simulator, &[("redirect_uri", "https://pollux.example/auth/callback")]), &[])
            .await
            .status,
        200
    );
    let denied = consent(&authorize(&simulator, &[]), Decision::Deny).await.expect("denial");
    assert!(denied.contains("error=access_denied") && denied.contains("state=the-state"));
}

#[tokio::test]
async fn a_code_works_once_with_its_verifier() {
    let simulator = Simulator::start();
    simulator.openai().account("bob");
    let first = code(&simulator).await;
    assert_eq!(exchange(&simulator, &first, VERIFIER).await.status, 200);
    assert_eq!(exchange(&simulator, &first, VERIFIER).await.json()["error"], "invalid_grant");
    let wrong =
        exchange(&simulator, &code(&simulator).await, "x23456789012345678901234567890123456789abcdef").await;
    assert_eq!(wrong.status, 400);
    let other = form(
        &format!("{}/oauth/token", simulator.openai_url()),
        &[],
        &[("client_id", "x"), ("grant_type", "refresh_token")],
    )
    .await;
    assert_eq!(other.status, 401);
}

#[tokio::test]
async fn a_refresh_token_works_once_and_its_return_is_recorded() {
    let simulator = Simulator::start();
    let bob = simulator.openai().account("bob");
    let first = bob.refresh_token();
    let answer = refresh(&simulator, &first).await;
    assert_eq!(answer.status, 200);
    let second = answer.json()["refresh_token"].as_str().unwrap().to_owned();
    assert_ne!(first, second);
    assert!(simulator.openai().reuses().is_empty());
    let reused = refresh(&simulator, &first).await;
    assert_eq!((reused.status, reused.json()["error"]["code"].clone()), (401, json!("refresh_token_reused")));
    assert_eq!(simulator.openai().reuses().len(), 1);
    assert_eq!(simulator.openai().reuses()[0].account, "bob");
    assert_eq!(bob.usable_refresh_tokens(), 1);
    let form_encoded =
        [("client_id", CLIENT_ID), ("grant_type", "refresh_token"), ("refresh_token", &*second)];
    let third = form(&format!("{}/oauth/token", simulator.openai_url()), &[], &form_encoded).await;
    assert_eq!(third.status, 200, "a form is taken too");
    assert_eq!(simulator.openai().tally(), openai::Tally { exchanges: 0, refreshes: 2, refusals: 1 });
    assert_eq!(
        simulator.record().all().iter().filter(|seen| seen.account.as_deref() == Some("bob")).count(),
        3
    );
}

#[tokio::test]
async fn parallel_refreshes_of_one_token_have_one_winner() {
    let simulator = Simulator::start();
    let token = simulator.openai().account("bob").refresh_token();
    let all = futures_util::future::join_all((0..8).map(|_| refresh(&simulator, &token))).await;
    assert_eq!(all.iter().filter(|answer| answer.status == 200).count(), 1);
    assert_eq!(simulator.openai().reuses().len(), 7);
}

#[tokio::test]
async fn a_refused_refresh_does_not_spend_the_token() {
    let simulator = Simulator::start();
    let bob = simulator
        .openai()
        .account("bob")
        .without_expires_in()
        .refuse_refresh(Some((401, "refresh_token_expired")));
    let token = bob.refresh_token();
    let refused = refresh(&simulator, &token).await;
    assert_eq!(
        (refused.status, refused.json()["error"]["code"].clone()),
        (401, json!("refresh_token_expired"))
    );
    bob.refuse_refresh(None);
    let answer = refresh(&simulator, &token).await;
    assert!(answer.status == 200 && answer.json()["expires_in"].is_null());
    bob.revoke();
    let revoked = refresh(&simulator, answer.json()["refresh_token"].as_str().unwrap()).await;
    assert_eq!(revoked.json()["error"]["code"], "refresh_token_invalidated");
    assert_eq!(refresh(&simulator, "rt_unknown").await.status, 401);
}
