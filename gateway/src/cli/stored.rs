//! What owners do while no gateway runs, straight in the database.

use super::accounts::Order;
use crate::{
    admin::{Deed, Runtime, account, deed},
    limits::Wanted,
    settings::Settings,
    startup::{open_store, service_of},
    store::{Row, State, Store, StoreError},
};
use pollux_sdk::Provider;
use serde_json::{Value, json};
use std::{collections::BTreeMap, sync::Arc, time::SystemTime};

type Providers = BTreeMap<&'static str, Arc<dyn Provider>>;

/// Opens the database, unless somebody else has it.
pub(super) async fn open(settings: &Settings) -> Result<Store, String> {
    open_store(&settings.basic).await.map_err(|error| {
        let hint = match error {
            StoreError::Locked(_) => {
                format!("; no gateway answers at {}, but one may run elsewhere", settings.local_address())
            }
            _ => String::new(),
        };
        format!("{error}{hint}")
    })
}

/// Does what was ordered, and gives what the admin API would answer.
pub(super) async fn execute(
    settings: &Settings,
    providers: &Providers,
    order: &Order<'_>,
) -> Result<Value, String> {
    let store = open(settings).await?;
    let done = with(settings, providers, &store, order).await;
    store.close().await;
    done
}

async fn with(
    settings: &Settings,
    providers: &Providers,
    store: &Store,
    order: &Order<'_>,
) -> Result<Value, String> {
    let failed = |error: StoreError| error.to_string();
    if let Order::List = order {
        let mut told = Vec::new();
        for row in store.list().await.map_err(failed)? {
            told.push(view(providers, store, &row).await.map_err(failed)?);
        }
        return Ok(told.into());
    }
    let id = order.id().unwrap_or_default();
    let number: i64 = id.parse().map_err(|_| "an account's id is a number".to_owned())?;
    let missing = || format!("there is no account {number}");
    let row = store.get(number).await.map_err(failed)?.ok_or_else(missing)?;
    let row = match order {
        Order::List | Order::Show(_) => Some(row),
        Order::Remove(_) => {
            store.remove(number).await.map_err(failed)?;
            return Ok(json!({"removed": number}));
        }
        Order::Set(_, change) => set(store, number, change).await?,
        Order::Act(_, action) => match deed(action, number, row.state).map_err(|error| error.to_string())? {
            Deed::Approve => store.approve(number).await.map_err(failed)?,
            Deed::Into(state) => store.set_state(number, state, None).await.map_err(failed)?,
            Deed::ForgetCooldown => {
                store.lift_all(number).await.map_err(failed)?;
                Some(row)
            }
            Deed::Refresh => {
                refresh(settings, providers, store, &row).await?;
                store.get(number).await.map_err(failed)?
            }
        },
    };
    view(providers, store, &row.ok_or_else(missing)?).await.map_err(failed)
}

async fn set(store: &Store, id: i64, change: &Value) -> Result<Option<Row>, String> {
    let mut change = change.as_object().cloned().unwrap_or_default();
    let wanted = Wanted::take_all(&mut change).map_err(|wrong| wrong.to_string())?;
    let extra = change.get("extra").and_then(Value::as_object).cloned().unwrap_or_default();
    let again = !extra.is_empty();
    let row = store.amend(id, extra, &wanted).await.map_err(|error| error.to_string())?;
    if !again {
        return Ok(row);
    }
    // The next start asks the provider what it makes of the change.
    store.set_state(id, State::Validating, None).await.map_err(|error| error.to_string())
}

async fn refresh(settings: &Settings, providers: &Providers, store: &Store, row: &Row) -> Result<(), String> {
    let provider = providers.get(row.provider.as_str());
    let absent = || format!("provider `{}` is not at work", row.provider);
    let service =
        service_of(settings, provider.ok_or_else(absent)?, store).map_err(|error| error.to_string())?;
    service.keeper.renew_alone(row).await
}

async fn view(providers: &Providers, store: &Store, row: &Row) -> Result<Value, StoreError> {
    let rests = store.cooldowns(SystemTime::now()).await?.into_iter();
    let readings = store.readings().await?.into_iter();
    let runtime = Runtime {
        cooldowns: rests
            .filter(|rest| rest.credential_id == row.id)
            .map(|rest| (rest.model, rest.until))
            .collect(),
        quota: readings.filter(|(id, _)| *id == row.id).map(|(_, quota)| quota).next().unwrap_or_default(),
        ..Runtime::default()
    };
    let provider = providers.get(row.provider.as_str());
    Ok(account(row, provider.map_or(row.provider.as_str(), |one| one.descriptor().kind), &runtime))
}
