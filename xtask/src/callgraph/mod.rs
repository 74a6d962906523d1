// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask callgraph`: who calls whom in the shipped EL2. Nothing recurs or panics, nothing
//! branches indirectly except what is listed, and no stack overflows.
//!
//! It reads the shipped executable and nothing else: compiler, linker and hand-written assembly are
//! all covered. Every path of every function is walked with its stack depth (`walk.rs`), calls make
//! a graph (`graph.rs`), and `checks.rs` holds that against `lists.rs`. Exceptions that EL2 itself
//! causes are not calls: they start the stack anew, or are added to its depth.

mod checks;
mod code;
mod decode;
mod graph;
mod lists;
#[cfg(test)]
mod tests;
mod walk;

use std::fmt::{Display, Formatter};
use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::build::{self, Builder};
use crate::trace::Symbols;
use crate::ui;
use checks::{Entries, Lists, look};
use code::Code;

/// Bytes of a core's own stack: its private region without the state on top and the unmapped page
/// below.
const CORE_STACK: u64 = plan::PRIVATE_SIZE - plan::PRIVATE_STATE - plan::PAGE;
/// Bytes of the vector table's slots (DDI 0487, D1.3.1).
const SLOT: u32 = 128;
/// How many slots there are; the first half is for exceptions of EL2 itself.
const SLOTS: u32 = 16;
/// Where firmware enters, the vectors apart.
const STARTS: &[&str] = &["_image_start", "secondary_start"];

/// What a stack is compared with.
#[derive(Clone, Debug)]
struct Stack {
    name: &'static str,
    limit: u64,
    /// The deepest way, a fault of EL2's own on top of it included.
    bytes: u64,
    /// Of these the fault's.
    fault: u64,
    /// The way.
    path: Vec<(String, i32)>,
}

/// One flavour's call graph.
struct Report {
    functions: usize,
    calls: usize,
    indirect: usize,
    /// What the lists let pass, a line each.
    listed: Vec<String>,
    stacks: Vec<Stack>,
}

/// `cargo xtask callgraph`: prints both flavours' figures; answers whether the stacks suffice.
///
/// # Errors
/// As [`check`].
pub fn command() -> Result<bool> {
    let mut fit = true;
    for (gic, ..) in build::FLAVOURS {
        let report = measure(gic)?;
        ui::say(format_args!("call graph of EL2 (release, GICv{gic})\n{report}"));
        fit &= report.fits();
    }
    Ok(fit)
}

/// Fails if a stack of EL2's may overflow, for either flavour.
///
/// # Errors
/// If one may, or if EL2 recurs, panics, or branches indirectly where no list says so.
pub fn check() -> Result<()> {
    for (gic, ..) in build::FLAVOURS {
        let report = measure(gic)?;
        ensure!(report.fits(), "EL2 for GICv{gic}:\n{report}");
    }
    Ok(())
}

/// Builds the hypervisor (release) for a GIC of this version and looks at it.
fn measure(gic: u32) -> Result<Report> {
    let path = Builder::default().hypervisor(gic)?;
    report(&path, gic).with_context(|| format!("EL2 for GICv{gic}"))
}

fn report(path: &Path, gic: u32) -> Result<Report> {
    let elf = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let code = Code::read(&elf)?;
    let lines = Symbols::read(path)?;
    let indirect = lists::INDIRECT.iter().filter(|entry| entry.gic.contains(&gic));
    let lists = Lists { indirect: indirect.collect(), open: lists::OPEN, panics: lists::PANICS };
    let starts = STARTS.iter().map(|name| code.find(name));
    let vectors = code.find("vectors")?;
    let entries = Entries {
        starts: starts.collect::<Result<_>>()?,
        vectors: (0..SLOTS).map(|slot| vectors + SLOT * slot).collect(),
    };
    look(&code, &lists, &entries, &|at| lines.line(at))
}

impl Report {
    /// Whether each stack has room for the deepest way.
    fn fits(&self) -> bool {
        self.stacks.iter().all(|stack| stack.bytes <= stack.limit)
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        let Self { functions, calls, indirect, .. } = self;
        writeln!(
            f,
            "  {functions} functions, {calls} calls, {indirect} indirect branches; listed:"
        )?;
        for entry in &self.listed {
            writeln!(f, "    {entry}")?;
        }
        for stack in &self.stacks {
            let Stack { name, limit, bytes, fault, path } = stack;
            let word = if bytes <= limit { "of" } else { "OVER the" };
            writeln!(
                f,
                "  {name} stack: {bytes} {word} {limit} bytes, {fault} of them for a fault of EL2"
            )?;
            let path: Vec<_> = path.iter().map(|(name, bytes)| format!("{name} {bytes}")).collect();
            writeln!(f, "    {}", path.join(" > "))?;
        }
        Ok(())
    }
}
