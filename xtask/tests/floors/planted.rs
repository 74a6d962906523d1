// SPDX-License-Identifier: MIT OR Apache-2.0
//! Violations that the rules must see.

use crate::imports::Tree;
use crate::rules::{LinkName, circles, link_names, upward};
use std::path::PathBuf;

const FLOORS: &[&str] = &["top", "middle", "ground"];

fn tree(files: &[(&str, &str)]) -> Tree {
    Tree::of(&files.iter().map(|&(path, text)| (PathBuf::from(path), text.to_owned())).collect())
}

/// Returns a tree with these texts of the ground floor and of the middle one; the top one imports
/// both.
fn planted(ground: &str, middle: &str) -> Tree {
    tree(&[
        ("main.rs", "mod ground; mod middle; mod top;"),
        ("top/mod.rs", "pub mod part; use crate::middle::f; use crate::ground;"),
        ("top/part.rs", "pub fn g() {} pub struct S;"),
        ("middle/mod.rs", middle),
        ("ground/mod.rs", ground),
    ])
}

#[test]
fn a_house_without_fault_passes() {
    let tree = planted("pub fn h() {}", "use crate::ground::h; pub fn f() { h() }");
    assert_eq!(upward(&tree, FLOORS), [""; 0]);
    assert_eq!(circles(&tree), [""; 0]);
}

#[test]
fn every_way_of_importing_upward_is_seen() {
    let ways = [
        "use crate::top::part::g;",
        "use crate::{top::part::{self, S}};",
        "use super::top;",
        "pub use crate::top::part::S;",
        "fn x() { crate::top::part::g() }",
        "fn x(s: &crate::top::part::S) {}",
        "fn x() -> super::top::part::S { todo!() }",
        "macro_rules! m { () => { $crate::top::part::g() } }",
        "global_asm!(\"bl {g}\", g = sym crate::top::part::g);",
    ];
    for way in ways {
        let failures = upward(&planted(way, ""), FLOORS);
        assert!(
            failures.iter().any(|failure| failure.starts_with("ground/mod.rs: imports top/")),
            "{way}: {failures:?}"
        );
    }
}

#[test]
fn a_file_by_another_path_is_seen() {
    let failures = upward(&planted("#[path = \"../top/part.rs\"] mod part;", ""), FLOORS);
    assert_eq!(failures, ["ground/mod.rs: `#[path]` hides where a file is"]);
}

#[test]
fn a_circle_in_a_folder_is_seen() {
    let tree = tree(&[
        ("main.rs", "mod top;"),
        ("top/mod.rs", "mod a; mod b; pub fn x() { a::f() }"),
        ("top/a.rs", "use super::b::g; pub fn f() {}"),
        ("top/b.rs", "pub fn g() { super::x() }"),
    ]);
    assert_eq!(upward(&tree, FLOORS), [""; 0]);
    assert_eq!(circles(&tree), ["a circle: top/a.rs -> top/b.rs -> top/mod.rs -> top/a.rs"]);
}

/// A tree like the host's: a library with its command, folders, and a file that the two share.
#[test]
fn circles_of_a_library_are_seen() {
    let library = |shared: &str, report: &str| {
        tree(&[
            ("lib.rs", "mod reader; mod report; mod shared; pub use reader::read; pub fn all() {}"),
            ("main.rs", "use library::read; fn main() { library::all() }"),
            ("reader/mod.rs", "mod part; use crate::report::Finding; pub fn read() { part::f() }"),
            ("reader/part.rs", "use crate::shared::count; pub fn f() {}"),
            ("report.rs", report),
            ("shared.rs", shared),
        ])
    };
    let finding = "use crate::shared::count; pub struct Finding;";
    let count = "pub fn count() {}";
    assert_eq!(circles(&library(count, finding)), [""; 0]);
    for (shared, report, circle) in [
        // A circle between files of different folders.
        (count, "fn f() { crate::reader::part::f() }", ""),
        (count, "use crate::reader::read;", "reader/mod.rs -> report.rs -> reader/mod.rs"),
        ("use crate::reader::part::f;", finding, "reader/part.rs -> shared.rs -> reader/part.rs"),
        // A circle with the root, and with its re-exports.
        (
            "use crate::all;",
            "pub struct Finding;",
            "lib.rs -> reader/mod.rs -> reader/part.rs -> shared.rs -> lib.rs",
        ),
        (count, "use crate::read;", "lib.rs -> reader/mod.rs -> report.rs -> lib.rs"),
    ] {
        let expected: Vec<_> =
            (!circle.is_empty()).then(|| format!("a circle: {circle}")).into_iter().collect();
        assert_eq!(circles(&library(shared, report)), expected, "{shared} {report}");
    }
}

/// A circle of a parent and its child, which Rust allows.
#[test]
fn a_folder_that_its_own_file_uses_is_a_circle() {
    let folder = |child: &str| {
        tree(&[
            ("lib.rs", "mod folder;"),
            ("folder/mod.rs", "mod child; use child::f; pub fn shared() {}"),
            ("folder/child.rs", child),
        ])
    };
    assert_eq!(circles(&folder("pub fn f() {}")), [""; 0]);
    for child in ["use super::shared;", "pub fn f() { super::shared() }", "use crate::folder;"] {
        let failures = circles(&folder(&format!("{child} pub fn g() {{}}")));
        let expected = "a circle: folder/child.rs -> folder/mod.rs -> folder/child.rs";
        assert_eq!(failures, [expected], "{child}");
    }
}

#[test]
fn link_names_from_above_are_listed() {
    let above = "global_asm!(\".global entry\\nentry: ret\");";
    let calls = ["unsafe extern \"C\" { fn entry(); }", "global_asm!(\"bl entry\");"];
    for call in calls {
        let tree = planted(call, above);
        let failures = link_names(&tree, FLOORS, &[]);
        assert_eq!(
            failures,
            ["ground/mod.rs: uses `entry` of middle/mod.rs by its link name, from a floor above"]
        );
        let listed = LinkName { name: "entry", user: "ground/mod.rs", owner: "middle/mod.rs" };
        assert_eq!(link_names(&tree, FLOORS, &[listed]), [""; 0]);
    }
    let exported = "#[unsafe(no_mangle)] extern \"C\" fn entry() {}";
    assert_eq!(link_names(&planted(calls[0], exported), FLOORS, &[]).len(), 1);
    let stale = LinkName { name: "gone", user: "ground/mod.rs", owner: "middle/mod.rs" };
    assert_eq!(
        link_names(&planted("", above), FLOORS, &[stale]),
        ["ground/mod.rs does not use `gone` of middle/mod.rs any more"]
    );
}
