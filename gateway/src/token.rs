//! `POST /oauth/token`, for clients that know logins only: the key is its own refresh token, and its own access token.
//!
//! It gives out nothing that the caller did not bring.

use crate::{
    local,
    serve::{Context, read_body},
};
use actix_web::{HttpRequest, HttpResponse, http::StatusCode, http::header, web};
use pollux_sdk::Secret;
use serde::Deserialize;
use serde_json::json;
use std::sync::Arc;

/// A request is a few hundred bytes.
const LARGEST: usize = 16 << 10;
/// Seconds after which a client asks again.
const LIFETIME: u32 = 3600;

/// The token endpoint.
pub fn mount(app: &mut web::ServiceConfig, context: &Arc<Context>) {
    let shared = Arc::clone(context);
    app.route(
        "/oauth/token",
        web::post().to(move |request: HttpRequest, payload: web::Payload| {
            renew(Arc::clone(&shared), request, payload)
        }),
    );
}

#[derive(Deserialize)]
struct Wish {
    #[serde(default)]
    grant_type: String,
    refresh_token: Option<Secret>,
}

async fn renew(context: Arc<Context>, request: HttpRequest, payload: web::Payload) -> HttpResponse {
    let Ok(body) = read_body(&request, payload, LARGEST).await else {
        return refusal("invalid_request", "the body cannot be read");
    };
    // A form by the standard; some clients send JSON.
    let wish = serde_json::from_slice(&body).ok().or_else(|| form(&body));
    let Some(Wish { grant_type, refresh_token: Some(token) }) = wish else {
        return refusal("invalid_request", "`refresh_token` is required");
    };
    if grant_type != "refresh_token" {
        return refusal("unsupported_grant_type", "only `refresh_token` is");
    }
    let access = if context.key.is(token.expose()) {
        token.expose()
    } else if context.settings.basic.local && local::admit(&request).is_ok() {
        // There any will do. The caller's own, which is of some vendor, stays where it is.
        "local"
    } else {
        return refusal("invalid_grant", "the refresh token is not a key of this server");
    };
    let granted = json!({"access_token": access, "token_type": "Bearer", "expires_in": LIFETIME});
    answer(StatusCode::OK, &granted)
}

fn form(body: &[u8]) -> Option<Wish> {
    let pairs: Vec<_> = url::form_urlencoded::parse(body).collect();
    let field = |name: &str| pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.to_string());
    let grant_type = field("grant_type")?;
    Some(Wish { grant_type, refresh_token: field("refresh_token").map(Secret::new) })
}

fn refusal(error: &str, description: &str) -> HttpResponse {
    tracing::info!(error, "token not renewed");
    answer(StatusCode::BAD_REQUEST, &json!({"error": error, "error_description": description}))
}

fn answer(status: StatusCode, body: &serde_json::Value) -> HttpResponse {
    HttpResponse::build(status).insert_header((header::CACHE_CONTROL, "no-store")).json(body)
}
