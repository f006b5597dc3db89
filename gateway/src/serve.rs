//! One client request, from its key to its answer.

mod answer;
mod body;
mod choice;
mod context;
mod lists;

pub use answer::{fault, respond};
pub use body::read as read_body;
pub use context::{Busy, Context, Phase, request_id};

use crate::{
    auth, bridge,
    pool::Wish,
    relay::{Relay, Service},
    routes::supports,
    server::Leaving,
    socket,
    story::{Story, masked},
};
use actix_web::{HttpRequest, HttpResponse, web};
use pollux_dialect::Fault;
use pollux_sdk::{Call, Dialect, Endpoint, Facts, Inbound, Operation, Payload, Shape};
use std::sync::Arc;

/// A provider's claim on a path.
#[derive(Debug, Clone)]
pub struct Owner {
    /// The provider at work.
    pub service: Arc<Service>,
    /// What the path is to it.
    pub endpoint: Endpoint,
    /// Whether the path is at the root, not below the provider's prefix.
    pub root: bool,
    /// The base, where its paths are shared.
    pub shared: Option<&'static str>,
}

/// Serves a request on a path of `owners`, the preferred first.
pub async fn serve(
    context: Arc<Context>,
    owners: Arc<Vec<Owner>>,
    request: HttpRequest,
    payload: web::Payload,
) -> HttpResponse {
    let id = context::request_id(&request);
    let mut story = Story::begin(id.clone(), masked(request.path(), request.query_string()), context.busy());
    let Some(first) = owners.first() else { return HttpResponse::NotFound().finish() };
    let dialect = choice::language(first, &request);
    (story.provider, story.dialect) = (first.service.id(), dialect.name());
    let refuse = |mut story: Story, word: &'static str, refusal: &Fault| {
        (story.status, story.verdict) = (refusal.status, word);
        fault(dialect, refusal, &id)
    };
    story.aside = matches!(first.endpoint.operation, Operation::Models | Operation::Local(_));
    let open = first.endpoint.open && matches!(first.endpoint.operation, Operation::Local(_));
    if !open && let Err(refusal) = context.admit(&request, first.root) {
        return refuse(story, "unauthorized", &refusal);
    }
    if context.is_draining() {
        return refuse(story, "draining", &Fault::shutting_down());
    }
    let operation = first.endpoint.operation;
    if !supports(first.service.provider.descriptor(), operation) {
        let method = request.path().rsplit(['/', ':']).next().unwrap_or_default();
        return refuse(story, "unsupported", &Fault::unsupported(method));
    }
    if first.endpoint.shape == Some(Shape::Socket) {
        return socket::serve(context, first.clone(), request, payload, story).await;
    }
    let body = match body::read(&request, payload, context.settings.basic.body_limit).await {
        Ok(body) => Payload::new(body),
        Err(refusal) => return refuse(story, "bad_body", &refusal),
    };
    if first.endpoint.method == pollux_sdk::Method::POST && !body.is_object() {
        return refuse(story, "bad_body", &Fault::bad_request(None, "the body is no JSON object"));
    }
    let (mut facts, mut call) = ask(first, &request, body);
    story.model.clone_from(&call.model);
    if matches!(operation, Operation::Models | Operation::Local(_)) {
        if owners.len() > 1 {
            story.provider = "all";
        }
        call.endpoint.dialect = dialect;
        let answer = lists::answer(&owners, &request, &call);
        (story.status, story.verdict) = (answer.status.as_u16(), "local");
        return respond(answer, call.shape, &id, Leaving::default());
    }
    if call.model.is_empty() {
        return refuse(story, "bad_body", &Fault::bad_request(Some("model"), "`model` is required"));
    }
    let Some(owner) = choice::pick(&owners, &call.model) else {
        let known = choice::models(&owners);
        return refuse(story, "unknown_model", &Fault::unknown_model(dialect, &call.model, &known));
    };
    if owner.service.id() != first.service.id() {
        story.provider = owner.service.id();
        (facts, call) = ask(owner, &request, call.body);
    }
    let wish = Wish { model: call.model.clone(), session: facts.session, follows: facts.follows };
    let call = Arc::new(call);
    let relay = Relay::new(Arc::clone(&owner.service), Arc::clone(&call), wish);
    let leaving = Leaving::of(&request);
    let answer = tokio::select! {
        biased;
        answer = relay.run(story) => answer,
        () = leaving.gone() => return HttpResponse::NoContent().finish(), // to nobody
    };
    respond(answer, call.shape, &id, leaving)
}

/// Why the call's model is not served here, if so: a word for the log, and what the client is told.
pub fn unserved(service: &Service, call: &Call) -> Option<(&'static str, Fault)> {
    if call.model.is_empty() {
        return Some(("bad_body", Fault::bad_request(Some("model"), "`model` is required")));
    }
    if service.offers(&call.model) {
        return None;
    }
    let models = &service.provider.descriptor().models;
    let known: Vec<&str> = models.iter().map(|model| model.id.as_str()).collect();
    Some(("unknown_model", Fault::unknown_model(call.endpoint.dialect, &call.model, &known)))
}

/// Makes a call of what came in.
pub fn ask(owner: &Owner, request: &HttpRequest, body: Payload) -> (Facts, Call) {
    let provider = &owner.service.provider;
    let query = auth::without_key(request.query_string());
    let headers = bridge::headers(request.headers());
    let facts = provider.probe(&Inbound {
        endpoint: &owner.endpoint,
        model: request.match_info().get("model"),
        query: &query,
        headers: &headers,
        body: &body,
    });
    let call = Call {
        endpoint: owner.endpoint.clone(),
        dialect: owner.endpoint.dialect,
        model: facts.model.clone().unwrap_or_default(),
        shape: facts.shape.unwrap_or(Shape::Whole),
        query,
        headers: bridge::allowed(&headers, provider.descriptor().request_headers),
        body,
    };
    (facts, call)
}

/// A path that nobody has, told in the dialect of its prefix or else of the request.
pub fn not_found(context: &Context, request: &HttpRequest) -> HttpResponse {
    let id = context::request_id(request);
    let path = request.path();
    let what = path.rsplit_once(':').map_or(path, |(_, method)| method);
    fault(context.dialect_of(request), &Fault::not_found(what), &id)
}

/// A path that has other methods.
pub fn wrong_method(context: &Context, request: &HttpRequest, dialect: Option<Dialect>) -> HttpResponse {
    let id = context::request_id(request);
    let refusal = Fault::method_not_allowed(request.method().as_str(), request.path());
    fault(dialect.unwrap_or_else(|| context.dialect_of(request)), &refusal, &id)
}
