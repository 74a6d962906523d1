//! `cargo xtask size`: the size of the code at EL2, in bytes and in source lines, compared with its
//! budgets.

mod lines;
mod sections;
#[cfg(test)]
mod tests;

use anyhow::{Context, Result, ensure};
use runner::build::{self, Builder, HYPERVISOR, TARGET};
use runner::ui;
use runner::workspace;
use std::fmt::{Display, Formatter};
use std::path::{Path, PathBuf};

/// Most bytes of code and constants at EL2.
///
/// The design wants 49,152 without options. The demands of real software on console, boot and
/// interrupt controllers took it beyond that, to 56,192; restart and watchdog added about 4,400,
/// crash records 3,680, the board's writes and ends 1,400, and supervision with the monitor 6,156.
pub const BYTES: u64 = 73_728;
/// Most source lines of the first-party crates linked into EL2, counted over both GICs together.
///
/// The design wants 7,000. Corrections for real software took it to 8,000, of which 163 are a table
/// for tests; restart and watchdog added 560, crash records 590, the board's writes and ends 170,
/// supervision with the monitor 668, fast paths for GICv2 80, and the lookup of emulated devices,
/// with its checked conversion, 30.
pub const LINES: u64 = 10_170;

/// The size of the code at EL2.
pub struct Sizes {
    /// Sections of code and constants by GIC version, with the bytes of each.
    flavours: Vec<(u32, Vec<(String, u64)>)>,
    /// First-party crates, with the source lines of each.
    crates: Vec<(String, u64)>,
}

/// `cargo xtask size`: prints both figures with their parts; returns whether they are within the
/// budgets.
///
/// # Errors
/// As [`measure`].
pub fn command() -> Result<bool> {
    let sizes = measure()?;
    ui::say(&sizes);
    Ok(sizes.within())
}

/// Builds the hypervisor (release) and measures it.
///
/// # Errors
/// If it does not build, or Cargo does not list its crates.
pub fn measure() -> Result<Sizes> {
    let mut flavours = Vec::new();
    for (gic, ..) in build::FLAVOURS {
        let elf = Builder::default().hypervisor(gic)?;
        let elf = std::fs::read(&elf).with_context(|| format!("cannot read {}", elf.display()))?;
        flavours.push((gic, sections::read_only(&elf)?));
    }
    let mut counted = Vec::new();
    for (name, folder) in crates()? {
        counted.push((name, lines::count_folder(&folder.join("src"))? as u64));
    }
    Ok(Sizes { flavours, crates: counted })
}

impl Sizes {
    /// Returns the bytes of code and constants, of the larger flavour.
    pub fn bytes(&self) -> u64 {
        let sums = self.flavours.iter().map(|(_, sections)| sum(sections));
        sums.max().unwrap_or(0)
    }

    /// Returns the source lines.
    pub fn lines(&self) -> u64 {
        sum(&self.crates)
    }

    /// Whether both sums are within their budgets.
    pub fn within(&self) -> bool {
        self.bytes() <= BYTES && self.lines() <= LINES
    }
}

fn sum(rows: &[(String, u64)]) -> u64 {
    rows.iter().map(|(_, size)| size).sum()
}

impl Display for Sizes {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        for (gic, sections) in &self.flavours {
            writeln!(f, "bytes of code and constants at EL2 (release, GICv{gic})")?;
            table(f, sections, BYTES)?;
            writeln!(f, "\n")?;
        }
        writeln!(
            f,
            "source lines of the first-party crates linked into EL2, without comments and tests"
        )?;
        table(f, &self.crates, LINES)
    }
}

fn table(f: &mut Formatter<'_>, rows: &[(String, u64)], budget: u64) -> std::fmt::Result {
    for (name, size) in rows {
        writeln!(f, "  {name:<24} {size:>7}")?;
    }
    let word = if sum(rows) <= budget { "within" } else { "OVER" };
    write!(f, "  {:<24} {:>7}  {word} the budget of {budget}", "total", sum(rows))
}

/// Returns the first-party crates linked into EL2, with their folders: those that Cargo takes from
/// a path.
fn crates() -> Result<Vec<(String, PathBuf)>> {
    let mut command = workspace::cargo("tree");
    command.args(["--locked", "--package", HYPERVISOR, "--target", TARGET, "--edges", "normal"]);
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

/// Reads lines `name vVERSION (/path)`; crates from a registry have no path, procedural macros run
/// on the host.
fn first_party(tree: &str) -> Vec<(String, PathBuf)> {
    let mut crates: Vec<_> = tree
        .lines()
        .filter_map(|line| {
            let (name, rest) = line.split_once(' ')?;
            let path = rest.split_once(" (")?.1.strip_suffix(')')?;
            Path::new(path).is_absolute().then(|| (name.to_string(), PathBuf::from(path)))
        })
        .collect();
    crates.sort();
    crates.dedup();
    crates
}
