//! What the owner and a key are told of what was used: sums, filters, tables, and what is wrong with a question.

use super::usage::records;
use pollux_tests::kit::{Answer, Gateway, Stage, get, wait_until};
use pollux_tests::simulator::Simulator;
use serde_json::{Value, json};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(30);

async fn usage(stage: &Stage, query: &str) -> Value {
    let answer = stage.admin("GET", &format!("/admin/usage{query}"), "").await;
    assert_eq!(answer.status, 200, "{query}: {}", answer.text());
    answer.json()
}

async fn csv(stage: &Stage, path: &str, accept: &str) -> Answer {
    let bearer = format!("Bearer {}", stage.gateway.admin_key());
    get(&stage.gateway.at(path), &[("authorization", &bearer), ("accept", accept)]).await
}

fn sum(rows: &[Value], name: &str) -> u64 {
    rows.iter().filter_map(|row| row[name].as_u64()).sum()
}

/// Two answers of Codex, one of Gemini, and one that nobody could give.
async fn used() -> (Stage, Vec<Value>) {
    let stage = Stage::start("", &["alice"], &["bob"]).await;
    assert_eq!(stage.codex("hello").await.status, 200);
    assert_eq!(stage.codex("a longer text than the first one").await.status, 200);
    assert_eq!(stage.gemini("hello").await.status, 200);
    assert_eq!(
        stage.post("/codex/v1/responses", &json!({"model": "nobody's", "input": "x"})).await.status,
        400
    );
    let rows = records(&stage, 4).await;
    (stage, rows)
}

#[tokio::test]
async fn sums_are_those_of_the_single_requests_however_they_are_grouped() {
    let (stage, rows) = used().await;
    for group in
        ["day", "hour", "model", "provider", "account", "key", "dialect", "status", "day,model,status"]
    {
        let answer = usage(&stage, &format!("?group={group}")).await;
        let groups = answer["rows"].as_array().unwrap();
        for name in ["input_tokens", "output_tokens", "cache_read_tokens", "attempts"] {
            assert_eq!(sum(groups, name), sum(&rows, name), "{name} by {group}: {answer:#}");
            assert_eq!(answer["total"][name].as_u64(), Some(sum(&rows, name)), "{name} by {group}");
        }
        assert_eq!(sum(groups, "requests"), 4, "{group}");
        assert_eq!(
            (sum(groups, "failed"), &answer["total"]["requests_without_cost"]),
            (1, &json!(1)),
            "{group}"
        );
        assert_eq!(answer["group"], json!(group.split(',').collect::<Vec<_>>()));
        for row in groups {
            assert!(group.split(',').all(|name| row.get(name).is_some()), "{group}: {row}");
        }
    }
}

#[tokio::test]
async fn filters_leave_the_others_out() {
    let (stage, rows) = used().await;
    let bob = stage.account("bob").await["id"].clone();
    for (query, requests) in [
        ("provider=codex", 3),
        ("provider=geminicli", 1),
        ("provider=codex,geminicli", 4),
        ("model=gpt-5.5", 2),
        (&*format!("account={bob}"), 2),
        ("status=4xx", 1),
        ("status=200,400", 4),
        ("status=none", 0),
        ("key=owner", 4),
        ("key=somebody", 0),
        ("provider=codex&status=200", 2),
        ("from=1h", 4),
        ("to=1h", 0),
        ("from=2020-01-01&to=2020-02-01", 0),
    ] {
        let answer = usage(&stage, &format!("?{query}")).await;
        assert_eq!(answer["total"]["requests"], requests, "{query}: {answer:#}");
        let single = stage.admin("GET", &format!("/admin/usage/requests?{query}"), "").await.json();
        assert_eq!(single["rows"].as_array().unwrap().len(), requests, "{query}");
    }
    let nothing = usage(&stage, "?key=somebody").await;
    assert_eq!((&nothing["rows"], &nothing["total"]["cost_usd"]), (&json!([]), &Value::Null));
    // To the moment at which a request began.
    let second = rows[1]["at"].as_str().unwrap();
    let since = usage(&stage, &format!("?from={second}")).await;
    assert_eq!(since["total"]["requests"], 3, "{since:#}");
    assert_eq!(since["from"], second);
}

