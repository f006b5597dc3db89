//! The owner's API: accounts as they are, and what can be done with them. It never shows a token.

mod explain;
mod reload;

use crate::{
    relay::Service,
    serve::{Context, fault, request_id},
    store::{Row, State, StoreError},
};
use actix_web::{HttpRequest, HttpResponse, web};
use pollux_dialect::Fault;
use pollux_sdk::Dialect;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::{future::ready, sync::Arc, time::SystemTime};

/// `/admin/accounts` and what is below it.
pub fn mount(app: &mut web::ServiceConfig, context: &Arc<Context>) {
    let (all, one, act, edit, gone) = (
        Arc::clone(context),
        Arc::clone(context),
        Arc::clone(context),
        Arc::clone(context),
        Arc::clone(context),
    );
    let why = Arc::clone(context);
    app.route(
        "/admin/explain",
        web::get().to(move |request: HttpRequest| ready(explain::explain(&why, &request))),
    )
    .route("/admin/reload", reload::route(context))
    .route("/admin/accounts", web::get().to(move |request: HttpRequest| list(Arc::clone(&all), request)))
    .service(
        web::resource("/admin/accounts/{id}")
            .route(web::get().to(move |request: HttpRequest| show(Arc::clone(&one), request)))
            .route(web::patch().to(move |request: HttpRequest, change: web::Bytes| {
                amend(Arc::clone(&edit), request, change)
            }))
            .route(web::delete().to(move |request: HttpRequest| remove(Arc::clone(&gone), request))),
    )
    .route(
        "/admin/accounts/{id}/{action}",
        web::post().to(move |request: HttpRequest| action(Arc::clone(&act), request)),
    );
}

/// What `PATCH` may change.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    /// Members for the provider, such as `project`.
    #[serde(default)]
    extra: Map<String, Value>,
    priority: Option<i32>,
    #[serde(default, deserialize_with = "given")]
    max_in_flight: Nullable,
}

/// Absent: as it is. `null`: no limit.
type Nullable = Option<Option<u32>>;

fn given<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Nullable, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

async fn list(context: Arc<Context>, request: HttpRequest) -> HttpResponse {
    let answer = async {
        admit(&context, &request)?;
        let rows = context.store.list().await.map_err(unavailable)?;
        Ok(json!({"accounts": rows.iter().map(|row| told(&context, row)).collect::<Vec<_>>()}))
    };
    respond(&request, answer.await)
}

async fn show(context: Arc<Context>, request: HttpRequest) -> HttpResponse {
    let answer = async { found(&context, &request).await.map(|(row, _)| told(&context, &row)) };
    respond(&request, answer.await)
}

async fn remove(context: Arc<Context>, request: HttpRequest) -> HttpResponse {
    let answer = async {
        let (row, service) = found(&context, &request).await?;
        context.store.remove(row.id).await.map_err(unavailable)?;
        service.pool.remove(row.id);
        tracing::info!(account = %row.label(), "account removed");
        Ok(json!({"removed": row.id}))
    };
    respond(&request, answer.await)
}

async fn amend(context: Arc<Context>, request: HttpRequest, change: web::Bytes) -> HttpResponse {
    let answer = async {
        let (row, service) = found(&context, &request).await?;
        let change: Change = serde_json::from_slice(&change)
            .map_err(|error| Fault::bad_request(None, format!("the change is none: {error}")))?;
        let enroll = !change.extra.is_empty();
        let amended = context.store.amend(row.id, change.extra, change.priority, change.max_in_flight).await;
        let row = amended.map_err(unavailable)?.ok_or_else(|| missing(row.id))?;
        if !enroll {
            service.keeper.take(&row);
            return Ok(told(&context, &row));
        }
        // What the provider knows of the account has changed: it is asked again.
        into_state(&context, &service, &row, State::Validating).await
    };
    respond(&request, answer.await)
}

async fn action(context: Arc<Context>, request: HttpRequest) -> HttpResponse {
    let answer = async {
        let (row, service) = found(&context, &request).await?;
        let action = request.match_info().get("action").unwrap_or_default();
        match (action, row.state) {
            ("approve", State::Pending) => {
                let row = context
                    .store
                    .approve(row.id)
                    .await
                    .map_err(unavailable)?
                    .ok_or_else(|| missing(row.id))?;
                Ok(changed(&context, &service, &row))
            }
            ("lift", _) => {
                for (model, _) in service.pool.lift(row.id) {
                    context.store.lift(row.id, model.as_deref()).await.map_err(unavailable)?;
                }
                Ok(told(&context, &row))
            }
            ("pause", State::Active) => into_state(&context, &service, &row, State::Paused).await,
            ("resume", State::Paused) => into_state(&context, &service, &row, State::Active).await,
            ("resume" | "refresh", State::Suspended) => {
                into_state(&context, &service, &row, State::Validating).await
            }
            ("refresh", State::Active) if !context.settings.pool.refresh => {
                Err(Fault::new(409, "conflict", "tokens are not renewed: pool.refresh is false"))
            }
            ("refresh", State::Active) => {
                service.pool.want_refresh(row.id);
                Ok(told(&context, &row))
            }
            ("approve" | "pause" | "resume" | "refresh", state) => {
                let text = format!("`{action}` does not apply to account {}, which is {state}", row.id);
                Err(Fault::new(409, "conflict", text))
            }
            _ => Err(Fault::not_found(action)),
        }
    };
    respond(&request, answer.await)
}

