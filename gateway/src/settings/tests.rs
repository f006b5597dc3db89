mod first_start;
mod legacy;
mod mistakes;

use super::*;
use serde_json::json;
use std::fs;

const LINKED: &[&str] = &["claude", "codex", "geminicli", "my-vendor"];
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
fn prices_of_all_sources_hold_the_nearest_first() {
    let text = "[basic]\npollux_key = \"k\"\n[[usage.prices]]\nmodels = [\"gpt-5.5\"]\ninput = 1\noutput = 2.5\n\
                [usage.subscriptions.codex]\nplus = 19.5\nteam = 30\n";
    let usage = Given::file(text).load().unwrap().usage;
    let mine = usage.prices.find("gpt-5.5").copied();
    assert!(mine.is_some() && usage.prices.find("gemini-2.5-pro").is_some());
    assert_eq!(usage.subscriptions.monthly("codex", "plus"), Some(19.5));
    assert_eq!(usage.subscriptions.monthly("codex", "team"), Some(30.0));
    assert_eq!(usage.subscriptions.monthly("codex", "pro"), Some(200.0), "compiled in");
    assert_eq!(usage.keep.requests, std::time::Duration::from_hours(30 * 24));

    let environment = [
        ("POLLUX__BASIC__POLLUX_KEY", "k"),
        ("POLLUX__USAGE__PRICES", r#"[{"models": ["gpt-5.5"], "input": 1, "output": 2.5}]"#),
        ("POLLUX__USAGE__SUBSCRIPTIONS__CODEX__PLUS", "18.25"),
        ("POLLUX__USAGE__KEEP_RAW", "12h"),
        ("POLLUX__USAGE__ENABLED", "false"),
    ];
    let usage = Given::nothing().variables(&environment).load().unwrap().usage;
    assert_eq!(usage.prices.find("gpt-5.5").copied(), mine);
    assert_eq!(usage.subscriptions.monthly("codex", "plus"), Some(18.25));
    assert_eq!((usage.keep.requests, usage.enabled), (std::time::Duration::from_hours(12), false));
}

#[test]
fn the_example_file_loads() {
    let text = include_str!("../../../config/config.toml.example");
    assert_eq!(
        Given::file(text).with(&["claude", "codex", "gemini", "geminicli"], Settings::load).unwrap().notes,
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
    assert_eq!(settings.pool.session_ttl, Duration::from_hours(1));
    assert_eq!(settings.upstream.connect_timeout, Duration::from_secs(10));
    assert_eq!(settings.upstream.response_timeout, Duration::from_mins(10));
    assert_eq!(settings.upstream.stream_idle_timeout, Duration::from_mins(1));
    assert_eq!(settings.upstream.socket_idle_timeout, Duration::from_mins(10));
    assert_eq!(settings.upstream.socket_ping_interval, Duration::from_secs(15));
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
