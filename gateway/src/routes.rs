//! Turns what providers declare into actix routes. Two owners of one path are refused at start, by name.

use crate::{
    admin,
    login::{self, Desk},
    operator,
    relay::Service,
    resource,
    serve::{self, Context, Owner},
    usage,
};
use actix_web::{HttpRequest, HttpResponse, Resource, http::Method, web};
use pollux_dialect::{endpoints, knocks, versions};
use pollux_sdk::{Operation, Provider, Redirect};
use std::{
    collections::{BTreeMap, BTreeSet},
    future::ready,
    sync::Arc,
};

/// (path, method) and who answers there.
pub type Table = BTreeMap<(String, String), Arc<Vec<Owner>>>;

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

/// Every path of every provider.
///
/// # Errors
/// Names the first path that two of them claim and that is not a list or a local answer for both.
pub fn table(services: &[Arc<Service>]) -> Result<Table, Clash> {
    let mut owners: BTreeMap<(String, String), Vec<Owner>> = BTreeMap::new();
    let mut own: BTreeMap<String, &'static str> = BTreeMap::new();
    for service in services {
        for path in host_paths(service.provider.as_ref()) {
            if let Some(first) = own.insert(path.clone(), service.id()) {
                return Err(Clash { path, method: "GET".into(), first, second: service.id() });
            }
        }
        for (path, endpoint) in provider_paths(service.provider.as_ref()) {
            let owner = Owner { service: Arc::clone(service), endpoint };
            owners.entry((path, owner.endpoint.method.to_string())).or_default().push(owner);
        }
    }
    for ((path, method), sharing) in &owners {
        let shareable =
            |owner: &Owner| matches!(owner.endpoint.operation, Operation::Models | Operation::Local(_));
        let clash = |first, second| Err(Clash { path: path.clone(), method: method.clone(), first, second });
        if let [first, second, ..] = &sharing[..]
            && !sharing.iter().all(shareable)
        {
            return clash(first.service.id(), second.service.id());
        }
        if let (Some(first), [second, ..]) = (own.get(path), &sharing[..])
            && method == "GET"
        {
            return clash(first, second.service.id());
        }
    }
    Ok(owners.into_iter().map(|(key, sharing)| (key, Arc::new(sharing))).collect())
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
fn callback_paths(provider: &dyn Provider) -> Vec<String> {
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

fn provider_paths(provider: &dyn Provider) -> Vec<(String, pollux_sdk::Endpoint)> {
    let about = provider.descriptor();
    let standard = about.dialects.iter().flat_map(|dialect| {
        let own = versions(*dialect).iter().map(|version| format!("/{}{version}", about.id));
        own.flat_map(|base| {
            endpoints(*dialect).into_iter().map(move |one| (format!("{base}{}", one.path), one))
        })
    });
    let vendor = about.endpoints.iter().map(|one| (format!("/{}{}", about.id, one.path), one.clone()));
    standard.chain(vendor).collect()
}

/// Mounts everything.
pub fn mount(app: &mut web::ServiceConfig, context: &Arc<Context>, table: &Table) {
    operator::mount(app, context);
    usage::mount(app, context);
    let paths: BTreeSet<&String> = table.keys().map(|(path, _)| path).collect();
    for path in paths {
        // A colon begins a method's name: `{model}` alone must not swallow it.
        let mut resource = resource_at(&path.replace("/{model}", "/{model:[^/:]+}"), context);
        for ((_, method), owners) in table.iter().filter(|((other, _), _)| other == path) {
            let (context, owners) = (Arc::clone(context), Arc::clone(owners));
            let Ok(method) = Method::from_bytes(method.as_bytes()) else { continue };
            resource =
                resource.route(web::method(method).to(move |request: HttpRequest, payload: web::Payload| {
                    serve::serve(Arc::clone(&context), Arc::clone(&owners), request, payload)
                }));
        }
        app.service(resource);
    }
    for service in &context.services {
        mount_host_paths(app, context, service);
    }
    admin::mount(app, context);
}

fn resource_at(path: &str, context: &Arc<Context>) -> Resource {
    let context = Arc::clone(context);
    web::resource(path)
        .default_service(web::to(move |request: HttpRequest| ready(serve::wrong_method(&context, &request))))
}

fn mount_host_paths(app: &mut web::ServiceConfig, context: &Arc<Context>, service: &Arc<Service>) {
    let about = service.provider.descriptor();
    for path in about.dialects.iter().flat_map(|dialect| knocks(*dialect)) {
        let base = resource_at(&format!("/{}{path}", about.id), context);
        app.service(base.route(web::head().to(|| ready(HttpResponse::Ok().finish()))));
    }
    let desk = Desk { logins: Arc::clone(&context.logins), service: Arc::clone(service) };
    let (shared, adding) = (Arc::clone(context), Arc::clone(service));
    app.service(resource_at(&format!("/{}/resource:add", about.id), context).route(web::post().to(
        move |request: HttpRequest, payload: web::Payload| {
            resource::add(Arc::clone(&shared), Arc::clone(&adding), request, payload)
        },
    )));
    if about.login.is_none() {
        return;
    }
    let first = |desk: &Desk| {
        let desk = desk.clone();
        move |request: HttpRequest, form: web::Bytes| login::start(desk.clone(), request, form)
    };
    let base = format!("/{}/auth", about.id);
    app.service(
        resource_at(&base, context).route(web::get().to(first(&desk))).route(web::post().to(first(&desk))),
    );
    let page = desk.clone();
    let pasted = desk.clone();
    app.service(
        resource_at(&format!("{base}/paste"), context)
            .route(web::get().to(move |request: HttpRequest| login::paste_page(page.clone(), request)))
            .route(web::post().to(move |request: HttpRequest, form: web::Bytes| {
                login::paste(pasted.clone(), request, form)
            })),
    );
    let fate = desk.clone();
    app.service(
        resource_at(&format!("{base}/result"), context)
            .route(web::get().to(move |request: HttpRequest| login::result(fate.clone(), request))),
    );
    for path in callback_paths(service.provider.as_ref()) {
        let desk = desk.clone();
        app.service(
            resource_at(&path, context)
                .route(web::get().to(move |request: HttpRequest| login::callback(desk.clone(), request))),
        );
    }
}
