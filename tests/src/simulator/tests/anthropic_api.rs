use super::*;
use crate::kit::{Decision, consent, form, get};
use crate::simulator::anthropic::{CLIENT_ID, CODE_PAGE, Refusal};

const VERIFIER: &str = "0123456789012345678901234567890123456789abcdef";
const VERSION: (&str, &str) = ("anthropic-version", "2023-06-01");

async fn token(simulator: &Simulator, body: &Value) -> Http {
    post(&format!("{}/v1/oauth/token", simulator.anthropic_url()), &[], body).await
}

fn refresh(token: &str) -> Value {
    json!({"client_id": CLIENT_ID, "grant_type": "refresh_token", "refresh_token": token})
}

async fn ask(simulator: &Simulator, headers: &[(&str, &str)], more: Value) -> Http {
    let mut body = json!({"model": "claude-opus-5-5", "max_tokens": 64, "messages": [{"role": "user", "content": "PING"}]});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    post(&format!("{}/v1/messages", simulator.anthropic_url()), headers, &body).await
}

#[tokio::test]
async fn a_code_is_shown_with_its_state_and_needs_both_the_state_and_the_verifier() {
    let simulator = Simulator::start();
    simulator.anthropic().account("ada");
    let challenge = challenge(VERIFIER);
    let fields = [
        ("code", "true"),
        ("client_id", CLIENT_ID),
        ("response_type", "code"),
        ("redirect_uri", CODE_PAGE),
        ("scope", "user:profile user:inference"),
        ("state", "the-state"),
        ("code_challenge", &challenge),
        ("code_challenge_method", "S256"),
    ];
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let authorize = format!("{}/cai/oauth/authorize?{query}", simulator.anthropic_url());
    for (state, verifier, status) in
        [("other", VERIFIER, 401), ("the-state", "wrong", 401), ("the-state", VERIFIER, 200)]
    {
        let shown = consent(&authorize, Decision::Allow("ada")).await.expect("consent");
        let page = get(&shown, &[]).await.text();
        let code = page.split("<pre id=\"code\">").nth(1).unwrap().split("#the-state</pre>").next().unwrap();
        let body = json!({"grant_type": "authorization_code", "code": code, "state": state, "client_id": CLIENT_ID,
            "redirect_uri": CODE_PAGE, "code_verifier": verifier});
        let answer = token(&simulator, &body).await;
        assert_eq!(answer.status, status, "{}", answer.text());
    }
    let scope = authorize.replace("user%3Ainference", "user%3Aeverything");
    assert!(consent(&scope, Decision::Allow("ada")).await.is_err());
}

#[tokio::test]
async fn a_refresh_token_is_replaced_and_its_return_is_noted() {
    let simulator = Simulator::start();
    let anthropic = simulator.anthropic();
    let first = anthropic.account("ada").refresh_token();
    let answer = token(&simulator, &refresh(&first)).await.json();
    let (access, second) =
        (answer["access_token"].as_str().unwrap(), answer["refresh_token"].as_str().unwrap());
    assert!(access.starts_with("sk-ant-oat01-") && second != first);
    assert!(anthropic.reuses().is_empty());
    let again = token(&simulator, &refresh(&first)).await;
    assert_eq!((again.status, &again.json()["error"]), (400, &json!("invalid_grant")));
    assert_eq!((anthropic.reuses().len(), anthropic.reuses()[0].account.as_str()), (1, "ada"));
    let mut wider = refresh(second);
    wider["scope"] = json!("user:inference user:mcp_servers");
    assert_eq!(token(&simulator, &wider).await.json()["error"], "invalid_scope");
    let url = format!("{}/v1/oauth/token", simulator.anthropic_url());
    let as_form = form(&url, &[], &[("client_id", CLIENT_ID), ("grant_type", "refresh_token")]).await;
    assert_eq!(as_form.status, 400, "it takes JSON alone");
}

#[tokio::test]
async fn keys_and_logins_go_into_headers_of_their_own() {
    let simulator = Simulator::start();
    let ada = simulator.anthropic().account("ada");
    let (key, access) = (ada.key(), ada.access_token());
    let (bearer_key, bearer) = (format!("Bearer {key}"), format!("Bearer {access}"));
    for (header, status) in [
        (("x-api-key", key.as_str()), 200),
        (("authorization", &bearer_key), 200),
        (("authorization", &bearer), 200),
        (("x-api-key", &access), 401),
        (("x-api-key", "wrong"), 401),
        (("x-none", ""), 401),
    ] {
        assert_eq!(ask(&simulator, &[VERSION, header], json!({})).await.status, status, "{header:?}");
    }
    assert_eq!(ask(&simulator, &[("x-api-key", &key)], json!({})).await.status, 400, "without a version");
    ada.only_claude_code();
    assert_eq!(ask(&simulator, &[VERSION, ("authorization", &bearer)], json!({})).await.status, 400);
    let agent = ("user-agent", "claude-cli/2.1.329");
    assert_eq!(ask(&simulator, &[VERSION, agent, ("authorization", &bearer)], json!({})).await.status, 200);
    simulator.anthropic().habits(|habits| habits.wants_beta = true);
    assert_eq!(ask(&simulator, &[VERSION, agent, ("authorization", &bearer)], json!({})).await.status, 401);
}

#[tokio::test]
async fn the_newer_version_takes_no_sampling_and_a_setup_token_reads_no_profile() {
    let simulator = Simulator::start();
    let ada = simulator.anthropic().account("ada");
    let key = ada.key();
    for (version, status) in [("2023-06-01", 200), ("2026-10-21", 400), ("1999-01-01", 400)] {
        let headers = [("anthropic-version", version), ("x-api-key", key.as_str())];
        assert_eq!(ask(&simulator, &headers, json!({"temperature": 1})).await.status, status, "{version}");
    }
    let setup = format!("Bearer {}", ada.setup_token());
    assert_eq!(ask(&simulator, &[VERSION, ("authorization", &setup)], json!({})).await.status, 200);
    let profile = format!("{}/api/oauth/profile", simulator.anthropic_url());
    assert_eq!(get(&profile, &[("authorization", &setup)]).await.status, 403);
}

#[tokio::test]
async fn streams_end_as_they_should_and_refusals_have_their_status() {
    let simulator = Simulator::start();
    let ada = simulator.anthropic().account("ada");
    let key = ada.key();
    let headers = [VERSION, ("x-api-key", key.as_str())];
    let stream = events(&ask(&simulator, &headers, json!({"stream": true})).await);
    let kinds: Vec<_> = stream.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!((kinds[0], kinds[kinds.len() - 1]), ("message_start", "message_stop"));
    for (refusal, status) in [
        (Refusal::Overloaded, 529),
        (Refusal::UsedUp(LIMIT), 429),
        (Refusal::Unpaid, 402),
        (Refusal::NotAllowed, 403),
        (Refusal::NoModel, 404),
    ] {
        ada.refuse(Some(refusal));
        let answer = ask(&simulator, &headers, json!({})).await;
        assert_eq!((answer.status, &answer.json()["type"]), (status, &json!("error")), "{}", answer.text());
    }
    ada.refuse(Some(Refusal::InBand("api_error".into(), "no".into())));
    let stream = events(&ask(&simulator, &headers, json!({"stream": true})).await);
    assert_eq!(stream.last().unwrap()["error"]["type"], "api_error");
}
