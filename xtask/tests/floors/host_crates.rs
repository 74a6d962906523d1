// SPDX-License-Identifier: MIT OR Apache-2.0
//! The allowed dependencies between crates of the host side. The compiler refuses circles between
//! crates; this list has the edges.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// The dependencies of each crate below `xtask/` on crates of this project. The verifier knows only
/// the plan's types, the reader neither planner nor runner, boot media are only files, a board's
/// serial line knows no manifest, and no crate knows the command.
const EDGES: &[(&str, &[&str])] = &[
    ("bulkhead-flash", &[]),
    (
        "bulkhead-hil",
        &["bulkhead-console", "bulkhead-loader-protocol", "bulkhead-report", "bulkhead-runner"],
    ),
    ("bulkhead-manifest", &["bulkhead-channel", "bulkhead-plan"]),
    (
        "bulkhead-planner",
        &["bulkhead-abi", "bulkhead-channel", "bulkhead-manifest", "bulkhead-plan"],
    ),
    (
        "bulkhead-runner",
        &[
            "bulkhead-console",
            "bulkhead-manifest",
            "bulkhead-plan",
            "bulkhead-planner",
            "bulkhead-report",
        ],
    ),
    ("bulkhead-verify", &["bulkhead-plan"]),
    ("silicon-model", &[]),
    ("silicon-plugin", &["silicon-model"]),
    (
        "xtask",
        &[
            "bulkhead-abi",
            "bulkhead-channel",
            "bulkhead-console",
            "bulkhead-flash",
            "bulkhead-hil",
            "bulkhead-loader-protocol",
            "bulkhead-manifest",
            "bulkhead-plan",
            "bulkhead-planner",
            "bulkhead-record",
            "bulkhead-runner",
            "bulkhead-trap",
            "bulkhead-verify",
            "silicon-model",
            "system-tests",
        ],
    ),
];

type Edges = BTreeMap<String, BTreeSet<String>>;

/// Returns the dependencies of the workspace's crates on each other, from Cargo's metadata, for
/// crates whose manifest is in `folder`. Dependencies only of tests are left out.
fn edges(metadata: &Value, folder: &str) -> Edges {
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let packages = metadata["packages"].as_array().expect("packages");
    let inside = packages.iter().filter(|p| text(&p["manifest_path"]).starts_with(folder));
    let row = |package: &Value| {
        let needed = package["dependencies"].as_array().expect("dependencies").iter();
        // A crate of the workspace has a path.
        let own = needed.filter(|dep| dep["kind"] != "dev" && dep["path"].is_string());
        (text(&package["name"]), own.map(|dep| text(&dep["name"])).collect())
    };
    inside.map(row).collect()
}

/// Edges that exist and are not listed, and the reverse.
fn differing(found: &Edges, listed: &[(&str, &[&str])]) -> Vec<String> {
    let set = |edges: Vec<(&str, &str)>| {
        let text = |(from, to): (&str, &str)| (from.to_owned(), to.to_owned());
        edges.into_iter().map(text).collect::<BTreeSet<_>>()
    };
    let flat = found.iter().flat_map(|(from, to)| to.iter().map(move |to| (&**from, &**to)));
    let found_edges = set(flat.collect());
    let flat = listed.iter().flat_map(|&(from, to)| to.iter().map(move |&to| (from, to)));
    let listed_edges = set(flat.collect());
    let new = found_edges.difference(&listed_edges);
    let new = new.map(|(from, to)| format!("{from} depends on {to}, which EDGES does not allow"));
    let stale = listed_edges.difference(&found_edges);
    let stale = stale.map(|(from, to)| format!("{from} does not depend on {to} any more"));
    let unknown = found.keys().filter(|name| !listed.iter().any(|(from, _)| from == name));
    let unknown = unknown.map(|name| format!("EDGES lacks the crate {name}"));
    new.chain(stale).chain(unknown).collect()
}

#[test]
fn host_crates_know_only_what_is_listed() {
    let root = crate::repository();
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--locked", "--offline", "--no-deps"])
        .current_dir(root)
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let folder = root.join("xtask");
    let found = edges(&metadata, folder.to_str().expect("a path of text"));
    crate::assert_none(&differing(&found, EDGES));
    // No crate depends on the command.
    for (name, needs) in edges(&metadata, root.to_str().expect("a path of text")) {
        assert!(!needs.contains("xtask"), "{name} depends on the command");
    }
}

#[test]
fn a_wrong_edge_is_seen() {
    let dependency = |name: &str, kind: Value| {
        let path = format!("/r/xtask/{name}");
        serde_json::json!({ "name": name, "kind": kind, "path": path })
    };
    let package = |dependencies: Vec<Value>| {
        let package = serde_json::json!({
            "name": "verify", "manifest_path": "/r/xtask/verify/Cargo.toml",
            "dependencies": dependencies,
        });
        serde_json::json!({ "packages": [package] })
    };
    let listed: &[(&str, &[&str])] = &[("verify", &["plan"])];
    let plan = || dependency("plan", Value::Null);
    let seen = |dependencies| differing(&edges(&package(dependencies), "/r/xtask"), listed);
    assert_eq!(seen(vec![plan()]), [""; 0]);
    // Tests may depend on any crate.
    assert_eq!(seen(vec![plan(), dependency("planner", "dev".into())]), [""; 0]);
    for kind in [Value::Null, "build".into()] {
        assert_eq!(
            seen(vec![plan(), dependency("planner", kind)]),
            ["verify depends on planner, which EDGES does not allow"]
        );
    }
    assert_eq!(seen(vec![]), ["verify does not depend on plan any more"]);
    let other = differing(&edges(&package(vec![plan()]), "/r/xtask"), &[]);
    assert_eq!(
        other,
        ["verify depends on plan, which EDGES does not allow", "EDGES lacks the crate verify"]
    );
}
