use super::*;
use pollux_sdk::{Approval, Device};

fn begin(script: &Script) -> Result<Device, AccountError> {
    wait(provider(json!({"oauth": {"token_url": "https://login.example/oauth/token"}})).device(script))
}

fn approval(status: u16, body: Value) -> String {
    let device = Device {
        page: String::new(),
        code: "ABCD-1234".into(),
        handle: Secret::new("deviceauth_1"),
        interval: Duration::from_secs(5),
        life: Duration::from_mins(15),
    };
    let script = Script::new([(status, body)]);
    let told = wait(provider(json!({})).approval(&script, &device));
    let [sent] = &script.sent()[..] else { panic!("one question") };
    assert_eq!(sent.url, "https://auth.openai.com/api/accounts/deviceauth/token");
    let asked: Value = serde_json::from_slice(&sent.body).unwrap();
    assert_eq!(asked, json!({"device_auth_id": "deviceauth_1", "user_code": "ABCD-1234"}));
    match told {
        Ok(Approval::Pending) => "pending".into(),
        Ok(Approval::SlowDown) => "slow down".into(),
        Ok(Approval::Given { code, verifier, redirect_uri }) => {
            format!("{} {} {redirect_uri}", code.expose(), verifier.expose())
        }
        Err(AccountError::Suspend(reason)) => format!("suspend {}", reason.code),
        Err(AccountError::Transient(_)) => "transient".into(),
        Err(AccountError::Unsure(text)) => panic!("nothing is spent by a question: {text}"),
    }
}

#[test]
fn a_login_by_code_shows_code_and_page_of_the_configured_vendor() {
    for (told, code, seconds) in [
        (json!({"device_auth_id": "d", "user_code": "ABCD-1234", "interval": "7"}), "ABCD-1234", 7),
        (json!({"device_auth_id": "d", "usercode": "X", "interval": 2}), "X", 2),
        (json!({"device_auth_id": "d", "user_code": "X"}), "X", 5),
        (json!({"device_auth_id": "d", "user_code": "X", "interval": "soon"}), "X", 5),
        (json!({"device_auth_id": "d", "user_code": "X", "interval": 0}), "X", 1),
        (json!({"device_auth_id": "d", "user_code": "X", "interval": 1e9}), "X", 5),
        (json!({"device_auth_id": "d", "user_code": "X", "interval": 86_400}), "X", 60),
    ] {
        let script = Script::new([(200, told.clone())]);
        let device = begin(&script).unwrap();
        assert_eq!((device.code.as_str(), device.interval), (code, Duration::from_secs(seconds)), "{told}");
        assert_eq!(
            (device.page.as_str(), device.handle.expose()),
            ("https://login.example/codex/device", "d")
        );
        assert_eq!(script.sent()[0].url, "https://login.example/api/accounts/deviceauth/usercode");
        assert!(!format!("{device:?}").contains("\"d\""), "the handle is a secret");
    }
    for (status, told, word) in [
        (404, json!({}), "offers no login by code"),
        (200, json!({"user_code": "X"}), "could not begin (200"),
        (200, json!("<html>"), "could not begin (200"),
        (503, json!({"device_auth_id": "d", "user_code": "X"}), "could not begin (503"),
    ] {
        let error = begin(&Script::new([(status, told)])).unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    }
    assert!(matches!(begin(&Script::default()), Err(AccountError::Transient(_))));
}

#[test]
fn each_answer_to_the_question_is_one_of_few_things() {
    let error = |code: &str| json!({"error": {"code": code}});
    for (status, body, expected) in [
        (403, error("deviceauth_authorization_pending"), "pending"),
        (404, json!({}), "pending"),
        (400, error("slow_down"), "slow down"),
        (429, json!({"error": "slow_down"}), "slow down"),
        (400, error("expired_token"), "suspend device_code_expired"),
        (403, error("access_denied"), "suspend access_denied"),
        (500, json!("<html>"), "transient"),
        (200, json!({}), "transient"),
        (
            200,
            json!({"authorization_code": "c", "code_challenge": "x", "code_verifier": "v"}),
            "c v https://auth.openai.com/deviceauth/callback",
        ),
    ] {
        assert_eq!(approval(status, body.clone()), expected, "{status} {body}");
    }
}
