// SPDX-License-Identifier: MIT OR Apache-2.0
//! The checks of one program: indirect branches, recursion, panics, stacks.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, bail, ensure};

use super::code::Code;
use super::decode::{Instruction, LINK, decode};
use super::graph::{self, Functions, Need, Needs};
use super::lists::{Branch, Does, Indirect, Open};
use super::report::{Report, Stack};
use super::silicon;
use super::walk::{Base, Edge, Function, Program};

/// Bytes of a core's own stack: its private region without the per-core state above and the
/// unmapped page below.
pub const CORE_STACK: u64 = plan::PRIVATE_SIZE - plan::PRIVATE_STATE - plan::PAGE;
/// Number of vector slots; the first half is for exceptions of EL2 itself.
pub const SLOTS: u32 = 16;

/// Names the source line of an instruction.
type Lines<'a> = &'a dyn Fn(u32) -> Option<String>;

/// Prefix of the names of functions that panic.
const PANICKING: &str = "core::panicking::";

/// The exceptions that the checks allow.
pub struct Lists<'a> {
    /// Allowed indirect branches.
    pub indirect: Vec<&'a Indirect>,
    /// Allowed recursion.
    pub open: &'a [Open],
    /// Allowed calls of a panic.
    pub panics: &'a [Open],
}

impl Lists<'_> {
    /// Their entries, one line each.
    fn words(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for entry in &self.indirect {
            let Indirect { symbol, branch, count, why, .. } = entry;
            lines.push(format!("{count} {branch} in {symbol}: {why}"));
        }
        for (what, list) in [("recursion", self.open), ("panic", self.panics)] {
            for Open { from, to, why } in list {
                lines.push(format!("{what} by {from} -> {to}: {why}"));
            }
        }
        lines
    }
}

/// The addresses where code other than EL2's enters it.
pub struct Entries {
    /// Entries from firmware.
    pub starts: Vec<u32>,
    /// Exceptions, by their slots.
    pub vectors: Vec<u32>,
    /// How many of `starts` have the MMU off: the first ones.
    pub unmapped: usize,
    /// The first function with the MMU on, for programs that start with it off.
    pub mapped: Option<u32>,
}

impl Entries {
    fn all(&self) -> impl Iterator<Item = u32> {
        self.starts.iter().chain(&self.vectors).copied()
    }

    /// Whether this is the vector of EL2's own faults.
    fn is_fault(&self, at: u32) -> bool {
        let faults = self.vectors.iter().take(SLOTS as usize / 2);
        faults.into_iter().any(|&fault| fault == at)
    }
}

/// Checks one program. `line` names the source of an instruction.
pub fn look(code: &Code, lists: &Lists, entries: &Entries, line: Lines) -> Result<Report> {
    let indirect = indirect(code, &lists.indirect, line)?;
    let mut starts: BTreeSet<u32> = entries.all().collect();
    let functions = code.symbols.iter().filter(|(_, symbol)| symbol.is_function);
    starts.extend(functions.map(|(at, _)| *at));
    starts.extend(code.all().filter_map(|(at, word)| match decode(word) {
        Instruction::Call(offset) => Some(at.wrapping_add_signed(offset)),
        _ => None,
    }));
    let mut program = Program { code, starts, returning: BTreeSet::new(), indirect };
    let functions = program.functions()?;
    let name = |at| name(code, entries, at);
    // Recursion is checked first: the other checks suppose that there is none.
    let cut = closing(&functions, lists.open, &name)?;
    let cycles = graph::cycles(&functions, &cut);
    if !cycles.is_empty() {
        let shown: Vec<_> = cycles
            .iter()
            .filter_map(|cycle| Some(shown(cycle.last()?.to, cycle, &name, line)))
            .collect();
        bail!("EL2 is recursive:\n  {}", shown.join("\n  "));
    }
    panics(&functions, entries, lists.panics, &name, line)?;
    graph::balanced(&functions, entries.all(), name)?;
    silicon::sequences(code, &name)?;
    let unmapped = match entries.mapped {
        Some(mapped) => {
            let starts = &entries.starts[..entries.unmapped];
            silicon::before_mmu(code, &functions, starts, mapped, &name)?
        }
        None => 0,
    };
    Ok(Report {
        functions: functions.len(),
        unmapped,
        calls: functions.values().map(|f| f.edges.len()).sum(),
        indirect: program.indirect.len(),
        listed: lists.words(),
        stacks: stacks(code, &functions, entries, &cut, &name),
    })
}

/// Returns a function's name, or the vector's.
fn name(code: &Code, entries: &Entries, at: u32) -> String {
    match entries.vectors.iter().position(|&vector| vector == at) {
        Some(slot) => format!("vector {slot}"),
        None => code.name(at).to_string(),
    }
}

