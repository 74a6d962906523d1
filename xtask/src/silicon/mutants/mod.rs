// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask silicon --mutants`: takes EL2's cache, TLB, barrier and event instructions away, one
//! at a time, and runs the checker: is each of them missed?

pub mod covers;
pub mod list;
pub mod print;
mod trials;

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use silicon_model::decode::NOP;

use covers::{Entry, File};
use list::Instruction;
pub use print::Results;
use runner::build::Builder;
use runner::ui::{self, Step};
use trials::{Change, Trials};

use super::run::Options;

/// The system that the repository's entries are about.
pub const SYSTEM: &str = "duo";

/// What became of a mutant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// A rule or a run's verdict tells it: which, and in which run.
    Killed(String, String),
    /// Another instruction covers it; the run without both shows that.
    Covered(String),
    /// The weaker form suffices.
    Suffices(String),
    /// Only another interleaving shows it: a test of those does.
    Order(String),
    /// No run reaches it, but a case of `cargo xtask test` or other hardware does.
    Unreached(String),
    /// It is after an `ERET`: it never executes, and only ends speculation.
    Speculation,
    /// Nothing tells it.
    Survives,
}

/// A mutant and its fate.
#[derive(Clone, Debug)]
pub struct Mutant {
    /// The instruction.
    pub instruction: Instruction,
    /// The text of the mutant.
    pub becomes: String,
    /// Its fate.
    pub fate: Fate,
}

/// The instructions to take away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// All of them.
    #[default]
    All,
    /// Every mutant whose instruction is in this function.
    In(&'static str),
}

/// Runs the mutants of `spec`'s EL2.
///
/// # Errors
/// If the system cannot be built or run, or breaks rules as it is.
pub fn run(
    builder: &mut Builder,
    spec: &str,
    options: &Options,
    choice: Choice,
) -> Result<Results> {
    let file = covers::read()?;
    let mut trials = Trials::new(builder, spec, options)?;
    let gic = trials.gic();
    let is_all = choice == Choice::All;
    if spec == SYSTEM && is_all {
        for run in file.run.iter().filter(|run| run.gic.is_none_or(|wanted| wanted == gic)) {
            trials.add(builder, run)?;
        }
    }
    let all = list::instructions(&trials.code);
    let chosen: Vec<_> = all
        .iter()
        .filter(|one| match choice {
            Choice::All => true,
            Choice::In(function) => one.functions.iter().any(|name| name == function),
        })
        .collect();
    let mut judge = Judge { file: &file, gic, all: &all, trials, used: BTreeSet::new() };
    let mut mutants = Vec::new();
    for (index, one) in chosen.iter().enumerate() {
        let step = Step::start(format!(
            "{} of {}: {} in {}",
            index + 1,
            chosen.len(),
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
    if spec == SYSTEM && is_all {
        faults.extend(judge.needless());
    }
    Ok(Results { name: judge.trials.name(), runs: judge.trials.names(), mutants, faults })
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
    fn entry(&mut self, entries: &'a [Entry], one: &Instruction) -> Option<&'a Entry> {
        let is_about = |entry: &&Entry| {
            entry.gic.is_none_or(|gic| gic == self.gic)
                && entry.place().find(self.all).iter().any(|found| found.offset == one.offset)
        };
        entries.iter().find(is_about)
    }

    fn mutants_of(&mut self, one: &Instruction) -> Result<Vec<Mutant>> {
        let mutant =
            |becomes: String, fate: Fate| Mutant { instruction: one.clone(), becomes, fate };
        let file = self.file;
        if !self.trials.is_reached(one.offset) {
            let fate = match self.entry(&file.unreached, one) {
                _ if one.follows_eret => Fate::Speculation,
                Some(entry) => {
                    self.used.insert(entry);
                    let by = entry.case.as_ref().map(|case| format!("case {case}"));
                    Fate::Unreached(by.or(entry.hardware.clone()).unwrap_or_default())
                }
                None => Fate::Survives,
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
        if let Some(entry) = self.entry(&file.weaker, one)
            && entry.suffices.iter().any(|form| form == becomes)
        {
            self.used.insert(entry);
            return Ok(Fate::Suffices(entry.reason.clone()));
        }
        if let Some(entry) = self.entry(&file.order, one) {
            self.used.insert(entry);
            return Ok(Fate::Order(entry.test.clone().unwrap_or_default()));
        }
        Ok(Fate::Survives)
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
            ("weaker", &self.file.weaker, "each mutant is killed"),
            ("order", &self.file.order, "each mutant is killed"),
            ("unreached", &self.file.unreached, "a run reaches it"),
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
