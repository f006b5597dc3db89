use super::*;
use pollux_sdk::{Model, PoolView, Refusal};

const EXEC: &str = "codex_exec/0.169.0 (Debian 12.0.0; x86_64) xterm (codex_exec; 0.169.0)";

fn sent(section: Value, of: &[(&str, &str)], account: &Credential, moved: bool) -> HeaderMap {
    let call = call("/responses", "m", of, r#"{"input":[]}"#);
    provider(section).prepare(&call, &Lease::new(account, moved)).unwrap().request.headers
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).map(|value| value.to_str().unwrap())
}

#[test]
fn the_vendors_own_client_passes_as_itself() {
    let of = [
        ("originator", "codex_exec"),
        ("user-agent", EXEC),
        ("session-id", "s"),
        ("x-codex-window-id", "s:0"),
    ];
    let sent = sent(json!({"user_agent": "mine"}), &of, &account(), false);
    for (name, value) in of {
        assert_eq!(text(&sent, name), Some(value));
    }
    assert_eq!(text(&sent, "authorization"), Some("Bearer a"));
    assert_eq!(text(&sent, "chatgpt-account-id"), Some("acc-1"));
    assert_eq!(text(&sent, "accept"), Some("text/event-stream"));
    assert_eq!(text(&sent, "content-type"), Some("application/json"));
    assert_eq!(text(&sent, "version"), Some("0.169.0"), "its own statement, where upstream reads it");
    assert!(sent["authorization"].is_sensitive());
}

#[test]
fn all_other_clients_are_us() {
    for of in [
        &[][..],
        &[("user-agent", "curl/8.1")],
        &[("user-agent", "OpenAI/Python 3.52.0"), ("version", "0.169.0")],
        &[("originator", "opencode"), ("user-agent", EXEC)],
    ] {
        let own = sent(json!({}), of, &account(), false);
        assert_eq!(
            (text(&own, "originator"), text(&own, "user-agent"), text(&own, "version")),
            (Some("pollux"), None, None)
        );
        assert_eq!(
            text(&sent(json!({"user_agent": "mine/1"}), of, &account(), false), "user-agent"),
            Some("mine/1")
        );
    }
}

#[test]
fn a_version_is_never_guessed() {
    let of = [("originator", "codex_vscode"), ("user-agent", "node/1.0")];
    let sent = sent(json!({}), &of, &account(), false);
    assert_eq!((text(&sent, "originator"), text(&sent, "version")), (Some("codex_vscode"), None));
}

#[test]
fn a_moved_session_loses_its_turn_state_only() {
    let of = [("x-codex-turn-state", "t"), ("session-id", "s")];
    assert_eq!(text(&sent(json!({}), &of, &account(), false), "x-codex-turn-state"), Some("t"));
    let moved = sent(json!({}), &of, &account(), true);
    assert_eq!((text(&moved, "x-codex-turn-state"), text(&moved, "session-id")), (None, Some("s")));
}

#[test]
fn an_account_in_the_government_cloud_says_so() {
    let mut account = account();
    assert_eq!(text(&sent(json!({}), &[], &account, false), "x-openai-fedramp"), None);
    account.extra.insert("fedramp".into(), true.into());
    assert_eq!(text(&sent(json!({}), &[], &account, false), "x-openai-fedramp"), Some("true"));
}

