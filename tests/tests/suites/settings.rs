//! The first start, the configuration and what is wrong with it, told by the program itself.

use super::owner::LIMIT;
use pollux_tests::kit::{Database, Gateway, free_port, get, pollux};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Output;

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}

fn value<'a>(text: &'a str, key: &str) -> &'a str {
    let line = text.lines().find(|line| line.starts_with(&format!("{key} = "))).unwrap_or_default();
    line.split('"').nth(1).unwrap_or_default()
}

/// Starts in a folder that has everything but this configuration file.
async fn first_start() -> (Gateway, String) {
    let port = free_port();
    let builder = Gateway::builder().config(&format!("[basic]\nlisten_port = {port}"));
    let builder = builder.database(Database::Sqlite).arg("--config").arg("fresh.toml");
    let builder = builder.env("POLLUX__BASIC__LISTEN_PORT", &port.to_string());
    let gateway = builder.env("POLLUX__BASIC__LISTEN_ADDR", "127.0.0.1").start().await.unwrap();
    let written = fs::read_to_string(gateway.folder().join("fresh.toml")).expect("it was written");
    (gateway, written)
}

#[tokio::test]
async fn the_first_start_writes_a_configuration_of_its_own_and_serves() {
    let (mut gateway, written) = first_start().await;
    let path = gateway.folder().join("fresh.toml");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let (key, admin) = (value(&written, "pollux_key").to_owned(), value(&written, "admin_key").to_owned());
    assert!(key.len() >= 32 && admin.len() >= 32 && key != admin, "{written}");
    let log = gateway.log().text();
    for words in [
        fs::canonicalize(&path).unwrap().to_str().unwrap(),
        "/geminicli/auth",
        "/codex/auth",
        "/geminicli/resource:add",
        "/codex/v1/responses",
        "curl",
    ] {
        assert!(log.contains(words), "{words} is missing: {log}");
    }
    assert!(!log.contains(&key) && !log.contains(&admin), "a key is in the log");
    let models = gateway.at("/geminicli/v1beta/models");
    assert_eq!(get(&models, &[]).await.status, 401);
    let listed = get(&models, &[("x-goog-api-key", &key)]).await;
    assert!(listed.status == 200 && listed.text().contains("gemini-2.5-pro"), "{}", listed.text());
    let accounts = gateway.at("/admin/accounts");
    assert_eq!(get(&accounts, &[("authorization", &format!("Bearer {admin}"))]).await.status, 200);
    assert_eq!(get(&accounts, &[("authorization", &format!("Bearer {key}"))]).await.status, 401);
    // The second start finds it and changes nothing.
    gateway.terminate(LIMIT).await.expect("it ends");
    gateway.restart().await.unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), written);
    assert_eq!(get(&models, &[("x-goog-api-key", &key)]).await.status, 200);
}

#[tokio::test]
async fn no_two_first_starts_have_the_same_keys() {
    let ((_one, first), (_two, second)) = tokio::join!(first_start(), first_start());
    for key in ["pollux_key", "admin_key"] {
        assert_ne!(value(&first, key), value(&second, key));
    }
}

#[tokio::test]
async fn where_no_configuration_can_be_written_the_reason_is_said() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), "").unwrap();
    for path in ["missing/config.toml", "file/config.toml", "/proc/config.toml"] {
        let output = pollux(folder.path(), &["--config", path], &[]).await;
        let said = text(&output);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(path), "{said}");
        assert!(!said.contains("panicked"), "{said}");
    }
}

#[tokio::test]
async fn every_kind_of_mistake_stops_the_start_and_names_its_place() {
    let good = "[basic]\npollux_key = \"k-12345678901234567890\"\n";
    let more = |text: &str| format!("{good}{text}");
    let table: [(String, &[&str]); 16] = [
        ("[basic]\n".into(), &["[basic]", "pollux_key"]),
        ("[basic]\npollux_key = \"\"\n".into(), &["[basic]", "pollux_key"]),
        (String::new(), &["basic", "pollux_key"]),
        (more("listen_prot = 1\n"), &["[basic]", "listen_prot"]),
        (more("listen_port = \"http\"\n"), &["[basic]", "listen_port"]),
        (more("listen_port = 70000\n"), &["[basic]", "listen_port"]),
        (more("listen_addr = \"localhost\"\n"), &["[basic]", "listen_addr"]),
        (more("insecure_cookie = \"maybe\"\n"), &["[basic]", "insecure_cookie"]),
        (more("onboarding = \"closed\"\n"), &["[basic]", "onboarding"]),
        (more("trusted_proxies = [\"everybody\"]\n"), &["[basic]", "trusted_proxies"]),
        (more("[pool]\nstrategy = \"random\"\n"), &["[pool]", "strategy"]),
        (more("[upstream]\nconnect_timeout = \"soon\"\n"), &["[upstream]", "connect_timeout"]),
        (more("[providers.defaults]\nproxy = \"ftp://x\"\n"), &["[providers.defaults]", "proxy"]),
        (more("[providers.geminicli]\napi_url = \"no url\"\n"), &["[providers.geminicli]", "api_url"]),
        (more("[providers.codex.oauth]\nclient = \"x\"\n"), &["[providers.codex]", "oauth.client"]),
        (more("[providers.nobody]\nenabled = true\n"), &["providers.nobody", "codex", "geminicli"]),
    ];
    for (config, names) in table {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("config.toml"), &config).unwrap();
        let output = pollux(folder.path(), &["config", "check"], &[]).await;
        let said = text(&output);
        assert_eq!(output.status.code(), Some(2), "{config}: {said}");
        for name in names.iter().chain(&["config.toml"]) {
            assert!(said.contains(name), "{name} is missing for {config}: {said}");
        }
        let mut gateway = Gateway::builder().database(Database::Sqlite).raw_config(&config).spawn().unwrap();
        let status = gateway.wait_exit(LIMIT).await.expect("it does not start");
        assert_eq!(status.code(), Some(2), "{config}");
        assert!(gateway.log().wait_for(names[1], LIMIT).await, "{}", gateway.log().text());
        assert!(!gateway.folder().join("data.db").exists(), "the database was touched");
    }
}

