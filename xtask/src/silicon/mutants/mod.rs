// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask silicon --mutants`: takes EL2's cache, TLB, barrier and event instructions away,
//! one at a time, and runs the checker: is each of them missed?

pub mod covers;
pub mod fate;
pub mod list;
pub mod page;
pub mod print;
mod trials;

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use silicon_model::decode::NOP;

pub use covers::SYSTEM;
use covers::{Entry, File};
use fate::{Fate, Mutant};
use list::Instruction;
pub use print::Results;
use runner::build::Builder;
use runner::ui::{self, Step};
use trials::{Change, Trials};

use super::run::Options;

/// Returns the systems that the mutants of EL2 for version `gic` of the GIC run on.
///
/// # Errors
/// If the repository's entries cannot be read.
pub fn systems(gic: u32) -> Result<Vec<String>> {
    let runs = covers::read()?.run.into_iter().filter(|run| run.is_for(gic));
    Ok(std::iter::once(SYSTEM.to_string()).chain(runs.map(|run| run.system)).collect())
}

/// Runs the mutants of `spec`'s EL2.
///
/// # Errors
/// If the system cannot be built or run, or breaks rules as it is.
pub fn run(builder: &mut Builder, spec: &str, options: &Options) -> Result<Results> {
    let file = covers::read()?;
    let mut trials = Trials::new(builder, spec, options)?;
    let gic = trials.gic();
    if spec == SYSTEM {
        for run in file.run.iter().filter(|run| run.is_for(gic)) {
            trials.add(builder, run)?;
        }
    }
    let all = list::instructions(&trials.code);
    let mut judge = Judge { file: &file, gic, all: &all, trials, used: BTreeSet::new() };
    let mut mutants = Vec::new();
    for (index, one) in all.iter().enumerate() {
        let step = Step::start(format!(
            "{} of {}: {} in {}",
            index + 1,
            all.len(),
            one.text,
            one.function()
        ));
        mutants.extend(judge.mutants_of(one)?);
        drop(step);
        if ui::interrupted() {
            anyhow::bail!("interrupted");
        }
    }
    let mut faults = std::mem::take(&mut judge.trials.faults);
    if spec == SYSTEM {
        faults.extend(judge.needless());
    }
    Ok(Results {
        name: judge.trials.name(),
        standard: spec == SYSTEM && gic == 3,
        runs: judge.trials.names(),
        mutants,
        faults,
    })
}

/// Decides about mutants.
struct Judge<'a> {
    file: &'a File,
    gic: u32,
    all: &'a [Instruction],
    trials: Trials,
    /// Entries that decided about a mutant, by address.
    used: BTreeSet<*const Entry>,
}

impl<'a> Judge<'a> {
    /// Returns the entry of `entries` about `one`, and records that it is used.
    fn entry(&self, entries: &'a [Entry], one: &Instruction) -> Option<&'a Entry> {
        let is_about = |entry: &&Entry| {
            entry.gic.is_none_or(|gic| gic == self.gic)
                && entry.place().find(self.all).iter().any(|found| found.offset == one.offset)
        };
        entries.iter().find(is_about)
    }

    fn mutants_of(&mut self, one: &Instruction) -> Result<Vec<Mutant>> {
        let mutant =
            |becomes: String, fate: Fate| Mutant { instruction: one.clone(), becomes, fate };
        if !self.trials.is_reached(one.offset) {
            let fate = match one.follows_eret {
                true => Fate::Speculation,
                false => self.argued(one, "NOP"),
            };
            return Ok(vec![mutant("NOP".to_string(), fate)]);
        }
        let mut mutants = Vec::new();
        for (becomes, word) in one.mutants() {
            let change = Change { words: vec![(one.offset, word)], erets: false };
            let fate = match self.trials.killed(&change)? {
                Some((by, run)) => Fate::Killed(by, run),
                None => self.survivor(one, &becomes)?,
            };
            mutants.push(mutant(becomes, fate));
        }
        Ok(mutants)
    }

    /// Decides about a mutant that no run kills.
    fn survivor(&mut self, one: &Instruction, becomes: &str) -> Result<Fate> {
        let file = self.file;
        if let Some(entry) = self.entry(&file.cover, one) {
            self.used.insert(entry);
            let by: Vec<String> = entry.by.iter().map(ToString::to_string).collect();
            let by = by.join(" and ");
            return Ok(match self.is_covered(one, entry)? {
                true => Fate::Covered(by),
                false => {
                    self.trials.faults.push(format!(
                        "{} in {}: no run breaks a rule without both it and its cover, {by}",
                        one.text,
                        one.function()
                    ));
                    Fate::Survives
                }
            });
        }
        Ok(self.argued(one, becomes))
    }

    /// Decides about a mutant by an entry that no run can check.
    fn argued(&mut self, one: &Instruction, becomes: &str) -> Fate {
        let file = self.file;
        let suffices = |entry: &Entry| entry.suffices.iter().any(|form| form == becomes);
        if let Some(entry) = self.entry(&file.redundant, one) {
            self.used.insert(entry);
            return Fate::Redundant(entry.reason.clone());
        }
        if let Some(entry) = self.entry(&file.weaker, one).filter(|entry| suffices(entry)) {
            self.used.insert(entry);
            return Fate::Suffices(entry.reason.clone());
        }
        if let Some(entry) = self.entry(&file.order, one) {
            self.used.insert(entry);
            let untested = entry.untested.as_ref().map(|why| format!("untested: {why}"));
            return Fate::Order(entry.test.clone().or(untested).unwrap_or_default());
        }
        if let Some(entry) = self.entry(&file.unreached, one) {
            self.used.insert(entry);
            let case = entry.case.as_ref().map(|case| format!("case {case}"));
            return Fate::Unreached(case.or(entry.when.clone()).unwrap_or_default());
        }
        Fate::Survives
    }

    /// Whether the run without both the instruction and its cover breaks more than the run without
    /// the cover.
    fn is_covered(&mut self, one: &Instruction, entry: &Entry) -> Result<bool> {
        let erets = entry.by.iter().any(covers::Place::is_eret);
        let mut words = Vec::new();
        for place in entry.by.iter().filter(|place| !place.is_eret()) {
            let found = place.find(self.all);
            let none = || format!("{}: there is no {place} in EL2", covers::FILE);
            found.first().with_context(none)?;
            let others = found.iter().filter(|found| found.offset != one.offset);
            words.extend(others.map(|found| (found.offset, NOP)));
        }
        let alone = Change { words: words.clone(), erets };
        words.push((one.offset, NOP));
        let both = Change { words, erets };
        self.trials.breaks_more(one.offset, &both, &alone)
    }

    /// Returns a fault for each entry that nothing needs.
    fn needless(&self) -> Vec<String> {
        let kinds = [
            ("cover", &self.file.cover, "each mutant is killed"),
            ("redundant", &self.file.redundant, "each mutant is killed"),
            ("weaker", &self.file.weaker, "each mutant is killed"),
            ("order", &self.file.order, "each mutant is killed"),
            ("unreached", &self.file.unreached, "each mutant is killed"),
        ];
        let mut faults = Vec::new();
        for (kind, entries, why) in kinds {
            for entry in entries.iter().filter(|entry| entry.gic.is_none_or(|gic| gic == self.gic))
            {
                if self.used.contains(&std::ptr::from_ref(entry)) {
                    continue;
                }
                let place = entry.place();
                let why = match place.find(self.all).is_empty() {
                    true => "EL2 has no such instruction",
                    false => why,
                };
                faults.push(format!("the {kind} of {place} is not needed: {why}; delete it"));
            }
        }
        faults
    }
}
