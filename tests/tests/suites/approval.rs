//! Who may add an account that then sees other people's prompts.

use super::owner::{LIMIT, accounts, act, ask, cli, gateway, id, served, wait_all, wait_only};
use super::visitor::{Login, PAGES, heading, ports};
use pollux_tests::kit::{Gateway, get, wait_until};
use pollux_tests::simulator::Simulator;
use url::Url;

const PROXIED: &str = "[basic]\ntrusted_proxies = [\"127.0.0.1\", \"10.0.0.0/8\"]";

/// Logs in from where these headers say, and gives the page it ends on.
async fn log_in(gateway: &Gateway, provider: &str, headers: &[(&str, &str)]) -> String {
    let login = Login::begin_with(gateway, provider, headers).await;
    let back = login.allow("alice").await;
    let path = back.path().to_owned();
    let answer = login.come_back(gateway, &path, &back, &[PAGES]).await;
    assert_eq!(answer.status, 303, "{}", answer.text());
    let result = Url::parse(answer.header("location").unwrap()).unwrap();
    gateway.at(&format!("{}?{}", result.path(), result.query().unwrap()))
}

#[tokio::test]
async fn an_account_from_a_public_address_serves_nobody_until_its_owner_agrees() {
    let _ports = ports();
    let table: [(&str, &[(&str, &str)]); 5] = [
        (PROXIED, &[("x-forwarded-for", "203.0.113.9")]),
        (PROXIED, &[("x-forwarded-for", "192.168.1.7, 203.0.113.9, 10.1.2.3")]),
        // Someone stands behind a proxy that nobody has vouched for.
        ("", &[("x-forwarded-for", "192.168.1.7")]),
        ("", &[("forwarded", "for=127.0.0.1")]),
        ("", &[("x-real-ip", "127.0.0.1")]),
    ];
    for (number, (config, headers)) in table.into_iter().enumerate() {
        let provider = if number % 2 == 0 { "geminicli" } else { "codex" };
        let simulator = Simulator::start();
        simulator.google().account("alice");
        simulator.openai().account("alice");
        let gateway = gateway(&simulator, config).await;
        let result = log_in(&gateway, provider, headers).await;
        let account = wait_only(&gateway, "pending").await;
        assert_eq!(account["trusted"], false, "{headers:?}");
        let page = get(&result, &[PAGES]).await;
        assert_eq!((page.status, heading(&page).as_str()), (200, "Waiting for approval"));
        let command = format!("pollux accounts approve {}", id(&account));
        assert!(page.text().contains(&command), "{}", page.text());
        assert!(gateway.log().wait_for(&command, LIMIT).await);
        let answer = ask(&gateway, provider, "PRIVATE-PROMPT").await;
        assert_eq!(answer.status, 503, "{}", answer.text());
        let seen = |request: &pollux_tests::simulator::Received| {
            String::from_utf8_lossy(&request.body).contains("PRIVATE-PROMPT")
        };
        assert!(!simulator.record().all().iter().any(seen), "a pending account has seen a prompt");
        let (status, told) = cli(&gateway, &["accounts", "approve", &id(&account).to_string()]).await;
        assert_eq!(status, 0, "{told}");
        wait_only(&gateway, "active").await;
        served(&gateway, provider, "APPROVED").await;
        let success = || async { heading(&get(&result, &[PAGES]).await) == "Success" };
        assert!(wait_until(success, LIMIT).await);
    }
}

#[tokio::test]
async fn an_account_from_this_machine_or_its_network_serves_at_once() {
    let table: [(&str, &[(&str, &str)]); 4] = [
        ("", &[]),
        (PROXIED, &[]),
        (PROXIED, &[("x-forwarded-for", "192.168.1.7")]),
        (PROXIED, &[("x-forwarded-for", "203.0.113.9, 172.17.0.1")]),
    ];
    for (config, headers) in table {
        let simulator = Simulator::start();
        simulator.google().account("alice");
        let gateway = gateway(&simulator, config).await;
        log_in(&gateway, "geminicli", headers).await;
        let account = wait_only(&gateway, "active").await;
        assert_eq!(account["trusted"], true, "{headers:?}");
    }
}

#[tokio::test]
async fn waiting_for_approval_survives_a_restart_and_a_second_login_from_there() {
    let simulator = Simulator::start();
    simulator.google().account("alice");
    let mut gateway = gateway(&simulator, PROXIED).await;
    let public = [("x-forwarded-for", "203.0.113.9")];
    log_in(&gateway, "geminicli", &public).await;
    wait_only(&gateway, "pending").await;
    gateway.kill();
    gateway.restart().await.unwrap();
    wait_only(&gateway, "pending").await;
    log_in(&gateway, "geminicli", &public).await;
    wait_only(&gateway, "pending").await;
    assert_eq!(act(&gateway, id(&accounts(&gateway).await[0]), "resume").await.status, 409);
    assert_eq!(ask(&gateway, "geminicli", "X").await.status, 503);
    // The owner's own login vouches for it.
    log_in(&gateway, "geminicli", &[]).await;
    wait_only(&gateway, "active").await;
}

#[tokio::test]
async fn a_stranger_cannot_take_over_or_harm_an_account_of_the_pool() {
    let simulator = Simulator::start();
    simulator.google().account("alice");
    let gateway = gateway(&simulator, PROXIED).await;
    log_in(&gateway, "geminicli", &[]).await;
    let account = wait_only(&gateway, "active").await;
    log_in(&gateway, "geminicli", &[("x-forwarded-for", "203.0.113.9")]).await;
    let all = wait_all(&gateway, 1, "active").await;
    assert_eq!(id(&all[0]), id(&account));
    served(&gateway, "geminicli", "STILL").await;
}

#[tokio::test]
async fn who_knows_the_key_is_trusted_wherever_from() {
    let simulator = Simulator::start();
    let alice = simulator.google().account("alice");
    let gateway = gateway(&simulator, PROXIED).await;
    let headers = [("x-forwarded-for", "203.0.113.9"), gateway.auth()[0]];
    log_in(&gateway, "geminicli", &headers).await;
    wait_only(&gateway, "active").await;
    let bob = simulator.google().account("bob").refresh_token();
    let url = gateway.at("/geminicli/resource:add");
    let body = serde_json::json!([{"refresh_token": bob}]);
    assert_eq!(pollux_tests::kit::post(&url, &headers, &body).await.status, 202);
    let all = wait_all(&gateway, 2, "active").await;
    assert_eq!(all[1]["origin"], "203.0.113.9");
    drop(alice);
}
