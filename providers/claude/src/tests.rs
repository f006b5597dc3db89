//! What the samples cannot say: files in detail, headers, lists.

use crate::{account, catalogue, reply::usage_quota, request};
use pollux_sdk::{
    Bytes, Call, Credential, Dialect, Endpoint, HeaderMap, HeaderName, HeaderValue, Lease, Model, Operation,
    Payload, PoolView, Provider, Refusal, Request, Secret, Settings, Shape, kit::oauth::Section,
};
use serde_json::{Value, json};
use std::{
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

fn provider(section: Value) -> Arc<dyn Provider> {
    crate::build(Settings { id: "claude", section }).unwrap()
}

fn section() -> Section {
    Section::read(Settings { id: "claude", section: json!({}) }, &crate::config::USUAL).unwrap()
}

fn headers(of: &[(&str, &str)]) -> HeaderMap {
    let pair = |(name, value): &(&str, &str)| {
        (HeaderName::try_from(*name).unwrap(), HeaderValue::try_from(*value).unwrap())
    };
    of.iter().map(pair).collect()
}

fn call(endpoint: Endpoint, of: &[(&str, &str)], body: impl Into<Bytes>) -> Call {
    Call {
        endpoint,
        dialect: Dialect::Messages,
        model: "claude-opus-5-5".into(),
        shape: Shape::Whole,
        query: String::new(),
        headers: headers(of),
        body: Payload::new(body.into()),
    }
}

fn generate(of: &[(&str, &str)], body: &str) -> Call {
    call(Endpoint::post("/messages", Operation::Generate, Dialect::Messages), of, body.to_owned())
}

fn prepared(call: &Call, account: &Credential) -> Request {
    request::prepare(&section(), call, &Lease::new(account, false)).unwrap().request
}

fn login() -> Credential {
    Credential { access: Some(Secret::new("a")), ..Credential::from_refresh("r") }
}

fn header<'a>(request: &'a Request, name: &str) -> Option<&'a str> {
    request.headers.get(name).and_then(|value| value.to_str().ok())
}

#[test]
fn a_wrong_section_is_refused_in_the_providers_name() {
    let samples: Value = serde_json::from_str(include_str!("../samples.json")).unwrap();
    for section in samples["bad_config"].as_array().unwrap() {
        let refusal = crate::build(Settings { id: "claude", section: section.clone() });
        let refusal = refusal.err().expect("it is refused").to_string();
        assert!(refusal.starts_with("providers.claude: "), "{section}: {refusal}");
    }
}

#[test]
fn files_give_what_they_hold() {
    let end = |seconds| Some(UNIX_EPOCH + Duration::from_secs(seconds));
    for (file, access, refresh, expires_at) in [
        (json!({"api_key": " k "}), Some("k"), None, None),
        (json!({"env": {"ANTHROPIC_API_KEY": "k"}}), Some("k"), None, None),
        (json!({"CLAUDE_CODE_OAUTH_TOKEN": "sk-ant-oat01-y"}), Some("sk-ant-oat01-y"), None, None),
        (json!({"refresh_token": "r"}), None, Some("r"), None),
        (json!({"refresh_token": "r", "access_token": "a"}), Some("a"), Some("r"), end(0)),
        (
            json!({"claudeAiOauth": {"refreshToken": "r", "accessToken": "a", "expiresAt": 5000}}),
            Some("a"),
            Some("r"),
            end(5),
        ),
        (json!({"claudeAiOauth": {"accessToken": "a"}}), Some("a"), None, None),
        (json!({"claudeAiOauth": {"accessToken": "a"}, "api_key": "k"}), Some("a"), None, None),
        (json!({"claudeAiOauth": null, "api_key": "k"}), Some("k"), None, None),
    ] {
        let read = account::import(&file).unwrap_or_else(|| panic!("{file}"));
        assert_eq!(read.access.as_ref().map(Secret::expose), access, "{file}");
        assert_eq!(read.refresh.as_ref().map(Secret::expose), refresh, "{file}");
        assert_eq!(read.expires_at, expires_at, "{file}");
    }
}

