//! The real clients that tests/clients/install puts into the cache.

use std::io::Write as _;
use std::path::{Path, PathBuf};

/// The installed client at this path under `POLLUX_CLIENTS`; without it the test is skipped, and with `CI=true`
/// it fails.
pub fn installed(name: &str, path: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("POLLUX_CLIENTS").map(PathBuf::from);
    let found = folder.as_ref().map(|folder| folder.join(path)).filter(|path| path.exists());
    if found.is_none() {
        let what = format!("{name}: not installed (tests/clients/install)");
        assert!(std::env::var("CI").as_deref() != Ok("true"), "{what}");
        println!("SKIP {what}");
        if let Some(notes) = folder.as_deref().and_then(Path::parent) {
            let file = std::fs::OpenOptions::new().create(true).append(true).open(notes.join("skips.txt"));
            // The note is for the summary; the line above has said it already.
            drop(file.and_then(|mut file| writeln!(file, "{what}")));
        }
    }
    found
}
