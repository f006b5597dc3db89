//! The owner's API: accounts as they are, what can be done with them, and why a request goes where it goes.
//!
//! It takes the admin key alone, by header alone, and never shows a token. `openapi.json` describes it.

mod accounts;
mod deed;
mod explain;
mod reload;
mod view;

pub(crate) use deed::{Deed, deed};
pub(crate) use view::{Runtime, account};

use crate::{
    local,
    serve::{self, Context, fault, request_id},
    store::StoreError,
};
use actix_web::{
    HttpRequest, HttpResponse,
    http::{
        Method,
        header::{self, HeaderValue},
    },
    web,
};
use futures_util::future::LocalBoxFuture;
use pollux_dialect::Fault;
use pollux_sdk::Dialect;
use serde_json::Value;
use std::{future::ready, sync::Arc};

/// What the API is, for people's tools.
const DOCUMENT: &str = include_str!("admin/openapi.json");

type Outcome = Result<Value, Fault>;
type Handler = fn(Arc<Context>, HttpRequest, web::Payload) -> LocalBoxFuture<'static, Outcome>;

/// Every path with its methods. `openapi.json` says the same, which a test holds it to.
fn routes() -> Vec<(&'static str, Vec<(Method, Handler)>)> {
    vec![
        ("/admin/openapi.json", vec![(Method::GET, |_, _, _| Box::pin(ready(document())))]),
        (
            "/admin/explain",
            vec![(Method::GET, |context, request, _| {
                Box::pin(async move { explain::explain(&context, &request).await })
            })],
        ),
        (
            "/admin/accounts",
            vec![(Method::GET, |context, _, _| Box::pin(async move { accounts::list(&context).await }))],
        ),
        (
            "/admin/accounts/{id}",
            vec![
                (Method::GET, |context, request, _| {
                    Box::pin(async move { accounts::show(&context, &request).await })
                }),
                (Method::PATCH, |context, request, payload| {
                    Box::pin(async move { accounts::amend(&context, &request, payload).await })
                }),
                (Method::DELETE, |context, request, _| {
                    Box::pin(async move { accounts::remove(&context, &request).await })
                }),
            ],
        ),
        ("/admin/reload", vec![(Method::POST, |context, _, _| Box::pin(reload::reload(context)))]),
        ("/admin/accounts/{id}/approve", vec![(Method::POST, act)]),
        ("/admin/accounts/{id}/pause", vec![(Method::POST, act)]),
        ("/admin/accounts/{id}/resume", vec![(Method::POST, act)]),
        ("/admin/accounts/{id}/refresh", vec![(Method::POST, act)]),
        ("/admin/accounts/{id}/forget-cooldown", vec![(Method::POST, act)]),
    ]
}

fn act(
    context: Arc<Context>,
    request: HttpRequest,
    _payload: web::Payload,
) -> LocalBoxFuture<'static, Outcome> {
    Box::pin(async move { accounts::act(&context, &request).await })
}

/// Everything below `/admin`.
pub fn mount(app: &mut web::ServiceConfig, context: &Arc<Context>) {
    for (path, methods) in routes() {
        let lost = Arc::clone(context);
        let allowed: Vec<&str> = methods.iter().map(|(method, _)| method.as_str()).collect();
        let allowed = HeaderValue::from_str(&allowed.join(", ")).ok();
        let mut resource = web::resource(path).default_service(web::to(move |request: HttpRequest| {
            let mut refusal = serve::wrong_method(&lost, &request, Some(Dialect::Responses));
            if let Some(allowed) = &allowed {
                refusal.headers_mut().insert(header::ALLOW, allowed.clone());
            }
            ready(refusal)
        }));
        for (method, handler) in methods {
            let context = Arc::clone(context);
            resource =
                resource.route(web::method(method).to(move |request: HttpRequest, payload: web::Payload| {
                    answer(Arc::clone(&context), request, payload, handler)
                }));
        }
        app.service(resource);
    }
}

async fn answer(
    context: Arc<Context>,
    request: HttpRequest,
    payload: web::Payload,
    handler: Handler,
) -> HttpResponse {
    let id = request_id(&request);
    let outcome = match admit(&context, &request) {
        Ok(()) => handler(context, request, payload).await,
        Err(refusal) => Err(refusal),
    };
    match outcome {
        Ok(value) => HttpResponse::Ok()
            .insert_header(("x-request-id", id))
            .insert_header(("cache-control", "no-store"))
            .json(value),
        Err(refusal) => fault(Dialect::Responses, &refusal, &id),
    }
}

fn document() -> Outcome {
    let mut document: Value = serde_json::from_str(DOCUMENT).map_err(|error| {
        tracing::error!(%error, "openapi.json does not read");
        Fault::internal()
    })?;
    document["info"]["version"] = env!("CARGO_PKG_VERSION").into();
    Ok(document)
}

/// Whether the request carries the admin key, in a header.
pub(crate) fn admit(context: &Context, request: &HttpRequest) -> Result<(), Fault> {
    if context.settings.basic.local
        && !context.admin_key.as_ref().is_some_and(|key| key.admits_by_header(request))
    {
        return local::admit(request);
    }
    let Some(key) = &context.admin_key else {
        return Err(Fault::new(403, "admin_off", "the admin API is off: set basic.admin_key"));
    };
    if key.admits_by_header(request) { Ok(()) } else { Err(Fault::unauthorized()) }
}

#[expect(clippy::needless_pass_by_value, reason = "it stands in `map_err`")]
fn unavailable(error: StoreError) -> Fault {
    tracing::error!(%error, "store failed");
    Fault::new(503, "store_unavailable", "the store is not available")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_document_describes_every_route_and_no_other() {
        let document = document().unwrap();
        assert_eq!(document["openapi"], "3.1.0");
        assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
        let described: BTreeSet<(String, String)> = document["paths"]
            .as_object()
            .unwrap()
            .iter()
            .flat_map(|(path, item)| {
                let methods = item.as_object().unwrap().keys().filter(|key| *key != "parameters");
                methods.map(move |method| (path.clone(), method.to_uppercase()))
            })
            .collect();
        let mounted: BTreeSet<(String, String)> = routes()
            .into_iter()
            .flat_map(|(path, methods)| {
                methods.into_iter().map(move |(method, _)| (path.to_owned(), method.to_string()))
            })
            .chain(crate::usage::ADMIN_PATHS.map(|path| (path.to_owned(), "GET".to_owned())))
            .collect();
        assert_eq!(described, mounted);
    }
}
