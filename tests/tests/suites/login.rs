//! Connecting accounts by OAuth, over plain HTTP.

use super::owner::{LIMIT, accounts, gateway, served, wait_all, wait_only};
use super::visitor::{Login, PAGES, heading, parameter, ports, with_parameter};
use pollux_tests::kit::{Decision, Gateway, form, get, send, wait_until};
use pollux_tests::simulator::{Fault, Injection, Simulator};
use std::net::TcpListener;
use url::Url;

const CALLBACK: [(&str, &str); 2] = [("geminicli", "/oauth2callback"), ("codex", "/auth/callback")];

/// Both vendors with an account `alice`, and a gateway.
async fn scene(config: &str) -> (Simulator, Gateway) {
    let simulator = Simulator::start();
    simulator.google().account("alice");
    simulator.openai().account("alice");
    let gateway = gateway(&simulator, config).await;
    (simulator, gateway)
}

#[tokio::test]
async fn the_way_to_google_carries_all_that_google_wants() {
    let (simulator, gateway) = scene("").await;
    let login = Login::begin(&gateway, "geminicli").await;
    assert!(login.authorize.as_str().starts_with(&format!("{}/o/oauth2/v2/auth?", simulator.google_url())));
    for (name, value) in [
        ("client_id", simulator.google().client().0.as_str()),
        ("redirect_uri", &gateway.at("/oauth2callback")),
        ("response_type", "code"),
        ("access_type", "offline"),
        ("prompt", "consent"),
        ("code_challenge_method", "S256"),
    ] {
        assert_eq!(login.parameter(name), value, "{name}");
    }
    assert!(login.parameter("scope").contains("https://www.googleapis.com/auth/cloud-platform"));
    assert_eq!(login.parameter("code_challenge").len(), 43);
    assert!(login.parameter("state").len() >= 32);
    let again = Login::begin(&gateway, "geminicli").await;
    for name in ["state", "code_challenge"] {
        assert_ne!(login.parameter(name), again.parameter(name), "{name}");
    }
    assert_ne!(login.cookie, again.cookie);
}

#[tokio::test]
async fn the_way_to_openai_carries_all_that_openai_wants() {
    let _ports = ports();
    let (simulator, gateway) = scene("").await;
    let login = Login::begin(&gateway, "codex").await;
    assert!(login.authorize.as_str().starts_with(&format!("{}/oauth/authorize?", simulator.openai_url())));
    for (name, value) in [
        ("client_id", pollux_tests::simulator::openai::CLIENT_ID),
        ("response_type", "code"),
        ("code_challenge_method", "S256"),
        ("id_token_add_organizations", "true"),
        ("codex_cli_simplified_flow", "true"),
    ] {
        assert_eq!(login.parameter(name), value, "{name}");
    }
    assert!(login.parameter("scope").contains("offline_access"));
    let redirect = login.parameter("redirect_uri");
    let known = [1455, 1457].map(|port| format!("http://localhost:{port}/auth/callback"));
    assert!(known.contains(&redirect), "{redirect}");
    assert_eq!(login.parameter("code_challenge").len(), 43);
    assert!(login.parameter("state").len() >= 32);
}

#[tokio::test]
async fn plain_clients_end_with_success_and_the_account_serves() {
    let _ports = ports();
    let (simulator, gateway) = scene("").await;
    for (number, (provider, path)) in CALLBACK.into_iter().enumerate() {
        let login = Login::begin(&gateway, provider).await;
        let back = login.allow("alice").await;
        let answer = login.come_back(&gateway, path, &back, &[]).await;
        assert_eq!((answer.status, answer.text().as_str()), (202, "Success"));
        wait_all(&gateway, number + 1, "active").await;
        served(&gateway, provider, "LOGGED-IN").await;
        let secrets = [parameter(&back, "code"), parameter(&back, "state")];
        for secret in secrets {
            assert!(!gateway.log().contains(&secret), "a code or state is in the log");
        }
    }
    assert_eq!((simulator.google().tally().exchanges, simulator.openai().tally().exchanges), (1, 1));
    assert_eq!((simulator.google().tally().refreshes, simulator.openai().tally().refreshes), (0, 0));
}

