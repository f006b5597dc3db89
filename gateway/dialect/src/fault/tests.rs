use super::*;
use std::time::{SystemTime, UNIX_EPOCH};

mod retold;
mod status;

const ALL: [Dialect; 4] = [Dialect::Responses, Dialect::Chat, Dialect::Messages, Dialect::Gemini];

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_795_000_000)
}

fn cooling(seconds: u64) -> Fault {
    Fault::cooling(now() + Duration::from_secs(seconds), now())
}

fn text(bytes: &Bytes) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn read(bytes: &Bytes) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

/// The JSON of a framed event, after a look at the frame.
fn framed(event: &Bytes, name: &str) -> Value {
    let head = if name.is_empty() { "data: ".to_owned() } else { format!("event: {name}\ndata: ") };
    let data = text(event).strip_prefix(&head).and_then(|rest| rest.strip_suffix("\n\n"));
    serde_json::from_str(data.unwrap_or_else(|| panic!("{event:?}"))).unwrap()
}

#[test]
fn each_failure_has_the_words_of_each_dialect() {
    let models = ["m-1", "m-2"];
    let unknown = |dialect| Fault::unknown_model(dialect, "x", &models);
    #[rustfmt::skip]
    let table: [(Fault, u16, &str, &str, &str, &str); 17] = [
        (Fault::unauthorized(), 401, "invalid_request_error", "invalid_api_key", "authentication_error", "UNAUTHENTICATED"),
        (unknown(Dialect::Gemini), 404, "invalid_request_error", "model_not_found", "not_found_error", "NOT_FOUND"),
        (unknown(Dialect::Responses), 400, "invalid_request_error", "model_not_found", "invalid_request_error", "INVALID_ARGUMENT"),
        (Fault::unsupported("embedContent"), 501, "server_error", "unsupported_operation", "api_error", "UNIMPLEMENTED"),
        (Fault::not_found("fly"), 404, "invalid_request_error", "unknown_url", "not_found_error", "NOT_FOUND"),
        (Fault::method_not_allowed("GET", "/x"), 405, "invalid_request_error", "method_not_allowed", "invalid_request_error", "UNIMPLEMENTED"),
        (Fault::bad_request(Some("input"), "no list"), 400, "invalid_request_error", "invalid_request", "invalid_request_error", "INVALID_ARGUMENT"),
        (Fault::too_large(9), 413, "invalid_request_error", "request_too_large", "request_too_large", "INVALID_ARGUMENT"),
        (Fault::unsupported_encoding("br"), 415, "invalid_request_error", "unsupported_encoding", "invalid_request_error", "INVALID_ARGUMENT"),
        (Fault::upgrade_required(), 426, "invalid_request_error", "upgrade_required", "invalid_request_error", "INVALID_ARGUMENT"),
        (Fault::no_credential(), 503, "server_error", "no_available_credential", "api_error", "UNAVAILABLE"),
        (cooling(30), 429, "rate_limit_error", "rate_limit_exceeded", "rate_limit_error", "RESOURCE_EXHAUSTED"),
        (Fault::busy(), 429, "rate_limit_error", "rate_limit_exceeded", "rate_limit_error", "RESOURCE_EXHAUSTED"),
        (Fault::upstream("vendor", "refused our login"), 502, "server_error", "upstream_error", "api_error", "UNAVAILABLE"),
        (Fault::timeout("vendor"), 504, "server_error", "upstream_timeout", "timeout_error", "DEADLINE_EXCEEDED"),
        (Fault::internal(), 500, "server_error", "internal_error", "api_error", "INTERNAL"),
        (Fault::shutting_down(), 503, "server_error", "shutting_down", "api_error", "UNAVAILABLE"),
    ];
    for (fault, status, kind, code, anthropic, google) in table {
        assert_eq!(fault.status, status, "{fault:?}");
        for dialect in [Dialect::Responses, Dialect::Chat] {
            let error = &read(&fault.body(dialect))["error"];
            assert_eq!((&error["type"], &error["code"]), (&kind.into(), &code.into()), "{fault:?}");
            assert_eq!(error["message"], *fault.message);
            assert_eq!(error["param"], json!(fault.param));
        }
        let messages = read(&fault.body(Dialect::Messages));
        assert_eq!(messages["type"], "error");
        assert_eq!(messages["error"], json!({"type": anthropic, "message": fault.message}));
        let gemini = &read(&fault.body(Dialect::Gemini))["error"];
        assert_eq!((&gemini["code"], &gemini["status"]), (&status.into(), &google.into()), "{fault:?}");
        assert_eq!(gemini["message"], *fault.message);
    }
}

