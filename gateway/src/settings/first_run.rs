use super::{Problem, Settings, SettingsError, Sources, environment::place, layers, legacy};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use config::ValueKind;
use pollux_sdk::{Dialect, Operation, Provider};
use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs::{self, OpenOptions},
    io::{self, Write as _},
    path::Path,
    sync::Arc,
};

const KEY: &str = "POLLUX__BASIC__POLLUX_KEY";

/// Writes a configuration where there is none. Without a file but with the key in the environment, the environment
/// is the configuration, and so it is where an older system's settings are in it.
pub(super) fn write_missing(sources: Sources<'_>) -> Result<bool, SettingsError> {
    let path = sources.file;
    let problem = |error: io::Error| {
        let reason =
            format!("there is no such file, and it cannot be written: {error} (or set {})", place(KEY));
        SettingsError::from(Problem::of_place(&path.display().to_string(), reason))
    };
    let configured = sources.environment.has(KEY) || legacy::in_use(sources.environment);
    if configured || path.try_exists().map_err(problem)? {
        return Ok(false);
    }
    match create(path, &first_file(sources.linked, &random_key("pk"), &random_key("ak"))) {
        Ok(()) => Ok(true),
        // Somebody else was faster.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(problem(error)),
    }
}

/// The folder for a database of which nobody but us said where it is to be.
pub(super) fn make_folder(layers: &layers::Layers) -> Result<(), SettingsError> {
    let Some(folder) = layers.database_folder.as_deref().filter(|folder| !folder.as_os_str().is_empty())
    else {
        return Ok(());
    };
    let problem = |error: io::Error| {
        let reason = format!("the folder for the database cannot be made: {error}");
        SettingsError::from(Problem::of_place(&folder.display().to_string(), reason))
    };
    fs::create_dir_all(folder).map_err(problem)
}

fn create(path: &Path, text: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    // Half a file would stop the next start.
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).inspect_err(|_| {
        let _ = fs::remove_file(path);
    })
}

pub(super) fn random_key(prefix: &str) -> String {
    format!("{prefix}-{}", URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>()))
}

fn first_file(linked: &[&str], pollux_key: &str, admin_key: &str) -> String {
    let mut text = format!(
        "# Written by the first start. config.toml.example shows more, `pollux config show` every key.\n\n\
         [basic]\n# What clients send: Authorization: Bearer, x-goog-api-key or ?key=. Keep it safe.\n\
         pollux_key = \"{pollux_key}\"\n# For the owner alone.\nadmin_key = \"{admin_key}\"\n"
    );
    for (id, models) in default_models(linked) {
        let list: Vec<String> =
            models.iter().map(|model| toml::Value::from(model.as_str()).to_string()).collect();
        let _ = write!(text, "\n[providers.{id}]\nmodel_list = [{}]\n", list.join(", "));
    }
    text
}

fn default_models(linked: &[&str]) -> BTreeMap<String, Vec<String>> {
    let defaults = layers::defaults(linked);
    let Some(ValueKind::Table(providers)) = defaults.get("providers").map(|providers| &providers.kind) else {
        return BTreeMap::new();
    };
    providers
        .iter()
        .filter_map(|(id, section)| {
            let ValueKind::Table(section) = &section.kind else { return None };
            Some((id.clone(), section.get("model_list")?.clone().try_deserialize().ok()?))
        })
        .collect()
}

/// What to do after the first start, for people. Names the file, never a key.
pub fn welcome(
    file: &Path,
    settings: &Settings,
    providers: &BTreeMap<&'static str, Arc<dyn Provider>>,
) -> String {
    let file = fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
    let base = settings
        .basic
        .public_url
        .clone()
        .unwrap_or_else(|| format!("http://localhost:{}", settings.basic.listen_port));
    let mut text = format!(
        "Pollux wrote {file}.\n\
         Clients send the pollux_key in it, the admin API wants the admin_key in it. Keep that file safe.\n",
        file = file.display()
    );
    for (id, provider) in providers {
        let descriptor = provider.descriptor();
        let _ = writeln!(text, "\n{}", descriptor.title);
        if descriptor.login.is_some() {
            let _ = writeln!(text, "  connect an account:  open {base}/{id}/auth");
        }
        // Who cannot log in brings a key.
        let token = if descriptor.login.is_some() { "refresh_token" } else { "api_key" };
        let _ = writeln!(
            text,
            "  or bring its token:  curl '{base}/{id}/resource:add?key=<pollux_key>' \
             -H 'Content-Type: application/json' -d '[{{\"{token}\":\"...\"}}]'"
        );
        if let Some(model) = descriptor.models.first()
            && let Some(call) = descriptor.dialects.first().and_then(|dialect| trial(*dialect, &model.id))
            && descriptor.operations.contains(&Operation::Generate)
        {
            let (path, body) = call;
            let _ = writeln!(
                text,
                "  then try it:         curl '{base}/{id}{path}?key=<pollux_key>' \
                 -H 'Content-Type: application/json' -d '{body}'"
            );
        }
    }
    text
}

