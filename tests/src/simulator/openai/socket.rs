//! `GET /backend-api/codex/responses` with an upgrade: Responses over a WebSocket.

use std::collections::{HashMap, VecDeque};
use std::io;

use bytes::Bytes;
use serde_json::{Map, Value, json};
use tokio::net::TcpStream;

use super::refusal::{Refusal, limits};
use super::{State, responses};
use crate::frames::{self, Frame, Frames, Side};
use crate::simulator::deliver::{self, Cut, Plan};
use crate::simulator::fault::{Fault, Seen};
use crate::simulator::record::{Ending, Vendor};
use crate::simulator::reply::{Body, Reply};
use crate::simulator::server::Asked;
use crate::simulator::wire::{Connection, Request};
use crate::simulator::{World, lock, token};

/// One socket, as the vendor saw it.
#[derive(Clone, Debug, Default)]
pub struct Socket {
    /// The label of its account.
    pub account: String,
    /// Pings that came.
    pub pings: usize,
    /// Pongs that came, each in answer to a ping.
    pub pongs: usize,
    /// Messages that came compressed.
    pub compressed: usize,
    /// Frames that came and asked for nothing.
    pub ignored: usize,
    /// How it ended: the peer's code, or nothing where it vanished.
    pub close: Option<u16>,
    /// Whether it has.
    pub ended: bool,
}

/// Answers the handshake: 101, or a refusal as HTTP has it.
pub(super) fn handshake(state: &State, asked: &Asked) -> Reply {
    if !state.habits.sockets {
        return Reply::json(426, &json!({"detail": "Upgrade Required"}));
    }
    let label = match state.caller(asked) {
        Ok(label) => label,
        Err(refusal) => return refusal.reply(""),
    };
    let record = &state.accounts[&label];
    if let Some(refusal) = record.refusal.as_ref().filter(|refusal| !matches!(refusal, Refusal::InBand(_))) {
        let reply = refusal.reply_on(&record.plan, "");
        return if reply.status == 429 { limits(reply, record) } else { reply };
    }
    let header = |name: &str| asked.request.header(name);
    let Some(key) = header("sec-websocket-key") else {
        return Reply::json(400, &json!({"detail": "Bad Request"}));
    };
    let mut reply = Reply { status: 101, headers: Vec::new(), body: Body::Whole(Bytes::new()) }
        .with("upgrade", "websocket")
        .with("connection", "Upgrade")
        .with("sec-websocket-accept", frames::accept(key))
        .with("x-models-etag", "W/\"sim-models-1\"")
        .with("x-reasoning-included", "true");
    if state.habits.socket_deflate
        && header("sec-websocket-extensions").is_some_and(|offer| offer.contains("deflate"))
    {
        reply = reply.with("sec-websocket-extensions", frames::DEFLATE);
    }
    if header("x-codex-turn-state").is_none() {
        reply = reply.with("x-codex-turn-state", format!("turn-{label}-{}", token::random()));
    }
    limits(reply, record)
}

/// Talks until either side is done. What came and went is in the record, one entry for each frame.
pub(crate) async fn talk(
    connection: &mut Connection,
    number: usize,
    asked: &Asked,
    account: Option<String>,
    reply: &Reply,
    world: &World,
) -> Ending {
    let deflate = reply.headers.iter().any(|(name, _)| name == "sec-websocket-extensions");
    let ahead = connection.take_ahead();
    let frames = Frames::new(&mut connection.stream, Side::Server, deflate, ahead);
    let place = {
        let mut state = lock(&world.openai);
        state.sockets.push(Socket { account: account.clone().unwrap_or_default(), ..Socket::default() });
        state.sockets.len() - 1
    };
    let mut talk = Talk {
        frames,
        world,
        number,
        request: &asked.request,
        account,
        place,
        queue: VecDeque::new(),
        history: HashMap::new(),
    };
    let ending = talk.run().await.unwrap_or(Ending::PeerGone);
    talk.note(|socket| socket.ended = true);
    ending
}

struct Talk<'a> {
    frames: Frames<&'a mut TcpStream>,
    world: &'a World,
    number: usize,
    request: &'a Request,
    account: Option<String>,
    place: usize,
    /// Texts that came while another was being answered.
    queue: VecDeque<Bytes>,
    /// Input and output of each answer of this socket.
    history: HashMap<String, Vec<Value>>,
}

/// What a turn left behind.
enum Left {
    Open,
    Over(Ending),
}

