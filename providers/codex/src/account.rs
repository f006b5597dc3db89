use crate::{reply::usage_quota, request::authorize, verdict::suspension};
use pollux_sdk::kit::oauth::{self, Names, Section};
use pollux_sdk::kit::{claims, each, text, unix};
use pollux_sdk::{
    AccountError, Credential, Grant, Io, Method, Model, Reason, Recognition, Request, Secret, StatusCode,
    Survey,
};
use serde_json::{Value, json};
use std::time::{SystemTime, UNIX_EPOCH};

/// The catalogue format asked for, as Codex CLI 0.169.0 reads it: upstream answers 400 without it and leaves out
/// models for a low one. Who asks is said by the User-Agent.
const CATALOGUE: &str = "0.169.0";

const NAMES: Names = Names {
    refresh: &["refresh_token", "refreshToken"],
    access: &["access_token"],
    extra: &[("id_token", &["id_token"]), ("account_id", &["account_id"])],
};

/// Recognises Codex CLI's `auth.json`, and its tokens alone.
pub(crate) fn import(file: &Value) -> Option<Credential> {
    let mut credential =
        NAMES.read(file.get("tokens").filter(|tokens| tokens.is_object()).unwrap_or(file))?;
    // An access token whose end cannot be read is not trusted: it is renewed before its first use.
    credential.expires_at = credential.access.as_ref().map(|token| expiry(token).unwrap_or(UNIX_EPOCH));
    Some(credential)
}

/// Tells the files of Codex CLI by their members and tokens.
pub(crate) fn recognise(file: &Value) -> Recognition {
    let unusable = |code, text| Recognition::Unusable(Reason::new(code, text));
    let Some(credential) = import(file) else {
        if text(&file["OPENAI_API_KEY"]).is_some() {
            let how = "it holds an OpenAI API key, and only ChatGPT logins can be served: run `codex login`";
            return unusable("api_key_only", how);
        }
        let empty = file.get("tokens").is_some() || file.get("OPENAI_API_KEY").is_some();
        let how = "it holds no login: run `codex login`, and copy the file then";
        return if empty { unusable("no_tokens", how) } else { Recognition::Foreign };
    };
    let refresh = credential.refresh.as_ref().is_some_and(|token| token.expose().starts_with("rt_"));
    let access = credential.access.as_ref().and_then(|token| claims::<Value>(token.expose()));
    let ours = access.is_some_and(|claims| claims.get("https://api.openai.com/auth").is_some());
    if file["tokens"].is_object() || refresh || ours { Recognition::Own } else { Recognition::Possible }
}

/// Writes the tokens where the file keeps them; a new file is an `auth.json`.
pub(crate) fn export(credential: &Credential, file: &mut Value) {
    if !file.is_object() {
        *file = json!({"auth_mode": "chatgpt", "OPENAI_API_KEY": null, "tokens": {}});
    }
    NAMES.write(credential, if file["tokens"].is_object() { &mut file["tokens"] } else { file });
}

