//! actix-web 4 speaks `http` 0.2, the contract speaks 1. Nothing else converts between them.

use actix_web::http::{StatusCode as ActixStatus, header::HeaderMap as ActixHeaders};
use pollux_sdk::{HeaderMap, HeaderName, HeaderValue, StatusCode};

/// Request headers for the contract.
pub fn headers(theirs: &ActixHeaders) -> HeaderMap {
    let mut ours = HeaderMap::with_capacity(theirs.len());
    for (name, value) in theirs {
        if let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(name.as_str().as_bytes()), HeaderValue::from_bytes(value.as_bytes()))
        {
            ours.append(name, value);
        }
    }
    ours
}

/// A status for actix.
pub fn status(status: StatusCode) -> ActixStatus {
    ActixStatus::from_u16(status.as_u16()).unwrap_or(ActixStatus::BAD_GATEWAY)
}

/// The headers of `list`; `x-family-*` names a family.
pub fn allowed(headers: &HeaderMap, list: &[&str]) -> HeaderMap {
    let listed = |name: &str| {
        list.iter()
            .any(|entry| entry.strip_suffix('*').map_or(*entry == name, |family| name.starts_with(family)))
    };
    headers
        .iter()
        .filter(|(name, _)| listed(name.as_str()))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}
