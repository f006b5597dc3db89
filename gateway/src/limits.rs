//! An account's share of the work and its own way to the vendor, as its owner sets them.
//!
//! It reads and checks what owners say, in `PATCH`, in the entries of `resource:add` and on the command line. It
//! never knows where that is kept or how accounts are chosen.

use crate::upstream::is_proxy;
use pollux_sdk::Secret;
use serde_json::{Map, Value};

/// The largest weight: ten to one is a rule, a hundred to one is a slip.
pub const MAX_WEIGHT: u32 = 100;
/// The largest number of requests at once that can be set.
const MAX_CONCURRENCY: u32 = 100_000;
/// Characters of a name.
const NAME: usize = 200;

/// As they hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Higher serves first.
    pub priority: i32,
    /// Its share among accounts of one priority.
    pub weight: u32,
    /// Requests at once; `None` is as many as come.
    pub max_concurrency: Option<u32>,
    /// Its own proxy, instead of the provider's; may hold a password.
    pub proxy: Option<Secret>,
}

impl Default for Limits {
    fn default() -> Self {
        Self { priority: 0, weight: 1, max_concurrency: None, proxy: None }
    }
}

/// A change: `None` leaves it as it is, `Some(None)` goes back to the usual.
pub type Change<T> = Option<Option<T>>;

/// What an owner wants changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Its name, instead of the vendor's for it.
    pub label: Change<String>,
    /// See [`Limits`].
    pub priority: Change<i32>,
    /// See [`Limits`].
    pub weight: Change<u32>,
    /// See [`Limits`].
    pub max_concurrency: Change<u32>,
    /// See [`Limits`].
    pub proxy: Change<Secret>,
}

/// Something an owner said that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key} is {expected}")]
pub struct Mistake {
    /// The key.
    pub key: &'static str,
    /// What may stand there.
    pub expected: String,
}

/// Keys that set an account's limits, wherever accounts are described.
pub const KEYS: [&str; 4] = ["priority", "weight", "max_concurrency", "proxy"];

impl Wanted {
    /// Takes what is about limits out of an account's description; the rest is the provider's.
    ///
    /// # Errors
    /// Names the key that is wrong.
    pub fn take(from: &mut Map<String, Value>) -> Result<Self, Mistake> {
        let mut take = |key: &'static str| KEYS.contains(&key).then(|| from.shift_remove(key)).flatten();
        Ok(Self {
            label: None,
            priority: take("priority").map(|value| priority(&value)).transpose()?,
            weight: take("weight").map(|value| whole("weight", &value, MAX_WEIGHT)).transpose()?,
            max_concurrency: take("max_concurrency")
                .map(|value| whole("max_concurrency", &value, MAX_CONCURRENCY))
                .transpose()?,
            proxy: take("proxy").map(|value| proxy(&value)).transpose()?,
        })
    }

    /// As [`Self::take`], and the name.
    ///
    /// # Errors
    /// Names the key that is wrong.
    pub fn take_all(from: &mut Map<String, Value>) -> Result<Self, Mistake> {
        let label = from.shift_remove("label").map(|value| name(&value)).transpose()?;
        Ok(Self { label, ..Self::take(from)? })
    }

    /// What holds once this is done.
    #[must_use]
    pub fn over(&self, limits: Limits) -> Limits {
        let usual = Limits::default();
        Limits {
            priority: self.priority.map_or(limits.priority, |wanted| wanted.unwrap_or(usual.priority)),
            weight: self.weight.map_or(limits.weight, |wanted| wanted.unwrap_or(usual.weight)),
            max_concurrency: self.max_concurrency.unwrap_or(limits.max_concurrency),
            proxy: self.proxy.clone().unwrap_or(limits.proxy),
        }
    }

