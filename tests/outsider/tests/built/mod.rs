//! The outsider's binaries.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

/// Built by itself, as an outsider would: in a build of the whole workspace the host's default features are on for
/// everybody, and its own providers are linked here as well.
pub(super) fn binary(name: &str) -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let folder = Path::new(env!("CARGO_BIN_EXE_pollux-outsider")).parent().unwrap();
        let profile = match folder.file_name().and_then(OsStr::to_str) {
            Some("debug") | None => "dev",
            Some(other) => other,
        };
        let status = Command::new(env!("CARGO"))
            // The second package brings the features of shared dependencies that the workspace was built with.
            .args([
                "build",
                "--quiet",
                "--offline",
                "-p",
                "pollux-outsider",
                "-p",
                "pollux-tests",
                "--profile",
                profile,
            ])
            .arg("--target-dir")
            .arg(folder.parent().unwrap())
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status()
            .unwrap();
        assert!(status.success());
        folder.to_owned()
    });
    folder.join(format!("{name}{}", std::env::consts::EXE_SUFFIX))
}
