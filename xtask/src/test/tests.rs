//! Tests of how results are read, counted and reported.

use super::skipped::Skipped;
use super::*;
use std::path::Path;
use std::time::Duration;

#[test]
fn results_are_summed_up() {
    let output = [
        "running 3 tests",
        "test result: ok. 12 passed; 0 failed; 0 ignored",
        "test result: ok. 0 passed;",
        "test result: ok. 3 passed; 0 failed",
    ];
    assert_eq!(host::count(&output.map(String::from)), 15);
    assert_eq!(host::count(&[]), 0);
}

#[test]
fn the_last_line_says_whether_all_passed() {
    let mut tally = Tally::default();
    let second = Duration::from_secs(1);
    assert_eq!(tally.record("format", second, Ok(0)), "ok format (1.0 s)");
    assert_eq!(tally.record("host", second, Ok(12)), "ok host: 12 tests (1.0 s)");
    assert_eq!(tally.record("one", second, Ok(1)), "ok one (1.0 s)");
    assert_eq!(
        tally.result(Duration::from_secs(9)),
        "test result: ok. 13 passed; 0 failed; 0 skipped; 9 s"
    );
    let skipped = Skipped("it is not there").into();
    assert_eq!(tally.record("three", second, Err(skipped)), "skipped three: it is not there");
    let broken = anyhow::anyhow!("broken").context("its log");
    assert_eq!(
        tally.record("two", second, Err(broken)),
        "FAILED two (1.0 s): broken
  its log"
    );
    assert_eq!(
        tally.result(Duration::from_secs(9)),
        "failed: two\ntest result: FAILED. 13 passed; 1 failed; 1 skipped; 9 s"
    );
    assert_eq!(tally.checks, 5);
}

#[test]
fn bare_metal_crates_are_those_the_host_does_not_build() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the repository");
    let names = host::bare_metal(root).expect("the workspace");
    assert!(
        names.iter().any(|name| name == "bulkhead-el2")
            && names.iter().any(|name| name == "control"),
        "{names:?}"
    );
    assert!(!names.iter().any(|name| name == "xtask" || name == "bulkhead-plan"), "{names:?}");
}
