// SPDX-License-Identifier: MIT OR Apache-2.0
//! Runs of mutants: the systems that they run on, and what tells them from the original.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Result, ensure};
use silicon_model::decode;
use silicon_model::report::Place;

use super::covers::Run;
use super::list::ERET;
use crate::silicon::code::{Code, patched};
use crate::silicon::print::findings;
use crate::silicon::run::{Checked, Options, Prepared};
use runner::build::Builder;

/// A mutant hangs if it runs this many times as many blocks as the original, and more.
const TIMES: u64 = 2;
const MORE: u64 = 1_000_000;
/// A mutant that waits for ever runs no blocks.
const LIMIT: Duration = Duration::from_secs(300);
/// A rule is broken more often if its count is more than twice as high, and by this.
const OFTEN: u64 = 16;

/// A change of EL2.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Change {
    /// Offsets and their new words.
    pub words: Vec<(u32, u32)>,
    /// Whether every `ERET` is taken not to synchronize.
    pub erets: bool,
}

/// How often each rule was broken at each place by each cause.
type Broken = BTreeMap<(String, u64, u64), u64>;

/// A system, and its run with the original EL2.
struct Trial {
    name: String,
    prepared: Prepared,
    options: Options,
    reached: BTreeSet<u32>,
    /// Those of them that run after the first guest started.
    late: BTreeSet<u32>,
    /// The instructions whose mutants are run.
    tried: BTreeSet<u32>,
    passed: bool,
    blocks: u64,
    /// Warnings of the original.
    warned: Broken,
    /// What changes broke, with the end of the run.
    known: BTreeMap<Change, (Broken, bool)>,
}

/// All systems that mutants run on.
pub struct Trials {
    /// EL2's code, which is the same in all of them.
    pub code: Code,
    /// Faults of the entries of the repository.
    pub faults: Vec<String>,
    all: Vec<Trial>,
}

impl Trials {
    /// Prepares the system of the command line.
    ///
    /// # Errors
    /// If it cannot be built or run, or breaks a rule.
    pub fn new(builder: &mut Builder, spec: &str, options: &Options) -> Result<Self> {
        let trial = Trial::new(builder, spec, options)?;
        Ok(Self { code: Code::new(&trial.prepared)?, faults: Vec::new(), all: vec![trial] })
    }

    /// Adds a further system.
    ///
    /// # Errors
    /// As [`Trials::new`], or if it has another EL2.
    pub fn add(&mut self, builder: &mut Builder, run: &Run) -> Result<()> {
        let options = Options {
            command_line: run.command_line.clone(),
            stop: run.stop,
            ..Options::default()
        };
        let gic = self.gic();
        builder.gic = Some(gic);
        let mut trial = Trial::new(builder, &run.system, &options)?;
        let known = &self.all;
        let is_known = |offset: &u32| known.iter().any(|one| one.reached.contains(offset));
        // Boot is much the same in each system. Where cores run in threads each run differs, so
        // only what no other run reaches is tried there.
        let late = &trial.late;
        let threads = trial.prepared.threads(&trial.options);
        trial.tried.retain(|offset| !threads && late.contains(offset) || !is_known(offset));
        let code = Code::new(&trial.prepared)?;
        // The packer writes other sizes into the header.
        let maintenance = |code: &Code| -> Vec<(u32, u32)> {
            code.all().filter(|&(_, word)| decode::is_maintenance(word)).collect()
        };
        ensure!(maintenance(&code) == maintenance(&self.code), "{} has another EL2", trial.name);
        self.all.push(trial);
        Ok(())
    }

    /// The GIC's version.
    #[must_use]
    pub fn gic(&self) -> u32 {
        self.all[0].prepared.system.board.gic.version
    }

    /// The first system's name, with board and GIC.
    #[must_use]
    pub fn name(&self) -> String {
        self.all[0].prepared.name()
    }

