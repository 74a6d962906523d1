// SPDX-License-Identifier: MIT OR Apache-2.0
//! Walks every path of one function: the calls, the stack's depth at each, and the ends.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use anyhow::{Context, Result, bail, ensure};

use super::code::Code;
use super::decode::{Instruction, LINK, decode};
use super::lists::Does;

/// Depths at which one instruction may run. A loop that pushes has no bound.
const MOST_DEPTHS: usize = 8;
/// Entries of the table that [`Does::JumpsByTable`] jumps into, two instructions each.
const TABLE: u32 = 16;

/// The base that a depth is counted from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Base {
    /// The stack pointer at the function's entry.
    Entry,
    /// The top of the boot core's first stack.
    BootTop,
    /// The top of the core's own stack.
    CoreTop,
}

/// The stack pointer's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Depth {
    /// Its base.
    pub base: Base,
    /// Bytes down.
    pub bytes: i32,
}

/// A call, or a branch that leaves the function for another's start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Edge {
    /// The instruction.
    pub from: u32,
    /// The function it goes to.
    pub to: u32,
    /// Where the stack pointer is.
    pub depth: Depth,
    /// Whether it is a call, which returns here.
    pub is_call: bool,
}

/// All paths of one function.
#[derive(Clone, Debug, Default)]
pub struct Function {
    /// Its instructions.
    pub instructions: BTreeSet<u32>,
    /// Edges to other functions.
    pub edges: BTreeSet<Edge>,
    /// The stack pointer when it returns to its caller.
    pub returns: BTreeSet<Depth>,
    /// The deepest depth by base.
    pub deepest: BTreeMap<Base, i32>,
    /// The most bytes by which the stack pointer went above a top that it was set to.
    pub lift: i32,
}

/// Facts about the whole program.
pub struct Program<'a> {
    /// Its code.
    pub code: &'a Code,
    /// First addresses of functions.
    pub starts: BTreeSet<u32>,
    /// Those that return to their callers.
    pub returning: BTreeSet<u32>,
    /// The kinds of the listed indirect branches.
    pub indirect: BTreeMap<u32, Does>,
}

