use super::*;
use proptest::prelude::*;

fn entry(text: &str) -> Entry {
    toml::from_str(text).unwrap()
}

fn price() -> Price {
    entry("models = [\"m\"]\ninput = 4\noutput = 20\ncache_read = 0.4\ncache_write = 5").price().unwrap()
}

fn usage(input: u64, read: Option<u64>, written: Option<u64>, output: u64) -> Usage {
    Usage { input, cache_read: read, cache_write: written, output, reasoning: Some(output / 2) }
}

#[test]
fn each_kind_of_token_is_paid_once() {
    for (usage, nanos) in [
        (usage(0, None, None, 0), 0),
        (usage(1_000_000, None, None, 0), 4_000_000_000),
        (usage(1_000_000, Some(0), Some(0), 1_000_000), 24_000_000_000),
        (usage(1_000_000, Some(1_000_000), None, 0), 400_000_000),
        (usage(1_000_000, None, Some(1_000_000), 0), 5_000_000_000),
        (usage(1000, Some(600), Some(300), 10), 100 * 4000 + 600 * 400 + 300 * 5000 + 10 * 20_000),
        (usage(1, None, None, 0), 4000),
        // A vendor that counts more parts than the whole is not paid for more than the whole.
        (usage(10, Some(50), Some(50), 0), 10 * 400),
    ] {
        assert_eq!(cost(&usage, &price()), nanos, "{usage:?}");
    }
}

#[test]
fn what_has_no_price_of_its_own_costs_as_other_input() {
    let plain = entry("models = [\"m\"]\ninput = 4\noutput = 20").price().unwrap();
    assert_eq!(cost(&usage(1000, Some(600), Some(300), 0), &plain), 1000 * 4000);
}

#[test]
fn a_long_request_has_its_own_rates_for_all_of_it() {
    let text =
        "models = [\"m\"]\ninput = 1.25\noutput = 10\nlong = {above = 200000, input = 2.5, output = 15}";
    let price = entry(text).price().unwrap();
    let cost = |input| cost(&usage(input, None, None, 1000), &price);
    assert_eq!(cost(200_000), 200_000 * 1250 + 1000 * 10_000);
    assert_eq!(cost(200_001), 200_001 * 2500 + 1000 * 15_000);
}

#[test]
fn models_are_found_by_their_name_and_by_nothing_that_is_only_alike() {
    let mut list = PriceList::default();
    list.add(&entry("models = [\"big\", \"big-mini\"]\ninput = 1\noutput = 2")).unwrap();
    for model in ["big", "models/big", "big-20251001", "big-2025-10-01", "big-latest", "big-mini-20251001"] {
        assert!(list.find(model).is_some(), "{model}");
    }
    for model in ["", "big-nano", "bigger", "big-2025", "big-1-2-3", "mini", "big-20251001-x", "-latest"] {
        assert!(list.find(model).is_none(), "{model}");
    }
}

proptest! {
    #[test]
    fn no_count_overflows_and_more_tokens_never_cost_less(
        input: u64, read: Option<u64>, written: Option<u64>, output: u64, more in 0..1_000_000_u64,
    ) {
        let one = usage(input, read, written, output);
        let other = Usage { output: output.saturating_add(more), ..one };
        let (one, other) = (cost(&one, &price()), cost(&other, &price()));
        prop_assert!(one >= 0 && other >= one);
    }

    #[test]
    fn a_cost_lies_between_all_of_it_cheapest_and_all_of_it_dearest(
        input in 0..1_000_000_000_u64, read: Option<u32>, written: Option<u32>,
    ) {
        let part = |part: Option<u32>| part.map(u64::from);
        let cost = cost(&usage(input, part(read), part(written), 0), &price());
        let of = |rate: i64| i64::try_from(input).unwrap() * rate;
        prop_assert!(of(400) <= cost && cost <= of(5000));
    }

    #[test]
    fn a_models_name_may_be_any_text(model: String) {
        prop_assert!(PriceList::default().find(&model).is_none());
    }
}
