//! Files, tokens, and enrolment branch by branch against a scripted Google.

use super::{Script, credential, now, provider, run};
use pollux_sdk::{AccountError, Credential, Grant, Provider, Reason, Secret, Unreachable};
use serde_json::{Value, json};
use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

const BASE: &str = "https://cloudcode-pa.googleapis.com/v1internal";

#[test]
fn blank_tokens_foreign_files_and_other_shapes_are_not_taken() {
    let provider = provider(json!({}));
    for file in [
        json!(null),
        json!("1//r"),
        json!({}),
        json!({"refresh_token": "  "}),
        json!({"refresh_token": 5}),
        json!({"access_token": "ya29.1"}),
        json!({"tokens": {"refresh_token": "r"}, "refresh_token": "r"}),
        json!({"type": "external_account_authorized_user", "refresh_token": "r"}),
    ] {
        assert!(provider.import(&file).is_none(), "{file}");
    }
    let taken =
        provider.import(&json!({"refresh_token": " ", "refreshToken": " 1//r ", "project_id": ""})).unwrap();
    assert_eq!(taken.refresh, Some(Secret::new("1//r")));
    assert!(taken.extra.is_empty() && taken.subject.is_none() && taken.expires_at.is_none());
}

#[test]
fn an_access_token_of_unknown_age_counts_as_expired() {
    let provider = provider(json!({}));
    let end = |rest: Value| {
        let mut file = json!({"refresh_token": "r", "access_token": "a"});
        file.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        provider.import(&file).unwrap().expires_at.unwrap()
    };
    assert_eq!(end(json!({})), SystemTime::UNIX_EPOCH);
    assert_eq!(end(json!({"expiry_date": -5})), SystemTime::UNIX_EPOCH);
    assert_eq!(end(json!({"expiry_date": "soon"})), SystemTime::UNIX_EPOCH);
    assert_eq!(end(json!({"expiry_date": 1_795_300_000_000_u64})), now());
    assert!(end(json!({"expiry_date": u64::MAX})) > now(), "no overflow");
}

#[test]
fn a_file_made_from_nothing_is_taken_back_whole() {
    let provider = provider(json!({}));
    let mut before = credential();
    before.expires_at = Some(now());
    before.extra.insert("client_id".into(), "own".into());
    let mut file = Value::Null;
    provider.export(&before, &mut file);
    assert_eq!(file["token_type"], "Bearer");
    let after = provider.import(&file).unwrap();
    assert_eq!((&after.access, &after.refresh), (&before.access, &before.refresh));
    assert_eq!(after.expires_at, before.expires_at);
    assert_eq!((after.extra("project"), after.extra("client_id")), (Some("my-project"), Some("own")));
}

fn form(script: &Script) -> Vec<(String, String)> {
    let asked = script.asked.lock().unwrap();
    let (line, headers, body) = &asked[0];
    assert_eq!(line, "POST https://oauth2.googleapis.com/token");
    assert_eq!(headers["content-type"], "application/x-www-form-urlencoded");
    url::form_urlencoded::parse(body.as_bytes()).into_owned().collect()
}

fn pair(key: &str, value: &str) -> (String, String) {
    (key.to_owned(), value.to_owned())
}

#[test]
fn a_code_is_exchanged_as_a_form_and_tells_who_it_is() {
    let provider = provider(json!({}));
    let id_token = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiIxMDAxIiwiZW1haWwiOiJhQGIuYyJ9.c2ln";
    let answer =
        json!({"access_token": "ya29.1", "expires_in": 3599, "refresh_token": "1//r", "id_token": id_token});
    let script = Script::of([(200, answer)]);
    let redirect_uri = "http://127.0.0.1:8188/oauth2callback";
    let grant = Grant::Code { code: "4/a&b", state: "s", verifier: "v", redirect_uri };
    let login = run(provider.obtain(&script, grant)).unwrap();
    assert_eq!(login.refresh, Some(Secret::new("1//r")));
    assert_eq!(login.expires_at, Some(now() + Duration::from_secs(3599)));
    assert_eq!((login.extra("sub"), login.label.as_deref()), (Some("1001"), Some("a@b.c")));
    let form = form(&script);
    for expected in
        [pair("grant_type", "authorization_code"), pair("code", "4/a&b"), pair("code_verifier", "v")]
    {
        assert!(form.contains(&expected), "{expected:?}");
    }
    assert!(form.contains(&pair("redirect_uri", redirect_uri)));
    assert!(form.iter().any(|(key, value)| key == "client_secret" && value.starts_with("GOCSPX-")));
}

#[test]
fn a_login_without_a_refresh_token_says_what_to_do() {
    let script = Script::of([(200, json!({"access_token": "ya29.1"}))]);
    let grant = Grant::Code { code: "c", state: "s", verifier: "v", redirect_uri: "http://127.0.0.1/x" };
    let reason = suspended(run(provider(json!({})).obtain(&script, grant)));
    assert_eq!(reason.code, "no_refresh_token");
    assert!(reason.link.is_some());
}