#[test]
fn logins_of_other_vendors_are_not_taken() {
    for file in [
        json!({"tokens": {"refresh_token": "r"}, "OPENAI_API_KEY": null}),
        json!({"refresh_token": "r", "access_token": "a", "expiry_date": 5}),
        json!({"refresh_token": "r", "client_id": "c", "client_secret": "s", "type": "authorized_user"}),
        json!({"refresh_token": "r", "id_token": "i"}),
        json!({"env": {"ANTHROPIC_AUTH_TOKEN": "a gateway's"}}),
    ] {
        assert!(account::import(&file).is_none(), "{file}");
    }
}

#[test]
fn tokens_are_written_back_to_where_they_were() {
    let renewed = Credential {
        access: Some(Secret::new("a2")),
        expires_at: Some(UNIX_EPOCH + Duration::from_secs(7)),
        ..Credential::from_refresh("r2")
    };
    let key = Credential::from_key("k2");
    for (credential, before, after) in [
        (&key, json!({"api_key": "k", "x": 1}), json!({"api_key": "k2", "x": 1})),
        (
            &key,
            json!({"env": {"ANTHROPIC_API_KEY": "k", "x": 1}}),
            json!({"env": {"ANTHROPIC_API_KEY": "k2", "x": 1}}),
        ),
        (&key, json!(null), json!({"api_key": "k2"})),
        (
            &renewed,
            json!({"refresh_token": "r"}),
            json!({"refresh_token": "r2", "accessToken": "a2", "expiresAt": 7000}),
        ),
        (
            &renewed,
            json!({"mcp": {}, "claudeAiOauth": {"refreshToken": "r", "accessToken": "a", "scopes": ["x"]}}),
            json!({"mcp": {}, "claudeAiOauth": {"refreshToken": "r2", "accessToken": "a2", "scopes": ["x"], "expiresAt": 7000}}),
        ),
        (
            &renewed,
            json!(null),
            json!({"claudeAiOauth": {"scopes": [], "refreshToken": "r2", "accessToken": "a2", "expiresAt": 7000}}),
        ),
    ] {
        let mut file = before.clone();
        account::export(credential, &mut file);
        assert_eq!(file, after, "{before}");
    }
}

#[test]
fn betas_of_several_headers_stay_and_what_a_login_needs_is_there_once() {
    let body = r#"{"model":"claude-opus-5-5"}"#;
    let own = "oauth-2025-04-20";
    for (given, expected) in [
        (vec![], own.to_owned()),
        (vec!["a, b"], format!("a,b,{own}")),
        (vec!["a", "b"], format!("a,b,{own}")),
        (vec![own], own.to_owned()),
        (vec!["not-oauth-2025-04-20"], format!("not-{own},{own}")),
    ] {
        let mut call = generate(&[], body);
        for value in &given {
            call.headers.append("anthropic-beta", HeaderValue::from_static(value));
        }
        let request = prepared(&call, &login());
        assert_eq!(request.headers.get_all("anthropic-beta").iter().count(), 1, "{given:?}");
        assert_eq!(header(&request, "anthropic-beta"), Some(expected.as_str()), "{given:?}");
    }
    let request = prepared(&generate(&[("anthropic-beta", "a")], body), &Credential::from_key("k"));
    assert_eq!(header(&request, "anthropic-beta"), Some("a"), "a key needs none");
}

