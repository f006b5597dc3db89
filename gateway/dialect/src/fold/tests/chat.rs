use super::*;

pub(super) const TEXT: &str = r#"{"id":"c1","object":"chat.completion.chunk","created":7,"model":"m","system_fingerprint":"fp","choices":[{"index":0,"delta":{"role":"assistant","content":"","refusal":null},"logprobs":null,"finish_reason":null}],"usage":null}
{"id":"c1","object":"chat.completion.chunk","created":7,"model":"m","choices":[{"index":0,"delta":{"reasoning_content":"hm"},"finish_reason":null}]}
{"id":"c1","object":"chat.completion.chunk","created":7,"model":"m","choices":[{"index":0,"delta":{"content":"He"},"finish_reason":null}]}
{"id":"c1","object":"chat.completion.chunk","created":7,"model":"m","choices":[{"index":0,"delta":{"content":"llo"},"finish_reason":null}]}
{"id":"c1","object":"chat.completion.chunk","created":7,"model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}
{"id":"c1","object":"chat.completion.chunk","created":7,"model":"m","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}
[DONE]"#;

#[test]
fn deltas_become_a_message() {
    assert_eq!(
        fold(Dialect::Chat, TEXT).unwrap(),
        r#"{"id":"c1","object":"chat.completion","created":7,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"Hello","refusal":null,"reasoning_content":"hm"},"logprobs":null,"finish_reason":"stop"}],"system_fingerprint":"fp","usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}"#
    );
}

#[test]
fn tool_calls_grow_by_index_and_their_names_do_not_double() {
    let stream = r#"{"id":"c","created":7,"model":"m","choices":[{"index":0,"delta":{"role":"assistant","tool_calls":[{"index":0,"id":"t0","type":"function","function":{"name":"look","arguments":""}}]}}]}
{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"a\":"}}]}}]}
{"choices":[{"index":0,"delta":{"tool_calls":[{"index":1,"id":"t1","type":"function","function":{"name":"find","arguments":"{}"}}]}}]}
{"choices":[{"index":0,"delta":{"role":"assistant","tool_calls":[{"index":0,"id":"t0","type":"function","function":{"name":"look","arguments":"1}"}}]}}]}
{"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}"#;
    assert_eq!(
        fold(Dialect::Chat, stream).unwrap(),
        r#"{"id":"c","object":"chat.completion","created":7,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":null,"refusal":null,"tool_calls":[{"id":"t0","type":"function","function":{"name":"look","arguments":"{\"a\":1}"}},{"id":"t1","type":"function","function":{"name":"find","arguments":"{}"}}]},"logprobs":null,"finish_reason":"tool_calls"}]}"#
    );
}

#[test]
fn choices_are_kept_apart_and_logprobs_pile_up() {
    let stream = r#"{"id":"c","created":7,"model":"m","choices":[{"index":1,"delta":{"content":"b"},"logprobs":{"content":[{"token":"b"}],"refusal":null}}]}
{"choices":[{"index":0,"delta":{"refusal":"no"},"finish_reason":"stop"}]}
{"choices":[{"index":1,"delta":{"content":"c"},"logprobs":{"content":[{"token":"c"}]},"finish_reason":"length"}]}"#;
    assert_eq!(
        fold(Dialect::Chat, stream).unwrap(),
        r#"{"id":"c","object":"chat.completion","created":7,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":null,"refusal":"no"},"logprobs":null,"finish_reason":"stop"},{"index":1,"message":{"role":"assistant","content":"bc","refusal":null},"logprobs":{"content":[{"token":"b"},{"token":"c"}]},"finish_reason":"length"}]}"#
    );
}

#[test]
fn a_mark_of_the_end_stands_for_a_missing_reason() {
    let chunk = r#"{"id":"c","created":7,"model":"m","choices":[{"index":0,"delta":{"content":"a"}}]}"#;
    assert_eq!(fold(Dialect::Chat, chunk), None);
    assert_eq!(
        fold(Dialect::Chat, &format!("{chunk}\n[DONE]")).unwrap(),
        r#"{"id":"c","object":"chat.completion","created":7,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"a","refusal":null},"logprobs":null,"finish_reason":null}]}"#
    );
    assert_eq!(fold(Dialect::Chat, "[DONE]"), None);
}
