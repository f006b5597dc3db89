//! Local mode: programs of this machine need no key, and nobody else gets in by it.

use pollux_tests::kit::{Database, Gateway, Stage, contents, form, get, pollux, post, send, wait_until};
use serde_json::json;
use std::{fs, time::Duration};

const LIMIT: Duration = Duration::from_secs(20);
const LOCAL: &str = "[basic]\nlocal = true";
/// A token of the caller's own vendor, as its tool sends it along.
const VENDORS: &str = "sk-somebodys-own-vendor-token-4711";

async fn stage() -> Stage {
    Stage::start(LOCAL, &["alice"], &["bob"]).await
}

#[tokio::test]
async fn any_caller_of_this_machine_is_served_at_the_root_with_any_key_or_none() {
    let stage = stage().await;
    let bearer = format!("Bearer {VENDORS}");
    let keys: [&[(&str, &str)]; 5] = [
        &[],
        &[("authorization", &bearer)],
        &[("x-goog-api-key", VENDORS)],
        &[("x-api-key", VENDORS)],
        &[("host", "localhost"), ("origin", "http://localhost:3000")],
    ];
    for headers in keys {
        let codex = json!({"model": "gpt-5.5", "input": "PING"});
        let answer = post(&stage.gateway.at("/v1/responses"), headers, &codex).await;
        assert_eq!(answer.status, 200, "{headers:?}: {}", answer.text());
        let path = "/v1beta/models/gemini-2.5-pro:generateContent";
        let answer = post(&stage.gateway.at(path), headers, &contents("PING")).await;
        assert_eq!(answer.status, 200, "{headers:?}: {}", answer.text());
        for path in ["/v1/models", "/backend-api/wham/usage", "/admin/accounts", "/metrics", "/status"] {
            let answer = get(&stage.gateway.at(path), headers).await;
            assert_eq!(answer.status, 200, "{path} {headers:?}: {}", answer.text());
        }
    }
}

#[tokio::test]
async fn the_callers_own_token_is_dropped() {
    let stage = stage().await;
    let bearer = format!("Bearer {VENDORS}");
    let headers = [
        ("authorization", bearer.as_str()),
        ("x-api-key", VENDORS),
        ("x-goog-api-key", VENDORS),
        ("cookie", VENDORS),
        ("chatgpt-account-id", "the-callers-account"),
    ];
    let codex = json!({"model": "gpt-5.5", "input": "PING"});
    let url = stage.gateway.at(&format!("/v1/responses?key={VENDORS}"));
    assert_eq!(post(&url, &headers, &codex).await.status, 200);
    let url = stage.gateway.at(&format!("/v1beta/models/gemini-2.5-pro:generateContent?key={VENDORS}"));
    assert_eq!(post(&url, &headers, &contents("PING")).await.status, 200);
    for sent in stage.generated() {
        let all = format!("{sent:?}");
        assert!(!all.contains(VENDORS) && !all.contains("the-callers-account"), "{all}");
    }
    assert!(!stage.gateway.log().contains(VENDORS));
    for file in fs::read_dir(stage.gateway.folder()).unwrap() {
        let content = fs::read(file.unwrap().path()).unwrap_or_default();
        assert!(!content.windows(VENDORS.len()).any(|part| part == VENDORS.as_bytes()));
    }
}

#[tokio::test]
async fn a_login_of_the_callers_own_is_renewed_without_being_given_back() {
    let stage = Stage::start(LOCAL, &[], &[]).await;
    let url = stage.gateway.at("/oauth/token");
    let wish = [("grant_type", "refresh_token"), ("refresh_token", VENDORS)];
    let renewed = form(&url, &[], &wish).await;
    assert_eq!(renewed.status, 200, "{}", renewed.text());
    assert!(renewed.json()["access_token"].is_string() && !renewed.text().contains(VENDORS));
    assert_eq!(form(&url, &[("origin", "http://evil.example")], &wish).await.status, 400);
    assert!(!stage.gateway.log().contains(VENDORS));
}

