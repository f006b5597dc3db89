use super::*;
use pollux_sdk::{ConfigError, Provider, Registration};
use serde_json::json;
use std::{fs, sync::Arc};

const LINKED: &[&str] = &["codex", "geminicli", "my-vendor"];
const KEY: &str = "[basic]\npollux_key = \"k\"\n";

struct Given {
    folder: tempfile::TempDir,
    environment: Environment,
}

impl Given {
    fn nothing() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), environment: Environment::default() }
    }
    fn file(text: &str) -> Self {
        let given = Self::nothing();
        fs::write(given.path(), text).unwrap();
        given
    }
    fn variables(mut self, variables: &[(&str, &str)]) -> Self {
        self.environment =
            variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        self
    }
    fn path(&self) -> PathBuf {
        self.folder.path().join("config.toml")
    }
    fn with<T>(&self, linked: &[&'static str], run: impl Fn(Sources<'_>) -> T) -> T {
        run(Sources { file: &self.path(), environment: &self.environment, linked })
    }
    fn load(&self) -> Result<Settings, SettingsError> {
        self.with(LINKED, Settings::load)
    }
    /// The message with the folder's name taken out.
    fn error(&self) -> String {
        let folder = format!("{}/", self.folder.path().display());
        self.load().unwrap_err().to_string().replace(&folder, "")
    }
}

#[test]
fn the_minimal_file_of_the_readme_is_enough() {
    let given = Given::file(
        r#"
[basic]
listen_addr = "0.0.0.0"
listen_port = 8188
database_url = "sqlite://data.db"
loglevel = "info"
pollux_key = "change-me"
insecure_cookie = false

[providers.geminicli]
model_list = ["gemini-2.5-pro"]

[providers.codex]
model_list = ["gpt-5.2-codex"]
"#,
    );
    let settings = given.load().unwrap();
    assert_eq!(settings.basic.pollux_key.expose(), "change-me");
    assert_eq!(settings.providers["codex"].section["model_list"], json!(["gpt-5.2-codex"]));
    assert_eq!(settings.providers["geminicli"].section["api_url"], "https://cloudcode-pa.googleapis.com");
    assert!(settings.basic.admin_key.is_none());
    assert!(settings.notes[0].contains("the admin API is off"), "{:?}", settings.notes);
}

#[test]
fn the_example_file_loads() {
    let text = include_str!("../../../config/config.toml.example");
    assert_eq!(
        Given::file(text).with(&["codex", "geminicli"], Settings::load).unwrap().notes,
        Vec::<String>::new()
    );
}

#[test]
fn defaults_are_those_of_the_documentation() {
    let settings = Given::file(KEY).load().unwrap();
    let basic = &settings.basic;
    assert_eq!((basic.listen_addr.to_string().as_str(), basic.listen_port), ("0.0.0.0", 8188));
    assert_eq!((basic.database_url.as_str(), basic.loglevel.as_str()), ("sqlite://data.db", "info"));
    assert_eq!((basic.log_format, basic.onboarding), (LogFormat::Text, Onboarding::Open));
    assert_eq!(
        (basic.insecure_cookie, basic.public_url.as_deref(), basic.key_file.as_deref()),
        (false, None, None)
    );
    assert_eq!((basic.body_limit, basic.trusted_proxies.len()), (50 * 1024 * 1024, 0));
    assert_eq!(basic.shutdown_grace, Duration::from_secs(30));
    assert!(basic.workers >= 1);
    assert_eq!(settings.pool.strategy, Strategy::Balanced);
    assert_eq!(settings.pool.acquire_timeout, Duration::from_secs(10));
    assert_eq!(settings.pool.session_ttl, Duration::from_secs(3600));
    assert_eq!(settings.upstream.connect_timeout, Duration::from_secs(10));
    assert_eq!(settings.upstream.response_timeout, Duration::from_secs(600));
    assert_eq!(settings.upstream.stream_idle_timeout, Duration::from_secs(60));
    for id in LINKED {
        let provider = &settings.providers[*id];
        assert_eq!(
            (provider.enabled, provider.proxy.as_deref(), provider.enable_multiplexing),
            (true, None, false)
        );
        assert_eq!((provider.retry_max_times, provider.oauth_tps), (3, 5));
    }
}

