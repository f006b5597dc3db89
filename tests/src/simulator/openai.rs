//! `OpenAI`: accounts, OAuth with refresh tokens that work once, and the Codex backend of `ChatGPT`.

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
mod device;
mod events;
mod login;
mod refusal;
mod request;
mod responses;
mod socket;

pub use catalogue::Model;
pub use refusal::Refusal;
pub use socket::Socket;
pub(crate) use socket::talk;

/// The public client of the Codex CLI.
pub const CLIENT_ID: &str = "app_EMoamEEZ73f0CkXaXp7hrann";

#[derive(Debug)]
struct Record {
    user_id: String,
    workspace: String,
    plan: String,
    lifetime: Duration,
    states_expiry: bool,
    models: Option<Vec<String>>,
    used: (f64, f64),
    quotas: Vec<Quota<Refusal>>,
    refusal: Option<Refusal>,
    grant_refusal: Option<(u16, String)>,
    usage_refusal: Option<Refusal>,
}

#[derive(Debug)]
struct Access {
    label: String,
    expires: u64,
}

#[derive(Debug)]
struct Grant {
    label: String,
    spent: bool,
    revoked: bool,
}

/// A refresh token that came back after it had been spent: the mistake that loses accounts.
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

/// Ways in which the backend is known to differ from day to day.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each habit is on or off by itself")]
pub struct Habits {
    /// `response.completed` carries an empty `output`.
    pub empty_output: bool,
    /// A `codex.rate_limits` event opens each stream.
    pub rate_limits_event: bool,
    /// Requests of the wrong dialect (Full, Lite) for the model are refused.
    pub strict_dialect: bool,
    /// Unsupported parameters are refused in the form with an `error` object instead of `detail`.
    pub error_lane: bool,
    /// Logins by code are offered.
    pub device_login: bool,
    /// Seconds between two questions of such a login.
    pub device_interval: u64,
    /// Upgrades are taken; otherwise they get 426.
    pub sockets: bool,
    /// Sockets compress where the client offers it.
    pub socket_deflate: bool,
    /// Sockets open with a ping.
    pub socket_ping: bool,
}

impl Default for Habits {
    fn default() -> Self {
        Self {
            empty_output: false,
            rate_limits_event: true,
            strict_dialect: false,
            error_lane: false,
            device_login: true,
            device_interval: 5,
            sockets: true,
            socket_deflate: true,
            socket_ping: false,
        }
    }
}

#[derive(Debug)]
pub(crate) struct State {
    redirects: Vec<String>,
    models: Vec<Model>,
    habits: Habits,
    desk: Desk,
    devices: Vec<device::Device>,
    accounts: BTreeMap<String, Record>,
    access: HashMap<String, Access>,
    grants: HashMap<String, Grant>,
    reuses: Vec<Reuse>,
    tally: Tally,
    sockets: Vec<Socket>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            redirects: Vec::new(),
            models: catalogue::usual(),
            habits: Habits::default(),
            desk: Desk::default(),
            devices: Vec::new(),
            accounts: BTreeMap::new(),
            access: HashMap::new(),
            grants: HashMap::new(),
            reuses: Vec::new(),
            tally: Tally::default(),
            sockets: Vec::new(),
        }
    }
}

impl State {
    fn issue_grant(&mut self, label: &str) -> String {
        let refresh = format!("rt_sim.{label}.{}", token::random());
        self.grants.insert(refresh.clone(), Grant { label: label.to_owned(), spent: false, revoked: false });
        refresh
    }

    fn issue_access(&mut self, label: &str) -> String {
        let expires = token::later(self.accounts[label].lifetime);
        let mut claims = self.claims(label, expires);
        claims["jti"] = json!(token::random());
        claims["aud"] = json!(["https://api.openai.com/v1"]);
        let access = token::jwt(&claims);
        self.access.insert(access.clone(), Access { label: label.to_owned(), expires });
        access
    }

    fn claims(&self, label: &str, expires: u64) -> Value {
        let record = &self.accounts[label];
        json!({
            "iss": "https://auth.openai.com", "sub": format!("auth0|{}", record.user_id), "iat": token::now(), "exp": expires,
            "https://api.openai.com/profile": {"email": email(label), "email_verified": true},
            "https://api.openai.com/auth": {
                "chatgpt_account_id": record.workspace, "chatgpt_plan_type": record.plan,
                "chatgpt_user_id": record.user_id, "user_id": record.user_id,
            },
        })
    }

