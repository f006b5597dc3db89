use crate::{
    config::{Config, OAuth},
    reply::quota,
    verdict::{GoogleError, sentence},
};
use jsonwebtoken::dangerous::insecure_decode_claims;
use pollux_sdk::{
    AccountError, Credential, Grant, HeaderName, Io, Method, Reason, Reply, Request, Secret, Survey,
};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::time::{Duration, SystemTime};
use url::form_urlencoded;

// Files.

const REFRESH: &[&str] = &["refresh_token", "refreshToken"];
const ACCESS: &[&str] = &["access_token", "token"];
const END_OF_CENTURY: u64 = 4_102_444_800_000;
const EXTRA: [(&str, &[&str]); 3] = [
    ("project", &["project_id", "projectId"]),
    ("client_id", &["client_id"]),
    ("client_secret", &["client_secret"]),
];

/// Gemini CLI's `oauth_creds.json`, an application default credential, or an entry of `resource:add`.
pub(crate) fn import(file: &Value) -> Option<Credential> {
    let text = |names: &[&str]| names.iter().find_map(|name| filled(file.get(name)?.as_str()?));
    if file.get("tokens").is_some() || text(&["type"]).is_some_and(|kind| kind != "authorized_user") {
        return None; // a file of Codex CLI's, or a login that another token endpoint serves
    }
    let mut credential = Credential::from_refresh(text(REFRESH)?);
    credential.access = text(ACCESS).map(Secret::new);
    // An untold end counts as past: one refresh too many is better than an hour of 401s.
    let millis = file["expiry_date"].as_u64().unwrap_or(0).min(END_OF_CENTURY);
    let end = SystemTime::UNIX_EPOCH + Duration::from_millis(millis);
    credential.expires_at = credential.access.is_some().then_some(end);
    let extra = EXTRA.iter().filter_map(|(key, names)| Some((key.to_string(), text(names)?.into())));
    credential.extra.extend(extra);
    Some(credential)
}

/// Writes the credential's own fields, under the names that the file uses already.
pub(crate) fn export(credential: &Credential, file: &mut Value) {
    if !file.is_object() {
        *file = json!({"token_type": "Bearer", "scope": crate::descriptor::SCOPES});
    }
    let Some(file) = file.as_object_mut() else { return };
    let secret = |secret: &Option<Secret>| secret.as_ref().map(|secret| secret.expose().into());
    set(file, REFRESH, secret(&credential.refresh));
    set(file, ACCESS, secret(&credential.access));
    let end = credential.expires_at.and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok());
    set(file, &["expiry_date"], end.and_then(|end| u64::try_from(end.as_millis()).ok()).map(Into::into));
    for (key, names) in EXTRA {
        set(file, names, credential.extra(key).map(Into::into));
    }
}

fn set(file: &mut Map<String, Value>, names: &[&str], value: Option<Value>) {
    let name = names.iter().find(|name| file.contains_key(**name)).unwrap_or(&names[0]);
    match value {
        Some(value) => file.insert((*name).to_owned(), value),
        None => file.shift_remove(*name),
    };
}

fn filled(text: &str) -> Option<&str> {
    Some(text.trim()).filter(|text| !text.is_empty())
}

// Tokens.

/// Spends a code or a refresh token.
pub(crate) async fn obtain(
    config: &Config,
    io: &dyn Io,
    grant: Grant<'_>,
) -> Result<Credential, AccountError> {
    let request = Request::post(&config.oauth.token_url, form(&config.oauth, grant)?)
        .header(HeaderName::from_static("content-type"), "application/x-www-form-urlencoded");
    let reply = io.send(config.named(request)).await?;
    let login = tokens(&reply, io.now())?;
    if matches!(grant, Grant::Code { .. }) && login.refresh.is_none() {
        let link = "https://myaccount.google.com/connections".to_owned();
        let text = "Google sent no refresh token: take the access back there, then log in again";
        return Err(Reason::new("no_refresh_token", text).at(Some(link)).into());
    }
    Ok(login)
}

fn form(oauth: &OAuth, grant: Grant<'_>) -> Result<String, AccountError> {
    let mut form = form_urlencoded::Serializer::new(String::new());
    let ours = (oauth.client_id.as_str(), oauth.client_secret.as_ref().map(Secret::expose));
    let (id, secret) = match grant {
        Grant::Code { code, verifier, redirect_uri, .. } => {
            form.append_pair("grant_type", "authorization_code").append_pair("code", code);
            form.append_pair("code_verifier", verifier).append_pair("redirect_uri", redirect_uri);
            ours
        }
        Grant::Refresh(old) => {
            let none = || Reason::new("no_refresh_token", "the account has no refresh token");
            form.append_pair("grant_type", "refresh_token");
            form.append_pair("refresh_token", old.refresh.as_ref().ok_or_else(none)?.expose());
            // A login belongs to the client that it was made with.
            old.extra("client_id").map_or(ours, |id| (id, old.extra("client_secret")))
        }
        _ => return Err(AccountError::unsupported()),
    };
    form.append_pair("client_id", id);
    form.extend_pairs(secret.map(|secret| ("client_secret", secret)));
    Ok(form.finish())
}

