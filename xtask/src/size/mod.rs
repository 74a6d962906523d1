//! `cargo xtask size`: the size of the code at EL2, in bytes and in source lines, compared with its
//! budgets: of the smallest EL2, and of what each option of a plan adds to it.

mod lines;
mod sections;
mod sources;
#[cfg(test)]
mod tests;

use anyhow::{Context, Result};
use plan::options;
use runner::build::{self, Builder};
use runner::ui;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{Display, Formatter};
use std::path::PathBuf;

/// A part of EL2 with its budgets.
struct Part {
    /// Its name: for an option, that of `plan::options`.
    name: &'static str,
    /// Most bytes of code and constants, for the GIC that has more.
    bytes: u64,
    /// Most source lines, counted over both GICs together.
    lines: u64,
}

/// The parts: EL2 without options, and what each option adds to that.
///
/// Both budgets of the smallest EL2 stay well below what Bao needs, 70,654 bytes and 10,090 lines.
/// It has boot with its machine check, both GICs with their fast paths, doorbells, channel ends as
/// PCI functions, the console, restart and watchdog. An option may add what it adds today and a
/// little more.
const PARTS: [Part; 3] = [
    Part { name: "minimal", bytes: BYTES, lines: LINES },
    Part { name: options::NAMES[0], bytes: 3_700, lines: 440 },
    Part { name: options::NAMES[1], bytes: 5_900, lines: 500 },
];
/// Most bytes of code and constants of the smallest EL2.
pub const BYTES: u64 = 68_000;
/// Most source lines of the smallest EL2.
pub const LINES: u64 = 9_940;
/// Most bytes and lines of EL2 with every option: what its parts may have.
pub const ALL: [u64; 2] = [
    PARTS[0].bytes + PARTS[1].bytes + PARTS[2].bytes,
    PARTS[0].lines + PARTS[1].lines + PARTS[2].lines,
];

/// The sources of a build: source lines by file.
type Sources = BTreeMap<PathBuf, u64>;

/// One build of EL2.
struct Build {
    bytes: u64,
    sources: Sources,
}

/// EL2 with the same options for each GIC, in the order of [`build::FLAVOURS`].
type Builds = Vec<Build>;

/// The size of the code at EL2.
pub struct Sizes {
    /// EL2 without options, and with each option only.
    parts: Vec<Builds>,
    /// EL2 with every option.
    all: Builds,
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

/// Builds the hypervisor (release) without options, with each, and with all, for each GIC, and
/// measures the builds.
///
/// # Errors
/// If one does not build, or its files cannot be read.
pub fn measure() -> Result<Sizes> {
    let mut builder = Builder::default();
    let mut with = |options| -> Result<Builds> {
        build::FLAVOURS.iter().map(|(gic, ..)| measured(&mut builder, *gic, options)).collect()
    };
    let single = (0..options::NAMES.len()).map(|bit| 1 << bit);
    let parts = std::iter::once(0).chain(single).map(&mut with).collect::<Result<_>>()?;
    Ok(Sizes { parts, all: with(options::ALL)? })
}

fn measured(builder: &mut Builder, gic: u32, options: u64) -> Result<Build> {
    let path = builder.hypervisor(gic, options)?;
    let read = |path: &PathBuf| {
        std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
    };
    let bytes = sections::read_only(&read(&path)?)?.iter().map(|(_, size)| size).sum();
    let counted = sources::of(&path)?.into_iter().map(|file| {
        let text = String::from_utf8_lossy(&read(&file)?).into_owned();
        Ok((file, lines::count(&text) as u64))
    });
    Ok(Build { bytes, sources: counted.collect::<Result<_>>()? })
}

/// Returns the bytes, of the GIC that has more, and the lines, of both GICs together.
fn total(builds: &[Build]) -> [u64; 2] {
    let bytes = builds.iter().map(|build| build.bytes).max();
    let all: Sources = builds.iter().flat_map(|build| build.sources.clone()).collect();
    [bytes.unwrap_or(0), all.values().sum()]
}

/// A row of a table: a part's name, its measure for each GIC and in total, its budget.
type Row = (&'static str, Vec<u64>, u64);

impl Sizes {
    /// Returns bytes and lines of EL2 without options.
    #[must_use]
    pub fn minimal(&self) -> [u64; 2] {
        self.parts.first().map_or([0; 2], |builds| total(builds))
    }

    /// Returns bytes and lines of EL2 with every option.
    #[must_use]
    pub fn all(&self) -> [u64; 2] {
        total(&self.all)
    }

    /// Whether all parts are within their budgets.
    #[must_use]
    pub fn within(&self) -> bool {
        let rows = [0, 1].into_iter().flat_map(|measure| self.rows(measure));
        rows.into_iter().all(|(_, sizes, budget)| sizes.last().is_some_and(|&sum| sum <= budget))
    }

    /// Returns the rows of bytes (0) or lines (1). An option has the difference that it makes to
    /// EL2 without options.
    fn rows(&self, measure: usize) -> Vec<Row> {
        let sizes = |builds: &Builds| -> Vec<u64> {
            let each = builds.iter().map(|build| total(std::slice::from_ref(build))[measure]);
            each.chain([total(builds)[measure]]).collect()
        };
        let budget = |part: &Part| [part.bytes, part.lines][measure];
        let minimal = self.parts.first().map_or_else(Vec::new, &sizes);
        let mut rows = vec![(PARTS[0].name, minimal.clone(), budget(&PARTS[0]))];
        for (part, builds) in PARTS.iter().zip(&self.parts).skip(1) {
            let with = sizes(builds);
            let added = with.iter().zip(&minimal).map(|(with, without)| with.abs_diff(*without));
            rows.push((part.name, added.collect(), budget(part)));
        }
        rows.push(("all", sizes(&self.all), ALL[measure]));
        rows
    }
}

impl Display for Sizes {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "bytes of code and constants at EL2 (release)")?;
        table(f, "larger", &self.rows(0))?;
        writeln!(f, "\nsource lines of EL2, without comments and tests")?;
        table(f, "both", &self.rows(1))?;
        writeln!(f, "\nof these lines, by crate:")?;
        let files: BTreeSet<_> = self.all.iter().flat_map(|build| &build.sources).collect();
        let mut crates = BTreeMap::<String, u64>::new();
        for (file, lines) in files {
            *crates.entry(sources::crate_of(file)).or_default() += lines;
        }
        let words: Vec<_> = crates.iter().map(|(name, lines)| format!("{name} {lines}")).collect();
        write!(f, "  {}", words.join(", "))
    }
}

fn table(f: &mut Formatter<'_>, sum: &str, rows: &[Row]) -> std::fmt::Result {
    let gics = build::FLAVOURS.map(|(gic, ..)| format!("GICv{gic}"));
    let [first, second] = gics;
    writeln!(f, "  {:<16}{first:>8}{second:>8}{sum:>8}{:>8}", "part", "budget")?;
    for (name, sizes, budget) in rows {
        let numbers: String = sizes.iter().map(|size| format!("{size:>8}")).collect();
        let is_within = sizes.last().is_some_and(|sum| sum <= budget);
        let word = if is_within { "within" } else { "OVER" };
        writeln!(f, "  {name:<16}{numbers}{budget:>8}  {word}")?;
    }
    Ok(())
}
