use super::*;
use pollux_sdk::Redirect;

fn refusal(section: Value) -> String {
    match crate::build(Settings { id: "codex", section }) {
        Ok(_) => panic!("it was accepted"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_wrong_section_is_refused_and_the_key_is_named() {
    for (section, key) in [
        (json!({"modle_list": []}), "modle_list"),
        (json!({"model_list": "m"}), "model_list"),
        (json!({"model_list": [" "]}), "model_list"),
        (json!({"api_url": "chatgpt.com"}), "api_url"),
        (json!({"oauth": {"token_url": "ftp://a.example"}}), "oauth.token_url"),
        (json!({"oauth": {"client": "x"}}), "client"),
        (json!({"user_agent": "a\nb"}), "user_agent"),
    ] {
        assert!(refusal(section.clone()).contains(key), "{section}");
    }
    for section in samples()["bad_config"].as_array().unwrap() {
        assert!(refusal(section.clone()).starts_with("providers.codex: "), "{section}");
    }
}

#[test]
fn empty_texts_are_defaults() {
    let empty = json!({"api_url": " ", "user_agent": "", "model_list": [],
        "oauth": {"authorize_url": "", "token_url": "", "userinfo_url": "", "client_id": "", "client_secret": ""}});
    let (empty, none) = (provider(empty), provider(json!({})));
    let look = |provider: &dyn Provider| {
        let call = call("/responses", "m", &[], r#"{"input":[]}"#);
        let account = account();
        let attempt = provider.prepare(&call, &Lease::new(&account, false)).unwrap();
        let script = Script::default();
        let _ = wait(provider.obtain(&script, Grant::Refresh(&account)));
        let sent = script.sent().remove(0);
        let login = provider.descriptor().login.clone().unwrap();
        (attempt.request.url, attempt.request.headers, sent.url, sent.body, sent.headers, login.authorize)
    };
    assert_eq!(look(empty.as_ref()), look(none.as_ref()));
    assert_eq!(empty.descriptor().models, none.descriptor().models);
    assert!(!none.descriptor().models.is_empty());
}

#[test]
fn no_debug_output_shows_the_clients_secret() {
    let section = json!({"oauth": {"client_secret": "hush"}});
    let config = crate::config::read(Settings { id: "codex", section }).unwrap();
    assert_eq!(config.oauth.secret(), Some("hush"));
    assert!(!format!("{config:?}").contains("hush"));
}

#[test]
fn the_predecessors_name_of_the_api_url_still_works() {
    let provider = provider(json!({"custom_api_url": "http://127.0.0.1:9/"}));
    let call = call("/responses", "m", &[], r#"{"input":[]}"#);
    let attempt = provider.prepare(&call, &Lease::new(&account(), false)).unwrap();
    assert_eq!(attempt.request.url, "http://127.0.0.1:9/backend-api/codex/responses");
}

#[test]
fn the_login_says_truly_who_asks() {
    let login =
        provider(json!({"oauth": {"client_id": "mine", "authorize_url": "http://127.0.0.1:9/a?x=1"}}))
            .descriptor()
            .login
            .clone()
            .unwrap();
    assert_eq!(
        login.authorize,
        "http://127.0.0.1:9/a?x=1&response_type=code&client_id=mine\
         &scope=openid%20profile%20email%20offline_access%20api.connectors.read%20api.connectors.invoke\
         &id_token_add_organizations=true&codex_cli_simplified_flow=true&originator=pollux"
    );
    assert_eq!(login.redirect, Redirect::Loopback(&[1455, 1457], "/auth/callback"));
}
