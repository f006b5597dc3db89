//! Good input gone bad, always in the same way: a failure can be repeated.

use bytes::Bytes;
use serde_json::{Value, json};

/// Longer samples are cut at so many places only.
const MOST_CUTS: usize = 2048;

/// `whole` up to each of its bytes.
pub(super) fn cuts(whole: &Bytes) -> impl Iterator<Item = Bytes> + '_ {
    let step = whole.len() / MOST_CUTS + 1;
    (0..whole.len()).step_by(step).map(|end| whole.slice(..end))
}

/// `value` with each of its leaves, and each of its objects and lists, become something else.
pub(super) fn variants(value: &Value) -> Vec<Value> {
    let mut paths = Vec::new();
    walk(value, String::new(), &mut paths);
    let odd = odd_values();
    let changed = |path: &String, odd: &Value| {
        let mut changed = value.clone();
        if let Some(place) = changed.pointer_mut(path) {
            *place = odd.clone();
        }
        changed
    };
    paths.iter().flat_map(|path| odd.iter().map(move |odd| changed(path, odd))).collect()
}

fn walk(value: &Value, path: String, paths: &mut Vec<String>) {
    let inner: Vec<(String, &Value)> = match value {
        Value::Object(members) => {
            members.iter().map(|(key, value)| (key.replace('~', "~0").replace('/', "~1"), value)).collect()
        }
        Value::Array(items) => items.iter().enumerate().map(|(at, item)| (at.to_string(), item)).collect(),
        _ => Vec::new(),
    };
    for (key, value) in inner {
        walk(value, format!("{path}/{key}"), paths);
    }
    paths.push(path);
}

fn odd_values() -> [Value; 11] {
    [
        Value::Null,
        json!(true),
        json!(-1),
        json!(0),
        json!(u64::MAX),
        json!(1e300),
        json!(""),
        json!("\u{0}\n \u{10ffff}"),
        json!("9".repeat(400)),
        json!([[]]),
        json!({"": {}}),
    ]
}

/// Texts that a header's value has been seen or feared to be.
pub(super) const ODD_TEXTS: [&str; 12] = [
    "",
    " ",
    "-1",
    "0",
    "1e400",
    "NaN",
    "inf",
    "99999999999999999999999999",
    "18446744073709551615",
    "9223372036854775807",
    "Wed, 21 Oct 2099 07:28:00 GMT",
    "a;b=\"c",
];

/// Bytes that are no answer and no request of anybody's.
pub(super) fn noise() -> Vec<Bytes> {
    let mut all: Vec<Bytes> =
        ["", " ", "null", "[]", "{}", "\"text\"", "12", "<html>", "{\"error\":", "[{", "\u{feff}{}"]
            .into_iter()
            .map(|text: &str| Bytes::copy_from_slice(text.as_bytes()))
            .collect();
    all.push(Bytes::from_static(b"\xff\xfe{\"a\":\"\xc3\"}"));
    all.push("[".repeat(20_000).into());
    all.push("{\"error\":".repeat(2_000).into());
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for length in 1..120_usize {
        all.push((0..length).map(|_| random(&mut state)).collect());
    }
    all
}

/// An object whose member `key` is nested far too deep.
pub(super) fn too_deep(key: &str) -> Bytes {
    let depth = 20_000;
    let key = Value::from(key);
    format!("{{{key}:{}{}}}", "[".repeat(depth), "]".repeat(depth)).into()
}

/// Half of it is what JSON is made of.
fn random(state: &mut u64) -> u8 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    let [first, second, ..] = state.to_le_bytes();
    let json = b"{}[]\":,\\0123456789.eE-+truefalsn \n";
    if first & 1 == 0 { json[usize::from(second) % json.len()] } else { second }
}
