//! The few pages of a login: no script, no outside resource, strict policy. Plain clients get one line of text.

use crate::store::{Row, State};
use actix_web::{HttpRequest, HttpResponse, cookie::Cookie, http::StatusCode, http::header};
use base64::{Engine, engine::general_purpose::STANDARD};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use pollux_sdk::{Descriptor, Redirect};
use sha2::{Digest, Sha256};
use std::time::Duration;
use url::Url;

const STYLE: &str = include_str!("pages.css");

/// Whether a person looks at the answer.
pub(super) fn browser(request: &HttpRequest) -> bool {
    let accept = request.headers().get(header::ACCEPT).and_then(|value| value.to_str().ok());
    accept.is_some_and(|accept| accept.contains("text/html"))
}

/// A vendor's text without control characters, bounded.
pub(super) fn clean(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(300).collect()
}

pub(super) fn failed(
    request: &HttpRequest,
    about: &Descriptor,
    status: u16,
    title: &str,
    text: &str,
) -> HttpResponse {
    let text = clean(text);
    if !browser(request) {
        return plain(status, &format!("{title}. {text}\n"));
    }
    let again = format!("/{}/auth", about.id);
    page(status, title, None, &html! { p { (text) } p { a.button href=(again) { "Start again" } } })
}

pub(super) fn too_many(request: &HttpRequest, about: &Descriptor, wait: Duration) -> HttpResponse {
    let seconds = wait.as_secs().max(1);
    let text = format!("Wait {seconds} seconds.");
    let mut response = failed(request, about, 429, "Too many logins from this address", &text);
    response.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from(seconds));
    response
}

/// The form that asks for the key, where `onboarding` is `key`.
///
/// Browsers hold the whole chain of redirects after a form against `form-action`: the vendor's origin is in it.
pub(super) fn key_wanted(
    request: &HttpRequest,
    about: &Descriptor,
    authorize: &str,
    wrong: bool,
) -> HttpResponse {
    if !browser(request) {
        return plain(401, "This server asks for its key before an account is connected.\n");
    }
    let body = html! {
        @if wrong { p.error { "That is not the key." } }
        form method="post" action={ "/" (about.id) "/auth" } {
            label for="key" { "Key" }
            input #key name="key" type="password" autocomplete="off" required autofocus;
            button { "Continue to " (about.title) }
        }
    };
    let vendor = Url::parse(authorize).map(|url| url.origin().ascii_serialization()).unwrap_or_default();
    page_with(401, "This server asks for its key", None, &body, &format!("'self' {vendor}"))
}

/// The way for browsers on another machine: the vendor's redirect cannot reach this server.
pub(super) fn carry(about: &Descriptor, target: &str, cookie: &Cookie<'_>) -> HttpResponse {
    let body = html! {
        ol {
            li {
                p { "Log in and allow access. The page opens in a new tab." }
                p { a.button href=(target) target="_blank" rel="noopener noreferrer" { "Log in with " (about.title) } }
            }
            li {
                p { (landing(about)) }
                (form(about))
            }
        }
    };
    let mut response = page(200, &format!("Connect {}", about.title), None, &body);
    if let Err(error) = response.add_cookie(cookie) {
        tracing::error!(%error, "login cookie not set");
    }
    response
}

/// The form for the callback's address alone.
pub(super) fn paste(about: &Descriptor) -> HttpResponse {
    let body = html! { p { (landing(about)) } (form(about)) };
    page(200, &format!("Connect {}", about.title), None, &body)
}

fn landing(about: &Descriptor) -> &'static str {
    match about.login.as_ref().map(|login| &login.redirect) {
        Some(Redirect::Page(_)) => "The vendor's page shows a code. Copy it here.",
        _ => {
            "The browser then ends at an address that begins with http://localhost and may show an error. \
             That is expected: copy the whole address from the address bar here."
        }
    }
}

fn form(about: &Descriptor) -> Markup {
    html! {
        form method="post" action={ "/" (about.id) "/auth/paste" } {
            label for="callback" { "Address or code" }
            input #callback name="callback" type="text" autocomplete="off" required;
            button { "Connect" }
        }
    }
}

/// How an account fares after its login. Reloads itself until that is known.
pub(super) fn progress(request: &HttpRequest, about: &Descriptor, row: Option<&Row>) -> HttpResponse {
    let label = row.map_or_else(|| about.title.to_owned(), Row::label);
    let reason = row.and_then(|row| row.reason.as_ref());
    let (status, title, body, reload) = match row.map(|row| row.state) {
        Some(State::Active) => (200, "Success", html! { p { (label) " is in the pool." } }, false),
        Some(State::Pending) => (
            200,
            "Waiting for approval",
            html! { p { (label) " was connected from a public address. It serves nobody until the owner approves it:" }
            @if let Some(row) = row { pre { "pollux accounts approve " (row.id) } } },
            false,
        ),
        Some(State::Validating) => (
            200,
            "Checking the account",
            html! { p { "The login is stored. The vendor is being asked what the account may do." }
            @if let Some(reason) = reason { p.quiet { (clean(&reason.text)) } } },
            true,
        ),
        Some(State::Paused) => (200, "Paused", html! { p { (label) " is paused by the owner." } }, false),
        Some(State::Suspended | State::RefreshUnknown) => (
            422,
            "The account cannot be used",
            html! {
                @if let Some(reason) = reason { p { (clean(&reason.text)) } }
                @let link = reason.and_then(|reason| reason.link.as_deref());
                @let link = link.filter(|link| link.starts_with("https://"));
                @if link.is_some() { p { "When that is done, log in once more." } }
                p {
                    @if let Some(link) = link {
                        a.button href=(link) rel="noopener noreferrer" { "Put it right at the vendor" } " "
                    }
                    a.button.second href={ "/" (about.id) "/auth" } { "Log in again" }
                }
            },
            false,
        ),
        Some(State::Departed) | None => {
            (404, "The account is gone", html! { p { "It was removed." } }, false)
        }
    };
    if !browser(request) {
        return plain(status, &format!("{title}\n"));
    }
    page(status, title, reload.then_some(1), &body)
}

fn plain(status: u16, text: &str) -> HttpResponse {
    HttpResponse::build(code(status)).content_type("text/plain; charset=utf-8").body(text.to_owned())
}

fn code(status: u16) -> StatusCode {
    StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

fn page(status: u16, title: &str, reload_seconds: Option<u32>, body: &Markup) -> HttpResponse {
    page_with(status, title, reload_seconds, body, "'self'")
}

fn page_with(
    status: u16,
    title: &str,
    reload_seconds: Option<u32>,
    body: &Markup,
    form_action: &str,
) -> HttpResponse {
    let markup = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                // Or browsers ask for /favicon.ico, which the policy forbids, and say so in the console.
                link rel="icon" href="data:,";
                meta name="color-scheme" content="light dark";
                @if let Some(seconds) = reload_seconds { meta http-equiv="refresh" content=(seconds); }
                title { (title) " - Pollux" }
                style { (PreEscaped(STYLE)) }
            }
            body { main { p.brand { "Pollux" } h1 { (title) } (body) } }
        }
    };
    let style = STANDARD.encode(Sha256::digest(STYLE));
    let policy = format!(
        "default-src 'none'; img-src data:; style-src 'sha256-{style}'; form-action {form_action}; base-uri 'none'; frame-ancestors 'none'"
    );
    HttpResponse::build(code(status))
        .content_type("text/html; charset=utf-8")
        .insert_header((header::CONTENT_SECURITY_POLICY, policy))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header((header::REFERRER_POLICY, "no-referrer"))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .body(markup.into_string())
}
