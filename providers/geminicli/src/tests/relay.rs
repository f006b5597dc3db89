//! The envelope on and off, signatures, headers, and deadlines no vendor should send.

use super::{call, credential, now, provider};
use pollux_sdk::{
    At, Bytes, Call, Cause, Credential, Effect, Emit, Event, Failure, HeaderMap, Lease, Next, Operation,
    Provider, Refusal, Scope, Shape, StatusCode,
};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};

fn sent(provider: &Arc<dyn Provider>, call: &Call) -> (String, String) {
    let attempt = provider.prepare(call, &Lease::new(&credential(), false)).unwrap();
    (attempt.request.url, String::from_utf8(attempt.request.body.to_vec()).unwrap())
}

#[test]
fn the_envelope_leaves_every_byte_inside_alone() {
    let provider = provider(json!({"api_url": "http://127.0.0.1:1/base/"}));
    let body = r#"{ "contents":[ {"parts":[{"text":"\u00e9 ",  "odd":1.50}]} ] , "unknown":{"x":[ 1 ]} }"#;
    for (shape, url) in [
        (Shape::Whole, "http://127.0.0.1:1/base/v1internal:generateContent"),
        (Shape::Events, "http://127.0.0.1:1/base/v1internal:streamGenerateContent?alt=sse"),
        (Shape::Array, "http://127.0.0.1:1/base/v1internal:streamGenerateContent?alt=sse"),
    ] {
        let expected = format!(r#"{{"model":"gemini-2.5-pro","project":"my-project","request":{body}}}"#);
        assert_eq!(sent(&provider, &call(Operation::Generate, shape, body)), (url.to_owned(), expected));
    }
}

#[test]
fn token_counts_take_code_assists_form() {
    let provider = provider(json!({}));
    for body in [
        r#"{"contents":[ {"parts":[]} ]}"#,
        r#"{"generateContentRequest":{"model":"models/other","contents":[ {"parts":[]} ]}}"#,
    ] {
        let (url, body) = sent(&provider, &call(Operation::CountTokens, Shape::Whole, body));
        assert_eq!(url, "https://cloudcode-pa.googleapis.com/v1internal:countTokens");
        assert_eq!(body, r#"{"request":{"contents":[ {"parts":[]} ],"model":"models/gemini-2.5-pro"}}"#);
    }
}

#[test]
fn only_the_vendors_own_client_names_itself() {
    let usual = provider(json!({}));
    let agent = |provider: &Arc<dyn Provider>, client: &'static str| {
        let mut call = call(Operation::Generate, Shape::Whole, "{}");
        call.headers.insert("user-agent", client.parse().unwrap());
        call.headers.insert("x-goog-api-client", "gl-node/20".parse().unwrap());
        let request = provider.prepare(&call, &Lease::new(&credential(), false)).unwrap().request;
        assert_eq!(request.headers["authorization"], "Bearer ya29.1");
        assert!(request.headers["authorization"].is_sensitive());
        assert_eq!(request.headers["x-goog-api-client"], "gl-node/20");
        assert_eq!(request.headers["content-type"], "application/json");
        request.headers.get("user-agent").map(|agent| agent.to_str().unwrap().to_owned())
    };
    assert_eq!(agent(&usual, "curl/8"), None, "the host's own follows");
    assert_eq!(agent(&usual, "GeminiCLI-tui/0.61.0/x").as_deref(), Some("GeminiCLI-tui/0.61.0/x"));
    assert_eq!(agent(&provider(json!({"user_agent": "mine/1"})), "GeminiCLI/1").as_deref(), Some("mine/1"));
}

#[test]
fn what_cannot_be_sent_is_refused() {
    let provider = provider(json!({}));
    let refusal = |call: &Call, credential: &Credential| {
        provider.prepare(call, &Lease::new(credential, false)).unwrap_err()
    };
    let good = call(Operation::Generate, Shape::Whole, "{}");
    assert!(matches!(
        refusal(&call(Operation::Generate, Shape::Whole, "[]"), &credential()),
        Refusal::Request(_)
    ));
    assert!(matches!(
        refusal(&call(Operation::Embed, Shape::Whole, "{}"), &credential()),
        Refusal::Request(_)
    ));
    let mut homeless = credential();
    homeless.extra.remove("project");
    assert!(
        matches!(refusal(&good, &homeless), Refusal::Credential(reason) if reason.code == "project_required")
    );
    let mut new = credential();
    new.access = None;
    assert!(matches!(refusal(&good, &new), Refusal::Credential(reason) if reason.code == "no_access_token"));
}

fn read(provider: &Arc<dyn Provider>, call: &Call, events: &[&str]) -> Vec<(At, Option<String>)> {
    let mut reader = provider.prepare(call, &Lease::new(&credential(), false)).unwrap().reader;
    let mut one = |event: &&str| {
        let step = reader.read(Event { name: "", data: &Bytes::from((*event).to_owned()) });
        let data = match step.emit {
            Emit::Data(data) => Some(String::from_utf8(data.to_vec()).unwrap()),
            Emit::Skip => None,
            Emit::Same => Some((*event).to_owned()),
        };
        (step.at, data)
    };
    events.iter().map(&mut one).collect()
}

#[test]
fn the_envelope_comes_off_and_unknown_members_stay() {
    let provider = provider(json!({}));
    let stream = call(Operation::Generate, Shape::Events, "{}");
    let inner =
        r#"{"candidates":[{"content":{"role":"model"},"odd":1.50}], "createTime":"x" ,"responseId":"r"}"#;
    let end = r#"{"candidates":[{"finishReason":"MAX_TOKENS","content":{}}],"responseId":"r"}"#;
    let late = r#"{"usageMetadata":{"totalTokenCount":3},"responseId":"r"}"#;
    let wrap = |inner: &str| format!(r#"{{"traceId":"t","response": {inner} ,"remainingCredits":[]}}"#);
    let events = [wrap(inner), r#"{"remainingCredits":[]}"#.into(), wrap(end), wrap(late)];
    assert_eq!(
        read(&provider, &stream, &events.each_ref().map(String::as_str)),
        [
            (At::Body, Some(inner.to_owned())),
            (At::Body, None),
            (At::End, Some(end.to_owned())),
            (At::End, Some(late.to_owned()))
        ]
    );
    let nameless = r#"{"response":{"candidates":[]},"traceId":"t\"1"}"#;
    assert_eq!(
        read(&provider, &stream, &[nameless]),
        [(At::Body, Some(r#"{"candidates":[],"responseId":"t\"1"}"#.to_owned()))]
    );
}

#[test]
fn words_inside_an_answer_do_not_end_it() {
    let provider = provider(json!({}));
    let chunk = r#"{"response":{"candidates":[{"content":{"parts":[{"text":"\"finishReason\":\"STOP\" \"blockReason\""},
        {"functionCall":{"name":"f","args":{"finishReason":"STOP","error":{}}}}]}}]}}"#;
    let stream = call(Operation::Generate, Shape::Events, "{}");
    assert_eq!(read(&provider, &stream, &[chunk])[0].0, At::Body);
}

