use super::{
    Desk,
    flow::Returned,
    pages,
    session::{self, digest},
    start::see_other,
};
use crate::{
    accounts::Origin,
    store::{LoginRow, Row},
};
use actix_web::{HttpRequest, HttpResponse, web};
use pollux_sdk::{AccountError, Credential, Grant};
use std::time::SystemTime;
use subtle::ConstantTimeEq;

/// Where the vendor sends the browser.
pub async fn callback(desk: Desk, request: HttpRequest) -> HttpResponse {
    let returned = Returned::from_query(request.query_string());
    finish(&desk, &request, returned).await
}

/// The page to paste the callback's address into.
pub async fn paste_page(desk: Desk, request: HttpRequest) -> HttpResponse {
    let about = desk.service.provider.descriptor();
    if session::sent(&request, about.id).is_none() {
        return see_other(&format!("/{}/auth", about.id));
    }
    pages::paste(about)
}

/// The pasted address.
pub async fn paste(desk: Desk, request: HttpRequest, form: web::Bytes) -> HttpResponse {
    let text = url::form_urlencoded::parse(&form)
        .find(|(name, _)| name == "callback")
        .map(|(_, value)| value.into_owned())
        .unwrap_or_default();
    finish(&desk, &request, Returned::from_paste(&text)).await
}

/// How the account of a finished login fares.
pub async fn result(desk: Desk, request: HttpRequest) -> HttpResponse {
    let about = desk.service.provider.descriptor();
    let ticket = Returned::ticket(request.query_string());
    let account = ticket.and_then(|ticket| desk.logins.account_of(&ticket));
    match account {
        None => pages::failed(&request, about, 404, "Nothing is known of this login", "It is long over."),
        Some(id) => match desk.service.keeper.whereabouts(id).await {
            Ok(row) => pages::progress(&request, about, row.as_ref()),
            Err(error) => {
                tracing::error!(provider = about.id, %error, "account not read");
                pages::failed(&request, about, 503, "The store is not available", "Try again in a moment.")
            }
        },
    }
}

/// Everything that can come of a login, in the order in which it can go wrong.
async fn finish(desk: &Desk, request: &HttpRequest, returned: Returned) -> HttpResponse {
    let about = desk.service.provider.descriptor();
    let failed = |status, title: &str, text: &str| pages::failed(request, about, status, title, text);
    let again = format!("Start again at /{}/auth, in this browser.", about.id);
    let Some(id) = session::sent(request, about.id) else {
        return failed(400, "The login session is missing or has expired", &again);
    };
    let hash = digest(&id);
    let row = match desk.logins.store.peek_login(&hash).await {
        Ok(Some(row)) if row.provider == about.id && row.expires_at > SystemTime::now() => row,
        Ok(_) => return failed(400, "The login session is missing or has expired", &again),
        Err(error) => {
            tracing::error!(provider = about.id, %error, "login session not read");
            return failed(503, "The store is not available", "Try again in a moment.");
        }
    };
    let state = returned.state.as_deref().unwrap_or_default();
    if !bool::from(state.as_bytes().ct_eq(row.state.expose().as_bytes())) {
        return failed(403, "This answer belongs to another login", &again);
    }
    // From here on the session is spent, whatever comes of it; of two that race, one has it.
    if !matches!(desk.logins.store.take_login(&hash).await, Ok(Some(_))) {
        return failed(400, "The login session is missing or has expired", &again);
    }
    desk.logins.loopback.finished(about.id);
    let mut response = match (returned.error, returned.code) {
        (Some(error), _) => {
            let words = returned.description.unwrap_or_else(|| "nothing was connected".to_owned());
            let text = format!("{error}: {words}");
            tracing::info!(provider = about.id, error = %pages::clean(&error), "login denied");
            failed(403, &format!("{} did not grant access", about.title), &text)
        }
        (None, None) => failed(400, "The answer has no code", &again),
        (None, Some(code)) => exchange(desk, request, &row, &code, state).await,
    };
    let gone = session::cookie(about.id, None, desk.logins.settings.basic.insecure_cookie);
    if let Err(error) = response.add_cookie(&gone) {
        tracing::error!(%error, "cookie not removed");
    }
    response
}

async fn exchange(
    desk: &Desk,
    request: &HttpRequest,
    row: &LoginRow,
    code: &str,
    state: &str,
) -> HttpResponse {
    let about = desk.service.provider.descriptor();
    let grant = Grant::Code { code, state, verifier: row.verifier.expose(), redirect_uri: &row.redirect_uri };
    let failed =
        |status, text: &str| pages::failed(request, about, status, "The login could not be completed", text);
    match desk.service.keeper.exchange(grant).await {
        Ok(credential) if lasting(&credential) => {
            let origin = Origin { address: row.origin.clone(), trusted: row.trusted };
            match desk.service.keeper.admit(vec![credential], &origin).await {
                Ok(rows) => welcome(desk, request, row, rows.first()),
                Err(error) => {
                    tracing::error!(provider = about.id, %error, "login not stored");
                    failed(503, "The store is not available; start again.")
                }
            }
        }
        Ok(_) => failed(
            400,
            "The vendor gave no refresh token. Remove Pollux from the account's connected apps and start again.",
        ),
        Err(AccountError::Suspend(reason)) => failed(400, &reason.text),
        Err(AccountError::Transient(text) | AccountError::Unsure(text)) => {
            tracing::warn!(provider = about.id, error = %text, "code exchange failed");
            failed(424, "The vendor did not answer the code exchange. Start again.")
        }
    }
}

/// Whether it outlives its first access token.
pub(crate) fn lasting(credential: &Credential) -> bool {
    credential.refresh.is_some() || (credential.access.is_some() && credential.expires_at.is_none())
}

fn welcome(desk: &Desk, request: &HttpRequest, login: &LoginRow, account: Option<&Row>) -> HttpResponse {
    let about = desk.service.provider.descriptor();
    if !pages::browser(request) {
        return HttpResponse::Accepted().content_type("text/plain; charset=utf-8").body("Success");
    }
    let ticket = desk.logins.ticket(account.map_or(0, |row| row.id));
    see_other(&format!("{}/{}/auth/result?ticket={ticket}", login.home, about.id))
}

impl Returned {
    fn ticket(query: &str) -> Option<String> {
        url::form_urlencoded::parse(query.as_bytes())
            .find(|(name, _)| name == "ticket")
            .map(|(_, value)| value.into_owned())
    }
}
