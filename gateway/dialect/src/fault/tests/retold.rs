use super::*;

fn told(dialect: Dialect, status: u16, body: &'static str) -> String {
    text(&retell(dialect, status, &Bytes::from_static(body.as_bytes()))).to_owned()
}

#[test]
fn an_error_object_keeps_every_byte() {
    let table = [
        (
            Dialect::Responses,
            r#"{"error":{"type":"usage_limit_reached","message":"The usage limit has been reached", "plan_type":"plus","resets_at":1795000000,"eligible_promo":null,"resets_in_seconds":5400}}"#,
        ),
        (
            Dialect::Responses,
            r#"{"error":{"message":"m","type":null,"code":"token_expired","param":null},"status":401}"#,
        ),
        (
            Dialect::Gemini,
            r#"{"error":{"code":429,"message":"m","status":"RESOURCE_EXHAUSTED","details":[{"@type":"x","retryDelay":"33740.910400305s"}]}}"#,
        ),
        (
            Dialect::Messages,
            r#"{"type":"error","error":{"type":"rate_limit_error","message":"m"},"request_id":"req_1"}"#,
        ),
        (Dialect::Chat, r#"{"error":{}}"#),
    ];
    for (dialect, body) in table {
        let bytes = Bytes::from_static(body.as_bytes());
        assert_eq!(retell(dialect, 429, &bytes).as_ptr(), bytes.as_ptr(), "not even copied");
    }
}

#[test]
fn googles_list_of_one_is_unwrapped_and_its_stray_commas_are_forgiven() {
    let error = r#"{"error":{"code":429,"message":"a,, b,}","status":"RESOURCE_EXHAUSTED"}}"#;
    assert_eq!(
        told(
            Dialect::Gemini,
            429,
            r#"[{"error":{"code":429,"message":"a,, b,}","status":"RESOURCE_EXHAUSTED"}}]"#
        ),
        error
    );
    assert_eq!(
        told(
            Dialect::Gemini,
            429,
            r#"[{"error":{"code":429,,"message":"a,, b,}", ,"status":"RESOURCE_EXHAUSTED",}},]"#
        ),
        error
    );
    assert_eq!(
        told(Dialect::Gemini, 429, r#"{"error":{"message":"a \" ,, \\",,"code":429}}"#),
        r#"{"error":{"message":"a \" ,, \\","code":429}}"#
    );
}

#[test]
fn a_detail_becomes_an_error_and_stays() {
    let detail = r#"{"detail":"Store must be set to false"}"#;
    assert_eq!(
        told(Dialect::Responses, 400, detail),
        r#"{"detail":"Store must be set to false","error":{"message":"Store must be set to false","type":"invalid_request_error","param":null,"code":null}}"#
    );
    assert_eq!(
        told(Dialect::Gemini, 400, detail),
        r#"{"detail":"Store must be set to false","error":{"code":400,"message":"Store must be set to false","status":"INVALID_ARGUMENT"}}"#
    );
    assert_eq!(
        told(Dialect::Messages, 400, detail),
        r#"{"detail":"Store must be set to false","error":{"type":"invalid_request_error","message":"Store must be set to false"},"type":"error"}"#
    );
    assert_eq!(
        told(Dialect::Responses, 400, r#"{"detail":"Unsupported parameter: top_p"}"#),
        r#"{"detail":"Unsupported parameter: top_p","error":{"message":"Unsupported parameter: top_p","type":"invalid_request_error","param":"top_p","code":"unsupported_parameter"}}"#
    );
    assert_eq!(
        told(Dialect::Responses, 402, r#"{"detail":{"code":"deactivated_workspace"}}"#),
        r#"{"detail":{"code":"deactivated_workspace"},"error":{"message":"deactivated_workspace","type":"invalid_request_error","param":null,"code":"deactivated_workspace"}}"#
    );
    assert_eq!(
        told(Dialect::Responses, 422, r#"{"detail":[{"type":"missing"}]}"#),
        r#"{"detail":[{"type":"missing"}],"error":{"message":"[{\"type\":\"missing\"}]","type":"invalid_request_error","param":null,"code":null}}"#
    );
    assert_eq!(
        told(Dialect::Responses, 400, r#"{"error":{"detail":"Unsupported parameter: x"},"status":400}"#),
        r#"{"status":400,"error":{"message":"Unsupported parameter: x","type":"invalid_request_error","param":"x","code":"unsupported_parameter","detail":"Unsupported parameter: x"}}"#
    );
}

#[test]
fn an_error_that_is_a_word_becomes_a_code() {
    assert_eq!(
        told(Dialect::Responses, 400, r#"{"error":"invalid_grant","error_description":"Bad Request"}"#),
        r#"{"error_description":"Bad Request","error":{"message":"Bad Request","type":"invalid_request_error","param":null,"code":"invalid_grant"}}"#
    );
    assert_eq!(
        told(Dialect::Gemini, 503, r#"{"error":"overloaded"}"#),
        r#"{"error":{"code":503,"message":"overloaded","status":"UNAVAILABLE"}}"#
    );
}

#[test]
fn other_json_keeps_its_members_beside_an_error() {
    assert_eq!(
        told(Dialect::Chat, 429, r#"{"message":"slow","extra":1.50}"#),
        r#"{"message":"slow","extra":1.50,"error":{"message":"slow","type":"rate_limit_error","param":null,"code":"rate_limit_exceeded"}}"#
    );
    let empty = told(Dialect::Gemini, 500, "{}");
    assert_eq!(
        empty,
        r#"{"error":{"code":500,"message":"upstream answered with status 500 and no readable error","status":"INTERNAL"}}"#
    );
}

#[test]
fn what_is_no_json_is_never_passed_on() {
    for body in [
        "",
        "<html>just a moment</html>",
        "upstream connect error",
        "\"text\"",
        "[]",
        "[1]",
        "{\"error\":",
        "\u{feff}{}",
    ] {
        for dialect in ALL {
            let error = told(dialect, 403, body);
            let value: Value = serde_json::from_str(&error).unwrap();
            let message = value["error"]["message"].as_str().unwrap();
            assert_eq!(message, "upstream answered with status 403 and no readable error", "{body}");
        }
    }
}

#[test]
fn a_failed_fold_is_what_the_api_would_have_answered() {
    let answer = |dialect, event: &'static str| {
        let (status, body) = failure(dialect, &Bytes::from_static(event.as_bytes()));
        (status, text(&body).to_owned())
    };
    assert_eq!(
        answer(Dialect::Responses, r#"{"type":"response.failed","sequence_number":5,"response":{"id":"r","status":"failed","error":{"code":"rate_limit_exceeded","message":"Please try again in 1.5s."}}}"#),
        (429, r#"{"error":{"message":"Please try again in 1.5s.","type":"rate_limit_error","param":null,"code":"rate_limit_exceeded"}}"#.into())
    );
    assert_eq!(
        answer(Dialect::Responses, r#"{"type":"response.failed","response":{"error":{"code":"usage_limit_reached","message":"m","plan_type":"plus","resets_at":7}}}"#),
        (429, r#"{"error":{"message":"m","type":"usage_limit_reached","param":null,"code":"usage_limit_reached","plan_type":"plus","resets_at":7}}"#.into())
    );
    assert_eq!(
        answer(Dialect::Responses, r#"{"type":"error","sequence_number":2,"code":"invalid_prompt","message":"m","param":"input"}"#),
        (400, r#"{"error":{"message":"m","type":"invalid_request_error","param":"input","code":"invalid_prompt"}}"#.into())
    );
    assert_eq!(
        answer(Dialect::Responses, r#"{"type":"error","status":429,"error":{"type":"usage_limit_reached","message":"m","resets_at":7},"headers":{"X":"1"}}"#),
        (429, r#"{"error":{"message":"m","type":"usage_limit_reached","param":null,"code":null,"resets_at":7}}"#.into())
    );
    let gemini = r#"{"error":{"code":503,"message":"m","status":"UNAVAILABLE"}}"#;
    assert_eq!(answer(Dialect::Gemini, gemini), (503, gemini.into()));
    let messages =
        r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"},"request_id":"req_1"}"#;
    assert_eq!(answer(Dialect::Messages, messages), (529, messages.into()));
    let chat = r#"{"error":{"message":"m","type":"server_error","param":null,"code":null}}"#;
    assert_eq!(answer(Dialect::Chat, chat), (500, chat.into()));
    for dialect in ALL {
        let (status, body) = failure(dialect, &Bytes::from_static(b"not json"));
        assert_eq!(status, 502);
        assert!(read(&body)["error"]["message"].is_string());
    }
}
