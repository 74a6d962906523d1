// SPDX-License-Identifier: MIT OR Apache-2.0
//! A run's results, as the plugin writes them and `cargo xtask silicon` reads them.

use serde::{Deserialize, Serialize};

/// A broken rule at one place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Violation {
    /// The rule's name.
    pub rule: String,
    /// The instruction that broke it the first time.
    pub place: Place,
    /// The physical address it is about, if any.
    pub address: Option<u64>,
    /// The instruction that caused it: it wrote the line, wrote the register, or issued the
    /// maintenance.
    pub cause: Option<Place>,
    /// The details.
    pub detail: String,
    /// How often it was broken.
    pub count: u64,
}

impl Violation {
    /// Whether a guest broke the rule by its own operations, which does not count against EL2.
    #[must_use]
    pub fn is_guests(&self) -> bool {
        self.place.el < 2 && self.cause.is_some_and(|cause| cause.el < 2)
    }
}

/// An instruction, by one core, at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Core number.
    pub core: usize,
    /// Exception level.
    pub el: u8,
    /// Address.
    pub pc: u64,
    /// Time, in blocks that all cores together had started.
    pub block: u32,
    /// Whether it is firmware's code.
    pub firmware: bool,
}

/// A run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Every broken rule.
    pub violations: Vec<Violation>,
    /// Where the loader put the image; none if EL2 never ran.
    pub loaded: Option<u64>,
    /// Blocks that all cores started, and those of them at EL1 and EL0.
    pub blocks: u64,
    /// Blocks at EL1 and EL0.
    pub guest_blocks: u64,
    /// Accesses to RAM that were checked.
    pub accesses: u64,
    /// Whether the run was ended after the number of guest blocks that was asked for.
    pub stopped: bool,
    /// Whether the run was ended because it had more blocks than it may have.
    pub hangs: bool,
    /// Reads of `TPIDR_EL2` that agreed with the core that an event was attributed to.
    pub identified: u64,
    /// Reads that did not: then the report has no value.
    pub mistaken: u64,
    /// Cache maintenance of guests whose physical address is unknown, and which was left out.
    pub unplaced: u64,
    /// Offsets in the image of EL2's cache, TLB, barrier and event instructions that were executed.
    pub reached: Vec<u32>,
    /// Those of them that were executed after the first block of a guest.
    pub reached_late: Vec<u32>,
    /// For each of those, the instruction of the same kind (or `ERET`) that ran next on the same
    /// core.
    pub followed: Vec<(u32, u32)>,
    /// EL2's instructions near each violation: offset, word, text.
    pub code: Vec<(u32, u32, String)>,
}
