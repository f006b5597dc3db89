//! The listening half: sockets, workers, and the way down.

mod leaving;

pub use leaving::Leaving;

use crate::{
    routes::{self, Table},
    serve::{self, Context, Phase},
};
use actix_web::{App, HttpRequest, HttpServer, dev::ServerHandle, rt::net::TcpStream, web};
use socket2::SockRef;
use std::{
    any::Any,
    future::ready,
    net::{SocketAddr, TcpListener},
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

/// Idle clients keep their connection this long.
const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// For a request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(15);
/// A client that takes no byte for so long is gone.
const STALLED: Duration = Duration::from_mins(2);
/// For sockets to say that they are cut off.
const LAST_WORD: Duration = Duration::from_millis(500);
/// Forms and small JSON of our own pages.
const FORM_BYTES: usize = 64 << 10;
const CONNECTIONS_PER_WORKER: usize = 25_000;

/// A server that listens.
#[derive(Debug)]
pub struct Server {
    handle: ServerHandle,
    context: Arc<Context>,
    /// Where it listens; the port is a real one even if 0 was asked for.
    pub address: SocketAddr,
}

impl Server {
    /// Binds and starts the workers.
    ///
    /// # Errors
    /// Fails where the address cannot be had.
    pub fn start(context: Arc<Context>, table: Arc<Table>, listener: TcpListener) -> std::io::Result<Self> {
        let address = listener.local_addr()?;
        let shared = Arc::clone(&context);
        let server = HttpServer::new(move || {
            let lost = Arc::clone(&shared);
            App::new()
                .app_data(web::PayloadConfig::new(FORM_BYTES))
                .app_data(web::JsonConfig::default().limit(FORM_BYTES))
                .configure(|app| routes::mount(app, &shared, &table))
                .default_service(web::to(move |request: HttpRequest| {
                    ready(serve::not_found(&lost, &request))
                }))
        })
        .workers(context.settings.basic.workers)
        .max_connections(CONNECTIONS_PER_WORKER)
        .backlog(2048)
        .keep_alive(KEEP_ALIVE)
        .client_request_timeout(HEAD_TIMEOUT)
        .client_disconnect_timeout(Duration::from_secs(5))
        .shutdown_timeout(1)
        .disable_signals()
        .on_connect(tune)
        .listen(listener)?
        .run();
        let handle = server.handle();
        tokio::spawn(server);
        Ok(Self { handle, context, address })
    }

    /// Stops accepting, lets running requests end for up to `grace`, then closes.
    pub async fn stop(self, grace: Duration) {
        self.context.phase.send_replace(Phase::Draining);
        self.handle.pause().await;
        self.emptied(grace).await;
        let cut = self.running();
        if cut > 0 {
            tracing::warn!(cut, "grace is over, running requests are cut off");
            self.context.phase.send_replace(Phase::Cutting);
            self.emptied(LAST_WORD).await;
        }
        self.handle.stop(cut == 0).await;
    }

    fn running(&self) -> usize {
        self.context.running.load(Ordering::Acquire)
    }

    /// Waits until nothing runs, for no longer than `limit`.
    async fn emptied(&self, limit: Duration) {
        let until = Instant::now() + limit;
        while self.running() > 0 && Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Small events must leave at once, and a client that stopped reading must not be held for ever.
fn tune(connection: &dyn Any, extensions: &mut actix_web::dev::Extensions) {
    let Some(stream) = connection.downcast_ref::<TcpStream>() else { return };
    leaving::remember(stream, extensions);
    drop(stream.set_nodelay(true));
    #[cfg(target_os = "linux")]
    drop(SockRef::from(stream).set_tcp_user_timeout(Some(STALLED)));
}
