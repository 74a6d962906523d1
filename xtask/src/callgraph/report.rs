// SPDX-License-Identifier: MIT OR Apache-2.0
//! One flavour's call graph in figures, and its stacks compared with their sizes.

use std::fmt::{Display, Formatter};

/// A stack and its deepest use.
#[derive(Clone, Debug)]
pub struct Stack {
    /// Its name.
    pub name: &'static str,
    /// Its size in bytes.
    pub limit: u64,
    /// The deepest path in bytes, including a fault of EL2's own at its end.
    pub bytes: u64,
    /// The fault's share of these.
    pub fault: u64,
    /// The path.
    pub path: Vec<(String, i32)>,
}

/// One flavour's call graph.
pub struct Report {
    /// Functions that were walked.
    pub functions: usize,
    /// Those of them that may run before the MMU is on.
    pub unmapped: usize,
    /// Calls between them.
    pub calls: usize,
    /// Indirect branches, each listed.
    pub indirect: usize,
    /// The exceptions that the lists allow, one line each.
    pub listed: Vec<String>,
    /// Stacks.
    pub stacks: Vec<Stack>,
}

impl Report {
    /// Whether each stack has room for the deepest path.
    pub fn fits(&self) -> bool {
        self.stacks.iter().all(|stack| stack.bytes <= stack.limit)
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        let Self { functions, unmapped, calls, indirect, .. } = self;
        writeln!(
            f,
            "  {functions} functions, {calls} calls; {unmapped} functions may run before the MMU \
             is on, none with an exclusive access"
        )?;
        writeln!(f, "  {indirect} indirect branches; listed:")?;
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
