//! What the machine room asks: is it alive, is it ready, how is it doing.

use crate::{admin::admit, pool::Standing, serve::Context};
use actix_web::{HttpRequest, HttpResponse, web};
use maud::{DOCTYPE, html};
use serde_json::{Value, json};
use std::{
    future::ready,
    sync::{Arc, atomic::Ordering},
    time::SystemTime,
};

/// `/healthz`, `/readyz`, `/metrics` and `/status`.
pub fn mount(app: &mut web::ServiceConfig, context: &Arc<Context>) {
    let (alive, able, numbers, state) =
        (Arc::clone(context), Arc::clone(context), Arc::clone(context), Arc::clone(context));
    app.route("/healthz", web::get().to(move || ready(health(&alive))))
        .route("/readyz", web::get().to(move || ready(readiness(&able))))
        .route("/metrics", web::get().to(move |request: HttpRequest| ready(metrics(&numbers, &request))))
        .route("/status", web::get().to(move |request: HttpRequest| ready(status(&state, &request))));
}

fn health(context: &Context) -> HttpResponse {
    let accounts: usize =
        context.services.iter().map(|service| service.pool.standings(SystemTime::now()).len()).sum();
    HttpResponse::Ok().json(json!({
        "ok": true,
        "uptime_seconds": context.began.elapsed().as_secs(),
        "accounts": accounts,
        "inflight": context.running.load(Ordering::Acquire),
        "version": env!("CARGO_PKG_VERSION"),
    }))
}

fn readiness(context: &Context) -> HttpResponse {
    if context.is_draining() {
        return HttpResponse::ServiceUnavailable().json(json!({"ready": false, "why": "going down"}));
    }
    HttpResponse::Ok().json(json!({"ready": true}))
}

fn metrics(context: &Context, request: &HttpRequest) -> HttpResponse {
    if let Some(refusal) = refused(context, request) {
        return refusal;
    }
    let text = context.metrics.render(&context.services, context.running.load(Ordering::Acquire));
    HttpResponse::Ok().content_type("text/plain; version=0.0.4; charset=utf-8").body(text)
}

fn status(context: &Context, request: &HttpRequest) -> HttpResponse {
    if let Some(refusal) = refused(context, request) {
        return refusal;
    }
    let now = SystemTime::now();
    let pools: Vec<Value> = context
        .services
        .iter()
        .map(|service| {
            let standings = service.pool.standings(now);
            let count =
                |is: fn(&Standing) -> bool| standings.iter().filter(|(_, standing)| is(standing)).count();
            json!({
                "provider": service.id(),
                "title": service.provider.descriptor().title,
                "accounts": standings.len(),
                "ready": count(|standing| *standing == Standing::Ready),
                "cooling": count(|standing| matches!(standing, Standing::Cooling(_))),
            })
        })
        .collect();
    let page =
        request.headers().get("accept").is_some_and(|accept| accept.as_bytes().starts_with(b"text/html"));
    if !page {
        return HttpResponse::Ok().json(json!({"pools": pools}));
    }
    let markup = html! {
        (DOCTYPE)
        html lang="en" {
            head { meta charset="utf-8"; meta http-equiv="refresh" content="30"; title { "Pollux" } }
            body {
                h1 { "Pollux" }
                table {
                    tr { th { "Pool" } th { "Accounts" } th { "Ready" } th { "Cooling" } }
                    @for pool in &pools {
                        tr {
                            td { (pool["title"].as_str().unwrap_or_default()) }
                            @for key in ["accounts", "ready", "cooling"] { td { (pool[key]) } }
                        }
                    }
                }
            }
        }
    };
    HttpResponse::Ok().content_type("text/html; charset=utf-8").body(markup.into_string())
}

/// `public_status` opens the numbers; without it they are the owner's.
fn refused(context: &Context, request: &HttpRequest) -> Option<HttpResponse> {
    if context.settings.basic.public_status {
        return None;
    }
    let refusal = admit(context, request).err()?;
    Some(crate::serve::fault(pollux_sdk::Dialect::Responses, &refusal, &crate::serve::request_id(request)))
}
