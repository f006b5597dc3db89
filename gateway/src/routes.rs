//! Turns what providers declare into actix routes.

mod table;

pub use table::{Clash, Surfaces, Table, supports, table};

use crate::{
    admin,
    login::{self, Desk},
    operator,
    relay::Service,
    resource,
    serve::{self, Context},
    token, usage,
};
use actix_web::{HttpRequest, HttpResponse, Resource, http::Method, web};
use pollux_dialect::{Dialect, knocks};
use std::{collections::BTreeSet, future::ready, sync::Arc};
use table::callback_paths;

/// Mounts everything.
pub fn mount(app: &mut web::ServiceConfig, context: &Arc<Context>, table: &Table) {
    operator::mount(app, context);
    usage::mount(app, context);
    token::mount(app, context);
    let paths: BTreeSet<&String> = table.keys().map(|(path, _)| path).collect();
    for path in paths {
        let first = table.iter().find(|((other, _), _)| other == path).and_then(|(_, owners)| owners.first());
        let dialect = first.filter(|owner| owner.shared.is_none()).map(|owner| owner.endpoint.dialect);
        // A colon begins a method's name: `{model}` alone must not swallow it.
        let mut resource = resource_at(&path.replace("/{model}", "/{model:[^/:]+}"), context, dialect);
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
    mount_knocks(app, context);
    admin::mount(app, context);
}

/// Tells clients that look whether somebody is there that somebody is.
fn mount_knocks(app: &mut web::ServiceConfig, context: &Arc<Context>) {
    let mut paths = BTreeSet::new();
    for about in context.services.iter().map(|service| service.provider.descriptor()) {
        let at_root = context.settings.basic.root_aliases && !about.aliases.is_empty();
        for path in about.dialects.iter().flat_map(|dialect| knocks(*dialect)) {
            paths.insert(format!("/{}{path}", about.id));
            paths.extend((at_root && !path.is_empty()).then(|| (*path).to_owned()));
        }
    }
    for path in paths {
        let context = Arc::clone(context);
        app.service(web::resource(path).route(web::head().to(HttpResponse::Ok)).default_service(web::to(
            move |request: HttpRequest| ready(serve::not_found(&context, &request)),
        )));
    }
}

/// A path whose other methods are refused in this language, or in that of the request.
fn resource_at(path: &str, context: &Arc<Context>, dialect: Option<Dialect>) -> Resource {
    let context = Arc::clone(context);
    web::resource(path).default_service(web::to(move |request: HttpRequest| {
        ready(serve::wrong_method(&context, &request, dialect))
    }))
}

fn mount_host_paths(app: &mut web::ServiceConfig, context: &Arc<Context>, service: &Arc<Service>) {
    let about = service.provider.descriptor();
    let desk = Desk { logins: Arc::clone(&context.logins), service: Arc::clone(service) };
    let (shared, adding) = (Arc::clone(context), Arc::clone(service));
    app.service(resource_at(&format!("/{}/resource:add", about.id), context, None).route(web::post().to(
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
        resource_at(&base, context, None)
            .route(web::get().to(first(&desk)))
            .route(web::post().to(first(&desk))),
    );
    let page = desk.clone();
    let pasted = desk.clone();
    app.service(
        resource_at(&format!("{base}/paste"), context, None)
            .route(web::get().to(move |request: HttpRequest| login::paste_page(page.clone(), request)))
            .route(web::post().to(move |request: HttpRequest, form: web::Bytes| {
                login::paste(pasted.clone(), request, form)
            })),
    );
    let fate = desk.clone();
    app.service(
        resource_at(&format!("{base}/result"), context, None)
            .route(web::get().to(move |request: HttpRequest| login::result(fate.clone(), request))),
    );
    for path in callback_paths(service.provider.as_ref()) {
        let desk = desk.clone();
        app.service(
            resource_at(&path, context, None)
                .route(web::get().to(move |request: HttpRequest| login::callback(desk.clone(), request))),
        );
    }
}