#[test]
fn a_login_is_refreshed_with_the_client_it_was_made_with() {
    let provider = provider(json!({"oauth": {"client_id": "configured", "client_secret": "ours"}}));
    let refreshed = |credential: &Credential| {
        let script = Script::of([(200, json!({"access_token": "a"}))]);
        run(provider.obtain(&script, Grant::Refresh(credential))).unwrap();
        form(&script)
    };
    let mut credential = credential();
    assert!(refreshed(&credential).contains(&pair("client_secret", "ours")));
    credential.extra.insert("client_id".into(), "own".into());
    let form = refreshed(&credential);
    assert!(form.contains(&pair("client_id", "own")));
    assert!(!form.iter().any(|(key, _)| key == "client_secret"), "never our secret with a strange client");
    credential.extra.insert("client_secret".into(), "its".into());
    assert!(refreshed(&credential).contains(&pair("client_secret", "its")));
}

#[test]
fn a_refresh_that_got_no_answer_is_told_apart_from_one_that_never_left() {
    for (sent, unsure) in [(true, true), (false, false)] {
        let script = Script::of([]);
        script.replies.lock().unwrap().push_back(Err(Unreachable { sent, text: "reset".into() }));
        let error = run(provider(json!({})).obtain(&script, Grant::Refresh(&credential()))).unwrap_err();
        assert_eq!(matches!(error, AccountError::Unsure(_)), unsure);
    }
}

fn enroll(script: &Script, credential: Credential) -> Result<Vec<Credential>, AccountError> {
    run(provider(json!({})).enroll(script, credential))
}

fn suspended<T: std::fmt::Debug>(outcome: Result<T, AccountError>) -> Reason {
    match outcome {
        Err(AccountError::Suspend(reason)) => reason,
        other => panic!("{other:?}"),
    }
}

fn new_login() -> Credential {
    let mut login = credential();
    login.extra.remove("project");
    login
}

fn one(accounts: Result<Vec<Credential>, AccountError>) -> (String, String, String) {
    let accounts = accounts.unwrap();
    assert_eq!(accounts.len(), 1);
    let text = |key| accounts[0].extra(key).unwrap().to_owned();
    (accounts[0].subject.clone().unwrap(), text("project"), text("tier"))
}

fn triple(subject: &str, project: &str, tier: &str) -> (String, String, String) {
    (subject.into(), project.into(), tier.into())
}

#[test]
fn a_held_tier_is_used_as_it_is() {
    let about = json!({"currentTier": {"id": "free-tier"}, "paidTier": {"id": "g1-pro-tier"}, "allowedTiers": null,
        "cloudaicompanionProject": "managed-p", "ineligibleTiers": [{"reasonCode": "UNSUPPORTED_CLIENT"}]});
    let script = Script::of([(200, about)]);
    assert_eq!(one(enroll(&script, new_login())), triple("1001/managed-p", "managed-p", "g1-pro-tier"));
    assert_eq!(script.asked(), [format!("POST {BASE}:loadCodeAssist")]);
    assert_eq!(
        script.body(0),
        json!({"metadata": {"ideType": "IDE_UNSPECIFIED", "platform": "PLATFORM_UNSPECIFIED", "pluginType": "GEMINI"}})
    );
}

#[test]
fn the_owners_project_is_told_and_used() {
    let script = Script::of([(200, json!({"currentTier": {"id": "standard-tier"}}))]);
    assert_eq!(one(enroll(&script, credential())), triple("1001/my-project", "my-project", "standard-tier"));
    assert_eq!(script.body(0)["cloudaicompanionProject"], "my-project");
    assert_eq!(script.body(0)["metadata"]["duetProject"], "my-project");
}

#[test]
fn who_it_is_comes_from_userinfo_where_no_id_token_told_it() {
    let mut login = credential();
    login.extra.remove("sub");
    let script = Script::of([
        (200, json!({"id": "77", "email": "x@y.z", "verified_email": true})),
        (200, json!({"currentTier": {"id": "standard-tier"}})),
    ]);
    let accounts = enroll(&script, login).unwrap();
    assert_eq!(accounts[0].subject.as_deref(), Some("77/my-project"));
    assert_eq!(accounts[0].label.as_deref(), Some("x@y.z"));
    assert_eq!(script.asked()[0], "GET https://www.googleapis.com/oauth2/v2/userinfo");
}

