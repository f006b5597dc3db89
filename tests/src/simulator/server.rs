//! Accepts connections and takes each request through record, faults, vendor and delivery.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use tokio::net::{TcpListener, TcpStream};

use super::deliver::{self, After};
use super::fault::{Fault, Seen};
use super::record::{Ending, Vendor};
use super::reply::Reply;
use super::wire::{self, Connection, Request};
use super::{World, anthropic, google, openai};

/// A request with what every handler asks of it.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) request: Request,
    pub(crate) query: Vec<(String, String)>,
    /// Without content coding; nothing when the coding could not be undone.
    pub(crate) body: Option<Bytes>,
}

impl Asked {
    fn new(request: Request, vendor: Vendor) -> Self {
        // Only the Codex backend is known to take zstd; any other coding stays as it is and fails to parse.
        let body = match (vendor, request.header("content-encoding")) {
            (Vendor::OpenAi, Some("zstd")) => zstd::decode_all(&request.body[..]).ok().map(Bytes::from),
            _ => Some(request.body.clone()),
        };
        Self { query: request.query(), request, body }
    }

    pub(crate) fn method(&self) -> &str {
        &self.request.method
    }

    pub(crate) fn path(&self) -> &str {
        self.request.path()
    }

    pub(crate) fn query(&self, name: &str) -> Option<&str> {
        wire::value(&self.query, name)
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        self.body.as_deref().unwrap_or_default()
    }

    /// The body as JSON, whatever the content type says.
    pub(crate) fn json(&self) -> Option<serde_json::Value> {
        serde_json::from_slice(self.bytes()).ok()
    }

    /// The body's fields: of a form, or the strings of a JSON object.
    pub(crate) fn fields(&self) -> Vec<(String, String)> {
        if self.request.content_type() == "application/json" {
            let json = self.json().unwrap_or_default();
            let members = json.as_object().into_iter().flatten();
            return members
                .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
                .collect();
        }
        wire::pairs(self.bytes())
    }
}

/// A listener on a free port.
pub(crate) async fn bind() -> io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

pub(crate) async fn accept(listener: TcpListener, vendor: Vendor, world: Arc<World>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::spawn(serve(stream, vendor, Arc::clone(&world)));
            }
            Err(_) => tokio::time::sleep(std::time::Duration::from_millis(10)).await,
        }
    }
}

async fn serve(stream: TcpStream, vendor: Vendor, world: Arc<World>) {
    let number = world.record.connected();
    let _ = stream.set_nodelay(true);
    let mut connection = Connection::new(stream);
    while let Ok(Some(request)) = connection.next().await {
        let close = request.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
        if exchange(&mut connection, number, request, vendor, &world).await == After::Close || close {
            break;
        }
    }
    drop(connection);
    world.record.disconnected();
}

async fn exchange(
    connection: &mut Connection,
    number: usize,
    request: Request,
    vendor: Vendor,
    world: &World,
) -> After {
    let asked = Asked::new(request, vendor);
    let account = match vendor {
        Vendor::Google => google::whose(world, &asked),
        Vendor::OpenAi => openai::whose(world, &asked),
        Vendor::Anthropic => anthropic::whose(world, &asked),
    };
    let body = asked.body.clone().unwrap_or_default();
    let id = world.record.note(vendor, number, &asked.request, body, account.clone());
    let faults = world.faults.strike(&Seen {
        method: asked.method(),
        path: asked.path(),
        account: account.as_deref(),
        body: asked.bytes(),
    });
    let (ending, after) = match early(connection, &faults).await {
        Early::Over(ending) => (ending, After::Close),
        Early::Instead(reply) => send(connection, vendor, reply, faults, id, world).await,
        Early::GoOn => {
            let reply = match vendor {
                Vendor::Google => google::answer(world, &asked),
                Vendor::OpenAi => openai::answer(world, &asked),
                Vendor::Anthropic => anthropic::answer(world, &asked),
            };
            if reply.status == 101 {
                let switched = deliver::switch(connection, &reply).await;
                world.record.answered(id, 101);
                if switched.is_ok() {
                    // The handshake is over; frames are entries of their own.
                    world.record.ended(id, Ending::Sent);
                    openai::talk(connection, number, &asked, account, &reply, world).await;
                }
                return After::Close;
            }
            send(connection, vendor, reply, faults, id, world).await
        }
    };
    world.record.ended(id, ending);
    after
}

async fn send(
    connection: &mut Connection,
    vendor: Vendor,
    reply: Reply,
    faults: Vec<Fault>,
    id: usize,
    world: &World,
) -> (Ending, After) {
    let pace = world.script(vendor).pace();
    deliver::deliver(connection, vendor, reply, faults, pace, |status| world.record.answered(id, status))
        .await
}

enum Early {
    GoOn,
    Instead(Reply),
    Over(Ending),
}

async fn early(connection: &mut Connection, faults: &[Fault]) -> Early {
    for fault in faults.iter().filter(|fault| fault.is_early()) {
        let present = match fault {
            Fault::Answer(reply) => return Early::Instead(reply.clone()),
            Fault::Reset => {
                deliver::reset(connection).await;
                return Early::Over(Ending::Cut);
            }
            Fault::Silence => {
                connection.gone().await;
                false
            }
            Fault::DelayBefore(time) => connection.pause(*time).await,
            Fault::GateBefore(gate) => deliver::pass(connection, gate).await,
            _ => true,
        };
        if !present {
            return Early::Over(Ending::PeerGone);
        }
    }
    Early::GoOn
}
