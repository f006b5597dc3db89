mod renew;

use super::{
    folder::{self, Listing, Spot, Stamp},
    report::{Line, Outcome, Report, Skipped},
    sort::{sort, words},
    watch::Watch,
};
use crate::{
    accounts::stopped,
    limits::Wanted,
    relay::Service,
    settings,
    store::{FileNews, FileRow, Row, Store, StoreError},
};
use pollux_sdk::Provider;
use serde_json::Value;
use std::{
    collections::{BTreeMap, HashMap},
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::spawn_blocking,
    time::{Instant, sleep, sleep_until},
};

/// A change is looked at when nothing more has happened for so long ...
const QUIET: Duration = Duration::from_millis(500);
/// ... or after this at the latest.
const PATIENCE: Duration = Duration::from_secs(3);
/// How often folders are looked at unasked.
const LOOK: Duration = Duration::from_secs(15);
/// How long a request for a reload waits, for others before it too.
const ANSWER: Duration = Duration::from_mins(1);
const REQUESTS: usize = 8;
const COMPLAINTS: usize = 10_000;

/// Where the clerk is asked.
#[derive(Debug, Clone)]
pub struct Files(mpsc::Sender<oneshot::Sender<Report>>);

impl Files {
    /// Reads every file anew. `None`: the clerk is busy beyond patience, or has gone home.
    pub async fn reload(&self) -> Option<Report> {
        let (answer, told) = oneshot::channel();
        let asked = async {
            self.0.send(answer).await.ok()?;
            told.await.ok()
        };
        tokio::time::timeout(ANSWER, asked).await.ok()?
    }
}

/// Keeps folders and store in step. One task, so that no two hands write one file.
pub struct Clerk {
    folders: Vec<PathBuf>,
    write_back: bool,
    store: Store,
    services: Vec<Arc<Service>>,
    providers: Vec<Arc<dyn Provider>>,
    requests: mpsc::Receiver<oneshot::Sender<Report>>,
    watch: Watch,
    /// What each file looked like when it was last read or written; `None` where it is to be looked at again.
    seen: HashMap<PathBuf, Option<Stamp>>,
    /// A folder or the store could not be read: what happened meanwhile is not known.
    blind: bool,
    /// What was complained of, so that it is said once.
    complaints: HashMap<String, String>,
}

