use crate::{
    config::Config,
    reply::{instant, usage_quota},
    request::authorize,
    verdict::suspension,
};
use jsonwebtoken::dangerous::insecure_decode_claims;
use pollux_sdk::{
    AccountError, Credential, Grant, HeaderName, Io, Method, Model, Reason, Reply, Request, Secret,
    StatusCode, Survey,
};
use serde_json::{Map, Value, json};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use url::form_urlencoded::Serializer;

/// The catalogue format asked for, as Codex CLI 0.169.0 reads it: upstream answers 400 without it and leaves out
/// models for a low one. Who asks is said by the User-Agent.
const CATALOGUE: &str = "0.169.0";
const AUTH: &str = "https://api.openai.com/auth";
const PROFILE: &str = "https://api.openai.com/profile";

/// Recognises Codex CLI's `auth.json`, and its tokens alone.
pub(crate) fn import(file: &Value) -> Option<Credential> {
    let tokens = file.get("tokens").filter(|tokens| tokens.is_object()).unwrap_or(file);
    let text = |keys: [&str; 2]| keys.iter().find_map(|key| filled(&tokens[*key])).map(str::to_owned);
    let refresh = text(["refresh_token", "refreshToken"]);
    let access = text(["access_token", "accessToken"]);
    if refresh.is_none() && access.is_none() {
        return None;
    }
    let mut credential = Credential { refresh: refresh.map(Secret::new), ..Credential::from_refresh("") };
    // An access token whose end cannot be read is not trusted: it is renewed before its first use.
    credential.expires_at = access.as_deref().map(|token| expiry(token).unwrap_or(UNIX_EPOCH));
    credential.access = access.map(Secret::new);
    for (key, value) in
        [("id_token", text(["id_token", "idToken"])), ("account_id", text(["account_id", "accountId"]))]
    {
        credential.extra.extend(value.map(|value| (key.to_owned(), value.into())));
    }
    Some(credential)
}

/// Writes the tokens where the file keeps them; a new file is an `auth.json`.
pub(crate) fn export(credential: &Credential, file: &mut Value) {
    if !file.is_object() {
        *file = json!({"auth_mode": "chatgpt", "OPENAI_API_KEY": null, "tokens": {}});
    }
    let nested = file["tokens"].is_object();
    let camel = !nested && file.get("refreshToken").is_some();
    let tokens = if nested { &mut file["tokens"] } else { file };
    let refresh = if camel { "refreshToken" } else { "refresh_token" };
    for (key, value) in [
        ("id_token", credential.extra("id_token")),
        ("access_token", credential.access.as_ref().map(Secret::expose)),
        (refresh, credential.refresh.as_ref().map(Secret::expose)),
        ("account_id", credential.extra("account_id")),
    ] {
        if let Some(value) = value {
            tokens[key] = value.into();
        }
    }
}

/// Spends a code or a refresh token.
pub(crate) async fn obtain(
    config: &Config,
    io: &dyn Io,
    grant: Grant<'_>,
) -> Result<Credential, AccountError> {
    let request = config.signed(token_request(config, grant)?);
    let reply = io.send(request).await?;
    if reply.status.is_success() { granted(&reply, io.now()) } else { Err(denied(&reply)) }
}

/// Says whose login it is. The tokens tell it themselves, so nothing is asked.
pub(crate) fn enroll(mut credential: Credential) -> Result<Credential, Reason> {
    let tokens = [credential.extra("id_token"), credential.access.as_ref().map(Secret::expose)];
    let claims: Vec<Value> = tokens.into_iter().flatten().filter_map(claims).collect();
    let find = |group: &str, key: &str| {
        let of = |claims: &Value| {
            filled(if group.is_empty() { &claims[key] } else { &claims[group][key] }).map(str::to_owned)
        };
        claims.iter().find_map(of)
    };
    let account = find(AUTH, "chatgpt_account_id").or_else(|| credential.extra("account_id").map(Into::into));
    let account =
        account.ok_or_else(|| Reason::new("no_account_id", "the login names no ChatGPT account"))?;
    let user = find(AUTH, "chatgpt_user_id").or_else(|| find(AUTH, "user_id")).or_else(|| find("", "sub"));
    let user = user.ok_or_else(|| Reason::new("no_identity", "the login carries no identity"))?;
    let email = find("", "email").or_else(|| find(PROFILE, "email"));
    let plan = find(AUTH, "chatgpt_plan_type");
    let fedramp = claims.iter().any(|claims| claims[AUTH]["chatgpt_account_is_fedramp"] == true);

    credential.subject = Some(format!("{user}/{account}"));
    credential.label = email.or(credential.label);
    credential.extra.insert("account_id".into(), account.into());
    credential.extra.insert("fedramp".into(), fedramp.into());
    credential.extra.extend(plan.map(|plan| ("plan".to_owned(), plan.into())));
    Ok(credential)
}