#[tokio::test]
async fn whoever_is_not_of_this_machine_needs_the_key() {
    let stage = stage().await;
    let strangers: [(&str, &str); 8] = [
        ("host", "evil.example"),
        ("host", "127.0.0.1.evil.example:8188"),
        ("origin", "http://evil.example"),
        ("origin", "null"),
        ("x-forwarded-for", "127.0.0.1"),
        ("forwarded", "for=127.0.0.1"),
        ("x-real-ip", "127.0.0.1"),
        ("via", "1.1 proxy"),
    ];
    for stranger in strangers {
        for path in ["/v1/models", "/admin/accounts", "/metrics", "/status"] {
            let answer = get(&stage.gateway.at(path), &[stranger]).await;
            assert_eq!(answer.status, 403, "{path} {stranger:?}: {}", answer.text());
            assert!(answer.text().contains("without the key"), "{}", answer.text());
        }
        let codex = json!({"model": "gpt-5.5", "input": "PING"});
        let url = stage.gateway.at("/v1/responses");
        assert_eq!(post(&url, &[stranger], &codex).await.status, 403, "{stranger:?}");
        let keyed = [stranger, stage.gateway.auth()[0]];
        assert_eq!(post(&url, &keyed, &codex).await.status, 200, "the key opens for everybody");
        let admin = format!("Bearer {}", stage.gateway.admin_key());
        let answer = get(&stage.gateway.at("/admin/accounts"), &[stranger, ("authorization", &admin)]).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    let pause = stage.gateway.at("/admin/accounts/1/pause");
    let acted = send("POST", &pause, &[("origin", "http://evil.example")], "").await.unwrap();
    assert_eq!(acted.status, 403);
    assert_eq!(stage.account("bob").await["state"], "active");
}

#[tokio::test]
async fn a_trusted_proxy_does_not_make_its_clients_local() {
    let config = "[basic]\nlocal = true\ntrusted_proxies = [\"127.0.0.0/8\"]";
    let stage = Stage::start(config, &[], &[]).await;
    let answer = get(&stage.gateway.at("/v1/models"), &[("x-forwarded-for", "127.0.0.1")]).await;
    assert_eq!(answer.status, 403, "{}", answer.text());
}

#[tokio::test]
async fn below_the_prefixes_the_key_is_wanted_still_but_to_add_accounts() {
    let stage = stage().await;
    for path in ["/codex/v1/models", "/codex/backend-api/wham/usage", "/geminicli/v1beta/models"] {
        assert_eq!(get(&stage.gateway.at(path), &[]).await.status, 401, "{path}");
    }
    let entry = json!([{"refresh_token": stage.simulator.openai().account("carol").refresh_token()}]);
    let url = stage.gateway.at("/codex/resource:add");
    assert_eq!(post(&url, &[("origin", "http://evil.example")], &entry).await.status, 403);
    assert_eq!(post(&url, &[], &entry).await.status, 202);
    let serves = || std::future::ready(stage.gateway.log().count("account is in the pool") == 3);
    assert!(wait_until(serves, LIMIT).await, "{}", stage.gateway.log().text());
}

#[tokio::test]
async fn local_mode_is_off_unless_it_is_set() {
    let stage = Stage::start("", &[], &[]).await;
    for path in ["/v1/models", "/admin/accounts", "/metrics"] {
        assert_eq!(get(&stage.gateway.at(path), &[]).await.status, 401, "{path}");
    }
}

#[tokio::test]
async fn local_mode_does_not_start_on_an_address_that_others_reach() {
    for address in ["0.0.0.0", "::", "192.0.2.7"] {
        let folder = tempfile::tempdir().unwrap();
        let config =
            format!("[basic]\nlocal = true\nlisten_addr = \"{address}\"\npollux_key = \"k-1234567890\"\n");
        fs::write(folder.path().join("config.toml"), config).unwrap();
        let output = pollux(folder.path(), &["serve"], &[]).await;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains("[basic] local") && said.contains("listen_addr"), "{said}");
        assert!(!folder.path().join("data.db").exists());
    }
}

#[tokio::test]
async fn local_mode_needs_no_key_in_its_configuration() {
    let port = pollux_tests::kit::free_port();
    let text = format!("[basic]\nlocal = true\nlisten_addr = \"127.0.0.1\"\nlisten_port = {port}\n");
    let builder = Gateway::builder().database(Database::Sqlite).raw_config(&text);
    let builder = builder.config(&format!("[basic]\nlisten_port = {port}"));
    let gateway = builder.start().await.unwrap();
    assert_eq!(get(&gateway.at("/v1/models"), &[]).await.status, 200);
    let listed = gateway.command(&["accounts", "list"]).await;
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
}
