use crate::store::LoginRow;
use actix_web::cookie::{Cookie, SameSite, time::Duration as CookieAge};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use pollux_sdk::Secret;
use sha2::{Digest, Sha256};
use std::time::{Duration, SystemTime};

/// How long a login may take.
pub(crate) const LIFE: Duration = Duration::from_mins(15);

/// A login that has just begun.
pub(crate) struct Session {
    /// For the cookie; the store has only its digest.
    pub(super) id: String,
    pub(crate) row: LoginRow,
}

impl Session {
    pub(crate) fn begin(
        provider: &str,
        redirect_uri: String,
        home: String,
        origin: &crate::accounts::Origin,
    ) -> Self {
        let id = random();
        let row = LoginRow {
            id_hash: digest(&id),
            provider: provider.to_owned(),
            state: Secret::new(random()),
            verifier: Secret::new(format!("{}{}", random(), random())),
            redirect_uri,
            home,
            origin: origin.address.clone(),
            trusted: origin.trusted,
            expires_at: SystemTime::now() + LIFE,
        };
        Self { id, row }
    }

    /// The S256 challenge of its verifier (RFC 7636).
    pub(crate) fn challenge(&self) -> String {
        URL_SAFE_NO_PAD.encode(Sha256::digest(self.row.verifier.expose()))
    }
}

/// 256 random bits, safe in URLs and cookies.
pub(super) fn random() -> String {
    URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>())
}

pub(super) fn digest(id: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(id))
}

fn name(provider: &str) -> String {
    format!("pollux_login_{provider}")
}

/// The session id that the browser sends for a login with `provider`.
pub(super) fn sent(request: &actix_web::HttpRequest, provider: &str) -> Option<String> {
    request.cookie(&name(provider)).map(|cookie| cookie.value().to_owned())
}

/// The cookie of a session; `None` takes it away. Both have the same attributes, or the browser would keep it.
pub(super) fn cookie(provider: &str, id: Option<&str>, insecure: bool) -> Cookie<'static> {
    let age = id.map_or(0, |_| i64::try_from(LIFE.as_secs()).unwrap_or(900));
    Cookie::build(name(provider), id.unwrap_or_default().to_owned())
        .path("/")
        .http_only(true)
        .same_site(SameSite::Lax)
        .secure(!insecure)
        .max_age(CookieAge::seconds(age))
        .finish()
}
