//! A real `pollux` process in a folder of its own.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use toml::{Table, Value};

use super::{Database, Log, Session, free_port, send, wait_until};
use crate::simulator::Simulator;

const START_LIMIT: Duration = Duration::from_secs(30);
const POLLUX_KEY: &str = "pollux-key-of-the-tests";
const ADMIN_KEY: &str = "admin-key-of-the-tests";

/// What of our own environment would change the gateway's behaviour.
const HIDDEN: [&str; 22] = [
    "RUST_LOG",
    "NEXUS_KEY",
    "DATABASE_URL",
    "LOGLEVEL",
    "BIGMODEL_LIST",
    "CRED_PATH",
    "REFRESH_CONCURRENCY",
    "ENABLE_MULTIPLEXING",
    "PROXY",
    "POOL_DIR",
    "PROXY_LISTEN_ADDR",
    "PROXY_DB_PATH",
    "PROXY_DEBUG",
    "FRIEND_CODE",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
];

/// Collects what a gateway is started with.
#[derive(Debug, Default)]
pub struct Builder {
    config: Table,
    raw_config: Option<String>,
    /// The port of a gateway that has no configuration file.
    bare: Option<u16>,
    env: Vec<(String, String)>,
    args: Vec<String>,
    database: Option<Database>,
    program: Option<PathBuf>,
    files: Vec<(String, Vec<u8>)>,
}

/// The gateway did not come up.
#[derive(Debug)]
pub struct StartError {
    reason: String,
    log: String,
}

impl fmt::Display for StartError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}\n--- its log ---\n{}", self.reason, self.log)
    }
}

impl std::error::Error for StartError {}

impl Builder {
    /// Points every provider at a simulator.
    #[must_use]
    pub fn simulator(mut self, simulator: &Simulator) -> Self {
        merge(&mut self.config, table(&vendors(simulator)));
        self
    }

    /// Adds TOML over what is there; the last word on a key wins.
    #[must_use]
    pub fn config(mut self, fragment: &str) -> Self {
        merge(&mut self.config, table(fragment));
        self
    }

    /// Writes this as the whole configuration file, right or wrong, and nothing else.
    #[must_use]
    pub fn raw_config(mut self, text: &str) -> Self {
        self.raw_config = Some(text.to_owned());
        self
    }

