//! `[usage]`, with the price lists that it names.

use super::{
    Problem, Usage,
    layers::{self, Layers},
    providers::json,
    section::{Section, as_table, find},
};
use crate::usage::{Entry, Keep, PriceList, Subscriptions, prices};
use config::{Value, ValueKind};
use std::fs;

/// A price list is small.
const LARGEST_FILE: u64 = 4 << 20;

pub(super) fn read(layers: &Layers, problems: &mut Vec<Problem>) -> Option<Usage> {
    let mut section = Section::open(&layers.merged, "usage").only(&layers.defaults);
    let (mut list, mut subscriptions) = prices::compiled();
    let enabled = section.boolean("enabled");
    let requests = section.duration("keep_raw", true);
    let hours = section.duration("keep_hourly", true);
    if let Some(path) = section.path("prices_file") {
        let place = section.origin("prices_file").unwrap_or("defaults").to_owned();
        let shown = path.display();
        let small = |about: fs::Metadata| {
            if about.len() <= LARGEST_FILE { Ok(()) } else { Err("is too large".to_owned()) }
        };
        let taken = fs::metadata(&path)
            .map_err(|error| error.to_string())
            .and_then(small)
            .and_then(|()| fs::read_to_string(&path).map_err(|error| error.to_string()))
            .and_then(|text| prices::read(&text, &mut list, &mut subscriptions));
        if let Err(wrong) = taken {
            section.report(&place, "prices_file", &format!("{shown}: {wrong}"));
        }
    }
    own_prices(&mut section, layers, &mut list);
    own_subscriptions(&mut section, layers, &mut subscriptions);
    section.close(problems);
    let keep = Keep { requests: requests?, hours: hours? };
    Some(Usage { enabled: enabled?, keep, prices: list, subscriptions })
}

/// `[[usage.prices]]`.
fn own_prices(section: &mut Section<'_>, layers: &Layers, list: &mut PriceList) {
    let entries =
        section.read("prices", "a list of prices such as [[usage.prices]]", |value| match &value.kind {
            ValueKind::Array(entries) => Some(entries.clone()),
            _ => None,
        });
    let written = find(&layers.merged, "usage.prices");
    for (place, entry) in entries.unwrap_or_default().iter().enumerate() {
        let told = serde_json::from_value::<Entry>(json(entry));
        let taken = told.map_err(|error| error.to_string()).and_then(|entry| list.add(&entry));
        if let Err(wrong) = taken {
            let origin = layers::origin(entry).or_else(|| written?.origin()).unwrap_or("configuration");
            section.report(origin, "prices", &format!("entry {}: {wrong}", place + 1));
        }
    }
}

/// `[usage.subscriptions]`: providers, then plans.
fn own_subscriptions(section: &mut Section<'_>, layers: &Layers, subscriptions: &mut Subscriptions) {
    let Some(providers) = find(&layers.merged, "usage.subscriptions") else { return };
    let Some(providers) = as_table(providers) else {
        let place = layers::origin(providers).unwrap_or("configuration");
        return section.report(place, "subscriptions", "expected a section");
    };
    for (provider, plans) in providers {
        let key = format!("subscriptions.{provider}");
        let Some(table) = as_table(plans) else {
            let place = layers::origin(plans).unwrap_or("configuration");
            section.report(place, &key, "expected plans and what they cost, such as { plus = 20 }");
            continue;
        };
        for (plan, price) in table {
            let set = dollars(price).ok_or_else(|| "expected dollars a month".to_owned());
            if let Err(wrong) = set.and_then(|dollars| subscriptions.set(provider, plan, dollars)) {
                let place = layers::origin(price).unwrap_or("configuration");
                section.report(place, &format!("{key}.{plan}"), &wrong);
            }
        }
    }
}

fn dollars(value: &Value) -> Option<f64> {
    match &value.kind {
        ValueKind::Float(dollars) => Some(*dollars),
        ValueKind::I64(dollars) => i32::try_from(*dollars).ok().map(f64::from),
        ValueKind::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}