#[tokio::test]
async fn what_is_wrong_with_a_question_is_named() {
    let stage = Stage::start("", &[], &[]).await;
    for (path, param) in [
        ("/admin/usage?group=colour", "group"),
        ("/admin/usage?group=day,hour", "group"),
        ("/admin/usage?from=yesterday", "from"),
        ("/admin/usage?from=1d&to=2d", "from"),
        ("/admin/usage?to=2026-02-31", "to"),
        ("/admin/usage?account=bob", "account"),
        ("/admin/usage?status=2000", "status"),
        ("/admin/usage?provider=", "provider"),
        ("/admin/usage?limit=many", "limit"),
        ("/admin/usage?format=xml", "format"),
        ("/admin/usage?colour=red", "colour"),
        ("/admin/usage/requests?group=day", "group"),
        ("/admin/usage/requests?before=x", "before"),
    ] {
        let answer = stage.admin("GET", path, "").await;
        assert_eq!(answer.status, 400, "{path}: {}", answer.text());
        let error = answer.json()["error"].clone();
        assert_eq!(error["param"], param, "{path}");
        assert!(error["message"].as_str().unwrap().contains(param), "{path}: {error}");
    }
    let other = stage.admin("POST", "/admin/usage", "").await;
    assert_eq!((other.status, other.header("allow")), (405, Some("GET")));
}

#[tokio::test]
async fn a_table_for_a_spreadsheet_is_the_same_in_csv() {
    let (stage, _) = used().await;
    let answer = usage(&stage, "?group=model,provider").await;
    for (path, accept) in [
        ("/admin/usage?group=model,provider&format=csv", "*/*"),
        ("/admin/usage?group=model,provider", "text/csv"),
    ] {
        let table = csv(&stage, path, accept).await;
        assert_eq!(table.status, 200);
        assert_eq!(table.header("content-type"), Some("text/csv; charset=utf-8"));
        assert!(table.header("content-disposition").unwrap().starts_with("attachment"));
        let text = table.text();
        let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split(',').collect()).collect();
        assert_eq!(lines[0][..4], ["model", "provider", "requests", "failed"]);
        let rows = answer["rows"].as_array().unwrap();
        assert_eq!(lines.len(), rows.len() + 1);
        for (line, row) in lines[1..].iter().zip(rows) {
            for (name, cell) in lines[0].iter().zip(line) {
                let expected = match &row[*name] {
                    Value::Null => String::new(),
                    Value::String(text) => text.clone(),
                    Value::Number(number) if *name == "cost_usd" => {
                        assert!((cell.parse::<f64>().unwrap() - number.as_f64().unwrap()).abs() < 1e-12);
                        continue;
                    }
                    number => number.to_string(),
                };
                assert_eq!(**cell, expected, "{name} of {row}");
            }
        }
    }
    let single = csv(&stage, "/admin/usage/requests?format=csv", "*/*").await;
    assert_eq!(single.text().lines().count(), 5);
    let json = csv(&stage, "/admin/usage?format=json", "text/csv").await;
    assert!(json.json()["rows"].is_array(), "what is said comes before what is accepted");
}

#[tokio::test]
async fn a_long_answer_is_cut_and_says_so_and_its_total_is_whole() {
    let (stage, rows) = used().await;
    let answer = usage(&stage, "?group=model&limit=1").await;
    assert_eq!((&answer["truncated"], answer["rows"].as_array().unwrap().len()), (&json!(true), 1));
    assert_eq!(answer["rows"][0]["model"], "gpt-5.5", "the busiest comes first");
    assert_eq!(answer["total"]["input_tokens"].as_u64(), Some(sum(&rows, "input_tokens")));
    let table = csv(&stage, "/admin/usage?group=model&limit=1&format=csv", "*/*").await;
    assert_eq!((table.header("x-pollux-truncated"), table.text().lines().count()), (Some("true"), 2));
    let mut seen = Vec::new();
    let mut path = "/admin/usage/requests?limit=3".to_owned();
    loop {
        let page = stage.admin("GET", &path, "").await.json();
        seen.extend(page["rows"].as_array().unwrap().iter().map(|row| row["id"].as_u64().unwrap()));
        if page["truncated"] == json!(false) {
            break;
        }
        path = format!("/admin/usage/requests?limit=3&before={}", page["before"]);
    }
    let mut all: Vec<u64> = rows.iter().map(|row| row["id"].as_u64().unwrap()).collect();
    all.reverse();
    assert_eq!(seen, all);
}

#[tokio::test]
async fn only_the_admin_key_in_a_header_sees_everybodys_use() {
    let stage = Stage::start("", &[], &[]).await;
    for path in ["/admin/usage", "/admin/usage/requests"] {
        let url = stage.gateway.at(path);
        assert_eq!(get(&url, &[]).await.status, 401);
        assert_eq!(get(&url, &stage.gateway.auth()).await.status, 401, "a client's key");
        let in_url = format!("{url}?key={}", stage.gateway.admin_key());
        assert_eq!(get(&in_url, &[]).await.status, 401, "by URL");
        assert_eq!(stage.admin("GET", path, "").await.status, 200);
    }
}

