use super::*;

pub(super) const TEXT: &str = r#"{"candidates":[{"content":{"role":"model","parts":[{"text":"Hm","thought":true}]},"index":0}],"usageMetadata":{"promptTokenCount":1},"modelVersion":"g","responseId":"r1"}
{"candidates":[{"content":{"role":"model","parts":[{"text":"mm","thought":true}]}}],"responseId":"r1"}
{"candidates":[{"content":{"role":"model","parts":[{"text":"He"}]}}]}
{"candidates":[{"content":{"role":"model","parts":[{"text":"llo"}]}}],"usageMetadata":{"promptTokenCount":1,"candidatesTokenCount":2}}
{"candidates":[{"content":{"role":"model"},"finishReason":"STOP","safetyRatings":[]}],"usageMetadata":{"promptTokenCount":1,"candidatesTokenCount":3},"modelVersion":"g"}"#;

#[test]
fn chunks_become_one_answer_with_the_last_counts() {
    assert_eq!(
        fold(Dialect::Gemini, TEXT).unwrap(),
        r#"{"candidates":[{"content":{"role":"model","parts":[{"text":"Hmmm","thought":true},{"text":"Hello"}]},"index":0,"finishReason":"STOP","safetyRatings":[]}],"usageMetadata":{"promptTokenCount":1,"candidatesTokenCount":3},"modelVersion":"g","responseId":"r1"}"#
    );
}

#[test]
fn parts_that_say_more_than_text_are_left_alone() {
    let stream = r#"{"candidates":[{"content":{"parts":[{"text":"a"},{"text":"b","thoughtSignature":"s"}]}}]}
{"candidates":[{"content":{"parts":[{"text":"c"}]}}]}
{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","args":{"n":1.0}}},{"text":"d"},{"text":"","thoughtSignature":"t"}]},"finishReason":"STOP"}]}"#;
    assert_eq!(
        fold(Dialect::Gemini, stream).unwrap(),
        r#"{"candidates":[{"content":{"parts":[{"text":"a"},{"text":"b","thoughtSignature":"s"},{"text":"c"},{"functionCall":{"name":"f","args":{"n":1.0}}},{"text":"d"},{"text":"","thoughtSignature":"t"}]},"finishReason":"STOP"}]}"#
    );
}

#[test]
fn candidates_are_kept_apart_and_sources_pile_up() {
    let stream = r#"{"candidates":[{"index":1,"content":{"parts":[{"text":"b"}]},"citationMetadata":{"citationSources":[{"uri":"u"}]}}]}
{"candidates":[{"index":0,"content":{"parts":[{"text":"a"}]},"finishReason":"STOP"},{"index":1,"citationMetadata":{"citationSources":[{"uri":"u"},{"uri":"v"}]},"finishReason":"MAX_TOKENS"}]}"#;
    assert_eq!(
        fold(Dialect::Gemini, stream).unwrap(),
        r#"{"candidates":[{"content":{"parts":[{"text":"a"}]},"index":0,"finishReason":"STOP"},{"content":{"parts":[{"text":"b"}]},"index":1,"citationMetadata":{"citationSources":[{"uri":"u"},{"uri":"v"}]},"finishReason":"MAX_TOKENS"}]}"#
    );
}

#[test]
fn an_only_chunk_is_the_answer_as_it_is() {
    let chunk = r#"{ "candidates":[{"content":{"role":"model"},"finishReason":"STOP"}], "unknown":1.50 }"#;
    assert_eq!(fold(Dialect::Gemini, chunk).unwrap(), chunk);
}

#[test]
fn a_blocked_prompt_is_an_answer_without_candidates() {
    let chunk = r#"{"promptFeedback":{"blockReason":"SAFETY"},"usageMetadata":{"promptTokenCount":1}}"#;
    assert_eq!(fold(Dialect::Gemini, chunk).unwrap(), chunk);
    let usage = r#"{"usageMetadata":{"promptTokenCount":2}}"#;
    assert_eq!(
        fold(Dialect::Gemini, &format!("{chunk}\n{usage}")).unwrap(),
        r#"{"promptFeedback":{"blockReason":"SAFETY"},"usageMetadata":{"promptTokenCount":2}}"#
    );
    assert_eq!(fold(Dialect::Gemini, usage), None);
}
