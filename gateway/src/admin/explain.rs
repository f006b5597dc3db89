use super::{admit, respond};
use crate::{
    pool::{Standing, Wish},
    relay::Service,
    serve::Context,
};
use actix_web::{HttpRequest, HttpResponse};
use pollux_dialect::Fault;
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, SystemTime},
};

/// `GET /admin/explain?model=&session=&provider=`: each candidate in the order of choice, in or out, why, and
/// when that changes.
pub(super) fn explain(context: &Context, request: &HttpRequest) -> HttpResponse {
    let answer = admit(context, request).and_then(|()| {
        let query: HashMap<String, String> =
            url::form_urlencoded::parse(request.query_string().as_bytes()).into_owned().collect();
        let model = query.get("model").filter(|model| !model.is_empty()).cloned();
        let model = model.ok_or_else(|| Fault::bad_request(Some("model"), "`model` is required"))?;
        let offered = |service: &&Arc<Service>| {
            let wanted = query.get("provider").is_none_or(|provider| provider == service.id());
            wanted && service.offers(&model)
        };
        let wish = Wish { model: model.clone(), session: query.get("session").cloned(), follows: None };
        let now = SystemTime::now();
        let candidates: Vec<Value> = context
            .services
            .iter()
            .filter(offered)
            .flat_map(|service| {
                let standings = service.pool.explain(&wish, now);
                standings
                    .into_iter()
                    .map(|(held, standing)| candidate(service.id(), held.id, &held.label, standing))
            })
            .collect();
        Ok(json!({"model": model, "candidates": candidates}))
    });
    respond(request, answer)
}

fn candidate(provider: &str, id: i64, label: &str, standing: Standing) -> Value {
    let (usable, why, until) = match standing {
        Standing::Ready => (true, "ready", None),
        Standing::Busy => (false, "as many requests as allowed are in flight", None),
        Standing::Refreshing => (false, "a new token is on its way", None),
        Standing::Expired => (false, "its token has ended", None),
        Standing::Cooling(until) => (false, "cooling", Some(until)),
        Standing::Unserved => (false, "it does not have this model", None),
        Standing::Disabled | Standing::Tried => (false, "it is switched off", None),
    };
    let until = until.and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok());
    json!({"provider": provider, "id": id, "label": label, "usable": usable, "why": why,
        "until": until.as_ref().map(Duration::as_secs)})
}