#[tokio::test]
async fn a_key_sees_its_own_use_in_every_form_that_it_is_sent() {
    let (stage, rows) = used().await;
    let url = stage.gateway.at("/usage");
    let key = stage.gateway.key();
    let bearer = format!("Bearer {key}");
    for headers in [[("authorization", bearer.as_str())], [("x-goog-api-key", key)], [("x-api-key", key)]] {
        let answer = get(&format!("{url}?group=model"), &headers).await;
        assert_eq!(answer.status, 200, "{headers:?}");
        let own = answer.json();
        assert_eq!((&own["key"], &own["total"]["requests"]), (&json!("owner"), &json!(4)));
        assert_eq!(own["total"]["output_tokens"].as_u64(), Some(sum(&rows, "output_tokens")));
        assert!(own.get("subscriptions").is_none(), "{own:#}");
        let text = own.to_string();
        assert!(!text.contains("bob@") && !text.contains("account"), "accounts are the owner's: {text}");
    }
    let days = get(&format!("{url}?key={key}"), &[]).await.json();
    assert_eq!(days["rows"].as_array().unwrap().len(), 1, "{days:#}");
    assert!(days["rows"][0]["day"].is_string());
    assert_eq!(get(&url, &[]).await.status, 401);
    assert_eq!(get(&url, &[("x-api-key", "wrong")]).await.status, 401);
    for (query, param) in [("group=account", "group"), ("account=1", "account"), ("group=key", "group")] {
        let answer = get(&format!("{url}?{query}"), &stage.gateway.auth()).await;
        assert_eq!((answer.status, &answer.json()["error"]["param"]), (400, &json!(param)), "{query}");
    }
}

#[tokio::test]
async fn the_value_drawn_from_a_subscription_stands_beside_its_price() {
    let simulator = Simulator::start();
    simulator.openai().account("bob").plan("plus");
    simulator.openai().account("carol").plan("k12");
    let mine = Gateway::builder().config("[usage.subscriptions]\ncodex = { plus = 22.5 }");
    let stage = Stage::with(simulator, mine, &["alice"], &["bob", "carol"]).await;
    let answer = usage(&stage, "").await;
    let paid = &answer["subscriptions"];
    assert_eq!(paid["usd_per_month"], 22.5, "{answer:#}");
    assert_eq!((&paid["accounts_with_price"], &paid["accounts_without_price"]), (&json!(1), &json!(2)));
    let within = paid["usd_within"].as_f64().unwrap();
    assert!((0.0..1.0).contains(&within), "it was added just now: {within}");
    let other = usage(&stage, "?provider=geminicli").await;
    assert_eq!(other["subscriptions"]["usd_per_month"], Value::Null, "unknown is not free");
    assert!(usage(&stage, "?model=gpt-5.5").await.get("subscriptions").is_none());
}

#[tokio::test]
async fn a_file_of_prices_counts_and_a_broken_one_is_refused_at_start() {
    let prices = "[[prices]]\nmodels = [\"gpt-5.5\"]\ninput = 0\noutput = 1000000\n";
    let builder = Gateway::builder().file("mine.toml", prices).config("[usage]\nprices_file = \"mine.toml\"");
    let stage = Stage::with(Simulator::start(), builder, &[], &["bob"]).await;
    stage.codex("hello").await;
    let rows = records(&stage, 1).await;
    assert_eq!(rows[0]["cost_usd"].as_f64(), rows[0]["output_tokens"].as_f64());
    for (config, words) in [
        ("[usage]\nprices_file = \"missing.toml\"", "missing.toml"),
        ("[usage]\nprices_file = \"bad.toml\"", "line 2"),
        ("[[usage.prices]]\nmodels = [\"m\"]\ninput = -3\noutput = 1", "`input`"),
        ("[[usage.prices]]\nmodels = [\"m\"]\ninput = 3", "output"),
        ("[usage.subscriptions]\ncodex = 3", "subscriptions.codex"),
        ("[usage.subscriptions.codex]\nplus = \"much\"", "subscriptions.codex.plus"),
        ("[usage]\nkeep_raw = \"long\"", "keep_raw"),
        ("[usage]\nkeep_forever = true", "keep_forever"),
    ] {
        let builder = Gateway::builder().file("bad.toml", "[[prices]]\nmodels = 3\n").config(config);
        let mut gateway = builder.spawn().unwrap();
        let status = gateway.wait_exit(LIMIT).await.expect("it does not start");
        assert_eq!(status.code(), Some(2), "{config}");
        let told = || std::future::ready(gateway.log().contains(words));
        assert!(wait_until(told, LIMIT).await, "{config}: {}", gateway.log().text());
    }
}
