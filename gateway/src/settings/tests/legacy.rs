use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

const REAL: &[&str] = &["codex", "geminicli"];
const CODEX_POOL: &str = r#"
# Server settings
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

fn loaded(given: &Given) -> Settings {
    given.with(REAL, Settings::load).unwrap_or_else(|error| panic!("{error}"))
}

fn alone(variables: &[(&str, &str)]) -> Settings {
    loaded(&Given::nothing().variables(variables))
}

fn addressed(settings: &Settings) -> String {
    SocketAddr::new(settings.basic.listen_addr, settings.basic.listen_port).to_string()
}

/// A line of `config show` as value and origin.
fn shown(given: &Given, key: &str) -> (String, String) {
    let text = given.with(REAL, Settings::show).unwrap();
    let (section, key) = key.rsplit_once('.').unwrap();
    let lines = text.lines().skip_while(|line| *line != format!("[{section}]"));
    let line = lines.skip(1).find(|line| line.starts_with(&format!("{key} = ")));
    let (value, origin) = line.unwrap_or_else(|| panic!("{key} in {text}")).split_once('#').unwrap();
    (value.trim().split_once(" = ").unwrap().1.to_owned(), origin.trim().to_owned())
}

#[test]
fn each_variable_of_the_older_systems_is_one_of_our_keys() {
    for (name, text, key, value) in [
        ("NEXUS_KEY", "hush", "basic.pollux_key", "\"***\""),
        ("DATABASE_URL", "sqlite://old.db", "basic.database_url", "\"sqlite://old.db\""),
        ("LOGLEVEL", "debug", "basic.loglevel", "\"debug\""),
        ("BIGMODEL_LIST", r#"["gemini-2.5-pro"]"#, "pool.groups", ""),
        ("CRED_PATH", "./creds", "pool.credentials_dirs", r#"["./creds"]"#),
        ("REFRESH_CONCURRENCY", "10", "providers.geminicli.oauth_tps", "\"10\""),
        ("GEMINI_RETRY_MAX_TIMES", "2", "providers.geminicli.retry_max_times", "\"2\""),
        ("ENABLE_MULTIPLEXING", "true", "providers.defaults.enable_multiplexing", "true"),
        ("PROXY", "http://127.0.0.1:1080", "providers.defaults.proxy", "\"http://127.0.0.1:1080\""),
        ("PROXY_LISTEN_ADDR", "127.0.0.1:9000", "basic.listen_addr", "\"127.0.0.1\""),
        ("PROXY_LISTEN_ADDR", "127.0.0.1:9000", "basic.listen_port", "9000"),
        ("POOL_DIR", "./accounts", "pool.credentials_dirs", r#"["./accounts"]"#),
        ("PROXY_DB_PATH", "./data/proxy.db", "basic.database_url", "\"sqlite:./data/proxy.pollux.db\""),
        ("PROXY_MAX_ATTEMPTS", "5", "providers.defaults.retry_max_times", "4"),
        ("PROXY_DISABLE_REFRESH", "1", "pool.refresh", "false"),
        ("PROXY_DEBUG", "1", "basic.loglevel", "\"debug\""),
        ("FRIEND_CODE", "hush", "basic.pollux_key", "\"***\""),
    ] {
        let given = Given::file("[basic]\nadmin_key = \"a\"\n").variables(&[(name, text)]);
        let (found, origin) = shown(&given, key);
        assert_eq!(origin, format!("environment variable {name}"), "{key}");
        assert!(value.is_empty() || found == value, "{name} as {key} is {found}");
    }
}

#[test]
fn every_key_of_the_table_is_one_that_there_is() {
    let known = crate::settings::layers::defaults(REAL);
    let root = config::Value::from(known);
    for system in crate::settings::legacy::systems() {
        for key in system.defaults.keys().chain(system.setting.iter().flat_map(|setting| &setting.to)) {
            let of_host = ["oauth_tps", "retry_max_times"].iter().any(|name| key.ends_with(name));
            let there = crate::settings::section::find(&root, key).is_some();
            assert!(there || of_host, "{key}");
        }
        for setting in &system.setting {
            assert!(setting.variable.is_some() || setting.file.is_some());
            assert!(!setting.to.is_empty() || setting.lost.is_some(), "{setting:?}");
            assert!(!(setting.own && setting.shared), "{setting:?}");
        }
    }
    let tables: BTreeSet<String> = legacy_tables().into_iter().map(|table| table.name).collect();
    assert_eq!(tables.into_iter().collect::<Vec<_>>(), ["antigravity", "codex", "credentials", "gemini_cli"]);
}

#[test]
fn older_variables_rank_below_the_file_and_above_the_defaults() {
    let text = format!("{KEY}database_url = \"sqlite://mine.db\"\n[providers.defaults]\nproxy = \"\"\n");
    let given = Given::file(&text).variables(&[
        ("DATABASE_URL", "postgres://other:hush@h/d"),
        ("PROXY", "http://p:1"),
        ("LOGLEVEL", "warn"),
        ("POLLUX__BASIC__LOGLEVEL", "trace"),
    ]);
    let settings = loaded(&given);
    assert_eq!(settings.basic.database_url, "sqlite://mine.db");
    assert_eq!(settings.providers["codex"].proxy, None);
    assert_eq!(settings.basic.loglevel, "trace");
    assert_eq!(addressed(&settings), "0.0.0.0:8188", "a file of ours keeps our defaults");
    assert!(!format!("{:?} {:?}", settings.news, settings.notes).contains("hush"));
}

#[test]
fn with_gcli_nexus_settings_alone_its_defaults_apply() {
    let given = Given::nothing().variables(&[("NEXUS_KEY", "k")]);
    let (settings, created) = given.with(REAL, Settings::start).unwrap();
    assert!(!created && !given.path().exists(), "the environment is the configuration");
    assert_eq!(addressed(&settings), "0.0.0.0:8000");
    assert_eq!(settings.basic.pollux_key.expose(), "k");
    assert_eq!(settings.pool.credentials_dirs, [PathBuf::from("./credentials")]);
    assert!(!settings.basic.local);
    let news = settings.news.join("\n");
    for words in ["Gcli-Nexus", "NEXUS_KEY", "listen_port = 8000", "listen_addr = \"0.0.0.0\""] {
        assert!(news.contains(words), "{words} in {news}");
    }
    let moved = alone(&[("NEXUS_KEY", "k"), ("LISTEN_PORT", "8188"), ("CRED_PATH", "/c")]);
    assert_eq!(addressed(&moved), "0.0.0.0:8188");
    assert_eq!(moved.pool.credentials_dirs, [PathBuf::from("/c")]);
    let ours = alone(&[("NEXUS_KEY", "k"), ("POLLUX__BASIC__LISTEN_PORT", "9")]);
    assert_eq!(addressed(&ours), "0.0.0.0:9");
}

#[test]
fn with_codex_pool_settings_alone_its_defaults_apply_and_nobody_needs_a_key() {
    let settings = alone(&[("POOL_DIR", "./pool")]);
    assert_eq!(addressed(&settings), "127.0.0.1:8989");
    assert!(settings.basic.local);
    assert!(settings.basic.pollux_key.expose().len() > 40, "nobody knows the key");
    assert_eq!(alone(&[("PROXY_DEBUG", "0")]).pool.credentials_dirs, [PathBuf::from("./pool")]);
    for key in ["FRIEND_CODE", "POLLUX__BASIC__POLLUX_KEY"] {
        let keyed = alone(&[("POOL_DIR", "./pool"), (key, "code")]);
        assert!(!keyed.basic.local, "{key}");
        assert_eq!(keyed.basic.pollux_key.expose(), "code", "{key}");
    }
    let off = Given::nothing().variables(&[("POOL_DIR", "p"), ("POLLUX__BASIC__LOCAL", "false")]);
    assert!(off.with(REAL, Settings::load).is_err());
}

#[test]
fn nobody_is_let_in_without_a_key_from_other_machines() {
    let given = Given::nothing().variables(&[("PROXY_LISTEN_ADDR", "0.0.0.0:8989")]);
    let error = given.error();
    for words in ["pollux_key", "other machines", "FRIEND_CODE", "POLLUX__BASIC__POLLUX_KEY"] {
        assert!(error.contains(words), "{words} in {error}");
    }
    let missing = Given::nothing().variables(&[("CRED_PATH", "./credentials")]).error();
    assert!(missing.contains("NEXUS_KEY"), "{missing}");
}

#[test]
fn codex_pools_own_file_loads_as_it_is() {
    let given = Given::file(CODEX_POOL);
    let settings = loaded(&given);
    assert_eq!(addressed(&settings), "127.0.0.1:8989");
    assert_eq!(settings.pool.credentials_dirs, [PathBuf::from("pool")]);
    assert_eq!(settings.basic.database_url, "sqlite:./data/proxy.pollux.db");
    assert_eq!(settings.basic.loglevel, "info");
    assert_eq!(settings.basic.pollux_key.expose(), "your-secret-code");
    assert!(!settings.basic.local, "it asked friends for their code");
    let notes = settings.notes.join("\n");
    for name in ["friend_code", "friend_name", "friend_tagline"] {
        assert_eq!(notes.matches(name).count(), 1, "{name} in {notes}");
    }
    for name in ["admin_password", "jwt_secret", "storage_path"] {
        assert!(notes.contains(&format!("pool_users.{name}")), "{name} in {notes}");
    }
    for name in ["listen_addr", "pool_dir", "db_path", "debug"] {
        assert!(!notes.contains(name), "{name} in {notes}");
    }
    for secret in ["your-secret-code", "admin-password", "32-character"] {
        let told = format!("{notes}{:?}{}", settings.news, given.with(REAL, Settings::show).unwrap());
        assert!(!told.contains(secret), "{secret} in {told}");
    }
}

#[test]
fn codex_pools_file_without_a_friends_code_is_local_mode() {
    let settings = loaded(&Given::file("pool_dir = \"p\"\nmax_attempts = 1\ndisable_refresh = true\n"));
    assert!(settings.basic.local);
    assert_eq!(addressed(&settings), "127.0.0.1:8989");
    assert_eq!(settings.providers["codex"].retry_max_times, 0);
    assert!(!settings.pool.refresh);
}

#[test]
fn a_file_with_a_section_of_ours_is_ours_whatever_else_is_in_it() {
    let text = format!("listen_addr = \"127.0.0.1:9\"\npool_dir = \"p\"\n{KEY}listen_port = 7\n");
    let settings = loaded(&Given::file(&text).variables(&[("PROXY_LISTEN_ADDR", "127.0.0.2:8")]));
    assert_eq!(addressed(&settings), "127.0.0.1:7", "our keys, then its keys, then its variables");
    assert!(!settings.basic.local);
    let notes = settings.notes.join("\n");
    assert!(notes.contains("PROXY_LISTEN_ADDR does not count"), "{notes}");
}

#[test]
fn variables_that_other_software_has_too_count_beside_one_that_it_has_not() {
    let shared = [
        ("LISTEN_PORT", "1"),
        ("LISTEN_ADDR", "127.0.0.9"),
        ("MODEL_LIST", "x"),
        ("PUBLIC_URL", "no url"),
        ("ADMIN_TOKEN", "t"),
        ("OAUTH_TPS", "x"),
    ];
    let settings = loaded(&Given::file(KEY).variables(&shared));
    assert_eq!(addressed(&settings), "0.0.0.0:8188");
    assert!(settings.basic.admin_key.is_none() && settings.basic.public_url.is_none());
    let wrong = Given::nothing().variables(&[&shared[..], &[("NEXUS_KEY", "k")]].concat());
    assert!(wrong.error().contains("MODEL_LIST"));
}

#[test]
fn what_only_other_software_can_have_meant_is_told_and_not_used() {
    let strange = [("DATABASE_URL", "mysql://u:hush@h/d"), ("PROXY", "off"), ("LOGLEVEL", "20")];
    let settings = loaded(&Given::file(KEY).variables(&strange));
    assert_eq!(settings.basic.database_url, "sqlite://data.db");
    let notes = settings.notes.join("\n");
    for (name, _) in strange {
        assert!(notes.contains(&format!("environment variable {name} is not used")), "{notes}");
    }
    let wrong = Given::nothing().variables(&[&strange[..], &[("NEXUS_KEY", "k")]].concat()).error();
    for (name, _) in strange {
        assert!(wrong.contains(name), "{name} in {wrong}");
    }
    assert!(!format!("{notes}{wrong}").contains("hush"));
}

#[test]
fn big_models_and_all_others_rest_apart() {
    let lists = |list: &str| {
        let text = format!("{KEY}[providers.geminicli]\nmodel_list = [\"p\", \"f\", \"l\"]\n");
        loaded(&Given::file(&text).variables(&[("BIGMODEL_LIST", list)])).pool.groups
    };
    let group = |name: &str, models: &[&str]| Group {
        name: name.to_owned(),
        models: models.iter().map(|model| (*model).to_owned()).collect(),
    };
    assert_eq!(lists(r#"["p"]"#), [group("big", &["p"]), group("tiny", &["f", "l"])]);
    assert_eq!(lists(r#"["p", "x"]"#), [group("big", &["p", "x"]), group("tiny", &["f", "l"])]);
    assert_eq!(lists("[p, f, l]"), [group("big", &["p", "f", "l"])]);
    assert_eq!(lists("[]"), []);
    let offered = alone(&[("NEXUS_KEY", "k"), ("BIGMODEL_LIST", r#"["gemini-9"]"#)]);
    let models = &offered.providers["geminicli"].section["model_list"];
    assert_eq!(
        *models,
        json!(["gemini-2.5-pro", "gemini-2.5-flash", "gemini-9"]),
        "what it names is offered"
    );
    let text = format!("{KEY}[[pool.groups]]\nname = \"own\"\nmodels = [\"a\"]\n");
    let own = loaded(&Given::file(&text).variables(&[("BIGMODEL_LIST", r#"["p"]"#)]));
    assert_eq!(own.pool.groups, [group("own", &["a"])], "the file's groups come first");
}

#[test]
fn two_systems_share_their_folders_and_the_first_one_the_address() {
    let settings = alone(&[("NEXUS_KEY", "k"), ("CRED_PATH", "c"), ("POOL_DIR", "p")]);
    assert_eq!(settings.pool.credentials_dirs, [PathBuf::from("c"), PathBuf::from("p")]);
    assert_eq!(addressed(&settings), "0.0.0.0:8000");
    assert!(settings.notes.iter().any(|note| note.contains("codex-pool")), "{:?}", settings.notes);
}

#[test]
fn an_older_polluxs_file_loads_and_names_what_is_gone() {
    let text = format!(
        "{KEY}[providers.defaults]\ntrace_header = \"x-trace\"\n[providers.codex]\ntrace_header = \"y\"\n\
         [providers.antigravity]\napi_url = \"https://a\"\nmodel_list = [\"m\"]\n"
    );
    let notes = loaded(&Given::file(&text)).notes.join("\n");
    for name in [
        "providers.defaults.trace_header",
        "providers.codex.trace_header",
        "providers.antigravity.api_url, providers.antigravity.model_list",
    ] {
        assert!(notes.contains(name), "{name} in {notes}");
    }
    let linked = Given::file(&text).with(&["antigravity", "codex"], Settings::load).unwrap();
    assert_eq!(
        linked.providers["antigravity"].section["api_url"], "https://a",
        "a linked one keeps its section"
    );
}

#[test]
fn blank_variables_are_none() {
    let given = Given::nothing().variables(&[("NEXUS_KEY", " "), ("PROXY", ""), ("POOL_DIR", "")]);
    let (settings, created) = given.with(REAL, Settings::start).unwrap();
    assert!(created, "nobody comes over");
    assert_eq!(addressed(&settings), "0.0.0.0:8188");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_value_of_an_older_variable_panics_or_is_quoted_where_it_is_secret(
        values in prop::collection::vec((any::<prop::sample::Index>(), ".{0,30}|[0-9:.\\[\\]\", a-z]{0,20}"), 0..6),
        file in any::<bool>(),
    ) {
        let names: Vec<String> = crate::settings::legacy::variables().into_iter().collect();
        let mut variables: Vec<(&str, &str)> =
            values.iter().map(|(index, value)| (names[index.index(names.len())].as_str(), value.as_str())).collect();
        variables.push(("NEXUS_KEY", "hush-hush-hush"));
        variables.push(("FRIEND_CODE", "hush-hush-hush"));
        let given = if file { Given::file("") } else { Given::nothing() }.variables(&variables);
        let told = match given.with(REAL, Settings::load) {
            Ok(settings) => format!("{:?} {:?}", settings.notes, settings.news),
            Err(error) => error.to_string(),
        };
        prop_assert!(!told.contains("hush"), "{told}");
        prop_assert!(given.with(REAL, Settings::show).is_ok_and(|shown| !shown.contains("hush")));
    }
}
