use super::*;
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
