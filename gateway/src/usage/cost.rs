//! What tokens cost at list prices. Pure: prices in, numbers out.

#[cfg(test)]
mod tests;

use pollux_sdk::Usage;
use serde::Deserialize;
use std::collections::HashMap;

/// A dollar for a million tokens, in the unit of [`Rates`].
const DOLLAR_PER_MILLION: f64 = 1_000_000.0;
/// More dollars for a million tokens are a slip of the pen.
const HIGHEST: f64 = 1_000_000.0;

/// Prices of models, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PriceList(HashMap<String, Price>);

/// The price of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Price {
    rates: Rates,
    /// With more input than this, all of a request has these rates instead.
    long: Option<(u64, Rates)>,
}

/// Millionths of a millionth of a dollar for a token: every list price is a whole number of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Rates {
    input: u64,
    cache_read: u64,
    cache_write: u64,
    output: u64,
}

/// An entry as it is written: dollars for a million tokens.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// What it is the price of.
    pub models: Vec<String>,
    /// Input.
    pub input: f64,
    /// Output.
    pub output: f64,
    /// Input read from a cache; as other input unless given.
    pub cache_read: Option<f64>,
    /// Input written to a cache; as other input unless given.
    pub cache_write: Option<f64>,
    /// Other rates for long requests.
    pub long: Option<Long>,
    /// Who says so.
    pub source: Option<String>,
    /// When they did.
    pub date: Option<String>,
}

/// Rates of requests with more input than `above`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Long {
    /// Tokens of input.
    pub above: u64,
    /// Input.
    pub input: f64,
    /// Output.
    pub output: f64,
    /// Input read from a cache.
    pub cache_read: Option<f64>,
    /// Input written to a cache.
    pub cache_write: Option<f64>,
}

impl Entry {
    /// The price it tells.
    ///
    /// # Errors
    /// Names the member that is wrong.
    pub fn price(&self) -> Result<Price, String> {
        if self.models.is_empty() || self.models.iter().any(|model| model.trim().is_empty()) {
            return Err("`models` wants the names of models".to_owned());
        }
        let rates = rates("", self.input, self.cache_read, self.cache_write, self.output)?;
        let long = self.long.as_ref().map(|long| {
            let rates = self::rates("long.", long.input, long.cache_read, long.cache_write, long.output)?;
            Ok::<_, String>((long.above, rates))
        });
        Ok(Price { rates, long: long.transpose()? })
    }
}

fn rates(
    place: &str,
    input: f64,
    cache_read: Option<f64>,
    cache_write: Option<f64>,
    output: f64,
) -> Result<Rates, String> {
    let rate = |name: &str, dollars: f64| {
        if !(0.0..=HIGHEST).contains(&dollars) {
            return Err(format!("`{place}{name}` wants dollars for a million tokens"));
        }
        // Within range by the check above.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        Ok((dollars * DOLLAR_PER_MILLION).round() as u64)
    };
    Ok(Rates {
        input: rate("input", input)?,
        cache_read: rate("cache_read", cache_read.unwrap_or(input))?,
        cache_write: rate("cache_write", cache_write.unwrap_or(input))?,
        output: rate("output", output)?,
    })
}

impl PriceList {
    /// Takes an entry in; it wins over what was there.
    ///
    /// # Errors
    /// Names the member that is wrong.
    pub fn add(&mut self, entry: &Entry) -> Result<(), String> {
        let price = entry.price()?;
        self.0.extend(entry.models.iter().map(|model| (model.trim().to_owned(), price)));
        Ok(())
    }

    /// The price of a model, with or without the date of its release in its name. A name that is only alike has none:
    /// it may be of a model ten times as cheap.
    pub fn find(&self, model: &str) -> Option<&Price> {
        let bare = model.strip_prefix("models/").unwrap_or(model);
        self.0.get(bare).or_else(|| self.0.get(undated(bare)?))
    }
}

/// `name-20251001`, `name-2025-10-01` and `name-latest` without the end.
fn undated(model: &str) -> Option<&str> {
    let digits =
        |text: &str, count: usize| text.len() == count && text.bytes().all(|one| one.is_ascii_digit());
    let (rest, last) = model.rsplit_once('-')?;
    if last == "latest" || digits(last, 8) {
        return Some(rest);
    }
    let (rest, month) = rest.rsplit_once('-')?;
    let (rest, year) = rest.rsplit_once('-')?;
    (digits(last, 2) && digits(month, 2) && digits(year, 4)).then_some(rest)
}

/// What an answer costs, in billionths of a dollar. `input` includes what the cache had to do with, `output` includes
/// reasoning, so nothing is paid twice.
pub fn cost(usage: &Usage, price: &Price) -> i64 {
    let rates = match &price.long {
        Some((above, long)) if usage.input > *above => long,
        _ => &price.rates,
    };
    let read = usage.cache_read.unwrap_or(0).min(usage.input);
    let written = usage.cache_write.unwrap_or(0).min(usage.input - read);
    let plain = usage.input - read - written;
    let of = |tokens: u64, rate: u64| u128::from(tokens) * u128::from(rate);
    let whole = [
        of(plain, rates.input),
        of(read, rates.cache_read),
        of(written, rates.cache_write),
        of(usage.output, rates.output),
    ];
    let sum = whole.into_iter().fold(0, u128::saturating_add);
    i64::try_from(sum.saturating_add(500) / 1000).unwrap_or(i64::MAX)
}
