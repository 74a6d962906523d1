//! Runs every shipped system through every command that inspects one: check, verify, draw, and the
//! live machine. Also runs machines that differ from their image, which the live check must notice.

use super::tally::{Tally, each};
use crate::verify::live::{self, Meddling, Report};
use crate::{draw, verify};
use anyhow::{Context, Result, bail, ensure};
use manifest::system::System;
use plan::{Core, Header};
use planner::{Image, rows};
use runner::build::Builder;
use runner::workspace::root;
use std::collections::VecDeque;
use std::mem::offset_of;

/// A check of one shipped system.
type Check = fn(&mut Builder, &str) -> Result<()>;

/// The checks of every shipped system.
const CHECKS: &[(&str, Check)] =
    &[("check", check), ("draw", drawing), ("verify", verified), ("live", live)];
/// Machines that differ from their image.
const CAUGHT: &[(&str, Check)] = &[
    ("live/other-register", other_register),
    ("live/written-table", written_table),
    ("live/refused", refused),
];
/// The system of those.
const MEDDLED: &str = "duo";
/// `HCR_EL2.TSC`.
const TSC: u64 = 1 << 19;

/// A check that waits for its turn: its name, its system, and its function.
type Job = (String, String, Check);

/// Runs the checks whose name is chosen, at most `parallel` at a time, and records each in `tally`.
pub fn run(chosen: &dyn Fn(&str) -> bool, parallel: usize, tally: &mut Tally) {
    let mut jobs: VecDeque<Job> = VecDeque::new();
    for system in manifest::shipped(&root()) {
        let named = CHECKS
            .iter()
            .map(|(what, check)| (format!("shipped/{system}/{what}"), system.clone(), *check));
        jobs.extend(named);
    }
    let caught = CAUGHT.iter();
    jobs.extend(caught.map(|(name, check)| ((*name).to_owned(), MEDDLED.to_owned(), *check)));
    jobs.retain(|(name, system, _)| chosen(name) && tally.can_run(name, system));
    each(jobs, parallel, tally, |builder, (name, system, check)| {
        let result = check(builder, &system);
        (name, result.map(|()| 1))
    });
}

fn compiled(builder: &mut Builder, spec: &str) -> Result<(System, Image)> {
    let system = builder.system(spec)?;
    let image = builder.image(&system)?;
    Ok((system, image))
}

fn check(builder: &mut Builder, spec: &str) -> Result<()> {
    let checked = manifest::check(&root(), spec, &mut |name| builder.file(name));
    match checked {
        Ok((_, warnings)) if warnings.is_empty() => Ok(()),
        Ok((_, findings)) | Err(findings) => bail!("{findings}"),
    }
}

fn drawing(builder: &mut Builder, spec: &str) -> Result<()> {
    let (system, image) = compiled(builder, spec)?;
    let drawing = draw::draw(&system, &image.design);
    let name = format!("docs/{spec}.svg");
    let committed = std::fs::read_to_string(root().join(&name));
    ensure!(
        committed.is_err() || committed.is_ok_and(|text| text == drawing),
        "{name} differs from the drawing: run `cargo xtask draw {spec} -o {name}`"
    );
    Ok(())
}

fn verified(builder: &mut Builder, spec: &str) -> Result<()> {
    let system = builder.system(spec)?;
    verify::image(builder, &system).map(|_| ())
}

fn live(builder: &mut Builder, spec: &str) -> Result<()> {
    let (system, image) = compiled(builder, spec)?;
    let report = live::run(builder, &system, &image, &image.bytes, Meddling::None)?;
    ensure!(report.holds(), "\n{report}");
    Ok(())
}

/// A loader starts another image than the verified one: one trap bit of the last core is off, and
/// the checksum is right.
fn other_register(builder: &mut Builder, spec: &str) -> Result<()> {
    let (system, image) = compiled(builder, spec)?;
    let mut started = image.bytes.clone();
    let start = usize::try_from(image.design.el2.size())?;
    let end = start + usize::try_from(image.design.plan_size)?;
    let plan = &mut started[start..end];
    let cores = offset_of!(Header, cores);
    let rows = u32::from_le_bytes(plan[cores..cores + 4].try_into()?) as usize;
    let last = system.partitions.iter().map(|p| p.vcpus.len()).sum::<usize>() - 1;
    let at = rows + last * size_of::<Core>() + offset_of!(Core, hcr);
    let hcr = u64::from_le_bytes(plan[at..at + 8].try_into()?);
    ensure!(hcr & TSC != 0, "HCR_EL2 is not at the expected place");
    plan[at..at + 8].copy_from_slice(&(hcr & !TSC).to_le_bytes());
    rows::seal(plan);
    let report = live::run(builder, &system, &image, &started, Meddling::None)?;
    notices(
        &report,
        "at boot: core 2 (control/0): HCR_EL2 is ",
        "TSC is 0x0, must be 0x1: SMC enters EL2",
    )
}

/// A translation table is written while guests run.
fn written_table(builder: &mut Builder, spec: &str) -> Result<()> {
    let (system, image) = compiled(builder, spec)?;
    let report = live::run(builder, &system, &image, &image.bytes, Meddling::Table)?;
    let early = report.differences.iter().find(|text| text.starts_with("at boot"));
    ensure!(early.is_none(), "reported before it was written: {early:?}");
    notices(&report, "under load: memory at 0x", "(entry 0 of a table of ")
}

/// A machine that EL2 refuses must not pass as a correct one.
fn refused(builder: &mut Builder, spec: &str) -> Result<()> {
    let (system, image) = compiled(builder, spec)?;
    let mut started = image.bytes.clone();
    let last = usize::try_from(image.design.el2.size() + image.design.plan_size)? - 1;
    started[last] ^= 1;
    let report = live::run(builder, &system, &image, &started, Meddling::None)?;
    let verdict = report.verdict.to_string();
    ensure!(
        !report.holds() && report.looks == [0; 3] && verdict.contains("refused the machine: plan"),
        "\n{report}"
    );
    Ok(())
}

/// Checks that some difference has both texts.
fn notices(report: &Report, start: &str, words: &str) -> Result<()> {
    let says = |text: &&String| text.starts_with(start) && text.contains(words);
    ensure!(!report.holds(), "live reported no difference:\n{report}");
    report
        .differences
        .iter()
        .find(says)
        .map(|_| ())
        .with_context(|| format!("no difference says `{start}…{words}`:\n{report}"))
}
