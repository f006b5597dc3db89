//! Sends an answer the way its faults want it sent.

use std::fmt::Write as _;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use super::fault::{Fault, Gate};
use super::record::{Ending, Vendor};
use super::reply::{Body, Reply};
use super::wire::Connection;

/// What becomes of the connection afterwards.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum After {
    Keep,
    Close,
}

pub(crate) enum Cut {
    Close(usize),
    Reset(usize),
}

#[derive(Default)]
pub(crate) struct Plan {
    pub(crate) before_head: Vec<Wait>,
    pub(crate) before_first: Duration,
    pub(crate) between: Duration,
    pub(crate) cut: Option<Cut>,
    /// The code a socket is closed with.
    pub(crate) close: Option<u16>,
    hang: bool,
}

pub(crate) enum Wait {
    For(Duration),
    At(Gate),
}

/// Sends `reply` under `faults`; `pace` is the vendor's usual time between two events.
pub(crate) async fn deliver(
    connection: &mut Connection,
    vendor: Vendor,
    mut reply: Reply,
    faults: Vec<Fault>,
    pace: Duration,
    head_sent: impl FnOnce(u16),
) -> (Ending, After) {
    let plan = plan(faults, vendor, &mut reply, pace);
    match send(connection, reply, plan, head_sent).await {
        Ok(ending) => ending,
        Err(_) => (Ending::PeerGone, After::Close),
    }
}

/// What faults make of an answer, and of the way it is sent.
pub(crate) fn plan(faults: Vec<Fault>, vendor: Vendor, reply: &mut Reply, pace: Duration) -> Plan {
    let mut plan = Plan { between: pace, ..Plan::default() };
    for fault in faults {
        apply(fault, vendor, reply, &mut plan);
    }
    plan
}

/// Resets the connection instead of closing it.
pub(crate) async fn reset(connection: &Connection) {
    // What was written has to leave first: closing with zero linger discards the send queue.
    tokio::time::sleep(Duration::from_millis(10)).await;
    let _ = connection.stream.set_zero_linger();
}

fn apply(fault: Fault, vendor: Vendor, reply: &mut Reply, plan: &mut Plan) {
    match fault {
        Fault::Answer(_) | Fault::Reset | Fault::Silence | Fault::DelayBefore(_) | Fault::GateBefore(_) => {}
        Fault::DelayHead(time) => plan.before_head.push(Wait::For(time)),
        Fault::GateHead(gate) => plan.before_head.push(Wait::At(gate)),
        Fault::DelayFirstEvent(time) => plan.before_first = time,
        Fault::DelayEvents(time) => plan.between = time,
        Fault::Truncate(bytes) => plan.cut = Some(Cut::Close(bytes)),
        Fault::ResetAfter(bytes) => plan.cut = Some(Cut::Reset(bytes)),
        Fault::SilenceAfter(events) => {
            plan.hang = true;
            keep(reply, events);
        }
        Fault::EndAfter(events) => keep(reply, events),
        Fault::CloseAfter(events, code) => {
            plan.close = Some(code);
            keep(reply, events);
        }
        Fault::ErrorAfter(events, error) => fail(reply, vendor, events, &error),
        Fault::RawAfter(events, bytes) => {
            keep(reply, events);
            push(reply, bytes);
        }
        Fault::MalformedAfter(events) => edit(reply, events, |event| {
            let mut broken = event.slice(..event.len() / 2).to_vec();
            broken.extend_from_slice(b"\n\n");
            broken.into()
        }),
        Fault::HugeAfter(events, size) => edit(reply, events, |_| {
            let mut event = b"data: {\"padding\":\"".to_vec();
            event.resize(event.len() + size, b'x');
            event.extend_from_slice(b"\"}\n\n");
            event.into()
        }),
        Fault::Head(status, headers) => {
            reply.status = status;
            for (name, value) in headers {
                reply.headers.retain(|(key, _)| !key.eq_ignore_ascii_case(&name));
                reply.headers.push((name, value));
            }
        }
    }
}

fn keep(reply: &mut Reply, count: usize) {
    match &mut reply.body {
        Body::Events(events) => events.truncate(count),
        Body::Whole(body) if count == 0 => *body = Bytes::new(),
        Body::Whole(_) => {}
    }
}

fn push(reply: &mut Reply, bytes: Bytes) {
    match &mut reply.body {
        Body::Events(events) => events.push(bytes),
        Body::Whole(body) => *body = bytes,
    }
}

fn edit(reply: &mut Reply, index: usize, change: impl Fn(&Bytes) -> Bytes) {
    match &mut reply.body {
        Body::Events(events) => {
            if let Some(event) = events.get_mut(index) {
                *event = change(event);
            }
        }
        Body::Whole(body) => *body = change(body),
    }
}

