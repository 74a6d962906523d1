// SPDX-License-Identifier: MIT OR Apache-2.0
//! Imports between files. A file of `hyp/el2` imports only from its own folder or from a floor
//! below it, so a folder's name says what its files may use. In EL2 and on the host, files do not
//! import each other in a circle. A folder's `mod.rs` and a crate's `lib.rs` are files like others:
//! the files below them do not use their definitions. Tests may import from any file.

mod host_crates;
mod imports;
mod planted;
mod rules;

use imports::Tree;
use std::path::Path;

/// The floors of `hyp/el2`, the highest first.
const FLOORS: &[&str] = &["vectors", "traps", "services", "boot", "drivers", "state", "arch"];

/// Symbols that a file uses only by their link name, from a floor above its own: the first
/// instructions of a core or of an entry share them with the code that they lead to.
const BY_LINK_NAME: &[rules::LinkName] = &[
    // The loop that moves the image must fit the image's first page, together with its callees.
    rules::LinkName { name: "clean_invalidate", user: "arch/cache.rs", owner: "boot/entry.rs" },
    rules::LinkName {
        name: "clean_invalidate_unmapped",
        user: "arch/cache.rs",
        owner: "boot/entry.rs",
    },
    // Only the addresses are used; the code does not read or call them.
    rules::LinkName { name: "_image_start", user: "state/plan_view.rs", owner: "boot/entry.rs" },
    rules::LinkName { name: "_plan_offset", user: "state/plan_view.rs", owner: "boot/entry.rs" },
    rules::LinkName { name: "vectors", user: "boot/entry.rs", owner: "vectors/table.rs" },
    // The code where a core goes once its MMU is on, and where it enters its guest.
    rules::LinkName { name: "run_core", user: "boot/entry.rs", owner: "traps/run.rs" },
    rules::LinkName { name: "enter_guest", user: "traps/irq.rs", owner: "vectors/save_restore.rs" },
    rules::LinkName { name: "guest_left", user: "traps/irq.rs", owner: "vectors/table.rs" },
];

/// The crates of the host side.
const HOST: &[&str] = &[
    "xtask",
    "xtask/flash",
    "xtask/manifest",
    "xtask/planner",
    "xtask/runner",
    "xtask/silicon/model",
    "xtask/silicon/plugin",
    "xtask/verify",
];

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is in the repository")
}

fn assert_none(failures: &[String]) {
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

#[test]
fn el2_imports_downward() {
    let tree = Tree::read(&repository().join("hyp/el2/src"));
    assert!(tree.files.len() > 30, "only {} files were found", tree.files.len());
    let mut failures = rules::upward(&tree, FLOORS);
    failures.extend(rules::circles(&tree));
    failures.extend(rules::link_names(&tree, FLOORS, BY_LINK_NAME));
    assert_none(&failures);
}

#[test]
fn host_files_import_in_no_circle() {
    let mut failures = Vec::new();
    let mut count = 0;
    for folder in HOST {
        let tree = Tree::read(&repository().join(folder).join("src"));
        count += tree.files.len();
        let found = rules::circles(&tree).into_iter().chain(rules::hidden(&tree));
        failures.extend(found.map(|failure| format!("{folder}: {failure}")));
    }
    assert!(count > 150, "only {count} files were found");
    assert_none(&failures);
}