#[tokio::test]
async fn the_callbacks_alias_serves_as_well() {
    let _ports = ports();
    let (_simulator, gateway) = scene("").await;
    let login = Login::begin(&gateway, "codex").await;
    let back = login.allow("alice").await;
    let answer = login.come_back(&gateway, "/codex/auth/callback", &back, &[]).await;
    assert_eq!((answer.status, answer.text().as_str()), (202, "Success"));
    wait_only(&gateway, "active").await;
}

#[tokio::test]
async fn browsers_end_on_a_page_that_becomes_success() {
    let _ports = ports();
    let (_simulator, gateway) = scene("").await;
    for (provider, path) in CALLBACK {
        let start = gateway.at(&format!("/{provider}/auth"));
        let host = format!("localhost:{}", gateway.port());
        let answer = get(&start, &[PAGES, ("host", &host)]).await;
        let login =
            if answer.status == 307 { Login::of(&answer) } else { Login::begin(&gateway, provider).await };
        let back = login.allow("alice").await;
        let answer = login.come_back(&gateway, path, &back, &[PAGES]).await;
        assert_eq!(answer.status, 303, "{}", answer.text());
        let result = Url::parse(answer.header("location").unwrap()).unwrap();
        let result = gateway.at(&format!("{}?{}", result.path(), result.query().unwrap()));
        let success = || async { heading(&get(&result, &[PAGES]).await) == "Success" };
        assert!(wait_until(success, LIMIT).await, "{}", get(&result, &[PAGES]).await.text());
        let page = get(&result, &[PAGES]).await;
        assert_eq!(page.status, 200);
        assert!(page.text().contains("alice@example.com"), "{}", page.text());
        assert!(page.header("content-security-policy").unwrap().contains("default-src 'none'"));
        assert_eq!(page.header("cache-control"), Some("no-store"));
        assert_eq!(get(&result, &[]).await.text(), "Success\n");
    }
}

#[tokio::test]
async fn the_cookie_is_the_browsers_alone_and_really_goes_after_use() {
    let _ports = ports();
    for (config, secure) in [("", false), ("[basic]\ninsecure_cookie = false", true)] {
        let (_simulator, gateway) = scene(config).await;
        for (provider, path) in CALLBACK {
            let login = Login::begin(&gateway, provider).await;
            let back = login.allow("alice").await;
            let gone = login.come_back(&gateway, path, &back, &[]).await;
            let gone = gone.header("set-cookie").expect("it is taken away").to_owned();
            for (cookie, age) in [(&login.set_cookie, "Max-Age=900"), (&gone, "Max-Age=0")] {
                let parts: Vec<&str> = cookie.split("; ").collect();
                for part in ["HttpOnly", "SameSite=Lax", "Path=/", age] {
                    assert!(parts.contains(&part), "{part} in {cookie}");
                }
                assert_eq!(parts.contains(&"Secure"), secure, "{cookie}");
                assert!(!cookie.contains("Domain"), "{cookie}");
            }
            let name = |cookie: &str| cookie.split('=').next().unwrap_or_default().to_owned();
            assert_eq!(name(&login.set_cookie), name(&gone));
            assert!(gone.starts_with(&format!("{}=;", name(&gone))), "{gone}");
        }
    }
}

#[tokio::test]
async fn a_callback_works_once() {
    let (simulator, gateway) = scene("").await;
    let login = Login::begin(&gateway, "geminicli").await;
    let back = login.allow("alice").await;
    assert_eq!(login.come_back(&gateway, "/oauth2callback", &back, &[]).await.status, 202);
    for _ in 0..3 {
        let replay = login.come_back(&gateway, "/oauth2callback", &back, &[]).await;
        assert_eq!(replay.status, 400, "{}", replay.text());
    }
    let tally = simulator.google().tally();
    assert_eq!((tally.exchanges, tally.refusals), (1, 0), "a replay never reaches the vendor");
    wait_only(&gateway, "active").await;
}

