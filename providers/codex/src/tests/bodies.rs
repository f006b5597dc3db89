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
    for frame in [r#"{"type":"response.create","input":5}"#, "[]"] {
        let frame = on_socket(call("/responses", "m", &[], frame));
        let refused = provider(json!({})).frame(&frame, &Lease::new(&account(), false)).unwrap_err();
        assert!(matches!(refused, Refusal::Request(_)));
    }
}

#[test]
fn a_renamed_model_is_written_into_the_body() {
    let body =
        prepared("/responses", "gpt-5.5", &[], r#"{"model":"alias","input":[],"instructions":"x"}"#).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&body).unwrap()["model"], "gpt-5.5");
}

fn framed(body: &'static str, moved: bool) -> String {
    let call = on_socket(call("/responses", "gpt-5.5", &[], body));
    let frame = provider(json!({})).frame(&call, &Lease::new(&account(), moved)).unwrap();
    String::from_utf8(frame.to_vec()).unwrap()
}

#[test]
fn a_frame_of_the_vendors_own_client_goes_on_as_it_came() {
    let frame = r#"{"type":"response.create","model":"gpt-5.5","stream":true,"store":false,"instructions":"x", "previous_response_id":"resp_1","generate":false,"input":[],"of_no_vendor":1.50}"#;
    assert_eq!(framed(frame, false), frame);
    let lite = r#"{"type":"response.create","model":"gpt-5.5","stream":true,"store":false,"input":[],"client_metadata":{"ws_request_header_x_openai_internal_codex_responses_lite":"true"}}"#;
    assert_eq!(framed(lite, false), lite, "no instructions where they are in the input");
}

#[test]
fn a_frame_of_any_client_is_made_what_upstream_accepts() {
    let sent: Value = serde_json::from_str(&framed(
        r#"{"type":"response.create","model":"gpt-5.5","input":"Hi","temperature":1,"previous_response_id":"resp_1"}"#,
        false,
    ))
    .unwrap();
    assert_eq!(
        (&sent["store"], &sent["stream"], sent.get("temperature")),
        (&json!(false), &json!(true), None)
    );
    assert_eq!(
        (&sent["input"][0]["role"], &sent["previous_response_id"]),
        (&json!("user"), &json!("resp_1"))
    );
    assert!(sent["instructions"].is_string());
}

#[test]
fn a_frame_on_another_account_loses_its_turn_state_only() {
    let frame = r#"{"type":"response.create","model":"gpt-5.5","stream":true,"store":false,"instructions":"x","input":[],"client_metadata":{"x-codex-turn-state":"t","x-codex-window-id":"w"}}"#;
    assert_eq!(framed(frame, false), frame);
    let moved: Value = serde_json::from_str(&framed(frame, true)).unwrap();
    assert_eq!(moved["client_metadata"], json!({"x-codex-window-id": "w"}));
}
