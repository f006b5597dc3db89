use crate::{config, descriptor::SCOPES, reply::quota};
use pollux_sdk::kit::oauth::{self, Names, Section};
use pollux_sdk::kit::{claims, each, google::GoogleError, sentence, text};
use pollux_sdk::{AccountError, Credential, Grant, Io, Method, Reason, Recognition, Request, Secret, Survey};
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::{Duration, SystemTime};

const END_OF_CENTURY: u64 = 4_102_444_800_000;
const NAMES: Names = Names {
    refresh: &["refresh_token", "refreshToken"],
    access: &["access_token", "token"],
    extra: &[
        ("project", &["project_id", "projectId"]),
        ("client_id", &["client_id"]),
        ("client_secret", &["client_secret"]),
    ],
};

/// Gemini CLI's `oauth_creds.json`, an application default credential, or an entry of `resource:add`.
pub(crate) fn import(file: &Value) -> Option<Credential> {
    if file.get("tokens").is_some() || text(&file["type"]).is_some_and(|kind| kind != "authorized_user") {
        return None; // a file of Codex CLI's, or a login that another token endpoint serves
    }
    let mut credential = NAMES.read(file).filter(|credential| credential.refresh.is_some())?;
    // An untold end counts as past: one refresh too many is better than an hour of 401s.
    let millis = file["expiry_date"].as_u64().unwrap_or(0).min(END_OF_CENTURY);
    let end = SystemTime::UNIX_EPOCH + Duration::from_millis(millis);
    credential.expires_at = credential.access.is_some().then_some(end);
    Some(credential)
}

/// Tells Google's files by their members and tokens. One that names client and project is Gcli-Nexus's, where a
/// project has one account.
pub(crate) fn recognise(file: &Value) -> Recognition {
    let Some(credential) = import(file) else {
        const TYPES: [&str; 4] = [
            "service_account",
            "impersonated_service_account",
            "external_account",
            "external_account_authorized_user",
        ];
        let how = "it is a service account's or a workforce's, and only logins of people can be served";
        let others = text(&file["type"]).is_some_and(|kind| TYPES.contains(&kind));
        let unusable = || Recognition::Unusable(Reason::new("no_login_of_a_person", how));
        return if others { unusable() } else { Recognition::Foreign };
    };
    let has = |key| credential.extra(key).is_some();
    if has("project") && has("client_id") {
        return Recognition::Replaces("project");
    }
    let starts =
        |token: &Option<Secret>, start| token.as_ref().is_some_and(|token| token.expose().starts_with(start));
    let tokens = starts(&credential.refresh, "1//") || starts(&credential.access, "ya29.");
    let members = ["expiry_date", "type", "token_uri"].into_iter().any(|name| file.get(name).is_some());
    if tokens || members || has("project") || has("client_id") {
        Recognition::Own
    } else {
        Recognition::Possible
    }
}

/// Writes the credential's own fields, under the names that the file uses already.
pub(crate) fn export(credential: &Credential, file: &mut Value) {
    if !file.is_object() {
        *file = json!({"token_type": "Bearer", "scope": SCOPES});
    }
    NAMES.write(credential, file);
    let end = credential.expires_at.and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok());
    let end = end.and_then(|end| u64::try_from(end.as_millis()).ok());
    oauth::put(file, &["expiry_date"], end.map(Into::into));
}

/// Spends a code or a refresh token.
pub(crate) async fn obtain(own: &Section, io: &dyn Io, grant: Grant<'_>) -> Result<Credential, AccountError> {
    let request = Request::form(&own.oauth.token_url, own.oauth.fields(grant)?);
    let for_good = |_, code: &str, body: &Value| {
        let rapt = body["error_subtype"] == "invalid_rapt";
        let story = sentence(body["error_description"].as_str().unwrap_or_default());
        let text = format!("Google refuses the login, log in again: {story}");
        (code == "invalid_grant")
            .then(|| Reason::new(if rapt { "invalid_rapt" } else { "invalid_grant" }, text))
    };
    let answer = own.spend(io, request, for_good).await?;
    let untold = || AccountError::Unsure("no token in Google's answer".into());
    let mut login = Credential::from_key(text(&answer["access_token"]).ok_or_else(untold)?);
    login.refresh = text(&answer["refresh_token"]).map(Secret::new);
    if matches!(grant, Grant::Code { .. }) && login.refresh.is_none() {
        let link = "https://myaccount.google.com/connections".to_owned();
        let text = "Google sent no refresh token: take the access back there, then log in again";
        return Err(Reason::new("no_refresh_token", text).at(Some(link)).into());
    }
    login.expires_at = Some(oauth::expiry(&answer, io.now()));
    if let Some(Person { sub, email }) = text(&answer["id_token"]).and_then(claims) {
        login.extra.insert("sub".into(), sub.into());
        login.label = email;
    }
    Ok(login)
}

#[derive(Clone, Deserialize)]
struct Person {
    #[serde(alias = "id")]
    sub: String,
    email: Option<String>,
}

