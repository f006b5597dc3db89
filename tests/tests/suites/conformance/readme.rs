//! "Write a provider in an hour" is true: it shows what is compiled and lists what is checked.

use pollux_tests::conformance::all;

const README: &str = include_str!("../../../../providers/README.md");

#[test]
fn the_readme_shows_the_outsiders_code_as_it_is() {
    for code in [include_str!("../../../outsider/src/lib.rs"), include_str!("../../../outsider/src/main.rs")]
    {
        assert!(README.contains(&format!("```rust\n{code}```\n")), "not in providers/README.md:\n{code}");
    }
}

#[test]
fn the_readme_lists_every_check_and_no_other() {
    let (_, list) = README.rsplit_once("The checks:\n\n").unwrap();
    let listed: Vec<&str> = list.lines().map(|line| line.strip_prefix("* ").unwrap()).collect();
    assert_eq!(listed, all());
}

#[test]
fn the_samples_that_the_readme_shows_are_in_its_own_format() {
    let (_, rest) = README.split_once("```json\n").unwrap();
    let (json, _) = rest.split_once("```").unwrap();
    // A member that the suite does not know is an error in it, and would be reported before all else.
    let registration =
        pollux_sdk::Registration { samples: json.to_owned().leak(), ..super::flaws::registration("") };
    let report = pollux_tests::conformance::check(&registration);
    assert!(report.failed.iter().all(|(check, _)| *check != "its samples are readable"), "{report}");
}
