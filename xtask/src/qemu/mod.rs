//! `cargo xtask qemu`: builds a system, runs it on QEMU, shows its console, and ends with one
//! verdict.

mod console;
mod keyboard;
mod machine;
#[cfg(test)]
mod tests;
mod verdict;
mod watch;

pub use console::{Console, EL2, Plain, REFUSED};
pub use keyboard::{Input, Step, restore as restore_terminal};
pub use machine::{Level, Options, Outcome, PROGRAM, device_tree, run};
pub use verdict::{Verdict, ends, judge};
pub use watch::Watch;

use crate::build::{self, Builder};
use crate::linux::{self, Instead};
use crate::system::System;
use crate::{ui, verify};
use anyhow::{Context, Result, bail};
use std::io::Write;

/// Builds `spec` for GIC version `gic` or its board's first, with `instead` of what it takes from
/// Debian, runs it and prints its console and the verdict on standard output. The run ends with a
/// line that holds `until`, if that is given.
///
/// # Errors
/// If it cannot be built or run; a run that fails is a [`Verdict`].
pub fn command(
    spec: &str,
    gic: Option<u32>,
    instead: Instead,
    until: Option<String>,
    options: &Options,
) -> Result<Verdict> {
    let mut builder = Builder::for_gic(gic);
    builder.instead = instead.of(spec)?;
    let system = builder.system(spec)?;
    let image = verify::image(&mut builder, &system)?;
    let path = build::target_dir().join("images").join(format!("{}.img", system.name));
    build::write(&path, &image.bytes)?;

    let mut stdout = std::io::stdout();
    let raw = ui::coloured(&stdout);
    let mut plain = Plain::default();
    let outcome = run(
        &board(&system)?,
        &path,
        options,
        system.at_end == plan::END_WAIT,
        Watch::new(&system, until),
        &mut |bytes| {
            if raw {
                stdout.write_all(bytes)?;
            } else {
                let text: Vec<u8> = bytes.iter().filter_map(|&byte| plain.filter(byte)).collect();
                stdout.write_all(&text)?;
            }
            stdout.flush().context("cannot write the console's output")
        },
    )?;
    if outcome.bytes.last().is_some_and(|&byte| byte != b'\n') {
        ui::say("");
    }
    if !outcome.stderr.is_empty() {
        eprintln!("{}", outcome.stderr);
    }
    let verdict = judge(&partitions(&system), &outcome);
    ui::say(&verdict);
    Ok(verdict)
}

/// How QEMU runs a system's board: with the board's number of cores and RAM, or more if the system
/// has more, and with the file of its device tree.
///
/// # Errors
/// If it does not, or the device tree cannot be fetched.
pub fn board(system: &System) -> Result<crate::system::Qemu> {
    let vcpus = system.partitions.iter().flat_map(|p| &p.vcpus);
    let used = vcpus.map(|vcpu| vcpu.core + 1).max().unwrap_or(0);
    let ram = system.board.ram.iter().map(|range| range.size).sum();
    match &system.board.qemu {
        Some(qemu) => Ok(crate::system::Qemu {
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
