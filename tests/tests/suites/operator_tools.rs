//! What other people's programs make of the operator's endpoints.

use super::owner::{add, ask, gateway, pooled, served, wait_all};
use pollux_tests::kit::{Gateway, Program, Run, get, installed};
use pollux_tests::simulator::{Simulator, openai::Refusal};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;

/// Programs in Python take their time on a busy machine.
const PATIENCE: Duration = Duration::from_mins(5);

/// The families of a scrape, as Prometheus' own parser reads it.
async fn families(gateway: &Gateway, python: &Path) -> Vec<Value> {
    let key = format!("Bearer {}", gateway.admin_key());
    let answer = get(&gateway.at("/metrics"), &[("authorization", &key)]).await;
    assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/metrics_text.py");
    let program = Program::new("sh").unwrap().file("work/scrape.txt", &answer.text()).unwrap();
    let command = format!("{} {} < scrape.txt", python.display(), script.display());
    let run: Run = program.arg("-c").arg(command).run(PATIENCE).await.unwrap();
    assert_eq!(run.code, Some(0), "{}", run.text());
    serde_json::from_str(&run.stdout).unwrap()
}

#[tokio::test]
async fn prometheus_reads_every_series_with_its_help_and_type() {
    let Some(python) = installed("prometheus_client", "tools/bin/python") else { return };
    let simulator = Simulator::start();
    let gateway = gateway(&simulator, "").await;
    let (bob, eve) = (simulator.openai().account("bob"), simulator.openai().account("eve"));
    pooled(&gateway, "codex", &bob.refresh_token()).await;
    pooled(&gateway, "codex", &eve.refresh_token()).await;
    served(&gateway, "codex", "COUNTED").await;
    // One of them rests from here on, and the other serves in its place.
    let last = simulator.record().last("/codex/responses").unwrap().account.unwrap();
    for label in ["bob", "eve"] {
        let limit = Refusal::UsageLimitReached(Duration::from_hours(3));
        simulator.openai().account(label).refuse((label != last).then_some(limit));
    }
    for _ in 0..3 {
        served(&gateway, "codex", "COUNTED").await;
    }
    let families = families(&gateway, &python).await;
    let family = |name: &str| {
        let name = ["_total", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
        let found = families.iter().find(|family| family["name"] == name);
        found.unwrap_or_else(|| panic!("no {name} in {families:#?}"))
    };
    let value = |name: &str, labels: Value| {
        let samples = family(name)["samples"].as_array().unwrap();
        let is_it = |one: &&Value| {
            one["name"] == name
                && labels.as_object().unwrap().iter().all(|(key, value)| one["labels"][key] == *value)
        };
        samples.iter().find(is_it).unwrap_or_else(|| panic!("no {labels} in {samples:?}"))["value"]
            .as_f64()
            .unwrap()
    };
    for (name, kind) in [
        ("pollux_requests_total", "counter"),
        ("pollux_request_seconds", "histogram"),
        ("pollux_first_byte_seconds", "histogram"),
        ("pollux_attempts_total", "counter"),
        ("pollux_verdicts_total", "counter"),
        ("pollux_requests_in_flight", "gauge"),
        ("pollux_cooldowns_total", "counter"),
        ("pollux_cooldowns_active", "gauge"),
        ("pollux_refreshes_total", "counter"),
        ("pollux_quota_used_ratio", "gauge"),
        ("pollux_tokens_total", "counter"),
        ("pollux_queue_wait_seconds", "histogram"),
        ("pollux_websocket_closes_total", "counter"),
        ("pollux_accounts", "gauge"),
    ] {
        let family = family(name);
        assert_eq!(family["type"], kind, "{name}");
        assert!(family["help"].as_str().is_some_and(|help| help.len() > 10), "{name} has no help");
    }
    let served = json!({"provider": "codex", "dialect": "responses", "status": "200"});
    assert!((value("pollux_requests_total", served) - 4.0).abs() < 0.1);
    let codex = json!({"provider": "codex"});
    assert!(
        (value("pollux_request_seconds_count", codex.clone()) - 6.0).abs() < 0.1,
        "two came by resource:add"
    );
    assert!((value("pollux_queue_wait_seconds_count", codex) - 5.0).abs() < 0.1);
    let rested = json!({"provider": "codex", "next": "rotate", "effect": "cool_account"});
    assert!((value("pollux_verdicts_total", rested) - 1.0).abs() < 0.1);
    assert!((value("pollux_cooldowns_active", json!({"scope": "account"})) - 1.0).abs() < 0.1);
    assert!(value("pollux_tokens_total", json!({"kind": "output"})) > 0.0);
    assert!((value("pollux_accounts", json!({"state": "cooling"})) - 1.0).abs() < 0.1);
}

#[tokio::test]
async fn schemathesis_finds_the_admin_api_as_its_document_says() {
    let Some(schemathesis) = installed("schemathesis", "tools/bin/schemathesis") else { return };
    let simulator = Simulator::start();
    let gateway = gateway(&simulator, "[basic]\nloglevel = \"info\"").await;
    for label in ["ann", "bob", "eve"] {
        add(
            &gateway,
            "codex",
            &json!([{"refresh_token": simulator.openai().account(label).refresh_token()}]),
        )
        .await;
    }
    wait_all(&gateway, 3, "active").await;
    let times = ["--include-path-regex", "^/admin/usage", "--exclude-checks", "positive_data_acceptance"];
    // That one time comes before another is no rule that the document could state.
    for chosen in [&["--exclude-path-regex", "^/admin/usage"][..], &times] {
        let run = Program::new(&schemathesis).unwrap();
        let run = run.arg("run").arg(gateway.at("/admin/openapi.json"));
        let run = run.arg("--header").arg(format!("Authorization: Bearer {}", gateway.admin_key()));
        // Half of the cases break the document's own rules, and must be refused for it.
        let run = run.arg("--mode").arg("all").arg("--checks").arg("all").arg("--max-examples").arg("25");
        let run = chosen.iter().fold(run, Program::arg);
        let run = run.arg("--seed").arg("7").arg("--no-color").run(PATIENCE).await.unwrap();
        assert_eq!(run.code, Some(0), "{}", run.text());
    }
    assert!(!gateway.log().contains("panicked"), "{}", gateway.log().text());
    // It is still at work, whatever became of the accounts.
    assert!(matches!(ask(&gateway, "codex", "AFTER").await.status, 200 | 429 | 502 | 503));
    assert_eq!(get(&gateway.at("/healthz"), &[]).await.status, 200);
}
