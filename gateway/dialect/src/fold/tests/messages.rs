use super::*;

pub(super) const TOOL: &str = r#"{"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":10,"cache_read_input_tokens":3,"output_tokens":1}}}
{"type":"ping"}
{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}
{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"Let "}}
{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"me"}}
{"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"sig"}}
{"type":"content_block_stop","index":0}
{"type":"content_block_start","index":1,"content_block":{"type":"text","text":"","citations":null}}
{"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"Hel"}}
{"type":"content_block_delta","index":1,"delta":{"type":"citations_delta","citation":{"n":1}}}
{"type":"content_block_delta","index":1,"delta":{"type":"citations_delta","citation":{"n":2}}}
{"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"lo"}}
{"type":"content_block_stop","index":1}
{"type":"content_block_start","index":2,"content_block":{"type":"tool_use","id":"toolu_1","name":"look","input":{}}}
{"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":""}}
{"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"{\"n\": 1.50, \"id\""}}
{"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":":12345678901234567890123}"}}
{"type":"content_block_stop","index":2}
{"type":"message_delta","delta":{"stop_reason":"tool_use","stop_sequence":null},"usage":{"output_tokens":25,"cache_read_input_tokens":null},"context_management":{"applied_edits":[]}}
{"type":"message_stop"}"#;

#[test]
fn blocks_become_a_message_and_a_tools_input_keeps_its_bytes() {
    assert_eq!(
        fold(Dialect::Messages, TOOL).unwrap(),
        r#"{"id":"msg_1","type":"message","role":"assistant","model":"m","stop_reason":"tool_use","stop_sequence":null,"usage":{"input_tokens":10,"cache_read_input_tokens":3,"output_tokens":25},"context_management":{"applied_edits":[]},"content":[{"type":"thinking","thinking":"Let me","signature":"sig"},{"type":"text","text":"Hello","citations":[{"n":1},{"n":2}]},{"type":"tool_use","id":"toolu_1","name":"look","input":{"n": 1.50, "id":12345678901234567890123}}]}"#
    );
}

#[test]
fn blocks_without_deltas_come_as_they_started() {
    let stream = r#"{"type":"message_start","message":{"id":"m","content":[]}}
{"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"t","name":"now","input":{}}}
{"type":"content_block_start","index":0,"content_block":{"type":"redacted_thinking","data":"x"}}
{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":5}}
{"type":"message_stop"}"#;
    assert_eq!(
        fold(Dialect::Messages, stream).unwrap(),
        r#"{"id":"m","stop_reason":"end_turn","usage":{"output_tokens":5},"content":[{"type":"redacted_thinking","data":"x"},{"type":"tool_use","id":"t","name":"now","input":{}}]}"#
    );
}

#[test]
fn half_a_tools_input_is_accepted_only_where_the_answer_ran_out_of_room() {
    let stream = |reason: &str| {
        format!(
            r#"{{"type":"message_start","message":{{"id":"m"}}}}
{{"type":"content_block_start","index":0,"content_block":{{"type":"tool_use","input":{{}}}}}}
{{"type":"content_block_delta","index":0,"delta":{{"type":"input_json_delta","partial_json":"{{\"a\":"}}}}
{{"type":"message_delta","delta":{{"stop_reason":"{reason}"}}}}
{{"type":"message_stop"}}"#
        )
    };
    assert_eq!(fold(Dialect::Messages, &stream("tool_use")), None);
    let cut = fold(Dialect::Messages, &stream("max_tokens")).unwrap();
    assert!(cut.ends_with(r#""content":[{"type":"tool_use","input":{}}]}"#), "{cut}");
}
