use super::{Outcome, unavailable, view::unix};
use crate::{
    pool::{Standing, Wish},
    relay::Service,
    serve::Context,
    store::{Row, State},
};
use actix_web::HttpRequest;
use pollux_dialect::Fault;
use serde_json::{Value, json};
use std::{collections::HashMap, sync::Arc, time::SystemTime};

/// `GET /admin/explain?key=&model=&provider=`: each candidate in the order of choice, in or out, why, and when that
/// changes. `key` is what keeps a conversation together (a session id); with it, who is chosen may not be the first.
pub(super) async fn explain(context: &Context, request: &HttpRequest) -> Outcome {
    let query: HashMap<String, String> =
        url::form_urlencoded::parse(request.query_string().as_bytes()).into_owned().collect();
    let given = |name: &str| query.get(name).filter(|text| !text.is_empty()).cloned();
    let model = given("model").ok_or_else(|| Fault::bad_request(Some("model"), "`model` is required"))?;
    let provider = given("provider");
    let offers = |service: &&Arc<Service>| {
        let asked = provider.as_deref().is_none_or(|provider| provider == service.id());
        asked && service.offers(&model)
    };
    let wish = Wish { model: model.clone(), session: given("key"), follows: None };
    let rows = context.store.list().await.map_err(unavailable)?;
    let now = SystemTime::now();
    let candidates: Vec<Value> = context
        .services
        .iter()
        .filter(offers)
        .flat_map(|service| {
            let (standings, chosen) = service.pool.explain(&wish, now);
            let out = rows.iter().filter(|row| row.provider == service.id() && row.state != State::Active);
            let out: Vec<Value> = out.map(|row| outsider(service.id(), row)).collect();
            let inside = standings.into_iter().map(move |(held, standing)| {
                let (fits, why, until) = told(standing);
                let until = until.map(unix);
                json!({"provider": service.id(), "id": held.id, "label": held.label, "in": fits,
                    "chosen": chosen == Some(held.id), "why": why, "until": until})
            });
            inside.chain(out)
        })
        .collect();
    Ok(json!({"model": model, "key": wish.session, "candidates": candidates}))
}

fn told(standing: Standing) -> (bool, &'static str, Option<SystemTime>) {
    match standing {
        Standing::Ready => (true, "ready", None),
        Standing::Busy => (false, "as many requests as allowed are in flight", None),
        Standing::Refreshing => (false, "a new token is on its way", None),
        Standing::Expired => (false, "its token has ended", None),
        Standing::Cooling(until) => (false, "cooling", Some(until)),
        Standing::Unserved => (false, "it does not have this model", None),
        Standing::Disabled | Standing::Tried => (false, "it is switched off", None),
    }
}

/// An account that is in no choice at all.
fn outsider(provider: &str, row: &Row) -> Value {
    let reason = row.reason.as_ref().map(|reason| reason.text.as_str());
    let why = match (row.state, reason) {
        (State::Paused, _) => "paused by its owner".to_owned(),
        (State::Pending, _) => "waits for its owner's approval".to_owned(),
        (State::Validating, None) => "is being checked".to_owned(),
        (State::Validating, Some(reason)) => format!("is being checked: {reason}"),
        (state, None) => state.to_string(),
        (state, Some(reason)) => format!("{state}: {reason}"),
    };
    json!({"provider": provider, "id": row.id, "label": row.label(), "in": false, "chosen": false,
        "why": why, "until": null})
}