impl Program<'_> {
    /// Walks all functions. Whether a call returns depends on the callee's walk, so the walks are
    /// repeated until no more functions return.
    ///
    /// # Errors
    /// If a path leaves the code, or its depth cannot be computed.
    pub fn functions(&mut self) -> Result<BTreeMap<u32, Function>> {
        loop {
            let mut functions = BTreeMap::new();
            for &start in &self.starts {
                let function =
                    self.function(start).with_context(|| self.code.name(start).to_string())?;
                functions.insert(start, function);
            }
            let mut returning = BTreeSet::new();
            loop {
                let returns = |function: &Function| {
                    let leaves = |edge: &Edge| !edge.is_call && returning.contains(&edge.to);
                    !function.returns.is_empty() || function.edges.iter().any(leaves)
                };
                let all = functions.iter().filter(|(_, function)| returns(function));
                let all: BTreeSet<_> = all.map(|(start, _)| *start).collect();
                if all == returning {
                    break;
                }
                returning = all;
            }
            if returning == self.returning {
                return Ok(functions);
            }
            self.returning = returning;
        }
    }

    /// Walks the function at `start`.
    fn function(&self, start: u32) -> Result<Function> {
        let mut function = Function::default();
        let at_entry = Depth { base: Base::Entry, bytes: 0 };
        let mut seen: HashSet<(u32, Depth)> = HashSet::new();
        let mut depths: BTreeMap<u32, usize> = BTreeMap::new();
        let mut open = vec![(start, at_entry)];
        while let Some((at, depth)) = open.pop() {
            if at != start && self.starts.contains(&at) {
                bail!("{at:#x} is reached without a branch, but it is another function's start");
            }
            if !seen.insert((at, depth)) {
                continue;
            }
            function.instructions.insert(at);
            let count = depths.entry(at).or_default();
            *count += 1;
            ensure!(
                *count <= MOST_DEPTHS,
                "the stack at {at:#x} has no bound: it is pushed to in a loop"
            );
            let deepest = function.deepest.entry(depth.base).or_default();
            *deepest = depth.bytes.max(*deepest);
            if depth.base != Base::Entry {
                function.lift = function.lift.max(-depth.bytes);
            }
            for (to, depth) in self.step(start, at, depth, &mut function)? {
                open.push((to, depth));
            }
        }
        Ok(function)
    }

    /// Returns where `start`'s function goes on after the instruction at `at`.
    fn step(
        &self,
        start: u32,
        at: u32,
        depth: Depth,
        function: &mut Function,
    ) -> Result<Vec<(u32, Depth)>> {
        let word = self
            .code
            .word(at)
            .with_context(|| format!("a path runs into {at:#x}, which is not code"))?;
        let target = |offset: i32| at.wrapping_add_signed(offset);
        let mut edge = |to: u32, is_call: bool| {
            let from = at;
            function.edges.insert(Edge { from, to, depth, is_call })
        };
        let next = at + 4;
        let mut to = Vec::new();
        match decode(word) {
            Instruction::Branch(offset) => to.push(target(offset)),
            Instruction::Conditional(offset) => to.extend([target(offset), next]),
            Instruction::Call(offset) => {
                edge(target(offset), true);
                if self.returning.contains(&target(offset)) {
                    return Ok(vec![(next, depth)]);
                }
                return Ok(Vec::new());
            }
            Instruction::Return(LINK) => {
                function.returns.insert(depth);
            }
            Instruction::Jump(_)
            | Instruction::CallRegister(_)
            | Instruction::Return(_)
            | Instruction::ExceptionReturn => match self.indirect.get(&at) {
                Some(Does::JumpsByTable) => {
                    let table = self.table(at).with_context(|| {
                        format!("{at:#x} is not a jump into a table with a bounded index")
                    })?;
                    return Ok(table.map(|at| (at, depth)).collect());
                }
                Some(Does::ReturnsToCaller) => {
                    function.returns.insert(depth);
                }
                Some(Does::EntersGuest) => ensure!(
                    depth.base != Base::Entry || depth.bytes == 0,
                    "the guest is entered at {at:#x} with {} bytes on the stack",
                    depth.bytes
                ),
                // Addresses that ADR computes are walked there; unlisted branches are reported by
                // another check.
                Some(Does::JumpsToTaken) | None => {}
            },
            Instruction::Trap => {}
            Instruction::Address(_, offset) => {
                // An address within a function is the target of a jump.
                let taken = target(offset);
                let is_inner = self.code.word(taken).is_some();
                if is_inner && !self.code.symbols.contains_key(&taken) {
                    return Ok(vec![(next, depth), (taken, depth)]);
                }
                to.push(next);
            }
            Instruction::Push(bytes) => {
                let bytes = depth.bytes + bytes;
                return Ok(vec![(next, Depth { bytes, ..depth })]);
            }
            Instruction::SetStack(register, plus) => {
                let base = self.top(at, register, plus)?;
                return Ok(vec![(next, Depth { base, bytes: 0 })]);
            }
            Instruction::Unknown => bail!("{at:#x} ({word:#010x}) is an unknown instruction"),
            Instruction::Page(..) | Instruction::Other => to.push(next),
        }
        // A branch to another function's start is a call without return.
        let (leaves, stays): (Vec<_>, Vec<_>) =
            to.into_iter().partition(|to| *to != start && self.starts.contains(to));
        for to in leaves {
            edge(to, false);
        }
        Ok(stays.into_iter().map(|to| (to, depth)).collect())
    }

    /// Returns the stack whose top is `register` plus `plus` at `at`: boot's if the register was
    /// just set to that, or else the core's own.
    fn top(&self, at: u32, register: u8, plus: i32) -> Result<Base> {
        let before = at.wrapping_sub(4);
        let instruction = self.code.word(before).map(decode);
        let value = match instruction {
            Some(Instruction::Page(set, pages)) if set == register => {
                (before & !0xfff).wrapping_add_signed(pages << 12)
            }
            Some(Instruction::Address(set, offset)) if set == register => {
                before.wrapping_add_signed(offset)
            }
            _ => return Ok(Base::CoreTop),
        };
        ensure!(
            value.wrapping_add_signed(plus) == self.code.boot_stack.0,
            "the stack pointer is set to an unknown value at {at:#x}"
        );
        Ok(Base::BootTop)
    }

    /// Returns the targets of a jump by `AND Xa, Xa, #15; ADR Xb, table; ADD Xb, Xb, Xa, LSL #3; BR
    /// Xb`; none if it is another.
    fn table(&self, at: u32) -> Option<impl Iterator<Item = u32>> {
        let word = |back: u32| self.code.word(at.checked_sub(back)?);
        let (and, adr, add) = (word(12)?, word(8)?, word(4)?);
        let index = and & 31;
        let Instruction::Address(table, offset) = decode(adr) else {
            return None;
        };
        let table = u32::from(table);
        // DDI 0487, C6.2: AND (immediate) of 64 bits with ones in the lowest four; ADD (shifted
        // register) of 64 bits.
        let is_masked = and == 0x9240_0c00 | index << 5 | index;
        let is_scaled = add == 0x8b00_0c00 | index << 16 | table << 5 | table;
        let jumps = self.code.word(at).map(decode) == Some(Instruction::Jump(table as u8));
        let first = (at - 8).wrapping_add_signed(offset);
        (is_masked && is_scaled && jumps && index != table)
            .then(|| (0..TABLE).map(move |entry| first + 8 * entry))
    }
}
