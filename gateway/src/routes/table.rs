//! Who answers on which path. Two owners of one path are refused by name, unless both say that they share it.

use crate::{relay::Service, serve::Owner};
use pollux_dialect::{Endpoint, endpoints, versions};
use pollux_sdk::{Alias, Descriptor, Operation, Provider, Redirect};
use std::{collections::BTreeMap, sync::Arc};

/// (path, method) and who answers there, the preferred first.
pub type Table = BTreeMap<(String, String), Arc<Vec<Owner>>>;

/// Where providers show beside their own prefixes.
#[derive(Debug, Clone, Copy)]
pub struct Surfaces<'a> {
    /// Whether they show at the root.
    pub root: bool,
    /// Ids, the preferred first; those that are not named follow.
    pub order: &'a [String],
}

/// Two owners of one path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{method} {path} is claimed by `{first}` and by `{second}`")]
pub struct Clash {
    /// Path.
    pub path: String,
    /// Method.
    pub method: String,
    /// Who has it.
    pub first: &'static str,
    /// Who wants it, too.
    pub second: &'static str,
}

/// What the host itself serves, whoever is linked.
const HOST: &str = "pollux";
const HOST_PATHS: [&str; 7] =
    ["/admin", "/healthz", "/metrics", "/oauth/token", "/readyz", "/status", "/usage"];

/// Every path of every provider.
///
/// # Errors
/// Names the first path that two of them claim and do not share.
pub fn table(services: &[Arc<Service>], surfaces: Surfaces<'_>) -> Result<Table, Clash> {
    let mut services: Vec<&Arc<Service>> = services.iter().collect();
    let place = |service: &&Arc<Service>| surfaces.order.iter().position(|id| id == service.id());
    services.sort_by_key(|service| place(service).unwrap_or(usize::MAX));

    let mut hosts: BTreeMap<String, &'static str> =
        HOST_PATHS.into_iter().map(|path| (path.to_owned(), HOST)).collect();
    let mut claims: BTreeMap<(String, String), Vec<Owner>> = BTreeMap::new();
    for service in services {
        for path in host_paths(service.provider.as_ref()) {
            if let Some(first) = hosts.insert(path.clone(), service.id()) {
                return Err(Clash { path, method: "GET".into(), first, second: service.id() });
            }
        }
        for (path, owner) in surface(service, surfaces.root) {
            let owners = claims.entry((path, owner.endpoint.method.to_string())).or_default();
            // Two dialects of one provider may have the same route: the preferred one is served.
            if owners.last().is_none_or(|last| last.service.id() != service.id()) {
                owners.push(owner);
            }
        }
    }
    let mut table = Table::new();
    for ((path, method), owners) in claims {
        let host = hosts.get(&path).or_else(|| path.starts_with("/admin/").then_some(&HOST));
        if let (Some(first), Some(second)) = (host, owners.first()) {
            return Err(Clash { path, method, first, second: second.service.id() });
        }
        let owners = able(owners);
        if let Some((first, second)) = quarrel(&owners) {
            return Err(Clash { path, method, first, second });
        }
        table.insert((path, method), Arc::new(owners));
    }
    Ok(table)
}

/// Whether the provider does what the route is for.
pub fn supports(about: &Descriptor, operation: Operation) -> bool {
    matches!(operation, Operation::Vendor(_) | Operation::Local(_)) || about.operations.contains(&operation)
}

/// A dialect brings routes that not all who speak it support: those who do have them, else one says that it does not.
fn able(mut owners: Vec<Owner>) -> Vec<Owner> {
    let can = |owner: &Owner| supports(owner.service.provider.descriptor(), owner.endpoint.operation);
    let shared = |owner: &Owner| owner.shared.is_some();
    if owners.iter().any(can) {
        owners.retain(|owner| can(owner) || !shared(owner));
    } else if owners.iter().all(shared) {
        owners.truncate(1);
    }
    owners
}

/// The first two that do not share the path.
fn quarrel(owners: &[Owner]) -> Option<(&'static str, &'static str)> {
    owners.iter().enumerate().find_map(|(at, second)| {
        let first = owners[..at].iter().find(|first| !share(first, second))?;
        Some((first.service.id(), second.service.id()))
    })
}

fn share(one: &Owner, other: &Owner) -> bool {
    match (one.endpoint.operation, other.endpoint.operation) {
        // Each answers what it knows as its own.
        (Operation::Local(_), Operation::Local(_)) => true,
        _ if one.shared.is_none() || other.shared.is_none() => false,
        (Operation::Models, Operation::Models) => true,
        (Operation::Vendor(_), _) => false,
        (mine, theirs) => mine == theirs && one.endpoint.dialect == other.endpoint.dialect,
    }
}

/// All paths of a provider: below its prefix, and at the root.
fn surface(service: &Arc<Service>, root: bool) -> Vec<(String, Owner)> {
    let about = service.provider.descriptor();
    let owner =
        |endpoint: Endpoint, root, shared| Owner { service: Arc::clone(service), endpoint, root, shared };
    let mut all = Vec::new();
    for dialect in about.dialects {
        for (version, endpoint) in pairs(versions(*dialect), &endpoints(*dialect)) {
            let path = format!("/{}{version}{}", about.id, endpoint.path);
            all.push((path, owner(endpoint.under(version), false, None)));
        }
    }
    for endpoint in &about.endpoints {
        all.push((format!("/{}{}", about.id, endpoint.path), owner(endpoint.clone(), false, None)));
    }
    if !root {
        return all;
    }
    for dialect in about.dialects {
        for (alias, endpoint) in pairs(about.aliases, &endpoints(*dialect)) {
            let shared = matches!(alias, Alias::Shared(_)).then_some(alias.base());
            let version = versions(*dialect).iter().find(|version| **version == alias.base());
            let path = format!("{}{}", alias.base(), endpoint.path);
            all.push((path, owner(endpoint.under(version.unwrap_or(&"")), true, shared)));
        }
    }
    for endpoint in &about.endpoints {
        all.push((endpoint.path.to_owned(), owner(endpoint.clone(), true, None)));
    }
    all
}

fn pairs<'a, T: Copy>(bases: &'a [T], routes: &'a [Endpoint]) -> impl Iterator<Item = (T, Endpoint)> + 'a {
    bases.iter().flat_map(|base| routes.iter().map(|route| (*base, route.clone())))
}

/// What the host serves on behalf of a provider.
fn host_paths(provider: &dyn Provider) -> Vec<String> {
    let about = provider.descriptor();
    let mut paths = vec![format!("/{}/resource:add", about.id)];
    if about.login.is_some() {
        paths.extend(["", "/paste", "/result"].map(|rest| format!("/{}/auth{rest}", about.id)));
        paths.extend(callback_paths(provider));
    }
    paths
}

/// Where the vendor may send browsers: the registered path, and the same below the provider's own prefix.
pub(super) fn callback_paths(provider: &dyn Provider) -> Vec<String> {
    let about = provider.descriptor();
    match about.login.as_ref().map(|login| &login.redirect) {
        Some(Redirect::Here { path, .. } | Redirect::Loopback(_, path)) => {
            vec![(*path).to_owned(), format!("/{}{path}", about.id)]
        }
        // For who has no browser: code and state, as the vendor's page shows them.
        Some(Redirect::Page(_)) => vec![format!("/{}/auth/callback", about.id)],
        None => Vec::new(),
    }
}