impl Talk<'_> {
    fn note(&self, change: impl FnOnce(&mut Socket)) {
        if let Some(socket) = lock(&self.world.openai).sockets.get_mut(self.place) {
            change(socket);
        }
    }

    async fn run(&mut self) -> io::Result<Ending> {
        let ping = lock(&self.world.openai).habits.socket_ping;
        if ping {
            self.frames.send(&Frame::Ping(Bytes::from_static(b"are you there"))).await?;
        }
        loop {
            let text = match self.queue.pop_front() {
                Some(text) => text,
                None => match self.next().await? {
                    Some(text) => text,
                    None => return Ok(Ending::PeerGone),
                },
            };
            match self.turn(&text).await? {
                Left::Open => {}
                Left::Over(ending) => return Ok(ending),
            }
        }
    }

    /// The next text; nothing when the peer is gone.
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        loop {
            let Some(frame) = self.frames.next().await? else { return Ok(None) };
            let compressed = self.frames.compressed;
            self.note(|socket| socket.compressed = compressed);
            match frame {
                Frame::Text(text) => return Ok(Some(text)),
                Frame::Binary(_) => self.frames.send(&Frame::Close(Some(1003), String::new())).await?,
                Frame::Ping(data) => {
                    self.note(|socket| socket.pings += 1);
                    self.frames.send(&Frame::Pong(data)).await?;
                }
                Frame::Pong(_) => self.note(|socket| socket.pongs += 1),
                Frame::Close(code, reason) => {
                    self.note(|socket| socket.close = code);
                    self.frames.send(&Frame::Close(code, reason)).await?;
                    return Ok(None);
                }
            }
        }
    }

    /// Waits for something while the peer may speak; tells whether it was still there at the end.
    async fn wait(&mut self, until: impl Future<Output = ()>) -> io::Result<bool> {
        let mut until = std::pin::pin!(until);
        loop {
            tokio::select! {
                biased;
                () = &mut until => return Ok(true),
                next = self.next() => match next? {
                    Some(text) => self.queue.push_back(text),
                    None => return Ok(false),
                },
            }
        }
    }

    async fn turn(&mut self, text: &Bytes) -> io::Result<Left> {
        let frame: Value = serde_json::from_slice(text).unwrap_or_default();
        if frame["type"] != "response.create" {
            self.note(|socket| socket.ignored += 1);
            return Ok(Left::Open);
        }
        let request = Request { method: "FRAME".into(), body: text.clone(), ..self.request.clone() };
        let record = &self.world.record;
        let id = record.note(Vendor::OpenAi, self.number, &request, text.clone(), self.account.clone());
        let faults = self.world.faults.strike(&Seen {
            method: "FRAME",
            path: request.path(),
            account: self.account.as_deref(),
            body: text,
        });
        let left = self.answer(&frame, faults, id).await;
        let ending = match &left {
            Ok(Left::Open) => Ending::Sent,
            Ok(Left::Over(ending)) => *ending,
            Err(_) => Ending::PeerGone,
        };
        record.ended(id, ending);
        left
    }

    async fn answer(&mut self, frame: &Value, faults: Vec<Fault>, id: usize) -> io::Result<Left> {
        let gone = Ok(Left::Over(Ending::PeerGone));
        let mut instead = None;
        for fault in faults.iter().filter(|fault| fault.is_early()) {
            let present = match fault {
                Fault::Answer(reply) => {
                    instead = Some(reply.clone());
                    true
                }
                Fault::Reset => {
                    self.frames.stream().set_zero_linger()?;
                    return Ok(Left::Over(Ending::Cut));
                }
                Fault::Silence => self.wait(std::future::pending()).await?,
                Fault::DelayBefore(time) => self.wait(tokio::time::sleep(*time)).await?,
                Fault::GateBefore(gate) => self.wait(gate.clone().pass_owned()).await?,
                _ => true,
            };
            if !present {
                return gone;
            }
        }
        let mut reply = match instead {
            Some(reply) => reply,
            None => self.compute(frame),
        };
        let plan = deliver::plan(faults, Vendor::OpenAi, &mut reply, self.world.openai_script.pace());
        self.world.record.answered(id, reply.status);
        self.deliver(reply, plan).await
    }

    fn compute(&mut self, frame: &Value) -> Reply {
        let mut guard = lock(&self.world.openai);
        let state = &mut *guard;
        let label = self.account.clone().unwrap_or_default();
        let mut earlier = Vec::new();
        if let Some(id) = frame["previous_response_id"].as_str() {
            let Some(items) = self.history.get(id) else {
                let message = format!("Previous response with id '{id}' not found.");
                let code = "previous_response_not_found".to_owned();
                return Refusal::Invalid(code, message, Some("previous_response_id".into())).reply("");
            };
            earlier.clone_from(items);
        }
        let mut body = frame.clone();
        let Some(members) = body.as_object_mut() else { return Refusal::Detail("Invalid".into()).reply("") };
        members.remove("type");
        members.remove("previous_response_id");
        let generate = members.remove("generate") != Some(Value::Bool(false));
        if let Some(input) = members.get_mut("input").and_then(Value::as_array_mut) {
            input.splice(..0, earlier);
        }
        let lite = "x-openai-internal-codex-responses-lite";
        let lite = body["client_metadata"][format!("ws_request_header_{}", lite.replace('-', "_"))] == "true"
            || self.request.header(lite) == Some("true");
        let version = self.request.header("version");
        let script = &self.world.openai_script;
        let reply = responses::on_socket(state, script, &label, &body, lite, version, generate);
        if let Body::Events(events) = &reply.body {
            let mut items = body["input"].as_array().cloned().unwrap_or_default();
            let events: Vec<Value> = events.iter().map(deliver::data).collect();
            let id = events.iter().find_map(|event| event["response"]["id"].as_str()).map(str::to_owned);
            let done = events.iter().filter(|event| event["type"] == "response.output_item.done");
            items.extend(done.map(|event| event["item"].clone()));
            self.history.extend(id.map(|id| (id, items)));
        }
        reply
    }

    async fn deliver(&mut self, reply: Reply, plan: Plan) -> io::Result<Left> {
        for wait in plan.before_head {
            let present = match wait {
                deliver::Wait::For(time) => self.wait(tokio::time::sleep(time)).await?,
                deliver::Wait::At(gate) => self.wait(gate.pass_owned()).await?,
            };
            if !present {
                return Ok(Left::Over(Ending::PeerGone));
            }
        }
        let texts = match &reply.body {
            Body::Events(events) => events.iter().map(unframed).collect(),
            Body::Whole(_) => vec![error_frame(&reply)],
        };
        let mut left = match plan.cut {
            Some(Cut::Close(bytes) | Cut::Reset(bytes)) => bytes,
            None => usize::MAX,
        };
        for (index, text) in texts.into_iter().enumerate() {
            let wait = if index == 0 { plan.before_first } else { plan.between };
            if !wait.is_zero() && !self.wait(tokio::time::sleep(wait)).await? {
                return Ok(Left::Over(Ending::PeerGone));
            }
            if text.len() > left {
                break;
            }
            left -= text.len();
            self.frames.send(&Frame::Text(text)).await?;
        }
        if let Some(code) = plan.close {
            self.frames
                .send(&Frame::Close((code != 1005).then_some(code), "as the fault has it".into()))
                .await?;
            let echoed = async {
                while !matches!(self.frames.next().await, Ok(Some(Frame::Close(..)) | None) | Err(_)) {}
            };
            let _ = tokio::time::timeout(std::time::Duration::from_secs(5), echoed).await;
            return Ok(Left::Over(Ending::Cut));
        }
        match plan.cut {
            None => Ok(Left::Open),
            Some(Cut::Close(_)) => Ok(Left::Over(Ending::Cut)),
            Some(Cut::Reset(_)) => {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
                self.frames.stream().set_zero_linger()?;
                Ok(Left::Over(Ending::Cut))
            }
        }
    }
}

/// An event as a frame has it; what is no event stays as it is.
fn unframed(event: &Bytes) -> Bytes {
    match deliver::data(event) {
        Value::Null => event.clone(),
        data => data.to_string().into(),
    }
}

/// A refusal as a frame has it.
fn error_frame(reply: &Reply) -> Bytes {
    let body: Value = serde_json::from_slice(&reply.bytes()).unwrap_or_default();
    let error =
        if body["error"].is_object() { body["error"].clone() } else { json!({"detail": body["detail"]}) };
    let headers: Map<String, Value> = reply
        .headers
        .iter()
        .filter(|(name, _)| name != "content-type")
        .map(|(name, value)| (name.clone(), json!(value)))
        .collect();
    json!({"type": "error", "status": reply.status, "error": error, "headers": headers}).to_string().into()
}
