//! The outsider's own binary, from outside.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod built;

use built::binary;
use pollux_outsider as _;
use std::process::{Command, Output};

/// Runs it with a configuration of its own.
fn run(name: &str, config: &str, arguments: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("config.toml"), config).unwrap();
    let clean = std::env::vars().filter(|(key, _)| !key.starts_with("POLLUX_"));
    Command::new(binary(name))
        .args(arguments)
        .current_dir(folder.path())
        .env_clear()
        .envs(clean)
        .output()
        .unwrap()
}

fn config(more: &str) -> String {
    format!("[basic]\nlisten_addr = \"127.0.0.1\"\nlisten_port = 0\npollux_key = \"k\"\n{more}\n")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn an_outsiders_binary_lists_its_own_provider_and_no_other() {
    let output = run("pollux-outsider", &config(""), &["providers"]);
    assert_eq!(text(&output.stdout), "acme  Acme AI\n", "{}", text(&output.stderr));
    assert!(output.status.success());
}

#[test]
fn an_outsiders_binary_takes_its_own_section() {
    let output =
        run("pollux-outsider", &config("[providers.acme]\nmodel_list = [\"a\"]"), &["config", "check"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("serves: acme"), "{}", text(&output.stdout));
}

#[test]
fn a_configured_provider_that_is_not_linked_stops_the_start_and_those_that_are_are_named() {
    let output = run("pollux-outsider", &config("[providers.codex]\nenabled = true"), &["serve"]);
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{told}");
    for part in ["config.toml", "providers.codex", "linked: acme"] {
        assert!(told.contains(part), "{part}: {told}");
    }
}

#[test]
fn an_id_that_is_registered_twice_stops_the_start() {
    let output = run("twice", &config(""), &["serve"]);
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(told.contains("provider id `acme` is registered twice"), "{told}");
}

#[test]
fn an_outsider_holds_its_own_provider_against_the_contract() {
    let linked = pollux_sdk::linked().unwrap();
    let report = pollux_tests::conformance::check(linked["acme"]);
    assert!(report.is_clean(), "{report}");
}
