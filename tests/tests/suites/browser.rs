//! Both logins in a real browser: Debian's Chromium without a screen.

use super::owner::{accounts, gateway, served, wait_all, wait_only};
use super::visitor::ports;
use pollux_tests::kit::Gateway;
use pollux_tests::simulator::Simulator;
use serde_json::{Value, json};
use std::fs::{OpenOptions, create_dir_all};
use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const CHROMIUM: &str = "/usr/bin/chromium";

/// Where the browser's driver is installed, or that this test is skipped; with `CI=true` that is a failure.
fn driver() -> Option<PathBuf> {
    let clients = std::env::var_os("POLLUX_CLIENTS").map(PathBuf::from);
    let installed = clients.as_ref().map(|folder| folder.join("browser"));
    let missing = if installed.as_ref().is_none_or(|folder| !folder.join("node_modules").is_dir()) {
        "browser: playwright-core is not installed (tests/clients/install)"
    } else if !Path::new(CHROMIUM).exists() {
        "browser: Chromium is not installed (tests/install-deps)"
    } else {
        return installed;
    };
    println!("SKIP {missing}");
    if let Some(cache) = clients.as_ref().and_then(|folder| folder.parent()) {
        let note = || {
            create_dir_all(cache)?;
            writeln!(OpenOptions::new().create(true).append(true).open(cache.join("skips.txt"))?, "{missing}")
        };
        note().unwrap_or_else(|error| println!("the skip is not noted: {error}"));
    }
    assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "with CI=true a skip is a failure: {missing}");
    None
}

