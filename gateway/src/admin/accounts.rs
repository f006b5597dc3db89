use super::{Deed, Outcome, account, deed, unavailable};
use crate::{
    limits::Wanted,
    relay::Service,
    serve::{Context, read_body},
    store::{Row, State},
};
use actix_web::{HttpRequest, web};
use pollux_dialect::Fault;
use serde_json::{Map, Value, json};
use std::{sync::Arc, time::SystemTime};

/// Bytes of a change.
const CHANGE: usize = 64 << 10;

pub(super) async fn list(context: &Context) -> Outcome {
    let rows = context.store.list().await.map_err(unavailable)?;
    Ok(rows.iter().map(|row| told(context, row)).collect())
}

pub(super) async fn show(context: &Context, request: &HttpRequest) -> Outcome {
    let row = found(context, request).await?;
    Ok(told(context, &row))
}

/// Takes the account of a provider that is not at work away as well: there is no other way to be rid of it.
pub(super) async fn remove(context: &Context, request: &HttpRequest) -> Outcome {
    let row = found(context, request).await?;
    if !context.store.remove(row.id).await.map_err(unavailable)? {
        return Err(missing(row.id));
    }
    if let Some(service) = service_of(context, &row) {
        service.pool.erase(row.id);
    }
    tracing::info!(account = %row.label(), id = row.id, "account removed");
    Ok(json!({"removed": row.id}))
}

pub(super) async fn amend(context: &Context, request: &HttpRequest, payload: web::Payload) -> Outcome {
    let row = found(context, request).await?;
    let (wanted, extra) = change(&read_body(request, payload, CHANGE).await?)?;
    let enroll = !extra.is_empty();
    let service = at_work(context, &row)?;
    let amended = context.store.amend(row.id, extra, &wanted).await;
    let row = amended.map_err(unavailable)?.ok_or_else(|| missing(row.id))?;
    tracing::info!(account = %row.label(), id = row.id, "account amended by its owner");
    if !enroll {
        service.keeper.take(&row);
        return Ok(told(context, &row));
    }
    // What the provider knows of the account has changed: it is asked again.
    into_state(context, service, &row, State::Validating).await
}

/// What `PATCH` may change: name, limits, and below `extra` what only the provider understands.
fn change(body: &[u8]) -> Result<(Wanted, Map<String, Value>), Fault> {
    let change: Value = serde_json::from_slice(body)
        .map_err(|error| Fault::bad_request(None, format!("the body is no JSON: {error}")))?;
    let Value::Object(mut change) = change else {
        return Err(Fault::bad_request(None, "the body is no JSON object"));
    };
    let wanted = Wanted::take_all(&mut change)
        .map_err(|wrong| Fault::bad_request(Some(wrong.key), wrong.to_string()))?;
    let extra = match change.shift_remove("extra") {
        None => Map::new(),
        Some(Value::Object(extra)) => extra,
        Some(_) => return Err(Fault::bad_request(Some("extra"), "extra is an object")),
    };
    if let Some(strange) = change.keys().next() {
        let known = "label, priority, weight, max_concurrency, proxy and extra";
        let shown: String = strange.chars().take(100).collect();
        return Err(Fault::bad_request(
            Some(&shown),
            format!("there is no `{shown}` to change, only {known}"),
        ));
    }
    Ok((wanted, extra))
}

pub(super) async fn act(context: &Context, request: &HttpRequest) -> Outcome {
    let row = found(context, request).await?;
    let service = at_work(context, &row)?;
    let action = request.path().rsplit('/').next().unwrap_or_default();
    match deed(action, row.id, row.state)
        .map_err(|conflict| Fault::new(409, "conflict", conflict.to_string()))?
    {
        Deed::Approve => {
            let row = context.store.approve(row.id).await.map_err(unavailable)?;
            changed(context, service, &row.ok_or_else(|| missing(0))?).await
        }
        Deed::Into(state) => into_state(context, service, &row, state).await,
        Deed::Refresh if !context.settings.pool.refresh => {
            Err(Fault::new(409, "conflict", "tokens are not renewed: pool.refresh is false"))
        }
        Deed::Refresh => {
            service.pool.want_refresh(row.id);
            Ok(told(context, &row))
        }
        Deed::ForgetCooldown => {
            service.pool.lift(row.id);
            context.store.lift_all(row.id).await.map_err(unavailable)?;
            Ok(told(context, &row))
        }
    }
}

async fn into_state(context: &Context, service: &Service, row: &Row, state: State) -> Outcome {
    let row = context.store.set_state(row.id, state, None).await.map_err(unavailable)?;
    changed(context, service, &row.ok_or_else(|| missing(0))?).await
}

async fn changed(context: &Context, service: &Service, row: &Row) -> Outcome {
    tracing::info!(account = %row.label(), id = row.id, state = %row.state, "account changed by its owner");
    service.keeper.take(row);
    service.keeper.look_after(row);
    if row.state == State::Active {
        service.keeper.remember(row.id).await.map_err(unavailable)?;
    }
    Ok(told(context, row))
}

async fn found(context: &Context, request: &HttpRequest) -> Result<Row, Fault> {
    let id = request.match_info().get("id").unwrap_or_default();
    let number: i64 =
        id.parse().map_err(|_| Fault::bad_request(Some("id"), "an account's id is a number"))?;
    context.store.get(number).await.map_err(unavailable)?.ok_or_else(|| missing(number))
}

fn service_of<'a>(context: &'a Context, row: &Row) -> Option<&'a Arc<Service>> {
    context.services.iter().find(|service| service.id() == row.provider)
}

fn at_work<'a>(context: &'a Context, row: &Row) -> Result<&'a Arc<Service>, Fault> {
    let text = || format!("provider `{}` is not at work", row.provider);
    service_of(context, row).ok_or_else(|| Fault::new(409, "conflict", text()))
}

fn told(context: &Context, row: &Row) -> Value {
    let service = service_of(context, row);
    let runtime = service.map(|service| service.pool.runtime_of(row.id, SystemTime::now()));
    let kind = service.map_or(row.provider.as_str(), |service| service.provider.descriptor().kind);
    account(row, kind, &runtime.unwrap_or_default())
}

fn missing(id: i64) -> Fault {
    Fault::new(404, "not_found", format!("there is no account {id}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_names_what_it_cannot_do() {
        for (body, param) in [
            (r#"{"weight": 0}"#, Some("weight")),
            (r#"{"extra": 7}"#, Some("extra")),
            (r#"{"state": "active"}"#, Some("state")),
            ("[]", None),
            ("", None),
            (r#"{"label""#, None),
        ] {
            let refusal = change(body.as_bytes()).unwrap_err();
            assert_eq!((refusal.status, refusal.param.as_deref()), (400, param), "{body}");
        }
        let (wanted, extra) = change(br#"{"weight": 2, "extra": {"project": null}}"#).unwrap();
        assert_eq!((wanted.weight, extra.len()), (Some(Some(2)), 1));
        assert!(change(b"{}").unwrap().0.is_empty());
    }
}
