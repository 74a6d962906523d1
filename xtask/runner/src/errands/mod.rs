// SPDX-License-Identifier: MIT OR Apache-2.0
//! Input for a system's shells in runs without a person, so that the system has load and ends.

#[cfg(test)]
mod tests;

use crate::linux;
use crate::qemu::Step;
use manifest::system::{Partition, System};
use report::{Order, READY};

/// The prompt of the shell of guests/linux, and the word on its kernel's command line that disables
/// the shell.
const PROMPT: &str = "/ # ";
const NO_SHELL: &str = "bulkhead.run=";
/// The command that is typed at a shell in a run without a person: it makes load and then powers
/// the partition off.
const ERRAND: &str = "load 15 && poweroff\r";

/// The command line of the partition of guests/latency that takes orders.
const MEASURES: &str = "role=lead";

/// Returns the input that makes `system` end by itself: every shell of guests/linux gets some work,
/// and is switched off if that succeeded. guests/latency measures once, and
/// is switched off.
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
    // The partition that takes orders is its system's first, which has the input at boot.
    let first = system.partitions.first().and_then(|partition| partition.command_line.as_deref());
    if first == Some(MEASURES) {
        let orders = [Order::Run { nonce: 0, samples: 1 }, Order::End];
        let order = |order: Order| step(READY, format!("{}\n", order.encode().as_str()));
        steps.extend(orders.map(order));
    }
    steps
}

fn has_shell(partition: &Partition) -> bool {
    let line = partition.command_line.as_deref().unwrap_or_default();
    let initrd = partition.initrd.as_ref();
    initrd.is_some_and(|(file, _)| linux::is_kept(file)) && !line.contains(NO_SHELL)
}
