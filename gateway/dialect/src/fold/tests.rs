use super::*;
use serde_json::Value;

mod chat;
mod gemini;
mod messages;
mod responses;

/// The document of a stream, one event per line.
fn fold(dialect: Dialect, events: &str) -> Option<String> {
    folded(Fold::new(dialect, Operation::Generate), events)
}

fn folded(mut fold: Fold, events: &str) -> Option<String> {
    for line in events.lines() {
        fold.push(&Bytes::copy_from_slice(line.trim().as_bytes()));
    }
    let document = String::from_utf8(fold.finish()?.to_vec()).unwrap();
    serde_json::from_str::<Value>(&document).expect("a document is JSON");
    Some(document)
}

const STREAMS: [(Dialect, &str); 4] = [
    (Dialect::Responses, responses::TEXT),
    (Dialect::Chat, chat::TEXT),
    (Dialect::Messages, messages::TOOL),
    (Dialect::Gemini, gemini::TEXT),
];

#[test]
fn a_stream_cut_before_its_end_has_no_document() {
    for (dialect, stream) in STREAMS {
        assert!(fold(dialect, stream).is_some(), "{dialect:?}");
        let lines: Vec<&str> = stream.trim().lines().collect();
        for kept in 0..lines.len() {
            // Usage may come after the reason to stop; the answer is whole by then.
            let ended = lines[..kept].iter().any(|line| line.contains("\"stop\"") || line.contains("STOP"));
            let document = fold(dialect, &lines[..kept].join("\n"));
            assert_eq!(document.is_some(), ended, "{dialect:?}, {kept} events");
        }
    }
}

#[test]
fn an_error_inside_a_stream_leaves_no_document() {
    let errors = [
        r#"{"type":"response.failed","response":{"id":"r","error":{"code":"server_error"}}}"#,
        r#"{"error":{"message":"m"}}"#,
        r#"{"type":"error","error":{"type":"overloaded_error","message":"m"}}"#,
        r#"{"error":{"code":503,"message":"m","status":"UNAVAILABLE"}}"#,
    ];
    for ((dialect, stream), error) in STREAMS.into_iter().zip(errors) {
        let lines: Vec<&str> = stream.trim().lines().collect();
        for at in 0..lines.len() {
            let mut broken = lines.clone();
            broken.insert(at, error);
            assert_eq!(fold(dialect, &broken.join("\n")), None, "{dialect:?}, after {at} events");
        }
    }
}

#[test]
fn a_stream_beyond_the_limit_has_no_document() {
    for (dialect, stream) in STREAMS {
        let bounded = |bytes| folded(Fold::new(dialect, Operation::Generate).limit(bytes), stream);
        assert_eq!(bounded(50), None, "{dialect:?}");
        assert_eq!(bounded(stream.len()), fold(dialect, stream), "{dialect:?}");
    }
}

#[test]
fn any_json_is_survived() {
    let odd = [
        "null",
        "[]",
        "1",
        "\"x\"",
        "{}",
        "nonsense",
        r#"{"type":1}"#,
        r#"{"choices":[1]}"#,
        r#"{"choices":{}}"#,
        r#"{"candidates":[null]}"#,
        r#"{"type":"message_start"}"#,
        r#"{"type":"content_block_delta","index":9}"#,
        r#"{"type":"response.completed"}"#,
        r#"{"type":"response.output_item.done"}"#,
        r#"{"type":"message_stop"}"#,
        r#"{"type":"response.completed","response":7}"#,
        r#"{"usage":1,"choices":[{"delta":{"tool_calls":[1,{"index":-1}]}}]}"#,
    ];
    for (dialect, stream) in STREAMS {
        for first in odd {
            for second in odd {
                assert_eq!(
                    fold(dialect, &format!("{first}\n{second}")),
                    None,
                    "{dialect:?} {first} {second}"
                );
            }
            let _ = fold(dialect, &format!("{stream}\n{first}"));
            let _ = fold(dialect, &format!("{first}\n{stream}"));
        }
    }
}
