// SPDX-License-Identifier: MIT OR Apache-2.0
//! Judges a run: whether every partition ended as it should, and if not, why.

use super::options::Outcome;
use super::verdict::Verdict;
use crate::ui;

/// Judges a run of a system with these partitions.
pub fn judge(partitions: &[&str], outcome: &Outcome) -> Verdict {
    let watch = &outcome.console.watch;
    if let Some(verdict) = watch.verdict() {
        return verdict;
    }
    let with_missing = |text: String| match watch.missing() {
        Some(missing) => format!("{text}; {missing}"),
        None => text,
    };
    match ends(partitions, outcome) {
        Err(reason) => Verdict::Fail(with_missing(reason)),
        Ok(ends) => {
            let words = ends.iter().map(|(name, state)| format!("{name} {state}"));
            let words = words.collect::<Vec<_>>().join(", ");
            let bad =
                |(name, state): &&(String, String)| state != "off" && watch.passed(name).is_none();
            match ends.iter().find(bad) {
                None if watch.missing().is_some() => Verdict::Fail(with_missing(words)),
                None => Verdict::Pass(words),
                Some((name, _)) => Verdict::Fail(match outcome.console.halt(name) {
                    Some(why) => format!("{words}; {name}: {why}"),
                    None => words,
                }),
            }
        }
    }
}

/// Returns the end of each partition: name and state.
///
/// # Errors
/// Why it is unknown, or why the run fails although the partitions ended.
pub fn ends<'a>(
    partitions: &[&str],
    outcome: &'a Outcome,
) -> Result<&'a [(String, String)], String> {
    let console = &outcome.console;
    let words = |text: &str| {
        if text.is_empty() { String::new() } else { format!(": {text}") }
    };
    if let Some(why) = console.refusal() {
        return Err(format!("Bulkhead refused the machine: {why}"));
    }
    let Some(ends) = &console.end else {
        let last = console.lines.iter().rev().find(|line| !line.is_empty());
        let last = last.map_or("nothing was printed".to_string(), |line| {
            format!("the last line was `{line}`")
        });
        return Err(match outcome.status {
            _ if ui::interrupted() => "interrupted".to_string(),
            _ if outcome.timed_out && !console.started => {
                format!("partitions did not start within {} s; {last}", outcome.time.as_secs())
            }
            _ if outcome.timed_out => {
                format!("no end line after {} s; {last}", outcome.time.as_secs())
            }
            Some(status) if !status.success() => {
                format!("QEMU ended early ({status}){}", words(&outcome.stderr))
            }
            _ => format!("the machine stopped without Bulkhead's end line; {last}"),
        });
    };
    if !ends.iter().map(|(name, _)| name.as_str()).eq(partitions.iter().copied()) {
        return Err(format!(
            "Bulkhead's end line names other partitions than {}",
            partitions.join(", ")
        ));
    }
    match outcome.status {
        Some(status) if !status.success() => {
            Err(format!("QEMU failed ({status}){}", words(&outcome.stderr)))
        }
        None if outcome.timed_out => {
            Err(format!("the machine did not power off within {} s", outcome.time.as_secs()))
        }
        None if ui::interrupted() => Err("interrupted".to_string()),
        _ => Ok(ends),
    }
}
