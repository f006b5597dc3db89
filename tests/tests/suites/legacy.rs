//! Settings of the systems before Pollux: each documented start, with nothing but what their users have.

use super::owner::{LIMIT, pooled, wait_only};
use pollux_tests::kit::{Answer, Builder, Database, Gateway, contents, get, pollux, post};
use pollux_tests::simulator::{Simulator, google, openai};
use serde_json::json;
use std::time::Duration;

const GCLI_NEXUS: &str = "# copied from .env.example\nNEXUS_KEY=\"nexus-key-of-the-tests\"\nLOGLEVEL=debug\n\
    DATABASE_URL=sqlite://data.db\nBIGMODEL_LIST='[\"gemini-2.5-pro\"]'\nREFRESH_CONCURRENCY=10\n\
    ENABLE_MULTIPLEXING=false\n# PROXY=http://127.0.0.1:1080\n";

/// The example of codex-pool's README.
const CODEX_POOL: &str = r#"# Server settings
listen_addr = "127.0.0.1:8989"
pool_dir = "pool"
db_path = "./data/proxy.db"
debug = false

# Friends mode (optional - omit for local mode)
friend_code = "your-secret-code"
friend_name = "YourName"
friend_tagline = "For the few who know, the pool awaits."

# Pool users / multi-user mode (optional)
[pool_users]
admin_password = "admin-password"
jwt_secret = "32-character-secret-for-jwt-tokens"
storage_path = "./data/pool_users.json"
"#;

/// Nothing but variables: `model_list` is left to the defaults and the older settings.
fn bare(simulator: &Simulator) -> Builder {
    let builder = Gateway::builder().simulator(simulator).database(Database::Sqlite).without_config();
    builder.env("POLLUX__BASIC__ADMIN_KEY", "admin-key-of-the-tests")
}

async fn add(gateway: &Gateway, provider: &str, key: &str, token: &str) {
    let url = gateway.at(&format!("/{provider}/resource:add?key={key}"));
    let answer = post(&url, &[], &json!([{"refresh_token": token}])).await;
    assert_eq!(answer.status, 202, "{}", answer.text());
    assert!(gateway.log().wait_for("account is in the pool", LIMIT).await);
}

async fn gemini(gateway: &Gateway, headers: &[(&str, &str)]) -> Answer {
    let url = gateway.at("/geminicli/v1beta/models/gemini-2.5-pro:generateContent");
    post(&url, headers, &contents("PING")).await
}

#[tokio::test]
async fn gcli_nexus_dotenv_is_a_whole_configuration() {
    let simulator = Simulator::start();
    let mut gateway = bare(&simulator).file(".env", GCLI_NEXUS).start().await.unwrap();
    add(
        &gateway,
        "geminicli",
        "nexus-key-of-the-tests",
        &simulator.google().account("alice").refresh_token(),
    )
    .await;
    let answer = gemini(&gateway, &[("x-goog-api-key", "nexus-key-of-the-tests")]).await;
    assert!(answer.status == 200 && answer.text().contains("PING"), "{}", answer.text());
    assert_eq!(gemini(&gateway, &[("x-goog-api-key", "another")]).await.status, 401);
    assert!(!gateway.folder().join("config.toml").exists(), "the environment is the configuration");
    let log = gateway.log().text();
    for words in ["Gcli-Nexus's defaults apply", "NEXUS_KEY", "basic.listen_port = 8000", ".env"] {
        assert!(log.contains(words), "{words} in {log}");
    }
    assert!(!log.contains("nexus-key-of-the-tests"), "the key is in the log");
    gateway.terminate(LIMIT).await.expect("it ends");
    gateway.restart().await.unwrap();
    let again = gemini(&gateway, &[("authorization", "Bearer nexus-key-of-the-tests")]).await;
    assert_eq!(again.status, 200, "{}", again.text());
}

