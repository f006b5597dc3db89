use super::*;
use pollux_sdk::Method;

/// `sub`, e-mail, account, user and plan.
const ID: &str = concat!(
    "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.eyJzdWIiOiJhdXRoMHwxIiwiZW1haWwiOiJhZGFAZXhhbXBsZS5vcmciLCJodHRwczovL2Fw",
    "aS5vcGVuYWkuY29tL2F1dGgiOnsiY2hhdGdwdF9hY2NvdW50X2lkIjoiYWNjLTEiLCJjaGF0Z3B0X3VzZXJfaWQiOiJ1c2VyLTEiLCJjaGF0",
    "Z3B0X3BsYW5fdHlwZSI6InBsdXMifX0.c2ln"
);
/// The same claims under the names that access tokens have, and `exp` 1795100000.
const ACCESS: &str = concat!(
    "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.eyJleHAiOjE3OTUxMDAwMDAsImh0dHBzOi8vYXBpLm9wZW5haS5jb20vYXV0aCI6eyJjaGF0",
    "Z3B0X2FjY291bnRfaWQiOiJhY2MtMSIsInVzZXJfaWQiOiJ1c2VyLTEiLCJjaGF0Z3B0X3BsYW5fdHlwZSI6InBsdXMifSwiaHR0cHM6Ly9h",
    "cGkub3BlbmFpLmNvbS9wcm9maWxlIjp7ImVtYWlsIjoiYWRhQGV4YW1wbGUub3JnIn19.c2ln"
);

fn import(file: &Value) -> Option<Credential> {
    provider(json!({})).import(file)
}

fn tokens(credential: &Credential) -> (Option<&str>, Option<&str>) {
    (credential.refresh.as_ref().map(Secret::expose), credential.access.as_ref().map(Secret::expose))
}

fn error(outcome: Result<Credential, AccountError>) -> String {
    match outcome {
        Ok(_) => panic!("it succeeded"),
        Err(AccountError::Suspend(reason)) => format!("suspend {}: {}", reason.code, reason.text),
        Err(AccountError::Transient(text)) => format!("transient {text}"),
        Err(AccountError::Unsure(text)) => format!("unsure {text}"),
    }
}

#[test]
fn takes_what_has_a_token_and_nothing_else() {
    for file in [
        json!({"refresh_token": " r "}),
        json!({"refreshToken": "r", "project_id": "p"}),
        json!({"refresh_token": "", "refreshToken": "r"}),
    ] {
        let credential = import(&file).unwrap();
        assert_eq!((tokens(&credential), credential.expires_at), ((Some("r"), None), None), "{file}");
    }
    for file in [
        json!(null),
        json!([]),
        json!("r"),
        json!({}),
        json!({"refresh_token": " "}),
        json!({"refresh_token": 5}),
        json!({"refresh_token": null}),
        json!({"OPENAI_API_KEY": "sk-1"}),
        json!({"auth_mode": "apikey", "OPENAI_API_KEY": "sk-1", "tokens": null, "last_refresh": null}),
    ] {
        assert!(import(&file).is_none(), "{file}");
    }
}

#[test]
fn a_file_of_codex_cli_brings_tokens_account_and_expiry() {
    let file = &samples()["files"][2];
    let credential = import(file).unwrap();
    assert_eq!(tokens(&credential), (Some("r"), Some(ACCESS)));
    assert_eq!((credential.extra("id_token"), credential.extra("account_id")), (Some(ID), Some("acc-1")));
    assert_eq!(credential.expires_at, Some(at(1_795_100_000)));
    let opaque = import(&json!({"tokens": {"access_token": "opaque"}})).unwrap();
    assert_eq!(
        (tokens(&opaque), opaque.expires_at),
        ((None, Some("opaque")), Some(UNIX_EPOCH)),
        "of unknown age, so old"
    );
}

#[test]
fn export_writes_its_own_fields_and_import_reads_them_back() {
    let codex = provider(json!({}));
    let credential = import(&samples()["files"][2]).unwrap();
    let mut file = Value::Null;
    codex.export(&credential, &mut file);
    assert_eq!(
        file,
        json!({"auth_mode": "chatgpt", "OPENAI_API_KEY": null,
            "tokens": {"id_token": ID, "access_token": ACCESS, "refresh_token": "r", "account_id": "acc-1"}})
    );
    for old in [
        json!({"tokens": {"refresh_token": "old", "odd": 1}, "last_refresh": "then", "odd": [2]}),
        json!({"refresh_token": "old", "odd": [2]}),
        json!({"refreshToken": "old", "odd": [2]}),
    ] {
        let mut file = old.clone();
        codex.export(&credential, &mut file);
        assert_eq!(file["odd"], old["odd"]);
        assert!(
            !(file.get("refreshToken").is_some() && file.get("refresh_token").is_some()),
            "one token, one name"
        );
        assert_eq!(file["tokens"]["odd"], old["tokens"]["odd"]);
        assert_eq!(file["last_refresh"], old["last_refresh"]);
        let back = codex.import(&file).unwrap();
        assert_eq!(
            (tokens(&back), &back.extra, back.expires_at),
            (tokens(&credential), &credential.extra, credential.expires_at),
            "{old}"
        );
    }
}

