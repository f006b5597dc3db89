use super::{Answer, Body, Failed, Outcome, Relay, failed};
use crate::{
    bridge,
    pool::Grant,
    socket::Opened,
    story::Story,
    upstream::{Dialled, whole},
};
use pollux_dialect::Fault;
use pollux_sdk::{Attempt, Cause, StatusCode};

impl Relay {
    /// Opens a socket with one account. A handshake costs nothing, so whatever happens to it may be repeated.
    pub(super) async fn dial(&self, attempt: Attempt, mut grant: Grant, story: &mut Story) -> Outcome {
        let provider = &self.service.provider;
        let dialled = match self.service.upstream.dial(attempt.request, grant.proxy()).await {
            Ok(dialled) => dialled,
            Err(error) => {
                tracing::warn!(request_id = %story.id, error = %error.text, "upstream opened no socket");
                return Outcome::Failed(Failed::without_reply(Cause::Unsent), grant);
            }
        };
        let headers = match &dialled {
            Dialled::Open(wire) => &wire.headers,
            Dialled::Refused(coming) => &coming.headers,
        };
        if let Some(quota) = provider.quota(headers) {
            grant.reading(&quota);
        }
        match dialled {
            Dialled::Open(wire) => {
                let headers = bridge::allowed(&wire.headers, provider.descriptor().reply_headers);
                let opened = Opened { grant, reader: attempt.reader, wire };
                let status = StatusCode::SWITCHING_PROTOCOLS;
                Outcome::Done(Answer { status, headers, body: Body::Socket(Box::new(opened)) })
            }
            Dialled::Refused(coming) if has_no_sockets(coming.status) => {
                story.verdict = "no_socket";
                Outcome::Unoffered(failed::told(self.call.endpoint.dialect, &Fault::upgrade_required()))
            }
            Dialled::Refused(coming) => {
                let limits = &self.service.limits;
                let body = whole(coming.body, limits.error_body_bytes, limits.idle).await.unwrap_or_default();
                let cause = Cause::Status(coming.status);
                Outcome::Failed(Failed { cause, headers: coming.headers, body }, grant)
            }
        }
    }
}

/// Whether upstream, or a proxy before it, knows no sockets at this address.
fn has_no_sockets(status: StatusCode) -> bool {
    status.is_success() || matches!(status.as_u16(), 404 | 405 | 426 | 501)
}