fn fail(reply: &mut Reply, vendor: Vendor, count: usize, error: &Value) {
    let Body::Events(events) = &mut reply.body else {
        let body = match vendor {
            Vendor::Anthropic => json!({"type": "error", "error": error, "request_id": null}),
            _ => json!({ "error": error }),
        };
        reply.body = Body::Whole(body.to_string().into());
        return;
    };
    match vendor {
        Vendor::Google => {
            events.truncate(count);
            events.push(Bytes::from(format!("data: {}\n\n", json!({ "error": error }))));
        }
        Vendor::Anthropic => {
            events.truncate(count);
            events.push(super::anthropic::failed(error));
        }
        Vendor::OpenAi => {
            let created = events.iter().position(|event| event.starts_with(b"event: response.created\n"));
            let response = created.map_or(Value::Null, |index| data(&events[index])["response"].clone());
            events.truncate(count.max(created.map_or(0, |index| index + 1)));
            events.push(failed(response, events.len(), error));
        }
    }
}

/// The terminal event of a failed response, its identity taken from `response.created`.
pub(crate) fn failed(mut response: Value, sequence_number: usize, error: &Value) -> Bytes {
    if !response.is_object() {
        response = json!({"id": "resp_sim_failed", "object": "response"});
    }
    response["status"] = json!("failed");
    response["error"] = error.clone();
    let event = json!({"type": "response.failed", "sequence_number": sequence_number, "response": response});
    Bytes::from(format!("event: response.failed\ndata: {event}\n\n"))
}

/// The JSON of a framed event; null where there is none.
pub(crate) fn data(event: &Bytes) -> Value {
    let text = String::from_utf8_lossy(event);
    let data = text.lines().find_map(|line| line.strip_prefix("data: ")).unwrap_or_default();
    serde_json::from_str(data).unwrap_or(Value::Null)
}

async fn send(
    connection: &mut Connection,
    reply: Reply,
    plan: Plan,
    head_sent: impl FnOnce(u16),
) -> io::Result<(Ending, After)> {
    for wait in plan.before_head {
        let present = match wait {
            Wait::For(time) => connection.pause(time).await,
            Wait::At(gate) => pass(connection, &gate).await,
        };
        if !present {
            return Ok((Ending::PeerGone, After::Close));
        }
    }
    let (parts, chunked) = match reply.body {
        Body::Whole(bytes) => (vec![bytes], false),
        Body::Events(events) => (events, true),
    };
    let mut out = head(reply.status, &reply.headers, (!chunked).then(|| parts[0].len()));
    if chunked || !plan.before_first.is_zero() || plan.hang {
        connection.stream.write_all(&out).await?;
        out.clear();
    }
    head_sent(reply.status);
    let mut left = match plan.cut {
        Some(Cut::Close(bytes) | Cut::Reset(bytes)) => bytes,
        None => usize::MAX,
    };
    let total: usize = parts.iter().map(Bytes::len).sum();
    let cut = plan.cut.filter(|_| left < total);
    for (index, part) in parts.iter().enumerate() {
        let wait = if index == 0 { plan.before_first } else { plan.between };
        if !wait.is_zero() && !connection.pause(wait).await {
            return Ok((Ending::PeerGone, After::Close));
        }
        if part.is_empty() {
            continue;
        }
        let sent = part.len().min(left);
        if sent == 0 {
            break;
        }
        if chunked {
            out.extend_from_slice(format!("{:x}\r\n", part.len()).as_bytes());
        }
        out.extend_from_slice(&part[..sent]);
        left -= sent;
        if chunked && sent == part.len() {
            out.extend_from_slice(b"\r\n");
        }
        connection.stream.write_all(&out).await?;
        out.clear();
    }
    if !out.is_empty() {
        connection.stream.write_all(&out).await?;
    }
    match cut {
        Some(Cut::Close(_)) => return Ok((Ending::Cut, After::Close)),
        Some(Cut::Reset(_)) => {
            reset(connection).await;
            return Ok((Ending::Cut, After::Close));
        }
        None => {}
    }
    if plan.hang {
        connection.gone().await;
        return Ok((Ending::PeerGone, After::Close));
    }
    if chunked {
        connection.stream.write_all(b"0\r\n\r\n").await?;
    }
    Ok((Ending::Sent, After::Keep))
}

/// Waits at a gate, and tells whether the peer was still there at the end.
pub(crate) async fn pass(connection: &mut Connection, gate: &Gate) -> bool {
    tokio::select! {
        biased;
        () = gate.pass() => true,
        () = connection.gone() => false,
    }
}

/// The head of an answer that is followed by frames.
pub(crate) async fn switch(connection: &mut Connection, reply: &Reply) -> io::Result<()> {
    let head = head(reply.status, &reply.headers, Some(0));
    let head = String::from_utf8_lossy(&head).replace("content-length: 0\r\n", "");
    connection.stream.write_all(head.as_bytes()).await
}

fn head(status: u16, headers: &[(String, String)], length: Option<usize>) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {status} {}\r\n", reason(status));
    for (name, value) in headers {
        let _ = write!(head, "{name}: {value}\r\n");
    }
    let _ = match length {
        Some(length) => write!(head, "content-length: {length}\r\n\r\n"),
        None => write!(head, "transfer-encoding: chunked\r\n\r\n"),
    };
    head.into_bytes()
}

fn reason(status: u16) -> &'static str {
    match status {
        101 => "Switching Protocols",
        200 => "OK",
        302 => "Found",
        304 => "Not Modified",
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        426 => "Upgrade Required",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        503 => "Service Unavailable",
        _ => "Status",
    }
}
