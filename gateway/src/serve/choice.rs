//! Who of several owners of a path serves a request, and in which language it is refused.

use super::Owner;
use crate::{
    auth, bridge,
    pool::{Standing, Wish},
};
use actix_web::HttpRequest;
use pollux_sdk::{Dialect, Operation};
use std::time::SystemTime;

/// The language of the route; at a shared list that of the request.
pub(super) fn language(owner: &Owner, request: &HttpRequest) -> Dialect {
    match (owner.shared, owner.endpoint.operation) {
        // A list that one dialect alone has, such as Gemini's of the OpenAI shape, is in its own.
        (Some(base), Operation::Models) if owner.endpoint.path.starts_with("/models") => {
            spoken_at(base, request)
        }
        _ => owner.endpoint.dialect,
    }
}

/// The language that a request shows at a base which is nobody's.
pub(super) fn spoken_at(base: &str, request: &HttpRequest) -> Dialect {
    let headers = bridge::headers(request.headers());
    pollux_dialect::spoken(base, &auth::without_key(request.query_string()), &headers)
}

/// The first owner of the model whose pool can serve it soonest; `None` where nobody has the model.
pub(super) fn pick<'a>(owners: &'a [Owner], model: &str) -> Option<&'a Owner> {
    let mut having = owners.iter().filter(|owner| owner.service.offers(model));
    let first = having.next()?;
    let others: Vec<&Owner> = having.collect();
    if others.is_empty() {
        return Some(first);
    }
    // `min_by_key` keeps the first of equals, so that the order decides among them.
    std::iter::once(first).chain(others).min_by_key(|owner| prospect(owner, model))
}

/// All models of these owners, each once.
pub(super) fn models(owners: &[Owner]) -> Vec<&str> {
    let mut all: Vec<&str> = Vec::new();
    for model in owners.iter().flat_map(|owner| &owner.service.provider.descriptor().models) {
        if !all.contains(&model.id.as_str()) {
            all.push(&model.id);
        }
    }
    all
}

/// How near the best account is to serving: now, after others, after a rest, not at all.
fn prospect(owner: &Owner, model: &str) -> u8 {
    let wish = Wish { model: model.to_owned(), ..Wish::default() };
    let rank = |standing| match standing {
        Standing::Ready | Standing::Refreshing | Standing::Expired => 0,
        Standing::Busy => 1,
        Standing::Cooling(_) => 2,
        _ => 3,
    };
    let standings = owner.service.pool.explain(&wish, SystemTime::now());
    standings.into_iter().map(|(_, standing)| rank(standing)).min().unwrap_or(3)
}