fn trial(dialect: Dialect, model: &str) -> Option<(String, String)> {
    let call = match dialect {
        Dialect::Responses => {
            ("/v1/responses".to_owned(), format!(r#"{{"model":"{model}","input":"Hello"}}"#))
        }
        Dialect::Chat | Dialect::Messages => {
            let path = if dialect == Dialect::Chat { "/v1/chat/completions" } else { "/v1/messages" };
            let messages = r#"[{"role":"user","content":"Hello"}]"#;
            (path.to_owned(), format!(r#"{{"model":"{model}","max_tokens":100,"messages":{messages}}}"#))
        }
        Dialect::Gemini => (
            format!("/v1beta/models/{model}:generateContent"),
            r#"{"contents":[{"role":"user","parts":[{"text":"Hello"}]}]}"#.to_owned(),
        ),
        _ => return None,
    };
    Some(call)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Environment;
    use pollux_sdk::{Attempt, Call, Credential, Descriptor, Lease, Login, Model, Redirect, Refusal};

    struct Vendor(Descriptor);

    impl Provider for Vendor {
        fn descriptor(&self) -> &Descriptor {
            &self.0
        }
        fn prepare(&self, _: &Call, _: &Lease<'_>) -> Result<Attempt, Refusal> {
            unreachable!("nobody calls it here")
        }
        fn import(&self, _: &serde_json::Value) -> Option<Credential> {
            None
        }
        fn export(&self, _: &Credential, _: &mut serde_json::Value) {}
    }

    fn vendor(
        id: &'static str,
        dialect: &'static [Dialect],
        login: bool,
    ) -> (&'static str, Arc<dyn Provider>) {
        let redirect = Redirect::Here { path: "/callback", anywhere: false };
        let descriptor = Descriptor {
            id,
            title: "A vendor",
            kind: "vendor",
            dialects: dialect,
            operations: &[Operation::Generate],
            models: vec![Model::named("m-1")],
            aliases: &[],
            endpoints: Vec::new(),
            request_headers: &[],
            reply_headers: &[],
            login: login.then(|| Login { authorize: "https://vendor".into(), redirect }),
            single_use_refresh: false,
        };
        (id, Arc::new(Vendor(descriptor)))
    }

    fn told(public_url: &str) -> (String, Settings) {
        let folder = tempfile::tempdir().unwrap();
        let variables = [("POLLUX__BASIC__LISTEN_PORT", "9000"), ("POLLUX__BASIC__PUBLIC_URL", public_url)];
        let environment: Environment =
            variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into_iter().collect();
        let file = folder.path().join("config.toml");
        let (settings, _) =
            Settings::start(Sources { file: &file, environment: &environment, linked: &[] }).unwrap();
        let providers =
            [vendor("one", &[Dialect::Gemini], true), vendor("two", &[Dialect::Responses], false)]
                .into_iter()
                .collect();
        let text = welcome(&file, &settings, &providers);
        assert!(text.contains(&fs::canonicalize(&file).unwrap().display().to_string()), "{text}");
        (text, settings)
    }

    #[test]
    fn welcome_says_how_to_connect_and_try_each_provider() {
        let (text, _) = told("");
        for line in [
            "open http://localhost:9000/one/auth",
            "curl 'http://localhost:9000/one/resource:add?key=<pollux_key>'",
            "curl 'http://localhost:9000/one/v1beta/models/m-1:generateContent?key=<pollux_key>'",
            "curl 'http://localhost:9000/two/v1/responses?key=<pollux_key>'",
            r#"'{"model":"m-1","input":"Hello"}'"#,
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
        assert!(!text.contains("/two/auth"), "there is no login to open: {text}");
        assert!(told("https://pollux.example").0.contains("open https://pollux.example/one/auth"));
    }

    #[test]
    fn welcome_names_no_key() {
        let (text, settings) = told("");
        assert!(!text.contains(settings.basic.pollux_key.expose()));
        assert!(!text.contains(settings.basic.admin_key.unwrap().expose()));
    }
}
