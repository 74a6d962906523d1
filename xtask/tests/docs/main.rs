// SPDX-License-Identifier: MIT OR Apache-2.0
//! Docs that cannot be wrong: everything that a page of this repository names (links, files, items
//! of Rust and C, call numbers, checks, commands with their options) must exist.

mod check;
mod commands;
mod glossary;
mod markdown;
mod planted;
mod repository;
mod rust_items;

use repository::Repository;
use std::collections::BTreeSet;
use std::path::Path;

#[test]
fn everything_that_pages_name_is_there() {
    let repository = Repository::read();
    let mut failures = Vec::new();
    let mut pages = 0;
    for path in repository.files(&["md"]) {
        let text = repository.text(path);
        failures.extend(check::page(&repository, path, &text));
        pages += 1;
    }
    let lines: Vec<_> = failures.iter().map(ToString::to_string).collect();
    assert!(lines.is_empty(), "\n{}", lines.join("\n"));
    assert!(pages > 15, "only {pages} pages were found");
}

/// Comments of sources and settings also name pages.
#[test]
fn pages_that_sources_name_are_there() {
    let repository = Repository::read();
    let mut failures = Vec::new();
    let sources = repository.files(&["rs", "toml", "ld", "h"]);
    for path in sources.filter(|path| !path.ends_with("docs/planted.rs")) {
        let text = repository.text(path);
        failures.extend(check::pages_named_by(&repository, path, &text));
    }
    let lines: Vec<_> = failures.iter().map(ToString::to_string).collect();
    assert!(lines.is_empty(), "\n{}", lines.join("\n"));
}

/// The first column of a table on the page, as sets of the words in backticks.
fn first_column(page: &str, head: &str) -> BTreeSet<String> {
    let repository = Repository::read();
    let page = markdown::read(&repository.text(Path::new(page)));
    let cells = page.table(head).into_iter().map(|row| row.what[0].clone());
    let words = cells.flat_map(|cell| {
        let words = cell.split('`').skip(1).step_by(2);
        words.map(str::to_owned).collect::<Vec<_>>()
    });
    words.collect()
}

#[test]
fn the_concepts_name_every_state_and_reason() {
    let words = |names: &[&str]| names.iter().map(|&word| word.to_owned()).collect();
    let states: BTreeSet<String> = words(&abi::state::NAMES);
    assert_eq!(first_column("docs/concepts.md", "state"), states);
    let reasons: BTreeSet<String> = words(&abi::Reason::NAMES);
    assert_eq!(first_column("docs/concepts.md", "reason"), reasons);
    assert!(first_column("docs/concepts.md", "no such head").is_empty());
}

/// docs/guest-abi.md names every call's number and every property of the device tree.
#[test]
fn the_guest_abi_leaves_nothing_out() {
    let repository = Repository::read();
    let text = repository.text(Path::new("docs/guest-abi.md"));
    let spans: BTreeSet<_> = markdown::read(&text).spans.into_iter().map(|s| s.what).collect();
    let known = repository.numbers.iter().filter(|n| !n.starts_with("0xc4"));
    let all = known.chain(&repository.tree_names);
    let left: Vec<_> = all.filter(|name| !spans.contains(*name)).collect();
    assert!(left.is_empty(), "docs/guest-abi.md lacks {left:?}");
    assert!(repository.numbers.len() > 20 && repository.tree_names.len() > 7);
}

/// The documentation of each pure crate shows its use, as a test that runs.
#[test]
fn every_pure_crate_has_an_example() {
    let repository = Repository::read();
    let crates = repository.files(&["rs"]).filter(|path| {
        let words: Vec<_> = path.iter().collect();
        words.len() == 4 && words[0] == "hyp" && words[2] == "src" && words[3] == "lib.rs"
    });
    let mut count = 0;
    for path in crates {
        let text = repository.text(path);
        let header = text.lines().take_while(|line| line.starts_with("//"));
        let has_example = header.into_iter().any(|line| line == "//! ```");
        assert!(has_example, "{}: its header has no example", path.display());
        count += 1;
    }
    assert!(count >= 8, "{count} crates");
}
