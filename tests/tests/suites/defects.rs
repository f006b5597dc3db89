//! The table of known defects is true, and what no other suite covers of it.

use pollux_tests::{
    kit::{Answer, Decision, Gateway, consent, get, post, send},
    simulator::{Fault, Injection, Reply, Simulator},
};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

const LIMIT: Duration = Duration::from_secs(20);

/// One row: its number, and what stands in the last cell.
struct Known<'a> {
    number: &'a str,
    answer: &'a str,
}

impl<'a> Known<'a> {
    fn read(line: &'a str) -> Option<Self> {
        let cells: Vec<&str> =
            line.trim().strip_prefix('|')?.strip_suffix('|')?.split('|').map(str::trim).collect();
        let [number, _, answer] = cells[..] else { return None };
        number.starts_with(|first: char| first.is_ascii_digit()).then_some(Self { number, answer })
    }

    /// What stands in backticks and reads like a test's name.
    fn tests(&self) -> impl Iterator<Item = &'a str> {
        let quoted = self.answer.split('`').skip(1).step_by(2);
        quoted
            .filter(|name| name.contains('_') && name.chars().all(|c| c == '_' || c.is_ascii_alphanumeric()))
    }

    /// The words between the names.
    fn reason(&self) -> usize {
        self.answer
            .split('`')
            .step_by(2)
            .flat_map(str::split_whitespace)
            .filter(|word| word.len() > 1)
            .count()
    }

    fn complaint(&self, known: &BTreeSet<String>) -> Option<String> {
        let missing: Vec<&str> = self.tests().filter(|name| !known.contains(*name)).collect();
        if !missing.is_empty() {
            return Some(format!("{}: no such test: {}", self.number, missing.join(", ")));
        }
        let empty = self.tests().next().is_none() && self.reason() < 4;
        empty.then(|| format!("{}: neither a test nor a reason", self.number))
    }
}

/// All that is wrong with a table, given the names of all tests.
fn complaints(table: &str, expected: &[String], known: &BTreeSet<String>) -> Vec<String> {
    let rows: Vec<Known<'_>> = table.lines().filter_map(Known::read).collect();
    let mut wrong: Vec<String> = rows.iter().filter_map(|row| row.complaint(known)).collect();
    let numbers: Vec<&str> = rows.iter().map(|row| row.number).collect();
    if numbers != expected.iter().map(String::as_str).collect::<Vec<_>>() {
        wrong.push(format!("the numbers are {numbers:?} instead of {expected:?}"));
    }
    wrong
}

fn numbers() -> Vec<String> {
    let gaps = ('a'..='l').map(|letter| format!("7.1.{letter}"));
    let counted = |section: &'static str, last| (1..=last).map(move |number| format!("{section}.{number}"));
    gaps.chain(counted("7.2", 18)).chain(counted("9", 40)).chain(counted("10", 28)).collect()
}

/// The names of all test functions below a folder.
fn test_names(folder: &Path, names: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).expect("the repository can be read").flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        let name = name.to_string_lossy();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            if !name.starts_with('.') && name != "target" && name != "node_modules" {
                test_names(&path, names);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            names.extend(fs::read_to_string(&path).iter().flat_map(|source| tests_in(source)));
        }
    }
}

fn tests_in(source: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut marked = false;
    for line in source.lines().map(str::trim) {
        if line.starts_with("#[") {
            let attribute = line.trim_start_matches("#[").split(['(', ']']).next().unwrap_or_default();
            marked |= attribute == "test" || attribute.ends_with("::test");
        } else if !line.starts_with("//") && !line.is_empty() {
            let name =
                line.split_once("fn ").map(|(_, rest)| rest.split(['(', '<']).next().unwrap_or_default());
            names.extend(name.filter(|_| marked).map(ToOwned::to_owned));
            marked = false;
        }
    }
    names
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("tests/ is a folder of the repository")
        .to_path_buf()
}

#[test]
fn every_known_defect_has_a_test_or_a_reason() {
    let table = fs::read_to_string(root().join("tests/defects.md")).unwrap();
    let mut known = BTreeSet::new();
    test_names(&root(), &mut known);
    assert!(known.contains("every_known_defect_has_a_test_or_a_reason"));
    let wrong = complaints(&table, &numbers(), &known);
    assert!(wrong.is_empty(), "tests/defects.md:\n{}", wrong.join("\n"));
}

#[test]
fn a_wrong_table_of_defects_is_found_out() {
    let known = BTreeSet::from(["it_works".to_owned()]);
    let expected = ["7.1.a".to_owned(), "7.2.1".to_owned()];
    let good = "| 7.1.a | x | `it_works` |\n| 7.2.1 | y | Comes with a later release |";
    assert_eq!(complaints(good, &expected, &known), Vec::<String>::new());
    for (from, to, word) in [
        ("it_works", "it_worked", "no such test: it_worked"),
        ("Comes with a later release", "", "neither"),
        ("Comes with a later release", "`404`", "neither"),
        ("7.2.1", "7.2.2", "the numbers are"),
        ("| 7.2.1 | y | Comes with a later release |", "", "the numbers are"),
    ] {
        let wrong = complaints(&good.replace(from, to), &expected, &known);
        assert!(wrong.len() == 1 && wrong[0].contains(word), "{to}: {wrong:?}");
    }
    let source = "#[test]\n// why\n#[ignore]\nfn a_b() {}\nfn c_d() {}\n#[tokio::test(flavor = \"x\")]\nasync fn e_f() {}\n#[cfg(test)]\nfn g_h() {}";
    assert_eq!(tests_in(source), ["a_b", "e_f"]);
}

