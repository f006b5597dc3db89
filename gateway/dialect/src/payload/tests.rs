use super::*;
use proptest::prelude::*;
use serde_json::{Map, Value};

#[test]
fn sets_and_removes_without_touching_the_rest() {
    let body = Payload::new(Bytes::from_static(br#"{"a": 1.50 ,"odd":{"x":[ 1 ]},"stream":false}"#));
    assert_eq!(
        &body.with(&[("stream", Some(b"true")), ("a", None)])[..],
        br#"{"odd":{"x":[ 1 ]},"stream":true}"#
    );
    assert_eq!(body.raw("odd").unwrap(), &br#"{"x":[ 1 ]}"#[..]);
    let same = body.with(&[("stream", Some(b"false"))]);
    assert_eq!(same.as_ptr(), body.bytes().as_ptr(), "an unchanged body is not copied");
    assert!(!Payload::new(Bytes::from_static(b"[1]")).is_object());
    let sly = Payload::new(Bytes::from_static(br#"{"model":"a","mod\u0065l":"b"}"#));
    assert_eq!(sly.text("model").unwrap(), "b", "what upstream would read");
}
#[test]
fn agrees_with_a_real_parser_on_what_an_object_is() {
    let good = [r"{}", r#" { "a" : [ { "b" : "]}\"" } , 1.5e3 ] , "c" : null } "#, r#"{"a":"\\","b":-1}"#];
    let bad = ["", "{", r#"{"a"}"#, r#"{"a":1"#, r#"{"a":1,}"#, r#"{"a":"x"#, r#"{"a":1}x"#, "{\"a\":\"\\"];
    for text in good {
        let body = Payload::new(Bytes::from(text));
        for (key, value) in serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(text).unwrap()
        {
            assert_eq!(serde_json::from_slice::<serde_json::Value>(&body.raw(&key).unwrap()).unwrap(), value);
        }
    }
    for text in bad {
        assert!(!Payload::new(Bytes::from(text)).is_object(), "{text}");
    }
}

#[test]
fn looks_inside_without_copying() {
    let body = Payload::new(Bytes::from_static(
        br#"{"request":{"session_id":"s","n":[1, {"a":[2]} ,"]"]},"k\u0065y":1}"#,
    ));
    let inner = body.child("request").unwrap();
    assert_eq!(inner.text("session_id").unwrap(), "s");
    let found = elements(&inner.raw("n").unwrap()).unwrap();
    assert_eq!(found, [&b"1"[..], br#"{"a":[2]}"#, br#""]""#]);
    assert!(body.bytes().as_ptr_range().contains(&found[1].as_ptr()));
    assert_eq!(body.keys().collect::<Vec<_>>(), ["request", "key"]);
}

#[test]
fn elements_are_those_of_arrays_alone() {
    let read = |text: &str| elements(&Bytes::copy_from_slice(text.as_bytes())).map(|list| list.len());
    assert_eq!(
        [read("[]"), read(" [ ] "), read("[1]"), read("[[],[ ]]")],
        [Some(0), Some(0), Some(1), Some(2)]
    );
    for text in ["", "[", "]", "{}", "[1", "[1,]", "[,]", "[1]x", "[1 2]", "null"] {
        assert_eq!(read(text), None, "{text}");
    }
}

/// Keys that collide, need escapes, or are written with escapes they do not need.
fn key() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec!["model", "a", "", "q\"uote", "back\\slash", "ü", "tab\t"])
            .prop_map(str::to_owned),
        "[a-c]{1,2}",
    ]
}

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-1000i32..1000).prop_map(|number| Value::from(f64::from(number) / 8.0)),
        "[ -~üß\"\\\\\n{}\\[\\],:]{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((key(), inner), 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// A key as JSON, every character escaped by number if so wished.
fn written(key: &str, escaped: bool) -> String {
    if !escaped {
        return Value::from(key).to_string();
    }
    let units: Vec<String> = key.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
    format!("\"{}\"", units.concat())
}

/// An object with duplicate keys, escaped keys and odd spaces; and the same in the eyes of a real parser.
fn object() -> impl Strategy<Value = (String, Map<String, Value>)> {
    let member = (key(), any::<bool>(), "[ \n\t\r]{0,2}", json());
    prop::collection::vec(member, 0..7).prop_map(|members| {
        let told: Vec<String> = members
            .iter()
            .map(|(key, escaped, space, value)| {
                format!("{space}{}{space}:{space}{value}{space}", written(key, *escaped))
            })
            .collect();
        let text = format!(" {{{}}} ", told.join(","));
        let parsed = serde_json::from_str(&text).unwrap();
        (text, parsed)
    })
}

proptest! {
    #[test]
    fn reads_every_member_as_a_real_parser_does((text, parsed) in object()) {
        let body = Payload::new(Bytes::from(text));
        prop_assert!(body.is_object());
        for (key, value) in &parsed {
            prop_assert_eq!(&serde_json::from_slice::<Value>(&body.raw(key).unwrap()).unwrap(), value);
            let text = body.text(key);
            prop_assert_eq!(text.as_deref(), value.as_str());
            prop_assert_eq!(body.is_true(key), value == &Value::Bool(true));
            prop_assert_eq!(&body.value(key), value);
            if let Value::Array(list) = value {
                let found = elements(&body.raw(key).unwrap()).unwrap();
                let found: Vec<Value> = found.iter().map(|raw| serde_json::from_slice(raw).unwrap()).collect();
                prop_assert_eq!(&found, list);
            }
        }
        prop_assert!(body.raw("absent").is_none());
    }

    #[test]
    fn changes_what_a_real_parser_would_change_and_keeps_the_bytes_of_the_rest(
        (text, mut parsed) in object(),
        changes in prop::collection::btree_map(key(), prop::option::of(json()), 0..4),
    ) {
        let body = Payload::new(Bytes::from(text));
        let raw: Vec<(&str, Option<String>)> =
            changes.iter().map(|(key, value)| (&**key, value.as_ref().map(Value::to_string))).collect();
        let asked: Vec<(&str, Option<&[u8]>)> =
            raw.iter().map(|(key, value)| (*key, value.as_ref().map(String::as_bytes))).collect();
        let changed = Payload::new(body.with(&asked));
        for (key, value) in &changes {
            match value {
                Some(value) => parsed.insert(key.clone(), value.clone()),
                None => parsed.remove(key),
            };
        }
        prop_assert_eq!(&serde_json::from_slice::<Map<String, Value>>(changed.bytes()).unwrap(), &parsed);
        for key in parsed.keys().filter(|key| !changes.contains_key(*key)) {
            prop_assert_eq!(changed.raw(key), body.raw(key));
        }
    }

    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        survive(&bytes);
    }

    #[test]
    fn any_damage_to_json_is_survived(bytes in prop::collection::vec(prop::sample::select(b"{}[]\",:\\ ua0".to_vec()), 0..30)) {
        survive(&bytes);
    }
}

/// Nothing panics; and what a real parser takes for an object or a list is one here.
fn survive(bytes: &[u8]) {
    let body = Payload::new(Bytes::copy_from_slice(bytes));
    let keys: Vec<String> = body.keys().map(Into::into).collect();
    for key in keys.iter().map(String::as_str).chain(["a"]) {
        let _ = (body.text(key), body.raw(key), body.child(key).map(|child| child.is_object()));
        let _ = body.with(&[(key, Some(b"1")), ("b", None)]);
    }
    let listed = elements(body.bytes());
    match serde_json::from_slice::<Value>(bytes) {
        Ok(Value::Object(_)) => assert!(body.is_object()),
        Ok(Value::Array(list)) => assert_eq!(listed.unwrap().len(), list.len()),
        Ok(_) => assert!(!body.is_object() && listed.is_none()),
        Err(_) => {}
    }
}