#[tokio::test]
async fn of_many_callbacks_at_once_one_has_it() {
    let (simulator, gateway) = scene("").await;
    let login = Login::begin(&gateway, "geminicli").await;
    let back = login.allow("alice").await;
    let racing = (0..16).map(|_| login.come_back(&gateway, "/oauth2callback", &back, &[]));
    let mut answers: Vec<u16> =
        futures_util::future::join_all(racing).await.iter().map(|answer| answer.status).collect();
    answers.sort_unstable();
    assert_eq!((answers[0], &answers[1..]), (202, &[400; 15][..]));
    assert_eq!(simulator.google().tally().exchanges, 1);
}

/// How a callback went wrong, told to a browser and to a plain client.
async fn refused(gateway: &Gateway, provider: &str, url: &str, cookie: &str, status: u16, title: &str) {
    let url = gateway.at(url);
    let page = send("GET", &url, &[("cookie", cookie), PAGES], "").await.unwrap();
    assert_eq!((page.status, heading(&page).as_str()), (status, title), "{}", page.text());
    assert!(page.header("content-type").unwrap().starts_with("text/html"));
    assert!(page.text().contains(&format!("/{provider}/auth")), "the way to start again is missing");
    let text = send("GET", &url, &[("cookie", cookie)], "").await.unwrap();
    assert!(text.header("content-type").unwrap().starts_with("text/plain"));
    assert!(text.text().ends_with('\n') && !text.text().contains('<'), "{}", text.text());
    assert!((400..500).contains(&text.status), "{}", text.status);
}

#[tokio::test]
async fn a_callback_without_its_session_is_refused_clearly() {
    let _ports = ports();
    let (simulator, gateway) = scene("").await;
    let title = "The login session is missing or has expired";
    for (provider, path) in CALLBACK {
        let login = Login::begin(&gateway, provider).await;
        let back = login.allow("alice").await;
        let url = format!("{path}?{}", back.query().unwrap());
        let name = login.cookie.split('=').next().unwrap();
        for cookie in [String::new(), "other=1".to_owned(), format!("{name}="), format!("{name}=guessed")] {
            refused(&gateway, provider, &url, &cookie, 400, title).await;
        }
        refused(&gateway, provider, path, "", 400, title).await;
        // It was not spent by any of them.
        assert_eq!(login.come_back(&gateway, path, &back, &[]).await.status, 202);
    }
    assert_eq!(simulator.google().tally().exchanges, 1);
}

#[tokio::test]
async fn a_state_of_another_login_is_refused_and_spends_nothing() {
    let _ports = ports();
    let (simulator, gateway) = scene("").await;
    for (provider, path) in CALLBACK {
        let login = Login::begin(&gateway, provider).await;
        let other = Login::begin(&gateway, provider).await;
        let back = login.allow("alice").await;
        for state in ["", "guessed", &other.parameter("state")] {
            let forged = with_parameter(&back, "state", state);
            let url = format!("{path}?{}", forged.query().unwrap());
            refused(&gateway, provider, &url, &login.cookie, 403, "This answer belongs to another login")
                .await;
        }
        assert_eq!(login.come_back(&gateway, path, &back, &[]).await.status, 202);
    }
    assert_eq!((simulator.google().tally().refusals, simulator.openai().tally().refusals), (0, 0));
}

#[tokio::test]
async fn a_denial_is_told_and_ends_the_login() {
    let _ports = ports();
    let (simulator, gateway) = scene("").await;
    for ((provider, path), title) in
        CALLBACK.into_iter().zip(["Gemini CLI did not grant access", "Codex did not grant access"])
    {
        let login = Login::begin(&gateway, provider).await;
        let back = login.decide(Decision::Deny).await;
        let page = login.come_back(&gateway, path, &back, &[PAGES]).await;
        assert_eq!((page.status, heading(&page).as_str()), (403, title));
        assert!(page.text().contains("access_denied"), "{}", page.text());
        assert!(page.header("set-cookie").unwrap().contains("Max-Age=0"));
        let login = Login::begin(&gateway, provider).await;
        let back = login.decide(Decision::Deny).await;
        let text = login.come_back(&gateway, path, &back, &[]).await;
        assert_eq!(text.status, 403);
        assert!(text.text().contains("access_denied") && !text.text().contains('<'), "{}", text.text());
        assert_eq!(login.come_back(&gateway, path, &back, &[]).await.status, 400);
    }
    assert!(accounts(&gateway).await.is_empty());
    assert_eq!((simulator.google().tally().exchanges, simulator.openai().tally().exchanges), (0, 0));
}

