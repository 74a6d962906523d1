//! The committed figures of EL2's operations: no figure may become worse.

use super::figure::{self, Figure, PER_CENT, Stored};
use super::report;
use super::task;
use anyhow::{Context, Result, ensure};
use runner::workspace;
use std::path::PathBuf;

/// The file of the baseline, from the repository's root.
const FILE: &str = "tests/bench/baseline.json";
/// The page with the measured tables, and the words around them there.
const PAGE: &str = "docs/performance.md";
const BEGIN: &str = "<!-- what follows is written by `cargo xtask bench --bless` -->\n";
const END: &str = "<!-- end -->\n";
/// The share by which an instruction count may rise.
const ALLOWED: f64 = 0.03;

fn file() -> PathBuf {
    workspace::root().join(FILE)
}

/// Runs the operations and compares them with the baseline; returns how many figures were compared.
///
/// # Errors
/// If a figure rose by more than 3 %, a change is over its budget, or one is missing.
pub fn check() -> Result<usize> {
    let old = figure::load(&file())?;
    let new = task::run(&task::OPERATIONS, 1)?;
    let risen = risen(&old, &new);
    ensure!(
        risen.is_empty(),
        "{FILE}: more than 3 % above, or a change over its budget\n  {}\n  if this is \
         intended: cargo xtask bench --bless",
        risen.join("\n  ")
    );
    Ok(new.len())
}

/// Describes figures that rose too much, and stored ones that were not measured. Of a change in per
/// cent its budget decides.
pub fn risen(old: &[Stored], new: &[Figure]) -> Vec<String> {
    let check = |stored: &Stored| {
        let found = new.iter().find(|figure| figure.name == stored.name);
        let Some(figure) = found else {
            return Some(format!("{}: not measured any more", stored.name));
        };
        let has_risen = match figure.unit {
            PER_CENT => !figure.held(),
            _ => figure.value > stored.value * (1.0 + ALLOWED),
        };
        has_risen.then(|| {
            let change = figure::Change::Moved(stored.value, figure.value);
            format!("{}: {change}", stored.name)
        })
    };
    old.iter().filter_map(check).collect()
}

/// Makes the figures of EL2's operations the baseline, and writes the tables into the page.
///
/// # Errors
/// If a file cannot be read or written, or the page has no place for them.
pub fn bless(figures: &[Figure]) -> Result<()> {
    let is_operation =
        |figure: &&Figure| figure.name.starts_with("el2.") || figure.name.starts_with("gicv2");
    let operations: Vec<_> = figures.iter().filter(is_operation).cloned().collect();
    workspace::write(&file(), figure::to_json(&operations).as_bytes())?;
    let page = workspace::root().join(PAGE);
    let text = std::fs::read_to_string(&page)
        .with_context(|| format!("cannot read {}", page.display()))?;
    let parts =
        text.split_once(BEGIN).and_then(|(before, rest)| Some((before, rest.split_once(END)?.1)));
    let (before, after) = parts.with_context(|| {
        format!("{PAGE} has no line `{}` with `{}` after it", BEGIN.trim(), END.trim())
    })?;
    let tables = report::tables(figures);
    let text = format!("{before}{BEGIN}\n{tables}\n{END}{after}");
    workspace::write(&page, text.as_bytes())
}
