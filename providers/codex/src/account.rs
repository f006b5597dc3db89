use crate::{
    config::{Config, OAuth},
    reply::{instant, usage_quota},
    request::authorize,
    verdict::suspension,
};
use jsonwebtoken::dangerous::insecure_decode_claims;
use pollux_sdk::{
    AccountError, Credential, Grant, HeaderName, Io, Method, Model, Reason, Reply, Request, Secret,
    StatusCode, Survey, Unreachable,
};
use serde_json::{Map, Value, json};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use url::form_urlencoded::Serializer;

/// The catalogue format asked for, as Codex CLI 0.169.0 reads it: upstream answers 400 without it and leaves out
/// models for a low one. Who asks is said by the User-Agent.
const CATALOGUE: &str = "0.169.0";

/// Recognises Codex CLI's `auth.json`, and its tokens alone.
pub(crate) fn import(file: &Value) -> Option<Credential> {
    let tokens = file.get("tokens").filter(|tokens| tokens.is_object()).unwrap_or(file);
    let text = |key: &str| filled(&tokens[key]).map(str::to_owned);
    let refresh = text("refresh_token").or_else(|| text("refreshToken")).map(Secret::new);
    let access = text("access_token").map(Secret::new);
    refresh.as_ref().or(access.as_ref())?;
    // An access token whose end cannot be read is not trusted: it is renewed before its first use.
    let expires_at = access.as_ref().map(|token| expiry(token).unwrap_or(UNIX_EPOCH));
    let mut credential = Credential { refresh, access, expires_at, ..Credential::from_refresh("") };
    for key in ["id_token", "account_id"] {
        credential.extra.extend(text(key).map(|text| (key.to_owned(), text.into())));
    }
    Some(credential)
}

