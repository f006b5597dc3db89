use super::*;
use crate::{Shape, endpoints};
use bytes::Bytes;
use http::HeaderValue;

fn facts(dialect: Dialect, path: &str, query: &str, headers: &[(&'static str, &str)], body: &str) -> Facts {
    let routes = endpoints(dialect);
    let endpoint = routes.iter().find(|route| route.path.ends_with(path) && route.method == "POST").unwrap();
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.insert(*name, HeaderValue::from_str(value).unwrap());
    }
    let body = Payload::new(Bytes::copy_from_slice(body.as_bytes()));
    let model = endpoint.path.contains("{model}").then_some("in-the-path");
    Inbound { endpoint, model, query, headers: &map, body: &body }.facts()
}

fn session(headers: &[(&'static str, &str)], body: &str) -> Option<String> {
    facts(Dialect::Responses, "/responses", "", headers, body).session
}

#[test]
fn gemini_streams_are_events_unless_an_array_is_asked_for() {
    let shape = |path, query| facts(Dialect::Gemini, path, query, &[], "{}").shape.unwrap();
    for query in ["", "alt=sse", "alt=", "key=alt%3Djson", "xalt=json", "alt=json&alt=sse"] {
        assert_eq!(shape(":streamGenerateContent", query), Shape::Events, "{query}");
    }
    for query in ["alt=json", "a=b&alt=json", "alt=sse&alt=json"] {
        assert_eq!(shape(":streamGenerateContent", query), Shape::Array, "{query}");
    }
    assert_eq!(shape(":generateContent", "alt=json"), Shape::Whole);
    assert_eq!(shape(":countTokens", "alt=sse"), Shape::Whole);
}

#[test]
fn elsewhere_the_body_decides_the_shape_and_names_the_model() {
    let read = |body| facts(Dialect::Chat, "/chat/completions", "alt=json", &[], body);
    assert_eq!(read(r#"{"model":"m","stream":true}"#).shape, Some(Shape::Events));
    assert_eq!(read(r#"{"model":"m","stream":false}"#).shape, Some(Shape::Whole));
    assert_eq!(read(r#"{"model":"m"}"#).model.as_deref(), Some("m"));
    assert_eq!(read("not json").model, None);
    let gemini = facts(Dialect::Gemini, ":generateContent", "", &[], r#"{"model":"in-the-body"}"#);
    assert_eq!(gemini.model.as_deref(), Some("in-the-path"));
}

#[test]
fn the_first_known_name_of_a_session_wins() {
    let body = r#"{"prompt_cache_key":"cache","metadata":{"user_id":"user"}}"#;
    let headers = [
        ("session-id", "1"),
        ("session_id", "2"),
        ("thread-id", "3"),
        ("conversation_id", "4"),
        ("x-claude-code-session-id", "5"),
    ];
    for from in 0..headers.len() {
        assert_eq!(session(&headers[from..], body).as_deref(), Some(headers[from].1));
    }
    assert_eq!(session(&[], body).as_deref(), Some("cache"));
    for member in ["conversation_id", "session_id"] {
        let named = format!(r#"{{"{member}":"named",{}"#, &body[1..]);
        assert_eq!(session(&[], &named).as_deref(), Some("named"), "{member}");
    }
    assert_eq!(session(&[], r#"{"metadata":{"user_id":"user"}}"#).as_deref(), Some("user"));
    assert_eq!(session(&[], r#"{"metadata":"user"}"#), None);
}

#[test]
fn a_code_assist_envelope_names_its_session_inside() {
    let body = r#"{"model":"m","request":{"session_id":"inner"}}"#;
    let read = |dialect, path| facts(dialect, path, "", &[], body).session;
    assert_eq!(read(Dialect::Gemini, ":generateContent").as_deref(), Some("inner"));
    assert_eq!(read(Dialect::Responses, "/responses"), None);
}

#[test]
fn an_empty_or_endless_session_is_passed_over() {
    let long = "x".repeat(257);
    assert_eq!(
        session(&[("session-id", &long), ("session_id", ""), ("thread-id", "t")], "{}").as_deref(),
        Some("t")
    );
    assert_eq!(session(&[("session-id", &long[1..])], "{}").map(|id| id.len()), Some(256));
    assert_eq!(session(&[], &format!(r#"{{"prompt_cache_key":"{long}"}}"#)), None);
    let follows = |id: &str| {
        facts(Dialect::Responses, "/responses", "", &[], &format!(r#"{{"previous_response_id":"{id}"}}"#))
            .follows
    };
    assert_eq!((follows("resp_1").as_deref(), follows(&long)), (Some("resp_1"), None));
}
