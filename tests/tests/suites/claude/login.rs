//! Connecting an account in a browser: the vendor's page shows a code, and the person carries it over.

use pollux_tests::kit::{Gateway, form, get};
use pollux_tests::simulator::Simulator;
use pollux_tests::simulator::anthropic::{CLIENT_ID, CODE_PAGE};
use url::Url;

use super::super::owner::{LIMIT, accounts, gateway, wait_only};
use super::super::visitor::{Login, PAGES, heading, parameter};
use super::MESSAGES;

/// The vendor with an account `ada`, a gateway, and a login that has begun.
async fn scene() -> (Simulator, Gateway, Login) {
    let simulator = Simulator::start();
    simulator.anthropic().account("ada");
    let gateway = gateway(&simulator, "").await;
    let login = Login::begin(&gateway, "claude").await;
    (simulator, gateway, login)
}

/// What the vendor's page shows to who allowed.
async fn shown(back: &Url) -> String {
    let page = get(back.as_str(), &[]).await;
    let text = page.text();
    let code = text.split_once("<pre id=\"code\">").and_then(|(_, rest)| rest.split("</pre>").next());
    code.unwrap_or_else(|| panic!("{text}")).to_owned()
}

async fn serves(gateway: &Gateway, simulator: &Simulator) {
    let account = wait_only(gateway, "active").await;
    assert_eq!(account["label"], "ada@example.com");
    let asked = pollux_tests::kit::messages("hello");
    let answer = pollux_tests::kit::post(&gateway.at("/claude/v1/messages"), &gateway.auth(), &asked).await;
    assert_eq!(answer.json()["content"][0]["text"], "hello", "{}", answer.text());
    assert_eq!(simulator.record().last(MESSAGES).unwrap().account.as_deref(), Some("ada"));
}

#[tokio::test]
async fn the_way_to_anthropic_carries_all_that_anthropic_wants_and_no_right_too_many() {
    let (simulator, _gateway, login) = scene().await;
    assert!(
        login.authorize.as_str().starts_with(&format!("{}/cai/oauth/authorize?", simulator.anthropic_url()))
    );
    for (name, value) in [
        ("code", "true"),
        ("client_id", CLIENT_ID),
        ("response_type", "code"),
        ("redirect_uri", CODE_PAGE),
        ("scope", "user:profile user:inference"),
        ("code_challenge_method", "S256"),
    ] {
        assert_eq!(login.parameter(name), value, "{name}");
    }
    assert_eq!(login.parameter("code_challenge").len(), 43);
    assert!(login.parameter("state").len() >= 32);
}

#[tokio::test]
async fn browsers_get_a_page_to_paste_the_code_into() {
    let (simulator, gateway, _) = scene().await;
    let page = get(&gateway.at("/claude/auth"), &[PAGES]).await;
    assert_eq!((page.status, heading(&page).as_str()), (200, "Connect Claude"));
    assert!(page.text().contains("The vendor's page shows a code"), "{}", page.text());
    let cookie = page.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    let target =
        page.text().split("class=\"button\" href=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let authorize = Url::parse(&target.replace("&amp;", "&")).unwrap();
    let login = Login { authorize, cookie, set_cookie: String::new() };
    let code = shown(&login.allow("ada").await).await;
    let paste = gateway.at("/claude/auth/paste");
    let answer = form(&paste, &[("cookie", &login.cookie), PAGES], &[("callback", &code)]).await;
    assert_eq!(answer.status, 303, "{}", answer.text());
    serves(&gateway, &simulator).await;
    assert!(!gateway.log().contains(code.split('#').next().unwrap()), "the code is in the log");
}

#[tokio::test]
async fn plain_clients_may_bring_the_code_by_the_callback() {
    let (simulator, gateway, login) = scene().await;
    let back = login.allow("ada").await;
    let answer = login.come_back(&gateway, "/claude/auth/callback", &back, &[]).await;
    assert_eq!((answer.status, answer.text().as_str()), (202, "Success"));
    serves(&gateway, &simulator).await;
    let sent = simulator.record().last("/oauth/token").unwrap();
    assert_eq!(sent.json()["state"], parameter(&back, "state"), "the vendor wants it back");
    assert_eq!((simulator.anthropic().tally().exchanges, simulator.anthropic().tally().refreshes), (1, 0));
}

#[tokio::test]
async fn a_code_pasted_into_a_terminal_connects_the_account() {
    let (simulator, gateway, _) = scene().await;
    let mut session = gateway.session(&["login", "claude", "--no-browser"]).unwrap();
    assert!(session.log.wait_for("/cai/oauth/authorize?", LIMIT).await, "{}", session.log.text());
    let address = session.log.lines().into_iter().find(|line| line.contains("/authorize?")).unwrap();
    let login =
        Login { authorize: Url::parse(&address).unwrap(), cookie: String::new(), set_cookie: String::new() };
    let code = shown(&login.allow("ada").await).await;
    session.type_line(&code).unwrap();
    assert_eq!(session.wait(LIMIT).await, Some(0), "{}", session.log.text());
    serves(&gateway, &simulator).await;
    assert_eq!(simulator.anthropic().tally().exchanges, 1);
}

#[tokio::test]
async fn a_code_of_another_login_or_of_nobody_connects_nothing() {
    let (_simulator, gateway, login) = scene().await;
    let paste = gateway.at("/claude/auth/paste");
    let cookie = [("cookie", login.cookie.as_str())];
    let other = Login::begin(&gateway, "claude").await;
    let theirs = shown(&other.allow("ada").await).await;
    assert_eq!(form(&paste, &cookie, &[("callback", &theirs)]).await.status, 403);
    assert_eq!(form(&paste, &cookie, &[("callback", "no code at all")]).await.status, 403);
    let invented = format!("invented#{}", login.parameter("state"));
    let answer = form(&paste, &cookie, &[("callback", &invented)]).await;
    assert_eq!(answer.status, 400, "{}", answer.text());
    assert!(answer.text().contains("does not accept the code"), "{}", answer.text());
    assert!(accounts(&gateway).await.is_empty());
}