/// Writes the tokens where the file keeps them; a new file is an `auth.json`.
pub(crate) fn export(credential: &Credential, file: &mut Value) {
    if !file.is_object() {
        *file = json!({"auth_mode": "chatgpt", "OPENAI_API_KEY": null, "tokens": {}});
    }
    let tokens = if file["tokens"].is_object() { &mut file["tokens"] } else { file };
    let camel = tokens.get("refreshToken").is_some();
    for (key, value) in [
        ("id_token", credential.extra("id_token")),
        ("access_token", credential.access.as_ref().map(Secret::expose)),
        (
            if camel { "refreshToken" } else { "refresh_token" },
            credential.refresh.as_ref().map(Secret::expose),
        ),
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
    let id = credential.extra("id_token").map(Secret::new);
    let claims: Vec<Value> =
        [id.as_ref(), credential.access.as_ref()].into_iter().flatten().filter_map(claims).collect();
    let find = |path: &str| claims.iter().find_map(|claims| filled(claims.pointer(path)?)).map(str::to_owned);
    let auth = |key: &str| find(&format!("/https:~1~1api.openai.com~1auth/{key}"));

    let account = auth("chatgpt_account_id").or_else(|| credential.extra("account_id").map(Into::into));
    let account =
        account.ok_or_else(|| Reason::new("no_account_id", "the login names no ChatGPT account"))?;
    let user = auth("chatgpt_user_id").or_else(|| auth("user_id")).or_else(|| find("/sub"));
    let user = user.ok_or_else(|| Reason::new("no_identity", "the login carries no identity"))?;
    let email = find("/email").or_else(|| find("/https:~1~1api.openai.com~1profile/email"));
    let fedramp = claims
        .iter()
        .any(|claims| claims["https://api.openai.com/auth"]["chatgpt_account_is_fedramp"] == true);
    let plan = auth("chatgpt_plan_type").map(|plan| ("plan".to_owned(), plan.into()));

    credential.subject = Some(format!("{user}/{account}"));
    credential.label = email.or(credential.label);
    let known = [("account_id".to_owned(), account.into()), ("fedramp".to_owned(), fedramp.into())];
    credential.extra.extend(known.into_iter().chain(plan));
    Ok(credential)
}

/// Asks for the quota and the models. A catalogue that does not come is no trouble: the old one stays.
pub(crate) async fn survey(config: &Config, io: &dyn Io, who: &Credential) -> Result<Survey, AccountError> {
    let get = |path: &str| {
        let url = format!("{}/backend-api/{path}", config.api_url);
        authorize(Request::new(Method::GET, url), who).map(|request| config.signed(request))
    };
    let unreachable = |error: Unreachable| AccountError::Transient(error.to_string());
    let reply = io.send(get("wham/usage")?).await.map_err(unreachable)?;
    let usage: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
    if !reply.status.is_success() {
        let passing =
            AccountError::Transient(format!("the usage request was answered with {}", reply.status));
        return Err(suspension(Some(reply.status), &usage).map_or(passing, AccountError::Suspend));
    }
    let models = io.send(get(&format!("codex/models?client_version={CATALOGUE}"))?).await.ok();
    let plan = filled(&usage["plan_type"]).map(|plan| ("plan".to_owned(), plan.into()));
    Ok(Survey {
        quota: usage_quota(&usage),
        allowed: usage["rate_limit"]["allowed"].as_bool(),
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
    let OAuth { token_url, client_id, .. } = &config.oauth;
    let mut fields = vec![("client_id", client_id.as_str())];
    fields.extend(config.oauth.secret().map(|secret| ("client_secret", secret)));
    match grant {
        Grant::Code { code, verifier, redirect_uri, .. } => {
            fields.extend([("grant_type", "authorization_code"), ("code", code)]);
            fields.extend([("code_verifier", verifier), ("redirect_uri", redirect_uri)]);
            let form = Serializer::new(String::new()).extend_pairs(fields).finish();
            let kind = HeaderName::from_static("content-type");
            Ok(Request::post(token_url, form).header(kind, "application/x-www-form-urlencoded"))
        }
        Grant::Refresh(old) => {
            let none = || Reason::new("no_refresh_token", "the login has no refresh token: log in again");
            let token = old.refresh.as_ref().map(Secret::expose).filter(|token| !token.is_empty());
            fields.extend([("grant_type", "refresh_token"), ("refresh_token", token.ok_or_else(none)?)]);
            let body: Map<_, _> =
                fields.into_iter().map(|(key, text)| (key.to_owned(), text.into())).collect();
            Ok(Request::post(token_url, Value::Object(body).to_string()))
        }
        _ => Err(AccountError::unsupported()),
    }
}

/// Each of the three tokens may be missing: then the stored one stays valid.
fn granted(reply: &Reply, now: SystemTime) -> Result<Credential, AccountError> {
    let body: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
    let unreadable = || AccountError::Unsure("the token endpoint answered without a token".into());
    let mut credential = import(&body).ok_or_else(unreadable)?;
    if let Some(access) = &credential.access {
        let lifetime = body["expires_in"].as_u64().map_or(Duration::from_hours(1), Duration::from_secs);
        let end = expiry(access).or_else(|| now.checked_add(lifetime));
        credential.expires_at = end.or(Some(now));
    }
    Ok(credential)
}

/// Refusals for good (2026-11). A plain 401 is one too; whatever else comes is a passing trouble.
const REFUSALS: [(&str, &str); 10] = [
    (
        "refresh_token_reused",
        "another copy of this login is in use elsewhere and spent its token: log in again",
    ),
    ("refresh_token_expired", "the refresh token has expired: log in again"),
    ("refresh_token_invalidated", "the refresh token was invalidated: log in again"),
    ("token_expired", "the token has expired: log in again"),
    ("app_session_terminated", "the login was ended by its owner: log in again"),
    ("account_session_expired", "the login has expired: log in again"),
    ("invalid_grant", "the login is not valid any more: log in again"),
    ("account_deactivated", "OpenAI has deactivated the account"),
    ("account_suspended", "OpenAI has suspended the account"),
    ("account_deleted", "the account was deleted"),
];

fn denied(reply: &Reply) -> AccountError {
    let body: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
    let code = [&body["error"]["code"], &body["error"], &body["code"]].into_iter().find_map(filled);
    // The code itself goes on only where it is known: what else a stranger writes there might be a token.
    let passing = || AccountError::Transient(format!("the token endpoint answered {}", reply.status));
    if reply.status.is_server_error() || reply.status == StatusCode::TOO_MANY_REQUESTS {
        return passing();
    }
    match REFUSALS.into_iter().find(|(known, _)| Some(*known) == code) {
        Some((code, text)) => Reason::new(code, text).into(),
        // A mistake in the configuration; no account is to be lost for it.
        None if code == Some("invalid_client") => AccountError::Transient("the client_id is refused".into()),
        None if reply.status == StatusCode::UNAUTHORIZED => {
            Reason::new("login_refused", "OpenAI does not accept the login: log in again").into()
        }
        None => passing(),
    }
}

/// A token's claims, unverified: they came from the vendor itself over TLS, or from the account's owner.
fn claims(token: &Secret) -> Option<Value> {
    insecure_decode_claims::<Map<String, Value>>(token.expose()).ok().map(Value::Object)
}

fn expiry(token: &Secret) -> Option<SystemTime> {
    instant(claims(token)?["exp"].as_f64()?)
}

fn filled(value: &Value) -> Option<&str> {
    value.as_str().map(str::trim).filter(|text| !text.is_empty())
}
