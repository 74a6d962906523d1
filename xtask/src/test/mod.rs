//! `cargo xtask test`: everything that is checked, one line each, and one result last.

mod damage;
mod host;
mod loader;
mod shipped;
mod silicon;
mod system;
#[cfg(test)]
mod tests;

use crate::{bench, linux, ui};
use anyhow::{Result, bail};
use std::collections::{BTreeMap, VecDeque};
use std::iter::once;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The check that no operation of EL2 became slower.
const BASELINE: &str = "bench/baseline";

/// What is tested.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Only checks whose name holds this.
    pub filter: String,
    /// Nothing that needs QEMU.
    pub host_only: bool,
    /// Only what needs QEMU.
    pub system_only: bool,
    /// The cases too that take too long for CI.
    pub long: bool,
    /// Whole systems only, with EL2 built without its fast paths.
    pub without_fast_paths: bool,
    /// Checks at a time.
    pub jobs: Option<usize>,
}

/// Runs the tests; answers whether all passed.
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
            // One build cannot be compared with itself.
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
        // What follows is about the images that ship.
        let ships = !options.without_fast_paths;
        if ships {
            shipped::run(&chosen, jobs, &mut tally);
        }
        // Two minutes on two cores: CI has no room for them.
        if options.long && ships {
            silicon::run(&chosen, jobs, &mut tally);
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
        bail!("nothing to test: no check's name holds `{}`", options.filter);
    }
    ui::say(tally.result(start.elapsed()));
    Ok(tally.failed.is_empty())
}

/// Makes the checks `jobs`, at most `parallel` at a time, and records each: `judge` gives its name
/// and its result. What one check leaves for the next, a thread keeps.
fn each<T: Send, S: Default>(
    jobs: VecDeque<T>,
    parallel: usize,
    tally: &mut Tally,
    judge: impl Fn(&mut S, T) -> (String, Result<usize>) + Sync,
) {
    let jobs = Mutex::new(jobs);
    let tally = Mutex::new(tally);
    let work = || {
        let mut state = S::default();
        while let Some(job) = ui::next(&jobs) {
            let start = Instant::now();
            let (name, result) = judge(&mut state, job);
            let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
            ui::say(tally.record(&name, start.elapsed(), result));
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..parallel {
            scope.spawn(work);
        }
    });
}

/// What came out so far.
#[derive(Default)]
struct Tally {
    checks: usize,
    passed: usize,
    skipped: usize,
    failed: Vec<String>,
    /// Systems that were looked at for packages of Debian, and why they cannot be made.
    fetched: BTreeMap<String, Option<String>>,
}

impl Tally {
    /// Takes a check's result (how many tests passed in it, or why it failed) and answers its line.
    fn record(&mut self, name: &str, time: Duration, result: Result<usize>) -> String {
        self.checks += 1;
        let seconds = time.as_secs_f32();
        match result {
            Ok(count) => {
                self.passed += count;
                let tests = if count > 1 { format!(": {count} tests") } else { String::new() };
                format!("ok {name}{tests} ({seconds:.1} s)")
            }
            Err(error) if error.is::<host::Skipped>() => {
                self.skipped += 1;
                format!("skipped {name}: {error}")
            }
            Err(error) => {
                self.failed.push(name.to_string());
                // The innermost error is the reason; the others say where to look.
                let mut reasons: Vec<_> = error.chain().map(ToString::to_string).collect();
                reasons.reverse();
                format!("FAILED {name} ({seconds:.1} s): {}", reasons.join("\n  "))
            }
        }
    }

    /// Whether a check has its system here, or something else of Debian's. If not, it is recorded
    /// as skipped: a package cannot be fetched.
    fn can_run(&mut self, name: &str, system: &str) -> bool {
        let known = self.fetched.get(system);
        let why = known.cloned().unwrap_or_else(|| {
            let why = linux::fetched(system).err().map(|error| format!("{error:#}"));
            if let Some(why) = &why {
                eprintln!("{system}: {why}");
            }
            self.fetched.insert(system.to_string(), why.clone());
            why
        });
        if why.is_some() {
            let skipped = host::Skipped("Debian's packages cannot be fetched here");
            ui::say(self.record(name, Duration::ZERO, Err(skipped.into())));
        }
        why.is_none()
    }

    /// The last lines.
    fn result(&self, time: Duration) -> String {
        let Self { passed, skipped, failed, .. } = self;
        let seconds = time.as_secs();
        let failures = failed.len();
        let counts = format!("{passed} passed; {failures} failed; {skipped} skipped; {seconds} s");
        if failed.is_empty() {
            format!("test result: ok. {counts}")
        } else {
            format!("failed: {}\ntest result: FAILED. {counts}", failed.join(", "))
        }
    }
}
