//! The conformance suite: every linked provider passes it, and for each check there is one that fails exactly it.

mod flaws;
mod model;

use pollux_tests::conformance::{all, check};
use std::{collections::BTreeSet, thread};
// Naming the host links the providers that ship with it.
use pollux as _;

#[test]
fn every_linked_provider_passes_every_check() {
    let linked = pollux_sdk::linked().unwrap();
    assert!(linked.len() >= 2, "{:?}", linked.keys());
    for registration in linked.values() {
        let report = check(registration);
        assert!(report.is_clean(), "{report}");
        assert_eq!(report.passed, all());
    }
}

#[test]
fn a_provider_without_a_flaw_passes_every_check() {
    let report = check(&flaws::registration(""));
    assert!(report.is_clean(), "{report}");
    assert_eq!(report.passed, all());
}

#[test]
fn each_check_is_failed_by_a_provider_with_that_flaw_and_by_no_other_check() {
    let names = all();
    // A flaw is put in by the thread that checks for it.
    let wrong: Vec<String> = thread::scope(|scope| {
        let parts = names.chunks(names.len().div_ceil(4));
        let threads: Vec<_> = parts.map(|part| scope.spawn(move || unnoticed(part))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The checks among `names` that are not the only one to fail where they alone should.
fn unnoticed(names: &[&'static str]) -> Vec<String> {
    let mut wrong = Vec::new();
    for name in names {
        let report = check(&flaws::registration(name));
        let failed: Vec<&str> = report.failed.iter().map(|(check, _)| *check).collect();
        let complete = report.passed.len() + failed.len() + report.not_run.len() == all().len();
        if failed != [*name] || report.failed[0].1.is_empty() || !complete {
            wrong.push(format!("{name}: {report}"));
        }
    }
    wrong
}

#[test]
fn checks_have_names_of_their_own_and_there_are_twenty_at_least() {
    let names = all();
    assert!(names.len() >= 20, "{}", names.len());
    assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
}

#[test]
fn a_report_says_what_is_wrong_and_where() {
    let report = check(&flaws::registration("a request claims to be of no other client"));
    let text = report.to_string();
    assert!(text.contains("1 failed"), "{text}");
    assert!(text.contains("a request claims to be of no other client\n"), "{text}");
    assert!(text.contains("call 0 says it is"), "{text}");
}
