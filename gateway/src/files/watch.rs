//! Noticing that something happened in a folder. What happened is found out by looking.

use notify::{Config, Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio::sync::Notify;

/// Wakes somebody when the system tells of a change. Not every file system does, hence folders are looked at now and
/// again as well.
#[derive(Debug)]
pub(super) struct Watch {
    watcher: Option<RecommendedWatcher>,
    watched: BTreeSet<PathBuf>,
    changed: Arc<Notify>,
}

impl Watch {
    pub(super) fn new() -> Self {
        let changed = Arc::new(Notify::new());
        let wake = Arc::clone(&changed);
        let tell = move |event: notify::Result<Event>| {
            if event.map_or(true, |event| matters(&event)) {
                wake.notify_one();
            }
        };
        let watcher = RecommendedWatcher::new(tell, Config::default());
        let watcher = watcher.inspect_err(|error| {
            tracing::warn!(%error, "the system does not tell of changed files; folders are looked at now and again");
        });
        Self { watcher: watcher.ok(), watched: BTreeSet::new(), changed }
    }

    /// Watches a folder and its subfolders, once it is there.
    pub(super) fn follow(&mut self, root: &Path) {
        if !root.is_dir() {
            // One that comes back is another one.
            self.watched.remove(root);
            return;
        }
        let Some(watcher) = self.watcher.as_mut().filter(|_| !self.watched.contains(root)) else { return };
        match watcher.watch(root, RecursiveMode::Recursive) {
            Ok(()) => drop(self.watched.insert(root.to_owned())),
            Err(error) => {
                tracing::debug!(folder = %root.display(), %error, "folder is not watched, only looked at");
            }
        }
    }

    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }
}

/// Reading is none, and a change of rights alone changes no credential.
fn matters(event: &Event) -> bool {
    use notify::event::{MetadataKind, ModifyKind};
    let rights = |kind: &MetadataKind| matches!(kind, MetadataKind::Permissions | MetadataKind::Ownership);
    match &event.kind {
        EventKind::Access(_) => false,
        EventKind::Modify(ModifyKind::Metadata(kind)) => !rights(kind),
        _ => true,
    }
}
