//! Google: accounts, OAuth and Code Assist; and the Gemini API with its keys.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use super::oauth::Desk;
use super::quota::Quota;
use super::reply::Reply;
use super::script::Script;
use super::server::Asked;
use super::{World, lock, token};

mod generate;
mod keys;
mod login;
mod refusal;
mod request;
mod setup;

pub use keys::{Key, KeyRefusal};
pub use refusal::Refusal;

/// The scopes the Gemini CLI asks for, which Code Assist needs.
pub const SCOPES: [&str; 3] = [
    "https://www.googleapis.com/auth/cloud-platform",
    "https://www.googleapis.com/auth/userinfo.email",
    "https://www.googleapis.com/auth/userinfo.profile",
];

/// What Code Assist thinks of an account (shapes of 2026).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Holds the standard tier with a project.
    Standard,
    /// Holds the standard tier, but names no project: the user has to know one.
    ProjectRequired,
    /// Holds the free tier with a project that Google manages.
    Free,
    /// A personal account after 2026-06-18: no tier, `UNSUPPORTED_CLIENT`.
    UnsupportedClient,
    /// Has to be validated by its owner at a link.
    ValidationRequired,
    /// Lives where Code Assist is not offered.
    UnsupportedLocation,
    /// Holds the standard tier, but no licence: everything beyond loading is refused.
    LicenceMissing,
    /// Holds no tier yet; onboarding to the named tier takes this many polls.
    NeedsOnboarding(String, usize),
}

#[derive(Debug)]
struct Record {
    sub: String,
    kind: Kind,
    project: String,
    licensed: Vec<String>,
    onboarded: Option<String>,
    models: Option<Vec<String>>,
    lifetime: Duration,
    id_token_on_refresh: bool,
    consented: bool,
    remaining: f64,
    quotas: Vec<Quota<Refusal>>,
    refusal: Option<Refusal>,
    setup_refusal: Option<Refusal>,
}

impl Record {
    fn owns(&self, project: &str) -> bool {
        let own = match self.kind {
            Kind::Standard | Kind::Free | Kind::LicenceMissing => self.project == project,
            _ => false,
        };
        own || self.onboarded.as_deref() == Some(project) || self.licensed.iter().any(|held| held == project)
    }
}

#[derive(Clone, Debug)]
struct Access {
    label: String,
    expires: u64,
    scope: String,
}

#[derive(Debug)]
struct Grant {
    label: String,
    scope: String,
    revoked: bool,
}

#[derive(Debug)]
struct Operation {
    label: String,
    polls_left: usize,
    response: serde_json::Value,
    project: Option<String>,
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

#[derive(Debug)]
pub(crate) struct State {
    client: (String, String),
    redirects: Vec<String>,
    models: Vec<String>,
    desk: Desk,
    accounts: BTreeMap<String, Record>,
    access: HashMap<String, Access>,
    grants: HashMap<String, Grant>,
    operations: HashMap<String, Operation>,
    signatures: HashSet<String>,
    keys: keys::Keys,
    tally: Tally,
}

impl Default for State {
    fn default() -> Self {
        let models = [
            "gemini-2.5-pro",
            "gemini-2.5-flash",
            "gemini-3-pro-preview",
            "gemini-3-flash-preview",
            "gemini-3.1-pro-preview",
            "gemini-3.5-flash",
            "gemini-3.5-flash-lite",
            "gemini-3.8-flash",
        ];
        Self {
            client: ("simulated.apps.googleusercontent.com".into(), "simulated-secret".into()),
            redirects: Vec::new(),
            models: models.map(str::to_owned).into(),
            desk: Desk::default(),
            accounts: BTreeMap::new(),
            access: HashMap::new(),
            grants: HashMap::new(),
            operations: HashMap::new(),
            signatures: HashSet::new(),
            keys: keys::Keys::default(),
            tally: Tally::default(),
        }
    }
}

impl State {
    pub(super) fn issue_access(&mut self, label: &str, scope: &str, lifetime: Duration) -> String {
        let access = format!("ya29.sim-{label}-{}", token::random());
        let held = Access { label: label.into(), expires: token::later(lifetime), scope: scope.into() };
        self.access.insert(access.clone(), held);
        access
    }

    fn issue_grant(&mut self, label: &str, scope: &str) -> String {
        let refresh = format!("1//sim-{label}-{}", token::random());
        let grant = Grant { label: label.into(), scope: scope.into(), revoked: false };
        self.grants.insert(refresh.clone(), grant);
        refresh
    }