#[test]
fn a_code_goes_as_a_form_and_a_refresh_as_json() {
    let codex = provider(
        json!({"oauth": {"client_id": "app", "client_secret": "s&s", "token_url": "http://127.0.0.1:9/t"}}),
    );
    let script =
        Script::new(vec![(200, json!({"access_token": ACCESS, "refresh_token": "r2", "id_token": ID})); 2]);
    let code = Grant::Code {
        code: "c/1",
        state: "s",
        verifier: "v",
        redirect_uri: "http://localhost:1455/auth/callback",
    };
    let credential = wait(codex.obtain(&script, code)).unwrap();
    assert_eq!((tokens(&credential), credential.extra("id_token")), ((Some("r2"), Some(ACCESS)), Some(ID)));
    assert_eq!(credential.expires_at, Some(at(1_795_100_000)));
    wait(codex.obtain(&script, Grant::Refresh(&account()))).unwrap();
    let sent = script.sent();
    assert_eq!(
        std::str::from_utf8(&sent[0].body).unwrap(),
        "client_id=app&client_secret=s%26s&grant_type=authorization_code&code=c%2F1&code_verifier=v\
         &redirect_uri=http%3A%2F%2Flocalhost%3A1455%2Fauth%2Fcallback"
    );
    assert_eq!(sent[0].headers["content-type"], "application/x-www-form-urlencoded");
    assert_eq!(
        serde_json::from_slice::<Value>(&sent[1].body).unwrap(),
        json!({"client_id": "app", "grant_type": "refresh_token", "refresh_token": "r", "client_secret": "s&s"})
    );
    assert_eq!(
        (sent[1].url.as_str(), &sent[1].headers["content-type"]),
        ("http://127.0.0.1:9/t", &HeaderValue::from_static("application/json"))
    );
}

#[test]
fn an_opaque_access_token_lives_as_long_as_the_answer_says() {
    for (answer, end) in [
        (json!({"access_token": "a2", "expires_in": 60}), 1_795_000_060),
        (json!({"access_token": "a2"}), 1_795_003_600),
        (json!({"access_token": "a2", "expires_in": u64::MAX}), 1_795_000_000),
    ] {
        let script = Script::new([(200, answer.clone())]);
        let credential = wait(provider(json!({})).obtain(&script, Grant::Refresh(&account()))).unwrap();
        assert_eq!(
            (tokens(&credential), credential.expires_at),
            ((None, Some("a2")), Some(at(end))),
            "{answer}"
        );
    }
}

#[test]
fn a_refresh_that_may_have_arrived_is_never_called_a_failure() {
    let codex = provider(json!({}));
    let refresh = |unsent: bool| {
        let script = Script::default();
        let silence = Unreachable { sent: !unsent, text: "reset".into() };
        script.replies.lock().unwrap().push_back(Err(silence));
        error(wait(codex.obtain(&script, Grant::Refresh(&account()))))
    };
    assert!(refresh(false).starts_with("unsure"));
    assert!(refresh(true).starts_with("transient"));
    let mut keyless = account();
    keyless.refresh = None;
    let script = Script::default();
    assert!(
        error(wait(codex.obtain(&script, Grant::Refresh(&keyless)))).starts_with("suspend no_refresh_token")
    );
    assert!(script.sent().is_empty());
}

#[test]
fn a_reused_refresh_token_names_the_other_copy_and_no_error_shows_a_token() {
    let codex = provider(json!({}));
    let refused =
        |status, body| error(wait(codex.obtain(&Script::new([(status, body)]), Grant::Refresh(&account()))));
    let reused = refused(401, json!({"error": {"code": "refresh_token_reused"}}));
    assert!(reused.contains("another copy of this login is in use elsewhere"), "{reused}");
    for status in [400, 401, 500] {
        let text = refused(status, json!({"error": "rt_SECRET is not known"}));
        assert!(!text.contains("SECRET"), "{text}");
    }
}

#[test]
fn enrolment_reads_the_identity_from_the_tokens() {
    let codex = provider(json!({}));
    let enroll = |credential| wait(codex.enroll(&Script::default(), credential)).map(|mut all| all.remove(0));
    for (id, access) in
        [(Some(ID), "opaque"), (None, ACCESS), (Some("junk"), ACCESS), (Some("a.b.c"), ACCESS)]
    {
        let mut login = Credential::from_refresh("r");
        login.access = Some(Secret::new(access));
        login.extra.extend(id.map(|id| ("id_token".to_owned(), id.into())));
        let account = enroll(login).unwrap();
        assert_eq!(account.subject.as_deref(), Some("user-1/acc-1"));
        assert_eq!(account.label.as_deref(), Some("ada@example.org"));
        assert_eq!((account.extra("account_id"), account.extra("plan")), (Some("acc-1"), Some("plus")));
        assert_eq!(account.extra["fedramp"], false);
        assert_eq!(tokens(&account), (Some("r"), Some(access)), "nothing is lost");
    }
    let mut login = Credential::from_refresh("r");
    assert!(error(enroll(login.clone())).starts_with("suspend no_account_id"));
    login.extra.insert("account_id".into(), "acc-1".into());
    assert!(error(enroll(login.clone())).starts_with("suspend no_identity"));
    let auth = "eyJodHRwczovL2FwaS5vcGVuYWkuY29tL2F1dGgiOnsidXNlcl9pZCI6InVzZXItMiJ9fQ"; // only a user id
    login.access = Some(Secret::new(format!("e30.{auth}.x")));
    login.label = Some("mine".into());
    let account = enroll(login).unwrap();
    assert_eq!((account.subject.as_deref(), account.label.as_deref()), (Some("user-2/acc-1"), Some("mine")));
}

