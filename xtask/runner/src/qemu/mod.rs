// SPDX-License-Identifier: MIT OR Apache-2.0
//! Runs of a system on QEMU: the machine of its board, its console, and one verdict.

mod console;
mod conversation;
mod judge;
mod keyboard;
mod machine;
mod options;
#[cfg(test)]
mod tests;
mod verdict;
mod watch;

pub use console::{Console, Plain, REFUSED};
pub use conversation::{Line, converse, pieces};
pub use judge::{ends, judge};
pub use keyboard::{Input, Step, restore as restore_terminal};
pub use machine::{Machine, PROGRAM, device_tree, random, run, start};
pub use options::{Level, Options, Outcome};
pub use verdict::Verdict;
pub use watch::{EL2, Watch};

use crate::linux;
use anyhow::{Result, bail};
use manifest::system::{Qemu, System};

/// Returns how QEMU runs a system's board: with the board's number of cores and RAM, or more if the
/// system has more, and with the file of its device tree.
///
/// # Errors
/// If QEMU does not run it, or the device tree cannot be fetched.
pub fn board(system: &System) -> Result<Qemu> {
    let vcpus = system.partitions.iter().flat_map(|p| &p.vcpus);
    let used = vcpus.map(|vcpu| vcpu.core + 1).max().unwrap_or(0);
    let ram = system.board.ram.iter().map(|range| range.size).sum();
    match &system.board.qemu {
        Some(qemu) => Ok(Qemu {
            cores: qemu.cores.max(used),
            memory: qemu.memory.max(ram),
            dtb: match &qemu.dtb {
                Some(name) => Some(linux::device_tree(name)?.display().to_string()),
                None => None,
            },
            machine: match system.board.gics.len() {
                0..=1 => qemu.machine.clone(),
                _ => machine::with_gic(&qemu.machine, system.board.gic.version),
            },
            ..qemu.clone()
        }),
        None => bail!("{}: QEMU has no machine for the board {}", system.name, system.board.name),
    }
}

/// Names of a system's partitions, in order.
pub fn partitions(system: &System) -> Vec<&str> {
    system.partitions.iter().map(|partition| partition.name.as_str()).collect()
}
