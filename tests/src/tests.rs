//! Checks of the cases, and of guests/chaos's attacks against them.

use super::*;
use std::collections::BTreeSet;
use std::path::Path;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the repository")
}

#[test]
fn names_are_unique_and_systems_exist() {
    let mut names = BTreeSet::new();
    for case in cases() {
        assert!(names.insert(case.name), "{} twice", case.name);
        let path = match case.system.ends_with(".toml") {
            true => root().join(case.system),
            false => {
                let (board, name) =
                    case.system.split_once('/').unwrap_or(("qemu-virt", case.system));
                root().join(format!("boards/{board}/systems/{name}.toml"))
            }
        };
        assert!(path.is_file(), "{}: no {}", case.name, path.display());
    }
}

/// Each attack of guests/chaos has a case.
#[test]
fn every_attack_of_chaos_is_tried() {
    let source =
        std::fs::read_to_string(root().join("guests/chaos/src/main.rs")).expect("its source");
    let (_, table) = source.split_once("const ATTACKS").expect("its table");
    let (table, _) = table.split_once("];").expect("the table's end");
    // A row has two strings: its name and its description.
    let attacks: BTreeSet<_> = table.split('"').skip(1).step_by(4).collect();
    assert!(attacks.contains("read-outside") && attacks.len() > 20, "{attacks:?}");

    let read = |name| {
        std::fs::read_to_string(root().join("tests/systems").join(name)).expect("a manifest")
    };
    let manifests =
        ["storm.toml", "paths.toml", "crash.toml", "restart-silent.toml"].map(read).concat();
    let mut tried: BTreeSet<_> = cases()
        .iter()
        .filter_map(|case| case.command_line?.1.strip_prefix("attack=")?.split(' ').next())
        .map(String::from)
        .collect();
    tried.extend(
        manifests
            .split("attack=")
            .skip(1)
            .filter_map(|rest| rest.split(['"', ' ']).next())
            .map(String::from),
    );
    let tried: BTreeSet<_> = tried.iter().map(String::as_str).collect();
    assert_eq!(attacks, tried);
}
