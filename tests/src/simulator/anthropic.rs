//! Anthropic: accounts with keys and logins, OAuth with refresh tokens that are replaced, and the Messages API.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::oauth::Desk;
use super::quota::Quota;
use super::reply::Reply;
use super::script::Script;
use super::server::Asked;
use super::{World, lock, token};

mod catalogue;
mod events;
mod login;
mod messages;
mod refusal;
mod usage;

pub(crate) use events::failed;
pub use refusal::Refusal;

/// The public client of Claude Code.
pub const CLIENT_ID: &str = "9d1c250a-e61b-44d9-88ed-5944d1962f5e";
/// The page that shows a code to carry over by hand.
pub const CODE_PAGE: &str = "https://platform.claude.com/oauth/code/callback";

/// What a login may do unless told otherwise.
const SCOPES: &str = "user:profile user:inference";

#[derive(Debug)]
struct Record {
    user: String,
    organization: String,
    plan: String,
    lifetime: Duration,
    models: Option<Vec<String>>,
    used: (f64, f64),
    buckets: (u64, u64),
    quotas: Vec<Quota<Refusal>>,
    refusal: Option<Refusal>,
    only_claude_code: bool,
    grant_refusal: Option<(u16, Value)>,
    usage_refusal: Option<Refusal>,
}

/// Who calls, and how.
#[derive(Clone, Debug)]
struct Access {
    label: String,
    /// Scopes of a login; a key has none.
    scope: Option<String>,
    expires: u64,
    revoked: bool,
}

#[derive(Clone, Debug)]
struct Grant {
    label: String,
    scope: String,
    spent: bool,
}

/// A refresh token that came back after it had been replaced.
#[derive(Clone, Debug)]
pub struct Reuse {
    /// The account it belonged to.
    pub account: String,
    /// When it came back.
    pub at: Instant,
}

/// Counts of what happened at the token endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Codes exchanged.
    pub exchanges: usize,
    /// Refreshes granted.
    pub refreshes: usize,
    /// Requests refused.
    pub refusals: usize,
}

/// Ways in which the API is known to differ, or not known well enough.
#[derive(Clone, Copy, Debug)]
pub struct Habits {
    /// A refresh replaces the refresh token; otherwise the answer has none, and the former lives on.
    pub rotates: bool,
    /// Calls of logins without the OAuth beta are refused.
    pub wants_beta: bool,
}

impl Default for Habits {
    fn default() -> Self {
        Self { rotates: true, wants_beta: false }
    }
}

#[derive(Debug)]
pub(crate) struct State {
    models: Vec<String>,
    habits: Habits,
    desk: Desk,
    accounts: BTreeMap<String, Record>,
    access: HashMap<String, Access>,
    grants: HashMap<String, Grant>,
    reuses: Vec<Reuse>,
    tally: Tally,
}

impl Default for State {
    fn default() -> Self {
        Self {
            models: catalogue::usual(),
            habits: Habits::default(),
            desk: Desk::default(),
            accounts: BTreeMap::new(),
            access: HashMap::new(),
            grants: HashMap::new(),
            reuses: Vec::new(),
            tally: Tally::default(),
        }
    }
}

impl State {
    fn issue_grant(&mut self, label: &str, scope: &str) -> String {
        let refresh = format!("sk-ant-ort01-{label}-{}", token::random());
        let grant = Grant { label: label.to_owned(), scope: scope.to_owned(), spent: false };
        self.grants.insert(refresh.clone(), grant);
        refresh
    }

    fn issue_access(&mut self, label: &str, scope: &str, lifetime: Duration) -> String {
        let access = format!("sk-ant-oat01-{label}-{}", token::random());
        self.admit(&access, label, Some(scope), token::later(lifetime));
        access
    }

    fn admit(&mut self, secret: &str, label: &str, scope: Option<&str>, expires: u64) {
        let scope = scope.map(str::to_owned);
        let access = Access { label: label.to_owned(), scope, expires, revoked: false };
        self.access.insert(secret.to_owned(), access);
    }

    /// Who calls, or the refusal it gets.
    fn caller(&self, asked: &Asked) -> Result<Access, Refusal> {
        let Some((secret, as_key)) = secret(asked) else { return Err(Refusal::NoKey) };
        let unknown = if as_key { Refusal::UnknownKey } else { Refusal::InvalidToken };
        let access = self.access.get(secret).ok_or(unknown)?;
        // A login is no key, whatever header it is put into.
        if as_key && access.scope.is_some() {
            return Err(Refusal::UnknownKey);
        }
        if access.revoked {
            return Err(Refusal::Revoked);
        }
        if access.expires <= token::now() {
            return Err(Refusal::TokenExpired);
        }
        let betas = asked.request.headers.iter().filter(|(name, _)| name == "anthropic-beta");
        let named =
            betas.flat_map(|(_, list)| list.split(',')).filter(|beta| beta.trim() == "oauth-2025-04-20");
        let count = named.count();
        if access.scope.is_some() && self.habits.wants_beta && count != 1 {
            return Err(Refusal::NotSupported);
        }
        Ok(access.clone())
    }