#[test]
fn an_answer_cut_at_any_byte_never_ends() {
    let provider = provider(json!({}));
    let body = r#"{"response":{"candidates":[{"content":{"parts":[{"text":"a"}]},"finishReason":"STOP"}]},"traceId":"t"}"#;
    for shape in [Shape::Whole, Shape::Events] {
        let call = call(Operation::Generate, shape, "{}");
        for cut in 0..body.len() {
            assert_eq!(read(&provider, &call, &[&body[..cut]])[0], (At::Body, None), "{}", &body[..cut]);
        }
        assert_eq!(read(&provider, &call, &[body])[0].0, At::End);
    }
}

const TURN: &str = r#"{"role":"user","parts":[{"text":"list"}]}"#;

fn tool_call(model_turn: &str) -> Call {
    let body = format!(r#"{{"tools":[{{}}], "contents":[{TURN}, {model_turn} ],"x": 1}}"#);
    call(Operation::Generate, Shape::Events, &body)
}

/// What becomes of a model turn on its way up.
fn turn_sent(provider: &Arc<dyn Provider>, call: &Call) -> String {
    let (_, body) = sent(provider, call);
    let start = format!(
        r#"{{"model":"{}","project":"my-project","request":{{"tools":[{{}}], "contents":[{TURN}, "#,
        call.model
    );
    body.strip_prefix(&start).unwrap().strip_suffix(r#" ],"x": 1}}"#).unwrap().to_owned()
}

#[test]
fn a_lost_signature_becomes_the_one_seen_or_the_documented_placeholder() {
    let provider = provider(json!({}));
    let first =
        call(Operation::Generate, Shape::Events, &format!(r#"{{"tools":[{{}}],"contents":[{TURN}]}}"#));
    let answer = r#"{"response":{"candidates":[{"content":{"parts":[
        {"functionCall":{"name":"ls","args":{"a":1,"b":{"c":2}}},"thoughtSignature":"c2ln"},
        {"functionCall":{"name":"ls","args":{}}}]}}]}}"#;
    read(&provider, &first, &[answer]);

    let again = r#"{"role":"model","parts":[{"text":"so"},{"functionCall": {"id":"1","args":{"b":{"c":2},"a":1},"name":"ls"}},{"functionCall":{"name":"ls","args":{}}}]}"#;
    let signed = r#"{"role":"model","parts":[{"text":"so"},{"functionCall":{"id":"1","args":{"b":{"c":2},"a":1},"name":"ls"},"thoughtSignature":"c2ln"},{"functionCall":{"name":"ls","args":{}}}]}"#;
    assert_eq!(turn_sent(&provider, &tool_call(again)), signed);

    let placed = signed.replace("c2ln", "skip_thought_signature_validator");
    let other_call = again.replace("\"a\":1", "\"a\":2");
    assert_eq!(turn_sent(&provider, &tool_call(&other_call)), placed.replace("\"a\":1", "\"a\":2"));
    let mut other_model = tool_call(again);
    other_model.model = "gemini-3-pro-preview".into();
    assert_eq!(turn_sent(&provider, &other_model), placed);
    let other_conversation =
        String::from_utf8(tool_call(again).body.bytes().to_vec()).unwrap().replace("list", "cat");
    let (_, body) = sent(&provider, &call(Operation::Generate, Shape::Events, &other_conversation));
    assert!(body.contains("skip_thought_signature_validator"), "{body}");
}

