use super::{
    Desk,
    flow::{Scene, Way, authorize, elsewhere, way},
    pages, session,
    session::Session,
};
use crate::{accounts::Origin, origin, settings::Onboarding};
use actix_web::{
    HttpRequest, HttpResponse,
    http::{Method, StatusCode, header},
    web,
};
use std::time::Instant;

/// `GET` (and, with the key in a form, `POST`) of a provider's `/auth`.
pub async fn start(desk: Desk, request: HttpRequest, form: web::Bytes) -> HttpResponse {
    let basic = &desk.logins.settings.basic;
    let about = desk.service.provider.descriptor();
    let Some(login) = &about.login else { return HttpResponse::NotFound().finish() };
    let mut origin = origin::of(&request, &basic.trusted_proxies);
    if let Some(wait) = desk.logins.limiter.refuse(&origin.address, Instant::now()) {
        return pages::too_many(&request, about, wait);
    }
    let path = format!("/{}/auth", about.id);
    let mut scene = Scene {
        host: request.headers().get(header::HOST).and_then(|host| host.to_str().ok()),
        browser: pages::browser(&request),
        port: request.app_config().local_addr().port(),
        public_url: basic.public_url.as_deref(),
        listening: None,
        path: &path,
    };
    // Before the key is asked for, or it would be asked for twice.
    if let Some(url) = elsewhere(&login.redirect, &scene) {
        return see_other(&url);
    }
    let knows_key =
        desk.logins.key.admits(&request) || form_key(&form).is_some_and(|key| desk.logins.key.is(&key));
    if basic.onboarding == Onboarding::Key && !knows_key {
        return pages::key_wanted(&request, about, &login.authorize, !form.is_empty());
    }
    origin.trusted |= knows_key;
    scene.listening = desk.logins.loopback.listen(&desk.service).await;
    match way(&login.redirect, &scene) {
        Way::Direct(uri) => begin(&desk, &request, &login.authorize, uri, &origin, false).await,
        Way::Carried(uri) => begin(&desk, &request, &login.authorize, uri, &origin, scene.browser).await,
    }
}

async fn begin(
    desk: &Desk,
    request: &HttpRequest,
    base: &str,
    redirect_uri: String,
    origin: &Origin,
    carried: bool,
) -> HttpResponse {
    let about = desk.service.provider.descriptor();
    let home = {
        let connection = request.connection_info();
        format!("{}://{}", connection.scheme(), connection.host())
    };
    let session = Session::begin(about.id, redirect_uri, home, origin);
    let target = authorize(base, &session.row.redirect_uri, session.row.state.expose(), &session.challenge());
    let Some(target) = target else {
        tracing::error!(provider = about.id, "the authorize_url of this provider is no URL");
        return pages::failed(
            request,
            about,
            500,
            "The login is misconfigured",
            "Its authorize_url is no URL.",
        );
    };
    if let Err(error) = desk.logins.store.save_login(&session.row).await {
        tracing::error!(provider = about.id, %error, "login session not stored");
        return pages::failed(
            request,
            about,
            503,
            "The login could not begin",
            "The store is not available.",
        );
    }
    tracing::info!(provider = about.id, origin = %origin.address, trusted = origin.trusted, "login begun");
    let cookie = session::cookie(about.id, Some(&session.id), desk.logins.settings.basic.insecure_cookie);
    if carried {
        return pages::carry(about, &target, &cookie);
    }
    // A form's content, which is the key, must not be sent on to the vendor: 307 would repeat the POST there.
    let status =
        if request.method() == Method::POST { StatusCode::SEE_OTHER } else { StatusCode::TEMPORARY_REDIRECT };
    HttpResponse::build(status)
        .cookie(cookie)
        .insert_header((header::LOCATION, target))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .finish()
}

pub(super) fn see_other(url: &str) -> HttpResponse {
    HttpResponse::SeeOther()
        .insert_header((header::LOCATION, url))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .finish()
}

fn form_key(form: &[u8]) -> Option<String> {
    url::form_urlencoded::parse(form).find(|(name, _)| name == "key").map(|(_, value)| value.into_owned())
}