#[tokio::test]
async fn what_a_stranger_writes_into_a_denial_is_shown_as_text() {
    let (_simulator, gateway) = scene("").await;
    let login = Login::begin(&gateway, "geminicli").await;
    let state = login.parameter("state");
    let mut forged = Url::parse("http://x/").unwrap();
    forged
        .query_pairs_mut()
        .append_pair("state", &state)
        .append_pair("error", "<script>alert(1)</script>")
        .append_pair("error_description", "a\r\nb\"'><img src=x>");
    let page = login.come_back(&gateway, "/oauth2callback", &forged, &[PAGES]).await;
    assert_eq!(page.status, 403);
    assert!(!page.text().contains("<script>") && !page.text().contains("<img"), "{}", page.text());
}

#[tokio::test]
async fn a_failed_exchange_is_told_and_nothing_is_stored() {
    let _ports = ports();
    let (simulator, gateway) = scene("").await;
    let title = "The login could not be completed";
    let faults = [(Fault::text(503, "no"), 424), (Fault::Reset, 424), (Fault::text(200, "no json"), 424)];
    for (provider, path) in CALLBACK {
        for accept in [&[PAGES][..], &[]] {
            for (fault, status) in faults.clone() {
                let login = Login::begin(&gateway, provider).await;
                let back = login.allow("alice").await;
                simulator.inject(Injection::new(fault).path("/token"));
                let answer = login.come_back(&gateway, path, &back, accept).await;
                assert_eq!(answer.status, status, "{}", answer.text());
                assert!(answer.text().contains(title), "{}", answer.text());
                assert!(answer.header("set-cookie").unwrap().contains("Max-Age=0"));
            }
            // A code the vendor does not know.
            let login = Login::begin(&gateway, provider).await;
            let back = with_parameter(&login.allow("alice").await, "code", "4/not-a-code");
            let answer = login.come_back(&gateway, path, &back, accept).await;
            assert_eq!(answer.status, 400, "{}", answer.text());
            assert!(answer.text().contains(title) && !answer.text().contains("4/not-a-code"));
        }
        let login = Login::begin(&gateway, provider).await;
        let state = with_parameter(&Url::parse("http://x/").unwrap(), "state", &login.parameter("state"));
        let answer = login.come_back(&gateway, path, &state, &[]).await;
        assert_eq!(answer.status, 400, "{}", answer.text());
    }
    assert!(accounts(&gateway).await.is_empty());
}

#[tokio::test]
async fn a_login_survives_a_restart_in_between() {
    let _ports = ports();
    let (_simulator, mut gateway) = scene("").await;
    for (number, (provider, path)) in CALLBACK.into_iter().enumerate() {
        let login = Login::begin(&gateway, provider).await;
        gateway.kill();
        gateway.restart().await.unwrap();
        let back = login.allow("alice").await;
        let answer = login.come_back(&gateway, path, &back, &[]).await;
        assert_eq!((answer.status, answer.text().as_str()), (202, "Success"));
        wait_all(&gateway, number + 1, "active").await;
    }
}