    /// As [`State::caller`], with a scope that a login needs.
    fn caller_with(&self, asked: &Asked, scope: &str) -> Result<Access, Refusal> {
        let access = self.caller(asked)?;
        let may = |scopes: &str| scopes.split(' ').any(|held| held == scope);
        if access.scope.as_deref().is_none_or(may) { Ok(access) } else { Err(Refusal::MissingScope) }
    }
}

/// The key or token of a request, and whether it came as a key.
fn secret(asked: &Asked) -> Option<(&str, bool)> {
    let key = asked.request.header("x-api-key").map(|key| (key, true));
    key.or_else(|| asked.request.bearer().map(|token| (token, false)))
}

/// Anthropic's side of the simulator.
#[derive(Clone, Debug)]
pub struct Anthropic {
    world: Arc<World>,
}

impl Anthropic {
    pub(crate) fn new(world: Arc<World>) -> Self {
        Self { world }
    }

    /// The account with this label; a new one has the Max plan, in an organization of its own.
    pub fn account(&self, label: &str) -> Account {
        lock(&self.world.anthropic).accounts.entry(label.to_owned()).or_insert_with(|| Record {
            user: format!("user-{label}"),
            organization: format!("organization-{label}"),
            plan: "claude_max".into(),
            lifetime: Duration::from_hours(8),
            models: None,
            used: (0.0, 0.0),
            buckets: (50, 50),
            quotas: Vec::new(),
            refusal: None,
            only_claude_code: false,
            grant_refusal: None,
            usage_refusal: None,
        });
        Account { world: Arc::clone(&self.world), label: label.to_owned() }
    }

    /// Changes the API's habits.
    pub fn habits(&self, change: impl FnOnce(&mut Habits)) {
        change(&mut lock(&self.world.anthropic).habits);
    }

    /// What the models say.
    pub fn script(&self) -> &Script {
        &self.world.anthropic_script
    }

    /// What happened at the token endpoint.
    pub fn tally(&self) -> Tally {
        lock(&self.world.anthropic).tally
    }

    /// Every replaced refresh token that came back. A gateway that keeps its promise leaves this empty.
    pub fn reuses(&self) -> Vec<Reuse> {
        lock(&self.world.anthropic).reuses.clone()
    }
}

/// One account; the setters change it while it is in use.
#[derive(Clone, Debug)]
pub struct Account {
    world: Arc<World>,
    label: String,
}

#[expect(clippy::return_self_not_must_use, reason = "a setter has done its work when it returns")]
impl Account {
    fn change(&self, change: impl FnOnce(&mut Record)) -> Self {
        lock(&self.world.anthropic).accounts.get_mut(&self.label).map(change);
        self.clone()
    }

    /// Its organization's type: `claude_pro`, `claude_team`.
    pub fn plan(&self, plan: &str) -> Self {
        self.change(|record| plan.clone_into(&mut record.plan))
    }

    /// Only these models are there for it.
    pub fn models(&self, models: &[&str]) -> Self {
        self.change(|record| record.models = Some(models.iter().map(|&model| model.to_owned()).collect()))
    }

    /// How long access tokens issued from now on live.
    pub fn token_lifetime(&self, lifetime: Duration) -> Self {
        self.change(|record| record.lifetime = lifetime)
    }

    /// The used shares of a login's five hours and seven days, from 0 to 1.
    pub fn used(&self, five_hours: f64, seven_days: f64) -> Self {
        self.change(|record| record.used = (five_hours, seven_days))
    }

    /// A key's requests per minute: how many there are, and how many are left.
    pub fn requests_left(&self, limit: u64, left: u64) -> Self {
        self.change(|record| record.buckets = (limit, left))
    }

    /// After this many answers (of one model, or of all), requests are refused.
    pub fn quota(&self, model: Option<&str>, answers: usize, refusal: Refusal) -> Self {
        let quota = Quota { model: model.map(str::to_owned), left: answers, refusal };
        self.change(|record| record.quotas.push(quota))
    }

    /// Refuses all messages and counts until told otherwise; nothing lifts refusal and quotas.
    pub fn refuse(&self, refusal: Option<Refusal>) -> Self {
        self.change(|record| {
            if refusal.is_none() {
                record.quotas.clear();
            }
            record.refusal = refusal;
        })
    }