#[tokio::test]
async fn a_file_that_is_no_toml_is_named_with_the_line_and_without_its_secrets() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("config.toml"), "[basic]\npollux_key = \"hunter2-hunter2\" extra\n")
        .unwrap();
    let output = pollux(folder.path(), &["serve"], &[]).await;
    let said = text(&output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("config.toml") && said.contains("line 2"), "{said}");
    assert!(!said.contains("hunter2"), "{said}");
}

#[tokio::test]
async fn the_environment_overrides_the_file_key_by_key() {
    let builder = Gateway::builder().database(Database::Sqlite);
    let builder = builder.env("POLLUX__BASIC__POLLUX_KEY", "from-the-environment-1234567890");
    let builder = builder.env("POLLUX__PROVIDERS__GEMINICLI__MODEL_LIST", r#"["gemini-of-the-environment"]"#);
    let gateway = builder.env("POLLUX__PROVIDERS__CODEX__ENABLED", "false").start().await.unwrap();
    let key = [("x-goog-api-key", "from-the-environment-1234567890")];
    let models = gateway.at("/geminicli/v1beta/models");
    assert_eq!(get(&models, &gateway.auth()).await.status, 401, "the file's key is overridden");
    let listed = get(&models, &key).await;
    assert!(listed.text().contains("gemini-of-the-environment"), "{}", listed.text());
    assert!(!listed.text().contains("gemini-2.5-pro"), "{}", listed.text());
    assert_eq!(get(&gateway.at("/codex/v1/models"), &key).await.status, 404, "codex is off");
}

#[tokio::test]
async fn a_mistake_in_the_environment_names_the_variable() {
    let folder = tempfile::tempdir().unwrap();
    let key = ("POLLUX__BASIC__POLLUX_KEY", "k-12345678901234567890");
    for (name, value) in [
        ("POLLUX__BASIC__LISTEN_PORT", "http"),
        ("POLLUX__BASIC__LISTEN_PROT", "1"),
        ("POLLUX__PROVIDERS__CODEX__MODEL_LIST", "gpt"),
        ("POLLUX__BASIK__X", "1"),
    ] {
        let output = pollux(folder.path(), &["serve"], &[key, (name, value)]).await;
        let said = text(&output);
        assert_eq!(output.status.code(), Some(2), "{name}: {said}");
        assert!(said.contains(name), "{name}: {said}");
    }
}

#[tokio::test]
async fn the_configuration_may_be_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    let good = "[basic]\npollux_key = \"k-12345678901234567890\"\n";
    fs::write(folder.path().join("other.toml"), good).unwrap();
    for (args, env) in [
        (&["config", "check", "--config", "other.toml"][..], &[][..]),
        (&["--config", "other.toml", "config", "check"], &[]),
        (&["config", "check"], &[("POLLUX_CONFIG", "other.toml")]),
    ] {
        let output = pollux(folder.path(), args, env).await;
        assert_eq!(output.status.code(), Some(0), "{}", text(&output));
        assert!(text(&output).contains("other.toml is fine"), "{}", text(&output));
    }
    let output = pollux(folder.path(), &["config", "check"], &[]).await;
    assert_eq!(output.status.code(), Some(2), "nothing is written by a check: {}", text(&output));
    assert!(!folder.path().join("config.toml").exists());
}

#[tokio::test]
async fn what_is_shown_names_each_origin_and_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    let config = "[basic]\npollux_key = \"hunter2-hunter2-hunter2\"\nadmin_key = \"hunter3-hunter3-hunter3\"\n\
                  database_url = \"postgres://me:hunter4@db/pollux\"\nkey_file = \"a.key\"\n\
                  [providers.defaults]\nproxy = \"http://me:hunter5@proxy:3128\"\n\
                  [providers.geminicli.oauth]\nclient_id = \"own\"\nclient_secret = \"hunter6\"\n";
    fs::write(folder.path().join("config.toml"), config).unwrap();
    let env = [("POLLUX__BASIC__LISTEN_PORT", "9000"), ("POLLUX__POOL__SESSION_TTL", "2h")];
    let output = pollux(folder.path(), &["config", "show"], &env).await;
    let said = text(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(!said.contains("hunter"), "{said}");
    let line = |start: &str| {
        said.lines().find(|line| line.starts_with(start)).unwrap_or_else(|| panic!("{start} in {said}"))
    };
    assert!(line("pollux_key = ").contains("***") && line("pollux_key = ").contains("config.toml"));
    assert!(line("listen_port = 9000").contains("POLLUX__BASIC__LISTEN_PORT"));
    assert!(line("session_ttl = ").contains("POLLUX__POOL__SESSION_TTL"));
    assert!(line("shutdown_grace = ").contains("default"));
    for section in ["[basic]", "[pool]", "[upstream]", "[providers.defaults]", "[providers.codex.oauth]"] {
        assert!(said.lines().any(|line| line == section), "{section} in {said}");
    }
}
