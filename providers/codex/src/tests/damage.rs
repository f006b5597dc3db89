//! Whatever strangers send, cut at every byte: nothing panics, and no token is called lost or valid by mistake.

use super::*;

#[test]
fn error_bodies_cut_anywhere_still_get_a_verdict() {
    let (codex, call) = (provider(json!({})), call("/responses", "m", &[], "{}"));
    for row in samples()["failures"].as_array().unwrap() {
        let body = row["body"].to_string();
        for end in 0..body.len() {
            let cut = body.get(..end).unwrap_or_default().as_bytes();
            for cause in [Cause::Event, Cause::Status(StatusCode::BAD_REQUEST)] {
                let failure =
                    Failure { cause, headers: &HeaderMap::new(), body: cut, now: at(1_795_000_000) };
                assert_eq!(
                    codex.classify(&call, &failure).effect,
                    Effect::None,
                    "half a body proves nothing"
                );
            }
        }
    }
}

#[test]
fn events_cut_anywhere_are_read() {
    let codex = provider(json!({}));
    let call = call("/responses", "m", &[], r#"{"input":[]}"#);
    let mut reader = codex.prepare(&call, &Lease::new(&account(), false)).unwrap().reader;
    for row in samples()["answers"].as_array().unwrap() {
        for event in row["events"].as_array().unwrap() {
            let data = Bytes::from(event["data"].to_string());
            for end in 0..data.len() {
                reader.read(Event { name: "", data: &data.slice(..end) });
                reader.read(Event { name: event["name"].as_str().unwrap(), data: &data.slice(..end) });
            }
        }
    }
    assert_eq!(reader.finish().usage, None, "a cut answer has no bill");
}

#[test]
fn bodies_cut_anywhere_are_refused() {
    let codex = provider(json!({}));
    let text = r#"{"model":"m","input":[{"role":"system","content":"ä"}],"include":["x"],"reasoning":{"effort":"low"}}"#;
    for end in (0..text.len()).filter(|end| text.is_char_boundary(*end)) {
        for path in ["/responses", "/responses/compact"] {
            let call = call(path, "m", &[], &text[..end]);
            assert!(codex.prepare(&call, &Lease::new(&account(), false)).is_err(), "{}", &text[..end]);
        }
    }
}

#[test]
fn token_answers_cut_anywhere_are_of_unknown_outcome() {
    let codex = provider(json!({}));
    let answer = json!({"access_token": "a2", "refresh_token": "r2"}).to_string();
    for end in 0..answer.len() {
        let script = Script::new([(200, answer[..end].into())]);
        let outcome = wait(codex.obtain(&script, Grant::Refresh(&account())));
        assert!(matches!(outcome, Err(AccountError::Unsure(_))), "{}", &answer[..end]);
    }
}
