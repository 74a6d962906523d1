// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is typed at a system's shells where nobody sits at them, so that the system has
//! load, and an end.

#[cfg(test)]
mod tests;

use crate::linux;
use crate::qemu::Step;
use manifest::system::{Partition, System};

/// How the shell of guests/linux asks for a command, and how its kernel's command line says that
/// there is no shell.
const PROMPT: &str = "/ # ";
const NO_SHELL: &str = "bulkhead.run=";
/// What is typed at a shell that nobody sits at: the system then has load, and an end.
const ERRAND: &str = "load 15 && poweroff\r";

/// What to type at `system` so that it comes to an end by itself: every shell of guests/linux gets
/// some work, and is switched off if all was well.
pub fn errands(system: &System) -> Vec<Step> {
    let step = |seen: &str, keys: String| Step { seen: seen.to_owned(), keys: keys.into_bytes() };
    let places = system.partitions.iter().zip(1..);
    let mut steps: Vec<_> = places
        .filter(|(partition, _)| has_shell(partition))
        .flat_map(|(_, number)| {
            // A prompt that came before the partition had the input has been missed.
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
