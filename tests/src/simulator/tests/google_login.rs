use super::*;
use crate::kit::{Decision, consent, form, get};
use crate::simulator::google::SCOPES;

const VERIFIER: &str = "0123456789012345678901234567890123456789abcdef";
const BACK: &str = "http://localhost:8188/oauth2callback";

fn authorize(simulator: &Simulator, changes: &[(&str, &str)]) -> String {
    let (scope, challenge, client) = (SCOPES.join(" "), challenge(VERIFIER), simulator.google().client().0);
    let mut fields = vec![
        ("client_id", client.as_str()),
        ("redirect_uri", BACK),
        ("response_type", "code"),
        ("scope", &scope),
        ("access_type", "offline"),
        ("prompt", "consent"),
        ("state", "st&te"),
        ("code_challenge", &challenge),
        ("code_challenge_method", "S256"),
    ];
    for (name, value) in changes {
        fields.retain(|(field, _)| field != name);
        if !value.is_empty() {
            fields.push((name, value));
        }
    }
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    format!("{}/o/oauth2/v2/auth?{query}", simulator.google_url())
}

fn parameter(location: &str, name: &str) -> Option<String> {
    let url = url::Url::parse(location).expect("the location is a URL");
    url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

async fn exchange(simulator: &Simulator, code: &str, changes: &[(&str, &str)]) -> Http {
    let (id, secret) = simulator.google().client();
    let mut fields = vec![
        ("client_id", id.as_str()),
        ("client_secret", &secret),
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", BACK),
        ("code_verifier", VERIFIER),
    ];
    for (name, value) in changes {
        fields.retain(|(field, _)| field != name);
        fields.push((name, value));
    }
    form(&format!("{}/token", simulator.google_url()), &[], &fields).await
}

async fn refresh(simulator: &Simulator, token: &str) -> Http {
    let (id, secret) = simulator.google().client();
    let fields = [
        ("client_id", id.as_str()),
        ("client_secret", &secret),
        ("grant_type", "refresh_token"),
        ("refresh_token", token),
    ];
    form(&format!("{}/token", simulator.google_url()), &[], &fields).await
}

async fn code(simulator: &Simulator, changes: &[(&str, &str)]) -> String {
    let location = consent(&authorize(simulator, changes), Decision::Allow("alice")).await;
    parameter(&location.expect("consent is given"), "code").expect("there is a code")
}

#[tokio::test]
async fn a_login_ends_in_tokens_that_work() {
    let simulator = Simulator::start();
    let alice = simulator.google().account("alice");
    let location = consent(&authorize(&simulator, &[]), Decision::Allow("alice")).await.expect("consent");
    assert!(location.starts_with(BACK));
    assert_eq!(parameter(&location, "state").as_deref(), Some("st&te"));
    let answer = exchange(&simulator, &parameter(&location, "code").unwrap(), &[]).await;
    assert_eq!(answer.status, 200);
    let tokens = answer.json();
    assert_eq!(tokens["expires_in"], 3599);
    assert_eq!(claims(tokens["id_token"].as_str().unwrap()).unwrap()["sub"], alice.sub());
    assert!(tokens["refresh_token"].as_str().unwrap().starts_with("1//"));

    let bearer = format!("Bearer {}", tokens["access_token"].as_str().unwrap());
    let url = simulator.google_url();
    let user = get(&format!("{url}/oauth2/v2/userinfo"), &[("authorization", &bearer)]).await;
    assert_eq!(user.json()["email"], "alice@example.com");
    let info = post(&format!("{url}/tokeninfo"), &[("authorization", &bearer)], &json!({})).await;
    assert_eq!(info.json()["scope"], SCOPES.join(" "));
    assert!(info.json()["exp"].is_string());
    let bad = post(&format!("{url}/tokeninfo"), &[("authorization", "Bearer x")], &json!({})).await;
    assert_eq!((bad.status, bad.json()["error"].clone()), (400, json!("invalid_token")));
    assert_eq!(get(&format!("{url}/oauth2/v2/userinfo"), &[]).await.status, 401);
}

#[tokio::test]
async fn authorize_refuses_each_wrong_parameter() {
    let simulator = Simulator::start();
    simulator.google().account("alice");
    for (name, value, status) in [
        ("client_id", "someone", 401),
        ("client_id", "", 400),
        ("redirect_uri", "https://evil.example/oauth2callback", 400),
        ("redirect_uri", "", 400),
        ("response_type", "token", 400),
        ("scope", "", 400),
        ("scope", "everything", 400),
        ("access_type", "forever", 400),
        ("code_challenge_method", "plain", 400),
        ("code_challenge_method", "", 400),
        ("code_challenge", "short", 400),
        ("code_challenge", "", 400),
    ] {
        let page = get(&authorize(&simulator, &[(name, value)]), &[]).await;
        assert_eq!(page.status, status, "{name}={value}");
    }
    assert_eq!(get(&authorize(&simulator, &[]), &[]).await.status, 200);
}

#[tokio::test]
async fn a_denial_goes_back_with_error_and_state() {
    let simulator = Simulator::start();
    let location = consent(&authorize(&simulator, &[]), Decision::Deny).await.expect("denial");
    assert_eq!(parameter(&location, "error").as_deref(), Some("access_denied"));
    assert_eq!(parameter(&location, "state").as_deref(), Some("st&te"));
    assert_eq!(parameter(&location, "code"), None);
}

#[tokio::test]
async fn a_code_works_once_and_only_for_who_asked() {
    let simulator = Simulator::start();
    simulator.google().account("alice");
    let good = code(&simulator, &[]).await;
    assert_eq!(exchange(&simulator, &good, &[]).await.status, 200);
    let again = exchange(&simulator, &good, &[]).await;
    assert_eq!((again.status, again.json()["error"].clone()), (400, json!("invalid_grant")));
    for (name, value, status, error) in [
        ("code_verifier", "9123456789012345678901234567890123456789abcdef", 400, "invalid_grant"),
        ("code_verifier", "", 400, "invalid_grant"),
        ("redirect_uri", "http://localhost:1/oauth2callback", 400, "invalid_grant"),
        ("client_id", "someone", 401, "invalid_client"),
        ("client_secret", "wrong", 401, "invalid_client"),
        ("grant_type", "password", 400, "unsupported_grant_type"),
    ] {
        let code = code(&simulator, &[]).await;
        let answer = exchange(&simulator, &code, &[(name, value)]).await;
        assert_eq!((answer.status, answer.json()["error"].clone()), (status, json!(error)), "{name}={value}");
    }
    assert_eq!(simulator.google().tally().exchanges, 1);
}

#[tokio::test]
async fn the_token_endpoint_takes_forms_only() {
    let simulator = Simulator::start();
    let (id, secret) = simulator.google().client();
    let token = simulator.google().account("alice").refresh_token();
    let body = json!({"client_id": id, "client_secret": secret, "grant_type": "refresh_token", "refresh_token": token});
    assert_eq!(post(&format!("{}/token", simulator.google_url()), &[], &body).await.status, 400);
}

#[tokio::test]
async fn a_second_consent_without_prompt_gives_no_refresh_token() {
    let simulator = Simulator::start();
    simulator.google().account("alice");
    let mut given = Vec::new();
    for prompt in ["", "", "consent"] {
        let code = code(&simulator, &[("prompt", prompt)]).await;
        given.push(exchange(&simulator, &code, &[]).await.json()["refresh_token"].is_string());
    }
    let online = code(&simulator, &[("access_type", "online")]).await;
    given.push(exchange(&simulator, &online, &[]).await.json()["refresh_token"].is_string());
    assert_eq!(given, [true, false, true, false]);
}

#[tokio::test]
async fn a_refresh_keeps_its_token_until_it_is_revoked() {
    let simulator = Simulator::start();
    let alice = simulator.google().account("alice");
    let token = alice.refresh_token();
    for _ in 0..2 {
        let answer = refresh(&simulator, &token).await;
        assert_eq!(answer.status, 200);
        assert!(answer.json()["refresh_token"].is_null());
        assert!(answer.json()["id_token"].is_string());
    }
    alice.without_id_token_on_refresh();
    assert!(refresh(&simulator, &token).await.json()["id_token"].is_null());
    alice.revoke();
    let revoked = refresh(&simulator, &token).await;
    assert_eq!(revoked.status, 400);
    assert_eq!(
        revoked.json(),
        json!({"error": "invalid_grant", "error_description": "Token has been expired or revoked."})
    );
    assert_eq!(refresh(&simulator, "1//unknown").await.json()["error_description"], "Bad Request");
    assert_eq!(simulator.record().last("/token").unwrap().account, None);
    assert_eq!(simulator.google().tally().refreshes, 3);
    assert_eq!(simulator.google().tally().refusals, 2);
}

#[tokio::test]
async fn access_tokens_end_with_their_lifetime() {
    let simulator = Simulator::start();
    let alice = simulator.google().account("alice").token_lifetime(Duration::from_secs(1));
    let token = alice.access_token();
    assert_eq!(assist(&simulator, &token, "loadCodeAssist", &json!({})).await.status, 200);
    tokio::time::sleep(Duration::from_millis(2100)).await;
    assert_eq!(assist(&simulator, &token, "loadCodeAssist", &json!({})).await.status, 401);
    let alice = alice.token_lifetime(Duration::from_mins(1));
    let token = alice.access_token();
    alice.expire_access_tokens();
    let answer = assist(&simulator, &token, "loadCodeAssist", &json!({})).await;
    assert_eq!((answer.status, answer.json()["error"]["status"].clone()), (401, json!("UNAUTHENTICATED")));
}
