use crate::{
    reply::{listed, usage_quota},
    request::{authorize, is_login},
    verdict::{Told, UNKNOWN_KEY},
};
use pollux_sdk::kit::oauth::{self, Names, Section};
use pollux_sdk::kit::{each, fingerprint, masked, sentence, text};
use pollux_sdk::{
    AccountError, Credential, Grant, Io, Method, Model, Reason, Recognition, Request, Secret, StatusCode,
    Survey,
};
use serde_json::{Map, Value, json};
use std::time::{Duration, UNIX_EPOCH};

const END_OF_CENTURY: u64 = 4_102_444_800_000;
const NAMES: Names = Names {
    refresh: &["refreshToken", "refresh_token"],
    access: &["accessToken", "access_token"],
    extra: &[],
};
/// Where files keep a key, at their top or among their `env`. The last holds a login that lasts a year.
const KEYS: [&str; 3] = ["api_key", "ANTHROPIC_API_KEY", "CLAUDE_CODE_OAUTH_TOKEN"];
/// What stands beside the tokens of other vendors' logins.
const FOREIGN: [&str; 5] = ["tokens", "id_token", "client_id", "expiry_date", "type"];

/// Recognises Claude Code's `.credentials.json`, its login alone, and keys. Of a file with both, the login counts.
pub(crate) fn import(file: &Value) -> Option<Credential> {
    let inner = file.get("claudeAiOauth").filter(|inner| inner.is_object());
    let outer = Some(file).filter(|file| FOREIGN.iter().all(|name| file.get(name).is_none()));
    let login = inner.or(outer)?;
    let Some(mut credential) = NAMES.read(login) else { return key(outer?) };
    let end =
        login["expiresAt"].as_u64().map(|at| UNIX_EPOCH + Duration::from_millis(at.min(END_OF_CENTURY)));
    // An untold end counts as past, and the token is renewed before its first use; one of a year has none to tell.
    let untold = credential.refresh.as_ref().map(|_| UNIX_EPOCH);
    credential.expires_at = credential.access.as_ref().and_then(|_| end.or(untold));
    let scopes: Vec<&str> = each(&login["scopes"]).filter_map(text).collect();
    if !scopes.is_empty() {
        credential.extra.insert("scope".into(), scopes.join(" ").into());
    }
    Some(credential)
}

fn key(file: &Value) -> Option<Credential> {
    let named = |place: &Value| KEYS.iter().find_map(|name| text(&place[*name])).map(Credential::from_key);
    named(file).or_else(|| named(&file["env"]))
}

/// Tells Claude Code's files, and keys that say whose they are.
pub(crate) fn recognise(file: &Value) -> Recognition {
    let Some(credential) = import(file) else {
        let empty = file.get("claudeAiOauth").is_some();
        let reason =
            || Reason::new("no_tokens", "it holds no login: log in with Claude Code, and copy the file then");
        return if empty { Recognition::Unusable(reason()) } else { Recognition::Foreign };
    };
    let starts = |token: &Secret| token.expose().starts_with("sk-ant-");
    let tokens = [&credential.access, &credential.refresh].into_iter().flatten().any(starts);
    let named = |place: &Value| {
        ["ANTHROPIC_API_KEY", "CLAUDE_CODE_OAUTH_TOKEN"].iter().any(|name| place.get(*name).is_some())
    };
    let own = tokens || file["claudeAiOauth"].is_object() || named(file) || named(&file["env"]);
    if own { Recognition::Own } else { Recognition::Possible }
}

/// Writes the tokens where the file keeps them; a new file is a `.credentials.json`, or has an `api_key` alone.
pub(crate) fn export(credential: &Credential, file: &mut Value) {
    let new = !file.is_object();
    if new {
        *file = json!({});
    }
    let login = file.get("claudeAiOauth").is_some_and(Value::is_object);
    if credential.refresh.is_none() && !login && NAMES.read(file).is_none() {
        let access = credential.access.as_ref().map(|access| access.expose().into());
        let inner = KEYS.iter().all(|name| text(&file[*name]).is_none());
        let place = file.get_mut("env").filter(|env| inner && env.is_object());
        return match place {
            Some(env) => oauth::put(env, &KEYS, access),
            None => oauth::put(file, &KEYS, access),
        };
    }
    if new {
        let scopes: Vec<&str> = credential.extra("scope").unwrap_or_default().split_whitespace().collect();
        *file = json!({"claudeAiOauth": {"scopes": scopes}});
    }
    let place = match file.get("claudeAiOauth") {
        Some(Value::Object(_)) => &mut file["claudeAiOauth"],
        _ => file,
    };
    NAMES.write(credential, place);
    let end = credential.expires_at.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let end = end.and_then(|end| u64::try_from(end.as_millis()).ok());
    oauth::put(place, &["expiresAt"], end.map(Into::into));
}