/// Asks for the quota and the models. A catalogue that does not come is no trouble: the old one stays.
pub(crate) async fn survey(
    config: &Config,
    io: &dyn Io,
    account: &Credential,
) -> Result<Survey, AccountError> {
    let get = |path: &str| {
        let url = format!("{}/backend-api/{path}", config.api_url);
        authorize(Request::new(Method::GET, url), account).map(|request| config.signed(request))
    };
    let reply =
        io.send(get("wham/usage")?).await.map_err(|error| AccountError::Transient(error.to_string()))?;
    let usage: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
    if !reply.status.is_success() {
        let passing =
            || AccountError::Transient(format!("the usage request was answered with {}", reply.status));
        return Err(suspension(reply.status, &usage).map_or_else(passing, AccountError::Suspend));
    }
    let models = io.send(get(&format!("codex/models?client_version={CATALOGUE}"))?).await.ok();
    let plan = filled(&usage["plan_type"]).map(|plan| ("plan".to_owned(), plan.into()));
    Ok(Survey {
        quota: usage_quota(&usage),
        models: models.filter(|reply| reply.status.is_success()).and_then(|reply| catalogue(&reply)),
        extra: plan.into_iter().collect(),
    })
}

fn catalogue(reply: &Reply) -> Option<Vec<Model>> {
    let list: Value = serde_json::from_slice(&reply.body).ok()?;
    let model = |entry: &Value| Some(Model { id: filled(&entry["slug"])?.to_owned(), entry: entry.clone() });
    let models: Vec<Model> = list["models"].as_array()?.iter().filter_map(model).collect();
    (!models.is_empty()).then_some(models)
}

/// A code goes as a form, a refresh token as JSON: as the vendor's own client does both.
fn token_request(config: &Config, grant: Grant<'_>) -> Result<Request, AccountError> {
    let oauth = &config.oauth;
    match grant {
        Grant::Code { code, verifier, redirect_uri, .. } => {
            let mut form = Serializer::new(String::new());
            form.append_pair("grant_type", "authorization_code")
                .append_pair("client_id", &oauth.client_id)
                .append_pair("code", code)
                .append_pair("code_verifier", verifier)
                .append_pair("redirect_uri", redirect_uri);
            oauth.secret().map(|secret| form.append_pair("client_secret", secret));
            let kind = HeaderName::from_static("content-type");
            Ok(Request::post(&oauth.token_url, form.finish())
                .header(kind, "application/x-www-form-urlencoded"))
        }
        Grant::Refresh(old) => {
            let none = || Reason::new("no_refresh_token", "the login has no refresh token: log in again");
            let refresh = old.refresh.as_ref().map(Secret::expose).filter(|token| !token.is_empty());
            let mut body = json!({"client_id": oauth.client_id, "grant_type": "refresh_token",
                "refresh_token": refresh.ok_or_else(none)?});
            if let Some(secret) = oauth.secret() {
                body["client_secret"] = secret.into();
            }
            Ok(Request::post(&oauth.token_url, body.to_string()))
        }
        _ => Err(AccountError::unsupported()),
    }
}

/// Each of the three tokens may be missing: then the stored one stays valid.
fn granted(reply: &Reply, now: SystemTime) -> Result<Credential, AccountError> {
    let body: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
    let mut credential = import(&body).ok_or_else(|| {
        AccountError::Unsure(format!("the token endpoint answered {} without a token", reply.status))
    })?;
    if let Some(access) = &credential.access {
        let lifetime = body["expires_in"].as_u64().map_or(Duration::from_hours(1), Duration::from_secs);
        let end = expiry(access.expose()).or_else(|| now.checked_add(lifetime));
        credential.expires_at = end.or(Some(now));
    }
    Ok(credential)
}

/// What a refusal of the token endpoint means. Only a short list and a plain 401 are for good (2026-11).
fn denied(reply: &Reply) -> AccountError {
    let body: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
    let code = [&body["error"]["code"], &body["error"], &body["code"]]
        .into_iter()
        .find_map(filled)
        .unwrap_or_default();
    let text = match code {
        _ if reply.status.is_server_error() || reply.status == StatusCode::TOO_MANY_REQUESTS => None,
        // A mistake in the configuration; no account is to be lost for it.
        "invalid_client" | "unauthorized_client" => None,
        "refresh_token_reused" => Some(
            "the refresh token was already used: another copy of this login is in use elsewhere; log in again",
        ),
        "refresh_token_expired" | "token_expired" => Some("the refresh token has expired: log in again"),
        "refresh_token_invalidated" => Some("the refresh token was invalidated: log in again"),
        "app_session_terminated" => Some("the login was ended by its owner: log in again"),
        "account_session_expired" => Some("the login has expired: log in again"),
        "invalid_grant" => Some("the login is not valid any more: log in again"),
        "account_deactivated" => Some("OpenAI has deactivated the account"),
        "account_suspended" => Some("OpenAI has suspended the account"),
        "account_deleted" => Some("the account was deleted"),
        _ if reply.status == StatusCode::UNAUTHORIZED => {
            Some("OpenAI does not accept the login: log in again")
        }
        _ => None,
    };
    // Only a word goes on: what else a stranger writes there might be a token.
    let word = code.len() <= 40 && code.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    let code = if word && !code.is_empty() { code } else { "login_refused" };
    match text {
        Some(text) => Reason::new(code.to_owned(), text).into(),
        None => AccountError::Transient(format!("the token endpoint answered {} ({code})", reply.status)),
    }
}

/// A token's claims, unverified: they came from the vendor itself over TLS, or from the account's owner.
fn claims(token: &str) -> Option<Value> {
    insecure_decode_claims::<Map<String, Value>>(token).ok().map(Value::Object)
}

fn expiry(token: &str) -> Option<SystemTime> {
    instant(claims(token)?["exp"].as_f64()?)
}

fn filled(value: &Value) -> Option<&str> {
    value.as_str().map(str::trim).filter(|text| !text.is_empty())
}
