use crate::{Reason, Reply, Request, Unreachable, async_trait};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};
use std::{
    fmt,
    time::{Duration, SystemTime},
};

/// One account. All of it is sealed at rest but `subject`, `label` and `expires_at`.
#[derive(Clone, Serialize, Deserialize)]
pub struct Credential {
    /// What the vendor says makes two credentials the same; `None` until enrolled (then a hash of the token stands in).
    pub subject: Option<String>,
    /// What people call it, usually the e-mail address.
    pub label: Option<String>,
    /// Access token or API key; `None` until the first refresh.
    pub access: Option<Secret>,
    /// Refresh token; an API key has none.
    pub refresh: Option<Secret>,
    /// End of `access`; `None` means it does not expire.
    pub expires_at: Option<SystemTime>,
    /// What only the provider reads (but `plan` and `tier`): project, its own client. Secrets are fine here.
    #[serde(default)]
    pub extra: Map<String, Value>,
}

impl Credential {
    /// A credential that lives by a refresh token.
    pub fn from_refresh(token: impl Into<String>) -> Self {
        Self {
            subject: None,
            label: None,
            access: None,
            refresh: Some(Secret::new(token)),
            expires_at: None,
            extra: Map::new(),
        }
    }
    /// A credential that is a key.
    pub fn from_key(key: impl Into<String>) -> Self {
        Self { access: Some(Secret::new(key)), refresh: None, ..Self::from_refresh("") }
    }
    /// Reads `extra` as the provider's own type.
    ///
    /// # Errors
    /// Fails when a field is missing or has another type.
    pub fn account<T: DeserializeOwned>(&self) -> Result<T, Reason> {
        T::deserialize(&self.extra).map_err(|error| Reason::new("incomplete_account", error.to_string()))
    }
    /// A text member of `extra`.
    pub fn extra(&self, key: &str) -> Option<&str> {
        self.extra.get(key)?.as_str()
    }
    /// What the vendor calls the account's plan, the finer word first: the members `tier` and `plan` of `extra`, which
    /// the host reads too, as plans have prices.
    pub fn plans(&self) -> impl Iterator<Item = &str> {
        ["tier", "plan"].into_iter().filter_map(|name| self.extra(name))
    }
    /// The access token.
    ///
    /// # Errors
    /// Fails while there is none.
    pub fn access(&self) -> Result<&Secret, Reason> {
        self.access
            .as_ref()
            .ok_or_else(|| Reason::new("no_access_token", "the account has no access token yet"))
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential")
            .field("subject", &self.subject)
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

/// A string that never prints itself.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Wraps `value`.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }
    /// Hands out the plain text.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// A browser login. State, PKCE, cookies and pages are the host's.
#[derive(Debug, Clone)]
pub struct Login {
    /// The authorize URL with all fixed parameters; the host adds `redirect_uri`, `state` and `code_challenge`.
    pub authorize: String,
    /// Where the vendor sends the browser.
    pub redirect: Redirect,
}

/// Where the vendor sends the browser after a login. Wherever that is, the result can also be pasted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Redirect {
    /// A path of this server: at the loopback address the browser used, or below `public_url` where the vendor
    /// allows that (`anywhere`).
    Here {
        /// The path.
        path: &'static str,
        /// Whether the vendor's client accepts an address that is not loopback.
        anywhere: bool,
    },
    /// A fixed loopback address; the host listens there while a login is open.
    Loopback(&'static [u16], &'static str),
    /// A page of the vendor's that shows the code.
    Page(&'static str),
}

/// What a token endpoint takes.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Grant<'a> {
    /// The code of a browser login.
    Code {
        /// Code.
        code: &'a str,
        /// State as it was sent; some vendors want it back.
        state: &'a str,
        /// PKCE verifier.
        verifier: &'a str,
        /// As in the authorize URL.
        redirect_uri: &'a str,
    },
    /// The refresh token of a stored account. The answer's `None`s and missing `extra` keys leave what is stored.
    Refresh(&'a Credential),
}

/// What a credential file is to a provider, by its content alone.
#[derive(Debug, Clone, PartialEq)]
pub enum Recognition {
    /// Not one of the vendor's.
    Foreign,
    /// `import` takes it, but it might as well be another vendor's: the names of its folder and file decide.
    Possible,
    /// The vendor's beyond doubt.
    Own,
    /// As `Own`, and there is one account for each value of this member of [`Credential::extra`]: what the file holds
    /// takes the place of whoever had it.
    Replaces(&'static str),
    /// The vendor's, but nothing that the provider can serve with. The text says why and never quotes the file.
    Unusable(Reason),
}

/// A login that a person finishes in a browser anywhere, by a code (RFC 8628 and its relatives).
#[derive(Debug, Clone)]
pub struct Device {
    /// The vendor's page.
    pub page: String,
    /// What the person enters there.
    pub code: String,
    /// What the vendor knows this login by.
    pub handle: Secret,
    /// How long to wait between two questions.
    pub interval: Duration,
    /// How long the code is good for.
    pub life: Duration,
}

/// How such a login stands.
#[derive(Debug, Clone)]
pub enum Approval {
    /// Nobody has entered the code yet.
    Pending,
    /// Nor yet, and the questions come too fast.
    SlowDown,
    /// A code for [`Grant::Code`].
    Given {
        /// Code.
        code: Secret,
        /// PKCE verifier that the vendor made.
        verifier: Secret,
        /// The redirect address that belongs to it.
        redirect_uri: String,
    },
}

/// Why an account operation failed.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// For good, or until a person acts.
    #[error(transparent)]
    Suspend(#[from] Reason),
    /// Not now; nothing was spent: the request did not leave, or the vendor answered with a passing failure.
    #[error("try again later: {0}")]
    Transient(String),
    /// It left, and no readable answer came back: a single-use token may be spent.
    #[error("the outcome is unknown: {0}")]
    Unsure(String),
}

impl AccountError {
    /// The provider has no such operation.
    pub fn unsupported() -> Self {
        Self::Suspend(Reason::new("unsupported", "this provider cannot do that"))
    }
}

impl From<Unreachable> for AccountError {
    fn from(error: Unreachable) -> Self {
        if error.sent { Self::Unsure(error.to_string()) } else { Self::Transient(error.to_string()) }
    }
}

/// The outside world, as account operations see it. Proxy, timeouts, pacing, size caps and logs are behind it.
#[async_trait]
pub trait Io: Send + Sync {
    /// Sends one request.
    async fn send(&self, request: Request) -> Result<Reply, Unreachable>;
    /// Waits.
    async fn pause(&self, time: Duration);
    /// The time.
    fn now(&self) -> SystemTime;
}
