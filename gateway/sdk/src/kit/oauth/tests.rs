use super::*;
use crate::HeaderMap;
use serde_json::json;

const USUAL: Usual = Usual {
    models: &["m"],
    api_url: "https://a.example",
    authorize_url: "https://b.example",
    token_url: "https://c.example",
    userinfo_url: "",
    client_id: "theirs",
    client_secret: "public",
};

fn read(section: Value) -> Result<Section, ConfigError> {
    Section::read(Settings { id: "test", section }, &USUAL)
}

#[test]
fn blank_values_are_the_vendors() {
    let blank = json!({"api_url": " ", "model_list": [], "oauth": {"client_id": "", "client_secret": " "}});
    for section in [json!({}), blank] {
        let section = read(section).unwrap();
        assert_eq!(
            (section.model_list.as_slice(), section.api_url.as_str()),
            (&["m".into()][..], USUAL.api_url)
        );
        assert_eq!((section.oauth.client_id.as_str(), section.oauth.secret()), ("theirs", Some("public")));
        assert_eq!(section.oauth.userinfo_url, "");
    }
    let own = read(
        json!({"custom_api_url": "http://x/y/", "model_list": ["n", " "], "oauth": {"client_id": "own"}}),
    );
    let own = own.unwrap();
    assert_eq!((own.api_url.as_str(), own.model_list), ("http://x/y", vec!["n".to_owned()]));
    assert_eq!(own.oauth.secret(), None, "never their secret with one's own client");
}

#[test]
fn wrong_values_are_refused_by_key() {
    for (section, key) in [
        (json!({"api_url": "x.example"}), "api_url"),
        (json!({"model_list": [" "]}), "model_list"),
        (json!({"user_agent": "a\nb"}), "user_agent"),
        (json!({"oauth": {"userinfo_url": "ftp://x"}}), "oauth.userinfo_url"),
        (json!({"oauth": {"client_secret": "alone"}}), "oauth.client_secret"),
        (json!({"oauth": {"other": 1}}), "oauth.other"),
    ] {
        let error = read(section).unwrap_err().to_string();
        assert!(error.starts_with(&format!("providers.test: {key}")), "{error}");
    }
}

#[test]
fn a_login_is_refreshed_by_its_own_client() {
    let oauth = read(json!({})).unwrap().oauth;
    let mut old = Credential::from_refresh("r");
    let rest = [("grant_type", "refresh_token"), ("refresh_token", "r")];
    let ours = [("client_id", "theirs"), ("client_secret", "public")];
    assert_eq!(oauth.fields(Grant::Refresh(&old)).unwrap(), [ours, rest].concat());
    old.extra.insert("client_id".into(), "own".into());
    assert_eq!(oauth.fields(Grant::Refresh(&old)).unwrap()[..2], [("client_id", "own"), rest[0]]);
    old.refresh = Some(Secret::new(""));
    assert!(matches!(oauth.fields(Grant::Refresh(&old)), Err(AccountError::Suspend(_))));
}

#[test]
fn refusals_are_told_from_troubles_and_show_no_token() {
    let judge = |status, body: Value| {
        let status = StatusCode::from_u16(status).unwrap();
        let reply = Reply { status, headers: HeaderMap::new(), body: body.to_string().into() };
        refused(&reply, |_, code, _| (code == "invalid_grant").then(|| Reason::new("invalid_grant", "gone")))
    };
    for body in [
        json!({"error": "invalid_grant"}),
        json!({"error": {"code": "invalid_grant"}}),
        json!({"code": "invalid_grant"}),
    ] {
        assert!(matches!(judge(400, body.clone()), AccountError::Suspend(_)), "{body}");
        assert!(matches!(judge(429, body.clone()), AccountError::Transient(_)), "{body}");
        assert!(matches!(judge(503, body.clone()), AccountError::Transient(_)), "{body}");
    }
    assert!(judge(401, json!({"error": "invalid_client"})).to_string().contains("client_id"));
    assert!(judge(400, json!({"error": "slow_down"})).to_string().contains("slow_down"));
    assert!(!judge(400, json!({"error": "rt_Secret"})).to_string().contains("Secret"));
}

#[test]
fn files_are_read_and_written_under_the_names_they_use() {
    let names = Names {
        refresh: &["refresh", "r"],
        access: &["access"],
        extra: &[("project", &["project_id", "p"])],
    };
    assert!(names.read(&json!({"refresh": " ", "p": "x"})).is_none());
    assert!(names.read(&json!("refresh")).is_none());
    let mut file = json!({"r": "1", "p": "x", "other": 1, "access": "a"});
    let mut credential = names.read(&file).unwrap();
    assert_eq!((credential.extra("project"), &credential.access), (Some("x"), &Some(Secret::new("a"))));
    credential.access = None;
    credential.refresh = Some(Secret::new("2"));
    names.write(&credential, &mut file);
    assert_eq!(file, json!({"r": "2", "p": "x", "other": 1}));
}
