// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which core acts for an interrupt, and how it learns of that.
//!
//! What does not fit at once takes one way, [`Vcpu::sync`]: the list registers are folded into the
//! latches (`fold.rs`), the requests of register writes are applied, and the list registers are
//! filled with what matters most (`fill.rs`). Only the core that is responsible for an interrupt
//! does so. A register write of pending or active bits, the own core's too, is a request beside the
//! latch; a sibling gets one kick for it.

use crate::hardware::{Bank, Hardware, interface};
use crate::state::{ALL_STALE, RESYNC, Request, SGIS};
use crate::vcpu::{Vcpu, intid};
use crate::words::Bits;

impl<H: Hardware> Vcpu<'_, H> {
    /// Makes list registers, latches and hardware of this vCPU agree. EL2 calls it on a maintenance
    /// interrupt: list registers have room, or an interrupt ended that EL2 must know of.
    pub fn sync(&mut self) {
        self.fold_list_registers();
        self.fill_list_registers();
    }

    /// Makes the cores that are responsible for the interrupts `mask` of `vcpu`'s word `index`
    /// sync; with `arriving` also siblings at which one of them may be arriving at this moment.
    /// Such a core has read an entry that is outdated now, and does not show as the holder yet.
    pub(crate) fn request_resync(&mut self, vcpu: usize, index: usize, mask: u32, arriving: bool) {
        if index == 0 {
            return self.wake(u32::from(mask != 0) << vcpu);
        }
        let live = self.live(vcpu, index);
        let mut cores = 0;
        for number in Bits(mask) {
            let intid = intid(index, 1 << number);
            let core = self.responsible_vcpu(intid);
            let is_live = live >> number & 1 != 0 || self.gic.holder(intid).is_some();
            if is_live || (arriving && core != self.own) {
                cores |= 1 << core;
            }
        }
        self.wake(cores);
    }

    /// Returns the vCPU that acts for SPI `intid`: the one that holds it, or the one that it is
    /// routed to. If there is neither, any may act.
    pub(crate) fn responsible_vcpu(&self, intid: u32) -> usize {
        let holder = self.gic.holder(intid);
        holder.or(self.gic.target(intid)).unwrap_or(self.own)
    }

    /// Returns the interrupts of `vcpu`'s word `index` that are pending or active as far as its
    /// latches know, or about to be.
    pub(crate) fn live(&self, vcpu: usize, index: usize) -> u32 {
        self.held(vcpu, index) | self.gic.word(vcpu, index).unheld.get()
    }

    /// [`Self::live`] without those that are only unheld.
    #[inline(always)]
    pub(crate) fn held(&self, vcpu: usize, index: usize) -> u32 {
        let word = self.gic.word(vcpu, index);
        let latches = self.gic.latches(vcpu, index);
        let latched = latches.pending.get() | latches.active.get();
        latched | word.line_level.get() | word.requested()
    }

    /// Makes the cores of the vCPUs `cores` sync, one bit each.
    pub(crate) fn wake(&mut self, cores: u32) {
        for core in Bits(cores & !(1 << self.own)) {
            self.post(core as usize, RESYNC);
        }
        if cores >> self.own & 1 != 0 {
            self.sync();
        }
    }

    /// Adds `requests` to vCPU `target`'s request word and kicks its core, unless a kick is on its
    /// way already.
    pub(crate) fn post(&mut self, target: usize, requests: u32) {
        self.fast_post(target, requests);
    }

    /// [`Self::post`], inlined for the fast paths.
    #[inline(always)]
    pub(crate) fn fast_post(&mut self, target: usize, requests: u32) {
        let word = self.gic.word(target, 0);
        let before = word.requests.fast_set(requests);
        if before & !ALL_STALE == 0 {
            self.hardware.kick(target);
        }
    }

    /// Returns whether the latches say that the interrupt is pending and may be signalled to some
    /// vCPU.
    pub(crate) fn signals(&self, index: usize, bit: u32) -> bool {
        let word = self.word(index);
        let latched = self.latches(index).pending.get() | word.unheld.get();
        (latched | word.line_level.get()) & bit != 0 && self.gic.on(word) & bit != 0
    }

    /// Makes `request` for the interrupts `mask` of `vcpu`'s word `index`, which withdraws the
    /// opposite one, and has the responsible cores apply it.
    pub(crate) fn request(&mut self, request: Request, vcpu: usize, index: usize, mask: u32) {
        let word = self.gic.word(vcpu, index);
        let clears = request == Request::ClearPending;
        if clears && index == 0 {
            word.requests.clear(mask & SGIS);
        }
        if clears && (index != 0 || vcpu == self.own) {
            self.write_bank(Bank::ClearPending, index, mask & word.physical.get());
        }
        let (row, opposite) = word.rows(request);
        opposite.clear(mask);
        row.set(mask);
        self.request_resync(vcpu, index, mask, false);
    }

    /// Applies the requests to one interrupt that this core is responsible for and that is in no
    /// list register.
    pub(crate) fn apply_requests(&mut self, index: usize, bit: u32) {
        let word = self.word(index);
        let latch = self.latches(index);
        if (word.requested() | word.unheld.get()) & bit == 0 {
            return;
        }
        let is_physical = self.is_physical(index, bit);
        if word.clear_pending.take(bit) {
            latch.sw_pending.take(bit);
            word.sw_pending_ahead.take(bit);
            word.unheld.take(bit);
            let was_latched = latch.pending.take(bit);
            // The writer has cleared SPIs in hardware itself.
            if is_physical && index == 0 {
                self.write_bank(Bank::ClearPending, index, bit);
            }
            if is_physical && was_latched {
                self.write_bank(Bank::ClearActive, index, bit);
            }
        }
        if word.clear_active.take(bit) && latch.active.take(bit) {
            if is_physical {
                self.write_bank(Bank::ClearActive, index, bit);
            }
            // With EOImode = 0 the guest has still to drop its priority.
            if self.hardware.interface() & interface::EOI_MODE != 0 {
                self.set_acknowledged(intid(index, bit), 0);
            }
        }
        if word.set_pending.take(bit) | word.unheld.take(bit) {
            // EL2 has acknowledged one that is latched: in hardware it would become pending a
            // second time.
            if is_physical && latch.pending.get() & bit == 0 {
                self.make_pending(index, bit);
            } else {
                latch.sw_pending.put(bit & !word.edge.get(), true);
                // Its next arrival has to find out again whether a register write caused it. Only
                // one of a physical interrupt asks.
                if is_physical {
                    self.gic.mark_stale(self.own, index);
                }
                latch.pending.put(bit, true);
            }
        }
        if word.set_active.take(bit) {
            latch.active.put(bit, true);
            if is_physical {
                self.write_bank(Bank::SetActive, index, bit);
            }
        }
    }
}