    /// The names of all runs.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.all.iter().map(|trial| trial.name.clone()).collect()
    }

    /// Whether a run executes the instruction at `offset`.
    #[must_use]
    pub fn is_reached(&self, offset: u32) -> bool {
        self.all.iter().any(|trial| trial.reached.contains(&offset))
    }

    /// Returns what tells this change from the original, and in which run.
    ///
    /// # Errors
    /// If a run fails.
    pub fn killed(&self, change: &Change) -> Result<Option<(String, String)>> {
        let reaches =
            |trial: &&Trial| change.words.iter().any(|(offset, _)| trial.tried.contains(offset));
        for trial in self.all.iter().filter(reaches) {
            if let Some(by) = trial.killed(change, &self.code)? {
                return Ok(Some((by, trial.name.clone())));
            }
        }
        Ok(None)
    }

    /// Whether some run that reaches `offset` breaks more rules, or breaks one more often, with
    /// the change `both` than with the change `alone`.
    ///
    /// # Errors
    /// If a run fails.
    pub fn breaks_more(&mut self, offset: u32, both: &Change, alone: &Change) -> Result<bool> {
        for trial in self.all.iter_mut().filter(|trial| trial.tried.contains(&offset)) {
            let (less, passed) = trial.broken(alone, &self.code)?;
            let (more, both_passed) = trial.broken(both, &self.code)?;
            let worse = more.iter().any(|(key, &count)| match less.get(key) {
                None => true,
                Some(&known) => count > 2 * known + OFTEN,
            });
            if worse || passed && !both_passed {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl Trial {
    fn new(builder: &mut Builder, spec: &str, options: &Options) -> Result<Self> {
        let prepared = Prepared::new(builder, spec, options)?;
        let line = options.command_line.as_ref().map(|(_, line)| format!(", {line}"));
        let name = format!("{spec}{}", line.unwrap_or_default());
        let checked = prepared.run(&prepared.image.bytes, options)?;
        let found = findings(&prepared, &checked)?;
        ensure!(found.failures() == 0 && found.ended(), "{name} is not right itself:\n{found}");
        Ok(Self {
            name,
            options: Options {
                // In threads the number of blocks depends on time.
                limit: (!prepared.threads(options)).then_some(TIMES * checked.report.blocks + MORE),
                time: Some(LIMIT),
                ..options.clone()
            },
            tried: checked.report.reached.iter().copied().collect(),
            reached: checked.report.reached.iter().copied().collect(),
            late: checked.report.reached_late.iter().copied().collect(),
            passed: found.holds(),
            blocks: checked.report.blocks,
            warned: broken(&checked),
            prepared,
            known: BTreeMap::new(),
        })
    }

    fn run(&self, change: &Change, first: bool, code: &Code) -> Result<Checked> {
        let erets = code.all().filter(|&(_, word)| change.erets && word == ERET);
        let options = Options {
            first,
            unsynchronized: erets.map(|(offset, _)| offset).collect(),
            ..self.options.clone()
        };
        let bytes = patched(&self.prepared.image.bytes, &change.words)?;
        let checked = self.prepared.run(&bytes, &options)?;
        ensure!(
            checked.report.mistaken == 0,
            "{}: the checker does not know which core runs",
            self.name
        );
        Ok(checked)
    }

    /// Whether a run came to the end that the original comes to.
    fn ended_well(&self, checked: &Checked) -> bool {
        let hangs = checked.timed_out || checked.report.hangs;
        match &checked.verdict {
            _ if hangs => false,
            Some(verdict) => verdict.passed() || !self.passed,
            None => checked.report.stopped,
        }
    }

    fn killed(&self, change: &Change, code: &Code) -> Result<Option<String>> {
        let checked = self.run(change, true, code)?;
        let new = |key: &(String, u64, u64)| !self.warned.contains_key(key);
        if let Some((rule, ..)) = broken(&checked).into_keys().find(new) {
            return Ok(Some(rule));
        }
        if self.ended_well(&checked) {
            return Ok(None);
        }
        let blocks = checked.report.blocks;
        Ok(Some(match checked.verdict {
            _ if checked.report.hangs => {
                format!("the run: {blocks} blocks instead of {}", self.blocks)
            }
            Some(verdict) => format!("the run: {verdict}"),
            None => "the run: it ended early".to_string(),
        }))
    }

    /// Returns all that `change` breaks, and whether the run ends as the original does.
    fn broken(&mut self, change: &Change, code: &Code) -> Result<(Broken, bool)> {
        if let Some(known) = self.known.get(change) {
            return Ok(known.clone());
        }
        let checked = self.run(change, false, code)?;
        let result = (broken(&checked), self.ended_well(&checked));
        self.known.insert(change.clone(), result.clone());
        Ok(result)
    }
}

/// Returns what a run broke, without what guests did to themselves.
fn broken(checked: &Checked) -> Broken {
    let found = checked.report.violations.iter().filter(|violation| !violation.is_guests());
    let pc = |place: Option<Place>| place.map_or(0, |place| place.pc);
    found.map(|one| ((one.rule.clone(), one.place.pc, pc(one.cause)), one.count)).collect()
}