#[test]
fn a_survey_brings_quota_plan_and_models() {
    let usage = json!({"plan_type": "pro", "rate_limit": {
        "primary_window": {"used_percent": 42, "limit_window_seconds": 18000, "reset_at": 1_795_000_060},
        "secondary_window": null}});
    let list = json!({"models": [{"slug": "gpt-9", "odd": 1}, {"display_name": "without a slug"}]});
    let script = Script::new([(200, usage.clone()), (200, list)]);
    let codex = provider(json!({"api_url": "http://127.0.0.1:9", "user_agent": "mine/1"}));
    let survey = wait(codex.survey(&script, &account())).unwrap();
    let windows = survey.quota.unwrap().windows;
    assert_eq!(
        (windows.len(), windows[0].length, windows[0].used),
        (1, Some(Duration::from_hours(5)), Some(0.42))
    );
    assert_eq!(survey.extra["plan"], "pro");
    let models = survey.models.unwrap();
    assert_eq!((models.len(), models[0].id.as_str(), &models[0].entry["odd"]), (1, "gpt-9", &json!(1)));
    let sent = script.sent();
    assert_eq!(sent[0].url, "http://127.0.0.1:9/backend-api/wham/usage");
    assert_eq!(sent[1].url, "http://127.0.0.1:9/backend-api/codex/models?client_version=0.169.0");
    assert!(sent.iter().all(|request| request.method == Method::GET
        && request.headers["chatgpt-account-id"] == "acc-1"
        && request.headers["user-agent"] == "mine/1"));

    for (status, body) in [(500, json!({})), (200, json!({"models": []})), (200, json!("<html>"))] {
        let survey =
            wait(codex.survey(&Script::new([(200, usage.clone()), (status, body)]), &account())).unwrap();
        assert!(survey.models.is_none() && survey.quota.is_some());
    }
}

#[test]
fn a_survey_suspends_only_for_what_is_for_good() {
    let codex = provider(json!({}));
    let survey = |status, body| match wait(codex.survey(&Script::new([(status, body)]), &account())) {
        Err(AccountError::Suspend(reason)) => reason.code.into_owned(),
        Err(AccountError::Transient(_)) => "transient".into(),
        other => panic!("{other:?}"),
    };
    assert_eq!(survey(402, json!({"detail": {"code": "deactivated_workspace"}})), "deactivated_workspace");
    assert_eq!(survey(401, json!({"error": {"code": "account_deactivated"}})), "account_deactivated");
    assert_eq!(survey(401, json!({"error": {"code": "token_expired"}})), "transient");
    assert_eq!(survey(429, json!({"detail": "slow"})), "transient");
    assert_eq!(survey(500, json!("<html>")), "transient");
    assert!(
        matches!(wait(codex.survey(&Script::default(), &account())), Err(AccountError::Transient(_))),
        "nothing was spent"
    );
}

#[test]
fn files_are_recognised_by_their_members_and_tokens() {
    use pollux_sdk::Recognition::{self, Foreign, Own, Possible};
    let recognise = |file: &Value| provider(json!({})).recognise(file);
    for (file, expected) in [
        (json!({"tokens": {"refresh_token": "r"}}), Own),
        (json!({"refresh_token": "rt_1"}), Own),
        (json!({"access_token": ACCESS}), Own),
        (json!({"refresh_token": "r"}), Possible),
        (json!({"refresh_token": "1//r", "expiry_date": 1}), Possible),
        (json!({"api_key": "k"}), Foreign),
        (json!({}), Foreign),
    ] {
        assert_eq!(recognise(&file), expected, "{file}");
    }
    for (file, code) in [
        (json!({"OPENAI_API_KEY": "sk-1", "tokens": null}), "api_key_only"),
        (json!({"OPENAI_API_KEY": null, "tokens": null}), "no_tokens"),
        (json!({"tokens": {}}), "no_tokens"),
    ] {
        let recognition = recognise(&file);
        let Recognition::Unusable(reason) = &recognition else { panic!("{file} is {recognition:?}") };
        assert_eq!(reason.code, code, "{file}");
        assert!(!reason.text.contains("sk-1"));
    }
}
