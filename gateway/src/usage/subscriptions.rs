//! What the accounts themselves cost: the monthly price of their plans, to hold against the value drawn from them.

use super::spans::Span;
use crate::store::DAY;
use std::collections::BTreeMap;

/// A month, where prices are by the month and spans are not.
const DAYS_OF_A_MONTH: f64 = 365.25 / 12.0;

/// Dollars a month, by provider and plan.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Subscriptions(BTreeMap<(String, String), f64>);

/// An account that is paid for.
#[derive(Debug, Clone)]
pub struct Paid<'a> {
    /// Whose it is.
    pub provider: &'a str,
    /// What the vendor calls the plan, the finer word first; empty where it did not say.
    pub plans: Vec<&'a str>,
    /// Since when we know it, in unix milliseconds.
    pub since: i64,
}

/// What a pool costs.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Spend {
    /// Dollars a month, of the accounts whose price is known.
    pub monthly: Option<f64>,
    /// Their share of a span of time, from when they were added.
    pub within: Option<f64>,
    /// Accounts whose price is known.
    pub priced: usize,
    /// Accounts whose price is not.
    pub unpriced: usize,
}

impl Subscriptions {
    /// Sets a plan's price.
    ///
    /// # Errors
    /// Says what a price is.
    pub fn set(&mut self, provider: &str, plan: &str, dollars: f64) -> Result<(), String> {
        if !(0.0..=1_000_000.0).contains(&dollars) {
            return Err("expected dollars a month".to_owned());
        }
        self.0.insert((provider.to_owned(), plan.to_ascii_lowercase()), dollars);
        Ok(())
    }

    /// What a plan costs a month, if that is known.
    pub fn monthly(&self, provider: &str, plan: &str) -> Option<f64> {
        self.0.get(&(provider.to_owned(), plan.to_ascii_lowercase())).copied()
    }

    /// What these accounts cost a month, and within `span`.
    pub fn spend<'a>(&self, accounts: impl IntoIterator<Item = Paid<'a>>, span: Span) -> Spend {
        accounts.into_iter().fold(Spend::default(), |mut all, account| {
            let price = account.plans.iter().find_map(|plan| self.monthly(account.provider, plan));
            let Some(price) = price else {
                all.unpriced += 1;
                return all;
            };
            all.priced += 1;
            all.monthly = Some(all.monthly.unwrap_or_default() + price);
            let held = span.to - span.from.max(account.since);
            #[expect(clippy::cast_precision_loss, reason = "days of a lifetime fit")]
            let days = held.max(0) as f64 / DAY as f64;
            all.within = Some(all.within.unwrap_or_default() + price * days / DAYS_OF_A_MONTH);
            all
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_without_a_known_price_are_not_free_but_counted_apart() {
        let mut prices = Subscriptions::default();
        prices.set("acme", "Plus", 30.0).unwrap();
        let paid = |plan: &'static str, since| Paid {
            provider: "acme",
            plans: plan.split_whitespace().collect(),
            since,
        };
        let month = Span { from: 0, to: DAY * 30 };
        let spend = |accounts: Vec<Paid<'_>>| prices.spend(accounts, month);
        assert_eq!(spend(vec![]), Spend::default());
        assert_eq!(spend(vec![paid("", 0), paid("odd", 0)]), Spend { unpriced: 2, ..Spend::default() });
        let some = spend(vec![paid("plus", 0), paid("fine PLUS", DAY * 15), paid("", 0)]);
        assert_eq!((some.monthly, some.priced, some.unpriced), (Some(60.0), 2, 1));
        let share = some.within.unwrap();
        assert!((share - 30.0 * 45.0 / DAYS_OF_A_MONTH).abs() < 1e-9, "{share}");
        let later = spend(vec![paid("plus", DAY * 40)]);
        assert_eq!((later.monthly, later.within), (Some(30.0), Some(0.0)));
        assert_eq!(prices.monthly("other", "plus"), None);
    }

    #[test]
    fn a_price_is_a_sum_of_money() {
        for wrong in [-1.0, f64::NAN, f64::INFINITY] {
            assert!(Subscriptions::default().set("p", "plan", wrong).is_err(), "{wrong}");
        }
    }
}
