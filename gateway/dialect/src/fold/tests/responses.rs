use super::*;

pub(super) const TEXT: &str = r#"{"type":"response.created","response":{"id":"resp_1","status":"in_progress","output":[]}}
{"type":"response.output_text.delta","item_id":"msg_1","output_index":1,"content_index":0,"delta":"say \"response.completed\""}
{"type":"response.output_item.done","output_index":1,"item":{"id":"msg_1","type":"message","content":[{"type":"output_text","text":"Hi","logprobs":1.50}]}}
{"type":"response.output_item.done","output_index":0,"item":{"id":"rs_1","type":"reasoning","summary":[]}}
{"type":"response.completed","response":{"id":"resp_1","status":"completed", "output":[ ],"unknown":1.50,"usage":{"input_tokens":1}}}"#;

#[test]
fn an_empty_output_is_rebuilt_in_order_from_the_items_before() {
    assert_eq!(
        fold(Dialect::Responses, TEXT).unwrap(),
        r#"{"id":"resp_1","status":"completed","unknown":1.50,"usage":{"input_tokens":1},"output":[{"id":"rs_1","type":"reasoning","summary":[]},{"id":"msg_1","type":"message","content":[{"type":"output_text","text":"Hi","logprobs":1.50}]}]}"#
    );
}

#[test]
fn an_absent_output_is_rebuilt_and_a_full_one_keeps_its_bytes() {
    let item = r#"{"type":"response.output_item.done","item":{"id":"a"}}"#;
    let second = r#"{"item":{"id":"b"},"type":"response.output_item.done"}"#;
    let absent = r#"{"type":"response.completed","response":{"id":"r"}}"#;
    assert_eq!(
        fold(Dialect::Responses, &[item, second, absent].join("\n")).unwrap(),
        r#"{"id":"r","output":[{"id":"a"},{"id":"b"}]}"#,
        "items without an index keep their order"
    );
    let null = r#"{"type":"response.completed","response":{"id":"r","output":null}}"#;
    assert_eq!(
        fold(Dialect::Responses, &[item, null].join("\n")).unwrap(),
        r#"{"id":"r","output":[{"id":"a"}]}"#
    );
    let full = r#"{"type":"response.completed","response":{ "id":"r", "output":[{"id":"own"}] }}"#;
    let kept = r#"{ "id":"r", "output":[{"id":"own"}] }"#;
    assert_eq!(fold(Dialect::Responses, &[item, full].join("\n")).unwrap(), kept);
    let bare = r#"{"type":"response.completed","response":{"id":"r","output":[]}}"#;
    assert_eq!(fold(Dialect::Responses, bare).unwrap(), r#"{"id":"r","output":[]}"#);
}

#[test]
fn an_incomplete_answer_is_an_answer() {
    let event = r#"{"type":"response.incomplete","response":{"id":"r","status":"incomplete","incomplete_details":{"reason":"max_output_tokens"},"output":[{"id":"a"}]}}"#;
    assert_eq!(
        fold(Dialect::Responses, event).unwrap(),
        r#"{"id":"r","status":"incomplete","incomplete_details":{"reason":"max_output_tokens"},"output":[{"id":"a"}]}"#
    );
}

const COMPACTION: &str = r#"{"type":"response.output_item.done","output_index":1,"item":{"type":"compaction","id":"cmp_1","encrypted_content":"x"}}"#;
const OTHER: &str =
    r#"{"type":"response.output_item.done","output_index":0,"item":{"type":"reasoning","id":"rs_1"}}"#;
const END: &str = r#"{"type":"response.completed","response":{"id":"resp_1","created_at":7,"output":[],"usage":{"input_tokens":1}}}"#;

fn compact(events: &[&str]) -> Option<String> {
    folded(Fold::new(Dialect::Responses, Operation::Compact), &events.join("\n"))
}

#[test]
fn a_compaction_is_the_only_item_of_its_document() {
    let document = r#"{"id":"resp_1","object":"response.compaction","created_at":7,"output":[{"type":"compaction","id":"cmp_1","encrypted_content":"x"}],"usage":{"input_tokens":1}}"#;
    assert_eq!(compact(&[OTHER, COMPACTION, END]).unwrap(), document);
    let inside = r#"{"type":"response.completed","response":{"id":"resp_1","created_at":7,"output":[{"type":"compaction","id":"cmp_1","encrypted_content":"x"}],"usage":{"input_tokens":1}}}"#;
    assert_eq!(compact(&[COMPACTION, inside]).unwrap(), document, "told twice, it is still one");
}

#[test]
fn no_compaction_or_two_or_half_of_one_is_none() {
    let second = COMPACTION.replace("\"output_index\":1", "\"output_index\":2");
    let incomplete = END.replace("completed", "incomplete");
    for events in
        [&[OTHER, END][..], &[END], &[COMPACTION, &second, END], &[COMPACTION], &[COMPACTION, &incomplete]]
    {
        assert_eq!(compact(events), None, "{events:?}");
    }
}
