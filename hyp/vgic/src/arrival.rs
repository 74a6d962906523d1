// SPDX-License-Identifier: MIT OR Apache-2.0
//! The paths that deliver an interrupt at once, with one write of a list register.
//!
//! What does not fit at once is latched, and [`Vcpu::sync`] delivers it.

use plan::INTIDS;

use crate::hardware::{Entry, Hardware};
use crate::state::{ALL_STALE, RESYNC, Request, STALE};
use crate::vcpu::{Vcpu, place};
use crate::words::Bits;

impl<H: Hardware> Vcpu<'_, H> {
    /// Signals an edge of the software interrupt `intid`, raised by this core: a channel's
    /// doorbell, an SGI. Coalesces with one that is pending. Ignores an INTID that the partition
    /// does not own; `intid` must not be a physical interrupt. For level-sensitive interrupts see
    /// [`Self::set_level`].
    pub fn inject(&mut self, intid: u32) {
        if intid >= INTIDS as u32 {
            return;
        }
        if H::SGI_SOURCES && intid < 16 {
            return self.inject_sgi(intid);
        }
        let (index, bit) = place(intid);
        let word = self.word(index);
        let entry = self.cached_entry(intid);
        // An earlier write of ICPENDR must not take this edge too.
        let is_free = word.clear_pending.get() & bit == 0;
        if entry != 0 && is_free && (index == 0 || word.fixed.get() & bit != 0) {
            let empty = self.hardware.empty();
            let listed = self.delivery.find(intid);
            let free = self.delivery.free_for_software(empty);
            if let Some(register) = listed.filter(|&at| empty >> at & 1 == 0) {
                let there = self.hardware.read(register);
                // An active one keeps the priority it was acknowledged with; the guest may have
                // given it another.
                if (there ^ entry) & Entry::RANK == 0 {
                    self.hardware.write(register, there | Entry::PENDING);
                    return;
                }
            } else if free != 0 {
                self.list_arrival(free.trailing_zeros() as usize, intid, entry);
                return;
            }
        }
        let software = bit & word.owned.get() & !word.physical.get();
        self.request(Request::SetPending, self.own, index, software);
    }

    /// Sets the line of the software level-sensitive interrupt `intid` (PL011). Any core of the
    /// partition may call it. While a line is high, each end of the interrupt costs a maintenance
    /// interrupt: EL2 must look at the line again.
    pub fn set_level(&mut self, intid: u32, high: bool) {
        if intid >= INTIDS as u32 {
            return;
        }
        let (index, bit) = place(intid);
        let word = self.word(index);
        let bit = bit & word.owned.get() & !(word.physical.get() | word.edge.get());
        if bit != 0 && (word.line_level.get() & bit != 0) != high {
            word.line_level.put(bit, high);
            self.request_resync(self.own, index, bit, false);
        }
    }

    /// Delivers physical interrupt `intid`, which EL2 has acknowledged and whose priority it has
    /// dropped, but which it has not deactivated. The list register is linked to the physical
    /// interrupt, which the guest's deactivation then deactivates, or its end is reported
    /// ([`is_linked`](crate::ListRegisters::is_linked)). Returns false, with nothing done, if the
    /// partition does not own it.
    pub fn physical(&mut self, intid: u32) -> bool {
        if intid >= INTIDS as u32 {
            return false;
        }
        let (index, bit) = place(intid);
        let word = self.word(index);
        if word.physical.get() & bit == 0 {
            return false;
        }
        // A pending write of ICPENDR was for an earlier one.
        if word.clear_pending.get() & bit != 0 {
            word.clear_pending.clear(bit);
        }
        let entry = self.cached_entry(intid);
        let empty = self.hardware.empty();
        let free = empty & self.delivery.free_for_arrival;
        // It ended before it arrived again: the vectors do not look at the list register then.
        debug_assert!(empty & 1 != 0 || self.delivery.lr_intid(0) != Some(intid));
        if free != 0 && entry != 0 {
            // The vectors' fast path uses list register 0 only.
            let register = free.trailing_zeros();
            self.list_arrival(register as usize, intid, entry);
            if self.delivery.to_sample(empty) != 0 {
                self.sample();
            }
            self.delivery.physical |= 1 << register;
        } else {
            self.latch_acknowledged(index, bit);
        }
        true
    }

    /// Latches a physical interrupt that EL2 acknowledged and cannot list at once, and fills the
    /// list registers again. It waits, physically active, or returns to the distributor if this
    /// vCPU may not receive it.
    #[cold]
    fn latch_acknowledged(&mut self, index: usize, bit: u32) {
        let intid = crate::vcpu::intid(index, bit);
        // Before, because requests for it are this core's from now on; and after, because this core
        // may have been the last holder too, and the fold releases what has ended.
        self.gic.set_holder(intid, self.own);
        let latch = self.latches(index);
        let is_soft = latch.sw_pending.get() & bit != 0;
        self.fold_list_registers();
        self.gic.set_holder(intid, self.own);
        latch.sw_pending.put(bit, is_soft);
        latch.pending.put(bit, true);
        // It could not have arrived otherwise.
        latch.active.put(bit, false);
        self.fill_list_registers();
    }

    /// Retracts pending levels that their devices have withdrawn since the last entry, unless the
    /// guest has acknowledged them meanwhile. EL2 calls it on every entry on which
    /// [`Delivery::to_sample`](crate::Delivery::to_sample) is not zero.
    #[inline(never)]
    pub fn sample(&mut self) {
        let empty = self.hardware.empty();
        for register in Bits(self.delivery.to_sample(empty)) {
            let register = register as usize;
            // In this order, because reading a list register costs most.
            if let Some(intid) = self.delivery.lr_intid(register)
                && self.is_outdated(intid)
                && Entry(self.hardware.read(register)).is_only_pending()
            {
                return self.sync();
            }
        }
    }

    /// Returns whether hardware disagrees with the latch or list register in which `intid`,
    /// acknowledged by EL2, is pending: a level was withdrawn, or an edge came again, which
    /// coalesces with the first as long as the guest has not acknowledged that.
    pub(crate) fn is_outdated(&self, intid: u32) -> bool {
        let (index, bit) = place(intid);
        let word = self.word(index);
        let is_edge = word.edge.get() & bit != 0;
        word.physical.get() & bit != 0
            && self.latches(index).sw_pending.get() & bit == 0
            && (self.hardware.pending(index) & bit != 0) == is_edge
    }

    /// Returns the list register content of an arrival of `intid`: 0 if it may not be signalled to
    /// this vCPU.
    pub(crate) fn cached_entry(&mut self, intid: u32) -> u64 {
        let stale = self.word(0).requests.get() & ALL_STALE;
        match self.delivery.cached_entry.get(intid as usize) {
            Some(&entry @ 1..) if stale == 0 => entry,
            _ => self.compute_entry(intid, stale),
        }
    }

    #[cold]
    #[inline(never)]
    fn compute_entry(&mut self, intid: u32, stale: u32) -> u64 {
        if stale != 0 {
            self.word(0).requests.clear(stale);
            self.drop_cached(stale);
        }
        let (index, bit) = place(intid);
        let word = self.word(index);
        let is_physical = word.physical.get() & bit != 0;
        let is_soft = is_physical && word.sw_pending_ahead.take(bit);
        if is_physical {
            // The last holder does not know of the end yet. From here on requests come to this
            // core: before the reads below, so that no change is missed by both sides.
            let last = self.gic.holder(intid);
            self.gic.set_holder(intid, self.own);
            if index != 0
                && let Some(last) = last
                && last != self.own
            {
                self.post(last, RESYNC);
            }
            self.latches(index).sw_pending.put(bit, is_soft);
        }
        if !self.deliverable(index, bit) {
            return 0;
        }
        let entry = self.entry(intid, Entry::PENDING);
        // The next arrival has to find out again whether a register write caused it.
        if let Some(cached) = self.delivery.cached_entry.get_mut(intid as usize)
            && !is_soft
        {
            *cached = entry;
        }
        entry
    }

    /// Drops the cached entries of the words whose [`STALE`] bits are set in `requests`.
    pub(crate) fn drop_cached(&mut self, requests: u32) {
        for index in Bits((requests & ALL_STALE) / STALE) {
            let mut words = self.delivery.cached_entry.chunks_exact_mut(32);
            words.nth(index as usize).into_iter().for_each(|word| word.fill(0));
        }
    }
}