#[test]
fn signatures_too_long_to_keep_are_not_kept_and_many_do_not_pile_up() {
    let provider = provider(json!({}));
    let learn = |name: &str, signature: &str| {
        let first = format!(r#"{{"tools":[{{}}],"contents":[{TURN}]}}"#);
        let part = json!({"functionCall": {"name": name}, "thoughtSignature": signature});
        let answer = json!({"response": {"candidates": [{"content": {"parts": [part]}}]}}).to_string();
        read(&provider, &call(Operation::Generate, Shape::Events, &first), &[&answer]);
    };
    let is_known = |name: &str| {
        let turn = format!(r#"{{"parts":[{{"functionCall":{{"name":"{name}"}}}}]}}"#);
        !turn_sent(&provider, &tool_call(&turn)).contains("skip_thought_signature_validator")
    };
    learn("long", &"x".repeat(17 << 10));
    learn("empty", "");
    learn("short", "x");
    assert_eq!(["long", "empty", "short"].map(is_known), [false, false, true]);
    (0..4096).for_each(|index| learn(&format!("f{index}"), "x"));
    assert_eq!(["short", "f0", "f4095"].map(is_known), [false, true, true]);
}

#[test]
fn the_clients_own_signatures_stay() {
    let provider = provider(json!({}));
    for turn in [
        r#"{"role":"model","parts":[{"functionCall":{"name":"ls"}, "thoughtSignature":"own"}, {"functionCall":{}}]}"#,
        r#"{"role":"model","parts":[{"function_call":{"name":"ls"}, "thought_signature":"own"}]}"#,
        r#"{"role":"model","parts":[{"text":"functionCall\": no call"}]}"#,
        r#"{"role":"model"}"#,
    ] {
        assert_eq!(turn_sent(&provider, &tool_call(turn)), turn);
    }
    let snake = r#"{"role":"model","parts":[{"function_call":{"name":"ls"},"thought_signature":""}]}"#;
    let signed = r#"{"role":"model","parts":[{"function_call":{"name":"ls"},"thoughtSignature":"skip_thought_signature_validator"}]}"#;
    assert_eq!(turn_sent(&provider, &tool_call(snake)), signed);
}

#[test]
fn bodies_of_the_wrong_shape_go_up_as_they_are() {
    let provider = provider(json!({}));
    for body in [
        r#"{"contents":"functionCall\"","tools":1}"#,
        r#"{"contents":[1,{"parts":[{"functionCall":1}]}],"tools":[]}"#,
        r#"{"contents":{"parts":[{"functionCall":{"name":"f"}}]},"tools":[]}"#,
        r#"{"contents":[,"functionCall":],"tools":[]}"#,
    ] {
        let (_, sent) = sent(&provider, &call(Operation::Generate, Shape::Whole, body));
        assert!(sent.ends_with(&format!("{body}}}")), "{sent}");
    }
}

#[test]
fn absurd_deadlines_are_no_deadlines() {
    let provider = provider(json!({}));
    let call = call(Operation::Generate, Shape::Whole, "{}");
    let long = "9".repeat(400);
    let spans =
        ["-5s", "NaN", "inf", "1e300s", "0s", "", "s", "h", "1y", "5..5s", "é", "400d", "9601h", &long];
    for span in spans.iter().flat_map(|span| [(*span).to_owned(), format!("{span}s"), format!("1h{span}")]) {
        let details = json!([{"reason": "QUOTA_EXHAUSTED", "metadata": {"quotaResetDelay": span}}, {"retryDelay": span}]);
        judge(
            &provider,
            &call,
            &json!({"error": {"message": format!("Resets in {span}"), "details": details}}),
        );
    }
    for time in ["9999-12-31T23:59:59Z", "0000-01-01T00:00:00Z", "-1", "soon", "2026-13-01T00:00:00Z"] {
        let details = json!([{"reason": "QUOTA_EXHAUSTED", "metadata": {"quotaResetTimeStamp": time}}]);
        let verdict = judge(&provider, &call, &json!({"error": {"details": details}}));
        assert_eq!(verdict, Effect::Cool(Scope::Model, now() + Duration::from_mins(10)), "{time}");
    }
    for body in [json!({"error": "x"}), json!({"error": {"details": 1}}), json!([]), json!([[]]), json!(1)] {
        let verdict = judge(&provider, &call, &body);
        assert_eq!(verdict, Effect::Cool(Scope::Model, now() + Duration::from_mins(1)), "{body}");
    }
}

fn judge(provider: &Arc<dyn Provider>, call: &Call, body: &Value) -> Effect {
    let (headers, body) = (HeaderMap::new(), body.to_string());
    let cause = Cause::Status(StatusCode::TOO_MANY_REQUESTS);
    let failure = Failure { cause, headers: &headers, body: body.as_bytes(), now: now() };
    let verdict = provider.classify(call, &failure);
    assert_eq!(verdict.next, Next::Rotate);
    let Effect::Cool(_, until) = &verdict.effect else { panic!("{verdict:?}") };
    assert!(*until > now() && *until <= now() + Duration::from_hours(9600), "{body}");
    verdict.effect
}

#[test]
fn a_suspension_carries_the_owners_link() {
    let provider = provider(json!({}));
    let call = call(Operation::Generate, Shape::Whole, "{}");
    let link = |details: Value| {
        let body = json!({"error": {"code": 403, "message": "m", "details": details}}).to_string();
        let (headers, cause) = (HeaderMap::new(), Cause::Status(StatusCode::FORBIDDEN));
        let failure = Failure { cause, headers: &headers, body: body.as_bytes(), now: now() };
        let Effect::Suspend(reason) = provider.classify(&call, &failure).effect else { panic!("{body}") };
        reason.link
    };
    let info = |key: &str, url: &str| json!({"reason": "VALIDATION_REQUIRED", "metadata": {key: url}});
    let help = json!({"links": [{"url": "https://a.b/help"}, {"url": "https://a.b/more"}]});
    assert_eq!(
        link(json!([info("validation_url", "https://a.b/1"), help])).as_deref(),
        Some("https://a.b/help")
    );
    for key in ["validation_url", "validation_link", "activationUrl"] {
        assert_eq!(link(json!([info(key, "https://a.b/1")])).as_deref(), Some("https://a.b/1"), "{key}");
    }
    assert_eq!(link(json!([info("validation_url", "javascript:alert(1)")])), None);
}