#[test]
fn every_bad_value_names_its_place_and_what_was_expected() {
    const DURATION: &str =
        r#"seconds or a time such as "500ms", "30s" or "1h", more than zero and at most 365 days"#;
    let duration = |found: &str| format!("expected {DURATION}, found {found}");
    let proxy = |found: &str| format!("expected an http://, https:// or socks5:// address, found {found}");
    let loglevel = |found: &str| {
        format!(
            r#"expected off, error, warn, info, debug or trace, or directives such as "info,sqlx=warn", found {found}"#
        )
    };
    let database =
        |found: &str| format!("expected sqlite://FILE or postgres://USER:PASSWORD@HOST/NAME, found {found}");
    let public = |found: &str| {
        format!("expected an http:// or https:// address without user, query or fragment, found {found}")
    };
    let networks = |found: &str| {
        format!(
            r#"expected a list of addresses or networks such as ["127.0.0.1", "10.0.0.0/8"], found {found}"#
        )
    };
    let size =
        |found: &str| format!(r#"expected bytes or a size such as "50 MiB", more than zero, found {found}"#);
    let whole = |from: u32, to: u32, found: &str| {
        format!("expected a whole number from {from} to {to}, found {found}")
    };
    let table: Vec<(&str, &str, &str, String)> = vec![
        (
            "basic",
            "listen_addr",
            "\"localhost\"",
            "expected an IP address such as 0.0.0.0 or ::, found \"localhost\"".into(),
        ),
        ("basic", "listen_port", "65536", whole(0, 65_535, "65536")),
        ("basic", "listen_port", "-1", whole(0, 65_535, "-1")),
        ("basic", "listen_port", "\"http\"", whole(0, 65_535, "\"http\"")),
        ("basic", "listen_port", "[1]", whole(0, 65_535, "[1]")),
        ("basic", "database_url", "\"mysql://u:pw@h/d\"", database("\"mysql://***@h/d\"")),
        ("basic", "database_url", "\"sqlite:\"", database("\"sqlite:\"")),
        ("basic", "loglevel", "\"inof\"", loglevel("\"inof\"")),
        ("basic", "loglevel", "\"\"", loglevel("\"\"")),
        ("basic", "loglevel", "\"info,sqlx=loud\"", loglevel("\"info,sqlx=loud\"")),
        ("basic", "log_format", "\"xml\"", "expected \"text\" or \"json\", found \"xml\"".into()),
        (
            "basic",
            "admin_key",
            "\" \"",
            "empty; expected the key of the admin API, or no such line to switch it off".into(),
        ),
        (
            "basic",
            "admin_key",
            "12",
            "expected the key of the admin API, or no such line to switch it off, in quotes".into(),
        ),
        ("basic", "insecure_cookie", "\"yes\"", "expected true or false, found \"yes\"".into()),
        ("basic", "public_url", "\"pollux.example\"", public("\"pollux.example\"")),
        ("basic", "public_url", "\"ftp://pollux.example\"", public("\"ftp://pollux.example\"")),
        ("basic", "public_url", "\"https://u:pw@h\"", public("\"https://***@h\"")),
        ("basic", "public_url", "\"https://h/?a=b\"", public("\"https://h/?a=b\"")),
        ("basic", "onboarding", "\"closed\"", "expected \"open\" or \"key\", found \"closed\"".into()),
        ("basic", "trusted_proxies", "[\"10.0.0.0/33\"]", networks("[\"10.0.0.0/33\"]")),
        ("basic", "trusted_proxies", "\"10.0.0.0/8\"", networks("\"10.0.0.0/8\"")),
        ("basic", "body_limit", "0", size("0")),
        ("basic", "body_limit", "\"50 MiBs\"", size("\"50 MiBs\"")),
        (
            "basic",
            "workers",
            "1025",
            "expected a whole number from 0 (one per core) to 1024, found 1025".into(),
        ),
        ("basic", "workers", "-1", "expected a whole number from 0 (one per core) to 1024, found -1".into()),
        (
            "basic",
            "shutdown_grace",
            "\"soon\"",
            r#"expected seconds or a time such as "30s", "10m" or "1h", at most 365 days, found "soon""#
                .into(),
        ),
        ("pool", "strategy", "\"round_robin\"", "expected \"balanced\", found \"round_robin\"".into()),
        ("pool", "acquire_timeout", "0", duration("0")),
        ("pool", "session_ttl", "\"0s\"", duration("\"0s\"")),
        ("upstream", "connect_timeout", "-5", duration("-5")),
        ("upstream", "response_timeout", "1.5", duration("1.5")),
        ("upstream", "stream_idle_timeout", "true", duration("true")),
        ("providers.defaults", "proxy", "\"ftp://u:pw@h\"", proxy("\"ftp://***@h\"")),
        ("providers.defaults", "retry_max_times", "101", whole(0, 100, "101")),
        ("providers.codex", "proxy", "\"localhost:8080\"", proxy("\"localhost:8080\"")),
        ("providers.codex", "enabled", "1", "expected true or false, found 1".into()),
        ("providers.codex", "enable_multiplexing", "\"on\"", "expected true or false, found \"on\"".into()),
        ("providers.my-vendor", "oauth_tps", "0", whole(1, 1000, "0")),
        (
            "pool",
            "stratagy",
            "\"balanced\"",
            "there is no such key, only acquire_timeout, session_ttl, strategy".into(),
        ),
        (
            "providers.defaults",
            "oauth_tps",
            "5",
            "there is no such key, only enable_multiplexing, proxy, retry_max_times".into(),
        ),
    ];
    for (section, key, value, message) in table {
        let text = match section {
            "basic" => format!("{KEY}{key} = {value}\n"),
            _ => format!("{KEY}[{section}]\n{key} = {value}\n"),
        };
        assert_eq!(
            Given::file(&text).error(),
            format!("config.toml: [{section}] {key}: {message}"),
            "{text}"
        );
    }
}

#[test]
fn a_key_that_is_missing_or_empty_stops_the_start() {
    let missing = "config.toml: [basic] pollux_key: missing; expected the key that clients send";
    let empty = "config.toml: [basic] pollux_key: empty; expected the key that clients send";
    let quotes = "config.toml: [basic] pollux_key: expected the key that clients send, in quotes";
    let control =
        "config.toml: [basic] pollux_key: holds a control character; expected the key that clients send";
    for (text, message) in [
        ("", missing),
        ("[basic]\nlisten_port = 1\n", missing),
        ("[basic]\npollux_key = \"\"\n", empty),
        ("[basic]\npollux_key = \" \\t\"\n", empty),
        ("[basic]\npollux_key = 123\n", quotes),
        ("[basic]\npollux_key = \"a\\nb\"\n", control),
    ] {
        assert_eq!(Given::file(text).error(), message, "{text}");
    }
}

#[test]
fn what_is_wrong_as_a_whole_is_named_too() {
    let sections = "basic, pool, upstream, providers";
    for (text, message) in [
        (
            "pollux_key = \"k\"\n".to_owned(),
            format!("config.toml: pollux_key: stands outside of a section ({sections})"),
        ),
        (format!("{KEY}[pol]\n"), format!("config.toml: [pol] there is no such section, only {sections}")),
        (format!("pool = 3\n{KEY}"), "config.toml: pool: expected a section".to_owned()),
        (format!("providers = 3\n{KEY}"), "config.toml: providers: expected a section".to_owned()),
        (
            format!("{KEY}[[providers.codex]]\n"),
            "config.toml: providers.codex: expected a section".to_owned(),
        ),
        (
            format!("{KEY}[providers.gemini]\n"),
            "config.toml: [providers.gemini] no such provider is linked into this binary; \
             linked: codex, geminicli, my-vendor"
                .to_owned(),
        ),
        (
            format!("{KEY}[providers.codex]\napi_url = \"http://a\"\ncustom_api_url = \"http://b\"\n"),
            "config.toml: [providers.codex] custom_api_url: is the same key as api_url, which is set too"
                .to_owned(),
        ),
    ] {
        let error = Given::file(&text).error();
        assert!(error.lines().any(|line| line == message), "{text}{error}");
    }
}

#[test]
fn broken_toml_is_named_by_line_and_never_quoted() {
    let error = Given::file("[basic]\npollux_key = \"hush\nlisten_port = 1\n").error();
    assert!(error.starts_with("config.toml: line 2 is not TOML: "), "{error}");
    assert!(!error.contains("hush"), "{error}");
}

#[test]
fn all_mistakes_show_at_once() {
    let given = Given::file(
        "[basic]\nlisten_port = \"x\"\n[pool]\nstrategy = 1\n[nope]\n[providers.codex]\noauth_tps = 0\n",
    )
    .variables(&[("POLLUX__UPSTREAM__CONNECT_TIMEOUT", "never")]);
    let problems = given.load().unwrap_err().problems;
    let keys: Vec<_> = problems.iter().map(|problem| problem.key.as_str()).collect();
    assert_eq!(keys, ["", "listen_port", "pollux_key", "strategy", "connect_timeout", "oauth_tps"]);
}

#[test]
fn the_environment_wins_over_the_file_and_the_file_over_the_defaults() {
    let given = Given::file(
        "[basic]\npollux_key = \"file\"\nlisten_port = 1\nloglevel = \"warn\"\n[providers.codex]\noauth_tps = 2\n",
    )
    .variables(&[
        ("POLLUX__BASIC__LISTEN_PORT", "2"),
        ("POLLUX__BASIC__POLLUX_KEY", "0123"),
        ("POLLUX__BASIC__INSECURE_COOKIE", "true"),
        ("POLLUX__BASIC__TRUSTED_PROXIES", r#"["127.0.0.1", "10.0.0.0/8"]"#),
        ("POLLUX__BASIC__SHUTDOWN_GRACE", "5"),
        ("POLLUX__BASIC__BODY_LIMIT", "1 MiB"),
        ("POLLUX__PROVIDERS__DEFAULTS__RETRY_MAX_TIMES", "1"),
        ("POLLUX__PROVIDERS__CODEX__OAUTH__CLIENT_SECRET", "42"),
        ("POLLUX__PROVIDERS__CODEX__MODEL_LIST", r#"["m"]"#),
        ("POLLUX_OTHER", "no setting"),
    ]);
    let settings = given.load().unwrap();
    let basic = &settings.basic;
    assert_eq!((basic.listen_port, basic.loglevel.as_str()), (2, "warn"));
    assert_eq!(basic.pollux_key.expose(), "0123");
    assert!(basic.insecure_cookie);
    assert_eq!(basic.trusted_proxies, ["127.0.0.1/32".parse().unwrap(), "10.0.0.0/8".parse().unwrap()]);
    assert_eq!((basic.shutdown_grace, basic.body_limit), (Duration::from_secs(5), 1024 * 1024));
    let codex = &settings.providers["codex"];
    assert_eq!((codex.retry_max_times, codex.oauth_tps), (1, 2));
    assert_eq!(codex.section["oauth"]["client_secret"], "42", "stays text as the default is text");
    assert_eq!(codex.section["model_list"], json!(["m"]));
}

#[test]
fn a_mistake_in_the_environment_names_the_variable() {
    for (name, value, message) in [
        (
            "POLLUX__BASIC__LISTEN_PORT",
            "x",
            "[basic] listen_port: expected a whole number from 0 to 65535, found \"x\"",
        ),
        ("POLLUX__BASIC__POLLUX_KEY", "", "[basic] pollux_key: empty; expected the key that clients send"),
        (
            "POLLUX__POOL__SPEED",
            "9",
            "[pool] speed: there is no such key, only acquire_timeout, session_ttl, strategy",
        ),
        (
            "POLLUX__PROVIDERS__CODEX__MODEL_LIST",
            "gpt-5.5",
            r#"[providers.codex] model_list: expected a list as JSON such as ["a", "b"]"#,
        ),
        ("POLLUX__SPEED", "9", "speed: stands outside of a section (basic, pool, upstream, providers)"),
        ("POLLUX__", "9", ": stands outside of a section (basic, pool, upstream, providers)"),
        (
            "POLLUX__PROVIDERS__NONE__PROXY",
            "",
            "[providers.none] no such provider is linked into this binary; linked: codex, geminicli, my-vendor",
        ),
    ] {
        let given = Given::file(KEY).variables(&[(name, value)]);
        assert_eq!(given.error(), format!("environment variable {name}: {message}"));
    }
}

#[test]
fn a_third_party_section_is_handed_on_with_its_types() {
    let given =
        Given::file(&format!("{KEY}[providers.my-vendor]\nregion = \"eu\"\nproxy = \"http://p:1\"\n"))
            .variables(&[
                ("POLLUX__PROVIDERS__MY_VENDOR__LIMIT", "7"),
                ("POLLUX__PROVIDERS__MY_VENDOR__STRICT", "true"),
                ("POLLUX__PROVIDERS__MY_VENDOR__RATIO", "0.5"),
                ("POLLUX__PROVIDERS__MY_VENDOR__MODELS", r#"["a"]"#),
                ("POLLUX__PROVIDERS__MY_VENDOR__PIN", "\"0007\""),
                ("POLLUX__PROVIDERS__MY_VENDOR__NAME", "plain text"),
                ("POLLUX__PROVIDERS__MY_VENDOR__RETRY_MAX_TIMES", "9"),
                ("POLLUX__PROVIDERS__MY_VENDOR__UNSET", ""),
            ]);
    let vendor = &given.load().unwrap().providers["my-vendor"];
    let expected = json!({
        "limit": 7, "models": ["a"], "name": "plain text", "pin": "0007", "ratio": 0.5, "region": "eu", "strict": true
    });
    assert_eq!(vendor.section, expected);
    assert_eq!((vendor.proxy.as_deref(), vendor.retry_max_times), (Some("http://p:1"), 9));
}

#[test]
fn providers_never_see_host_keys_or_empty_options() {
    let settings = Given::file(KEY).load().unwrap();
    let keys = |section: &serde_json::Value| section.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let codex = &settings.providers["codex"].section;
    assert_eq!(keys(codex), ["api_url", "model_list", "oauth"]);
    assert_eq!(keys(&codex["oauth"]), ["authorize_url", "client_id", "token_url"]);
    assert_eq!(settings.providers["my-vendor"].section, json!({}));
}

#[test]
fn a_provider_overrides_the_common_keys_and_can_go_without_the_proxy() {
    let text = "[providers.defaults]\nproxy = \"socks5://u:pw@p:1\"\nenable_multiplexing = true\nretry_max_times = 0\n\
                [providers.codex]\nproxy = \"\"\nretry_max_times = 2\n";
    let settings = Given::file(&format!("{KEY}{text}")).load().unwrap();
    let (codex, other) = (&settings.providers["codex"], &settings.providers["geminicli"]);
    assert_eq!((codex.proxy.as_deref(), codex.enable_multiplexing, codex.retry_max_times), (None, true, 2));
    assert_eq!((other.proxy.as_deref(), other.retry_max_times), (Some("socks5://u:pw@p:1"), 0));
}

#[test]
fn the_old_name_of_the_address_replaces_the_default() {
    let text = format!("{KEY}[providers.codex]\ncustom_api_url = \"http://mine\"\n");
    let section = &Given::file(&text).load().unwrap().providers["codex"].section;
    assert_eq!((section["api_url"].as_str(), section.get("custom_api_url")), (Some("http://mine"), None));
}

#[test]
fn defaults_of_unlinked_providers_are_dropped_silently() {
    let settings = Given::file(KEY).with(&["codex"], Settings::load).unwrap();
    assert_eq!(settings.providers.keys().collect::<Vec<_>>(), ["codex"]);
}

#[test]
fn postgres_wants_a_sealing_key_that_replicas_share() {
    let text = format!("{KEY}database_url = \"postgres://u:pw@h/d\"\n");
    let message = "config.toml: [basic] key_file: missing; expected a path, or POLLUX_SEALING_KEY in the environment, \
                   as the database is PostgreSQL";
    assert_eq!(Given::file(&text).error(), message);
    assert!(Given::file(&text).variables(&[("POLLUX_SEALING_KEY", "s")]).load().is_ok());
    assert!(Given::file(&format!("{text}key_file = \"k\"\n")).load().is_ok());
}

#[test]
fn a_public_address_loses_its_trailing_slash() {
    let text = format!("{KEY}public_url = \"https://pollux.example/\"\n");
    assert_eq!(
        Given::file(&text).load().unwrap().basic.public_url.as_deref(),
        Some("https://pollux.example")
    );
}

#[test]
fn local_address_of_an_unspecified_one_is_loopback() {
    for (listen, local) in
        [("0.0.0.0", "127.0.0.1:8188"), ("::", "[::1]:8188"), ("192.0.2.1", "192.0.2.1:8188")]
    {
        let settings = Given::file(&format!("{KEY}listen_addr = \"{listen}\"\n")).load().unwrap();
        assert_eq!(settings.local_address().to_string(), local);
    }
}

#[test]
fn shows_where_each_value_came_from_and_no_secret() {
    let text = "[basic]\npollux_key = \"hush-file\"\nadmin_key = \"hush-admin\"\ndatabase_url = \"postgres://u:hush-db@h/d?password=hush-q&a=b\"\n\
                [providers.defaults]\nproxy = \"http://u:hush-proxy@p:1\"\n\
                [providers.my-vendor]\nnested = { api_key = \"hush-nested\" }\nlist = [{ token = \"hush-list\" }]\n";
    let given = Given::file(text).variables(&[
        ("POLLUX__BASIC__LISTEN_PORT", "9"),
        ("POLLUX__PROVIDERS__CODEX__OAUTH__CLIENT_SECRET", "hush-client"),
    ]);
    let shown = given.with(LINKED, Settings::show).unwrap();
    let line =
        |start: &str| shown.lines().find(|line| line.starts_with(start)).unwrap().split_once('#').unwrap();
    let path = given.path().display().to_string();
    assert_eq!(line("listen_port").0.trim(), "listen_port = 9");
    assert_eq!(line("listen_port").1.trim(), "environment variable POLLUX__BASIC__LISTEN_PORT");
    assert_eq!(line("listen_addr").1.trim(), "default");
    assert_eq!(
        (line("pollux_key").0.trim(), line("pollux_key").1.trim()),
        ("pollux_key = \"***\"", path.as_str())
    );
    assert_eq!(line("database_url").0.trim(), r#"database_url = "postgres://***@h/d?password=***&a=b""#);
    assert_eq!(line("public_url").0.trim(), r#"public_url = """#);
    assert!(shown.contains("[providers.codex.oauth]"), "{shown}");
    for secret in ["hush", "GOCSPX"] {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
}

#[test]
fn debug_output_holds_no_secret() {
    let text = "[basic]\npollux_key = \"hush\"\ndatabase_url = \"postgres://u:hush@h/d\"\nkey_file = \"k\"\n\
                [providers.defaults]\nproxy = \"http://u:hush@p:1\"\n[providers.my-vendor]\napi_key = \"hush\"\n";
    let settings = Given::file(text).variables(&[("POLLUX__BASIC__ADMIN_KEY", "hush")]);
    let debug = format!("{:?} {:?}", settings.load().unwrap(), settings.environment);
    assert!(debug.contains("postgres://***@h/d") && !debug.contains("hush"), "{debug}");
}

#[test]
fn the_first_start_writes_a_file_that_loads() {
    let given = Given::nothing();
    let (settings, created) = given.with(LINKED, Settings::start).unwrap();
    assert!(created);
    let text = fs::read_to_string(given.path()).unwrap();
    let (pollux_key, admin_key) = (settings.basic.pollux_key, settings.basic.admin_key.unwrap());
    assert!(text.contains(pollux_key.expose()) && text.contains(admin_key.expose()));
    assert!(pollux_key.expose().starts_with("pk-") && admin_key.expose().starts_with("ak-"));
    assert_eq!((pollux_key.expose().len(), admin_key.expose().len()), (46, 46));
    assert!(text.contains("[providers.codex]\nmodel_list = [\"gpt-5.5\", "), "{text}");
    assert_eq!(settings.notes, Vec::<String>::new());
    let other = Given::nothing().with(LINKED, Settings::start).unwrap().0;
    assert_ne!(other.basic.pollux_key, pollux_key);
}

#[cfg(unix)]
#[test]
fn only_the_owner_may_read_the_first_file() {
    use std::os::unix::fs::PermissionsExt;
    let given = Given::nothing();
    given.with(LINKED, Settings::start).unwrap();
    assert_eq!(fs::metadata(given.path()).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_start_never_overwrites_a_file() {
    for text in [KEY, "", "[basic]\npollux_key = \"\"\n"] {
        let given = Given::file(text);
        let outcome = given.with(LINKED, Settings::start);
        assert_eq!(outcome.is_ok_and(|(_, created)| !created), text == KEY);
        assert_eq!(fs::read_to_string(given.path()).unwrap(), text);
    }
}

#[cfg(unix)]
#[test]
fn a_dangling_link_is_not_written_through() {
    let given = Given::nothing();
    let target = given.folder.path().join("elsewhere");
    std::os::unix::fs::symlink(&target, given.path()).unwrap();
    assert!(given.with(LINKED, Settings::start).is_err());
    assert!(!target.exists());
}

#[test]
fn a_key_in_the_environment_replaces_the_file() {
    let given = Given::nothing().variables(&[("POLLUX__BASIC__POLLUX_KEY", "k")]);
    let (settings, created) = given.with(LINKED, Settings::start).unwrap();
    assert_eq!((settings.basic.pollux_key.expose(), created), ("k", false));
    assert!(!given.path().exists());
}

#[test]
fn a_place_that_cannot_be_written_is_an_error_with_the_reason() {
    let given = Given::nothing();
    let file = given.folder.path().join("missing/config.toml");
    let sources = Sources { file: &file, environment: &given.environment, linked: LINKED };
    let error = Settings::start(sources).unwrap_err().to_string();
    assert!(
        error.starts_with(&format!("{}: there is no such file, and it cannot be written: ", file.display())),
        "{error}"
    );
    let error = Settings::start(Sources { file: given.folder.path(), ..sources }).unwrap_err().to_string();
    assert!(
        error.ends_with(
            "is a directory, not a file (Docker makes one where the file to mount does not exist)"
        )
    );
}

#[test]
fn a_check_without_a_file_says_who_writes_one() {
    let message = "config.toml: [basic] pollux_key: missing, as there is no such file (`pollux serve` writes one); \
                   expected the key that clients send";
    assert_eq!(Given::nothing().error(), message);
}

#[test]
fn a_section_that_its_provider_refuses_is_named_with_its_place() {
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Section {
        #[expect(dead_code, reason = "only its type matters")]
        model_list: Vec<String>,
    }
    fn build(settings: pollux_sdk::Settings) -> Result<Arc<dyn Provider>, ConfigError> {
        let id = settings.id;
        settings.parse::<Section>()?;
        Err(ConfigError { provider: id, message: "fine".into() })
    }
    static VENDOR: Registration = Registration { id: "my-vendor", build, samples: "{}" };
    let linked = BTreeMap::from([("my-vendor", &VENDOR)]);
    for (text, variable, message) in [
        ("modle_list = []", None, "unknown field `modle_list`, expected `model_list`"),
        ("model_list = [1]", None, "invalid type: integer `1`, expected a string"),
        (
            "",
            Some(("POLLUX__PROVIDERS__MY_VENDOR__MODEL_LIST", "true")),
            "invalid type: boolean `true`, expected a sequence",
        ),
    ] {
        let mut given = Given::file(&format!("{KEY}[providers.my-vendor]\n{text}\n"));
        if let Some(variable) = variable {
            given = given.variables(&[variable]);
        }
        let error = given
            .with(&["my-vendor"], Settings::load)
            .unwrap()
            .build_providers(&linked)
            .err()
            .unwrap()
            .to_string();
        let place = variable
            .map_or(given.path().display().to_string(), |(name, _)| format!("environment variable {name}"));
        assert!(error.starts_with(&format!("{place}: [providers.my-vendor] ")), "{error}");
        assert!(error.ends_with(message), "{error}");
    }
    let given = Given::file(&format!("{KEY}[providers.my-vendor]\nenabled = false\nmodle_list = []\n"));
    let settings = given.with(&["my-vendor"], Settings::load).unwrap();
    assert!(
        settings.build_providers(&linked).is_ok_and(|built| built.is_empty()),
        "a provider switched off is not asked"
    );
}