/// Refusals for good (2026-11). A plain 401 is one too; whatever else comes is a passing trouble.
#[rustfmt::skip]
const REFUSALS: [(&str, &str); 10] = [
    ("refresh_token_reused", "another copy of this login is in use elsewhere and spent its token: log in again"),
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
const REFUSED: (&str, &str) = ("login_refused", "OpenAI does not accept the login: log in again");

/// Spends a code or a refresh token: one as a form, the other as JSON, as the vendor's own client does both.
pub(crate) async fn obtain(own: &Section, io: &dyn Io, grant: Grant<'_>) -> Result<Credential, AccountError> {
    let (url, fields) = (&own.oauth.token_url, own.oauth.fields(grant)?);
    let request = if matches!(grant, Grant::Refresh(_)) {
        Request::members(url, fields)
    } else {
        Request::form(url, fields)
    };
    let for_good = |status, code: &str, _: &Value| {
        let known = REFUSALS.into_iter().find(|(known, _)| *known == code);
        let known = known.or((status == StatusCode::UNAUTHORIZED).then_some(REFUSED));
        known.map(|(code, text)| Reason::new(code, text))
    };
    let answer = own.spend(io, request, for_good).await?;
    // Each of the three tokens may be missing: then the stored one stays valid.
    let unreadable = || AccountError::Unsure("the token endpoint answered without a token".into());
    let mut fresh = import(&answer).ok_or_else(unreadable)?;
    let end = |token: &Secret| expiry(token).unwrap_or_else(|| oauth::expiry(&answer, io.now()));
    fresh.expires_at = fresh.access.as_ref().map(end);
    Ok(fresh)
}

/// Says whose login it is. The tokens tell it themselves, so nothing is asked.
pub(crate) fn enroll(mut credential: Credential) -> Result<Credential, Reason> {
    let tokens = [credential.extra("id_token"), credential.access.as_ref().map(Secret::expose)];
    let claims: Vec<Value> = tokens.into_iter().flatten().filter_map(claims).collect();
    let find = |path: &str| claims.iter().find_map(|claims| text(claims.pointer(path)?)).map(str::to_owned);
    let auth = |key: &str| find(&format!("/https:~1~1api.openai.com~1auth/{key}"));

    let account = auth("chatgpt_account_id").or_else(|| credential.extra("account_id").map(Into::into));
    let account = account.ok_or_else(crate::request::no_account)?;
    let user = auth("chatgpt_user_id").or_else(|| auth("user_id")).or_else(|| find("/sub"));
    let user = user.ok_or_else(|| Reason::new("no_identity", "the login carries no identity"))?;
    let email = find("/email").or_else(|| find("/https:~1~1api.openai.com~1profile/email"));
    let fedramp =
        |claims: &Value| claims["https://api.openai.com/auth"]["chatgpt_account_is_fedramp"] == true;

    credential.subject = Some(format!("{user}/{account}"));
    credential.label = email.or(credential.label);
    let known = [
        ("account_id".to_owned(), account.into()),
        ("fedramp".to_owned(), claims.iter().any(fedramp).into()),
    ];
    let plan = auth("chatgpt_plan_type").map(|plan| ("plan".to_owned(), plan.into()));
    credential.extra.extend(known.into_iter().chain(plan));
    Ok(credential)
}

/// Asks for the quota and the models. A catalogue that does not come is no trouble: the old one stays.
pub(crate) async fn survey(own: &Section, io: &dyn Io, account: &Credential) -> Result<Survey, AccountError> {
    let get = |path: &str| {
        let url = format!("{}/backend-api/{path}", own.api_url);
        authorize(Request::new(Method::GET, url).agent(&own.user_agent), account)
    };
    let reply = io.ask(get("wham/usage")?).await?;
    let usage = reply.value();
    if !reply.status.is_success() {
        let passing = || AccountError::Transient(format!("the usage request got {}", reply.status));
        return Err(suspension(Some(reply.status), &usage).map_or_else(passing, Into::into));
    }
    let reply = io.ask(get(&format!("codex/models?client_version={CATALOGUE}"))?).await.ok();
    let list = reply.filter(|reply| reply.status.is_success()).map(|reply| reply.value()).unwrap_or_default();
    let model = |entry: &Value| Some(Model { id: text(&entry["slug"])?.to_owned(), entry: entry.clone() });
    let models: Vec<Model> = each(&list["models"]).filter_map(model).collect();
    Ok(Survey {
        quota: usage_quota(&usage),
        allowed: usage["rate_limit"]["allowed"].as_bool(),
        models: (!models.is_empty()).then_some(models),
        extra: text(&usage["plan_type"]).map(|plan| ("plan".to_owned(), plan.into())).into_iter().collect(),
    })
}

fn expiry(token: &Secret) -> Option<SystemTime> {
    unix(claims::<Value>(token.expose())?["exp"].as_f64()?)
}