    /// Whether nothing is to change.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

fn priority(value: &Value) -> Result<Option<i32>, Mistake> {
    if value.is_null() {
        return Ok(None);
    }
    let number = number(value).and_then(|number| i32::try_from(number).ok());
    number.map(Some).ok_or(Mistake { key: "priority", expected: "a whole number; higher goes first".into() })
}

fn whole(key: &'static str, value: &Value, most: u32) -> Result<Option<u32>, Mistake> {
    if value.is_null() {
        return Ok(None);
    }
    let number = number(value).and_then(|number| u32::try_from(number).ok());
    let number = number.filter(|number| (1..=most).contains(number));
    number.map(Some).ok_or(Mistake { key, expected: format!("a whole number from 1 to {most}") })
}

/// A whole number; JSON does not tell 2 from 2.0.
fn number(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| {
        let number = value.as_f64().filter(|number| number.fract() == 0.0 && number.abs() < 1e15)?;
        #[expect(clippy::cast_possible_truncation, reason = "it is whole and small")]
        Some(number as i64)
    })
}

fn proxy(value: &Value) -> Result<Option<Secret>, Mistake> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) if is_proxy(text) => Ok(Some(Secret::new(text))),
        // What stands there may hold a password, so it is not quoted.
        _ => Err(Mistake { key: "proxy", expected: "an http://, https:// or socks5:// address".into() }),
    }
}

fn name(value: &Value) -> Result<Option<String>, Mistake> {
    let fits =
        |text: &&str| (1..=NAME).contains(&text.chars().count()) && !text.chars().any(char::is_control);
    match value {
        Value::Null => Ok(None),
        Value::String(text) => match Some(text.as_str()).filter(fits) {
            Some(text) => Ok(Some(text.to_owned())),
            None => Err(Mistake { key: "label", expected: format!("a text of 1 to {NAME} characters") }),
        },
        _ => Err(Mistake { key: "label", expected: "a text".into() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn take(value: Value) -> Result<(Wanted, Value), Mistake> {
        let mut map = serde_json::from_value(value).unwrap();
        Wanted::take_all(&mut map).map(|wanted| (wanted, map.into()))
    }

    #[test]
    fn what_is_said_holds_and_what_is_not_said_stays() {
        let before =
            Limits { priority: 7, weight: 3, max_concurrency: Some(2), proxy: Some(Secret::new("p")) };
        assert_eq!(take(json!({})).unwrap().0.over(before.clone()), before);
        let all = json!({"label": "mine", "priority": -2.0, "weight": 9, "max_concurrency": 4,
            "proxy": "socks5://u:w@p:1", "refresh_token": "r"});
        let (wanted, rest) = take(all).unwrap();
        assert_eq!((wanted.label.clone(), rest), (Some(Some("mine".into())), json!({"refresh_token": "r"})));
        let proxy = Some(Secret::new("socks5://u:w@p:1"));
        assert_eq!(
            wanted.over(before.clone()),
            Limits { priority: -2, weight: 9, max_concurrency: Some(4), proxy }
        );
        let nulls =
            json!({"label": null, "priority": null, "weight": null, "max_concurrency": null, "proxy": null});
        let (wanted, _) = take(nulls).unwrap();
        assert_eq!((wanted.label.clone(), wanted.over(before)), (Some(None), Limits::default()));
    }

    #[test]
    fn a_mistake_names_its_key_and_quotes_no_password() {
        for (key, wrong) in [
            ("priority", json!("high")),
            ("priority", json!(1.5)),
            ("priority", json!(i64::MAX)),
            ("weight", json!(0)),
            ("weight", json!(101)),
            ("max_concurrency", json!(0)),
            ("max_concurrency", json!(-1)),
            ("max_concurrency", json!("many")),
            ("proxy", json!("ftp://u:hush@p")),
            ("proxy", json!("http://")),
            ("proxy", json!("")),
            ("proxy", json!(["http://p"])),
            ("label", json!("")),
            ("label", json!("a\nb")),
            ("label", json!(7)),
        ] {
            let mistake = take(json!({key: wrong})).unwrap_err();
            assert_eq!(mistake.key, key);
            assert!(!mistake.to_string().contains("hush"), "{mistake}");
        }
    }
}