/// Plays a visit; it must come to its end, without any complaint of the browser's.
async fn visit(driver: &Path, name: &str, mut plan: Value) -> Value {
    plan["name"] = json!(name);
    if let Some(shots) = std::env::var_os("POLLUX_TEST_SCREENSHOTS") {
        plan["shots"] = json!(shots.to_string_lossy());
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("browser/visit.mjs");
    let mut node = Command::new("node");
    node.arg(script).env("POLLUX_BROWSER", driver).env("POLLUX_CHROMIUM", CHROMIUM);
    node.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = tokio::task::spawn_blocking(move || {
        let mut node = node.spawn()?;
        node.stdin.take().expect("it is piped").write_all(plan.to_string().as_bytes())?;
        node.wait_with_output()
    });
    let output = output.await.unwrap().expect("node runs");
    let outcome: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let failed = !outcome.is_object() || !outcome["failure"].is_null();
    assert!(!failed, "{name}: {outcome:#}\n{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(outcome["complaints"], json!([]), "{name}: {outcome:#}");
    let cookies = outcome["cookies"].as_array().expect("a list");
    let left = |cookie: &&Value| cookie["name"].as_str().unwrap_or_default().starts_with("pollux_login");
    assert_eq!(cookies.iter().find(left), None, "{name}: the session's cookie stayed");
    outcome
}

async fn scene(config: &str) -> (Simulator, Gateway) {
    let simulator = Simulator::start();
    simulator.google().account("alice");
    simulator.openai().account("alice");
    let gateway = gateway(&simulator, config).await;
    (simulator, gateway)
}

fn named(gateway: &Gateway, host: &str, path: &str) -> String {
    format!("http://{host}:{}{path}", gateway.port())
}

/// Cookies are `Secure` unless told otherwise, as they are for everybody who changes nothing.
const SECURE: &str = "[basic]\ninsecure_cookie = false";

#[tokio::test]
async fn a_google_account_is_connected_with_two_clicks() {
    let Some(driver) = driver() else { return };
    for (scheme, host, config) in
        [("light", "localhost", SECURE), ("dark", "127.0.0.1", SECURE), ("dark", "localhost", "")]
    {
        let (_simulator, gateway) = scene(config).await;
        let plan = json!({
            "url": named(&gateway, host, "/geminicli/auth"), "scheme": scheme,
            "steps": [{"click": "#allow-alice", "heading": "Success"}],
        });
        let outcome = visit(&driver, &format!("google-{scheme}-{host}"), plan).await;
        assert!(outcome["text"].as_str().unwrap().contains("alice@example.com"), "{outcome:#}");
        wait_only(&gateway, "active").await;
        served(&gateway, "geminicli", "BROWSED").await;
    }
}

#[tokio::test]
async fn an_openai_account_is_connected_through_the_port_openai_knows() {
    let Some(driver) = driver() else { return };
    let _ports = ports();
    for host in ["localhost", "127.0.0.1"] {
        if [1455, 1457].into_iter().all(|port| TcpListener::bind(("127.0.0.1", port)).is_err()) {
            println!("both ports are taken by something else: the paste way is tested elsewhere");
            return;
        }
        let (_simulator, gateway) = scene(SECURE).await;
        let plan = json!({
            "url": named(&gateway, host, "/codex/auth"),
            "steps": [{"click": "#allow-alice", "heading": "Success"}],
        });
        let outcome = visit(&driver, &format!("openai-{host}"), plan).await;
        assert!(outcome["url"].as_str().unwrap().starts_with(&named(
            &gateway,
            "localhost",
            "/codex/auth/result"
        )));
        wait_only(&gateway, "active").await;
        served(&gateway, "codex", "BROWSED").await;
    }
}

#[tokio::test]
async fn a_denial_ends_on_a_clear_page_that_leads_back_to_the_start() {
    let Some(driver) = driver() else { return };
    let _ports = ports();
    let (_simulator, gateway) = scene("").await;
    for (provider, scheme, title) in [
        ("geminicli", "light", "Gemini CLI did not grant access"),
        ("geminicli", "dark", "Gemini CLI did not"),
    ] {
        let plan = json!({
            "url": named(&gateway, "localhost", &format!("/{provider}/auth")), "scheme": scheme, "refused": true,
            "steps": [
                {"click": "#deny", "heading": title},
                {"click": "text=Start again", "heading": "wants access"},
                {"click": "#allow-alice", "heading": "Success"},
            ],
        });
        visit(&driver, &format!("denied-{scheme}"), plan).await;
    }
    wait_only(&gateway, "active").await;
}

#[tokio::test]
async fn the_key_is_asked_for_and_never_leaves_for_the_vendor() {
    let Some(driver) = driver() else { return };
    let _ports = ports();
    let (simulator, gateway) = scene("[basic]\nonboarding = \"key\"\ninsecure_cookie = false").await;
    let mut providers = vec![("geminicli", "light"), ("geminicli", "dark")];
    if [1455, 1457].into_iter().any(|port| TcpListener::bind(("127.0.0.1", port)).is_ok()) {
        providers.push(("codex", "light"));
    }
    for (provider, scheme) in providers {
        let plan = json!({
            "url": named(&gateway, "127.0.0.1", &format!("/{provider}/auth")), "scheme": scheme, "refused": true,
            "steps": [
                {"fill": ["#key", "guessed"], "click": "button", "heading": "This server asks for its key"},
                {"fill": ["#key", gateway.key()], "press": "Enter", "heading": "wants access"},
                {"click": "#allow-alice", "heading": "Success"},
            ],
        });
        visit(&driver, &format!("key-{provider}-{scheme}"), plan).await;
    }
    for request in simulator.record().all() {
        let sent = format!("{:?}{:?}{:?}", request.query, request.headers, request.body);
        assert!(!sent.contains(gateway.key()), "the vendor was told the key at {}", request.path);
        assert!(request.path != "/consent" || request.method == "GET");
    }
}

#[tokio::test]
async fn from_another_machine_the_address_is_carried_by_hand() {
    let Some(driver) = driver() else { return };
    let _ports = ports();
    let (_simulator, gateway) = scene("").await;
    for (number, (provider, scheme)) in [("geminicli", "light"), ("codex", "dark")].into_iter().enumerate() {
        let plan = json!({
            "url": named(&gateway, "pool.example", &format!("/{provider}/auth")), "scheme": scheme,
            // Where the vendor's redirect leads there is nobody, or a gateway that knows nothing of this login.
            "resolve": "MAP pool.example 127.0.0.1", "refused": true, "unreachable": true,
            "steps": [
                {"opens": "a.button", "then": "#allow-alice"},
                {"fillWithAddress": "#callback", "click": "button", "heading": "Success"},
            ],
        });
        let outcome = visit(&driver, &format!("carried-{provider}"), plan).await;
        assert!(outcome["pages"][0].as_str().unwrap().starts_with("Connect "), "{outcome:#}");
        wait_all(&gateway, number + 1, "active").await;
    }
}

#[tokio::test]
async fn an_account_from_a_public_address_is_shown_how_it_gets_in() {
    let Some(driver) = driver() else { return };
    let (_simulator, gateway) = scene("[basic]\ntrusted_proxies = [\"127.0.0.1\"]").await;
    for scheme in ["light", "dark"] {
        let plan = json!({
            "url": named(&gateway, "localhost", "/geminicli/auth"), "scheme": scheme,
            "headers": {"x-forwarded-for": "203.0.113.9"},
            "steps": [{"click": "#allow-alice", "heading": "Waiting for approval"}],
        });
        let outcome = visit(&driver, &format!("pending-{scheme}"), plan).await;
        assert!(outcome["text"].as_str().unwrap().contains("pollux accounts approve 1"), "{outcome:#}");
    }
    assert_eq!(accounts(&gateway).await[0]["state"], "pending");
}

#[tokio::test]
async fn an_account_google_turns_away_is_shown_googles_reason_and_link() {
    use pollux_tests::simulator::google::Kind;
    let Some(driver) = driver() else { return };
    let (simulator, gateway) = scene("").await;
    simulator.google().account("alice").kind(Kind::ValidationRequired);
    for scheme in ["light", "dark"] {
        let plan = json!({
            "url": named(&gateway, "localhost", "/geminicli/auth"), "scheme": scheme, "refused": true,
            "steps": [{"click": "#allow-alice", "heading": "The account cannot be used"}],
        });
        let outcome = visit(&driver, &format!("turned-away-{scheme}"), plan).await;
        assert!(outcome["text"].as_str().unwrap().contains("Verify your account"), "{outcome:#}");
    }
}
