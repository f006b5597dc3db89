use super::*;

const MODELS: [Listed<'static>; 2] = [
    Listed {
        id: "alpha",
        title: Some("Alpha One"),
        input_limit: Some(1_048_576),
        output_limit: None,
        operations: &[Operation::Generate, Operation::CountTokens, Operation::Models],
        owned_by: "vendor",
        created: 1_795_255_200,
        entry: None,
    },
    Listed {
        id: "beta",
        title: None,
        input_limit: None,
        output_limit: None,
        operations: &[],
        owned_by: "vendor",
        created: 0,
        entry: None,
    },
];

fn list(dialect: Dialect, models: &[Listed<'_>]) -> String {
    String::from_utf8(models_list(dialect, models).to_vec()).unwrap()
}

#[test]
fn the_vendors_own_entry_is_told_where_it_is_of_the_lists_kind() {
    let gemini = json!({"name": "models/m-1", "thinking": true});
    let claude = json!({"type": "model", "id": "m-1", "max_tokens": 7});
    let codex = json!({"slug": "m-1"});
    for (dialect, entry, told) in [
        (Dialect::Gemini, &gemini, true),
        (Dialect::Messages, &claude, true),
        (Dialect::Gemini, &claude, false),
        (Dialect::Messages, &gemini, false),
        (Dialect::Gemini, &codex, false),
        (Dialect::Chat, &gemini, false),
        (Dialect::Responses, &codex, false),
        (Dialect::Gemini, &json!({"name": "models/m-2"}), false),
        (Dialect::Gemini, &json!(null), false),
    ] {
        let model = Listed { id: "m-1", entry: Some(entry), ..Listed::default() };
        let object: Value = serde_json::from_slice(&model_object(dialect, &model)).unwrap();
        assert_eq!(object == *entry, told, "{dialect:?} {entry}");
    }
}

#[test]
fn gemini_lists_leave_out_what_is_unknown() {
    let alpha = r#"{"name":"models/alpha","displayName":"Alpha One","inputTokenLimit":1048576,"supportedGenerationMethods":["generateContent","streamGenerateContent","countTokens"]}"#;
    let beta = r#"{"name":"models/beta","displayName":"beta"}"#;
    assert_eq!(list(Dialect::Gemini, &MODELS), format!(r#"{{"models":[{alpha},{beta}]}}"#));
    assert_eq!(model_object(Dialect::Gemini, &MODELS[0]), alpha);
    assert_eq!(list(Dialect::Gemini, &[]), r#"{"models":[]}"#);
}

#[test]
fn openai_lists_have_the_number_that_clients_require() {
    for dialect in [Dialect::Responses, Dialect::Chat] {
        assert_eq!(
            list(dialect, &MODELS),
            r#"{"object":"list","data":[{"id":"alpha","object":"model","created":1795255200,"owned_by":"vendor"},{"id":"beta","object":"model","created":0,"owned_by":"vendor"}]}"#
        );
    }
}

#[test]
fn anthropic_lists_are_one_page() {
    assert_eq!(
        list(Dialect::Messages, &MODELS),
        r#"{"data":[{"type":"model","id":"alpha","display_name":"Alpha One","created_at":"2026-11-21T10:00:00Z"},{"type":"model","id":"beta","display_name":"beta","created_at":"1970-01-01T00:00:00Z"}],"has_more":false,"first_id":"alpha","last_id":"beta"}"#
    );
    assert_eq!(
        list(Dialect::Messages, &[]),
        r#"{"data":[],"has_more":false,"first_id":null,"last_id":null}"#
    );
}

#[test]
fn dates_follow_the_calendar() {
    let table = [
        (951_782_399, "2000-02-28T23:59:59Z"),
        (951_782_400, "2000-02-29T00:00:00Z"),
        (951_868_800, "2000-03-01T00:00:00Z"),
        (1_798_761_599, "2026-12-31T23:59:59Z"),
        (4_107_542_400, "2100-03-01T00:00:00Z"),
        (u64::MAX, "9999-12-31T23:59:59Z"),
    ];
    for (unix, date) in table {
        assert_eq!(rfc3339(unix), date);
    }
}
