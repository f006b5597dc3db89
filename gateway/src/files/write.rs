//! Bringing a file up to date with the store: its tokens and nothing else of it.

use super::folder::{Stamp, stamp_of};
use pollux_sdk::{Credential, Provider};
use serde_json::Value;
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

/// The file with the tokens that are stored; `None` where it has them already. Members that it lacks are not added.
pub(super) fn renewed(provider: &dyn Provider, file: &Value, stored: &Credential) -> Option<Value> {
    let said = provider.import(file)?;
    let mut fresh = Credential { extra: said.extra, ..stored.clone() };
    for member in provider.renewed() {
        if let Some(value) = stored.extra.get(*member) {
            fresh.extra.insert((*member).to_owned(), value.clone());
        }
    }
    let mut next = file.clone();
    provider.export(&fresh, &mut next);
    keep_members(file, &mut next);
    (next != *file).then_some(next)
}

fn keep_members(former: &Value, next: &mut Value) {
    if let (Value::Object(former), Value::Object(next)) = (former, next) {
        next.retain(|name, _| former.contains_key(name));
        for (name, value) in next {
            keep_members(&former[name.as_str()], value);
        }
    }
}

/// The file as text, as people and the vendors' tools write it.
pub fn text(file: &Value) -> String {
    format!("{file:#}\n")
}

/// Puts a new content in the place of the file's, whole or not at all, unless it changed since `seen`. A link stays one:
/// what it leads to is replaced. Whether it did.
pub(super) fn replace(path: &Path, text: &str, seen: Option<Stamp>) -> io::Result<bool> {
    let target = path.canonicalize()?;
    let beside = beside(&target);
    let done = create(&beside, text).and_then(|()| {
        if seen.is_none() || stamp_of(&target) != seen {
            return Ok(false);
        }
        fs::rename(&beside, &target)?;
        sync_folder(&target);
        Ok(true)
    });
    if !matches!(done, Ok(true)) {
        let _ = fs::remove_file(&beside);
    }
    done
}

/// A hidden name that nobody else has and no reader of the folder looks at.
fn beside(target: &Path) -> PathBuf {
    let name = target.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    target.with_file_name(format!(".{name}.{:016x}.tmp", rand::random::<u64>()))
}

/// Makes a file that only its owner may read, with all of the text durably in it.
///
/// # Errors
/// Fails where there is one already, and where the system refuses.
pub fn create(path: &Path, text: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).inspect_err(|_| {
        let _ = fs::remove_file(path);
    })
}

/// Without it a power cut may bring the former file back; then it is found to be old.
fn sync_folder(path: &Path) {
    let folder = path.parent().and_then(|folder| File::open(folder).ok());
    drop(folder.map(|folder| folder.sync_all()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn members_that_a_file_lacks_are_not_added() {
        let former = json!({"tokens": {"a": 1, "b": {"c": 2}}, "note": "x"});
        let mut next = json!({"tokens": {"a": 5, "b": {"c": 6, "d": 7}, "e": 8}, "note": "x", "new": {}});
        keep_members(&former, &mut next);
        assert_eq!(next, json!({"tokens": {"a": 5, "b": {"c": 6}}, "note": "x"}));
    }

    #[test]
    fn a_file_is_replaced_whole_for_its_owner_alone_and_links_stay() {
        let root = tempfile::tempdir().unwrap();
        let (file, link) = (root.path().join("file.json"), root.path().join("link.json"));
        fs::write(&file, "old").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert!(replace(&link, "new", stamp_of(&link)).unwrap());
        assert_eq!(fs::read_to_string(&file).unwrap(), "new");
        assert!(link.is_symlink());
        let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&file).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 2, "nothing is left beside it");
    }

    #[test]
    fn a_file_that_changed_meanwhile_is_left_alone() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("file.json");
        fs::write(&file, "old").unwrap();
        let seen = stamp_of(&file);
        fs::write(&file, "somebody else's").unwrap();
        assert!(!replace(&file, "ours", seen).unwrap());
        assert_eq!(fs::read_to_string(&file).unwrap(), "somebody else's");
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
    }
}
