//! Accounts that log in with OAuth: their section of the configuration, their token endpoint, their files.

use super::{after, is_web_url, text};
use crate::{
    AccountError, ConfigError, Credential, Grant, HeaderValue, Io, Reason, Reply, Request, Secret, Settings,
    StatusCode,
};
use serde::Deserialize;
use serde_json::Value;
use std::time::{Duration, SystemTime};

/// The section of a provider. A blank text means the vendor's own value.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Section {
    /// Offered until an account's survey names its own.
    pub model_list: Vec<String>,
    /// Base of the API, without a slash at its end.
    #[serde(alias = "custom_api_url")]
    pub api_url: String,
    /// For [`Request::agent`].
    pub user_agent: String,
    /// Where accounts log in.
    pub oauth: OAuth,
}

/// The login endpoints, and the client they know us by.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OAuth {
    /// Where the browser goes.
    pub authorize_url: String,
    /// Where codes and refresh tokens are spent.
    pub token_url: String,
    /// Who the account is; may be empty.
    pub userinfo_url: String,
    /// The client.
    pub client_id: String,
    client_secret: Option<Secret>,
}

/// A vendor's own values.
#[derive(Debug)]
pub struct Usual {
    /// Models.
    pub models: &'static [&'static str],
    /// Base of the API.
    pub api_url: &'static str,
    /// Where the browser goes.
    pub authorize_url: &'static str,
    /// Where codes and refresh tokens are spent.
    pub token_url: &'static str,
    /// Who the account is; empty where the tokens themselves say it.
    pub userinfo_url: &'static str,
    /// The vendor's client.
    pub client_id: &'static str,
    /// Its secret; empty for a public client.
    pub client_secret: &'static str,
}

impl Section {
    /// Reads, fills up and checks the section.
    ///
    /// # Errors
    /// Fails on an unknown key, a wrong type or a wrong value, and names the key.
    pub fn read(settings: Settings, usual: &Usual) -> Result<Self, ConfigError> {
        let provider = settings.id;
        let mut section: Self = settings.parse()?;
        let wrong = |key: &str, what: &str| Err(ConfigError::key(provider, key, what));
        let oauth = &mut section.oauth;
        if oauth.client_id.trim().is_empty() && !usual.client_secret.is_empty() {
            if oauth.secret().is_some() {
                return wrong("oauth.client_secret", "needs oauth.client_id beside it");
            }
            oauth.client_secret = Some(Secret::new(usual.client_secret));
        }
        for (key, value, usual) in [
            ("api_url", &mut section.api_url, usual.api_url),
            ("oauth.authorize_url", &mut oauth.authorize_url, usual.authorize_url),
            ("oauth.token_url", &mut oauth.token_url, usual.token_url),
            ("oauth.userinfo_url", &mut oauth.userinfo_url, usual.userinfo_url),
            ("oauth.client_id", &mut oauth.client_id, usual.client_id),
        ] {
            let given = value.trim();
            *value = if given.is_empty() { usual } else { given }.to_owned();
            if key.ends_with("_url") && !value.is_empty() && !is_web_url(value) {
                return wrong(key, &format!("`{value}` is not an http(s) URL"));
            }
        }
        section.api_url.truncate(section.api_url.trim_end_matches('/').len());
        if HeaderValue::from_str(section.user_agent.trim()).is_err() {
            return wrong("user_agent", "it has characters that no header may have");
        }
        if section.model_list.is_empty() {
            section.model_list = usual.models.iter().copied().map(Into::into).collect();
        }
        section.model_list.retain(|model| !model.trim().is_empty());
        if section.model_list.is_empty() {
            return wrong("model_list", "it names no model");
        }
        Ok(section)
    }

    /// Sends a request that spends a code or a refresh token, and returns the answer. `for_good` tells, by status,
    /// error code (empty without one) and body, which refusals end a login; it is not asked while the endpoint
    /// itself is in trouble.
    ///
    /// # Errors
    /// Fails when it is refused, and when no answer comes.
    pub async fn spend(
        &self,
        io: &dyn Io,
        request: Request,
        for_good: impl FnOnce(StatusCode, &str, &Value) -> Option<Reason>,
    ) -> Result<Value, AccountError> {
        let reply = io.send(request.agent(&self.user_agent)).await?;
        if reply.status.is_success() { Ok(reply.value()) } else { Err(refused(&reply, for_good)) }
    }
}

impl OAuth {
    /// The client's secret, where it has one.
    pub fn secret(&self) -> Option<&str> {
        self.client_secret.as_ref().map(Secret::expose).filter(|secret| !secret.trim().is_empty())
    }

