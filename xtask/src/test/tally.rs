// SPDX-License-Identifier: MIT OR Apache-2.0
//! Runs checks, several at a time, and collects their results.

use super::skipped::Skipped;
use anyhow::Result;
use runner::{linux, ui};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Runs the checks `jobs`, at most `parallel` at a time, and records each: `judge` returns its name
/// and its result. Each thread keeps a state that one check leaves for the next.
pub fn each<T: Send, S: Default>(
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

/// The results so far.
#[derive(Default)]
pub struct Tally {
    /// Checks that ran or were skipped.
    pub checks: usize,
    passed: usize,
    skipped: usize,
    /// Names of those that failed.
    pub failed: Vec<String>,
    /// Systems that were checked for packages of Debian, and why they cannot be built.
    fetched: BTreeMap<String, Option<String>>,
}

impl Tally {
    /// Takes a check's result (how many tests passed in it, or why it failed) and returns its line.
    pub fn record(&mut self, name: &str, time: Duration, result: Result<usize>) -> String {
        self.checks += 1;
        let seconds = time.as_secs_f32();
        match result {
            Ok(count) => {
                self.passed += count;
                let tests = if count > 1 { format!(": {count} tests") } else { String::new() };
                format!("ok {name}{tests} ({seconds:.1} s)")
            }
            Err(error) if error.is::<Skipped>() => {
                self.skipped += 1;
                format!("skipped {name}: {error}")
            }
            Err(error) => {
                self.failed.push(name.to_string());
                // The innermost error is the reason; the others give its place.
                let mut reasons: Vec<_> = error.chain().map(ToString::to_string).collect();
                reasons.reverse();
                format!("FAILED {name} ({seconds:.1} s): {}", reasons.join("\n  "))
            }
        }
    }

    /// Whether the packages of a check's system are available. If not, the check is recorded as
    /// skipped: a package cannot be fetched.
    pub fn can_run(&mut self, name: &str, system: &str) -> bool {
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
            let skipped = Skipped("Debian's packages cannot be fetched here");
            ui::say(self.record(name, Duration::ZERO, Err(skipped.into())));
        }
        why.is_none()
    }

    /// Returns the last lines.
    pub fn result(&self, time: Duration) -> String {
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
