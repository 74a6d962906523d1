// SPDX-License-Identifier: MIT OR Apache-2.0
//! In place of `records.rs` in an EL2 without crash records: there is no ring.

use plan::Range;

/// No ring.
#[derive(Clone, Copy)]
pub struct Records;

/// Nothing.
#[repr(C)]
pub struct Known;

impl Records {
    /// # Safety
    /// Every range is allowed: it is not used.
    pub unsafe fn new(_: Range) -> Self {
        Self
    }

    pub fn recover(&self, _: &Known, _: u32) {}
}