/// Who it is, and which project pays: the way of Gemini CLI's own set-up.
pub(crate) async fn enroll(
    own: &Section,
    io: &dyn Io,
    mut credential: Credential,
) -> Result<Vec<Credential>, AccountError> {
    let given = credential.extra("project").map(str::trim).filter(|project| !project.is_empty());
    if given.is_some_and(|project| project.bytes().all(|byte| byte.is_ascii_digit())) {
        return Err(Reason::new("project_required", "that is a project's number; its id is needed").into());
    }
    let caller = Caller { own, io, access: credential.access()? };
    let person = match credential.extra("sub") {
        Some(sub) => Person { sub: sub.into(), email: None },
        None => caller.userinfo().await?,
    };
    let about = caller.load(given).await?;
    let (tier, project) = if let Some(current) = text(&about["currentTier"]["id"]) {
        let project = text(&about["cloudaicompanionProject"]).or(given);
        (text(&about["paidTier"]["id"]).unwrap_or(current), project.map(str::to_owned))
    } else {
        let (tier, project) = tier_to_join(&about, given)?;
        (tier, caller.onboard(tier, project).await?.or(project.map(str::to_owned)))
    };
    let project = project.ok_or_else(|| refusal(&about))?;
    credential.subject = Some(format!("{}/{project}", person.sub));
    credential.label = person.email.or(credential.label);
    for (key, value) in [("sub", person.sub), ("project", project), ("tier", tier.to_owned())] {
        credential.extra.insert(key.into(), value.into());
    }
    Ok(vec![credential])
}

/// The tier to onboard to, and the project to do it with.
fn tier_to_join<'a, 'b>(
    about: &'a Value,
    given: Option<&'b str>,
) -> Result<(&'a str, Option<&'b str>), Reason> {
    let default = each(&about["allowedTiers"]).find(|tier| tier["isDefault"] == true);
    let default = default.unwrap_or(&Value::Null);
    let tier = text(&default["id"]).unwrap_or("legacy-tier");
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
    let tiers = &about["ineligibleTiers"];
    let validation = each(tiers).find(|tier| tier["reasonCode"] == "VALIDATION_REQUIRED");
    let Some(tier) = validation.or(tiers.get(0)) else {
        let how = "the account needs a Google Cloud project of its owner's: add it again with \"project_id\"";
        return Reason::new("project_required", how);
    };
    let word = tier["reasonCode"].as_str().unwrap_or_default().to_ascii_lowercase(); // the vendor's list is open
    let code = if oauth::is_word(&word) { word } else { "ineligible".to_owned() };
    let mut text = sentence(tier["reasonMessage"].as_str().unwrap_or("the account is not eligible"));
    if code == "unsupported_client" {
        text += " A licensed project still works: add the account again with its \"project_id\".";
    }
    let link = tier["validationUrl"].as_str().filter(|url| url.starts_with("https://"));
    Reason::new(code, text).at(link.map(Into::into))
}

/// Calls Code Assist as one login. Nothing here spends a token: whatever failed may be repeated.
struct Caller<'a> {
    own: &'a Section,
    io: &'a dyn Io,
    access: &'a Secret,
}

impl Caller<'_> {
    async fn userinfo(&self) -> Result<Person, AccountError> {
        let answer = self.call(Method::GET, &self.own.oauth.userinfo_url, &Value::Null).await?;
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
            let url = format!("{}/v1internal/{name}", self.own.api_url);
            self.io.pause(Duration::from_secs(5)).await;
            operation = self.call(Method::GET, &url, &Value::Null).await?;
        }
        if operation["error"].is_object() {
            return Err(judged(400, operation.to_string().as_bytes()));
        }
        if operation["done"] != true && operation["name"].is_string() {
            return Err(AccountError::Transient("onboarding takes longer than a minute".into()));
        }
        Ok(text(&operation["response"]["cloudaicompanionProject"]["id"]).map(Into::into))
    }

    async fn post(&self, name: &str, body: &Value) -> Result<Value, AccountError> {
        self.call(Method::POST, &format!("{}/v1internal:{name}", self.own.api_url), body).await
    }

    async fn call(&self, method: Method, url: &str, body: &Value) -> Result<Value, AccountError> {
        let mut request = config::request(self.own, method, url, self.access)?;
        if !body.is_null() {
            request.body = body.to_string().into();
        }
        let reply = self.io.ask(request).await?;
        if !reply.status.is_success() {
            return Err(judged(reply.status.as_u16(), &reply.body));
        }
        let unreadable = |_| AccountError::Transient("an unreadable answer".into());
        serde_json::from_slice(&reply.body).map_err(unreadable)
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

fn judged(status: u16, body: &[u8]) -> AccountError {
    let error = GoogleError::read(body);
    match error.blocked() {
        Some(reason) => reason.into(),
        None if status == 400 => Reason::new("onboarding_refused", error.message()).into(),
        None => AccountError::Transient(format!("Google answered {status}: {}", error.message())),
    }
}

/// Asks how much of the daily allowance is left.
pub(crate) async fn survey(own: &Section, io: &dyn Io, account: &Credential) -> Result<Survey, AccountError> {
    let caller = Caller { own, io, access: account.access()? };
    let answer = caller.post("retrieveUserQuota", &json!({"project": account.extra("project")})).await;
    // Quota is refused to accounts that may still generate: never a reason to take one out.
    let answer = answer.map_err(|error| AccountError::Transient(error.to_string()))?;
    Ok(Survey { quota: Some(quota(&answer)), ..Survey::default() })
}