#[tokio::test]
async fn the_environment_wins_over_the_dotenv() {
    let simulator = Simulator::start();
    let builder = bare(&simulator).file(".env", GCLI_NEXUS).env("NEXUS_KEY", "key-of-the-environment");
    let gateway = builder.start().await.unwrap();
    let models = gateway.at("/geminicli/v1beta/models");
    assert_eq!(get(&models, &[("x-goog-api-key", "key-of-the-environment")]).await.status, 200);
    assert_eq!(get(&models, &[("x-goog-api-key", "nexus-key-of-the-tests")]).await.status, 401);
}

#[tokio::test]
async fn each_system_alone_has_its_own_address_and_says_so() {
    for (env, expected) in [
        (
            &[("NEXUS_KEY", "hush")][..],
            &[
                r#"listen_addr = "0.0.0.0""#,
                "listen_port = 8000",
                r#"credentials_dirs = ["./credentials"]"#,
                "local = false",
                "default of Gcli-Nexus",
                "environment variable NEXUS_KEY",
            ][..],
        ),
        (
            &[("POOL_DIR", "./pool"), ("PROXY_MAX_ATTEMPTS", "3")],
            &[
                r#"listen_addr = "127.0.0.1""#,
                "listen_port = 8989",
                r#"credentials_dirs = ["./pool"]"#,
                "local = true",
                "retry_max_times = 2",
                "default of codex-pool without a key",
                "environment variable PROXY_MAX_ATTEMPTS",
            ],
        ),
        (
            &[("PROXY_LISTEN_ADDR", "127.0.0.1:9999"), ("DATABASE_URL", "sqlite://other.db")],
            &["listen_port = 9999", r#"database_url = "sqlite://other.db""#],
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let output = pollux(folder.path(), &["config", "show"], env).await;
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert_eq!(output.status.code(), Some(0), "{said}");
        for words in expected {
            assert!(said.contains(words), "{words} in {said}");
        }
        assert!(!said.contains("hush"), "{said}");
    }
}

#[tokio::test]
async fn a_configuration_file_comes_before_the_older_variables() {
    let folder = tempfile::tempdir().unwrap();
    let config = "[basic]\npollux_key = \"k-12345678901234567890\"\nadmin_key = \"a\"\ndatabase_url = \"sqlite://mine.db\"\n";
    std::fs::write(folder.path().join("config.toml"), config).unwrap();
    let env = [("NEXUS_KEY", "n"), ("DATABASE_URL", "postgres://u:hush@h/d"), ("PROXY", "http://p:1")];
    let output = pollux(folder.path(), &["config", "show"], &env).await;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    for words in ["sqlite://mine.db", "listen_port = 8188", "http://p:1", "environment variable PROXY"] {
        assert!(said.contains(words), "{words} in {said}");
    }
    assert!(!said.contains("hush"), "{said}");
    let check = pollux(folder.path(), &["config", "check"], &env).await;
    let told = String::from_utf8_lossy(&check.stderr).into_owned();
    assert!(told.contains("NEXUS_KEY does not count"), "{told}");
}

#[tokio::test]
async fn codex_pools_own_configuration_starts_unchanged_and_leaves_its_database_alone() {
    let simulator = Simulator::start();
    let mut builder = Gateway::builder().simulator(&simulator).database(Database::Sqlite);
    builder = builder.without_config().env("POLLUX__BASIC__ADMIN_KEY", "admin-key-of-the-tests");
    let bolt = [0xed_u8, 0xda, 0x0c, 0xed].repeat(64);
    builder = builder.file("config.toml", CODEX_POOL).file("data/proxy.db", bolt.clone());
    let gateway = builder.start().await.unwrap();
    add(&gateway, "codex", "your-secret-code", &simulator.openai().account("bob").refresh_token()).await;
    let url = gateway.at("/codex/v1/responses");
    let body = json!({"model": "gpt-5.5", "input": "PING"});
    let answer = post(&url, &[("authorization", "Bearer your-secret-code")], &body).await;
    assert!(answer.status == 200 && answer.text().contains("PING"), "{}", answer.text());
    assert_eq!(post(&url, &[], &body).await.status, 401, "it asked friends for their code");
    assert_eq!(std::fs::read(gateway.folder().join("data/proxy.db")).unwrap(), bolt);
    assert!(gateway.folder().join("data/proxy.pollux.db").exists(), "ours is beside it");
    let warned: Vec<String> =
        gateway.log().lines().into_iter().filter(|line| line.contains("WARN")).collect();
    let warned = warned.join("\n");
    for name in
        ["friend_code", "friend_name", "friend_tagline", "admin_password", "jwt_secret", "storage_path"]
    {
        assert!(warned.contains(name), "{name} in {warned}");
    }
    for name in ["listen_addr", "pool_dir", "db_path", "debug"] {
        assert!(!warned.contains(name), "{name} in {warned}");
    }
    for secret in ["your-secret-code", "admin-password", "32-character"] {
        assert!(!gateway.log().text().contains(secret), "{secret} is in the log");
    }
}

#[tokio::test]
async fn the_folder_of_codex_pools_database_is_made() {
    let simulator = Simulator::start();
    let builder = bare(&simulator).env("FRIEND_CODE", "code").env("PROXY_DB_PATH", "./deep/data/proxy.db");
    let gateway = builder.start().await.unwrap();
    assert!(gateway.folder().join("deep/data/proxy.pollux.db").exists());
}

#[tokio::test]
async fn nobody_gets_in_from_other_machines_without_a_key() {
    let folder = tempfile::tempdir().unwrap();
    let output = pollux(folder.path(), &[], &[("PROXY_LISTEN_ADDR", "0.0.0.0:8989")]).await;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("FRIEND_CODE") && said.contains("other machines"), "{said}");
    assert!(!folder.path().join("config.toml").exists());
}

#[tokio::test]
async fn max_attempts_are_the_first_one_and_the_retries() {
    let simulator = Simulator::start();
    let builder = bare(&simulator).env("FRIEND_CODE", "code").env("PROXY_MAX_ATTEMPTS", "2");
    let gateway = builder.start().await.unwrap();
    for label in ["bob", "carol", "dan"] {
        let account = simulator.openai().account(label);
        add(&gateway, "codex", "code", &account.refresh_token()).await;
        account.refuse(Some(openai::Refusal::RateLimited(Some(600))));
    }
    let all = || std::future::ready(gateway.log().count("account is in the pool") == 3);
    assert!(pollux_tests::kit::wait_until(all, LIMIT).await);
    let body = json!({"model": "gpt-5.5", "input": "PING"});
    let answer = post(&gateway.at("/codex/v1/responses"), &[("authorization", "Bearer code")], &body).await;
    assert_eq!(answer.status, 429, "{}", answer.text());
    assert_eq!(simulator.record().count("/codex/responses"), 2);
}

#[tokio::test]
async fn without_refreshes_a_token_is_used_up_to_its_end_and_then_the_account_is_out() {
    let simulator = Simulator::start();
    let alice = simulator.google().account("alice").token_lifetime(Duration::from_secs(100));
    let mut gateway = Gateway::builder().simulator(&simulator).start().await.unwrap();
    pooled(&gateway, "geminicli", &alice.refresh_token()).await;
    gateway.terminate(LIMIT).await.expect("it ends");
    let before = simulator.google().tally().refreshes;
    gateway.set_env("PROXY_DISABLE_REFRESH", "1");
    gateway.restart().await.unwrap();
    // It ends within five minutes, which is when it would be renewed otherwise.
    assert_eq!(gemini(&gateway, &gateway.auth()).await.status, 200);
    alice.refuse(Some(google::Refusal::Unauthenticated));
    assert_ne!(gemini(&gateway, &gateway.auth()).await.status, 200);
    let account = wait_only(&gateway, "suspended").await;
    assert_eq!(account["reason"]["code"], "refresh_off");
    assert_eq!(simulator.google().tally().refreshes, before, "nothing was renewed");
    alice.refuse(None);
    gateway.terminate(LIMIT).await.expect("it ends");
    gateway.set_env("PROXY_DISABLE_REFRESH", "0");
    gateway.restart().await.unwrap();
    wait_only(&gateway, "active").await;
    assert_eq!(gemini(&gateway, &gateway.auth()).await.status, 200);
}