#[test]
fn a_plain_fault_is_told_byte_for_byte() {
    let fault = Fault::bad_request(Some("input"), "no list");
    let openai = r#"{"error":{"message":"no list","type":"invalid_request_error","param":"input","code":"invalid_request"}}"#;
    assert_eq!(fault.body(Dialect::Responses), openai);
    assert_eq!(fault.body(Dialect::Chat), openai);
    assert_eq!(
        fault.body(Dialect::Messages),
        r#"{"type":"error","error":{"type":"invalid_request_error","message":"no list"},"request_id":null}"#
    );
    assert_eq!(
        fault.body(Dialect::Gemini),
        r#"{"error":{"code":400,"message":"no list","status":"INVALID_ARGUMENT","details":[{"@type":"type.googleapis.com/google.rpc.BadRequest","fieldViolations":[{"field":"input","description":"no list"}]}]}}"#
    );
    assert_eq!(
        Fault::internal().body(Dialect::Gemini),
        r#"{"error":{"code":500,"message":"internal error of the gateway","status":"INTERNAL"}}"#
    );
}

#[test]
fn an_unknown_model_is_answered_with_those_there_are() {
    for dialect in ALL {
        let fault = Fault::unknown_model(dialect, &"x".repeat(5000), &["m-1".to_owned(), "m-2".to_owned()]);
        assert!(fault.message.ends_with("the models are: m-1, m-2"), "{}", fault.message);
        assert!(fault.message.len() < 250, "a client's word is not repeated at any length");
        assert_eq!(fault.param.as_deref(), (dialect != Dialect::Gemini).then_some("model"));
    }
    let status = |dialect| Fault::unknown_model::<&str>(dialect, "x", &[]).status;
    assert_eq!(ALL.map(status), [400, 400, 404, 404]);
}

#[test]
fn a_short_wait_is_told_and_a_long_one_is_terminal() {
    for (seconds, after) in [(0, Some(1)), (1, Some(1)), (300, Some(300)), (301, None), (86_400, None)] {
        let fault = cooling(seconds);
        assert_eq!(fault.retry_after(), after, "{seconds}");
        assert_eq!(fault.is_terminal(), after.is_none());
        let header = match after {
            Some(wait) => ("retry-after", wait.to_string()),
            None => ("x-should-retry", "false".to_owned()),
        };
        assert_eq!(fault.headers(), [header]);
        for dialect in [Dialect::Responses, Dialect::Chat, Dialect::Gemini] {
            assert_eq!(terminal(dialect, &fault.body(dialect)), after.is_none(), "{dialect:?} {seconds}");
        }
    }
    let part = Fault::cooling(now() + Duration::from_millis(1500), now());
    assert_eq!((part.retry_after(), part.resets_at), (Some(2), Some(1_795_000_002)));
    let past = Fault::cooling(now() - Duration::from_secs(9), now());
    assert_eq!(past.retry_after(), Some(1), "a deadline that has just passed");
    assert!(Fault::no_credential().retry_after().is_some() && Fault::shutting_down().retry_after().is_some());
    assert_eq!(Fault::internal().headers(), []);
}

#[test]
fn a_long_wait_has_the_form_that_ends_each_clients_turn() {
    let fault = cooling(7500);
    assert_eq!(
        fault.body(Dialect::Responses),
        r#"{"error":{"message":"all accounts are at their limit. Please try again in 2 h 5 min","type":"usage_limit_reached","param":null,"code":"usage_limit_reached","resets_at":1795007500,"resets_in_seconds":7500}}"#
    );
    let gemini = read(&fault.body(Dialect::Gemini));
    assert_eq!(gemini["error"]["status"], "RESOURCE_EXHAUSTED");
    let detail = &gemini["error"]["details"][0];
    assert_eq!(detail["@type"], "type.googleapis.com/google.rpc.QuotaFailure");
    assert!(detail["violations"][0]["quotaId"].as_str().unwrap().contains("PerDay"));
    let retryable = read(&cooling(30).body(Dialect::Gemini));
    assert_eq!(
        retryable["error"]["details"],
        json!([{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "30s"}])
    );
}

