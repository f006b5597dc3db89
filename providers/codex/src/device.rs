use pollux_sdk::kit::oauth::Section;
use pollux_sdk::kit::text;
use pollux_sdk::{AccountError, Approval, Device, Io, Reason, Reply, Request, Secret, StatusCode};
use serde_json::{Value, json};
use std::time::Duration;

/// As long as Codex CLI 0.169.0 asks before it gives up (2026-11).
const LIFE: Duration = Duration::from_mins(15);

/// Asks for a code that a person enters at the vendor's page.
pub(crate) async fn begin(own: &Section, io: &dyn Io) -> Result<Device, AccountError> {
    let body = json!({"client_id": own.oauth.client_id});
    let reply = ask(own, io, "/api/accounts/deviceauth/usercode", &body).await?;
    let told = reply.value();
    if reply.status == StatusCode::NOT_FOUND {
        let why = "OpenAI offers no login by code for this client: log in with a browser";
        return Err(Reason::new("device_login_off", why).into());
    }
    let code = text(&told["user_code"]).or_else(|| text(&told["usercode"]));
    let (true, Some(handle), Some(code)) = (reply.status.is_success(), text(&told["device_auth_id"]), code)
    else {
        let why = format!("the login by code could not begin ({})", reply.status);
        return Err(AccountError::Transient(why));
    };
    Ok(Device {
        page: format!("{}/codex/device", origin(own)),
        code: code.to_owned(),
        handle: Secret::new(handle),
        interval: interval(&told["interval"]),
        life: LIFE,
    })
}

/// Asks whether somebody entered it.
pub(crate) async fn approval(own: &Section, io: &dyn Io, device: &Device) -> Result<Approval, AccountError> {
    let body = json!({"device_auth_id": device.handle.expose(), "user_code": device.code});
    let reply = ask(own, io, "/api/accounts/deviceauth/token", &body).await?;
    let told = reply.value();
    let code = text(&told["error"]["code"]).or_else(|| text(&told["error"])).unwrap_or_default();
    match (reply.status, code) {
        (_, "slow_down") => Ok(Approval::SlowDown),
        (_, "expired_token" | "deviceauth_expired") => {
            Err(Reason::new("device_code_expired", "the code has expired: begin again").into())
        }
        (_, "access_denied" | "deviceauth_denied") => {
            Err(Reason::new("access_denied", "the login was denied").into())
        }
        (StatusCode::FORBIDDEN | StatusCode::NOT_FOUND, _) => Ok(Approval::Pending),
        (status, _) if status.is_success() => {
            let given = |key: &str| text(&told[key]).map(Secret::new);
            match (given("authorization_code"), given("code_verifier")) {
                (Some(code), Some(verifier)) => {
                    let redirect_uri = format!("{}/deviceauth/callback", origin(own));
                    Ok(Approval::Given { code, verifier, redirect_uri })
                }
                _ => Err(AccountError::Transient("the approval came without a code".into())),
            }
        }
        (status, _) => Err(AccountError::Transient(format!("the question was answered with {status}"))),
    }
}

/// Nothing is spent by either question, so an answer that does not come is a passing trouble.
async fn ask(own: &Section, io: &dyn Io, path: &str, body: &Value) -> Result<Reply, AccountError> {
    let url = format!("{}{path}", origin(own));
    let request = Request::post(url, body.to_string()).agent(&own.user_agent);
    io.ask(request).await
}

/// Where the token endpoint is, these are, too.
fn origin(own: &Section) -> &str {
    let url = own.oauth.token_url.as_str();
    let host = url.find("://").map_or(0, |at| at + 3);
    url[host..].find('/').map_or(url, |end| &url[..host + end])
}

/// A number in quotes, of seconds.
fn interval(told: &Value) -> Duration {
    let seconds = told.as_u64().or_else(|| told.as_str()?.trim().parse().ok());
    Duration::from_secs(seconds.unwrap_or(5).clamp(1, 60))
}