/// Finds all indirect branches and their kinds. Each must be listed, and each entry of the list
/// must match.
fn indirect(code: &Code, listed: &[&Indirect], line: Lines) -> Result<BTreeMap<u32, Does>> {
    let mut found = BTreeMap::new();
    let mut counts = vec![0; listed.len()];
    let mut wrong = Vec::new();
    for (at, word) in code.all() {
        let branch = match decode(word) {
            Instruction::Jump(_) => Branch::Jump,
            Instruction::CallRegister(_) => Branch::Call,
            Instruction::Return(register) if register != LINK => Branch::Return,
            Instruction::ExceptionReturn => Branch::ExceptionReturn,
            _ => continue,
        };
        let symbol = code.name(at);
        let entry =
            listed.iter().position(|entry| entry.symbol == symbol && entry.branch == branch);
        if let Some(entry) = entry {
            counts[entry] += 1;
            found.insert(at, listed[entry].does);
        } else {
            let line = line(at).map(|line| format!(" ({line})")).unwrap_or_default();
            wrong.push(format!("{symbol}{line}: {branch} at {at:#x} is not listed"));
        }
    }
    for (entry, count) in listed.iter().zip(counts) {
        let Indirect { symbol, branch, .. } = entry;
        if entry.count != count {
            let expected = entry.count;
            wrong.push(format!(
                "{symbol}: {branch} is listed {expected} times and found {count} times"
            ));
        }
    }
    ensure!(
        wrong.is_empty(),
        "indirect branches, against INDIRECT in xtask/src/callgraph/lists.rs:\n  {}",
        wrong.join("\n  ")
    );
    Ok(found)
}

/// Returns all calls, as caller and callee.
fn calls(functions: &Functions) -> BTreeSet<(u32, u32)> {
    let edges = |(&from, function): (&u32, &Function)| {
        let to: Vec<_> = function.edges.iter().map(|edge| (from, edge.to)).collect();
        to
    };
    functions.iter().flat_map(edges).collect()
}

/// Finds the listed calls among `calls`. An entry without a call fails.
fn named(
    calls: &BTreeSet<(u32, u32)>,
    list: &[Open],
    name: &impl Fn(u32) -> String,
    what: &str,
) -> Result<BTreeSet<(u32, u32)>> {
    let mut all = BTreeSet::new();
    for Open { from, to, .. } in list {
        let places = calls.iter().copied();
        let places = places
            .filter(|&place| (name(place.0), name(place.1)) == (from.to_string(), to.to_string()));
        let before = all.len();
        all.extend(places);
        ensure!(
            all.len() > before,
            "{from} -> {to} {what} any more: remove it from xtask/src/callgraph/lists.rs"
        );
    }
    Ok(all)
}

/// Finds the listed calls that close a cycle.
fn closing(
    functions: &Functions,
    open: &[Open],
    name: &impl Fn(u32) -> String,
) -> Result<BTreeSet<(u32, u32)>> {
    let closes = |&(from, to): &(u32, u32)| {
        from == to || graph::way(functions, to, from, &BTreeSet::new()).is_some()
    };
    let in_cycles = calls(functions).into_iter().filter(closes).collect();
    named(&in_cycles, open, name, "does not close a cycle")
}

/// Fails if a path from an entry ends in a panic, except by the listed calls.
fn panics(
    functions: &Functions,
    entries: &Entries,
    list: &[Open],
    name: &impl Fn(u32) -> String,
    line: Lines,
) -> Result<()> {
    let panic = |at: u32| name(at).starts_with(PANICKING);
    let calls = calls(functions).into_iter();
    let into = calls.filter(|&(from, to)| panic(to) && !panic(from)).collect();
    let cut = named(&into, list, name, "does not panic")?;
    for &to in functions.keys().filter(|&&at| panic(at)) {
        for entry in entries.all() {
            if let Some(way) = graph::way(functions, entry, to, &cut) {
                bail!("EL2 may panic: {}", shown(entry, &way, name, line));
            }
        }
    }
    Ok(())
}

/// Describes a path from `start`: `a (file.rs:1) -> b (file.rs:2) -> c`, each with the line that
/// calls the next.
fn shown(start: u32, way: &[Edge], name: &impl Fn(u32) -> String, line: Lines) -> String {
    let mut text = name(start);
    for edge in way {
        let place = line(edge.from).map(|line| format!(" ({line})"));
        text += &format!("{} -> {}", place.unwrap_or_default(), name(edge.to));
    }
    text
}

/// Returns the deepest path on each stack. A fault of EL2's own is added to it, though it starts a
/// core's stack anew once the core has its state.
fn stacks(
    code: &Code,
    functions: &Functions,
    entries: &Entries,
    cut: &BTreeSet<(u32, u32)>,
    name: &impl Fn(u32) -> String,
) -> Vec<Stack> {
    let mut needs = Needs::new(functions, cut);
    let mut deepest: BTreeMap<Base, Need> = BTreeMap::new();
    let mut fault = Need::default();
    for entry in entries.all() {
        for (base, need) in needs.of(entry) {
            // Boot sets its stack pointer first; a vector uses the core's.
            let (base, is_fault) = match base {
                Base::Entry => (Base::CoreTop, entries.is_fault(entry)),
                base => (base, false),
            };
            let known = if is_fault { &mut fault } else { deepest.entry(base).or_default() };
            if need.bytes > known.bytes {
                *known = need;
            }
        }
    }
    let named = |need: &Need| {
        let path = need.path.iter();
        path.map(|&(at, bytes)| (name(at), bytes)).collect()
    };
    let limits =
        [("core's", Base::CoreTop, CORE_STACK), ("boot", Base::BootTop, code.boot_stack.1.into())];
    let stack = |(name, base, limit): (&'static str, Base, u64)| {
        let need = deepest.get(&base).cloned().unwrap_or_default();
        Stack {
            name,
            limit,
            bytes: u64::try_from(need.bytes + fault.bytes).unwrap_or(u64::MAX),
            fault: u64::try_from(fault.bytes).unwrap_or(u64::MAX),
            path: named(&need),
        }
    };
    limits.map(stack).to_vec()
}
