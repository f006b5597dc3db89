use super::StartError;
use crate::{
    accounts::Keeper,
    metrics::Metrics,
    pool::{Groups, Pool},
    relay::{Limits, Service},
    settings::{ProviderSettings, Settings},
    store::{Row, Store},
    upstream::{AccountIo, Profile, Upstream, shown},
};
use pollux_sdk::Provider;
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, SystemTime},
};

/// One service per enabled provider.
pub(super) fn build(
    settings: &Settings,
    providers: BTreeMap<&'static str, Arc<dyn Provider>>,
    store: &Store,
    metrics: &Arc<Metrics>,
) -> Result<Vec<Arc<Service>>, StartError> {
    let one = |(id, provider): (&'static str, Arc<dyn Provider>)| {
        let Some(own) = settings.providers.get(id) else { return Ok(None) };
        service(settings, own, provider, store, metrics)
            .map(|service| Some(Arc::new(service)))
            .map_err(|source| StartError::Proxy { provider: id, source })
    };
    providers.into_iter().filter_map(|entry| one(entry).transpose()).collect()
}

fn service(
    settings: &Settings,
    own: &ProviderSettings,
    provider: Arc<dyn Provider>,
    store: &Store,
    metrics: &Arc<Metrics>,
) -> Result<Service, reqwest::Error> {
    let profile = profile(settings, own);
    tracing::info!(
        provider = provider.descriptor().id,
        proxy = own.proxy.as_deref().map(shown),
        http2 = own.enable_multiplexing,
        "provider is at work"
    );
    let choice = &settings.pool;
    let groups = Groups::new(choice.groups.iter().map(|group| group.models.as_slice()));
    let pool = Pool::new(choice.strategy, choice.acquire_timeout, choice.session_ttl, groups);
    let pool = Arc::new(pool);
    let io = Arc::new(AccountIo::new(&profile, own.oauth_tps)?);
    let keeper = Arc::new(Keeper::new(
        Arc::clone(&provider),
        Arc::clone(&pool),
        store.clone(),
        io,
        Arc::clone(metrics),
        settings.pool.refresh,
    ));
    let limits = Limits {
        retries: own.retry_max_times,
        response: settings.upstream.response_timeout,
        idle: settings.upstream.stream_idle_timeout,
        error_body_bytes: 256 << 10,
        answer_bytes: 64 << 20,
        event_bytes: 32 << 20,
        prelude: Duration::from_secs(2),
        prelude_bytes: 64 << 10,
        socket_idle: settings.upstream.socket_idle_timeout,
        ping: settings.upstream.socket_ping_interval,
    };
    Ok(Service { provider, pool, keeper, upstream: Upstream::new(&profile)?, limits })
}

fn profile(settings: &Settings, own: &ProviderSettings) -> Profile {
    Profile {
        proxy: own.proxy.clone(),
        multiplexing: own.enable_multiplexing,
        connect_timeout: settings.upstream.connect_timeout,
    }
}

/// The outside world of one provider's account operations, without a gateway around it.
pub(crate) fn account_io(settings: &Settings, id: &str) -> Result<AccountIo, StartError> {
    let own = settings.providers.get(id).cloned().unwrap_or_else(|| ProviderSettings::without_owner(id));
    AccountIo::new(&profile(settings, &own), own.oauth_tps).map_err(StartError::Client)
}

/// One provider at work for one account, without a gateway around it.
pub(crate) fn service_of(
    settings: &Settings,
    provider: &Arc<dyn Provider>,
    store: &Store,
) -> Result<Service, StartError> {
    let id = provider.descriptor().id;
    let own = settings.providers.get(id).cloned().unwrap_or_else(|| ProviderSettings::without_owner(id));
    let metrics = Arc::new(Metrics::new().map_err(|error| StartError::Io(std::io::Error::other(error)))?);
    service(settings, &own, Arc::clone(provider), store, &metrics).map_err(StartError::Client)
}

/// Gives every service what is stored of it.
pub(super) async fn resume(
    services: &[Arc<Service>],
    store: &Store,
    rows: Vec<Row>,
) -> Result<(), StartError> {
    let mut by_provider: BTreeMap<String, Vec<Row>> = BTreeMap::new();
    for row in rows {
        by_provider.entry(row.provider.clone()).or_default().push(row);
    }
    let cooldowns = store.cooldowns(SystemTime::now()).await?;
    let readings = store.readings().await?;
    for service in services {
        let rows = by_provider.remove(service.id()).unwrap_or_default();
        service.keeper.resume(rows).await?;
        for (id, quota) in &readings {
            service.pool.restore_quota(*id, quota);
        }
        for cooldown in &cooldowns {
            service.pool.restore_cooldown(cooldown.credential_id, cooldown.model.as_deref(), cooldown.until);
        }
    }
    for (provider, rows) in by_provider {
        tracing::warn!(provider, accounts = rows.len(), "stored accounts of a provider that is not at work");
    }
    Ok(())
}
