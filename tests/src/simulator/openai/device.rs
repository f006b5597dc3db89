//! The login by code of auth.openai.com.

use std::time::Instant;

use serde_json::json;

use super::{CLIENT_ID, State};
use crate::simulator::oauth::Authorization;
use crate::simulator::reply::Reply;
use crate::simulator::server::Asked;
use crate::simulator::{token, wire};

/// One login by code.
#[derive(Debug)]
pub(super) struct Device {
    handle: String,
    user_code: String,
    outcome: Outcome,
    asked: Option<Instant>,
}

#[derive(Clone, Debug)]
enum Outcome {
    Pending,
    Allowed(String),
    Denied,
}

fn refused(status: u16, code: &str) -> Reply {
    Reply::json(status, &json!({"error": {"message": code, "code": code}}))
}

pub(super) fn begin(state: &mut State, asked: &Asked) -> Reply {
    if !state.habits.device_login {
        return refused(404, "not_found");
    }
    if wire::value(&asked.fields(), "client_id") != Some(CLIENT_ID) {
        return refused(401, "invalid_client");
    }
    let handle = format!("deviceauth_{}", token::random());
    let user_code = format!("ABCD-{:04}", 1234 + state.devices.len());
    let told = json!({
        "device_auth_id": handle, "user_code": user_code, "interval": state.habits.device_interval.to_string(),
        "expires_at": "2099-01-01T00:15:00Z",
    });
    state.devices.push(Device { handle, user_code, outcome: Outcome::Pending, asked: None });
    Reply::json(200, &told)
}

pub(super) fn ask(state: &mut State, asked: &Asked) -> Reply {
    let fields = asked.fields();
    let field = |name| wire::value(&fields, name).unwrap_or_default();
    let (handle, code) = (field("device_auth_id"), field("user_code"));
    let interval = u128::from(state.habits.device_interval);
    let Some(device) = state.devices.iter_mut().find(|one| one.handle == handle && one.user_code == code)
    else {
        return refused(404, "not_found");
    };
    // Half a second of grace for the way.
    let early = |asked: Instant| asked.elapsed().as_millis() + 500 < interval * 1000;
    if device.asked.replace(Instant::now()).is_some_and(early) {
        return refused(400, "slow_down");
    }
    match device.outcome.clone() {
        Outcome::Pending => refused(403, "deviceauth_authorization_pending"),
        Outcome::Denied => refused(400, "access_denied"),
        Outcome::Allowed(label) => {
            state.devices.retain(|one| one.handle != handle);
            let verifier = format!("{}{}", token::random(), token::random());
            let challenge = token::challenge(&verifier);
            let authorization = Authorization {
                client_id: CLIENT_ID.to_owned(),
                redirect_uri: format!(
                    "{}/deviceauth/callback",
                    asked.request.header("host").map(|host| format!("http://{host}")).unwrap_or_default()
                ),
                scope: "openid profile email offline_access".to_owned(),
                state: None,
                challenge: Some(challenge.clone()),
                offline: true,
                consent: true,
            };
            let code = state.desk.issue(authorization, &label);
            Reply::json(
                200,
                &json!({"authorization_code": code, "code_challenge": challenge, "code_verifier": verifier}),
            )
        }
    }
}

/// A person enters a code; whether anybody waits for it.
pub(super) fn enter(state: &mut State, user_code: &str, label: Option<&str>) -> bool {
    let outcome = label.map_or(Outcome::Denied, |label| Outcome::Allowed(label.to_owned()));
    let waiting = state.devices.iter_mut().find(|one| one.user_code == user_code);
    waiting.map(|one| one.outcome = outcome).is_some()
}
