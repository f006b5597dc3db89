//! Who of several owners of a path serves a request, and in which language it is refused.

use super::Owner;
use crate::{auth, bridge};
use actix_web::HttpRequest;
use pollux_sdk::{Dialect, Operation};
use std::time::SystemTime;

/// The language of the route; at a shared list that of the request.
pub(super) fn language(owner: &Owner, request: &HttpRequest) -> Dialect {
    match (owner.shared, owner.endpoint.operation) {
        // A list in the shape of another dialect, which one dialect alone has, is in its own.
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
    let now = SystemTime::now();
    // `min_by_key` keeps the first of equals, so that the order decides among them.
    std::iter::once(first).chain(others).min_by_key(|owner| owner.service.pool.prospect(model, now))
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