#[tokio::test]
async fn a_stranger_who_keeps_knocking_is_told_to_wait() {
    let (_simulator, gateway) = scene("[basic]\ntrusted_proxies = [\"127.0.0.1\"]").await;
    let url = gateway.at("/geminicli/auth");
    let from = |address: &'static str| [("x-forwarded-for", address)];
    let mut answer = get(&url, &from("203.0.113.9")).await;
    for _ in 0..40 {
        if answer.status == 429 {
            break;
        }
        assert_eq!(answer.status, 307);
        answer = get(&url, &from("203.0.113.9")).await;
    }
    assert_eq!(answer.status, 429, "{}", answer.text());
    let wait: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&wait), "{wait}");
    let page = get(&url, &[from("203.0.113.9")[0], PAGES]).await;
    assert_eq!((page.status, heading(&page).as_str()), (429, "Too many logins from this address"));
    assert_eq!(get(&url, &from("203.0.113.10")).await.status, 307, "somebody else need not wait");
}

#[tokio::test]
async fn from_another_machine_a_browser_gets_a_page_to_paste_into() {
    let _ports = ports();
    let (simulator, gateway) = scene("").await;
    // Google's public client may only go to loopback addresses.
    let published = "681255809395-oo8ft2oprdrnp9e3aqf6av3hmdib135j.apps.googleusercontent.com";
    simulator.google().set_client(published, "simulated-secret");
    let own = format!("[providers.geminicli.oauth]\nclient_id = \"{published}\"");
    let gateway_of_google = super::owner::gateway(&simulator, &own).await;
    let public = "[basic]\npublic_url = \"https://pool.example\"";
    let behind_url = super::owner::gateway(&simulator, &format!("{public}\n{own}")).await;
    for (gateway, provider) in
        [(&gateway_of_google, "geminicli"), (&behind_url, "geminicli"), (&gateway, "codex")]
    {
        let before = accounts(gateway).await.len();
        let host = ("host", "pool.example");
        let page = get(&gateway.at(&format!("/{provider}/auth")), &[PAGES, host]).await;
        assert_eq!(page.status, 200, "{}", page.text());
        assert!(heading(&page).starts_with("Connect "), "{}", page.text());
        let cookie = page.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
        let target = page.text().split("href=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
        let login = Login {
            authorize: Url::parse(&target.replace("&amp;", "&")).unwrap(),
            set_cookie: String::new(),
            cookie,
        };
        let redirect = login.parameter("redirect_uri");
        assert!(redirect.starts_with("http://localhost:"), "{redirect}");
        let back = login.allow("alice").await;
        let paste = gateway.at(&format!("/{provider}/auth/paste"));
        let shown = get(&paste, &[PAGES, ("cookie", &login.cookie)]).await;
        assert!(shown.status == 200 && shown.text().contains("name=\"callback\""), "{}", shown.text());
        let headers = [PAGES, host, ("cookie", login.cookie.as_str())];
        let wrong = form(&paste, &headers, &[("callback", "no address at all")]).await;
        assert!((400..500).contains(&wrong.status), "{}", wrong.text());
        let answer = form(&paste, &headers, &[("callback", back.as_str())]).await;
        assert_eq!(answer.status, 303, "{}", answer.text());
        assert!(answer.header("location").unwrap().contains("pool.example"));
        wait_all(gateway, before + 1, "active").await;
        // A plain client is redirected all the same.
        let login = Login::begin_with(gateway, provider, &[host]).await;
        let back = login.allow("alice").await;
        let answer = form(&paste, &[("cookie", &login.cookie)], &[("callback", back.as_str())]).await;
        assert_eq!((answer.status, answer.text().as_str()), (202, "Success"));
    }
}

#[tokio::test]
async fn the_paste_page_without_a_login_leads_to_its_start() {
    let (_simulator, gateway) = scene("").await;
    for provider in ["geminicli", "codex"] {
        let paste = gateway.at(&format!("/{provider}/auth/paste"));
        let answer = get(&paste, &[PAGES]).await;
        assert_eq!((answer.status, answer.header("location")), (303, Some(&*format!("/{provider}/auth"))));
        let answer =
            form(&paste, &[PAGES], &[("callback", "http://localhost:1455/auth/callback?code=a&state=b")]);
        assert_eq!(answer.await.status, 400);
    }
}

#[tokio::test]
async fn an_own_google_client_comes_back_to_the_public_address() {
    let (simulator, gateway) = scene("[basic]\npublic_url = \"https://pool.example/\"").await;
    simulator.google().allow_redirect("https://pool.example/oauth2callback");
    for headers in [&[("host", "pool.example"), PAGES][..], &[("host", "pool.example")]] {
        let login = Login::begin_with(&gateway, "geminicli", headers).await;
        assert_eq!(login.parameter("redirect_uri"), "https://pool.example/oauth2callback");
        let back = login.allow("alice").await;
        let answer = login.come_back(&gateway, "/oauth2callback", &back, &[]).await;
        assert_eq!((answer.status, answer.text().as_str()), (202, "Success"));
        wait_only(&gateway, "active").await;
    }
}

fn busy(port: u16) -> bool {
    TcpListener::bind(("127.0.0.1", port)).is_err()
}

#[tokio::test]
async fn a_codex_login_opens_the_port_that_openai_knows_and_closes_it_afterwards() {
    let _ports = ports();
    let (_simulator, gateway) = scene("").await;
    // Another program may have it; then the other one is taken, and the next test is about neither.
    let Some(free) = [1455, 1457].into_iter().find(|port| !busy(*port)) else {
        println!("both ports are taken by something else: the paste way is tested elsewhere");
        return;
    };
    let host = format!("localhost:{}", gateway.port());
    let answer = get(&gateway.at("/codex/auth"), &[PAGES, ("host", &host)]).await;
    let login = Login::of(&answer);
    let expected = format!("http://localhost:{free}/auth/callback");
    assert_eq!((answer.status, login.parameter("redirect_uri")), (307, expected));
    assert!(busy(free));
    let back = login.allow("alice").await;
    for address in ["127.0.0.1", "[::1]"] {
        // Nothing else is served there.
        let url = format!("http://{address}:{free}/");
        if let Ok(answer) = send("GET", &url, &[], "").await {
            assert_eq!(answer.status, 404);
        }
    }
    let answer = send("GET", back.as_str(), &[("cookie", &login.cookie), PAGES], "").await.unwrap();
    assert_eq!(answer.status, 303, "{}", answer.text());
    let result = answer.header("location").unwrap().to_owned();
    assert!(result.starts_with(&format!("http://{host}/codex/auth/result?")), "{result}");
    wait_only(&gateway, "active").await;
    let closed = || async { !busy(free) };
    assert!(wait_until(closed, LIMIT).await, "the port is still open");
    served(&gateway, "codex", "LOOPBACK").await;
}

#[tokio::test]
async fn where_the_first_port_is_taken_the_second_serves() {
    let _ports = ports();
    let (_simulator, gateway) = scene("").await;
    let _taken = TcpListener::bind(("127.0.0.1", 1455));
    if busy(1457) {
        println!("both ports are taken by something else: the paste way is tested elsewhere");
        return;
    }
    let login = Login::begin(&gateway, "codex").await;
    assert_eq!(login.parameter("redirect_uri"), "http://localhost:1457/auth/callback");
    let back = login.allow("alice").await;
    let answer = send("GET", back.as_str(), &[("cookie", &login.cookie)], "").await.unwrap();
    assert_eq!((answer.status, answer.text().as_str()), (202, "Success"));
    wait_only(&gateway, "active").await;
}

#[tokio::test]
async fn where_both_ports_are_taken_the_person_pastes_the_address() {
    let _ports = ports();
    let (_simulator, gateway) = scene("").await;
    let _taken = [1455, 1457].map(|port| TcpListener::bind(("127.0.0.1", port)));
    let host = format!("localhost:{}", gateway.port());
    let page = get(&gateway.at("/codex/auth"), &[PAGES, ("host", &host)]).await;
    assert_eq!((page.status, heading(&page).as_str()), (200, "Connect Codex"));
    let login = Login::begin(&gateway, "codex").await;
    let back = login.allow("alice").await;
    assert_eq!(back.port(), Some(1455));
    let paste = gateway.at("/codex/auth/paste");
    let answer = form(&paste, &[("cookie", &login.cookie)], &[("callback", back.as_str())]).await;
    assert_eq!((answer.status, answer.text().as_str()), (202, "Success"));
    wait_only(&gateway, "active").await;
    served(&gateway, "codex", "PASTED").await;
}

#[tokio::test]
async fn an_open_codex_login_finds_its_port_again_after_a_restart() {
    let _ports = ports();
    let (_simulator, mut gateway) = scene("").await;
    if busy(1455) && busy(1457) {
        println!("both ports are taken by something else");
        return;
    }
    let login = Login::begin(&gateway, "codex").await;
    gateway.terminate(LIMIT).await.expect("it ends");
    gateway.restart().await.unwrap();
    let back = login.allow("alice").await;
    let open = || async { std::net::TcpStream::connect(("127.0.0.1", back.port().unwrap())).is_ok() };
    assert!(wait_until(open, LIMIT).await);
    let answer = send("GET", back.as_str(), &[("cookie", &login.cookie)], "").await.unwrap();
    assert_eq!((answer.status, answer.text().as_str()), (202, "Success"));
    wait_only(&gateway, "active").await;
}

#[tokio::test]
async fn on_the_loopback_address_a_browser_is_led_to_the_name_that_openai_knows() {
    let (_simulator, gateway) = scene("[basic]\nonboarding = \"key\"").await;
    let answer = get(&gateway.at("/codex/auth"), &[PAGES]).await;
    let expected = format!("http://localhost:{}/codex/auth", gateway.port());
    assert_eq!((answer.status, answer.header("location")), (303, Some(&*expected)));
}

#[tokio::test]
async fn with_onboarding_by_key_nobody_begins_without_it() {
    let _ports = ports();
    let (simulator, gateway) = scene("[basic]\nonboarding = \"key\"").await;
    let host = format!("localhost:{}", gateway.port());
    for provider in ["geminicli", "codex"] {
        let url = gateway.at(&format!("/{provider}/auth"));
        let page = get(&url, &[PAGES, ("host", &host)]).await;
        assert_eq!((page.status, heading(&page).as_str()), (401, "This server asks for its key"));
        assert!(page.header("set-cookie").is_none());
        let vendor = if provider == "codex" { simulator.openai_url() } else { simulator.google_url() };
        let policy = page.header("content-security-policy").unwrap();
        assert!(policy.contains(&format!("form-action 'self' {vendor};")), "{policy}");
        assert_eq!(get(&url, &[]).await.status, 401);
        let page = form(&url, &[PAGES, ("host", &host)], &[("key", "guessed")]).await;
        assert_eq!(page.status, 401);
        assert!(page.text().contains("That is not the key"), "{}", page.text());
        assert_eq!(form(&url, &[PAGES, ("host", &host)], &[("key", gateway.admin_key())]).await.status, 401);
        // 307 would make the browser repeat the POST, key and all, at the vendor.
        let right = form(&url, &[PAGES, ("host", &host)], &[("key", gateway.key())]).await;
        if right.status == 303 {
            let login = Login::of(&right);
            assert!(login.authorize.as_str().starts_with(&vendor));
            assert!(!login.authorize.as_str().contains(gateway.key()));
        } else {
            assert_eq!((provider, right.status), ("codex", 200), "its ports are taken: {}", right.text());
        }
        assert_eq!(get(&url, &gateway.auth()).await.status, 307);
    }
    assert!(simulator.record().all().is_empty());
    assert!(accounts(&gateway).await.is_empty());
    assert!(!gateway.log().contains(gateway.key()), "the key is in the log");
}

#[tokio::test]
async fn a_login_page_that_nobody_knows_is_a_clear_404() {
    let (_simulator, gateway) = scene("").await;
    let result = gateway.at("/geminicli/auth/result?ticket=guessed");
    let page = get(&result, &[PAGES]).await;
    assert_eq!((page.status, heading(&page).as_str()), (404, "Nothing is known of this login"));
    assert_eq!(get(&gateway.at("/geminicli/auth/result"), &[]).await.status, 404);
}