fn tokens(reply: &Reply, now: SystemTime) -> Result<Credential, AccountError> {
    let json: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
    let text = |key: &str| json[key].as_str().and_then(filled);
    if !reply.status.is_success() {
        let word = sentence(text("error").unwrap_or("no reason given"));
        return Err(match word.as_str() {
            "invalid_grant" if reply.status.is_client_error() => {
                let code =
                    text("error_subtype").filter(|word| *word == "invalid_rapt").and(Some("invalid_rapt"));
                let story = sentence(text("error_description").unwrap_or_default());
                Reason::new(
                    code.unwrap_or("invalid_grant"),
                    format!("Google refuses the login, log in again: {story}"),
                )
                .into()
            }
            "invalid_client" | "unauthorized_client" => AccountError::Transient(format!(
                "Google refuses the OAuth client ({word}): check providers.geminicli.oauth, or the file's client_id"
            )),
            _ => AccountError::Transient(format!("the token endpoint answered {} ({word})", reply.status)),
        });
    }
    let access =
        text("access_token").ok_or_else(|| AccountError::Unsure("no token in Google's answer".into()))?;
    let lifetime = Duration::from_secs(json["expires_in"].as_u64().unwrap_or(3599).min(400 * 86_400));
    let mut login =
        Credential { refresh: text("refresh_token").map(Secret::new), ..Credential::from_key(access) };
    login.expires_at = now.checked_add(lifetime);
    // It came straight from Google over TLS; its signature would prove nothing more.
    let claims = text("id_token").and_then(|token| insecure_decode_claims::<Person>(token).ok());
    if let Some(Person { sub, email }) = claims {
        login.extra.insert("sub".into(), sub.into());
        login.label = email;
    }
    Ok(login)
}

#[derive(Deserialize)]
struct Person {
    #[serde(alias = "id")]
    sub: String,
    email: Option<String>,
}

// Enrolment: the way of Gemini CLI's own set-up.

/// Who it is, and which project pays.
pub(crate) async fn enroll(
    config: &Config,
    io: &dyn Io,
    mut credential: Credential,
) -> Result<Vec<Credential>, AccountError> {
    let given = credential.extra("project").and_then(filled).map(str::to_owned);
    if given.as_ref().is_some_and(|project| project.bytes().all(|byte| byte.is_ascii_digit())) {
        return Err(Reason::new("project_required", "that is a project's number; its id is needed").into());
    }
    let caller = Caller { config, io, access: credential.access()? };
    let known = credential.extra("sub").map(|sub| Person { sub: sub.into(), email: None });
    let person = if let Some(person) = known { person } else { caller.userinfo().await? };
    let about = caller.load(given.as_deref()).await?;
    let text = |value: &Value| value.as_str().and_then(filled).map(str::to_owned);
    let (tier, project) = if let Some(current) = text(&about["currentTier"]["id"]) {
        (text(&about["paidTier"]["id"]).unwrap_or(current), text(&about["cloudaicompanionProject"]).or(given))
    } else {
        let (tier, project) = tier_to_join(&about, given)?;
        let found = caller.onboard(&tier, project.as_deref()).await?;
        (tier, found.or(project))
    };
    let project = project.ok_or_else(|| refusal(&about))?;
    credential.subject = Some(format!("{}/{project}", person.sub));
    credential.label = person.email.or(credential.label);
    for (key, value) in [("sub", person.sub), ("project", project), ("tier", tier)] {
        credential.extra.insert(key.into(), value.into());
    }
    Ok(vec![credential])
}

/// The tier to onboard to, and the project to do it with.
fn tier_to_join(about: &Value, given: Option<String>) -> Result<(String, Option<String>), Reason> {
    let tiers = about["allowedTiers"].as_array();
    let default = tiers.into_iter().flatten().find(|tier| tier["isDefault"] == true).unwrap_or(&Value::Null);
    let tier = default["id"].as_str().and_then(filled).unwrap_or("legacy-tier").to_owned();
    let free = tier == "free-tier"; // with a project it answers "Precondition check failed"
    let project = given.filter(|_| !free);
    let homeless = project.is_none() && !free && default["userDefinedCloudaicompanionProject"] != false;
    let refused = refusal(about);
    if homeless || (refused.code == "validation_required" && refused.link.is_some()) {
        return Err(refused);
    }
    Ok((tier, project))
}