    /// What the token endpoint is asked with, in any encoding.
    ///
    /// # Errors
    /// Fails where there is nothing to spend.
    pub fn fields<'a>(&'a self, grant: Grant<'a>) -> Result<Vec<(&'static str, &'a str)>, AccountError> {
        let (mut id, mut secret) = (self.client_id.as_str(), self.secret());
        let rest = match grant {
            Grant::Code { code, verifier, redirect_uri, .. } => vec![
                ("grant_type", "authorization_code"),
                ("code", code),
                ("code_verifier", verifier),
                ("redirect_uri", redirect_uri),
            ],
            Grant::Refresh(old) => {
                // A login belongs to the client that it was made with.
                if let Some(own) = old.extra("client_id") {
                    (id, secret) = (own, old.extra("client_secret"));
                }
                let none = || Reason::new("no_refresh_token", "the login has no refresh token: log in again");
                let token = old.refresh.as_ref().map(Secret::expose).filter(|token| !token.is_empty());
                vec![("grant_type", "refresh_token"), ("refresh_token", token.ok_or_else(none)?)]
            }
        };
        let secret = secret.map(|secret| ("client_secret", secret));
        Ok([("client_id", id)].into_iter().chain(secret).chain(rest).collect())
    }
}

/// When the access token of a token endpoint's answer ends; an hour where it does not say.
pub fn expiry(answer: &Value, now: SystemTime) -> SystemTime {
    after(now, answer["expires_in"].as_u64().map_or(Duration::from_hours(1), Duration::from_secs))
}

fn refused(reply: &Reply, for_good: impl FnOnce(StatusCode, &str, &Value) -> Option<Reason>) -> AccountError {
    let body = reply.value();
    let code = [&body["error"]["code"], &body["error"], &body["code"]].into_iter().find_map(text);
    let code = code.unwrap_or_default();
    let in_trouble = reply.status.is_server_error() || reply.status == StatusCode::TOO_MANY_REQUESTS;
    // A mistake in the configuration; no account is to be lost for it.
    if !in_trouble && matches!(code, "invalid_client" | "unauthorized_client") {
        let text = "the OAuth client is refused: check oauth.client_id, or the client of the login's file";
        return AccountError::Transient(format!("{text} ({code})"));
    }
    // What else a stranger writes there might be a token; a word is none.
    let word = if is_word(code) { code } else { "no reason given" };
    let passing =
        || AccountError::Transient(format!("the token endpoint answered {} ({word})", reply.status));
    let reason = if in_trouble { None } else { for_good(reply.status, code, &body) };
    reason.map_or_else(passing, Into::into)
}

/// Whether it is a stable word, such as `invalid_grant`, and no sentence or token.
pub fn is_word(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

/// The names that a vendor's credential files have for what a credential holds; of several, the vendor's own first.
#[derive(Debug)]
pub struct Names {
    /// Of the refresh token.
    pub refresh: &'static [&'static str],
    /// Of the access token.
    pub access: &'static [&'static str],
    /// Of texts in `Credential::extra`, by their keys there.
    pub extra: &'static [(&'static str, &'static [&'static str])],
}

impl Names {
    /// What `file` tells; `None` without any token.
    pub fn read(&self, file: &Value) -> Option<Credential> {
        let find = |names: &[&str]| names.iter().find_map(|name| text(&file[*name])).map(str::to_owned);
        let [refresh, access] = [self.refresh, self.access].map(|names| find(names).map(Secret::new));
        refresh.as_ref().or(access.as_ref())?;
        let extra = |(key, names): &(&str, &[&str])| Some(((*key).to_owned(), find(names)?.into()));
        let extra = self.extra.iter().filter_map(extra).collect();
        Some(Credential { access, refresh, extra, ..Credential::from_refresh("") })
    }

    /// Writes the credential under the names that the file has already; what the credential lacks goes.
    pub fn write(&self, credential: &Credential, file: &mut Value) {
        let secret = |secret: &Option<Secret>| secret.as_ref().map(|secret| secret.expose().into());
        put(file, self.refresh, secret(&credential.refresh));
        put(file, self.access, secret(&credential.access));
        for (key, names) in self.extra {
            put(file, names, credential.extra(key).map(Into::into));
        }
    }
}

/// Sets the member that has one of `names`, or the first of them; `None` removes it.
pub fn put(file: &mut Value, names: &[&str], value: Option<Value>) {
    let Some(file) = file.as_object_mut() else { return };
    let Some(name) = names.iter().find(|name| file.contains_key(**name)).or(names.first()) else { return };
    match value {
        Some(value) => file.insert((*name).to_owned(), value),
        None => file.shift_remove(*name),
    };
}

#[cfg(test)]
mod tests;