#[test]
fn a_broken_stream_ends_with_an_event_its_client_understands() {
    let fault = Fault::new(502, "upstream_error", "the answer broke off");
    assert_eq!(framed(&fault.event(Dialect::Messages), "error")["error"]["type"], "api_error");
    let gemini = fault.event(Dialect::Gemini);
    let (event, bare) = text(&gemini).split_once("\n\n").unwrap();
    assert_eq!(event.strip_prefix("data: "), bare.strip_suffix("\n\n"));
    let event = Bytes::from(format!("{event}\n\n"));
    assert_eq!(framed(&event, "")["error"]["status"], "UNAVAILABLE");
    assert_eq!(framed(&fault.event(Dialect::Chat), "")["error"]["type"], "server_error");
    let broken = Broken { id: Some("resp_7"), model: "m", sequence: 12, created_at: 1_795_000_000 };
    let event = framed(&fault.event_in(Dialect::Responses, &broken), "response.failed");
    assert_eq!((&event["type"], &event["sequence_number"]), (&json!("response.failed"), &json!(12)));
    assert!(event.get("error").is_none(), "the JS SDK throws at a top-level error");
    let response = &event["response"];
    let error = json!({"code": "server_error", "message": "the answer broke off", "type": "server_error"});
    assert_eq!(response["error"], error);
    assert_eq!((&response["id"], &response["status"]), (&json!("resp_7"), &json!("failed")));
    #[rustfmt::skip]
    let required = ["id", "object", "created_at", "status", "error", "incomplete_details", "instructions", "metadata", "model",
        "output", "parallel_tool_calls", "temperature", "tool_choice", "tools", "top_p"];
    for key in required {
        assert!(response.get(key).is_some(), "{key}");
    }
    let unknown = framed(&fault.event(Dialect::Responses), "response.failed");
    assert!(unknown["response"]["id"].is_string(), "an id even where the answer had none yet");
}

#[test]
fn an_event_carries_the_code_that_decides_what_codex_does() {
    let code = |fault: &Fault| {
        framed(&fault.event(Dialect::Responses), "response.failed")["response"]["error"].clone()
    };
    let soon = code(&cooling(30));
    assert_eq!(soon["code"], "rate_limit_exceeded");
    assert!(
        soon["message"].as_str().unwrap().ends_with("try again in 30s"),
        "the wait is read from the words"
    );
    let late = code(&cooling(7500));
    assert_eq!((&late["code"], &late["type"]), (&json!("insufficient_quota"), &json!("usage_limit_reached")));
    assert_eq!(late["resets_at"], 1_795_007_500);
    assert_eq!(code(&Fault::bad_request(None, "no list"))["code"], "invalid_prompt");
    for fault in [Fault::internal(), Fault::timeout("vendor"), Fault::shutting_down(), Fault::no_credential()]
    {
        assert_eq!(code(&fault)["code"], "server_error", "{fault:?}");
    }
}

#[test]
fn a_vendors_error_event_becomes_the_end_that_codex_understands() {
    let flat = Bytes::from_static(br#"{"type":"error","sequence_number":3,"code":"server_is_overloaded","message":"busy","param":null}"#);
    let event = framed(&ending(Dialect::Responses, &flat, &Broken::default()), "response.failed");
    assert_eq!(event["response"]["error"], json!({"code": "server_is_overloaded", "message": "busy"}));
    let limit = Bytes::from_static(
        br#"{"error":{"type":"usage_limit_reached","message":"m","plan_type":"plus","resets_at":5}}"#,
    );
    let event = framed(&ending(Dialect::Responses, &limit, &Broken::default()), "response.failed");
    assert_eq!(
        event["response"]["error"],
        json!({"code": "insufficient_quota", "message": "m", "type": "usage_limit_reached", "plan_type": "plus", "resets_at": 5})
    );
    let failed = Bytes::from_static(br#"{"type":"response.failed","response":{"id":"r"}}"#);
    assert_eq!(
        ending(Dialect::Responses, &failed, &Broken::default()),
        "event: response.failed\ndata: {\"type\":\"response.failed\",\"response\":{\"id\":\"r\"}}\n\n"
    );
}

#[test]
fn whatever_a_vendor_said_ends_a_stream_on_one_line() {
    let end = |dialect, body: &'static str| {
        text(&ending(dialect, &Bytes::from(body), &Broken::default())).to_owned()
    };
    let printed = "[{\n  \"error\": {\r\n\"code\": 503, \"message\": \"m\"}\n}]";
    let line = r#"{   "error": {  "code": 503, "message": "m"} }"#;
    assert_eq!(end(Dialect::Gemini, printed), format!("data: {line}\n\n{line}\n\n"));
    for dialect in ALL {
        let told = end(dialect, "<html>\n</html>");
        assert!(told.contains("no readable error") && !told.contains("html"), "{told}");
        assert_eq!(told.matches("data: ").count(), 1);
    }
    let detail = end(Dialect::Responses, r#"{"detail":"Unsupported parameter: x"}"#);
    assert!(
        detail.contains(r#""error":{"code":"unsupported_parameter","message":"Unsupported parameter: x""#),
        "{detail}"
    );
}