    /// Its logins serve Claude Code and nobody else, as the vendor's terms have it.
    pub fn only_claude_code(&self) -> Self {
        self.change(|record| record.only_claude_code = true)
    }

    /// Refuses refreshes with this status and body, without spending the token.
    pub fn refuse_refresh(&self, refusal: Option<(u16, Value)>) -> Self {
        self.change(|record| record.grant_refusal = refusal)
    }

    /// Refuses the usage page.
    pub fn refuse_usage(&self, refusal: Option<Refusal>) -> Self {
        self.change(|record| record.usage_refusal = refusal)
    }

    /// An API key for it, new at each call.
    pub fn key(&self) -> String {
        let key = format!("sk-ant-api03-{}-{}", self.label, token::random());
        lock(&self.world.anthropic).admit(&key, &self.label, None, u64::MAX);
        key
    }

    /// A refresh token for it, new at each call.
    pub fn refresh_token(&self) -> String {
        lock(&self.world.anthropic).issue_grant(&self.label, SCOPES)
    }

    /// An access token for it.
    pub fn access_token(&self) -> String {
        let mut state = lock(&self.world.anthropic);
        let lifetime = state.accounts[&self.label].lifetime;
        state.issue_access(&self.label, SCOPES, lifetime)
    }

    /// What `claude setup-token` makes: a login for inference alone that lasts a year and has no refresh token.
    pub fn setup_token(&self) -> String {
        let year = Duration::from_hours(365 * 24);
        lock(&self.world.anthropic).issue_access(&self.label, "user:inference", year)
    }

    /// Claude Code's `.credentials.json` for it.
    pub fn credentials_file(&self) -> Value {
        let expires = token::later(lock(&self.world.anthropic).accounts[&self.label].lifetime);
        json!({"claudeAiOauth": {
            "accessToken": self.access_token(), "refreshToken": self.refresh_token(), "expiresAt": expires * 1000,
            "scopes": SCOPES.split(' ').collect::<Vec<_>>(), "subscriptionType": "max",
            "rateLimitTier": "default_claude_max_20x",
        }})
    }

    /// Makes all its access tokens end now.
    pub fn expire_access_tokens(&self) {
        self.each_access(|access| access.expires = 0);
    }

    /// Takes back keys, logins and refresh tokens.
    pub fn revoke(&self) {
        self.each_access(|access| access.revoked = true);
        lock(&self.world.anthropic).grants.retain(|_, grant| grant.label != self.label);
    }

    fn each_access(&self, change: impl Fn(&mut Access)) {
        let mut state = lock(&self.world.anthropic);
        let own = |access: &&mut Access| access.label == self.label && access.scope.is_some();
        state.access.values_mut().filter(own).for_each(change);
    }

    /// Forgets its keys: from now on they are wrong.
    pub fn delete_keys(&self) {
        lock(&self.world.anthropic)
            .access
            .retain(|_, access| access.label != self.label || access.scope.is_some());
    }

    /// Its label.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Its address.
    pub fn email(&self) -> String {
        email(&self.label)
    }
}

fn email(label: &str) -> String {
    format!("{label}@example.com")
}

const TOKEN: &str = "/v1/oauth/token";

pub(crate) fn whose(world: &World, asked: &Asked) -> Option<String> {
    let state = lock(&world.anthropic);
    if let Some(access) = secret(asked).and_then(|(secret, _)| state.access.get(secret)) {
        return Some(access.label.clone());
    }
    if asked.path() != TOKEN {
        return None;
    }
    let fields = asked.fields();
    let field = |name| super::wire::value(&fields, name);
    match field("refresh_token") {
        Some(refresh) => state.grants.get(refresh).map(|grant| grant.label.clone()),
        None => state.desk.owner(field("code")?),
    }
}

pub(crate) fn answer(world: &World, asked: &Asked) -> Reply {
    let mut guard = lock(&world.anthropic);
    let state = &mut *guard;
    let reply = match (asked.method(), asked.path()) {
        ("GET", "/cai/oauth/authorize") => login::authorize(state, asked),
        ("GET", "/consent") => login::decide(state, asked),
        ("GET", "/oauth/code/callback") => login::code_page(asked),
        ("POST", TOKEN) => login::token(state, asked),
        ("GET", "/api/oauth/profile") => usage::profile(state, asked),
        ("GET", "/api/oauth/usage") => usage::usage(state, asked),
        ("GET", "/v1/models") => catalogue::list(state, asked),
        ("POST", "/v1/messages") => messages::create(state, &world.anthropic_script, asked),
        ("POST", "/v1/messages/count_tokens") => messages::count(state, asked),
        _ => Refusal::NotFound.reply(""),
    };
    reply.with("request-id", format!("req_{}", token::random()))
}
