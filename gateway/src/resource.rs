//! `POST /{provider}/resource:add`: accounts by token, many at a time.

use crate::{
    accounts::{IntakeError, Origin},
    origin,
    relay::Service,
    serve::{Context, fault, read_body, request_id},
    story::{Story, masked},
};
use actix_web::{HttpRequest, HttpResponse, web};
use pollux_dialect::Fault;
use serde_json::Value;
use std::sync::Arc;

/// Stores the entries, then answers; validation goes on in the background.
pub async fn add(
    context: Arc<Context>,
    service: Arc<Service>,
    request: HttpRequest,
    payload: web::Payload,
) -> HttpResponse {
    let id = request_id(&request);
    let mut story = Story::begin(id.clone(), masked(request.path(), request.query_string()), context.busy());
    story.provider = service.id();
    let outcome = take_in(&context, &service, &request, payload).await;
    (story.status, story.verdict) = match &outcome {
        Ok(()) => (202, "taken_in"),
        Err(refusal) => (refusal.status, "refused"),
    };
    match outcome {
        Ok(()) => HttpResponse::Accepted()
            .content_type("text/plain; charset=utf-8")
            .insert_header(("x-request-id", id))
            .body("Success"),
        Err(refusal) => fault(context.dialect_of(&request), &refusal, &id),
    }
}

async fn take_in(
    context: &Context,
    service: &Service,
    request: &HttpRequest,
    payload: web::Payload,
) -> Result<(), Fault> {
    // In local mode whoever may use the admin API may bring accounts.
    context.admit(request, true)?;
    let body = read_body(request, payload, context.settings.basic.body_limit).await?;
    let entries: Value = serde_json::from_slice(&body)
        .map_err(|error| Fault::bad_request(None, format!("the body is no JSON: {error}")))?;
    let near = origin::of(request, &context.settings.basic.trusted_proxies);
    // Who knows the key is the owner.
    let origin = Origin { address: near.address, trusted: true };
    service.keeper.add(&entries, &origin).await.map(drop).map_err(|error| match error {
        IntakeError::Store(error) => {
            tracing::error!(provider = service.id(), %error, "accounts not stored");
            Fault::new(503, "store_unavailable", "the store is not available; nothing was taken in")
        }
        wrong => Fault::bad_request(None, wrong.to_string()),
    })
}
