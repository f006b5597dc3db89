use super::EXIT_CONFIGURATION;
use crate::{
    files::{Listing, Sorted, Spot, gather, limits, parse, read, sort, words},
    settings::Settings,
    startup::open_store,
    store::{Newcomer, StoreError},
    takeover,
    upstream::install_crypto,
};
use pollux_sdk::{Credential, Provider};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    io::Read,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

/// Entries of one request; a few of them are far from any limit of a body.
const ENTRIES: usize = 100;

type Providers = BTreeMap<&'static str, Arc<dyn Provider>>;

/// A file that somebody takes.
struct Entry {
    path: PathBuf,
    file: Value,
    credential: Credential,
}

/// `pollux import ...`: hands the accounts to the running gateway, or puts them into its store if none runs.
pub async fn import(settings: &Settings, providers: &Providers, paths: &[PathBuf]) -> ExitCode {
    let (entries, mut refused) = collect(providers, paths).await;
    if entries.is_empty() && refused.is_empty() {
        refused.push("there is no credential file".to_owned());
    }
    let mut code = ExitCode::SUCCESS;
    for (provider, entries) in &entries {
        for chunk in entries.chunks(ENTRIES) {
            let told = match deliver(settings, provider, chunk).await {
                Ok(told) => told,
                Err(Failure::Store(error)) if error.is_configuration() => {
                    eprintln!("pollux: {error}");
                    return ExitCode::from(EXIT_CONFIGURATION);
                }
                Err(failure) => {
                    refused.push(format!("{provider}: {failure}"));
                    break;
                }
            };
            for entry in chunk {
                println!("{}: {provider}, {told}", entry.path.display());
            }
        }
    }
    for line in refused {
        eprintln!("pollux: {line}");
        code = ExitCode::FAILURE;
    }
    code
}

/// Accounts by provider, and a line for each file that nobody takes.
#[derive(Default)]
struct Collected {
    entries: BTreeMap<&'static str, Vec<Entry>>,
    refused: Vec<String>,
}

async fn collect(
    providers: &Providers,
    paths: &[PathBuf],
) -> (BTreeMap<&'static str, Vec<Entry>>, Vec<String>) {
    let known: Vec<Arc<dyn Provider>> = providers.values().cloned().collect();
    let names: Vec<&str> = known.iter().flat_map(|provider| words(provider.as_ref())).collect();
    let mut collected = Collected::default();
    for path in paths {
        if is_database(path) {
            collected.database(providers, path).await;
            continue;
        }
        for spot in spots(path, &names, &mut collected.refused) {
            collected.file(spot, &known);
        }
    }
    (collected.entries, collected.refused)
}

impl Collected {
    fn file(&mut self, spot: Spot, known: &[Arc<dyn Provider>]) {
        match open(&spot, known) {
            Ok((file, Sorted { provider, credential, remark, .. })) => {
                if let Some(remark) = remark {
                    eprintln!("pollux: {}: {remark}", spot.path.display());
                }
                let entry = Entry { path: spot.path, file, credential };
                self.entries.entry(provider.descriptor().id).or_default().push(entry);
            }
            Err(reason) => self.refused.push(format!("{}: {reason}", spot.path.display())),
        }
    }

    /// Of an older system's database, what that system still used.
    async fn database(&mut self, providers: &Providers, path: &Path) {
        let shown = path.display();
        let accounts = match takeover::read(path).await {
            Ok(Some(accounts)) => accounts,
            Ok(None) => return self.refused.push(format!("{shown}: it is no older system's database")),
            Err(error) => return self.refused.push(format!("{shown}: {error}")),
        };
        let off = accounts.iter().filter(|account| !account.enabled).count();
        if off > 0 {
            eprintln!("pollux: {shown}: {off} accounts were switched off there and stay behind");
        }
        for account in accounts.into_iter().filter(|account| account.enabled) {
            let provider = providers.get_key_value(account.provider.as_str());
            match provider.and_then(|(id, provider)| Some((*id, provider.import(&account.entry)?))) {
                Some((id, credential)) => {
                    let entry = Entry { path: path.to_owned(), file: account.entry, credential };
                    self.entries.entry(id).or_default().push(entry);
                }
                None => self
                    .refused
                    .push(format!("{shown}: no provider at work knows an account of `{}`", account.provider)),
            }
        }
    }
}

fn is_database(path: &Path) -> bool {
    let mut head = [0; 16];
    let read = std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut head));
    path.is_file() && read.is_ok() && head == *b"SQLite format 3\0"
}

fn spots(path: &Path, names: &[&str], refused: &mut Vec<String>) -> Vec<Spot> {
    if !path.is_dir() {
        return vec![Spot::alone(path, names)];
    }
    match gather(path, names) {
        Ok(Listing { files, skipped }) => {
            refused.extend(skipped.into_iter().map(|(path, reason)| format!("{}: {reason}", path.display())));
            files
        }
        Err(error) => {
            refused.push(format!("{}: the folder cannot be read: {}", path.display(), error.kind()));
            Vec::new()
        }
    }
}

fn open(spot: &Spot, providers: &[Arc<dyn Provider>]) -> Result<(Value, Sorted), String> {
    let file = parse(&read(&spot.path)?)?;
    let sorted = sort(spot, &file, providers)?;
    limits(&file)?;
    Ok((file, sorted))
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("the gateway refused: {0}")]
    Refused(String),
    #[error("the gateway does not answer: {0}")]
    Silent(reqwest::Error),
    #[error(transparent)]
    Store(#[from] StoreError),
}

async fn deliver(settings: &Settings, provider: &str, entries: &[Entry]) -> Result<&'static str, Failure> {
    match hand_over(settings, provider, entries).await {
        Err(Failure::Silent(error)) if error.is_connect() => {
            let store = open_store(&settings.basic).await?;
            let newcomer = |entry: &Entry| Newcomer {
                credential: entry.credential.clone(),
                origin: "import".to_owned(),
                trusted: true,
                limits: limits(&entry.file).unwrap_or_default(),
            };
            let stored = store.ingest(provider, entries.iter().map(newcomer).collect()).await;
            store.close().await;
            stored?;
            Ok("stored for the next start")
        }
        other => other.map(|()| "handed to the gateway"),
    }
}

async fn hand_over(settings: &Settings, provider: &str, entries: &[Entry]) -> Result<(), Failure> {
    let silent = |error: reqwest::Error| Failure::Silent(error.without_url());
    install_crypto();
    let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(30)).build();
    let body = Value::Array(entries.iter().map(|entry| entry.file.clone()).collect());
    let reply = client
        .map_err(silent)?
        .post(format!("http://{}/{provider}/resource:add", settings.local_address()))
        .bearer_auth(settings.basic.pollux_key.expose())
        .header("content-type", "application/json")
        .body(body.to_string())
        .send()
        .await
        .map_err(silent)?;
    if reply.status().is_success() {
        return Ok(());
    }
    Err(Failure::Refused(reply.status().to_string()))
}
