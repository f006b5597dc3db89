//! From settings to a running gateway, and down again. Everything is built here and passed down: two gateways can
//! live in one process.

mod failure;
mod services;

pub use failure::StartError;
pub(crate) use services::{account_io, service_of};

use crate::{
    auth::Key,
    files::Clerk,
    login::{Logins, Loopback},
    metrics::Metrics,
    routes::{self, Surfaces},
    serve::{Context, Phase},
    server::Server,
    settings::{Basic, Settings},
    store::{Opening, Row, Store, StoreError},
    takeover,
    usage::{Recorder, Writer},
};
use pollux_sdk::{Provider, Redirect, Secret};
use std::{
    collections::BTreeMap,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::SystemTime,
};
use tokio::{sync::watch, task::JoinSet};

/// A gateway at work.
#[derive(Debug)]
pub struct Gateway {
    server: Server,
    store: Store,
    settings: Arc<Settings>,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl Gateway {
    /// Builds everything and begins to serve.
    ///
    /// # Errors
    /// Says what is in the way, and whether it is the configuration.
    pub async fn start(
        settings: Settings,
        providers: BTreeMap<&'static str, Arc<dyn Provider>>,
    ) -> Result<Self, StartError> {
        let settings = Arc::new(settings);
        let basic = &settings.basic;
        // The port first: a second gateway must not touch the store before it is refused.
        let listener = TcpListener::bind((basic.listen_addr, basic.listen_port)).map_err(|source| {
            StartError::Listen { address: SocketAddr::new(basic.listen_addr, basic.listen_port), source }
        })?;
        listener.set_nonblocking(true).map_err(StartError::Io)?;
        let port = listener.local_addr().map_err(StartError::Io)?.port();
        let store = open_store(basic).await?;
        takeover::take_over(&store, &providers).await?;
        let metrics = Arc::new(Metrics::new().map_err(|error| StartError::Io(std::io::Error::other(error)))?);
        let services = services::build(&settings, providers, &store, &metrics)?;
        let surfaces = Surfaces { root: basic.root_aliases, order: &settings.pool.order };
        let table = Arc::new(routes::table(&services, surfaces)?);
        let (stop, stopping) = watch::channel(false);
        let (loopback, loopback_task) = Loopback::new(port);
        let logins = Arc::new(Logins::new(Arc::clone(&settings), store.clone(), loopback.clone()));
        let mut tasks = JoinSet::new();
        store.purge_departed(SystemTime::now()).await?;
        let rows = store.list().await?;
        announce(&settings, &rows);
        services::resume(&services, &store, rows).await?;
        for service in &services {
            tasks.spawn(Arc::clone(&service.keeper).run(stopping.clone()));
        }
        let (clerk, files) = Clerk::new(&settings.pool, store.clone(), &services);
        tasks.spawn(clerk.run(stopping.clone()));
        tasks.spawn(loopback_task.run(Arc::clone(&logins), stopping.clone()));
        reopen(&store, &services, &loopback).await?;
        let (inbox, writer) = Writer::new(store.clone(), settings.usage.keep, Arc::clone(&metrics));
        let inbox = settings.usage.enabled.then_some(inbox);
        let usage = Arc::new(Recorder::new(inbox, settings.usage.prices.clone(), Arc::clone(&metrics)));
        tasks.spawn(writer.run(stopping.clone()));
        let context = Arc::new(Context {
            key: Key::new(&basic.pollux_key),
            admin_key: basic.admin_key.as_ref().map(Key::new),
            services,
            logins,
            files,
            store: store.clone(),
            phase: watch::Sender::new(Phase::Serving),
            running: Arc::default(),
            metrics,
            usage,
            began: std::time::Instant::now(),
            settings: Arc::clone(&settings),
        });
        let server = Server::start(context, table, listener).map_err(StartError::Io)?;
        tracing::info!(address = %server.address, version = env!("CARGO_PKG_VERSION"), "pollux serves");
        Ok(Self { server, store, settings, stop, tasks })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.server.address
    }

    /// Lets streams finish within the grace, writes down what is left, closes the store.
    pub async fn stop(mut self) {
        tracing::info!(grace = ?self.settings.basic.shutdown_grace, "going down");
        self.server.stop(self.settings.basic.shutdown_grace).await;
        self.stop.send_replace(true);
        while self.tasks.join_next().await.is_some() {}
        self.store.close().await;
        tracing::info!("bye");
    }
}

/// Opens the database of this configuration.
pub(crate) async fn open_store(basic: &Basic) -> Result<Store, StoreError> {
    let sealing = sealing_key();
    // Whoever opens it first: an older system's database is copied before anything in it changes.
    takeover::back_up(&basic.database_url).await?;
    Store::open(opening(basic, sealing.as_ref())).await
}

/// As `open_store`, but only to read where a running gateway holds the database.
pub(crate) async fn peek_store(basic: &Basic) -> Result<Store, StoreError> {
    match open_store(basic).await {
        Err(StoreError::Locked(_)) => Store::peek(opening(basic, sealing_key().as_ref())).await,
        opened => opened,
    }
}

fn sealing_key() -> Option<Secret> {
    std::env::var("POLLUX_SEALING_KEY").ok().filter(|key| !key.is_empty()).map(Secret::new)
}

fn opening<'a>(basic: &'a Basic, key: Option<&'a Secret>) -> Opening<'a> {
    Opening { url: &basic.database_url, key_file: basic.key_file.as_deref(), key }
}

/// Logins that were open when the last process ended still find their port.
async fn reopen(
    store: &Store,
    services: &[Arc<crate::relay::Service>],
    loopback: &Loopback,
) -> Result<(), StartError> {
    store.purge_logins(SystemTime::now()).await?;
    for login in store.open_logins(SystemTime::now()).await? {
        let service = services.iter().find(|service| service.id() == login.provider);
        let wants = |service: &&Arc<crate::relay::Service>| {
            let login = service.provider.descriptor().login.as_ref();
            matches!(login.map(|login| &login.redirect), Some(Redirect::Loopback(..)))
        };
        if let Some(service) = service.filter(wants) {
            loopback.listen(service).await;
        }
    }
    Ok(())
}

/// What the owner wants to see first: accounts by state.
fn announce(settings: &Settings, rows: &[Row]) {
    for news in &settings.news {
        tracing::info!("{news}");
    }
    for note in &settings.notes {
        tracing::warn!("{note}");
    }
    if settings.basic.local {
        tracing::info!("local mode: programs of this machine need no key");
    }
    let mut counts: BTreeMap<(&str, String), usize> = BTreeMap::new();
    for row in rows {
        *counts.entry((&row.provider, row.state.to_string())).or_default() += 1;
    }
    for ((provider, state), count) in counts {
        tracing::info!(provider, %state, count, "accounts");
    }
    for row in rows.iter().filter(|row| row.reason.is_some()) {
        let reason = row.reason.as_ref().map(|reason| reason.text.as_str());
        tracing::info!(provider = %row.provider, id = row.id, account = %row.label(), state = %row.state, reason, "account needs attention");
    }
}
