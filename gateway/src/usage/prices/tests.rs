use super::*;
use crate::usage::cost::cost;
use pollux_sdk::Usage;

#[test]
fn every_compiled_price_names_its_source_and_date_and_no_model_has_two() {
    let list: List = toml::from_str(PRICES).unwrap();
    let mut seen = std::collections::BTreeSet::new();
    for entry in &list.prices {
        let about = &entry.models;
        assert!(entry.source.as_ref().is_some_and(|source| source.starts_with("https://")), "{about:?}");
        let date = entry.date.as_deref().unwrap_or_default();
        assert!(date.len() == 10 && date.starts_with("20"), "{about:?} {date}");
        assert!(about.iter().all(|model| seen.insert(model.clone())), "{about:?} stands there twice");
        let cheaper = entry.cache_read.is_none_or(|read| read <= entry.input);
        assert!(cheaper && entry.output >= entry.input, "{about:?}");
    }
}

#[test]
fn every_model_of_the_defaults_that_has_a_list_price_is_found() {
    let (prices, subscriptions) = compiled();
    for model in ["gpt-5.5", "gpt-5.2-codex", "gemini-2.5-pro", "gemini-2.5-flash"] {
        assert!(prices.find(model).is_some(), "{model}");
    }
    assert!(prices.find("gpt-5.5-unheard-of").is_none());
    assert_eq!(subscriptions.monthly("codex", "Plus"), Some(20.0));
}

#[test]
fn the_owners_file_wins_over_what_is_compiled_in() {
    let (mut prices, mut subscriptions) = compiled();
    let text = "[[prices]]\nmodels = [\"gpt-5.5\", \"mine\"]\ninput = 2\noutput = 3\n[subscriptions.codex]\nplus = 7.5";
    read(text, &mut prices, &mut subscriptions).unwrap();
    let usage = Usage { input: 1_000_000, output: 1_000_000, ..Usage::default() };
    for model in ["gpt-5.5", "mine"] {
        assert_eq!(cost(&usage, prices.find(model).unwrap()), 5_000_000_000, "{model}");
    }
    assert_eq!(subscriptions.monthly("codex", "plus"), Some(7.5));
    assert!(prices.find("gemini-2.5-pro").is_some());
}

#[test]
fn a_file_that_is_wrong_says_where() {
    for (text, words) in [
        ("[[prices]]\nmodels = [\"a\"]\ninput = 1\n", "output"),
        ("[[prices]]\nmodels = [\"a\"]\ninput = 1\noutput = 2\nprice = 3\n", "line 5"),
        ("[[prices]]\nmodels = []\ninput = 1\noutput = 2\n", "entry 1: `models`"),
        ("[[prices]]\nmodels = [\"a\"]\ninput = -1\noutput = 2\n", "`input`"),
        ("[[prices]]\nmodels = [\"a\"]\ninput = nan\noutput = 2\n", "`input`"),
        ("[subscriptions.codex]\nplus = -3\n", "subscriptions.codex.plus"),
        ("prices = 3", "line 1"),
    ] {
        let error = read(text, &mut PriceList::default(), &mut Subscriptions::default()).unwrap_err();
        assert!(error.contains(words), "{text}: {error}");
    }
}
