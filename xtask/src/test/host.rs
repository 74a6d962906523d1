//! Checks without QEMU: formatting, lints, the tests of every crate, all interleavings, the
//! budgets.

use super::card;
use super::skipped::Skipped;
use crate::{callgraph, fuzz, setup, size};
use anyhow::{Context, Result, ensure};
use plan::options;
use runner::build::{self, HYPERVISOR, TARGET};
use runner::ui;
use runner::workspace;
use serde::Deserialize;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// A check.
pub struct Check {
    /// Its name.
    pub name: &'static str,
    /// Runs the check; it takes its name, for progress. Returns how many tests passed in it; none
    /// if it does not consist of tests.
    pub run: fn(&str) -> Result<usize>,
}

/// All checks. Checks that build into the same folder are not adjacent in this list: if two of them
/// ran at the same time, cargo would let one wait for the other.
pub const CHECKS: &[Check] = &[
    Check {
        name: "format",
        run: |name| checked(name, workspace::cargo("fmt").args(["--all", "--check"])),
    },
    Check { name: "clippy/host", run: |name| clippy(name, &["--all-targets"]) },
    Check { name: "clippy/bare-metal", run: clippy_bare_metal },
    Check { name: "doc", run: documentation },
    Check { name: "deny", run: dependencies },
    Check { name: "host/interleavings", run: interleavings },
    Check { name: "host/crates", run: crates },
    Check { name: "host/miri", run: miri },
    Check { name: "size", run: budgets },
    Check { name: "flash/loop-device", run: |_| card::loop_device() },
    Check { name: "host/fuzz", run: fuzzing },
    Check { name: "callgraph", run: |_| callgraph::check().map(|()| 0) },
];

/// Guest crates with a library that runs on the host. Their binary is not a test and is not built
/// there.
const GUEST_LIBRARIES: &[&str] = &["sensor"];
/// Crates whose interleavings loom explores, and their test programs.
const LOOM: &[&str] = &[
    "bulkhead-channel",
    "bulkhead-console",
    "bulkhead-doorbell",
    "bulkhead-ivshmem",
    "bulkhead-psci",
    "bulkhead-vgic",
];
const LOOM_TESTS: &[&str] = &["--test", "loom", "--test", "races"];

fn packages<'a>(names: &'a [&'a str]) -> impl Iterator<Item = &'a str> {
    names.iter().flat_map(|name| ["--package", name])
}

/// Runs the tests of every crate that builds for the host, as a whole or only its library.
fn crates(name: &str) -> Result<usize> {
    let others = bare_metal(&workspace::root())?;
    let others = others.iter().filter(|name| !GUEST_LIBRARIES.contains(&name.as_str()));
    let excluded = others.flat_map(|name| ["--exclude", name]);
    tests(name, workspace::cargo("test").args(["--locked", "--workspace"]).args(excluded))
}

fn checked(name: &str, command: &mut Command) -> Result<usize> {
    ui::run(&format!("running {name}"), command).map(|_| 0)
}

fn clippy(name: &str, arguments: &[&str]) -> Result<usize> {
    checked(
        name,
        workspace::cargo("clippy").arg("--locked").args(arguments).args(["--", "-D", "warnings"]),
    )
}

/// Options of EL2 that are built without any other feature: none, and each one.
const EL2_OPTIONS: [&[&str]; 3] =
    [&[], &["--features", options::NAMES[0]], &["--features", options::NAMES[1]]];

/// Returns arguments for Cargo for the other builds of EL2: for another GIC; for each GIC without
/// its fast paths, with no option and with each one.
fn el2_builds() -> Vec<Vec<&'static str>> {
    let mut builds = Vec::new();
    for (_, feature, _) in build::FLAVOURS {
        let flavour: Vec<_> = feature.into_iter().flat_map(|name| ["--features", name]).collect();
        if feature.is_some() {
            builds.push(flavour.clone());
        }
        for options in EL2_OPTIONS {
            builds.push([&["--no-default-features"], options, &flavour[..]].concat());
        }
    }
    builds
}

fn clippy_bare_metal(name: &str) -> Result<usize> {
    let names = bare_metal(&workspace::root())?;
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let mut arguments = vec!["--release", "--target", TARGET];
    arguments.extend(packages(&names));
    let mut count = clippy(name, &arguments)?;
    for build in el2_builds() {
        let el2 = ["--package", HYPERVISOR];
        count += clippy(name, &[&arguments[..3], &el2[..], &build[..]].concat())?;
    }
    Ok(count)
}

/// Builds the documentation of every crate, including every build of EL2 and the guests. A warning
/// is a failure.
fn documentation(name: &str) -> Result<usize> {
    let doc = |arguments: &[&str]| {
        let mut command = workspace::cargo("doc");
        command.args(["--locked", "--no-deps"]).args(arguments);
        // The flags of .cargo/config.toml apply in addition to these.
        command.env("RUSTDOCFLAGS", "-D warnings");
        checked(name, &mut command)
    };
    doc(&[])?;
    let names = bare_metal(&workspace::root())?;
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let target = ["--release", "--target", TARGET];
    doc(&[&target[..], &packages(&names).collect::<Vec<_>>()].concat())?;
    for build in el2_builds() {
        let el2 = ["--package", HYPERVISOR];
        doc(&[&target[..], &el2[..], &build[..]].concat())?;
    }
    Ok(0)
}