    /// The owner of a token that is still good.
    fn valid(&self, asked: &Asked) -> Option<&Access> {
        self.access.get(asked.request.bearer()?).filter(|access| access.expires > token::now())
    }
}

/// Google's side of the simulator.
#[derive(Clone, Debug)]
pub struct Google {
    world: Arc<World>,
}

impl Google {
    pub(crate) fn new(world: Arc<World>) -> Self {
        Self { world }
    }

    /// The account with this label; a new one is standard, with the project `<label>-project`.
    pub fn account(&self, label: &str) -> Account {
        let mut state = lock(&self.world.google);
        let number = state.accounts.len() + 1;
        state.accounts.entry(label.to_owned()).or_insert_with(|| Record {
            sub: format!("10000000000000000{number:04}"),
            kind: Kind::Standard,
            project: format!("{label}-project"),
            licensed: Vec::new(),
            onboarded: None,
            models: None,
            lifetime: Duration::from_secs(3599),
            id_token_on_refresh: true,
            consented: false,
            remaining: 1.0,
            quotas: Vec::new(),
            refusal: None,
            setup_refusal: None,
        });
        drop(state);
        Account { world: Arc::clone(&self.world), label: label.to_owned() }
    }

    /// The key of the Gemini API with this label.
    pub fn key(&self, label: &str) -> Key {
        Key::of(&self.world, label)
    }

    /// The OAuth client that is registered: id and secret.
    pub fn client(&self) -> (String, String) {
        lock(&self.world.google).client.clone()
    }

    /// Registers another OAuth client in place of the present one.
    pub fn set_client(&self, id: &str, secret: &str) {
        lock(&self.world.google).client = (id.to_owned(), secret.to_owned());
    }

    /// Registers a redirect URI besides the loopback ones an installed application may use.
    pub fn allow_redirect(&self, uri: &str) {
        lock(&self.world.google).redirects.push(uri.to_owned());
    }

    /// Sets which models exist.
    pub fn set_models(&self, models: &[&str]) {
        lock(&self.world.google).models = models.iter().map(|&model| model.to_owned()).collect();
    }

    /// What the models say.
    pub fn script(&self) -> &Script {
        &self.world.google_script
    }

    /// What happened at the token endpoint.
    pub fn tally(&self) -> Tally {
        lock(&self.world.google).tally
    }

    /// How many onboarding operations were started.
    pub fn operations(&self) -> usize {
        lock(&self.world.google).operations.len()
    }

    /// Whether this thought signature came from here.
    pub fn has_signed(&self, signature: &str) -> bool {
        lock(&self.world.google).signatures.contains(signature)
    }
}

/// One Google account; the setters change it while it is in use.
#[derive(Clone, Debug)]
pub struct Account {
    world: Arc<World>,
    label: String,
}

#[expect(clippy::return_self_not_must_use, reason = "a setter has done its work when it returns")]
impl Account {
    fn change(&self, change: impl FnOnce(&mut Record)) -> Self {
        lock(&self.world.google).accounts.get_mut(&self.label).map(change);
        self.clone()
    }

    fn read<T>(&self, read: impl FnOnce(&Record) -> T) -> T {
        let state = lock(&self.world.google);
        read(state.accounts.get(&self.label).expect("accounts are never removed"))
    }

    /// What Code Assist thinks of it.
    pub fn kind(&self, kind: Kind) -> Self {
        self.change(|record| record.kind = kind)
    }

    /// Its project.
    pub fn project(&self, project: &str) -> Self {
        self.change(|record| project.clone_into(&mut record.project))
    }

    /// Adds a project of the user's own that holds a licence.
    pub fn licensed_project(&self, project: &str) -> Self {
        self.change(|record| record.licensed.push(project.to_owned()))
    }

    /// Only these models are enabled for it; others are 404.
    pub fn models(&self, models: &[&str]) -> Self {
        self.change(|record| record.models = Some(models.iter().map(|&model| model.to_owned()).collect()))
    }

    /// How long access tokens issued from now on live.
    pub fn token_lifetime(&self, lifetime: Duration) -> Self {
        self.change(|record| record.lifetime = lifetime)
    }

    /// Leaves the `id_token` out of answers to a refresh.
    pub fn without_id_token_on_refresh(&self) -> Self {
        self.change(|record| record.id_token_on_refresh = false)
    }

