// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the physical distributor and redistributor have to know: enables, routes, pending bits.

use crate::hardware::{Bank, Hardware};
use crate::vcpu::{Vcpu, intid};

/// How often hardware is written, because a sibling changed the words meanwhile, for one write of a
/// register. If a guest's vCPUs change these as often, hardware may keep an earlier state until the
/// next change.
pub(crate) const BOUND: usize = 8;

impl<H: Hardware> Vcpu<'_, H> {
    /// [`Physical::write_bank`](crate::Physical::write_bank), not inlined: many paths end with it.
    #[inline(never)]
    pub(crate) fn write_bank(&mut self, bank: Bank, index: usize, mask: u32) {
        if mask != 0 {
            self.hardware.write_bank(bank, index, mask);
        }
    }

    /// Returns whether hardware raises the interrupt `bit` of word `index`.
    pub(crate) fn is_physical(&self, index: usize, bit: u32) -> bool {
        self.word(index).physical.get() & bit != 0
    }

    /// Returns a latched physical interrupt to the physical GIC, which signals it again where and
    /// when it may. Its line says whether it is still pending, unless an edge or a register write
    /// made it so. One that `stays_active` is not deactivated.
    pub(crate) fn return_to_distributor(&mut self, index: usize, bit: u32, stays_active: bool) {
        let latch = self.latches(index);
        latch.pending.put(bit, false);
        // It may be here because this core and a sibling wrote route or enable at once.
        self.apply_enable(index, bit);
        self.route(index, bit);
        if latch.sw_pending.take(bit) || self.word(index).edge.get() & bit != 0 {
            self.make_pending(index, bit);
        }
        if !stays_active {
            self.write_bank(Bank::ClearActive, index, bit);
        }
    }

    /// Makes a physical interrupt pending in hardware, and records for a level that its arrival may
    /// not be of its line.
    pub(crate) fn make_pending(&mut self, index: usize, bit: u32) {
        let word = self.word(index);
        if word.edge.get() & bit == 0 {
            word.sw_pending_ahead.set(bit);
            self.gic.mark_stale(self.own, index);
        }
        self.write_bank(Bank::SetPending, index, bit);
    }

    /// Enables in the physical GIC what may be signalled and disables what may not. Reads the words
    /// again afterwards: a sibling may have changed them meanwhile, and the last writer of hardware
    /// must have seen their last state.
    pub(crate) fn apply_enable(&mut self, index: usize, mask: u32) {
        let word = self.word(index);
        let mask = mask & word.physical.get();
        if mask == 0 {
            return;
        }
        for _ in 0..BOUND {
            let on = self.gic.on(word) & mask;
            self.write_bank(Bank::SetEnable, index, on);
            self.write_bank(Bank::ClearEnable, index, mask & !on);
            if self.gic.on(word) & mask == on {
                break;
            }
        }
    }

    /// Routes a physical SPI in hardware as the shared words say. Of two routes at once the earlier
    /// may stay in hardware; the core where the SPI arrives then returns and routes it again.
    pub(crate) fn route(&mut self, index: usize, bit: u32) {
        let intid = intid(index, bit);
        if index != 0
            && self.is_physical(index, bit)
            && let Some(target) = self.gic.target(intid)
        {
            self.hardware.route(intid, target);
        }
    }
}
