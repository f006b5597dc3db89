//! The price lists: the one that is compiled in, and the owner's over it.

#[cfg(test)]
mod tests;

use super::{
    Subscriptions,
    cost::{Entry, PriceList},
};
use serde::Deserialize;
use std::collections::BTreeMap;

/// List prices as the vendors published them, each with its source and date.
const PRICES: &str = include_str!("../../../config/prices.toml");

/// A file of prices.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    #[serde(default)]
    prices: Vec<Entry>,
    #[serde(default)]
    subscriptions: BTreeMap<String, BTreeMap<String, f64>>,
}

/// What is compiled in.
pub fn compiled() -> (PriceList, Subscriptions) {
    let (mut prices, mut subscriptions) = (PriceList::default(), Subscriptions::default());
    read(PRICES, &mut prices, &mut subscriptions).expect("prices.toml is compiled in and a test reads it");
    (prices, subscriptions)
}

/// Takes in what a file says.
///
/// # Errors
/// Says where the file is wrong.
pub fn read(text: &str, prices: &mut PriceList, subscriptions: &mut Subscriptions) -> Result<(), String> {
    let list: List = toml::from_str(text).map_err(|error| {
        let before = error.span().map_or("", |span| text.get(..span.start).unwrap_or(text));
        format!("line {}: {}", before.matches('\n').count() + 1, error.message())
    })?;
    for (place, entry) in list.prices.iter().enumerate() {
        prices.add(entry).map_err(|wrong| format!("prices, entry {}: {wrong}", place + 1))?;
    }
    for (provider, plans) in &list.subscriptions {
        for (plan, dollars) in plans {
            subscriptions
                .set(provider, plan, *dollars)
                .map_err(|wrong| format!("subscriptions.{provider}.{plan}: {wrong}"))?;
        }
    }
    Ok(())
}
