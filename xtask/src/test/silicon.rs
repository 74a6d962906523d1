// SPDX-License-Identifier: MIT OR Apache-2.0
//! The checker of caches, TLBs and barriers: on every shipped system of every board, on separate
//! cases, and on planted faults, which it must name.

use super::tally::{Tally, each};
use crate::silicon::code::{Code, patched};
use crate::silicon::print::{Finding, Findings};
use crate::silicon::run::Prepared;
use crate::silicon::{self, Options, mutants};
use anyhow::{Context, Result, bail, ensure};
use runner::build::Builder;
use runner::workspace::root;
use silicon_model::decode::{NOP, words};
use std::collections::VecDeque;

/// The check of every shipped system.
const SHIPPED: &str = "silicon/shipped";
/// The check of systems of the tests, with a guest that is stopped, reset or started again.
const CASES: &str = "silicon/case";
/// Planted faults.
const PLANTED: &str = "silicon/planted";
/// The mutants of EL2, each of which is told.
const MUTANTS: &str = "silicon/mutants";
/// The check that the core that events are attributed to is the one that runs.
const IDENTITY: &str = "silicon/identity";
/// Systems that take longer than the first one are checked up to this many blocks of guests: boot,
/// load, and each guest's first steps.
const BLOCKS: u64 = 1_000_000;

/// Planted faults show within this number of blocks.
const FIRST_BLOCKS: u64 = 100_000;
/// Events attributed to the wrong core show within this number of blocks.
const FIRST_STEPS: u64 = 1_000;

/// A check of [`CASES`]: its name, the system, the command line of the partition `chaos`, if it is
/// not the manifest's, and the GICs.
struct Case(&'static str, &'static str, Option<&'static str>, &'static [u32]);

const WHOLE_SYSTEMS: &[Case] = &[
    Case("reset", "tests/systems/chaos.toml", Some("attack=reset"), &[3, 2]),
    Case("cpu-suspend", "tests/systems/chaos.toml", Some("attack=cpu-suspend"), &[3, 2]),
    Case("dir-order", "tests/systems/gic.toml", Some("attack=dir-order"), &[3]),
    Case("restart", "tests/systems/restart-limit.toml", None, &[3, 2]),
    Case("crash", "tests/systems/crash.toml", None, &[3, 2]),
];

/// A fault: its name, the GIC, the instructions that are removed, the rule that they break, and a
/// function that the report must name.
struct Fault {
    name: &'static str,
    gic: u32,
    find: fn(&Code) -> Vec<u32>,
    rule: &'static str,
    function: &'static str,
    /// Blocks of guests within which it shows; without a number the run ends at the first
    /// violation.
    blocks: Option<u64>,
}

const FAULTS: &[Fault] = &[
    Fault {
        name: "guest-reload",
        gic: 3,
        find: |code| code.calls("services::load::step", "clean_invalidate"),
        rule: "read-under-dirty",
        function: "memcpy",
        blocks: Some(FIRST_BLOCKS),
    },
    Fault {
        name: "moved-image",
        gic: 3,
        find: |code| code.calls("boot::moved", "clean_invalidate"),
        rule: "write-under-dirty",
        function: "boot::check_core",
        blocks: Some(FIRST_BLOCKS),
    },
    Fault {
        name: "table-switch",
        gic: 3,
        find: |code| instructions(code, "arch::cache::switch_el2_tables", "TLBI ALLE2"),
        rule: "tlb-stale",
        function: "services::load::step",
        blocks: Some(FIRST_BLOCKS),
    },
    Fault {
        name: "secondary-release",
        gic: 2,
        find: |code| code.calls("boot::moved", "clean_invalidate"),
        rule: "release-before-dsb",
        function: "boot::start",
        blocks: Some(FIRST_BLOCKS),
    },
    Fault {
        name: "doorbell-barrier",
        gic: 3,
        find: |code| instructions(code, "ring", "DSB ISHST"),
        rule: "sgi-before-dsb",
        function: "ring",
        blocks: None,
    },
];

/// Returns the offsets of the instructions `text` in `function`.
fn instructions(code: &Code, function: &str, text: &str) -> Vec<u32> {
    code.all()
        .filter(|&(offset, word)| words(word) == text && code.is_in(offset, function))
        .map(|(offset, _)| offset)
        .collect()
}