/// Checks dependencies against deny.toml with cargo-deny. A separate test checks licences and
/// sources without it.
fn dependencies(name: &str) -> Result<usize> {
    let mut version = workspace::cargo("deny");
    let installed = version.arg("--version").output();
    if !installed.is_ok_and(|output| output.status.success()) {
        return Err(Skipped("cargo-deny is missing: cargo install --locked cargo-deny").into());
    }
    // The advisories are left out: they change from day to day, and come from the network.
    let what = ["--locked", "check", "licenses", "bans", "sources"];
    checked(name, workspace::cargo("deny").args(what))
}

/// Names of the workspace's crates that do not build for the host: its members that are not default
/// members.
pub fn bare_metal(root: &Path) -> Result<Vec<String>> {
    #[derive(Deserialize)]
    struct Manifest<T> {
        #[serde(alias = "workspace")]
        package: T,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "kebab-case")]
    struct Workspace {
        members: Vec<String>,
        default_members: Vec<String>,
    }
    #[derive(Deserialize)]
    struct Package {
        name: String,
    }
    let read = |path: &Path| {
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
    };
    let workspace: Workspace =
        toml::from_str::<Manifest<_>>(&read(&root.join("Cargo.toml"))?)?.package;
    let others =
        workspace.members.iter().filter(|member| !workspace.default_members.contains(member));
    let name = |member: &String| -> Result<String> {
        let manifest: Manifest<Package> =
            toml::from_str(&read(&root.join(member).join("Cargo.toml"))?)?;
        Ok(manifest.package.name)
    };
    others.map(name).collect()
}

fn interleavings(name: &str) -> Result<usize> {
    let mut command = workspace::cargo("test");
    command.arg("--locked").args(packages(LOOM)).args(LOOM_TESTS);
    // This is another configuration of the same crates: a separate folder keeps the others from
    // being built again.
    command
        .env("RUSTFLAGS", "--cfg loom")
        .arg("--target-dir")
        .arg(workspace::target_dir().join("loom"));
    tests(name, &mut command)
}

/// Crates whose tests Miri also runs: they share memory with a peer that may write it at any
/// moment.
const MIRI: &[&str] = &["bulkhead-channel", "bulkhead-doorbell"];

/// Runs tests under Miri, which finds undefined behaviour and data races. It comes only with
/// nightly toolchains, so this repository does not need it: where it is not installed, the check is
/// skipped. `cargo xtask setup` adds it to a nightly.
fn miri(name: &str) -> Result<usize> {
    setup::miri().map_err(Skipped)?;
    let mut command = Command::new("rustup");
    command
        .current_dir(workspace::root())
        .args(["run", "nightly", "cargo", "miri", "test", "--locked"])
        .args(packages(MIRI))
        // Interpreted code, and native code of another compiler, go to a separate folder.
        .arg("--target-dir")
        .arg(workspace::target_dir().join("miri"))
        // Property tests ask for the working folder.
        .env("MIRIFLAGS", "-Zmiri-disable-isolation")
        // An interpreter is some hundred times slower.
        .env("PROPTEST_CASES", "2")
        .env_remove("CARGO")
        .env_remove("RUSTUP_TOOLCHAIN");
    tests(name, &mut command)
}

/// A test without output for this time hangs: it fails, and the message names it. The longest
/// silence is loom's, 5 minutes on a busy host.
const SILENCE: Duration = Duration::from_secs(20 * 60);

fn tests(name: &str, command: &mut Command) -> Result<usize> {
    let output = ui::run_watched(&format!("running {name}"), command, SILENCE)?;
    let passed = count(&output);
    ensure!(passed > 0, "no test ran: {}", ui::shown(command));
    Ok(passed)
}

/// Sums up the lines `test result: ok. N passed; …`.
pub fn count(output: &[String]) -> usize {
    let results = output.iter().filter_map(|line| line.strip_prefix("test result: ok. "));
    results.filter_map(|rest| rest.split(' ').next()?.parse::<usize>().ok()).sum()
}

/// Seconds that each fuzz target gets here; `host/crates` always replays the seeds.
const FUZZING: u32 = 2;

fn fuzzing(_: &str) -> Result<usize> {
    if !fuzz::has_compiler() {
        return Err(Skipped(
            "seeds were replayed, but no new inputs were tried: there is no C++ compiler",
        )
        .into());
    }
    fuzz::short(FUZZING)
}

fn budgets(_: &str) -> Result<usize> {
    let sizes = size::measure()?;
    ensure!(sizes.within(), "\n{sizes}");
    Ok(0)
}
