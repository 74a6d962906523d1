//! `cargo xtask test`: runs every check, prints one line each, and the result last.

mod card;
mod damage;
mod hil;
mod host;
mod labgrid;
mod loader;
mod serial;
mod shipped;
mod silicon;
mod skipped;
mod system;
mod tally;
#[cfg(test)]
mod tests;

use crate::bench;
use anyhow::{Result, bail};
use runner::ui;
use std::iter::once;
use std::time::Instant;
use tally::{Tally, each};

/// The check that no operation of EL2 has become slower.
const BASELINE: &str = "bench/baseline";

/// The check of labgrid's strategy and example.
const LABGRID: &str = "labgrid/strategy";

/// The check that U-Boot reads a card and starts the image on it.
const U_BOOT: &str = "flash/u-boot";

/// The tests to run.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Only checks whose name holds this.
    pub filter: String,
    /// Leaves out everything that needs QEMU.
    pub host_only: bool,
    /// Runs only what needs QEMU.
    pub system_only: bool,
    /// Also runs the cases that take too long for CI.
    pub long: bool,
    /// Runs only whole systems, with EL2 built without its fast paths.
    pub without_fast_paths: bool,
    /// Number of checks at a time.
    pub jobs: Option<usize>,
}

/// Runs the tests; returns whether all passed.
///
/// # Errors
/// If there is nothing to run, or the systems under test do not build.
pub fn command(options: &Options) -> Result<bool> {
    let start = Instant::now();
    let mut tally = Tally::default();
    let chosen = |name: &str| name.contains(&options.filter);
    let jobs =
        options.jobs.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    if !options.system_only && !options.without_fast_paths {
        let checks = host::CHECKS.iter().filter(|check| chosen(check.name));
        each(checks.collect(), jobs, &mut tally, |(): &mut (), check| {
            (check.name.to_owned(), (check.run)(check.name))
        });
        if ui::interrupted() {
            bail!("interrupted");
        }
    }
    if !options.host_only {
        let mut cases: Vec<_> = system_tests::cases()
            .into_iter()
            .filter(|case| chosen(case.name) && (options.long || !case.is_long))
            // A build cannot be compared with itself.
            .filter(|case| !(options.without_fast_paths && case.expect.compares_builds()))
            .collect();
        for case in &mut cases {
            case.without_fast_paths |= options.without_fast_paths;
        }
        cases.retain(|case| {
            let mut wants = once(case.system).chain(case.machine.firmware);
            wants.all(|what| tally.can_run(case.name, what))
        });
        system::run(&cases, jobs, &mut tally)?;
        // The following checks are about the images that ship.
        let ships = !options.without_fast_paths;
        if ships {
            shipped::run(&chosen, jobs, &mut tally);
            hil::run(&chosen, jobs, &mut tally);
            serial::run(&chosen, options.long, jobs, &mut tally);
        }
        // It takes two minutes on two cores, and the mutants ten for each GIC: too long for CI.
        if options.long && ships {
            silicon::run(&chosen, jobs, &mut tally);
        }
        if ships && chosen(LABGRID) && tally.can_run(LABGRID, "rpi4/duo") {
            let start = Instant::now();
            let result = labgrid::strategy();
            ui::say(tally.record(LABGRID, start.elapsed(), result));
        }
        if ships && chosen(U_BOOT) {
            let start = Instant::now();
            let result = card::u_boot();
            ui::say(tally.record(U_BOOT, start.elapsed(), result));
        }
        if ui::interrupted() {
            bail!("interrupted");
        }
    }
    if !options.host_only && !options.without_fast_paths && chosen(BASELINE) {
        let start = Instant::now();
        let result = bench::check_baseline();
        ui::say(tally.record(BASELINE, start.elapsed(), result));
    }
    if tally.checks == 0 {
        bail!("nothing to test: no check's name contains `{}`", options.filter);
    }
    ui::say(tally.result(start.elapsed()));
    Ok(tally.failed.is_empty())
}
