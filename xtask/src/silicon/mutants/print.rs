// SPDX-License-Identifier: MIT OR Apache-2.0
//! The results of mutants, as a table and as JSON.

use std::collections::BTreeSet;
use std::fmt::Write;

use serde_json::{Value, json};

use super::fate::{Fate, Mutant};
use manifest::words::count;

/// The results.
pub struct Results {
    /// The system, its board and its GIC.
    pub name: String,
    /// Whether they are of the repository's system on GICv3, which `docs/boot.md` shows.
    pub standard: bool,
    /// The runs.
    pub runs: Vec<String>,
    /// The mutants, in the order of addresses.
    pub mutants: Vec<Mutant>,
    /// Faults of the repository's entries about mutants.
    pub faults: Vec<String>,
}

impl Results {
    /// Whether every mutant is told, and every entry needed.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.faults.is_empty() && self.mutants.iter().all(|one| one.fate != Fate::Survives)
    }

    /// Returns everything as JSON, for other programs.
    #[must_use]
    pub fn json(&self) -> Value {
        let mutants = self.mutants.iter().map(|mutant| {
            let (fate, by) = mutant.fate.words();
            let run = match &mutant.fate {
                Fate::Killed(_, run) => Some(run),
                _ => None,
            };
            json!({
                "offset": mutant.instruction.offset,
                "instruction": mutant.instruction.text,
                "becomes": mutant.becomes,
                "functions": mutant.instruction.functions,
                "line": mutant.instruction.line,
                "fate": fate.to_lowercase(),
                "by": by,
                "run": run,
            })
        });
        json!({
            "system": self.name,
            "holds": self.holds(),
            "runs": self.runs,
            "mutants": mutants.collect::<Vec<_>>(),
            "faults": self.faults,
        })
    }

    /// Returns the cache and TLB maintenance, as rows of Markdown: instruction, function, and the
    /// rules or covers of its absence.
    #[must_use]
    pub fn maintenance(&self) -> Vec<String> {
        let is_one = |mutant: &&Mutant| {
            let text = &mutant.instruction.text;
            let kind = ["DC ", "IC ", "TLBI "].iter().any(|kind| text.starts_with(kind));
            kind && mutant.becomes == "NOP"
        };
        let row = |mutant: &Mutant| {
            let (fate, by) = mutant.fate.words();
            let by = match &mutant.fate {
                Fate::Killed(rule, _) => format!("`{rule}`"),
                _ => format!("{fate}: {by}"),
            };
            let instruction = &mutant.instruction;
            format!("| `{}` | `{}` | {by} |", instruction.text, instruction.function())
        };
        let rows: BTreeSet<String> = self.mutants.iter().filter(is_one).map(row).collect();
        rows.into_iter().collect()
    }
}

impl std::fmt::Display for Results {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let width = |of: fn(&Mutant) -> usize| self.mutants.iter().map(of).max().unwrap_or(0);
        let instruction = width(|one| one.instruction.text.len());
        let becomes = width(|one| one.becomes.len());
        let function = width(|one| one.instruction.function().len());
        for mutant in &self.mutants {
            let (fate, by) = mutant.fate.words();
            let one = &mutant.instruction;
            let mut line = String::new();
            // Writing to a string does not fail.
            let _ = write!(
                line,
                "{:#07x}  {:instruction$} -> {:becomes$}  {:function$}  {fate:11}  {by}",
                one.offset,
                one.text,
                mutant.becomes,
                one.function()
            );
            writeln!(f, "{}", line.trim_end())?;
        }
        for fault in &self.faults {
            writeln!(f, "fault: {fault}")?;
        }
        writeln!(f, "mutants: {}: runs: {}", self.name, self.runs.join("; "))?;
        let number = |wanted: &str| {
            self.mutants.iter().filter(|mutant| mutant.fate.words().0 == wanted).count()
        };
        let words = if self.holds() { "PASS" } else { "FAIL" };
        write!(
            f,
            "mutants: {words}: {}: {} killed, {} covered, {} redundant, {} where the weaker form \
             suffices, {} of order between cores, {} unreached, {} after ERET, {} survive; {}",
            count(self.mutants.len(), "mutant"),
            number("killed"),
            number("covered"),
            number("redundant"),
            number("suffices"),
            number("order"),
            number("unreached"),
            number("speculation"),
            number("SURVIVES"),
            count(self.faults.len(), "fault")
        )
    }
}
