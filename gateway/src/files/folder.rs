//! What lies in a folder of credential files: its `*.json`, and those in subfolders named after a provider.

use std::{
    fs, io,
    io::Read,
    path::{Path, PathBuf},
    time::SystemTime,
};

/// No vendor's file is near this.
const BYTES: u64 = 256 << 10;
/// Of one folder, so that a wrong path does not fill the memory.
const FILES: usize = 10_000;

/// A file, where it lies and what it is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spot {
    /// Where it is.
    pub path: PathBuf,
    /// The subfolder, in lower case.
    pub folder: Option<String>,
    /// Its name without the extension, in lower case.
    pub stem: String,
    /// `None` where the system does not tell: then it is looked at each time.
    pub stamp: Option<Stamp>,
}

/// What changes with every change of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    modified: SystemTime,
    length: u64,
    inode: u64,
}

/// What is in a folder.
#[derive(Debug, Default)]
pub struct Listing {
    /// Files to be read, by path.
    pub files: Vec<Spot>,
    /// Entries that are not, and why.
    pub skipped: Vec<(PathBuf, &'static str)>,
}

/// Lists a folder. Subfolders are entered if `words` has their names; hidden entries are nobody's.
///
/// # Errors
/// Fails where the folder, or one of those subfolders, cannot be listed: then nothing can be said about what is gone.
pub fn gather(root: &Path, words: &[&str]) -> io::Result<Listing> {
    let mut listing = Listing::default();
    for path in entries(root)? {
        let name = name(&path);
        if path.is_dir() {
            if words.contains(&name.as_str()) {
                for path in entries(&path)? {
                    listing.put(path, Some(&name));
                }
            } else {
                listing.skipped.push((path, "no provider has this name, so the folder is not read"));
            }
        } else {
            listing.put(path, None);
        }
    }
    listing.files.sort_by(|one, other| one.path.cmp(&other.path));
    let surplus = listing.files.split_off(listing.files.len().min(FILES));
    listing.skipped.extend(surplus.into_iter().map(|spot| (spot.path, "the folder has too many files")));
    Ok(listing)
}

impl Spot {
    /// A file that was named by itself.
    pub fn alone(path: &Path, words: &[&str]) -> Self {
        let folder = path.parent().map(name).filter(|folder| words.contains(&folder.as_str()));
        Self { stem: stem(path), folder, stamp: stamp_of(path), path: path.to_owned() }
    }
}

fn stem(path: &Path) -> String {
    path.file_stem().map(|stem| stem.to_string_lossy().to_lowercase()).unwrap_or_default()
}

impl Listing {
    fn put(&mut self, path: PathBuf, folder: Option<&str>) {
        if path.extension().is_none_or(|extension| !extension.eq_ignore_ascii_case("json")) {
            return;
        }
        if path.to_str().is_none() {
            return self.skipped.push((path, "its name is not UTF-8"));
        }
        // A link is as good as the file it leads to.
        match fs::metadata(&path) {
            Ok(about) if about.is_file() => self.files.push(Spot {
                stem: stem(&path),
                folder: folder.map(Into::into),
                stamp: stamp(&about),
                path,
            }),
            Ok(_) => self.skipped.push((path, "it is no file")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(_) => self.skipped.push((path, "it cannot be looked at")),
        }
    }
}

fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if !entry.file_name().as_encoded_bytes().starts_with(b".") {
            paths.push(entry.path());
        }
    }
    Ok(paths)
}

fn name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default()
}

#[cfg(unix)]
fn stamp(about: &fs::Metadata) -> Option<Stamp> {
    let inode = std::os::unix::fs::MetadataExt::ino(about);
    Some(Stamp { modified: about.modified().ok()?, length: about.len(), inode })
}

#[cfg(not(unix))]
fn stamp(about: &fs::Metadata) -> Option<Stamp> {
    Some(Stamp { modified: about.modified().ok()?, length: about.len(), inode: 0 })
}

/// The stamp that a file has now.
pub fn stamp_of(path: &Path) -> Option<Stamp> {
    stamp(&fs::metadata(path).ok()?)
}

/// Whether others than its owner may read the file.
#[cfg(unix)]
pub fn is_open(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|about| std::os::unix::fs::MetadataExt::mode(&about) & 0o077 != 0)
}

/// Whether others than its owner may read the file.
#[cfg(not(unix))]
pub fn is_open(_path: &Path) -> bool {
    false
}

/// Reads a file whole.
///
/// # Errors
/// Says why it cannot be read, or that no credential file is as large.
pub fn read(path: &Path) -> Result<String, String> {
    let unreadable = |error: io::Error| format!("it cannot be read: {}", error.kind());
    let mut text = Vec::new();
    let file = fs::File::open(path).map_err(unreadable)?;
    file.take(BYTES + 1).read_to_end(&mut text).map_err(unreadable)?;
    if text.len() as u64 > BYTES {
        return Err(format!("it is larger than {} KiB", BYTES >> 10));
    }
    String::from_utf8(text).map_err(|_| "it is no text".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_files_and_those_of_providers_folders_are_listed() {
        let root = tempfile::tempdir().unwrap();
        let put = |name: &str| {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "{}").unwrap();
        };
        let names =
            ["b.json", "A.JSON", ".hidden.json", "notes.txt", "acme/x.json", "Acme2/y.json", "old/z.json"];
        for name in names {
            put(name);
        }
        fs::create_dir(root.path().join("folder.json")).unwrap();
        let listing = gather(root.path(), &["acme", "acme2"]).unwrap();
        let seen: Vec<(String, Option<String>)> =
            listing.files.into_iter().map(|spot| (spot.stem, spot.folder)).collect();
        let of = |folder: &str| Some(folder.to_owned());
        let expected =
            [("a", None), ("y", of("acme2")), ("x", of("acme")), ("b", None)].map(|(s, f)| (s.to_owned(), f));
        assert_eq!(seen, expected);
        let mut skipped: Vec<String> = listing.skipped.iter().map(|(path, _)| name(path)).collect();
        skipped.sort();
        assert_eq!(skipped, ["folder.json", "old"]);
        assert!(gather(&root.path().join("nowhere"), &[]).is_err());
    }

    #[test]
    fn what_is_too_large_or_no_text_is_not_read() {
        let root = tempfile::tempdir().unwrap();
        let (large, binary, fine) = (root.path().join("l"), root.path().join("b"), root.path().join("f"));
        fs::write(&large, vec![b' '; 300 << 10]).unwrap();
        fs::write(&binary, [0xff, 0xfe]).unwrap();
        fs::write(&fine, "{}").unwrap();
        assert!(read(&large).unwrap_err().contains("256 KiB"));
        assert!(read(&binary).unwrap_err().contains("no text"));
        assert_eq!(read(&fine).unwrap(), "{}");
        assert!(read(&root.path().join("n")).is_err());
    }
}