    fn id_token(&self, label: &str) -> String {
        let mut claims = self.claims(label, token::now() + 3600);
        claims["aud"] = json!([CLIENT_ID]);
        claims["email"] = json!(email(label));
        claims["email_verified"] = json!(true);
        token::jwt(&claims)
    }

    /// The account a request of the backend acts for, or the 401 it gets.
    fn caller(&self, asked: &Asked) -> Result<String, Refusal> {
        let Some(bearer) = asked.request.bearer() else { return Err(Refusal::Unauthorized) };
        if token::claims(bearer).is_none() {
            return Err(Refusal::UnparsableToken);
        }
        let access = self.access.get(bearer).ok_or(Refusal::TokenInvalidated)?;
        if access.expires <= token::now() {
            return Err(Refusal::TokenExpired);
        }
        let named = asked.request.header("chatgpt-account-id");
        if named != Some(&self.accounts[&access.label].workspace) {
            return Err(Refusal::Unauthorized);
        }
        Ok(access.label.clone())
    }
}

/// `OpenAI`'s side of the simulator.
#[derive(Clone, Debug)]
pub struct OpenAi {
    world: Arc<World>,
}

impl OpenAi {
    pub(crate) fn new(world: Arc<World>) -> Self {
        Self { world }
    }

    /// The account with this label; a new one is on the plus plan, in a workspace of its own.
    pub fn account(&self, label: &str) -> Account {
        lock(&self.world.openai).accounts.entry(label.to_owned()).or_insert_with(|| Record {
            user_id: format!("user-{label}"),
            workspace: format!("workspace-{label}"),
            plan: "plus".into(),
            lifetime: Duration::from_hours(240),
            states_expiry: true,
            models: None,
            used: (0.0, 0.0),
            quotas: Vec::new(),
            refusal: None,
            grant_refusal: None,
            usage_refusal: None,
        });
        Account { world: Arc::clone(&self.world), label: label.to_owned() }
    }

    /// Registers a redirect URI besides the Codex CLI's two.
    pub fn allow_redirect(&self, uri: &str) {
        lock(&self.world.openai).redirects.push(uri.to_owned());
    }

    /// Adds a model, or replaces the one of its name.
    pub fn model(&self, model: Model) {
        let mut state = lock(&self.world.openai);
        state.models.retain(|held| held.slug != model.slug);
        state.models.push(model);
    }

    /// A person enters a code of a login without a browser, as this account or to deny it; whether anybody waits
    /// for that code.
    pub fn enter_code(&self, user_code: &str, label: Option<&str>) -> bool {
        device::enter(&mut lock(&self.world.openai), user_code, label)
    }

    /// Changes the backend's habits.
    pub fn habits(&self, change: impl FnOnce(&mut Habits)) {
        change(&mut lock(&self.world.openai).habits);
    }

    /// What the models say.
    pub fn script(&self) -> &Script {
        &self.world.openai_script
    }

    /// Every socket so far, oldest first.
    pub fn sockets(&self) -> Vec<Socket> {
        lock(&self.world.openai).sockets.clone()
    }

    /// What happened at the token endpoint.
    pub fn tally(&self) -> Tally {
        lock(&self.world.openai).tally
    }

    /// Every spent refresh token that came back. A gateway that keeps its promise leaves this empty.
    pub fn reuses(&self) -> Vec<Reuse> {
        lock(&self.world.openai).reuses.clone()
    }
}

/// One `ChatGPT` account; the setters change it while it is in use.
#[derive(Clone, Debug)]
pub struct Account {
    world: Arc<World>,
    label: String,
}

#[expect(clippy::return_self_not_must_use, reason = "a setter has done its work when it returns")]
impl Account {
    fn change(&self, change: impl FnOnce(&mut Record)) -> Self {
        lock(&self.world.openai).accounts.get_mut(&self.label).map(change);
        self.clone()
    }

    /// Its plan.
    pub fn plan(&self, plan: &str) -> Self {
        self.change(|record| plan.clone_into(&mut record.plan))
    }

    /// Its user, for two accounts of one person.
    pub fn user(&self, user_id: &str) -> Self {
        self.change(|record| user_id.clone_into(&mut record.user_id))
    }

    /// Its workspace: the `ChatGPT` account id.
    pub fn workspace(&self, account_id: &str) -> Self {
        self.change(|record| account_id.clone_into(&mut record.workspace))
    }

    /// Only these models are allowed for it.
    pub fn models(&self, models: &[&str]) -> Self {
        self.change(|record| record.models = Some(models.iter().map(|&model| model.to_owned()).collect()))
    }