#[test]
fn the_free_tier_is_onboarded_without_a_project_and_waited_for() {
    let about = json!({"allowedTiers": [{"id": "x"}, {"id": "free-tier", "isDefault": true}], "ineligibleTiers": null});
    let done = json!({"name": "operations/x", "done": true, "response": {"cloudaicompanionProject": {"id": "managed-p"}}});
    let waiting = json!({"name": "operations/x", "done": false});
    let script = Script::of([(200, about), (200, waiting.clone()), (200, waiting), (200, done)]);
    assert_eq!(one(enroll(&script, credential())), triple("1001/managed-p", "managed-p", "free-tier"));
    let poll = format!("GET {BASE}/operations/x");
    assert_eq!(script.asked()[1..], [format!("POST {BASE}:onboardUser"), poll.clone(), poll]);
    assert_eq!(script.body(1)["tierId"], "free-tier");
    assert!(script.body(1).get("cloudaicompanionProject").is_none());
    assert_eq!(*script.paused.lock().unwrap(), Duration::from_secs(10));
}

#[test]
fn other_tiers_are_onboarded_with_the_owners_project() {
    let personal = json!({
        "currentTier": {},
        "allowedTiers": [{"id": "standard-tier", "userDefinedCloudaicompanionProject": true, "isDefault": true}],
        "ineligibleTiers": [{"tierId": "free-tier", "reasonCode": "UNSUPPORTED_CLIENT", "reasonMessage": "No."}]});
    let script = Script::of([(200, personal), (200, json!({"done": true}))]);
    assert_eq!(one(enroll(&script, credential())), triple("1001/my-project", "my-project", "standard-tier"));
    assert_eq!(script.body(1)["cloudaicompanionProject"], "my-project");
    assert_eq!(script.body(1)["metadata"]["duetProject"], "my-project");
    let script = Script::of([(200, json!({})), (200, json!({"done": true}))]);
    assert_eq!(one(enroll(&script, credential())).2, "legacy-tier");
}

#[test]
fn accounts_without_a_project_say_why() {
    let standard =
        json!([{"id": "standard-tier", "userDefinedCloudaicompanionProject": true, "isDefault": true}]);
    let ineligible = |code: &str| json!([{"tierId": "free-tier", "reasonCode": code, "reasonMessage": "The vendor says."}]);
    let link = "https://accounts.google.com/v";
    let validation = json!([{"reasonCode": "UNKNOWN"},
        {"reasonCode": "VALIDATION_REQUIRED", "reasonMessage": "Verify.", "validationUrl": link}]);
    for (about, code, told) in [
        (
            json!({"allowedTiers": standard, "ineligibleTiers": ineligible("UNSUPPORTED_CLIENT")}),
            "unsupported_client",
            None,
        ),
        (
            json!({"currentTier": {"id": "standard-tier"}, "ineligibleTiers": ineligible("UNSUPPORTED_CLIENT")}),
            "unsupported_client",
            None,
        ),
        (json!({"ineligibleTiers": ineligible("UNSUPPORTED_LOCATION")}), "unsupported_location", None),
        (json!({"ineligibleTiers": ineligible("RESTRICTED_AGE")}), "restricted_age", None),
        (json!({"ineligibleTiers": ineligible("<b>")}), "ineligible", None),
        (json!({"allowedTiers": standard}), "project_required", None),
        (json!({"currentTier": {"id": "standard-tier"}}), "project_required", None),
        (json!({}), "project_required", None),
        (json!(null), "project_required", None),
        (
            json!({"allowedTiers": [{"id": "free-tier", "isDefault": true}], "ineligibleTiers": validation}),
            "validation_required",
            Some(link),
        ),
    ] {
        let script = Script::of([(200, about.clone())]);
        let reason = suspended(enroll(&script, new_login()));
        assert_eq!((&*reason.code, reason.link.as_deref()), (code, told), "{about}");
        assert!(!reason.text.is_empty());
    }
}

#[test]
fn a_project_number_is_refused_before_anything_is_asked() {
    let mut login = credential();
    login.extra.insert("project".into(), "123456".into());
    let script = Script::of([]);
    assert_eq!(suspended(enroll(&script, login)).code, "project_required");
    assert!(script.asked().is_empty());
}

fn refused(status: u16, reason: &str) -> (u16, Value) {
    (
        status,
        json!({"error": {"code": status, "message": "The vendor says.", "details": [{"reason": reason}]}}),
    )
}

#[test]
fn a_perimeter_means_the_standard_tier() {
    let script = Script::of([refused(403, "SECURITY_POLICY_VIOLATED")]);
    assert_eq!(one(enroll(&script, credential())).2, "standard-tier");
    let script = Script::of([refused(403, "SECURITY_POLICY_VIOLATED")]);
    assert_eq!(suspended(enroll(&script, new_login())).code, "project_required");
}

