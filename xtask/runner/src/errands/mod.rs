// SPDX-License-Identifier: MIT OR Apache-2.0
//! Input for a system's shells in runs without a person, so that the system has load and ends.

#[cfg(test)]
mod tests;

use crate::linux;
use crate::qemu::Step;
use manifest::system::{Partition, System};

/// The prompt of the shell of guests/linux, and the word on its kernel's command line that disables
/// the shell.
const PROMPT: &str = "/ # ";
const NO_SHELL: &str = "bulkhead.run=";
/// The command that is typed at a shell in a run without a person: it makes load and then powers
/// the partition off.
const ERRAND: &str = "load 15 && poweroff\r";

/// Returns the input that makes `system` end by itself: every shell of guests/linux gets some work,
/// and is switched off if that succeeded.
pub fn errands(system: &System) -> Vec<Step> {
    let step = |seen: &str, keys: String| Step { seen: seen.to_owned(), keys: keys.into_bytes() };
    let places = system.partitions.iter().zip(1..);
    let mut steps: Vec<_> = places
        .filter(|(partition, _)| has_shell(partition))
        .flat_map(|(_, number)| {
            // A prompt that was printed before the partition had the input is no longer seen, so
            // the return key asks for another one.
            let focus = step("", format!("\x01{number}\r"));
            [focus, step(PROMPT, ERRAND.to_owned())]
        })
        .collect();
    if !steps.is_empty() {
        steps.push(step("", "\x010".to_owned()));
    }
    steps
}

fn has_shell(partition: &Partition) -> bool {
    let line = partition.command_line.as_deref().unwrap_or_default();
    let initrd = partition.initrd.as_ref();
    initrd.is_some_and(|(file, _)| linux::is_kept(file)) && !line.contains(NO_SHELL)
}
