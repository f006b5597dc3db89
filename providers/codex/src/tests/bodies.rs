//! Goldens: `fixtures/bodies/NAME.in.json` is what a client sends, `NAME.out.json` what upstream gets, byte for byte.
//! A name that starts with `compact` came by the compact route, one that starts with `lite` with the Lite header.

use super::*;
use pollux_sdk::Refusal;
use std::{fs, path::Path};

fn prepared(
    path: &'static str,
    model: &str,
    of: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Result<Bytes, Refusal> {
    let call = call(path, model, of, body);
    Ok(provider(json!({})).prepare(&call, &Lease::new(&account(), false))?.request.body)
}

#[test]
fn bodies_become_what_the_goldens_show() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/bodies");
    let mut seen = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let Some(name) = name.strip_suffix(".in.json") else { continue };
        let read = |kind: &str| fs::read_to_string(folder.join(format!("{name}.{kind}.json"))).unwrap();
        let path = if name.starts_with("compact") { "/responses/compact" } else { "/responses" };
        let lite = [("x-openai-internal-codex-responses-lite", "true")];
        let of = if name.starts_with("lite") { &lite[..] } else { &[] };
        let body = prepared(path, "gpt-5.5", of, read("in").trim_end().to_owned()).unwrap();
        assert_eq!(std::str::from_utf8(&body).unwrap(), read("out").trim_end(), "{name}");
        serde_json::from_slice::<Value>(&body).unwrap();
        seen += 1;
    }
    assert!(seen >= 12, "{seen} goldens");
}

#[test]
fn a_body_that_needs_no_change_is_not_copied() {
    let text = r#"{"model":"gpt-5.5","instructions":"x","input":[{"role":"user","content":"system"}],"stream":true,"store":false}"#;
    let call = call("/responses", "gpt-5.5", &[], text);
    let attempt = provider(json!({})).prepare(&call, &Lease::new(&account(), false)).unwrap();
    assert_eq!(attempt.request.body.as_ptr(), call.body.bytes().as_ptr());
}

#[test]
fn what_cannot_be_served_is_refused_by_name() {
    for (body, word) in [
        ("[]", "JSON object"),
        ("", "JSON object"),
        (r#"{"input":5}"#, "`input`"),
        (r#"{"input":{"role":"user"}}"#, "`input`"),
        (r#"{"input":[{"role":"system"]}"#, "JSON object"),
        (r#"{"input":[{"role":"system","x":nil}]}"#, "`input`"),
        (r#"{"input":[],"previous_response_id":"resp_1"}"#, "`previous_response_id`"),
    ] {
        match prepared("/responses", "m", &[], body) {
            Err(Refusal::Request(text)) => assert!(text.contains(word), "{body}: {text}"),
            other => panic!("{body}: {other:?}"),
        }
    }
    let mut socket = call("/responses", "m", &[], r#"{"input":[]}"#);
    socket.shape = Shape::Socket;
    let refused = provider(json!({})).prepare(&socket, &Lease::new(&account(), false)).unwrap_err();
    assert!(matches!(refused, Refusal::Request(_)));
}

#[test]
fn a_renamed_model_is_written_into_the_body() {
    let body =
        prepared("/responses", "gpt-5.5", &[], r#"{"model":"alias","input":[],"instructions":"x"}"#).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&body).unwrap()["model"], "gpt-5.5");
}