/// The subject of a check.
enum Job {
    System(String, u32, Options),
    Planted(&'static Fault),
    Mutants(u32),
    Identity,
}

/// Runs the checks whose name is chosen, at most `parallel` at a time, and records each in `tally`.
pub fn run(chosen: &dyn Fn(&str) -> bool, parallel: usize, tally: &mut Tally) {
    let mut jobs: VecDeque<(String, Job)> = VecDeque::new();
    for system in manifest::shipped(&root()) {
        let stop = (!system.ends_with("duo")).then_some(BLOCKS);
        for gic in gics(&system) {
            let options = Options { stop, ..Options::default() };
            let job = Job::System(system.clone(), gic, options);
            jobs.push_back((format!("{SHIPPED}/{system}/gicv{gic}"), job));
        }
    }
    // The longest checks run first.
    jobs.make_contiguous().sort_by_key(|(name, _)| name.contains("/duo/"));
    jobs.push_front((IDENTITY.to_string(), Job::Identity));
    for gic in [2, 3] {
        jobs.push_front((format!("{MUTANTS}/gicv{gic}"), Job::Mutants(gic)));
    }
    for Case(name, system, line, gics) in WHOLE_SYSTEMS {
        for &gic in *gics {
            let command_line = line.map(|line| ("chaos".to_string(), line.to_string()));
            let options = Options { command_line, ..Options::default() };
            let job = Job::System(system.to_string(), gic, options);
            jobs.push_back((format!("{CASES}/{name}/gicv{gic}"), job));
        }
    }
    let planted =
        FAULTS.iter().map(|fault| (format!("{PLANTED}/{}", fault.name), Job::Planted(fault)));
    jobs.extend(planted);
    jobs.retain(|(name, job)| {
        chosen(name)
            && match job {
                Job::System(system, ..) => tally.can_run(name, system),
                // A file that cannot be read fails the check itself.
                Job::Mutants(gic) => mutants::systems(*gic)
                    .unwrap_or_default()
                    .iter()
                    .all(|system| tally.can_run(name, system)),
                _ => true,
            }
    });
    each(jobs, parallel, tally, |builder: &mut Builder, (name, job)| {
        let result = match job {
            Job::System(system, gic, options) => system_holds(builder, &system, gic, &options),
            Job::Planted(fault) => planted_is_named(builder, fault),
            Job::Mutants(gic) => mutants_are_told(builder, gic),
            Job::Identity => identity(builder),
        };
        (name, result.map(|()| 1))
    });
}

/// Returns the GICs of the board that the shipped system `BOARD/NAME` is for.
fn gics(system: &str) -> Vec<u32> {
    let board =
        system.split_once('/').map_or(manifest::catalogue::DEFAULT_BOARD, |(board, _)| board);
    // A board that cannot be read fails every other check of its systems.
    manifest::board(&root(), board)
        .map_or(Vec::new(), |board| board.gics.iter().map(|gic| gic.version).collect())
}

fn system_holds(builder: &mut Builder, spec: &str, gic: u32, options: &Options) -> Result<()> {
    builder.gic = Some(gic);
    let findings = silicon::check(builder, spec, options)?;
    // A guest that asks for a reset ends as it should.
    ensure!(findings.failures() == 0 && findings.ended(), "\n{findings}");
    Ok(())
}

fn planted_is_named(builder: &mut Builder, fault: &Fault) -> Result<()> {
    let options =
        Options { stop: fault.blocks, first: fault.blocks.is_none(), ..Options::default() };
    builder.gic = Some(fault.gic);
    let prepared = Prepared::new(builder, "duo", &options)?;
    let places = (fault.find)(&Code::new(&prepared)?);
    ensure!(!places.is_empty(), "EL2 has no such instruction");
    let changes: Vec<_> = places.iter().map(|&place| (place, NOP)).collect();
    let bytes = patched(&prepared.image.bytes, &changes)?;
    let findings = silicon::findings(&prepared, &prepared.run(&bytes, &options)?)?;
    named(&findings, fault)
}

fn mutants_are_told(builder: &mut Builder, gic: u32) -> Result<()> {
    builder.gic = Some(gic);
    let results = mutants::run(builder, mutants::SYSTEM, &Options::default())?;
    ensure!(results.holds(), "\n{results}");
    match results.standard {
        true => mutants::page::check(&results),
        false => Ok(()),
    }
}

fn named(findings: &Findings, fault: &Fault) -> Result<()> {
    let is_it = |finding: &&Finding| {
        finding.violation.rule == fault.rule && finding.text.contains(fault.function)
    };
    findings
        .all
        .iter()
        .find(is_it)
        .map(|_| ())
        .with_context(|| format!("no {} that names {}:\n{findings}", fault.rule, fault.function))
}

/// With one thread for all cores QEMU names the core that translated a block. The checker does not
/// believe it; if it is made to, it notices.
fn identity(builder: &mut Builder) -> Result<()> {
    builder.gic = Some(3);
    let mut run = |believe: bool| -> Result<_> {
        let options = Options {
            believe,
            // The mistake shows once one guest runs.
            stop: believe.then_some(FIRST_STEPS),
            ..Options::default()
        };
        let prepared = Prepared::new(builder, "duo", &options)?;
        Ok(prepared.run(&prepared.image.bytes, &options)?.report)
    };
    let (right, wrong) = (run(false)?, run(true)?);
    ensure!(
        right.mistaken == 0 && right.identified > 1000,
        "{} of {} events are attributed to the wrong core",
        right.mistaken,
        right.identified + right.mistaken
    );
    if wrong.mistaken == 0 {
        bail!("QEMU names the right core now: the checker need not look for itself");
    }
    Ok(())
}
