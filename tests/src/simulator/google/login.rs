//! accounts.google.com and oauth2.googleapis.com.

use serde_json::{Value, json};
use url::Url;

use super::{SCOPES, State, email};
use crate::simulator::oauth::Authorization;
use crate::simulator::reply::Reply;
use crate::simulator::server::Asked;
use crate::simulator::{token, wire};

/// Refuses with a page: an unverified redirect URI must not be followed.
fn page(status: u16, error: &str) -> Reply {
    Reply::html(status, format!("<h1>Access blocked</h1><p>Error {status}: {error}</p>"))
}

pub(super) fn authorize(state: &mut State, asked: &Asked) -> Reply {
    let Some(client_id) = asked.query("client_id") else { return page(400, "invalid_request: client_id") };
    if client_id != state.client.0 {
        return page(401, "invalid_client");
    }
    let Some(redirect_uri) = asked.query("redirect_uri") else {
        return page(400, "invalid_request: redirect_uri");
    };
    if !is_registered(state, redirect_uri) {
        return page(400, "redirect_uri_mismatch");
    }
    if asked.query("response_type") != Some("code") {
        return page(400, "invalid_request: response_type");
    }
    let scope = asked.query("scope").unwrap_or_default();
    let known = |scope: &str| SCOPES.contains(&scope) || ["openid", "email", "profile"].contains(&scope);
    if scope.is_empty() || !scope.split(' ').all(known) {
        return page(400, "invalid_scope");
    }
    if !matches!(asked.query("access_type"), None | Some("online" | "offline")) {
        return page(400, "invalid_request: access_type");
    }
    let challenge = asked.query("code_challenge");
    // A challenge without a method would be plain, which proves nothing and which no client here may use.
    if challenge.is_some_and(|challenge| challenge.len() != 43)
        || challenge.is_some() != (asked.query("code_challenge_method") == Some("S256"))
    {
        return page(400, "invalid_request: code_challenge");
    }
    let authorization = Authorization {
        client_id: client_id.to_owned(),
        redirect_uri: redirect_uri.to_owned(),
        scope: scope.to_owned(),
        state: asked.query("state").map(str::to_owned),
        challenge: challenge.map(str::to_owned),
        offline: asked.query("access_type") == Some("offline"),
        consent: asked.query("prompt").is_some_and(|prompt| prompt.split(' ').any(|word| word == "consent")),
    };
    let accounts: Vec<_> = state.accounts.keys().map(|label| (label.clone(), email(label))).collect();
    state.desk.show(authorization, &accounts)
}

/// Installed applications may use any loopback port, and Google's own page for pasting.
fn is_registered(state: &State, redirect_uri: &str) -> bool {
    if redirect_uri == "https://codeassist.google.com/authcode"
        || state.redirects.iter().any(|registered| registered == redirect_uri)
    {
        return true;
    }
    Url::parse(redirect_uri).is_ok_and(|url| {
        url.scheme() == "http" && matches!(url.host_str(), Some("127.0.0.1" | "localhost" | "[::1]"))
    })
}

pub(super) fn decide(state: &mut State, asked: &Asked) -> Reply {
    let request = asked.query("request").unwrap_or_default();
    match (asked.query("decision"), asked.query("account")) {
        (Some("deny"), _) => state.desk.decide(request, None),
        (Some("allow"), Some(label)) if state.accounts.contains_key(label) => {
            state.desk.decide(request, Some(label))
        }
        _ => page(400, "choose an account"),
    }
}

pub(super) fn token(state: &mut State, asked: &Asked) -> Reply {
    let reply = grant(state, asked);
    if reply.status != 200 {
        state.tally.refusals += 1;
    }
    reply
}

fn refused(status: u16, error: &str, description: &str) -> Reply {
    Reply::json(status, &json!({"error": error, "error_description": description}))
}

