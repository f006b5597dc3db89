use super::{
    handshake,
    line::{Client, Line},
    side::Side,
    state::State,
};
use crate::{
    bridge,
    pool::{Grant, Wish},
    relay::{Answer, Body, Relay},
    serve::{Context, Owner, ask, fault, respond, unserved},
    server::Leaving,
    story::Story,
    upstream::Wire,
};
use actix_web::{HttpRequest, HttpResponse, body::BodyStream, http::StatusCode, web};
use futures_util::TryStreamExt;
use pollux_dialect::Fault;
use pollux_sdk::{HeaderMap, Payload, Reader, Shape};
use std::{cell::RefCell, collections::VecDeque, fmt, io, sync::Arc};
use tokio::{
    io::{join, simplex},
    sync::Notify,
    time::Instant,
};
use tokio_util::io::{ReaderStream, StreamReader};
use yawc::{Role, WebSocketError};

/// Bytes between our frames and the client's connection.
const BUFFER: usize = 64 << 10;

/// A vendor's socket with the account that opened it.
pub struct Opened {
    /// The account, for as long as the socket lives.
    pub grant: Grant,
    /// Reads its frames.
    pub reader: Box<dyn Reader>,
    /// The socket.
    pub wire: Wire,
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened").field("grant", &self.grant).finish_non_exhaustive()
    }
}

/// Serves a client that wants a socket. Upstream's stands before the client's does, so that a refusal there can still
/// rotate, and ends as a plain HTTP answer here.
pub async fn serve(
    context: Arc<Context>,
    owner: Owner,
    request: HttpRequest,
    payload: web::Payload,
    mut story: Story,
) -> HttpResponse {
    let service = Arc::clone(&owner.service);
    let wanted = if service.provider.opens_sockets() {
        handshake::wanted(&bridge::headers(request.headers()))
    } else {
        Err(Fault::upgrade_required())
    };
    let wanted = match wanted {
        Ok(wanted) => wanted,
        Err(refusal) => {
            (story.status, story.verdict) = (refusal.status, "no_socket");
            return fault(owner.endpoint.dialect, &refusal, &story.id);
        }
    };
    let (facts, mut call) = ask(&owner, &request, Payload::default());
    if unserved(&service, &call).is_some() {
        // A hint at best: what counts is said frame by frame.
        call.model.clear();
    }
    story.model.clone_from(&call.model);
    let wish = Wish { model: call.model.clone(), session: facts.session, follows: None };
    let call = Arc::new(call);
    let relay = Relay::new(Arc::clone(&service), Arc::clone(&call), wish.clone());
    let leaving = Leaving::of(&request);
    let answer = tokio::select! {
        biased;
        answer = relay.open(&mut story) => answer,
        () = leaving.gone() => return HttpResponse::NoContent().finish(), // to nobody
    };
    story.status = answer.status.as_u16();
    let Answer { headers, body: Body::Socket(opened), .. } = answer else {
        return respond(answer, Shape::Whole, &story.id, Leaving::default());
    };
    let (taken, given) = simplex(BUFFER);
    let arriving = StreamReader::new(payload.map_err(io::Error::other as fn(_) -> _));
    let client: Client = Box::pin(join(arriving, given));
    let Opened { grant, reader, wire } = *opened;
    let client = Side::new(client, Role::Server, wanted.extension.as_deref());
    let (Ok(client), Ok(vendor)) = (client, vendor_side(wire)) else {
        story.status = 500;
        return fault(owner.endpoint.dialect, &Fault::internal(), &story.id);
    };
    story.first_byte();
    let response =
        switch(&headers, &wanted, &story.id).message_body(BodyStream::new(ReaderStream::new(taken)));
    let state = State { grant, reader, turns: VecDeque::new(), active: Instant::now() };
    let line = Line {
        context,
        service,
        call,
        wish,
        client,
        vendor,
        state: RefCell::new(state),
        over: Notify::new(),
        count: 0.into(),
        story,
    };
    // It ends with either side, and at the latest with this process: see `line.rs`.
    actix_web::rt::spawn(line.run());
    response.map_or_else(|_| HttpResponse::InternalServerError().finish(), HttpResponse::map_into_boxed_body)
}

/// Upstream's side of a socket.
pub(super) fn vendor_side(wire: Wire) -> Result<Side<reqwest::Upgraded>, WebSocketError> {
    Side::new(wire.io, Role::Client, wire.extension.as_deref())
}

fn switch(headers: &HeaderMap, wanted: &handshake::Wanted, id: &str) -> actix_web::HttpResponseBuilder {
    let mut response = HttpResponse::build(StatusCode::SWITCHING_PROTOCOLS);
    for (name, value) in headers {
        response.append_header((name.as_str(), value.as_bytes()));
    }
    response.upgrade("websocket").insert_header(("sec-websocket-accept", wanted.accept.as_str()));
    if let Some(extension) = &wanted.extension {
        response.insert_header(("sec-websocket-extensions", extension.as_str()));
    }
    response.insert_header(("x-request-id", id));
    response
}
