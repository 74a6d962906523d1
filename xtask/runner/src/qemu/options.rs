// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a run differs in from the board's data, and what comes of it.

use super::console::Console;
use super::keyboard::Input;
use std::process::ExitStatus;
use std::time::Duration;

/// An exception level at which loaders should not start an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// The machine has no EL2.
    El1,
    /// The image is in memory before any firmware runs, at firmware's address, and the boot core
    /// starts it. There is no device tree.
    El3,
}

/// The differences of a run from the board's data.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Counts instructions instead of time: every run is the same, and cores take turns.
    pub icount: bool,
    /// Number of cores (`-smp`).
    pub cores: Option<u32>,
    /// RAM (`-m`), as QEMU writes it.
    pub memory: Option<String>,
    /// Core type (`-cpu`).
    pub cpu: Option<String>,
    /// GIC version of the machine, also if the image is for another one.
    pub gic: Option<u32>,
    /// Further words for EL2 on the boot command line.
    pub append: Option<String>,
    /// The exception level that the image is entered at, if not EL2.
    pub level: Option<Level>,
    /// Further arguments.
    pub extra: Vec<String>,
    /// The number in EL2's last line; a random one if none.
    pub nonce: Option<u64>,
    /// How long the machine may take until partitions start.
    pub boot_limit: Option<Duration>,
    /// How long the run may take from there.
    pub limit: Option<Duration>,
    /// The limit ends when a key is pressed at the terminal.
    pub limit_ends_with_key: bool,
    /// The input.
    pub input: Input,
}

/// The results of a run.
pub struct Outcome {
    /// QEMU's command line, so that people can repeat the run.
    pub command: String,
    /// The console.
    pub console: Console,
    /// Its bytes, as received.
    pub bytes: Vec<u8>,
    /// QEMU's error output.
    pub stderr: String,
    /// How QEMU ended; none if this process ended it.
    pub status: Option<ExitStatus>,
    /// Whether the time limit passed.
    pub timed_out: bool,
    /// How long it ran since partitions started, or since QEMU did if they never started.
    pub time: Duration,
    /// Text that the test's input still waited for.
    pub unseen: Option<String>,
}