const GEMINI: &str = "/geminicli/v1beta/models/gemini-2.5-pro:generateContent";

/// A gateway whose only account is Google's `alice`.
async fn with_alice(simulator: &Simulator, level: &str) -> Gateway {
    let token = simulator.google().account("alice").project("alice-project").refresh_token();
    let gateway =
        Gateway::builder().simulator(simulator).env("RUST_LOG", level).start().await.expect("it starts");
    let added = json!([{"refresh_token": token}]);
    assert_eq!(post(&gateway.at("/geminicli/resource:add"), &gateway.auth(), &added).await.status, 202);
    assert!(gateway.log().wait_for("account is in the pool", LIMIT).await, "{}", gateway.log().text());
    gateway
}

async fn ask(gateway: &Gateway, words: &str) -> Answer {
    let body = json!({"contents": [{"role": "user", "parts": [{"text": words}]}]});
    post(&gateway.at(GEMINI), &gateway.auth(), &body).await
}

#[tokio::test]
async fn the_most_talkative_log_has_no_key_no_token_and_no_prompt() {
    let simulator = Simulator::start();
    let alice = simulator.google().account("alice").project("alice-project");
    let gateway = with_alice(&simulator, "trace").await;
    let mut secrets = vec![alice.refresh_token(), alice.access_token()];
    assert_eq!(ask(&gateway, "PROMPT-4711").await.status, 200);
    let by_query = format!("{}?key={}", gateway.at("/geminicli/v1beta/models"), gateway.key());
    assert_eq!(get(&by_query, &[]).await.status, 200);

    // A vendor that repeats the token in its error, and a refresh.
    alice.expire_access_tokens();
    assert_eq!(ask(&gateway, "PROMPT-4711").await.status, 200);
    secrets.push(alice.access_token());
    let quoting =
        json!({"error": {"code": 400, "status": "INVALID_ARGUMENT", "message": alice.access_token()}});
    simulator.inject(Injection::new(Fault::Answer(Reply::json(400, &quoting))).path(":generateContent"));
    assert_eq!(ask(&gateway, "PROMPT-4711").await.status, 400);

    // A failure that is tried again, which only the most talkative log tells.
    let down = json!({"error": {"code": 503, "status": "UNAVAILABLE", "message": "down"}});
    simulator.inject(Injection::new(Fault::Answer(Reply::json(503, &down))).path(":generateContent"));
    assert_eq!(ask(&gateway, "PROMPT-4711").await.status, 200);
    assert!(gateway.log().contains("DEBUG pollux::relay"), "not a talkative log");

    // A login, by state, code and cookie.
    let start = get(&gateway.at("/geminicli/auth"), &[]).await;
    let cookie = start.header("set-cookie").and_then(|cookie| cookie.split(';').next()).unwrap();
    let back = consent(start.header("location").unwrap(), Decision::Allow("alice")).await.unwrap();
    let done = get(&back, &[("cookie", cookie)]).await;
    assert_eq!(done.status, 202, "{}", done.text());
    let parameters = url::Url::parse(&back).unwrap();
    secrets.extend(
        parameters
            .query_pairs()
            .filter(|(name, _)| name == "code" || name == "state")
            .map(|(_, value)| value.into_owned()),
    );
    secrets.extend(cookie.split_once('=').map(|(_, value)| value.to_owned()));
    assert!(gateway.log().wait_for("login begun", LIMIT).await);

    secrets.extend([gateway.key(), gateway.admin_key(), "PROMPT-4711"].map(ToOwned::to_owned));
    assert!(secrets.len() >= 8 && secrets.iter().all(|secret| secret.len() > 8));
    for secret in secrets {
        let told: Vec<String> =
            gateway.log().lines().into_iter().filter(|line| line.contains(&secret)).collect();
        assert!(told.is_empty(), "{secret} is in\n{}", told.join("\n"));
    }
}

#[tokio::test]
async fn the_owner_takes_an_account_out_and_back_and_deletes_it_without_a_restart() {
    let simulator = Simulator::start();
    let gateway = with_alice(&simulator, "info").await;
    let admin = [("authorization", format!("Bearer {}", gateway.admin_key()))];
    let admin = admin.each_ref().map(|(name, value)| (*name, value.as_str()));
    let all = gateway.at("/admin/accounts");
    assert_eq!(get(&all, &gateway.auth()).await.status, 401, "the clients' key is not the owner's");
    let listed = get(&all, &admin).await.json();
    let account = &listed[0];
    assert_eq!((&account["state"], &account["label"]), (&json!("active"), &json!("alice@example.com")));
    let one = format!("{all}/{}", account["id"]);

    for (action, state, status) in [("pause", "paused", 503), ("resume", "active", 200)] {
        let answer = post(&format!("{one}/{action}"), &admin, &Value::Null).await;
        assert_eq!((answer.status, &answer.json()["state"]), (200, &json!(state)));
        assert_eq!(ask(&gateway, "x").await.status, status, "{action}");
    }
    let wrong = post(&format!("{one}/approve"), &admin, &Value::Null).await;
    assert_eq!(wrong.status, 409, "{}", wrong.text());
    assert_eq!(send("DELETE", &one, &admin, "").await.unwrap().status, 200);
    assert_eq!(get(&one, &admin).await.status, 404);
    let answer = ask(&gateway, "x").await;
    assert_eq!(answer.status, 503);
    assert!(answer.text().contains("no available credential"), "{}", answer.text());
}