    /// After this many answers (of one model, or of all), generation is refused.
    pub fn quota(&self, model: Option<&str>, answers: usize, refusal: Refusal) -> Self {
        let quota = Quota { model: model.map(str::to_owned), left: answers, refusal };
        self.change(|record| record.quotas.push(quota))
    }

    /// Refuses all generation until told otherwise; nothing lifts refusal and quotas.
    pub fn refuse(&self, refusal: Option<Refusal>) -> Self {
        self.change(|record| {
            if refusal.is_none() {
                record.quotas.clear();
            }
            record.refusal = refusal;
        })
    }

    /// Refuses loadCodeAssist and onboardUser.
    pub fn refuse_setup(&self, refusal: Option<Refusal>) -> Self {
        self.change(|record| record.setup_refusal = refusal)
    }

    /// The fraction that retrieveUserQuota reports.
    pub fn remaining(&self, fraction: f64) -> Self {
        self.change(|record| record.remaining = fraction)
    }

    /// A refresh token for it with all scopes, new at each call; Google's work until revoked.
    pub fn refresh_token(&self) -> String {
        lock(&self.world.google).issue_grant(&self.label, &SCOPES.join(" "))
    }

    /// An access token for it, as a login would give.
    pub fn access_token(&self) -> String {
        let lifetime = self.read(|record| record.lifetime);
        lock(&self.world.google).issue_access(&self.label, &SCOPES.join(" "), lifetime)
    }

    /// Revokes its refresh tokens.
    pub fn revoke(&self) {
        let mut state = lock(&self.world.google);
        state
            .grants
            .values_mut()
            .filter(|grant| grant.label == self.label)
            .for_each(|grant| grant.revoked = true);
    }

    /// Makes all its access tokens invalid, whatever their lifetime said.
    pub fn expire_access_tokens(&self) {
        lock(&self.world.google).access.retain(|_, access| access.label != self.label);
    }

    /// Its label.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Its address.
    pub fn email(&self) -> String {
        email(&self.label)
    }

    /// Its Google id.
    pub fn sub(&self) -> String {
        self.read(|record| record.sub.clone())
    }
}

fn email(label: &str) -> String {
    format!("{label}@example.com")
}

pub(crate) fn whose(world: &World, asked: &Asked) -> Option<String> {
    let state = lock(&world.google);
    if let Some(access) = asked.request.bearer().and_then(|token| state.access.get(token)) {
        return Some(access.label.clone());
    }
    if let Some(label) = state.keys.owner(asked) {
        return Some(label);
    }
    let fields = asked.fields();
    let field = |name| super::wire::value(&fields, name);
    match field("refresh_token") {
        Some(refresh) => state.grants.get(refresh).map(|grant| grant.label.clone()),
        None => state.desk.owner(field("code")?),
    }
}

pub(crate) fn answer(world: &World, asked: &Asked) -> Reply {
    let mut guard = lock(&world.google);
    let state = &mut *guard;
    match (asked.method(), asked.path()) {
        ("GET", "/o/oauth2/v2/auth") => login::authorize(state, asked),
        ("GET", "/consent") => login::decide(state, asked),
        ("POST", "/token") => login::token(state, asked),
        ("GET", "/oauth2/v2/userinfo") => login::userinfo(state, asked),
        ("POST", "/tokeninfo") => login::tokeninfo(state, asked),
        (method, path) if path.starts_with("/v1/") || path.starts_with("/v1beta/") => {
            keys::answer(state, &world.google_script, asked, method, path)
        }
        (method, path) => {
            if let Some(name) = path.strip_prefix("/v1internal/") {
                return setup::operation(state, asked, method, name);
            }
            match (method, path.strip_prefix("/v1internal:")) {
                ("POST", Some("loadCodeAssist")) => setup::load(state, asked),
                ("POST", Some("onboardUser")) => setup::onboard(state, asked),
                ("POST", Some("retrieveUserQuota")) => setup::quota(state, asked),
                ("POST", Some("listExperiments")) => setup::experiments(state, asked),
                ("POST", Some("fetchAdminControls")) => setup::controls(state, asked),
                ("POST", Some("generateContent")) => generate::unary(state, &world.google_script, asked),
                ("POST", Some("streamGenerateContent")) => {
                    generate::stream(state, &world.google_script, asked)
                }
                ("POST", Some("countTokens")) => generate::count(state, asked),
                _ => Reply::html(404, "<!DOCTYPE html><title>Error 404 (Not Found)!!1</title>"),
            }
        }
    }
}