impl Clerk {
    /// A clerk that does nothing yet, and where to ask it.
    pub fn new(settings: &settings::Pool, store: Store, services: &[Arc<Service>]) -> (Self, Files) {
        let (sender, requests) = mpsc::channel(REQUESTS);
        let absolute = |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone());
        let clerk = Self {
            folders: settings.credentials_dirs.iter().map(absolute).collect(),
            write_back: settings.write_back,
            store,
            services: services.to_vec(),
            providers: services.iter().map(|service| Arc::clone(&service.provider)).collect(),
            requests,
            watch: Watch::new(),
            seen: HashMap::new(),
            blind: false,
            complaints: HashMap::new(),
        };
        (clerk, Files(sender))
    }

    /// The loop. Ends when `stop` turns true.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        self.scan(true).await;
        let mut look = Instant::now() + LOOK;
        loop {
            tokio::select! {
                () = stopped(&mut stop) => break,
                Some(answer) = self.requests.recv() => {
                    let report = self.scan(true).await;
                    tracing::info!(
                        files = report.files.len(),
                        joined = report.count(Outcome::Joined),
                        updated = report.count(Outcome::Updated),
                        left = report.count(Outcome::Left),
                        refused = report.count(Outcome::Refused),
                        "credential files read anew"
                    );
                    drop(answer.send(report));
                }
                () = self.watch.changed() => {
                    self.calm_down(&mut stop).await;
                    self.scan(false).await;
                }
                () = self.store.renewed() => self.write_renewals().await,
                () = sleep_until(look) => {
                    look = Instant::now() + LOOK;
                    self.scan(false).await;
                }
            }
        }
        self.write_renewals().await;
    }

    /// Waits until nobody writes any more: a copy takes several steps.
    async fn calm_down(&self, stop: &mut watch::Receiver<bool>) {
        let end = Instant::now() + PATIENCE;
        loop {
            tokio::select! {
                () = stopped(stop) => return,
                () = sleep_until(end) => return,
                () = sleep(QUIET) => return,
                () = self.watch.changed() => {}
            }
        }
    }

    /// Looks at every file, or at those that look otherwise than before, and acts upon what they say.
    async fn scan(&mut self, all: bool) -> Report {
        let mut report = Report::default();
        let (spots, readable) = self.list(&mut report).await;
        let all = all || std::mem::take(&mut self.blind);
        let former = |spot: &Spot| self.seen.get(&spot.path).copied().flatten();
        let fresh = |spot: &Spot| all || spot.stamp.is_none() || former(spot) != spot.stamp;
        let due: Vec<bool> = spots.values().map(fresh).collect();
        let vanished = self.seen.keys().any(|path| !spots.contains_key(path));
        if !all && !vanished && !due.contains(&true) {
            return report;
        }
        let known = match self.store.files().await {
            Ok(known) => known.into_iter().map(|file| (PathBuf::from(&file.path), file)).collect(),
            Err(error) => {
                self.blind = true;
                self.complain("", &error.to_string());
                return report;
            }
        };
        self.see_off(&known, &spots, &readable, &mut report).await;
        for (spot, due) in spots.values().zip(due) {
            if due {
                let line = self.look(spot, known.get(&spot.path)).await;
                self.tell(&line);
                report.files.push(line);
            }
        }
        self.seen.retain(|path, _| spots.contains_key(path));
        report.files.sort_by(|one, other| one.path.cmp(&other.path));
        report
    }

    /// All files by path, and the folders that could be listed.
    async fn list(&mut self, report: &mut Report) -> (BTreeMap<PathBuf, Spot>, Vec<PathBuf>) {
        let (mut spots, mut readable) = (BTreeMap::new(), Vec::new());
        for root in self.folders.clone() {
            self.watch.follow(&root);
            let names: Vec<&str> =
                self.providers.iter().flat_map(|provider| words(provider.as_ref())).collect();
            let path = root.clone();
            let listed = blocking(move || folder::gather(&path, &names)).await;
            match listed.unwrap_or_else(|| Err(io::ErrorKind::Other.into())) {
                Ok(Listing { files, skipped }) => {
                    let skipped = skipped.into_iter().map(|(path, reason)| Skipped {
                        path: path.display().to_string(),
                        reason: reason.to_owned(),
                    });
                    report.skipped.extend(skipped);
                    for spot in files {
                        spots.entry(spot.path.clone()).or_insert(spot);
                    }
                    // It could not be read before.
                    self.blind |= self.complaints.remove(&root.display().to_string()).is_some();
                    readable.push(root);
                }
                Err(error) => report.skipped.push(Skipped {
                    path: root.display().to_string(),
                    reason: format!("the folder cannot be read: {}", error.kind()),
                }),
            }
        }
        for Skipped { path, reason } in &report.skipped {
            self.complain(path, reason);
        }
        (spots, readable)
    }

    /// Lets the accounts of files go that are no more. A folder that cannot be listed says nothing about its files.
    async fn see_off(
        &mut self,
        known: &BTreeMap<PathBuf, FileRow>,
        spots: &BTreeMap<PathBuf, Spot>,
        readable: &[PathBuf],
        report: &mut Report,
    ) {
        let ours = |path: &Path| readable.iter().any(|root| path.starts_with(root));
        let missing: Vec<PathBuf> =
            known.keys().filter(|path| !spots.contains_key(*path) && ours(path)).cloned().collect();
        let absent = |path: &PathBuf| matches!(std::fs::metadata(path), Err(error) if error.kind() == io::ErrorKind::NotFound);
        let gone = blocking(move || missing.into_iter().filter(absent).collect::<Vec<_>>()).await;
        let gone: Vec<String> = gone.into_iter().flatten().map(|path| path.display().to_string()).collect();
        if gone.is_empty() {
            return;
        }
        match self.store.files_gone(&gone).await {
            Ok(rows) => {
                for row in rows {
                    tracing::info!(provider = row.provider, account = %row.label(), id = row.id, "account left the pool with its file");
                    if let Some(service) = self.service(&row.provider) {
                        service.keeper.take(&row);
                    }
                }
                report.files.extend(gone.into_iter().map(|path| Line::of(path, Outcome::Left)));
            }
            Err(error) => {
                self.blind = true;
                self.complain("", &error.to_string());
            }
        }
    }

    async fn look(&mut self, spot: &Spot, known: Option<&FileRow>) -> Line {
        let path = spot.path.display().to_string();
        let looked = self.look_inside(spot, known).await.unwrap_or_else(|reason| Line::refused(path, reason));
        if looked.outcome == Outcome::Repaired {
            return looked;
        }
        // Why it was refused may be otherwise at the next look.
        self.seen.insert(spot.path.clone(), spot.stamp.filter(|_| looked.outcome != Outcome::Refused));
        looked
    }

    async fn look_inside(&mut self, spot: &Spot, known: Option<&FileRow>) -> Result<Line, String> {
        let path = spot.path.display().to_string();
        let text = read(&spot.path).await?;
        let digest = self.store.digest(&text);
        let file = parse(&text)?;
        let unchanged = known.filter(|known| known.digest == digest);
        let (row, outcome, remark) = if let Some(known) = unchanged {
            let Some(row) = self.held_by(known).await.map_err(unavailable)? else {
                let reason = "its account was removed; change the file to bring it back".to_owned();
                return Ok(Line::of(path, Outcome::Removed).because(Some(reason)));
            };
            (row, Outcome::Unchanged, None)
        } else {
            let (row, remark) = self.take_in(spot, digest, &file).await?;
            (row, if known.is_some() { Outcome::Updated } else { Outcome::Joined }, remark)
        };
        let service = self.service(&row.provider).ok_or("its provider is not at work")?;
        let repaired = self.bring_up_to_date(&spot.path, &file, spot.stamp, &service, &row).await;
        Ok(Line {
            path,
            outcome: if repaired && outcome == Outcome::Unchanged { Outcome::Repaired } else { outcome },
            provider: Some(service.id()),
            account: Some(row.id),
            state: Some(row.state.to_string()),
            reason: remark.or_else(|| row.reason.map(|reason| reason.text)),
        })
    }

    async fn take_in(
        &self,
        spot: &Spot,
        digest: String,
        file: &Value,
    ) -> Result<(Row, Option<String>), String> {
        let sorted = sort(spot, file, &self.providers)?;
        let limits = limits(file)?;
        let news = FileNews {
            path: spot.path.display().to_string(),
            digest,
            credential: sorted.credential,
            limits,
            replaces: sorted.replaces,
            renewed: sorted.provider.renewed(),
        };
        let service = self.service(sorted.provider.descriptor().id).ok_or("its provider is not at work")?;
        let row = service.keeper.take_file(news).await.map_err(unavailable)?;
        Ok((row.ok_or("its account left at the same moment")?, sorted.remark))
    }

    fn service(&self, id: &str) -> Option<Arc<Service>> {
        self.services.iter().find(|service| service.id() == id).cloned()
    }

    fn tell(&mut self, line: &Line) {
        let Line { path, outcome, provider, account, reason, .. } = line;
        match outcome {
            Outcome::Refused => self.complain(path, reason.as_deref().unwrap_or_default()),
            Outcome::Joined | Outcome::Updated => {
                self.complaints.remove(path);
                tracing::info!(file = path, provider, account, ?outcome, "credential file read");
                if folder::is_open(Path::new(path)) {
                    self.complain(path, "others than its owner can read it");
                }
                if let Some(reason) = reason {
                    self.complain(path, reason);
                }
            }
            _ => drop(self.complaints.remove(path)),
        }
    }

    /// Says something once. Nothing of a file's content is ever among it.
    fn complain(&mut self, path: &str, reason: &str) {
        if self.complaints.get(path).is_none_or(|former| former != reason) {
            if self.complaints.len() >= COMPLAINTS {
                self.complaints.clear();
            }
            tracing::warn!(file = path, reason, "credential file");
            self.complaints.insert(path.to_owned(), reason.to_owned());
        }
    }
}

/// Off the threads that serve; `None` if it panicked, which it does not.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    spawn_blocking(work).await.ok()
}

async fn read(path: &Path) -> Result<String, String> {
    let path = path.to_owned();
    blocking(move || folder::read(&path)).await.unwrap_or_else(|| Err("it cannot be read".into()))
}

/// Its error says where, and never what stands there.
pub fn parse(text: &str) -> Result<Value, String> {
    serde_json::from_str(text.trim_start_matches('\u{feff}')).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        format!("it is no JSON (line {line}, column {column})")
    })
}

/// What a file says of its account's limits, as an entry of `resource:add` does.
pub fn limits(file: &Value) -> Result<Wanted, String> {
    let taken = file.clone().as_object_mut().map_or(Ok(Wanted::default()), Wanted::take);
    taken.map_err(|mistake| mistake.to_string())
}

#[expect(clippy::needless_pass_by_value, reason = "it stands in `map_err`")]
fn unavailable(error: StoreError) -> String {
    format!("the store is not available: {error}")
}

impl fmt::Debug for Clerk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clerk").field("folders", &self.folders).finish_non_exhaustive()
    }
}