/// Why there is no project, in the vendor's words where it has any.
fn refusal(about: &Value) -> Reason {
    let tiers = || about["ineligibleTiers"].as_array().into_iter().flatten();
    let validation = tiers().find(|tier| tier["reasonCode"] == "VALIDATION_REQUIRED");
    let Some(tier) = validation.or_else(|| tiers().next()) else {
        let how = "the account needs a Google Cloud project of its owner's: add it again with \"project_id\"";
        return Reason::new("project_required", how);
    };
    let word = tier["reasonCode"].as_str().unwrap_or_default().to_ascii_lowercase(); // the vendor's list is open
    let plain = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    let code = if plain { word } else { "ineligible".to_owned() };
    let mut text = sentence(tier["reasonMessage"].as_str().unwrap_or("the account is not eligible"));
    if code == "unsupported_client" {
        text += " A licensed project still works: add the account again with its \"project_id\".";
    }
    let link = tier["validationUrl"].as_str().filter(|url| url.starts_with("https://"));
    Reason::new(code, text).at(link.map(Into::into))
}

/// Calls Code Assist as one login. Nothing here spends a token: whatever failed may be repeated.
struct Caller<'a> {
    config: &'a Config,
    io: &'a dyn Io,
    access: &'a Secret,
}

impl Caller<'_> {
    async fn userinfo(&self) -> Result<Person, AccountError> {
        let answer = self.call(Method::GET, self.config.oauth.userinfo_url.clone(), &Value::Null).await?;
        serde_json::from_value(answer).map_err(|error| AccountError::Transient(format!("user info: {error}")))
    }

    async fn load(&self, project: Option<&str>) -> Result<Value, AccountError> {
        match self.post("loadCodeAssist", &introduced(json!({}), project)).await {
            // A perimeter hides the answer; only accounts of the standard tier have one.
            Err(AccountError::Suspend(reason)) if reason.code == "security_policy_violated" => {
                Ok(json!({"currentTier": {"id": "standard-tier"}}))
            }
            other => other,
        }
    }

    /// Onboards and waits for the end of it, a minute at most.
    async fn onboard(&self, tier: &str, project: Option<&str>) -> Result<Option<String>, AccountError> {
        let mut operation = self.post("onboardUser", &introduced(json!({"tierId": tier}), project)).await?;
        for _ in 0..12 {
            let Some(name) = operation["name"].as_str().filter(|_| operation["done"] != true) else { break };
            if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/_-".contains(&byte)) {
                return Err(AccountError::Transient("the operation has an odd name".into()));
            }
            let url = format!("{}/v1internal/{name}", self.config.api_url);
            self.io.pause(Duration::from_secs(5)).await;
            operation = self.call(Method::GET, url, &Value::Null).await?;
        }
        if operation["error"].is_object() {
            return Err(judged(400, &GoogleError::read(operation.to_string().as_bytes())));
        }
        if operation["done"] != true && operation["name"].is_string() {
            return Err(AccountError::Transient("onboarding takes longer than a minute".into()));
        }
        let project = operation.pointer("/response/cloudaicompanionProject/id").and_then(Value::as_str);
        Ok(project.and_then(filled).map(Into::into))
    }

    async fn post(&self, name: &str, body: &Value) -> Result<Value, AccountError> {
        self.call(Method::POST, format!("{}/v1internal:{name}", self.config.api_url), body).await
    }

    async fn call(&self, method: Method, url: String, body: &Value) -> Result<Value, AccountError> {
        let mut request = self.config.signed(method, url, self.access)?;
        if !body.is_null() {
            request.body = body.to_string().into();
        }
        let reply =
            self.io.send(request).await.map_err(|error| AccountError::Transient(error.to_string()))?;
        if !reply.status.is_success() {
            return Err(judged(reply.status.as_u16(), &GoogleError::read(&reply.body)));
        }
        serde_json::from_slice(&reply.body)
            .map_err(|_| AccountError::Transient("an unreadable answer".into()))
    }
}

fn introduced(mut body: Value, project: Option<&str>) -> Value {
    body["metadata"] =
        json!({"ideType": "IDE_UNSPECIFIED", "platform": "PLATFORM_UNSPECIFIED", "pluginType": "GEMINI"});
    if let Some(project) = project {
        body["cloudaicompanionProject"] = project.into();
        body["metadata"]["duetProject"] = project.into();
    }
    body
}

fn judged(status: u16, error: &GoogleError) -> AccountError {
    match error.blocked() {
        Some(reason) => reason.into(),
        None if status == 400 => Reason::new("onboarding_refused", error.message()).into(),
        None => AccountError::Transient(format!("Google answered {status}: {}", error.message())),
    }
}

/// Asks how much of the daily allowance is left.
pub(crate) async fn survey(
    config: &Config,
    io: &dyn Io,
    credential: &Credential,
) -> Result<Survey, AccountError> {
    let caller = Caller { config, io, access: credential.access()? };
    let answer = caller.post("retrieveUserQuota", &json!({"project": credential.extra("project")})).await;
    // Quota is refused to accounts that may still generate: never a reason to take one out.
    let answer = answer.map_err(|error| AccountError::Transient(error.to_string()))?;
    Ok(Survey { quota: Some(quota(&answer)), ..Survey::default() })
}
