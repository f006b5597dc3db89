use super::*;
use pollux_sdk::{ConfigError, Provider, Registration};
use std::sync::Arc;

/// Section, key, value as TOML, message.
fn refused(table: &[(&str, &str, &str, String)]) {
    for (section, key, value, message) in table {
        let text = match *section {
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

/// What is said of a key that its section does not have.
fn only(section: &str) -> String {
    let defaults = config::Value::from(crate::settings::layers::defaults(LINKED));
    let section = crate::settings::section::find(&defaults, section).unwrap();
    let mut keys: Vec<_> = crate::settings::section::as_table(section).unwrap().keys().cloned().collect();
    keys.sort();
    format!("there is no such key, only {}", keys.join(", "))
}

#[test]
fn every_bad_value_of_the_server_names_its_place_and_what_was_expected() {
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
    ];
    refused(&table);
}

#[test]
fn every_bad_value_elsewhere_names_its_place_and_what_was_expected() {
    const DURATION: &str =
        r#"seconds or a time such as "500ms", "30s" or "1h", more than zero and at most 365 days"#;
    let duration = |found: &str| format!("expected {DURATION}, found {found}");
    let groups =
        |found: &str| format!("expected a list of groups, each with a `name` and `models`, found {found}");
    let proxy = |found: &str| format!("expected an http://, https:// or socks5:// address, found {found}");
    let whole = |from: u32, to: u32, found: &str| {
        format!("expected a whole number from {from} to {to}, found {found}")
    };
    let folders =
        |found: &str| format!("expected a list of folders such as [\"./credentials\"], found {found}");
    let table: Vec<(&str, &str, &str, String)> = vec![
        (
            "pool",
            "strategy",
            "\"random\"",
            "expected \"balanced\" or \"round_robin\" or \"fill_first\" or \"soonest_reset\", found \"random\"".into(),
        ),
        (
            "pool",
            "order",
            "[\"nobody\"]",
            "expected a list of providers, each once, of these: claude, codex, geminicli, my-vendor, found [\"nobody\"]".into(),
        ),
        ("pool", "acquire_timeout", "0", duration("0")),
        ("pool", "refresh", "\"maybe\"", "expected true or false, found \"maybe\"".into()),
        ("pool", "groups", "[\"a\"]", groups("[\"a\"]")),
        ("pool", "groups", "[{name = \"a\", models = []}]", groups(r#"[{"models":[],"name":"a"}]"#)),
        ("pool", "groups", "[{models = [\"a\"]}]", groups(r#"[{"models":["a"]}]"#)),
        (
            "pool",
            "groups",
            "[{name = \"a\", models = [\"m\"]}, {name = \"b\", models = [\"m\"]}]",
            "`m` is named twice; a model is in one group at most".into(),
        ),
        (
            "pool",
            "groups",
            "[{name = \"a\", models = [\"m\"]}, {name = \"a\", models = [\"n\"]}]",
            "two groups are called `a`".into(),
        ),
        (
            "pool",
            "credentials_dirs",
            "[1]",
            "expected a list of folders such as [\"./credentials\"], found [1]".into(),
        ),
        ("pool", "session_ttl", "\"0s\"", duration("\"0s\"")),
        ("pool", "credentials_dirs", "3", folders("3")),
        ("pool", "credentials_dirs", "[\"a\", \"\"]", folders("[\"a\",\"\"]")),
        ("upstream", "connect_timeout", "-5", duration("-5")),
        ("upstream", "response_timeout", "1.5", duration("1.5")),
        ("upstream", "stream_idle_timeout", "true", duration("true")),
        ("upstream", "socket_idle_timeout", "0", duration("0")),
        ("upstream", "socket_ping_interval", "\"often\"", duration("\"often\"")),
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
            only("pool"),
        ),
        (
            "providers.defaults",
            "oauth_tps",
            "5",
            only("providers.defaults"),
        ),
    ];
    refused(&table);
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
fn local_mode_wants_a_loopback_address_and_no_key() {
    for (address, fine) in [
        ("127.0.0.1", true),
        ("127.1.2.3", true),
        ("::1", true),
        ("0.0.0.0", false),
        ("::", false),
        ("192.168.0.1", false),
    ] {
        let given = Given::file(&format!("[basic]\nlocal = true\nlisten_addr = \"{address}\"\n"));
        if fine {
            let basic = given.load().unwrap().basic;
            assert!(basic.local && basic.pollux_key.expose().len() >= 32, "{address}");
        } else {
            let message = "config.toml: [basic] local: true admits callers without a key, \
                           so listen_addr must be 127.0.0.1 or ::1";
            assert_eq!(given.error(), message, "{address}");
        }
    }
}

#[test]
fn what_is_wrong_as_a_whole_is_named_too() {
    let sections = "basic, pool, upstream, usage, providers";
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
             linked: claude, codex, geminicli, my-vendor"
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
fn a_mistake_in_the_environment_names_the_variable() {
    let speed = format!("[pool] speed: {}", only("pool"));
    for (name, value, message) in [
        (
            "POLLUX__BASIC__LISTEN_PORT",
            "x",
            "[basic] listen_port: expected a whole number from 0 to 65535, found \"x\"",
        ),
        ("POLLUX__BASIC__POLLUX_KEY", "", "[basic] pollux_key: empty; expected the key that clients send"),
        ("POLLUX__POOL__SPEED", "9", &speed),
        (
            "POLLUX__PROVIDERS__CODEX__MODEL_LIST",
            "gpt-5.5",
            r#"[providers.codex] model_list: expected a list as JSON such as ["a", "b"]"#,
        ),
        (
            "POLLUX__SPEED",
            "9",
            "speed: stands outside of a section (basic, pool, upstream, usage, providers)",
        ),
        ("POLLUX__", "9", ": stands outside of a section (basic, pool, upstream, usage, providers)"),
        (
            "POLLUX__PROVIDERS__NONE__PROXY",
            "",
            "[providers.none] no such provider is linked into this binary; linked: claude, codex, geminicli, my-vendor",
        ),
    ] {
        let given = Given::file(KEY).variables(&[(name, value)]);
        assert_eq!(given.error(), format!("environment variable {name}: {message}"));
    }
}

#[test]
fn postgres_wants_a_sealing_key_that_replicas_share() {
    let text = format!("{KEY}database_url = \"postgres://u:pw@h/d\"\n");
    let message = "config.toml: [basic] key_file: missing; expected a path, or POLLUX_SEALING_KEY in the environment, \
                   as the database is PostgreSQL";
    assert_eq!(Given::file(&text).error(), message);
    assert_eq!(Given::file(&text).variables(&[("POLLUX_SEALING_KEY", "")]).error(), message);
    assert!(Given::file(&text).variables(&[("POLLUX_SEALING_KEY", "s")]).load().is_ok());
    assert!(Given::file(&format!("{text}key_file = \"k\"\n")).load().is_ok());
}

#[test]
fn a_section_that_its_provider_refuses_is_named_with_its_place() {
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Section {
        #[expect(dead_code, reason = "only its type matters")]
        model_list: Vec<String>,
        #[expect(dead_code, reason = "only its type matters")]
        #[serde(default)]
        api_key: Option<String>,
    }
    fn build(settings: pollux_sdk::Settings) -> Result<Arc<dyn Provider>, ConfigError> {
        let id = settings.id;
        settings.parse::<Section>()?;
        Err(ConfigError { provider: id, message: "fine".into() })
    }
    static VENDOR: Registration = Registration { id: "my-vendor", build, samples: "{}" };
    let linked = BTreeMap::from([("my-vendor", &VENDOR)]);
    for (text, variable, message) in [
        ("modle_list = []", None, "unknown field `modle_list`, expected `model_list` or `api_key`"),
        ("model_list = []\napi_key = 4711", None, "api_key: has the wrong type"),
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

proptest::proptest! {
    #[test]
    fn no_text_makes_the_reading_panic(
        section in "basic|pool|upstream|providers|providers\\.codex|providers\\.codex\\.oauth|x",
        key in "listen_addr|listen_port|workers|body_limit|proxy|public_url|loglevel|\"a\\[9\\]\"|oauth",
        value in r#"-?[0-9]{1,25}|"[ -!#-\[\]-~]{0,20}"|"\PC{0,6}"|\[\]|\{\}|[0-9.e+-]{1,9}|"#,
        text in "\\PC{0,30}",
    ) {
        let variable = format!("POLLUX__{}__{}", section.replace('.', "__"), key.to_uppercase());
        for file in [format!("{KEY}[{section}]\n{key} = {value}\n"), text] {
            let _ = Given::file(&file).variables(&[(&variable, &value)]).load();
        }
    }
}