    /// Starts it without a configuration file: the environment says everything, the port of this kit and where the
    /// simulated vendors are included.
    #[must_use]
    pub fn without_config(mut self) -> Self {
        let port = free_port();
        self = self.env("POLLUX__BASIC__LISTEN_PORT", &port.to_string());
        let mut told = Vec::new();
        variables("POLLUX", &self.config, &mut told);
        self.env.extend(told);
        self.bare = Some(port);
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Adds an argument to the command line.
    #[must_use]
    pub fn arg(mut self, argument: &str) -> Self {
        self.args.push(argument.to_owned());
        self
    }

    /// Uses this database instead of the one the environment asks for.
    #[must_use]
    pub fn database(mut self, database: Database) -> Self {
        self.database = Some(database);
        self
    }

    /// Runs this program instead of `POLLUX_BIN` or the one built beside the running test.
    #[must_use]
    pub fn program(mut self, path: impl Into<PathBuf>) -> Self {
        self.program = Some(path.into());
        self
    }

    /// Puts a file into the gateway's folder, or into a subfolder of it.
    #[must_use]
    pub fn file(mut self, name: &str, content: impl Into<Vec<u8>>) -> Self {
        self.files.push((name.to_owned(), content.into()));
        self
    }

    /// Starts it and waits until it answers.
    pub async fn start(self) -> Result<Gateway, StartError> {
        let mut gateway = self.spawn()?;
        gateway.wait_healthy().await?;
        Ok(gateway)
    }

    /// Starts it without waiting.
    pub fn spawn(self) -> Result<Gateway, StartError> {
        let failed = |reason: String| StartError { reason, log: String::new() };
        let folder = tempfile::Builder::new().prefix("pollux-test-").tempdir();
        let folder = folder.map_err(|error| failed(format!("no folder: {error}")))?;
        let database = match self.database {
            Some(database) => database,
            None => Database::from_environment().map_err(failed)?,
        };
        let port = self.bare.unwrap_or_else(free_port);
        let mut config = base(port, &database);
        merge(&mut config, self.config);
        let text = self.raw_config.unwrap_or_else(|| config.to_string());
        let config_file = self.bare.is_none().then(|| ("config.toml".to_owned(), text.into_bytes()));
        for (name, content) in config_file.into_iter().chain(self.files) {
            let path = folder.path().join(&name);
            let made = path.parent().map_or(Ok(()), fs::create_dir_all);
            let written = made.and_then(|()| fs::write(&path, content));
            written.map_err(|error| failed(format!("cannot write {name}: {error}")))?;
        }
        let mut gateway = Gateway {
            process: None,
            log: Log::default(),
            authorization: format!("Bearer {}", read(&config, "pollux_key")),
            key: read(&config, "pollux_key"),
            admin_key: read(&config, "admin_key"),
            port: config["basic"]["listen_port"]
                .as_integer()
                .and_then(|port| u16::try_from(port).ok())
                .unwrap_or(port),
            folder,
            database,
            program: self.program.unwrap_or_else(binary),
            env: self.env,
            args: self.args,
        };
        let launched = gateway.launch();
        launched.map_err(|error| failed(format!("cannot run {}: {error}", gateway.program.display())))?;
        Ok(gateway)
    }
}

/// A gateway, killed when dropped.
#[derive(Debug)]
pub struct Gateway {
    process: Option<Child>,
    log: Log,
    key: String,
    authorization: String,
    admin_key: String,
    port: u16,
    folder: TempDir,
    database: Database,
    program: PathBuf,
    env: Vec<(String, String)>,
    args: Vec<String>,
}

impl Gateway {
    /// A gateway with the tests' base configuration: loopback, a free port, keys, short timeouts.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Its origin.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// A URL of it.
    pub fn at(&self, path: &str) -> String {
        format!("{}{path}", self.url())
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The key clients send.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The key of the admin API.
    pub fn admin_key(&self) -> &str {
        &self.admin_key
    }

    /// The clients' key as a header.
    pub fn auth(&self) -> [(&'static str, &str); 1] {
        [("authorization", &self.authorization)]
    }

    /// Its working folder, with `config.toml` and, for `SQLite`, `data.db`.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Its database.
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// What it printed on stdout and stderr, over all its lives.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// Waits until `/healthz` is 200.
    pub async fn wait_healthy(&mut self) -> Result<(), StartError> {
        let end = Instant::now() + START_LIMIT;
        loop {
            if let Ok(answer) = send("GET", &self.at("/healthz"), &[], "").await
                && answer.status == 200
            {
                return Ok(());
            }
            let gone = self.exit_status();
            if gone.is_some() || Instant::now() > end {
                // The last lines may still be on their way through the pipe.
                tokio::time::sleep(Duration::from_millis(50)).await;
                let reason = match gone {
                    Some(status) => format!("pollux ended with {status}"),
                    None => format!("pollux does not answer /healthz within {START_LIMIT:?}"),
                };
                return Err(StartError { reason, log: self.log.text() });
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// How it ended, if it has.
    pub fn exit_status(&mut self) -> Option<ExitStatus> {
        self.process.as_mut()?.try_wait().ok().flatten()
    }

    /// Waits for it to end by itself.
    pub async fn wait_exit(&mut self, limit: Duration) -> Option<ExitStatus> {
        let end = Instant::now() + limit;
        loop {
            if let Some(status) = self.exit_status() {
                return Some(status);
            }
            if Instant::now() >= end {
                return None;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Kills it (SIGKILL), as a crash or a power cut would, and waits until it is gone.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// Its process id, if it was started.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Child::id)
    }

    /// Sends SIGTERM without waiting.
    pub fn signal_term(&self) -> io::Result<()> {
        let Some(process) = &self.process else { return Err(io::Error::other("the gateway is not running")) };
        let sent = Command::new("sh").arg("-c").arg(format!("kill -TERM {}", process.id())).status()?;
        if sent.success() { Ok(()) } else { Err(io::Error::other("SIGTERM was not sent")) }
    }

    /// Sends SIGTERM and waits for the end.
    pub async fn terminate(&mut self, limit: Duration) -> Option<ExitStatus> {
        self.signal_term().ok()?;
        self.wait_exit(limit).await
    }

    /// Starts it again in the same folder, on the same port, with the same environment; kills it first if it runs.
    pub async fn restart(&mut self) -> Result<(), StartError> {
        self.respawn()?;
        self.wait_healthy().await
    }

    /// As [`Gateway::restart`], without waiting for it to answer.
    pub fn respawn(&mut self) -> Result<(), StartError> {
        self.kill();
        self.launch().map_err(|error| StartError { reason: error.to_string(), log: self.log.text() })
    }

    /// Replaces an environment variable for its next life.
    pub fn set_env(&mut self, name: &str, value: &str) {
        self.env.retain(|(key, _)| key != name);
        self.env.push((name.to_owned(), value.to_owned()));
    }

    /// Waits until a path, asked with the clients' key, satisfies a condition.
    pub async fn wait_for(
        &self,
        path: &str,
        limit: Duration,
        mut condition: impl FnMut(&super::Answer) -> bool,
    ) -> bool {
        let url = self.at(path);
        let condition = std::cell::RefCell::new(&mut condition);
        let ask = || async {
            send("GET", &url, &self.auth(), "").await.is_ok_and(|answer| (condition.borrow_mut())(&answer))
        };
        wait_until(ask, limit).await
    }

    /// Runs another command of the program in its folder and environment, such as `accounts list`, to its end.
    pub async fn command(&self, args: &[&str]) -> Output {
        run(isolated(&self.program), self.folder.path(), args, &self.env).await
    }

    /// Starts a command that a person sits in front of, such as `login`.
    pub fn session(&self, args: &[&str]) -> io::Result<Session> {
        let mut command = isolated(&self.program);
        command.current_dir(self.folder.path()).args(args);
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        Session::start(command)
    }

    fn launch(&mut self) -> io::Result<()> {
        let mut command = isolated(&self.program);
        command.current_dir(self.folder.path()).args(&self.args);
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        if let Some(pipe) = process.stdout.take() {
            self.log.follow(pipe);
        }
        if let Some(pipe) = process.stderr.take() {
            self.log.follow(pipe);
        }
        self.process = Some(process);
        Ok(())
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("--- log of the gateway on port {} ---\n{}", self.port, self.log.text());
        }
    }
}

/// Configuration that points every provider at a simulator, as TOML.
pub fn vendors(simulator: &Simulator) -> String {
    let (google, openai, anthropic) =
        (simulator.google_url(), simulator.openai_url(), simulator.anthropic_url());
    let (client_id, client_secret) = simulator.google().client();
    format!(
        r#"
        [providers.geminicli]
        api_url = "{google}"
        model_list = ["gemini-2.5-pro", "gemini-2.5-flash", "gemini-3-pro-preview"]
        [providers.geminicli.oauth]
        authorize_url = "{google}/o/oauth2/v2/auth"
        token_url = "{google}/token"
        userinfo_url = "{google}/oauth2/v2/userinfo"
        client_id = "{client_id}"
        client_secret = "{client_secret}"
        [providers.gemini]
        api_url = "{google}"
        [providers.codex]
        api_url = "{openai}"
        model_list = ["gpt-5.5", "gpt-5.6-sol", "gpt-5.2-codex"]
        [providers.codex.oauth]
        authorize_url = "{openai}/oauth/authorize"
        token_url = "{openai}/oauth/token"
        client_id = "{}"
        [providers.claude]
        api_url = "{anthropic}"
        model_list = ["claude-opus-5-5", "claude-haiku-5-5", "claude-haiku-4-5"]
        [providers.claude.oauth]
        authorize_url = "{anthropic}/cai/oauth/authorize"
        token_url = "{anthropic}/v1/oauth/token"
        "#,
        crate::simulator::openai::CLIENT_ID
    )
}

/// Runs the program in a folder with arguments and environment, and waits for its end.
pub async fn pollux(folder: &Path, args: &[&str], env: &[(&str, &str)]) -> Output {
    let env: Vec<_> = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    run(isolated(&binary()), folder, args, &env).await
}

async fn run(mut command: Command, folder: &Path, args: &[&str], env: &[(String, String)]) -> Output {
    command.current_dir(folder).args(args).envs(env.iter().map(|(name, value)| (name, value)));
    // A test's own listener must go on while the command talks to it.
    let ended = tokio::task::spawn_blocking(move || command.output()).await;
    ended.expect("waiting does not panic").unwrap_or_else(|error| panic!("cannot run pollux: {error}"))
}

/// The program, knowing nothing of our own environment.
fn isolated(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("POLLUX") || HIDDEN.contains(&&*text) {
            command.env_remove(&name);
        }
    }
    command
}

/// The program under test: `POLLUX_BIN`, else the one built beside the running test.
fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("POLLUX_BIN") {
        return path.into();
    }
    let test = std::env::current_exe().unwrap_or_default();
    let built = test.parent().and_then(Path::parent).unwrap_or(Path::new("."));
    built.join("pollux")
}

fn base(port: u16, database: &Database) -> Table {
    let mut config = table(&format!(
        r#"
        [basic]
        listen_addr = "127.0.0.1"
        listen_port = {port}
        pollux_key = "{POLLUX_KEY}"
        admin_key = "{ADMIN_KEY}"
        insecure_cookie = true
        loglevel = "debug"
        shutdown_grace = "5s"
        workers = 2
        [pool]
        acquire_timeout = "2s"
        [upstream]
        connect_timeout = "2s"
        response_timeout = "10s"
        stream_idle_timeout = "2s"
        [providers.geminicli]
        oauth_tps = 100
        [providers.gemini]
        oauth_tps = 100
        [providers.codex]
        oauth_tps = 100
        [providers.claude]
        oauth_tps = 100
        "#
    ));
    let key_file = match database {
        Database::Sqlite => None,
        Database::Postgres { .. } => Some("sealing.key"),
    };
    if let Some(Value::Table(basic)) = config.get_mut("basic") {
        basic.insert("database_url".into(), database.url().into());
        if let Some(key_file) = key_file {
            basic.insert("key_file".into(), key_file.into());
        }
    }
    config
}

fn table(text: &str) -> Table {
    text.parse().unwrap_or_else(|error| panic!("a test's TOML is wrong: {error}\n{text}"))
}

fn read(config: &Table, key: &str) -> String {
    config
        .get("basic")
        .and_then(|basic| basic.get(key))
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}

/// The leaves of a table as environment variables.
fn variables(prefix: &str, table: &Table, told: &mut Vec<(String, String)>) {
    for (key, value) in table {
        let name = format!("{prefix}__{}", key.to_uppercase());
        match value {
            Value::Table(inner) => variables(&name, inner, told),
            Value::String(text) => told.push((name, text.clone())),
            Value::Array(items) => {
                let items: Vec<_> = items.iter().map(|item| item.as_str().unwrap_or_default()).collect();
                told.push((name, serde_json::json!(items).to_string()));
            }
            other => told.push((name, other.to_string())),
        }
    }
}

fn merge(into: &mut Table, from: Table) {
    for (key, value) in from {
        match (into.get_mut(&key), value) {
            (Some(Value::Table(into)), Value::Table(from)) => merge(into, from),
            (_, value) => drop(into.insert(key, value)),
        }
    }
}
