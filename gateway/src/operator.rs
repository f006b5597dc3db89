//! What the machine room asks: is it alive, is it ready, how is it doing.

mod status;

use crate::{admin::admit, serve::Context};
use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::json;
use std::{
    future::ready,
    sync::{Arc, atomic::Ordering},
    time::{Duration, SystemTime},
};
use tokio::time::timeout;

/// A database that takes longer is not there.
const PATIENCE: Duration = Duration::from_secs(5);

/// `/healthz`, `/readyz`, `/metrics` and `/status`.
pub fn mount(app: &mut web::ServiceConfig, context: &Arc<Context>) {
    let (alive, able, numbers, state) =
        (Arc::clone(context), Arc::clone(context), Arc::clone(context), Arc::clone(context));
    app.route("/healthz", web::get().to(move || ready(health(&alive))))
        .route("/readyz", web::get().to(move || readiness(Arc::clone(&able))))
        .route("/metrics", web::get().to(move |request: HttpRequest| ready(metrics(&numbers, &request))))
        .route("/status", web::get().to(move |request: HttpRequest| ready(state_of(&state, &request))));
}

fn health(context: &Context) -> HttpResponse {
    let now = SystemTime::now();
    let accounts: usize = context.services.iter().map(|service| service.pool.standings(now).len()).sum();
    HttpResponse::Ok().json(json!({
        "ok": true,
        "uptime_seconds": context.began.elapsed().as_secs(),
        "accounts": accounts,
        "inflight": context.running.load(Ordering::Acquire),
        "recent_errors": context.metrics.recent_errors(),
        "version": env!("CARGO_PKG_VERSION"),
    }))
}

async fn readiness(context: Arc<Context>) -> HttpResponse {
    let not = |why: &str| HttpResponse::ServiceUnavailable().json(json!({"ready": false, "why": why}));
    if context.is_draining() {
        return not("going down");
    }
    match timeout(PATIENCE, context.store.is_there()).await {
        Ok(true) => HttpResponse::Ok().json(json!({"ready": true})),
        _ => not("the database does not answer"),
    }
}

fn metrics(context: &Context, request: &HttpRequest) -> HttpResponse {
    if let Some(refusal) = refused(context, request) {
        return refusal;
    }
    let text = context.metrics.render(&context.services, context.running.load(Ordering::Acquire));
    HttpResponse::Ok().content_type("text/plain; version=0.0.4; charset=utf-8").body(text)
}

fn state_of(context: &Context, request: &HttpRequest) -> HttpResponse {
    if let Some(refusal) = refused(context, request) {
        return refusal;
    }
    let status = status::read(context, SystemTime::now());
    let accept = request.headers().get("accept").and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    if status::wants_page(accept) {
        let mut page = HttpResponse::Ok();
        page.content_type("text/html; charset=utf-8");
        for (name, value) in status::PAGE_HEADERS {
            page.insert_header((name, value));
        }
        page.body(status::page(&status).into_string())
    } else {
        HttpResponse::Ok().insert_header(("cache-control", "no-store")).json(status)
    }
}

/// `public_status` opens the numbers; without it they are the owner's.
fn refused(context: &Context, request: &HttpRequest) -> Option<HttpResponse> {
    if context.settings.basic.public_status {
        return None;
    }
    let refusal = admit(context, request).err()?;
    Some(crate::serve::fault(pollux_sdk::Dialect::Responses, &refusal, &crate::serve::request_id(request)))
}
