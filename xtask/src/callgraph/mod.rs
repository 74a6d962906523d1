// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask callgraph`: the call graph of the shipped EL2. It does not recur or panic, branches
//! indirectly only where a list says so, no stack overflows, and no exclusive access runs before
//! the MMU is on.
//!
//! The check reads only the shipped executable, so it covers compiler, linker and hand-written
//! assembly. It walks every path of every function with its stack depth (`walk.rs`), makes a graph
//! from the calls (`graph.rs`), and `checks.rs` compares the graph with `lists.rs`. Exceptions that
//! EL2 itself causes are not calls: they start the stack anew, or are added to its depth.

mod checks;
mod code;
mod decode;
mod graph;
mod lists;
mod report;
mod silicon;
#[cfg(test)]
mod tests;
mod walk;

use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::trace::Symbols;
use checks::{Entries, Lists, SLOTS, look};
use code::Code;
use plan::options;
use report::Report;
use runner::build::{self, Builder};
use runner::ui;

/// Bytes of the vector table's slots (DDI 0487, D1.3.1).
const SLOT: u32 = 128;
/// Entries of firmware, and the one where an exception return goes instead of the guest, except the
/// vectors.
const STARTS: &[&str] = &["_image_start", "secondary_start", "guest_left"];
/// How many of [`STARTS`] have the MMU off.
const UNMAPPED: usize = 2;
/// The first function with the MMU on.
const MAPPED: &str = "run_core";

/// `cargo xtask callgraph`: prints the figures of each build; returns whether the stacks are large
/// enough.
///
/// # Errors
/// As [`check`].
pub fn command() -> Result<bool> {
    let mut fit = true;
    for (gic, options) in builds() {
        let report = measure(gic, options)?;
        ui::say(format_args!("call graph of {}\n{report}", name(gic, options)));
        fit &= report.fits();
    }
    Ok(fit)
}

/// Fails if a stack of EL2 may overflow, in any of these builds.
///
/// # Errors
/// If one may, or if EL2 recurs, panics, or branches indirectly where no list says so.
pub fn check() -> Result<()> {
    for (gic, options) in builds() {
        let report = measure(gic, options)?;
        ensure!(report.fits(), "{}:\n{report}", name(gic, options));
    }
    Ok(())
}

/// Returns the builds that are checked: for each GIC with every option, and with none.
fn builds() -> impl Iterator<Item = (u32, u64)> {
    build::FLAVOURS.into_iter().flat_map(|(gic, ..)| [(gic, options::ALL), (gic, 0)])
}

fn name(gic: u32, options: u64) -> String {
    let words = if options == 0 { "no option" } else { "every option" };
    format!("EL2 (release, GICv{gic}, {words})")
}

/// Builds the hypervisor (release) for a GIC of this version, with these options, and checks it.
fn measure(gic: u32, options: u64) -> Result<Report> {
    let path = Builder::default().hypervisor(gic, options)?;
    read(&path, gic).with_context(|| name(gic, options))
}

fn read(path: &Path, gic: u32) -> Result<Report> {
    let elf = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let code = Code::read(&elf)?;
    let lines = Symbols::read(path)?;
    let indirect = lists::INDIRECT.iter().filter(|entry| entry.gic.contains(&gic));
    let lists = Lists { indirect: indirect.collect(), open: lists::OPEN, panics: lists::PANICS };
    let starts = STARTS.iter().map(|name| code.find(name));
    let vectors = code.find("vectors")?;
    let entries = Entries {
        starts: starts.collect::<Result<_>>()?,
        unmapped: UNMAPPED,
        mapped: Some(code.find(MAPPED)?),
        vectors: (0..SLOTS).map(|slot| vectors + SLOT * slot).collect(),
    };
    look(&code, &lists, &entries, &|at| lines.line(at))
}
