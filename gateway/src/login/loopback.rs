use super::{Desk, Logins, callback, session::LIFE};
use crate::{accounts::stopped, relay::Service};
use actix_web::{App, HttpRequest, HttpServer, dev::ServerHandle, http::KeepAlive, web};
use pollux_sdk::Redirect;
use std::{
    collections::HashMap,
    fmt,
    io::ErrorKind,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener},
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, sleep_until},
};

/// After the last login has ended its answer still has to leave.
const LINGER: Duration = Duration::from_secs(3);

/// Asks for the loopback listener of a provider while a login with it is open.
#[derive(Debug, Clone)]
pub struct Loopback(mpsc::Sender<Order>);

enum Order {
    Listen(Arc<Service>, oneshot::Sender<Option<u16>>),
    Finished(&'static str),
}

impl fmt::Debug for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Order")
    }
}

/// The owner of all loopback listeners.
#[derive(Debug)]
pub struct LoopbackTask {
    orders: mpsc::Receiver<Order>,
    /// Our own port: where it is a registered one, nothing else needs to listen.
    own_port: u16,
    open: HashMap<&'static str, Listening>,
}

struct Listening {
    port: u16,
    handle: Option<ServerHandle>,
    logins: usize,
    until: Instant,
}

impl fmt::Debug for Listening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Listening({})", self.port)
    }
}

impl Loopback {
    /// A handle and the task behind it.
    pub fn new(own_port: u16) -> (Self, LoopbackTask) {
        let (sender, orders) = mpsc::channel(64);
        (Self(sender), LoopbackTask { orders, own_port, open: HashMap::new() })
    }

    /// The port that listens for the vendor's redirect; `None` if the vendor wants none, or none is free.
    pub async fn listen(&self, service: &Arc<Service>) -> Option<u16> {
        let wants = matches!(service.provider.descriptor().login.as_ref()?.redirect, Redirect::Loopback(..));
        if !wants {
            return None;
        }
        let (reply, port) = oneshot::channel();
        self.0.send(Order::Listen(Arc::clone(service), reply)).await.ok()?;
        port.await.ok()?
    }

    /// One login of this provider has ended.
    pub fn finished(&self, provider: &'static str) {
        // A lost message only means that the port stays open until its time is over.
        drop(self.0.try_send(Order::Finished(provider)));
    }
}

impl LoopbackTask {
    /// Runs until `stop` turns true.
    pub async fn run(mut self, logins: Arc<Logins>, mut stop: watch::Receiver<bool>) {
        loop {
            let next = self.open.values().map(|open| open.until).min();
            tokio::select! {
                () = stopped(&mut stop) => break,
                order = self.orders.recv() => match order {
                    Some(Order::Listen(service, reply)) => drop(reply.send(self.listen(&logins, &service))),
                    Some(Order::Finished(provider)) => self.finished(provider),
                    None => break,
                },
                () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => self.close_overdue().await,
            }
        }
        for open in self.open.into_values().filter_map(|open| open.handle) {
            open.stop(false).await;
        }
    }

    fn listen(&mut self, logins: &Arc<Logins>, service: &Arc<Service>) -> Option<u16> {
        let Redirect::Loopback(ports, path) = service.provider.descriptor().login.as_ref()?.redirect else {
            return None;
        };
        let until = Instant::now() + LIFE;
        if let Some(open) = self.open.get_mut(service.id()) {
            open.logins += 1;
            open.until = until;
            return Some(open.port);
        }
        let desk = Desk { logins: Arc::clone(logins), service: Arc::clone(service) };
        let (port, handle) = ports.iter().find_map(|port| {
            if *port == self.own_port {
                return Some((*port, None));
            }
            let listeners = bind(*port)?;
            serve(&desk, path, listeners).map(|handle| (*port, Some(handle)))
        })?;
        tracing::info!(provider = service.id(), port, "listening for the vendor's redirect");
        self.open.insert(service.id(), Listening { port, handle, logins: 1, until });
        Some(port)
    }

    fn finished(&mut self, provider: &'static str) {
        if let Some(open) = self.open.get_mut(provider) {
            open.logins = open.logins.saturating_sub(1);
            if open.logins == 0 {
                open.until = Instant::now() + LINGER;
            }
        }
    }

    async fn close_overdue(&mut self) {
        let now = Instant::now();
        let overdue: Vec<&'static str> =
            self.open.iter().filter(|(_, open)| open.until <= now).map(|(provider, _)| *provider).collect();
        for provider in overdue {
            if let Some(Listening { handle: Some(handle), port, .. }) = self.open.remove(provider) {
                handle.stop(true).await;
                tracing::info!(provider, port, "no login is open, port closed");
            }
        }
    }
}

/// Both loopback addresses, since `localhost` may mean either. `None` if somebody else has one of them.
pub(crate) fn bind(port: u16) -> Option<Vec<TcpListener>> {
    let v4 = TcpListener::bind((IpAddr::V4(Ipv4Addr::LOCALHOST), port)).ok()?;
    match TcpListener::bind((IpAddr::V6(Ipv6Addr::LOCALHOST), port)) {
        Ok(v6) => Some(vec![v4, v6]),
        Err(error) if error.kind() == ErrorKind::AddrInUse => None,
        Err(_) => Some(vec![v4]), // a machine without IPv6
    }
}

fn serve(desk: &Desk, path: &'static str, listeners: Vec<TcpListener>) -> Option<ServerHandle> {
    let desk = desk.clone();
    let mut server = HttpServer::new(move || {
        let desk = desk.clone();
        App::new().route(
            path,
            web::get().to(move |request: HttpRequest| {
                let desk = desk.clone();
                async move { callback(desk, request).await }
            }),
        )
    })
    .workers(1)
    .disable_signals()
    .keep_alive(KeepAlive::Disabled)
    .shutdown_timeout(2);
    for listener in listeners {
        server = server.listen(listener).ok()?;
    }
    let server = server.run();
    let handle = server.handle();
    tokio::spawn(server);
    Some(handle)
}
