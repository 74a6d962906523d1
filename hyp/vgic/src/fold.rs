// SPDX-License-Identifier: MIT OR Apache-2.0
//! From the list registers into the latches, and what the guest has acknowledged and not ended yet
//! once list registers do not show it any more.

use plan::INTIDS;

use crate::fill::{INTID, IS_ACTIVE};
use crate::hardware::{Entry, Hardware, control, interface};
use crate::vcpu::{ACKNOWLEDGED, Vcpu, place};
use crate::words::Bits;

impl<H: Hardware> Vcpu<'_, H> {
    /// Empties the list registers into the latches.
    pub(crate) fn fold_list_registers(&mut self) {
        self.forget_ended();
        self.apply_end_count();
        for register in Bits(self.delivery.usable) {
            let register = register as usize;
            if let Some(intid) = self.delivery.lr_intid(register) {
                let entry = Entry(self.hardware.read(register));
                self.hardware.write(register, 0);
                // It may have come again since, into another list register.
                if self.delivery.find(intid).unwrap_or(register) == register {
                    self.fold(register, intid, entry);
                }
            }
        }
    }

    /// Latches `intid`, which list register `register` had as `entry`.
    fn fold(&mut self, register: usize, intid: u32, entry: Entry) {
        let (index, bit) = place(intid);
        let is_active = entry.has(Entry::ACTIVE);
        let was_active = self.delivery.active >> register & 1 != 0;
        if is_active != was_active {
            let acknowledged = entry.priority() | ACKNOWLEDGED | entry.group() as u8;
            self.set_acknowledged(intid, if is_active { acknowledged } else { 0 });
        }
        let latch = self.latches(index);
        let is_pending = entry.has(Entry::PENDING);
        if H::SGI_SOURCES && intid < 16 {
            let sources = self.gic.sources(self.own, intid);
            if is_pending {
                sources.set(1 << entry.source());
            }
            self.delivery.source[intid as usize % 16] = entry.source() as u8;
            latch.pending.put(bit, sources.get() != 0);
        } else if is_pending || self.delivery.active_latched_pending >> register & 1 == 0 {
            let word = self.word(index);
            let soft = latch.sw_pending.get();
            if !is_pending && soft & bit != 0 {
                latch.sw_pending.put(bit, false);
            }
            let lasting = word.edge.get() | soft | word.physical.get();
            latch.pending.put(bit, is_pending && lasting & bit != 0);
        }
        latch.active.put(bit, is_active);
        if (latch.pending.get() | latch.active.get()) & bit == 0 {
            self.gic.release(intid, self.own);
        }
        // Last, because from here on it may arrive again, and on another core too. One that was
        // given no state, because a sibling disabled it at that moment, has not ended.
        let has_ended = entry.is_reported() && latch.pending.get() & bit == 0;
        if !self.hardware.is_linked() && has_ended && self.is_physical(index, bit) {
            self.hardware.deactivate(intid);
        }
    }

    /// Applies the ends of interrupts that had no list register: EOIcount of them, of those that
    /// the guest has acknowledged the most important first, because priorities drop in that order
    /// (IHI 0069, 4.8.2). With EOImode = 1 the count means nothing.
    pub(crate) fn apply_end_count(&mut self) {
        let count = self.hardware.control() >> control::EOI_COUNT.trailing_zeros();
        if count == 0 || self.hardware.interface() & interface::EOI_MODE != 0 {
            return;
        }
        for _ in 0..count {
            let ends = (0..INTIDS as u32).filter_map(|intid| self.end_rank(intid));
            let Some(first) = ends.min().map(|rank| rank & INTID) else {
                return;
            };
            let (index, bit) = place(first);
            // It may be active again by now, on another vCPU, which ends it then.
            let is_mine = index == 0 || self.gic.holder(first) == Some(self.own);
            if is_mine && self.latches(index).active.get() & bit != 0 {
                self.word(index).clear_active.set(bit);
                self.apply_requests(index, bit);
                // One that is pending too is this vCPU's to pass on.
                if self.latches(index).pending.get() & bit == 0 {
                    self.gic.release(first, self.own);
                }
            }
            self.set_acknowledged(first, 0);
        }
    }

    /// Returns the order in which the guest ends `intid`, lowest first, or `None` if it cannot end
    /// it without a list register. Acknowledged interrupts come first, by the priority that they
    /// had then, also those that a register write has deactivated meanwhile: their priority has
    /// still to be dropped. Interrupts that a register write made active come last.
    fn end_rank(&self, intid: u32) -> Option<u32> {
        let (index, bit) = place(intid);
        let is_active = self.latches(index).active.get() & bit != 0;
        if is_active && self.delivery.find(intid).is_some() {
            return None;
        }
        match u32::from(*self.delivery.acknowledged.get(intid as usize)?) {
            0 => is_active.then(|| IS_ACTIVE | self.importance(intid)),
            acknowledged => Some((acknowledged & 0xf8) << 20 | intid),
        }
    }

    /// Forgets the acknowledgement of what list registers were given as active and what has arrived
    /// again since, into others: hardware has seen its end. What the guest has acknowledged there
    /// is recorded when those are read.
    pub(crate) fn forget_ended(&mut self) {
        for register in Bits(self.delivery.active & self.delivery.usable) {
            let register = register as usize;
            if let Some(intid) = self.delivery.lr_intid(register)
                && self.delivery.find(intid) != Some(register)
            {
                self.set_acknowledged(intid, 0);
            }
        }
    }

    /// Forgets all acknowledged priorities: the guest's CPU interface was reset.
    pub fn forget_priorities(&mut self) {
        self.delivery.acknowledged = [0; INTIDS];
    }

    /// Sets `intid`'s byte of [`Delivery::acknowledged`](crate::Delivery).
    pub(crate) fn set_acknowledged(&mut self, intid: u32, acknowledged: u8) {
        if let Some(last) = self.delivery.acknowledged.get_mut(intid as usize) {
            *last = acknowledged;
        }
    }

    /// Returns `entry`; if it is active, with the priority and group that the guest acknowledged it
    /// with: its end drops that priority, not the one in the registers now.
    pub(crate) fn with_acknowledged_rank(&self, entry: Entry) -> Entry {
        let acknowledged = self.delivery.acknowledged.get(entry.intid() as usize);
        match acknowledged.copied() {
            Some(rank @ 1..) if entry.has(Entry::ACTIVE) => entry.ranked(rank & 0xf8, rank & 1),
            _ => entry,
        }
    }
}
