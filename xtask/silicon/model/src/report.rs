// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a run found, as the plugin writes it and `cargo xtask silicon` reads it.

use serde::{Deserialize, Serialize};

/// A broken rule at one place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Violation {
    /// The rule's name.
    pub rule: String,
    /// Where: who broke it the first time.
    pub place: Place,
    /// The physical address it is about, if it is about one.
    pub address: Option<u64>,
    /// Who caused it: wrote the line, wrote the register, issued the maintenance.
    pub cause: Option<Place>,
    /// What exactly.
    pub detail: String,
    /// How often.
    pub count: u64,
}

impl Violation {
    /// Whether a guest broke the rule by what a guest did: its own affair.
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
    /// Firmware's code.
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
    /// See there.
    pub guest_blocks: u64,
    /// Accesses to RAM that were looked at.
    pub accesses: u64,
    /// The run was ended after the number of guest blocks that was asked for.
    pub stopped: bool,
    /// Reads of `TPIDR_EL2` that agreed with the core that an event was put down to.
    pub identified: u64,
    /// Those that did not: the report is worth nothing then.
    pub mistaken: u64,
    /// Cache maintenance of guests whose physical address is unknown: it was left out.
    pub unplaced: u64,
    /// Offsets in the image of EL2's cache, TLB, barrier and event instructions that were executed.
    pub reached: Vec<u32>,
    /// For each of those the same kind of instruction that ran next on the same core, also `ERET`.
    pub followed: Vec<(u32, u32)>,
    /// EL2's instructions near each violation: offset, word, text.
    pub code: Vec<(u32, u32, String)>,
}
