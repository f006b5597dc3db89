use super::*;

fn status(dialect: Dialect, event: &str) -> u16 {
    status_of(dialect, &Bytes::copy_from_slice(event.as_bytes()))
}

#[test]
fn a_failed_response_has_the_status_of_its_code() {
    let table = [
        ("context_length_exceeded", 400),
        ("invalid_prompt", 400),
        ("cyber_policy", 400),
        ("bio_policy", 400),
        ("misalignment_policy_violation", 400),
        ("previous_response_not_found", 400),
        ("invalid_image_format", 400),
        ("image_too_large", 400),
        ("empty_image_file", 400),
        ("rate_limit_exceeded", 429),
        ("insufficient_quota", 429),
        ("usage_limit_reached", 429),
        ("usage_not_included", 429),
        ("organization_spend_limit_exceeded", 429),
        ("organization_usage_limit_exceeded", 429),
        ("token_expired", 401),
        ("token_invalidated", 401),
        ("account_deactivated", 401),
        ("deactivated_workspace", 402),
        ("server_is_overloaded", 503),
        ("slow_down", 503),
        ("server_error", 500),
        ("vector_store_timeout", 504),
        ("something_new", 502),
    ];
    for (code, expected) in table {
        let failed = format!(
            r#"{{"type":"response.failed","response":{{"error":{{"code":"{code}","message":"m"}}}}}}"#
        );
        assert_eq!(status(Dialect::Responses, &failed), expected, "{code}");
        let flat =
            format!(r#"{{"type":"error","code":"{code}","message":"m","param":null,"sequence_number":1}}"#);
        assert_eq!(status(Dialect::Responses, &flat), expected, "{code}, flat");
        let chat = format!(r#"{{"error":{{"code":"{code}","message":"m"}}}}"#);
        assert_eq!(status(Dialect::Chat, &chat), expected, "{code}, in a chat");
    }
}

#[test]
fn a_failed_response_without_a_code_has_the_status_of_its_type() {
    let table = [
        ("usage_limit_reached", 429),
        ("usage_not_included", 429),
        ("rate_limit_error", 429),
        ("invalid_request_error", 400),
        ("invalid_request", 400),
        ("authentication_error", 401),
        ("permission_error", 403),
        ("service_unavailable_error", 503),
        ("server_error", 500),
        ("?", 502),
    ];
    for (kind, expected) in table {
        let event = format!(
            r#"{{"type":"response.failed","response":{{"error":{{"type":"{kind}","message":"m"}}}}}}"#
        );
        assert_eq!(status(Dialect::Responses, &event), expected, "{kind}");
    }
}

#[test]
fn the_status_beside_a_sockets_error_wins() {
    for key in ["status", "status_code"] {
        let event = format!(r#"{{"type":"error","{key}":418,"error":{{"code":"server_error"}}}}"#);
        assert_eq!(status(Dialect::Responses, &event), 418);
    }
    let detail = r#"{"error":{"detail":"Unsupported parameter: x"},"status":400,"type":"error"}"#;
    assert_eq!(status(Dialect::Responses, detail), 400);
    let odd = r#"{"type":"error","status":200,"error":{"code":"server_error"}}"#;
    assert_eq!(status(Dialect::Responses, odd), 500, "no failure has a status of success");
}

#[test]
fn an_anthropic_error_has_the_status_of_its_type() {
    let table = [
        ("invalid_request_error", 400),
        ("authentication_error", 401),
        ("billing_error", 402),
        ("permission_error", 403),
        ("not_found_error", 404),
        ("conflict_error", 409),
        ("request_too_large", 413),
        ("rate_limit_error", 429),
        ("api_error", 500),
        ("timeout_error", 504),
        ("overloaded_error", 529),
        ("something_new", 502),
    ];
    for (kind, expected) in table {
        let event =
            format!(r#"{{"type":"error","error":{{"type":"{kind}","message":"m"}},"request_id":"req_1"}}"#);
        assert_eq!(status(Dialect::Messages, &event), expected, "{kind}");
    }
}

#[test]
fn a_gemini_error_has_its_own_code_or_that_of_its_status() {
    assert_eq!(status(Dialect::Gemini, r#"{"error":{"code":429,"message":"m","status":"INTERNAL"}}"#), 429);
    let table = [
        ("INVALID_ARGUMENT", 400),
        ("FAILED_PRECONDITION", 400),
        ("UNAUTHENTICATED", 401),
        ("PERMISSION_DENIED", 403),
        ("NOT_FOUND", 404),
        ("ABORTED", 409),
        ("RESOURCE_EXHAUSTED", 429),
        ("CANCELLED", 499),
        ("INTERNAL", 500),
        ("UNIMPLEMENTED", 501),
        ("UNAVAILABLE", 503),
        ("DEADLINE_EXCEEDED", 504),
    ];
    for (word, expected) in table {
        assert_eq!(
            status(Dialect::Gemini, &format!(r#"{{"error":{{"status":"{word}"}}}}"#)),
            expected,
            "{word}"
        );
    }
    for odd in [r#"{"error":{"code":200}}"#, r#"{"error":{"code":99999}}"#, r#"{"error":"x"}"#, "", "[]"] {
        assert_eq!(status(Dialect::Gemini, odd), 502, "{odd}");
    }
}

#[test]
fn what_clients_give_up_on_is_terminal() {
    let judge = |dialect, body: &str| terminal(dialect, &Bytes::copy_from_slice(body.as_bytes()));
    for word in ["usage_limit_reached", "usage_not_included", "insufficient_quota"] {
        for key in ["type", "code"] {
            let body = format!(r#"{{"error":{{"{key}":"{word}","message":"m"}}}}"#);
            assert!(judge(Dialect::Responses, &body) && judge(Dialect::Chat, &body), "{body}");
        }
    }
    let daily = r#"{"error":{"code":429,"details":[{"@type":"x.RetryInfo","retryDelay":"1s"},{"@type":"x.QuotaFailure","violations":[{"quotaId":"other"},{"quotaId":"GenerateRequestsPerDayPerProject-Free"}]}]}}"#;
    let exhausted =
        r#"[{"error":{"code":429,"details":[{"@type":"x.ErrorInfo","reason":"QUOTA_EXHAUSTED"}],}}]"#;
    assert!(judge(Dialect::Gemini, daily) && judge(Dialect::Gemini, exhausted));
    let passing = [
        (Dialect::Responses, r#"{"error":{"code":"rate_limit_exceeded","message":"m"}}"#),
        (Dialect::Responses, r#"{"detail":"connector_rate_limit"}"#),
        (
            Dialect::Gemini,
            r#"{"error":{"code":429,"details":[{"reason":"RATE_LIMIT_EXCEEDED"},{"violations":[{"quotaId":"PerMinute"}]}]}}"#,
        ),
        (
            Dialect::Gemini,
            r#"{"error":{"code":429,"message":"Resource exhausted. Please try again later."}}"#,
        ),
        (Dialect::Messages, r#"{"type":"error","error":{"type":"rate_limit_error","message":"m"}}"#),
        (Dialect::Gemini, ""),
    ];
    for (dialect, body) in passing {
        assert!(!judge(dialect, body), "{body}");
    }
}