    /// How long access tokens issued from now on live.
    pub fn token_lifetime(&self, lifetime: Duration) -> Self {
        self.change(|record| record.lifetime = lifetime)
    }

    /// Leaves `expires_in` out of token answers, so that only the JWT tells.
    pub fn without_expires_in(&self) -> Self {
        self.change(|record| record.states_expiry = false)
    }

    /// The percentages of both windows that headers, events and wham/usage report.
    pub fn used(&self, primary: f64, secondary: f64) -> Self {
        self.change(|record| record.used = (primary, secondary))
    }

    /// After this many answers (of one model, or of all), requests are refused.
    pub fn quota(&self, model: Option<&str>, answers: usize, refusal: Refusal) -> Self {
        let quota = Quota { model: model.map(str::to_owned), left: answers, refusal };
        self.change(|record| record.quotas.push(quota))
    }

    /// Refuses all requests until told otherwise; nothing lifts refusal and quotas.
    pub fn refuse(&self, refusal: Option<Refusal>) -> Self {
        self.change(|record| {
            if refusal.is_none() {
                record.quotas.clear();
            }
            record.refusal = refusal;
        })
    }

    /// Refuses refreshes with this status and error code, without spending the token.
    pub fn refuse_refresh(&self, refusal: Option<(u16, &str)>) -> Self {
        self.change(|record| record.grant_refusal = refusal.map(|(status, code)| (status, code.to_owned())))
    }

    /// Refuses wham/usage.
    pub fn refuse_usage(&self, refusal: Option<Refusal>) -> Self {
        self.change(|record| record.usage_refusal = refusal)
    }

    /// A refresh token for it, new at each call, good for one refresh.
    pub fn refresh_token(&self) -> String {
        lock(&self.world.openai).issue_grant(&self.label)
    }

    /// An access token for it.
    pub fn access_token(&self) -> String {
        lock(&self.world.openai).issue_access(&self.label)
    }

    /// An id token for it.
    pub fn id_token(&self) -> String {
        lock(&self.world.openai).id_token(&self.label)
    }

    /// Revokes its refresh tokens.
    pub fn revoke(&self) {
        let mut state = lock(&self.world.openai);
        state
            .grants
            .values_mut()
            .filter(|grant| grant.label == self.label)
            .for_each(|grant| grant.revoked = true);
    }

    /// Makes all its access tokens invalid, whatever their `exp` says.
    pub fn expire_access_tokens(&self) {
        lock(&self.world.openai).access.retain(|_, access| access.label != self.label);
    }

    /// Its label.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Its address.
    pub fn email(&self) -> String {
        email(&self.label)
    }

    /// Its `ChatGPT` account id.
    pub fn account_id(&self) -> String {
        lock(&self.world.openai).accounts[&self.label].workspace.clone()
    }

    /// How many of its refresh tokens could still be used.
    pub fn usable_refresh_tokens(&self) -> usize {
        let state = lock(&self.world.openai);
        state
            .grants
            .values()
            .filter(|grant| grant.label == self.label && !grant.spent && !grant.revoked)
            .count()
    }
}

fn email(label: &str) -> String {
    format!("{label}@example.com")
}

pub(crate) fn whose(world: &World, asked: &Asked) -> Option<String> {
    let state = lock(&world.openai);
    if let Some(access) = asked.request.bearer().and_then(|token| state.access.get(token)) {
        return Some(access.label.clone());
    }
    if asked.path() != "/oauth/token" {
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
    let mut guard = lock(&world.openai);
    let state = &mut *guard;
    match (asked.method(), asked.path()) {
        ("GET", "/oauth/authorize") => login::authorize(state, asked),
        ("GET", "/consent") => login::decide(state, asked),
        ("POST", "/oauth/token") => login::token(state, asked),
        ("POST", "/api/accounts/deviceauth/usercode") => device::begin(state, asked),
        ("POST", "/api/accounts/deviceauth/token") => device::ask(state, asked),
        // Only a request without any User-Agent is taken for a bot here; the real rule is not known.
        (_, path) if path.starts_with("/backend-api/") && asked.request.header("user-agent").is_none() => {
            Reply::cloudflare()
        }
        ("POST", "/backend-api/codex/responses") => responses::create(state, &world.openai_script, asked),
        ("GET", "/backend-api/codex/responses") if asked.request.header("upgrade").is_some() => {
            socket::handshake(state, asked)
        }
        ("GET", "/backend-api/codex/models") => catalogue::list(state, asked),
        ("GET", "/backend-api/wham/usage") => refusal::usage(state, asked),
        _ => Refusal::NotFound.reply(""),
    }
}