fn grant(state: &mut State, asked: &Asked) -> Reply {
    if asked.request.content_type() != "application/x-www-form-urlencoded" {
        return refused(400, "invalid_request", "Missing required parameter: grant_type");
    }
    let form = asked.fields();
    let field = |name| wire::value(&form, name);
    if field("client_id") != Some(&state.client.0) {
        return refused(401, "invalid_client", "The OAuth client was not found.");
    }
    if field("client_secret") != Some(&state.client.1) {
        return refused(401, "invalid_client", "Unauthorized");
    }
    match field("grant_type") {
        Some("authorization_code") => {
            let code = field("code").unwrap_or_default();
            let redirect_uri = field("redirect_uri").unwrap_or_default();
            let client_id = state.client.0.clone();
            let redeemed = state.desk.redeem(code, &client_id, redirect_uri, field("code_verifier"));
            let Some((authorization, label)) = redeemed else {
                return refused(400, "invalid_grant", "Bad Request");
            };
            state.tally.exchanges += 1;
            let mut body = tokens(state, &label, &authorization.scope, true);
            let first = state
                .accounts
                .get_mut(&label)
                .is_some_and(|record| !std::mem::replace(&mut record.consented, true));
            // A second consent gives no refresh token unless it was asked for again.
            if authorization.offline && (first || authorization.consent) {
                body["refresh_token"] = json!(state.issue_grant(&label, &authorization.scope));
            }
            Reply::json(200, &body)
        }
        Some("refresh_token") => {
            let Some(held) = field("refresh_token").and_then(|token| state.grants.get(token)) else {
                return refused(400, "invalid_grant", "Bad Request");
            };
            if held.revoked {
                return refused(400, "invalid_grant", "Token has been expired or revoked.");
            }
            let (label, scope) = (held.label.clone(), held.scope.clone());
            state.tally.refreshes += 1;
            let with_id = state.accounts.get(&label).is_some_and(|record| record.id_token_on_refresh);
            Reply::json(200, &tokens(state, &label, &scope, with_id))
        }
        Some(other) => refused(400, "unsupported_grant_type", &format!("Invalid grant_type: {other}")),
        None => refused(400, "invalid_request", "Missing required parameter: grant_type"),
    }
}

fn tokens(state: &mut State, label: &str, scope: &str, with_id: bool) -> Value {
    let record = &state.accounts[label];
    let (lifetime, sub) = (record.lifetime, record.sub.clone());
    let mut body = json!({
        "access_token": state.issue_access(label, scope, lifetime),
        "expires_in": lifetime.as_secs(),
        "scope": scope,
        "token_type": "Bearer",
    });
    if with_id {
        let client_id = &state.client.0;
        body["id_token"] = json!(token::jwt(&json!({
            "iss": "https://accounts.google.com", "azp": client_id, "aud": client_id, "sub": sub,
            "email": email(label), "email_verified": true, "iat": token::now(), "exp": token::later(lifetime),
        })));
    }
    body
}

pub(super) fn userinfo(state: &State, asked: &Asked) -> Reply {
    let Some(access) = state.valid(asked) else { return super::refusal::Refusal::Unauthenticated.reply("") };
    let label = &access.label;
    Reply::json(
        200,
        &json!({
            "id": state.accounts[label].sub, "email": email(label), "verified_email": true,
            "name": label, "given_name": label, "family_name": "Example", "picture": "https://example.com/p.png",
        }),
    )
}

pub(super) fn tokeninfo(state: &State, asked: &Asked) -> Reply {
    let Some(access) = state.valid(asked) else { return refused(400, "invalid_token", "Invalid Value") };
    let client_id = &state.client.0;
    Reply::json(
        200,
        &json!({
            "azp": client_id, "aud": client_id, "sub": state.accounts[&access.label].sub, "scope": access.scope,
            "exp": access.expires.to_string(), "expires_in": (access.expires - token::now()).to_string(),
            "email": email(&access.label), "email_verified": "true", "access_type": "offline",
        }),
    )
}