/// Spends a code or a refresh token. A refresh asks for what was granted and no more: any other scope is refused.
pub(crate) async fn obtain(own: &Section, io: &dyn Io, grant: Grant<'_>) -> Result<Credential, AccountError> {
    let mut fields = own.oauth.fields(grant)?;
    match grant {
        Grant::Code { state, .. } => fields.push(("state", state)),
        Grant::Refresh(old) => fields.extend(old.extra("scope").map(|scope| ("scope", scope))),
        _ => return Err(AccountError::unsupported()),
    }
    let entering = matches!(grant, Grant::Code { .. });
    let for_good = |status: StatusCode, code: &str, body: &Value| {
        // The token endpoint has been seen to answer in the form of OAuth and in that of the API (2026-11).
        let invalid = code == "invalid_grant" || body["error"]["type"] == "invalid_grant";
        let story = [&body["error_description"], &body["error"]["message"]].into_iter().find_map(text);
        let unknown = story.is_some_and(|story| story.starts_with("Refresh token not found"));
        let refused = entering && status.is_client_error();
        let story = "Anthropic refuses the login: log in again";
        let text = if entering { "Anthropic does not accept the code: start again" } else { story };
        (invalid || unknown || refused).then(|| Reason::new("invalid_grant", text))
    };
    let answer = own.spend(io, Request::members(&own.oauth.token_url, fields), for_good).await?;
    let untold = || AccountError::Unsure("the token endpoint answered without a token".into());
    let mut login = Credential::from_key(text(&answer["access_token"]).ok_or_else(untold)?);
    login.refresh = text(&answer["refresh_token"]).map(Secret::new);
    login.expires_at = Some(oauth::expiry(&answer, io.now()));
    login.label = text(&answer["account"]["email_address"]).map(Into::into);
    login.extra = kept([
        ("user", &answer["account"]["uuid"]),
        ("organization", &answer["organization"]["uuid"]),
        ("scope", &answer["scope"]),
    ]);
    Ok(login)
}

fn kept<const N: usize>(facts: [(&str, &Value); N]) -> Map<String, Value> {
    let told = |(key, value): (&str, &Value)| Some((key.to_owned(), text(value)?.into()));
    facts.into_iter().filter_map(told).collect()
}

/// Says whose account it is. Of a key nothing tells that, and of a login for inference alone perhaps nothing; that
/// they are right the list of models proves.
pub(crate) async fn enroll(
    own: &Section,
    io: &dyn Io,
    mut credential: Credential,
) -> Result<Credential, AccountError> {
    let lasting = credential.refresh.is_none();
    if lasting {
        ask(own, io, &credential, "v1/models?limit=1").await?;
    }
    if !is_login(&credential) {
        let key = credential.access()?;
        let (subject, label) = (format!("key/{}", fingerprint(key)), format!("API key {}", masked(key)));
        (credential.subject, credential.label) = (Some(subject), Some(label));
        return Ok(credential);
    }
    let profile = match ask(own, io, &credential, "api/oauth/profile").await {
        Err(AccountError::Suspend(_)) if lasting => Value::Null,
        told => told?,
    };
    let (account, organization) = (&profile["account"], &profile["organization"]);
    credential.extra.extend(kept([
        ("user", &account["uuid"]),
        ("organization", &organization["uuid"]),
        ("plan", &organization["organization_type"]),
        ("tier", &organization["rate_limit_tier"]),
    ]));
    credential.label = text(&account["email"]).map(str::to_owned).or(credential.label);
    let known = credential.extra("user").map(|user| match credential.extra("organization") {
        Some(organization) => format!("{user}/{organization}"),
        None => user.to_owned(),
    });
    // Nobody says whose it is: the token itself does, for as long as it lives.
    let token = credential.refresh.as_ref().or(credential.access.as_ref());
    let unnamed = || token.map(|token| format!("login/{}", fingerprint(token)));
    credential.subject = known.or_else(|| credential.subject.clone()).or_else(unnamed);
    credential.label = credential.label.or_else(|| Some(format!("login {}", masked(token?))));
    Ok(credential)
}

/// Asks for the quota of a login, and for the models. What does not come is no trouble: the former stays.
pub(crate) async fn survey(own: &Section, io: &dyn Io, account: &Credential) -> Result<Survey, AccountError> {
    let renewed = account.refresh.is_some();
    let quota = if renewed { usage_quota(&ask(own, io, account, "api/oauth/usage").await?) } else { None };
    let list = ask(own, io, account, "v1/models?limit=1000").await;
    let list = if renewed { list.unwrap_or_default() } else { list? };
    let mut models: Vec<Model> =
        listed(&list).map(|(id, entry)| Model { id: id.to_owned(), entry: entry.clone() }).collect();
    // What is offered under the short name of a dated model is that model.
    let short = |offered: &String| {
        let dated = |(id, _): &(&str, &Value)| id.strip_prefix(offered.as_str()).is_some_and(is_date);
        let (_, entry) = listed(&list).filter(dated).max_by_key(|(id, _)| *id)?;
        Some(Model { id: offered.clone(), entry: entry.clone() })
    };
    models.extend(own.model_list.iter().filter_map(short));
    Ok(Survey { quota, models: (!models.is_empty()).then_some(models), ..Survey::default() })
}

fn is_date(rest: &str) -> bool {
    rest.strip_prefix('-')
        .is_some_and(|date| date.len() == 8 && date.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Asks the API what costs nothing. What the account may not read is null: it may still serve. The errors say what
/// any other refusal means for it.
async fn ask(own: &Section, io: &dyn Io, account: &Credential, path: &str) -> Result<Value, AccountError> {
    let request = Request::new(Method::GET, format!("{}/{path}", own.api_url)).agent(&own.user_agent);
    let reply = io.ask(authorize(request, account)?).await?;
    if reply.status.is_success() {
        return Ok(reply.value());
    }
    let body = reply.value();
    let told = Told::read(&body, &reply.body);
    if let Some(reason) = told.suspension(reply.status) {
        return Err(reason.into());
    }
    let for_good = |code: &'static str, text: &str| Err(Reason::new(code, text).into());
    match reply.status {
        StatusCode::FORBIDDEN => Ok(Value::Null),
        StatusCode::UNAUTHORIZED if !is_login(account) => for_good("invalid_api_key", UNKNOWN_KEY),
        // With a refresh token it may only have ended.
        StatusCode::UNAUTHORIZED if account.refresh.is_none() => {
            for_good("login_rejected", "Anthropic does not accept the login: log in again")
        }
        status => {
            Err(AccountError::Transient(format!("Anthropic answered {status}: {}", sentence(told.text))))
        }
    }
}
