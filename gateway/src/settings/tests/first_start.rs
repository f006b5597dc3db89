use super::*;

#[test]
fn the_first_start_writes_a_file_that_loads() {
    let given = Given::nothing();
    let (settings, created) = given.with(LINKED, Settings::start).unwrap();
    assert!(created);
    let text = fs::read_to_string(given.path()).unwrap();
    let (pollux_key, admin_key) = (settings.basic.pollux_key, settings.basic.admin_key.unwrap());
    assert!(text.contains(pollux_key.expose()) && text.contains(admin_key.expose()));
    assert!(pollux_key.expose().starts_with("pk-") && admin_key.expose().starts_with("ak-"));
    assert_eq!((pollux_key.expose().len(), admin_key.expose().len()), (46, 46));
    assert!(text.contains("[providers.codex]\nmodel_list = [\"gpt-5.5\", "), "{text}");
    assert_eq!(settings.notes, Vec::<String>::new());
    let other = Given::nothing().with(LINKED, Settings::start).unwrap().0;
    assert_ne!(other.basic.pollux_key, pollux_key);
}

#[cfg(unix)]
#[test]
fn only_the_owner_may_read_the_first_file() {
    use std::os::unix::fs::PermissionsExt;
    let given = Given::nothing();
    given.with(LINKED, Settings::start).unwrap();
    assert_eq!(fs::metadata(given.path()).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_start_never_overwrites_a_file() {
    for text in [KEY, "", "[basic]\npollux_key = \"\"\n"] {
        let given = Given::file(text);
        let outcome = given.with(LINKED, Settings::start);
        assert_eq!(outcome.is_ok_and(|(_, created)| !created), text == KEY);
        assert_eq!(fs::read_to_string(given.path()).unwrap(), text);
    }
}

#[cfg(unix)]
#[test]
fn a_dangling_link_is_not_written_through() {
    let given = Given::nothing();
    let target = given.folder.path().join("elsewhere");
    std::os::unix::fs::symlink(&target, given.path()).unwrap();
    assert!(given.with(LINKED, Settings::start).is_err());
    assert!(!target.exists());
}

#[test]
fn a_key_in_the_environment_replaces_the_file() {
    let given = Given::nothing().variables(&[("POLLUX__BASIC__POLLUX_KEY", "k")]);
    let (settings, created) = given.with(LINKED, Settings::start).unwrap();
    assert_eq!((settings.basic.pollux_key.expose(), created), ("k", false));
    assert!(!given.path().exists());
}

#[test]
fn a_place_that_cannot_be_written_is_an_error_with_the_reason() {
    let given = Given::nothing();
    let file = given.folder.path().join("missing/config.toml");
    let sources = Sources { file: &file, environment: &given.environment, linked: LINKED };
    let error = Settings::start(sources).unwrap_err().to_string();
    assert!(
        error.starts_with(&format!("{}: there is no such file, and it cannot be written: ", file.display())),
        "{error}"
    );
    let error = Settings::start(Sources { file: given.folder.path(), ..sources }).unwrap_err().to_string();
    assert!(
        error.ends_with(
            "is a directory, not a file (Docker makes one where the file to mount does not exist)"
        )
    );
}

#[test]
fn a_check_without_a_file_says_who_writes_one() {
    let message = "config.toml: [basic] pollux_key: missing, as there is no such file (`pollux serve` writes one); \
                   expected the key that clients send";
    assert_eq!(Given::nothing().error(), message);
}
