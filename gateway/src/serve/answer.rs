use crate::{
    bridge,
    relay::{Answer, Body},
    server::Leaving,
};
use actix_web::{HttpResponse, http::StatusCode, http::header};
use pollux_dialect::{Dialect, Fault};
use pollux_sdk::Shape;

/// An answer for actix. A streamed one ends when its client leaves.
pub fn respond(answer: Answer, shape: Shape, request_id: &str, leaving: Leaving) -> HttpResponse {
    let mut response = HttpResponse::build(bridge::status(answer.status));
    for (name, value) in &answer.headers {
        response.append_header((name.as_str(), value.as_bytes()));
    }
    // Ours comes last: it is the one the client sent, or the one in our log.
    response.insert_header(("x-request-id", request_id));
    match answer.body {
        Body::Whole(body) => {
            if !answer.headers.contains_key("content-type") {
                response.content_type("application/json");
            }
            if shape == Shape::Array && !answer.status.is_success() {
                // Who asked for a list reads a list, in failure too (Google, 2026-08).
                return response.body([b"[", &body[..], b"]"].concat());
            }
            response.body(body)
        }
        Body::Socket(_) => HttpResponse::InternalServerError().finish(), // sockets are answered where they are asked for
        Body::Stream(live) => {
            let kind = if shape == Shape::Array { "application/json" } else { "text/event-stream" };
            response
                .content_type(kind)
                .insert_header((header::CACHE_CONTROL, "no-cache"))
                .insert_header(("x-accel-buffering", "no"))
                .streaming(live.into_stream(leaving))
        }
    }
}

/// A refusal of our own.
pub fn fault(dialect: Dialect, fault: &Fault, request_id: &str) -> HttpResponse {
    let status = StatusCode::from_u16(fault.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = HttpResponse::build(status);
    response.content_type("application/json").insert_header(("x-request-id", request_id));
    for (name, value) in fault.headers() {
        response.insert_header((name, value));
    }
    response.body(fault.body(dialect))
}
