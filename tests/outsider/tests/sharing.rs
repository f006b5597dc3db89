//! Two providers at the root: what they share, what they quarrel about, and who is asked first.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod built;

use built::binary;
use pollux_tests::kit::{Database, Gateway, free_port, get, post, send, wait_until};
use serde_json::{Value, json};
use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
    time::Duration,
};

const LIMIT: Duration = Duration::from_secs(30);

/// A vendor that answers with the key it was asked with, and has none left for keys that begin with `spent`.
fn vendor() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let (mut asked, mut part) = (String::new(), [0; 4096]);
                while !asked.contains("\r\n\r\n") || !asked.trim_end().ends_with('}') {
                    match stream.read(&mut part) {
                        Ok(0) | Err(_) => return,
                        Ok(read) => asked.push_str(&String::from_utf8_lossy(&part[..read])),
                    }
                }
                let lower = asked.to_lowercase();
                let key = lower.split("authorization: bearer ").nth(1).and_then(|rest| rest.lines().next());
                let key = key.unwrap_or_default();
                let (status, body) = if key.starts_with("spent") {
                    ("429 Too Many Requests", json!({"error": {"message": "spent"}}))
                } else {
                    ("200 OK", json!({"id": key, "choices": []}))
                };
                let head = "content-type: application/json\r\nconnection: close\r\nretry-after: 3000";
                let body = body.to_string();
                let answer =
                    format!("HTTP/1.1 {status}\r\n{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
                drop(stream.write_all(answer.as_bytes()));
            });
        }
    });
    url
}

fn config(port: u16, claims: &str, more: &str) -> String {
    format!(
        "[basic]\nlisten_addr = \"127.0.0.1\"\nlisten_port = {port}\npollux_key = \"pollux-key-of-the-tests\"\n\
         workers = 1\n{more}\n[providers.rival]\nclaims = \"{claims}\"\n"
    )
}

async fn gateway(config: impl Fn(u16) -> String) -> Gateway {
    let port = free_port();
    let builder = Gateway::builder().database(Database::Sqlite).raw_config(&config(port));
    let builder =
        builder.config(&format!("[basic]\nlisten_port = {port}\npollux_key = \"pollux-key-of-the-tests\""));
    builder.program(binary("rival")).start().await.unwrap()
}

#[tokio::test]
async fn a_path_that_two_providers_claim_and_do_not_share_stops_the_start_and_names_both() {
    for (claims, path, first, second) in [
        ("owned", "/v1/chat/completions", "`acme`", "`rival`"),
        ("route", "/v1/chat/completions", "`acme`", "`rival`"),
        ("prefix", "/acme/v1/chat/completions", "`acme`", "`rival`"),
        ("host", "/healthz", "`pollux`", "`rival`"),
        ("admin", "/admin/accounts", "`pollux`", "`rival`"),
    ] {
        let builder = Gateway::builder().database(Database::Sqlite).program(binary("rival"));
        let mut gateway = builder.raw_config(&config(free_port(), claims, "")).spawn().unwrap();
        let status = gateway.wait_exit(LIMIT).await.expect("it does not start");
        assert_eq!(status.code(), Some(2), "{claims}");
        assert!(gateway.log().wait_for("is claimed by", LIMIT).await, "{}", gateway.log().text());
        let log = gateway.log().text();
        assert!([path, first, second].iter().all(|part| log.contains(part)), "{claims}: {log}");
    }
}

#[tokio::test]
async fn without_aliases_there_is_no_quarrel() {
    let gateway = gateway(|port| config(port, "owned", "root_aliases = false")).await;
    assert_eq!(get(&gateway.at("/rival/v1/models"), &gateway.auth()).await.status, 200);
    assert_eq!(get(&gateway.at("/v1/models"), &gateway.auth()).await.status, 404);
}