async fn into_state(context: &Context, service: &Service, row: &Row, state: State) -> Result<Value, Fault> {
    let row = context.store.set_state(row.id, state, None).await.map_err(unavailable)?;
    Ok(changed(context, service, &row.ok_or_else(|| missing(0))?))
}

fn changed(context: &Context, service: &Service, row: &Row) -> Value {
    tracing::info!(account = %row.label(), state = %row.state, "account changed by its owner");
    service.keeper.take(row);
    service.keeper.look_after(row);
    told(context, row)
}

pub(crate) fn admit(context: &Context, request: &HttpRequest) -> Result<(), Fault> {
    let Some(key) = &context.admin_key else {
        return Err(Fault::new(403, "admin_off", "the admin API is off: set basic.admin_key"));
    };
    if key.admits_by_header(request) { Ok(()) } else { Err(Fault::unauthorized()) }
}

async fn found(context: &Context, request: &HttpRequest) -> Result<(Row, Arc<Service>), Fault> {
    admit(context, request)?;
    let id = request.match_info().get("id").unwrap_or_default();
    let number: i64 =
        id.parse().map_err(|_| Fault::bad_request(Some("id"), "an account's id is a number"))?;
    let row = context.store.get(number).await.map_err(unavailable)?.ok_or_else(|| missing(number))?;
    let service = context.services.iter().find(|service| service.id() == row.provider);
    let text = || format!("provider `{}` is not at work", row.provider);
    let service = service.ok_or_else(|| Fault::new(409, "conflict", text()))?;
    Ok((row, Arc::clone(service)))
}

/// An account as its owner sees it.
fn told(context: &Context, row: &Row) -> Value {
    let unix = |at: SystemTime| at.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |time| time.as_secs());
    let service = context.services.iter().find(|service| service.id() == row.provider);
    let cooling: Vec<Value> = service
        .map(|service| service.pool.cooldowns_of(row.id, SystemTime::now()))
        .unwrap_or_default()
        .into_iter()
        .map(|(model, until)| json!({"model": model, "until": unix(until)}))
        .collect();
    json!({
        "id": row.id,
        "provider": row.provider,
        "subject": row.credential.subject,
        "label": row.credential.label,
        "state": row.state.to_string(),
        "reason": row.reason.as_ref().map(|reason| json!({
            "code": reason.code, "text": reason.text, "link": reason.link,
        })),
        "refreshing": row.refresh_intent,
        "cooling": cooling,
        "quota": quota(context, row),
        "expires_at": row.credential.expires_at.map(unix),
        "origin": row.origin,
        "trusted": row.trusted,
        "priority": row.priority,
        "max_in_flight": row.max_in_flight,
        "revision": row.revision,
        "created_at": unix(row.created_at),
        "updated_at": unix(row.updated_at),
    })
}

fn quota(context: &Context, row: &Row) -> Vec<Value> {
    let unix = |at: SystemTime| at.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |time| time.as_secs());
    let service = context.services.iter().find(|service| service.id() == row.provider);
    let quota = service.map(|service| service.pool.quota_of(row.id, SystemTime::now())).unwrap_or_default();
    let told = |window: &pollux_sdk::Window| {
        json!({
            "seconds": window.length.map(|length| length.as_secs()),
            "model": window.model,
            "used": window.used,
            "resets_at": window.resets_at.map(unix),
        })
    };
    quota.windows.iter().map(told).collect()
}

fn missing(id: i64) -> Fault {
    Fault::new(404, "not_found", format!("there is no account {id}"))
}

#[expect(clippy::needless_pass_by_value, reason = "it stands in `map_err`")]
fn unavailable(error: StoreError) -> Fault {
    tracing::error!(%error, "store failed");
    Fault::new(503, "store_unavailable", "the store is not available")
}

fn respond(request: &HttpRequest, answer: Result<Value, Fault>) -> HttpResponse {
    let id = request_id(request);
    match answer {
        Ok(value) => HttpResponse::Ok().insert_header(("x-request-id", id)).json(value),
        Err(refusal) => fault(Dialect::Responses, &refusal, &id),
    }
}
