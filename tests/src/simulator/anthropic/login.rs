//! claude.com and platform.claude.com: where logins begin, and where tokens are made.

use serde_json::{Value, json};

use super::{CLIENT_ID, CODE_PAGE, Reuse, State, email};
use crate::simulator::oauth::Authorization;
use crate::simulator::reply::Reply;
use crate::simulator::server::Asked;
use crate::simulator::wire;

const KNOWN: [&str; 6] = [
    "org:create_api_key",
    "user:profile",
    "user:inference",
    "user:sessions:claude_code",
    "user:mcp_servers",
    "user:file_upload",
];

fn page(error: &str) -> Reply {
    Reply::html(400, format!("<h1>Invalid OAuth Request</h1><p>{error}</p>"))
}

pub(super) fn authorize(state: &mut State, asked: &Asked) -> Reply {
    if asked.query("client_id") != Some(CLIENT_ID) {
        return page("Unknown client id");
    }
    let redirect_uri = asked.query("redirect_uri").unwrap_or_default();
    let local =
        redirect_uri.strip_prefix("http://localhost:").and_then(|rest| rest.strip_suffix("/callback"));
    if redirect_uri != CODE_PAGE && local.is_none_or(|port| port.parse::<u16>().is_err()) {
        return page("Redirect URI is not supported by client");
    }
    if asked.query("response_type") != Some("code") || asked.query("code") != Some("true") {
        return page("Missing response_type or code");
    }
    let scope = asked.query("scope").unwrap_or_default();
    if !scope.split(' ').all(|scope| KNOWN.contains(&scope)) {
        return page("Unknown scope");
    }
    let challenge = asked.query("code_challenge").unwrap_or_default();
    if challenge.len() != 43 || asked.query("code_challenge_method") != Some("S256") {
        return page("Missing code_challenge");
    }
    let Some(oauth_state) = asked.query("state").filter(|state| !state.is_empty()) else {
        return page("Missing state");
    };
    let authorization = Authorization {
        client_id: CLIENT_ID.to_owned(),
        redirect_uri: redirect_uri.to_owned(),
        scope: scope.to_owned(),
        state: Some(oauth_state.to_owned()),
        challenge: Some(challenge.to_owned()),
        offline: true,
        consent: true,
    };
    let accounts: Vec<_> = state.accounts.keys().map(|label| (label.clone(), email(label))).collect();
    state.desk.show(authorization, &accounts)
}

/// The vendor's own page is played by this server, so that nothing leaves the machine.
pub(super) fn decide(state: &mut State, asked: &Asked) -> Reply {
    let request = asked.query("request").unwrap_or_default();
    let mut reply = match (asked.query("decision"), asked.query("account")) {
        (Some("deny"), _) => state.desk.decide(request, None),
        (Some("allow"), Some(label)) if state.accounts.contains_key(label) => {
            state.desk.decide(request, Some(label))
        }
        _ => page("choose an account"),
    };
    let here = format!("http://{}/oauth/code/callback", asked.request.header("host").unwrap_or_default());
    for (name, value) in &mut reply.headers {
        if name == "location" {
            *value = value.replacen(CODE_PAGE, &here, 1);
        }
    }
    reply
}

/// Shows the code together with the state, to be carried over by hand.
pub(super) fn code_page(asked: &Asked) -> Reply {
    let (code, state) = (asked.query("code").unwrap_or_default(), asked.query("state").unwrap_or_default());
    let safe = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;");
    Reply::html(
        200,
        format!(
            "<!DOCTYPE html><html><head><title>Authentication Code</title><link rel=\"icon\" href=\"data:,\"></head>\
             <body><h1>Authentication Code</h1><p>Paste this into Claude Code:</p><pre id=\"code\">{}#{}</pre></body></html>",
            safe(code),
            safe(state)
        ),
    )
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
    if asked.request.content_type() != "application/json" {
        return refused(400, "invalid_request", "Invalid request format");
    }
    let fields = asked.fields();
    let field = |name| wire::value(&fields, name);
    if field("client_id") != Some(CLIENT_ID) {
        return refused(401, "invalid_client", "Client with id not found");
    }
    match field("grant_type") {
        Some("authorization_code") => {
            let code = field("code").unwrap_or_default();
            let redirect_uri = field("redirect_uri").unwrap_or_default();
            let redeemed = state.desk.redeem(code, CLIENT_ID, redirect_uri, field("code_verifier"));
            match redeemed.filter(|(authorization, _)| authorization.state.as_deref() == field("state")) {
                Some((authorization, label)) => {
                    state.tally.exchanges += 1;
                    let refresh = state.issue_grant(&label, &authorization.scope);
                    Reply::json(200, &tokens(state, &label, Some(refresh), &authorization.scope))
                }
                None => refused(401, "invalid_grant", "Invalid 'code' in request."),
            }
        }
        Some("refresh_token") => refresh(state, field("refresh_token").unwrap_or_default(), field("scope")),
        _ => refused(400, "unsupported_grant_type", "Unsupported grant type"),
    }
}

fn refresh(state: &mut State, former: &str, scope: Option<&str>) -> Reply {
    let unknown = || refused(400, "invalid_grant", "Refresh token not found or invalid");
    let Some(grant) = state.grants.get(former).cloned() else { return unknown() };
    if grant.spent {
        state.reuses.push(Reuse { account: grant.label, at: std::time::Instant::now() });
        return unknown();
    }
    if let Some((status, body)) = &state.accounts[&grant.label].grant_refusal {
        return Reply::json(*status, body);
    }
    let scope = scope.unwrap_or(&grant.scope);
    if !scope.split(' ').all(|asked| grant.scope.split(' ').any(|held| held == asked)) {
        return refused(400, "invalid_scope", "The requested scope is invalid");
    }
    state.tally.refreshes += 1;
    let next = state.habits.rotates.then(|| {
        if let Some(grant) = state.grants.get_mut(former) {
            grant.spent = true;
        }
        state.issue_grant(&grant.label, &grant.scope)
    });
    Reply::json(200, &tokens(state, &grant.label, next, scope))
}

fn tokens(state: &mut State, label: &str, refresh: Option<String>, scope: &str) -> Value {
    let lifetime = state.accounts[label].lifetime;
    let access = state.issue_access(label, scope, lifetime);
    let record = &state.accounts[label];
    let mut body = json!({
        "token_type": "Bearer", "access_token": access, "expires_in": lifetime.as_secs(), "scope": scope,
        "organization": {"uuid": record.organization, "name": format!("{label}'s Organization")},
        "account": {"uuid": record.user, "email_address": email(label)},
    });
    if let Some(refresh) = refresh {
        body["refresh_token"] = json!(refresh);
    }
    body
}