async fn add(gateway: &Gateway, provider: &str, key: &str) {
    let before = gateway.log().count("account is in the pool");
    let url = gateway.at(&format!("/{provider}/resource:add"));
    assert_eq!(post(&url, &gateway.auth(), &json!([{"acme_key": key}])).await.status, 202);
    let there = || std::future::ready(gateway.log().count("account is in the pool") > before);
    assert!(wait_until(there, LIMIT).await, "{}", gateway.log().text());
}

/// Whose key served a chat with this model.
async fn served(gateway: &Gateway, model: &str) -> Value {
    let body = json!({"model": model, "messages": [{"role": "user", "content": "Hi"}]});
    let answer = post(&gateway.at("/v1/chat/completions"), &gateway.auth(), &body).await;
    if answer.status == 200 { answer.json()["id"].take() } else { json!(answer.status) }
}

#[tokio::test]
async fn a_shared_path_goes_to_the_first_in_order_that_has_a_usable_account_for_the_model() {
    let vendor = vendor();
    let settings = |port| {
        let models = |list: &str| format!("api_url = \"{vendor}\"\nmodel_list = [{list}]\n");
        let rival = format!("{}{}", config(port, "shared", ""), models("\"both\", \"rivals\""));
        format!(
            "[pool]\nacquire_timeout = \"1s\"\norder = [\"rival\"]\n{rival}[providers.acme]\n{}",
            models("\"both\", \"acmes\"")
        )
    };
    let gateway = gateway(settings).await;
    assert_eq!(served(&gateway, "both").await, 503, "nobody has an account");
    add(&gateway, "acme", "acmes-key").await;
    assert_eq!(served(&gateway, "both").await, "acmes-key", "the first in order has no account");
    add(&gateway, "rival", "rivals-key").await;
    assert_eq!(served(&gateway, "both").await, "rivals-key", "the first in order has one");
    assert_eq!(served(&gateway, "acmes").await, "acmes-key");
    assert_eq!(served(&gateway, "rivals").await, "rivals-key");
    assert_eq!(served(&gateway, "nobodys").await, 400);
    let list = get(&gateway.at("/v1/models"), &gateway.auth()).await.json();
    let ids: Vec<&Value> = list["data"].as_array().unwrap().iter().map(|model| &model["id"]).collect();
    assert_eq!(ids, ["both", "rivals", "acmes"], "each once, the preferred first");
}

#[tokio::test]
async fn a_provider_whose_accounts_rest_is_passed_over() {
    let vendor = vendor();
    let settings = |port| {
        let api = format!("api_url = \"{vendor}\"\nmodel_list = [\"both\"]\n");
        let base = config(port, "shared", "");
        format!(
            "[pool]\nacquire_timeout = \"1s\"\norder = [\"rival\", \"acme\"]\n{base}{api}[providers.acme]\n{api}"
        )
    };
    let gateway = gateway(settings).await;
    add(&gateway, "rival", "spent-key").await;
    add(&gateway, "acme", "acmes-key").await;
    assert_eq!(served(&gateway, "both").await, 429, "it was usable until now");
    assert_eq!(served(&gateway, "both").await, "acmes-key");
}

#[tokio::test]
async fn a_client_that_looks_whether_somebody_is_there_finds_somebody_where_its_language_is_spoken() {
    let there = gateway(|port| config(port, "greeted", "")).await;
    for path in ["/", "/api/hello", "/rival", "/rival/", "/rival/api/hello"] {
        let answer = send("HEAD", &there.at(path), &[], "").await.unwrap();
        assert_eq!((answer.status, answer.text().as_str()), (200, ""), "{path}");
    }
    assert_eq!(get(&there.at("/"), &[]).await.status, 404);
    let prefix = gateway(|port| config(port, "greeted", "root_aliases = false")).await;
    assert_eq!(send("HEAD", &prefix.at("/rival"), &[], "").await.unwrap().status, 200);
    for (gateway, path) in [(&prefix, "/"), (&there, "/acme")] {
        assert_eq!(send("HEAD", &gateway.at(path), &[], "").await.unwrap().status, 404, "{path}");
    }
}