#[test]
fn only_a_renamed_model_changes_a_body() {
    let body = r#"{ "model" : "claude-opus-5-5", "x":1.50 }"#;
    assert_eq!(&prepared(&generate(&[], body), &login()).body[..], body.as_bytes());
    let renamed = prepared(&generate(&[], r#"{"model":"opus", "x":1.50}"#), &login());
    assert_eq!(&renamed.body[..], br#"{"x":1.50,"model":"claude-opus-5-5"}"#);
    for body in ["", "[]", "null", "{"] {
        let refused = request::prepare(&section(), &generate(&[], body), &Lease::new(&login(), false));
        assert!(matches!(refused, Err(Refusal::Request(_))), "{body}");
    }
}

#[test]
fn the_query_goes_up_as_it_came() {
    let mut call = generate(&[], r#"{"model":"claude-opus-5-5"}"#);
    assert_eq!(prepared(&call, &login()).url, "https://api.anthropic.com/v1/messages");
    call.query = "beta=true".into();
    assert_eq!(prepared(&call, &login()).url, "https://api.anthropic.com/v1/messages?beta=true");
}

#[test]
fn lists_have_the_vendors_entries_under_the_names_offered() {
    let entry = json!({"type": "model", "id": "claude-haiku-4-5-20251001", "display_name": "Claude Haiku 4.5",
        "created_at": "2025-10-01T00:00:00Z", "max_tokens": 64000});
    let models = [Model { id: "claude-haiku-4-5".into(), entry }, Model::named("claude-next")];
    let view = PoolView { accounts: &[], models: &models, now: UNIX_EPOCH };
    let ask = |path, model: &str| {
        let endpoint = Endpoint::get(path, Operation::Models, Dialect::Messages);
        let call = Call { model: model.into(), ..call(endpoint, &[], "") };
        let reply = catalogue::answer(&call, &view)?;
        Some(serde_json::from_slice::<Value>(&reply.body).unwrap())
    };
    let list = ask("/models", "").unwrap();
    assert_eq!((&list["first_id"], &list["last_id"]), (&json!("claude-haiku-4-5"), &json!("claude-next")));
    assert_eq!(
        (&list["data"][0]["id"], &list["data"][0]["max_tokens"]),
        (&json!("claude-haiku-4-5"), &json!(64000))
    );
    assert_eq!(list["data"][1]["created_at"], "1970-01-01T00:00:00Z");
    assert_eq!(ask("/models/{model}", "claude-next").unwrap(), list["data"][1]);
    assert_eq!(ask("/models/{model}", "claude-1"), None);
}

#[test]
fn the_usage_page_tells_percent_and_times_with_fractions() {
    let usage = json!({
        "five_hour": {"utilization": 15.0, "resets_at": "2026-11-21T10:00:00.000000+00:00"},
        "seven_day": {"utilization": 148.0, "resets_at": null},
        "seven_day_opus": null,
        "seven_day_sonnet": {"utilization": "many", "resets_at": 5},
    });
    let windows = usage_quota(&usage).unwrap().windows;
    assert_eq!(windows.iter().map(|window| window.used).collect::<Vec<_>>(), [Some(0.15), Some(1.0)]);
    assert_eq!(windows[0].resets_at, pollux_sdk::kit::unix(1_795_255_200.0));
    assert_eq!((windows[1].resets_at, usage_quota(&json!({}))), (None, None));
}

#[test]
fn the_descriptor_asks_for_no_right_too_many() {
    let provider = provider(json!({}));
    let login = provider.descriptor().login.clone().unwrap();
    assert!(login.authorize.ends_with("&scope=user%3Aprofile%20user%3Ainference"), "{}", login.authorize);
    assert!(!login.authorize.contains("create_api_key"));
}

#[test]
fn files_are_recognised_by_their_members_and_tokens() {
    use pollux_sdk::Recognition::{Foreign, Own, Possible, Unusable};
    let recognise = |file: &Value| provider(json!({})).recognise(file);
    for (file, expected) in [
        (json!({"claudeAiOauth": {"refreshToken": "r"}}), Own),
        (json!({"refresh_token": "sk-ant-ort01-r"}), Own),
        (json!({"api_key": "sk-ant-api03-k", "plan_type": "max"}), Own),
        (json!({"env": {"ANTHROPIC_API_KEY": "k"}}), Own),
        (json!({"api_key": "k"}), Possible),
        (json!({"refresh_token": "r"}), Possible),
        (json!({"tokens": {"refresh_token": "r"}}), Foreign),
        (json!({}), Foreign),
    ] {
        assert_eq!(recognise(&file), expected, "{file}");
    }
    assert!(matches!(recognise(&json!({"claudeAiOauth": {}})), Unusable(_)));
}
