//! auth.openai.com.

use serde_json::{Value, json};

use super::{CLIENT_ID, Reuse, State, email};
use crate::simulator::oauth::Authorization;
use crate::simulator::reply::Reply;
use crate::simulator::server::Asked;
use crate::simulator::wire;

/// The two ports the Codex CLI has registered.
const REDIRECTS: [&str; 2] = ["http://localhost:1455/auth/callback", "http://localhost:1457/auth/callback"];

fn page(error: &str) -> Reply {
    Reply::html(400, format!("<h1>Authentication Error</h1><p>{error}</p>"))
}

pub(super) fn authorize(state: &mut State, asked: &Asked) -> Reply {
    if asked.query("client_id") != Some(CLIENT_ID) {
        return page("invalid_client");
    }
    let redirect_uri = asked.query("redirect_uri").unwrap_or_default();
    if !REDIRECTS.contains(&redirect_uri) && !state.redirects.iter().any(|held| held == redirect_uri) {
        return page("redirect_uri_mismatch");
    }
    if asked.query("response_type") != Some("code") {
        return page("unsupported_response_type");
    }
    let scope = asked.query("scope").unwrap_or_default();
    let known =
        ["openid", "profile", "email", "offline_access", "api.connectors.read", "api.connectors.invoke"];
    if !scope.split(' ').all(|scope| known.contains(&scope))
        || !scope.split(' ').any(|scope| scope == "openid")
    {
        return page("invalid_scope");
    }
    let challenge = asked.query("code_challenge").unwrap_or_default();
    if challenge.len() != 43 || asked.query("code_challenge_method") != Some("S256") {
        return page("invalid_request: code_challenge");
    }
    let Some(oauth_state) = asked.query("state").filter(|state| !state.is_empty()) else {
        return page("invalid_request: state");
    };
    let authorization = Authorization {
        client_id: CLIENT_ID.to_owned(),
        redirect_uri: redirect_uri.to_owned(),
        scope: scope.to_owned(),
        state: Some(oauth_state.to_owned()),
        challenge: Some(challenge.to_owned()),
        offline: scope.split(' ').any(|scope| scope == "offline_access"),
        consent: true,
    };
    let accounts: Vec<_> = state.accounts.keys().map(|label| (label.clone(), email(label))).collect();
    state.desk.show(authorization, &accounts)
}

pub(super) fn decide(state: &mut State, asked: &Asked) -> Reply {
    let request = asked.query("request").unwrap_or_default();
    match (asked.query("decision"), asked.query("account")) {
        (Some("deny"), _) => state.desk.decide(request, None),
        (Some("allow"), Some(label)) if state.accounts.contains_key(label) => {
            state.desk.decide(request, Some(label))
        }
        _ => page("choose an account"),
    }
}

pub(super) fn token(state: &mut State, asked: &Asked) -> Reply {
    let reply = grant(state, asked);
    if reply.status != 200 {
        state.tally.refusals += 1;
    }
    reply
}

fn refused(status: u16, code: &str, message: &str) -> Reply {
    let error = json!({"message": message, "type": "invalid_request_error", "param": null, "code": code});
    Reply::json(status, &json!({ "error": error }))
}

fn grant(state: &mut State, asked: &Asked) -> Reply {
    let fields = asked.fields();
    let field = |name| wire::value(&fields, name);
    let form = asked.request.content_type() == "application/x-www-form-urlencoded";
    if field("client_id") != Some(CLIENT_ID) {
        return refused(401, "invalid_client", "Invalid client specified.");
    }
    match field("grant_type") {
        Some("authorization_code") if form => {
            let code = field("code").unwrap_or_default();
            let redirect_uri = field("redirect_uri").unwrap_or_default();
            match state.desk.redeem(code, CLIENT_ID, redirect_uri, field("code_verifier")) {
                Some((authorization, label)) => {
                    state.tally.exchanges += 1;
                    let refresh = authorization.offline.then(|| state.issue_grant(&label));
                    Reply::json(200, &tokens(state, &label, refresh, &authorization.scope))
                }
                None => Reply::json(
                    400,
                    &json!({"error": "invalid_grant", "error_description": "Invalid authorization code."}),
                ),
            }
        }
        Some("refresh_token") => refresh(state, field("refresh_token").unwrap_or_default()),
        _ => refused(400, "unsupported_grant_type", "Unsupported grant type."),
    }
}

/// Each refresh token works once; there is no grace period.
fn refresh(state: &mut State, spent: &str) -> Reply {
    let Some(grant) = state.grants.get_mut(spent) else {
        return refused(
            401,
            "refresh_token_invalidated",
            "Your refresh token is not valid. Please try signing in again.",
        );
    };
    let label = grant.label.clone();
    if grant.spent {
        state.reuses.push(Reuse { account: label, at: std::time::Instant::now() });
        return refused(
            401,
            "refresh_token_reused",
            "Your refresh token has already been used to generate a new access token. Please try signing in again.",
        );
    }
    if grant.revoked {
        return refused(
            401,
            "refresh_token_invalidated",
            "Your refresh token has been revoked. Please try signing in again.",
        );
    }
    if let Some((status, code)) = &state.accounts[&label].grant_refusal {
        return refused(*status, code, "The refresh was refused. Please try signing in again.");
    }
    grant.spent = true;
    state.tally.refreshes += 1;
    let next = state.issue_grant(&label);
    Reply::json(200, &tokens(state, &label, Some(next), "openid profile email offline_access"))
}

fn tokens(state: &mut State, label: &str, refresh: Option<String>, scope: &str) -> Value {
    let mut body = json!({
        "id_token": state.id_token(label), "access_token": state.issue_access(label),
        "token_type": "Bearer", "scope": scope,
    });
    if let Some(refresh) = refresh {
        body["refresh_token"] = json!(refresh);
    }
    let record = &state.accounts[label];
    if record.states_expiry {
        body["expires_in"] = json!(record.lifetime.as_secs());
    }
    body
}
