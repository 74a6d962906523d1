//! `cargo xtask size`: what runs at EL2, in bytes and in source lines, against its budgets.

mod lines;
mod sections;
#[cfg(test)]
mod tests;

use crate::build::{self, Builder, HYPERVISOR, TARGET};
use crate::ui;
use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};

/// Most bytes of code and constants at EL2.
pub const BYTES: u64 = 40_960;
/// Most source lines of the first-party crates linked into EL2.
pub const LINES: usize = 5_000;

/// Prints both figures with what they are made of; answers whether they keep to the budgets.
///
/// # Errors
/// If the hypervisor does not build, or Cargo does not say what it is made of.
pub fn command() -> Result<bool> {
    let elf = Builder::default().program(HYPERVISOR)?;
    let elf = std::fs::read(&elf).with_context(|| format!("cannot read {}", elf.display()))?;
    let sections = sections::read_only(&elf)?;
    let bytes: u64 = sections.iter().map(|(_, size)| size).sum();
    ui::say("bytes of code and constants at EL2 (release)");
    for (name, size) in &sections {
        ui::say(format_args!("  {name:<24} {size:>7}"));
    }
    let small = verdict(bytes, BYTES);

    ui::say("\nsource lines of the first-party crates linked into EL2, comments and tests apart");
    let mut total = 0;
    for (name, folder) in crates()? {
        let lines = lines::count_folder(&folder.join("src"))?;
        ui::say(format_args!("  {name:<24} {lines:>7}"));
        total += lines;
    }
    let short = verdict(total as u64, LINES as u64);
    Ok(small && short)
}

/// Prints a sum and its budget; answers whether it keeps to it.
fn verdict(sum: u64, budget: u64) -> bool {
    let well = sum <= budget;
    let word = if well { "within" } else { "OVER" };
    ui::say(format_args!(
        "  {:<24} {sum:>7}  {word} the budget of {budget}",
        "total"
    ));
    well
}

/// The first-party crates linked into EL2, with their folders: those that Cargo takes from a path.
fn crates() -> Result<Vec<(String, PathBuf)>> {
    let mut command = build::cargo("tree");
    command.args([
        "--locked",
        "--package",
        HYPERVISOR,
        "--target",
        TARGET,
        "--edges",
        "normal",
    ]);
    command.args(["--prefix", "none", "--no-dedupe", "--format", "{p}"]);
    let output = command.output().context("cannot start cargo")?;
    ensure!(
        output.status.success(),
        "cargo tree failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let crates = first_party(&String::from_utf8_lossy(&output.stdout));
    ensure!(
        crates.iter().any(|(name, _)| name == HYPERVISOR),
        "cargo tree does not list {HYPERVISOR}"
    );
    Ok(crates)
}

/// Reads lines `name vVERSION (/path)`; crates from a registry have no path, procedural macros run on the host.
fn first_party(tree: &str) -> Vec<(String, PathBuf)> {
    let mut crates: Vec<_> = tree
        .lines()
        .filter_map(|line| {
            let (name, rest) = line.split_once(' ')?;
            let path = rest.split_once(" (")?.1.strip_suffix(')')?;
            Path::new(path)
                .is_absolute()
                .then(|| (name.to_string(), PathBuf::from(path)))
        })
        .collect();
    crates.sort();
    crates.dedup();
    crates
}