#[test]
fn refusals_while_enrolling_are_told_and_passing_ones_repeated() {
    for (reason, code) in [
        ("SUBSCRIPTION_REQUIRED", "subscription_required"),
        ("SERVICE_DISABLED", "service_disabled"),
        ("VALIDATION_REQUIRED", "validation_required"),
    ] {
        assert_eq!(suspended(enroll(&Script::of([refused(403, reason)]), credential())).code, code);
        let script = Script::of([(200, json!({})), refused(403, reason)]);
        assert_eq!(suspended(enroll(&script, credential())).code, code);
    }
    let failed = json!({"name": "operations/x", "done": true, "error": {"code": 9, "message": "Precondition check failed."}});
    let script = Script::of([(200, json!({})), (200, failed)]);
    assert_eq!(suspended(enroll(&script, credential())).code, "onboarding_refused");
    for status in [401, 403, 404, 429, 500, 503] {
        let outcome = enroll(&Script::of([(status, json!({"error": {"message": "x"}}))]), credential());
        assert!(matches!(outcome, Err(AccountError::Transient(_))), "{status}");
    }
    let script = Script::of([]);
    script.replies.lock().unwrap().push_back(Err(Unreachable { sent: true, text: "reset".into() }));
    assert!(
        matches!(enroll(&script, credential()), Err(AccountError::Transient(_))),
        "nothing is spent here"
    );
}

#[test]
fn onboarding_is_waited_for_a_minute_at_most_and_stays_at_its_own_address() {
    let waiting = (200, json!({"name": "operations/x"}));
    let script = Script::of([(200, json!({}))].into_iter().chain(std::iter::repeat_n(waiting, 13)));
    assert!(matches!(enroll(&script, credential()), Err(AccountError::Transient(_))));
    assert_eq!(*script.paused.lock().unwrap(), Duration::from_mins(1));
    for name in ["../../x", "operations/x?alt=media", "operations/x#"] {
        let script = Script::of([(200, json!({})), (200, json!({"name": name}))]);
        assert!(matches!(enroll(&script, credential()), Err(AccountError::Transient(_))), "{name}");
        assert_eq!(script.asked().len(), 2);
    }
}

#[test]
fn the_quota_is_a_window_for_each_model() {
    let provider: Arc<dyn Provider> = provider(json!({"user_agent": "mine/1"}));
    let answer = json!({"buckets": [
        {"modelId": "gemini-2.5-pro", "tokenType": "REQUESTS", "remainingFraction": 0.75, "resetTime": "2026-11-21T22:26:40Z"},
        {"modelId": "gemini-2.5-flash", "remainingFraction": 7},
        {"modelId": "gemini-2.5-flash", "tokenType": "TOKENS", "remainingFraction": 0.5},
        {"tokenType": "REQUESTS", "remainingAmount": "10", "resetTime": "soon"}]});
    let script = Script::of([(200, answer)]);
    let windows = run(provider.survey(&script, &credential())).unwrap().quota.unwrap().windows;
    let seen: Vec<_> =
        windows.iter().map(|window| (window.model.as_deref(), window.used, window.resets_at)).collect();
    assert_eq!(
        seen,
        [
            (Some("gemini-2.5-pro"), Some(0.25), Some(now())),
            (Some("gemini-2.5-flash"), Some(0.0), None),
            (None, None, None)
        ]
    );
    assert_eq!(script.body(0), json!({"project": "my-project"}));
    assert_eq!(script.asked.lock().unwrap()[0].1["user-agent"], "mine/1");
    let script = Script::of([refused(403, "SUBSCRIPTION_REQUIRED")]);
    assert!(
        matches!(run(provider.survey(&script, &credential())), Err(AccountError::Transient(_))),
        "a hint only"
    );
}

#[test]
fn files_are_recognised_by_their_members_and_tokens() {
    use pollux_sdk::Recognition::{Foreign, Own, Possible, Replaces, Unusable};
    let provider = provider(json!({}));
    for (file, expected) in [
        (json!({"refresh_token": "1//r"}), Own),
        (json!({"refresh_token": "r", "access_token": "ya29.a"}), Own),
        (json!({"refresh_token": "r", "expiry_date": 1}), Own),
        (json!({"refresh_token": "r", "type": "authorized_user"}), Own),
        (json!({"refresh_token": "r", "project_id": "p"}), Own),
        (json!({"refresh_token": "r", "project_id": "p", "client_id": "c"}), Replaces("project")),
        (json!({"refresh_token": "r"}), Possible),
        (json!({"tokens": {"refresh_token": "1//r"}}), Foreign),
        (json!({"refresh_token": "r", "type": "codex"}), Foreign),
        (json!({}), Foreign),
    ] {
        assert_eq!(provider.recognise(&file), expected, "{file}");
    }
    for kind in ["service_account", "external_account_authorized_user"] {
        let recognition = provider.recognise(&json!({"type": kind, "refresh_token": "1//r"}));
        assert!(matches!(recognition, Unusable(_)), "{kind} is {recognition:?}");
    }
}