#[test]
fn an_account_without_token_or_id_cannot_be_used() {
    let call = call("/responses", "m", &[], r#"{"input":[]}"#);
    let broken: [fn(&mut Credential); 4] = [
        |account| account.access = None,
        |account| account.access = Some(Secret::new("a\nb")),
        |account| account.extra.clear(),
        |account| drop(account.extra.insert("account_id".into(), "\n".into())),
    ];
    for damage in broken {
        let mut account = account();
        damage(&mut account);
        let refused = provider(json!({})).prepare(&call, &Lease::new(&account, false)).unwrap_err();
        assert!(matches!(refused, Refusal::Credential(_)), "{refused:?}");
    }
}

#[test]
fn a_client_that_names_its_version_gets_the_vendors_catalogue() {
    let codex = provider(json!({}));
    let own =
        json!({"slug": "gpt-9", "display_name": "GPT-9", "priority": 7, "odd": {"x": 1}, "upgrade": null});
    let models = [
        Model { id: "gpt-9".into(), entry: own },
        Model::named("gpt-5.5"),
        Model::named("codex-auto-review"),
    ];
    let pool = PoolView { accounts: &[], models: &models, now: at(0) };
    let list = |query: &str| {
        let mut call = call("/responses", "", &[], "");
        call.endpoint = Endpoint::get("/models", Operation::Models, Dialect::Responses);
        call.query = query.into();
        codex
            .answer(&call, &pool)
            .map(|reply| serde_json::from_slice::<Value>(&reply.body).unwrap()["models"].take())
    };
    assert_eq!((list(""), list("limit=2"), list("x_client_version=1")), (None, None, None));
    let list = list("a=b&client_version=0.169.0").unwrap();
    assert_eq!(
        (&list[0]["priority"], &list[0]["odd"]["x"], &list[0]["display_name"]),
        (&json!(7), &json!(1), &json!("GPT-9"))
    );
    assert_eq!(
        (&list[1]["slug"], &list[1]["visibility"], &list[2]["visibility"]),
        (&json!("gpt-5.5"), &json!("list"), &json!("hide"))
    );
    for required in [
        "base_instructions",
        "upgrade",
        "experimental_supported_tools",
        "truncation_policy",
        "supports_parallel_tool_calls",
        "shell_type",
        "use_responses_lite",
        "priority",
        "supported_reasoning_levels",
    ] {
        assert!(list.as_array().unwrap().iter().all(|entry| entry.get(required).is_some()), "{required}");
    }
}

#[test]
fn a_socket_is_asked_for_in_the_vendors_terms() {
    let shake = |of: &[(&str, &str)], moved| {
        let call = on_socket(call("/responses", "", of, ""));
        provider(json!({})).prepare(&call, &Lease::new(&account(), moved)).unwrap()
    };
    let plain = shake(&[("x-codex-turn-state", "t")], false);
    assert_eq!((plain.answers, plain.request.method.as_str()), (Shape::Socket, "GET"));
    assert!(plain.request.url.ends_with("/backend-api/codex/responses") && plain.request.body.is_empty());
    let sent = &plain.request.headers;
    assert_eq!(text(sent, "openai-beta"), Some("responses_websockets=2026-02-06"));
    assert_eq!((text(sent, "accept"), text(sent, "x-codex-turn-state")), (None, Some("t")));
    assert_eq!((text(sent, "authorization"), text(sent, "originator")), (Some("Bearer a"), Some("pollux")));
    let newer = shake(&[("openai-beta", "responses_websockets=2027-01-01")], false).request.headers;
    assert_eq!(
        text(&newer, "openai-beta"),
        Some("responses_websockets=2027-01-01"),
        "its client knows better"
    );
    let moved = shake(&[("x-codex-turn-state", "t")], true).request.headers;
    assert_eq!(text(&moved, "x-codex-turn-state"), None);
}

#[test]
fn a_sockets_model_is_known_ahead_where_its_client_says_so() {
    let endpoint = Endpoint::get("/responses", Operation::Generate, Dialect::Responses).shaped(Shape::Socket);
    for (of, model) in [
        (("x-codex-routing-hint", "model=gpt-5.5"), Some("gpt-5.5")),
        (("x-codex-turn-metadata", r#"{"turn_id":"t","model":"gpt-6-astra"}"#), Some("gpt-6-astra")),
        (("x-codex-turn-metadata", "no json"), None),
        (("x-codex-routing-hint", "region=x"), None),
    ] {
        let (headers, body) = (headers(&[of]), Payload::default());
        let facts = provider(json!({})).probe(&pollux_sdk::Inbound {
            endpoint: &endpoint,
            model: None,
            query: "",
            headers: &headers,
            body: &body,
        });
        assert_eq!(facts.model.as_deref(), model, "{of:?}");
    }
}
