// SPDX-License-Identifier: MIT OR Apache-2.0
//! From the latches into the list registers, the most important interrupts first.
//!
//! Pending interrupts come before active ones, each by priority, and last are pending ones whose
//! group the guest has disabled in its CPU interface. If one of the first kind waits, NPIE asks for
//! a maintenance interrupt once no list register is pending: every list register holds a pending
//! one then, so NPIE can neither be missed nor fire without something to do, unless the guest
//! disables a group, which VGrpDIE reports. The end of an active interrupt that has no list
//! register shows in EOIcount (LRENPIE); VGrpEIE reports that a disabled group is enabled.
//!
//! A list register that was filled takes no arrival before the next fill, because its latches have
//! to learn of the end. So register 0, which the vectors list physical interrupts in, is filled
//! only if all are needed; the next arrival then finds none free, and fills them again.

use crate::atomic::Ordering::Relaxed;
use crate::distributor::BOUND;
use crate::hardware::{Bank, Entry, Hardware, control, interface};
use crate::state::{RESYNC, WORDS};
use crate::vcpu::{Vcpu, intid, place};
use crate::words::Bits;

/// Control bits that this file decides.
const MANAGED: u32 = control::EN
    | control::LRENPIE
    | control::NPIE
    | (5 * (control::VGRP0_EIE | control::VGRP0_DIE))
    | control::TC
    | control::TDIR
    | control::EOI_COUNT;
/// In a rank: active, and so after all that are only pending.
pub(crate) const IS_ACTIVE: u32 = 1 << 31;
/// In a rank: pending, of a group that the guest has disabled in its CPU interface, and so after
/// all others.
const IS_OFF: u32 = 3 << 30;
/// In a rank: not in a list register yet, and so after others of the same priority.
const IS_NEW: u32 = 1 << 16;
/// The rank of an interrupt that belongs in no list register.
const NONE: u32 = u32::MAX;
/// In a rank: its INTID.
pub(crate) const INTID: u32 = 0xffff;

impl<H: Hardware> Vcpu<'_, H> {
    /// Applies what is requested of the latches, and fills the list registers with the most
    /// important interrupts.
    pub(crate) fn fill_list_registers(&mut self) {
        let usable = self.delivery.usable;
        let off = !self.hardware.interface() & interface::GROUPS;
        let mut ranks = [NONE; 16];
        // Of those that found no room: whether one is pending, whether one is active, and the
        // control bits that report that the group of the others is enabled.
        let (mut waits, mut unlisted, mut enabling) = (false, false, 0);
        for index in 0..WORDS {
            let word = self.word(index);
            if word.owned.get() == 0 {
                continue;
            }
            // An unheld one that is off stays so: the core that enables it finds it there.
            let mut unheld = word.unheld.get();
            if unheld != 0 {
                unheld &= self.gic.on(word);
            }
            for number in Bits(self.held(self.own, index) | unheld) {
                let mut rank = NONE;
                // Again where a sibling has enabled an SPI on its way to the unheld ones: the
                // sibling has seen it in neither place.
                for _ in 0..BOUND {
                    rank = self.rank(index, 1 << number, off);
                    let is_unheld = word.unheld.get() >> number & 1 != 0;
                    if rank != NONE || !is_unheld || !self.deliverable(index, 1 << number) {
                        break;
                    }
                }
                for register in Bits(usable) {
                    let other = &mut ranks[register as usize & 15];
                    if rank < *other {
                        core::mem::swap(&mut rank, other);
                    }
                }
                match rank {
                    NONE => {}
                    IS_OFF.. => enabling |= control::VGRP0_EIE << (2 * self.group(rank & INTID)),
                    IS_ACTIVE.. => unlisted = true,
                    _ => waits = true,
                }
            }
        }
        self.delivery.active_latched_pending = 0;
        self.delivery.active = 0;
        self.delivery.physical = 0;
        self.delivery.lr_intid = [0; 16];
        let mut free = usable;
        // The usable ones are the lowest, and the ranks of those that are not needed are last.
        let last = 31 - (usable | 1).leading_zeros();
        let first = u32::from(ranks[last as usize & 15] == NONE);
        for place in Bits(usable) {
            let rank = ranks[place as usize & 15];
            if rank == NONE {
                break;
            }
            let register = place + first;
            self.enlist(register as usize, rank & INTID);
            free &= !(1 << register);
        }
        let is_full = waits || unlisted || enabling != 0;
        self.delivery.free_for_arrival = if is_full { 0 } else { free };
        let control = self.hardware.control();
        let mut wanted = control & !MANAGED;
        if usable != 0 {
            wanted |= control::EN | self.hardware.deactivation_trap() | enabling;
            if waits {
                wanted |= control::NPIE;
                for group in Bits(!off & interface::GROUPS) {
                    wanted |= control::VGRP0_DIE << (2 * group);
                }
            }
            if unlisted {
                wanted |= control::LRENPIE;
            }
        }
        if control != wanted {
            self.hardware.set_control(wanted);
        }
    }

    /// Applies pending requests to one interrupt, and returns it to the distributor if this vCPU
    /// may not receive it. Returns its rank if it belongs in a list register of this core, [`NONE`]
    /// otherwise. The guest has the groups `off` disabled.
    fn rank(&mut self, index: usize, bit: u32, off: u32) -> u32 {
        let intid = intid(index, bit);
        let word = self.word(index);
        if index != 0 {
            let mut core = self.responsible_vcpu(intid);
            if core == self.own {
                core = self.gic.claim(intid, self.own);
            }
            if core != self.own {
                // What this core knew of it is over, or was written while it arrived there.
                self.latches(index).pending.clear(bit);
                self.latches(index).active.clear(bit);
                self.pass_on(index, bit);
                return NONE;
            }
        }
        self.apply_requests(index, bit);
        let latch = self.latches(index);
        let is_active = latch.active.get() & bit != 0;
        let mut deliverable = self.signals(index, bit) && self.deliverable(index, bit);
        if self.is_physical(index, bit) && latch.pending.get() & bit != 0 {
            let is_outdated = self.is_outdated(intid);
            let is_gone = is_outdated && word.edge.get() & bit == 0;
            if is_outdated && !is_gone {
                self.write_bank(Bank::ClearPending, index, bit);
            }
            // A physical one cannot be pending and active in a list register: hardware keeps the
            // pending half.
            // One that is routed nowhere cannot return: it stays here until it is routed again.
            let is_ending = is_active || is_gone;
            if !is_ending && !deliverable && index != 0 && self.gic.target(intid).is_none() {
                return NONE;
            }
            if is_ending || !deliverable {
                self.return_to_distributor(index, bit, is_active);
                deliverable = false;
            }
        }
        if is_active {
            return IS_ACTIVE | self.importance(intid);
        }
        if deliverable {
            let newcomer = u32::from(self.delivery.find(intid).is_none());
            let is_off = off >> self.group(intid) & 1 != 0;
            return self.importance(intid) | (newcomer * IS_NEW) | if is_off { IS_OFF } else { 0 };
        }
        if index != 0 {
            if latch.pending.take(bit) {
                latch.sw_pending.take(bit);
                word.unheld.set(bit);
            }
            self.gic.release(intid, self.own);
            self.pass_on(index, bit);
        }
        NONE
    }

    /// Makes another core that is responsible for an SPI sync, if that core may not have seen yet
    /// that there is something to do. A holder has seen what is pending.
    fn pass_on(&mut self, index: usize, bit: u32) {
        let intid = intid(index, bit);
        let core = self.responsible_vcpu(intid);
        let is_unseen = self.gic.holder(intid).is_none() && self.signals(index, bit);
        if core != self.own && (is_unseen || self.word(index).requested() & bit != 0) {
            self.post(core, RESYNC);
        }
    }

    /// Returns the priority of `intid`, lowest for the most important, with the INTID below it.
    pub(crate) fn importance(&self, intid: u32) -> u32 {
        u32::from(self.gic.priority(self.own, intid).load(Relaxed)) << 20 | intid
    }

    /// Puts a latched interrupt into list register `register`. The end of a software interrupt is
    /// reported where EL2 has to act on it: its line may still be high, or it may have been routed
    /// away meanwhile.
    fn enlist(&mut self, register: usize, intid: u32) {
        let (index, bit) = place(intid);
        let word = self.word(index);
        let latch = self.latches(index);
        let is_fixed = index == 0 || word.fixed.get() & bit != 0;
        let is_silent = is_fixed && word.edge.get() & bit != 0;
        let mut flags = 0;
        if self.is_physical(index, bit) {
            self.delivery.physical |= 1 << register;
        } else if !is_silent {
            flags = Entry::REPORT_END;
        }
        if latch.active.get() & bit != 0 {
            flags |= Entry::ACTIVE;
            self.delivery.active |= 1 << register;
        }
        if H::SGI_SOURCES && intid < 16 {
            return self.enlist_sgi(register, intid, flags);
        }
        let next = self.entry(intid, flags);
        let mut entry = self.with_acknowledged_rank(Entry(next)).0;
        if !self.signals(index, bit) || !self.deliverable(index, bit) {
            if latch.pending.get() & bit != 0 {
                self.delivery.active_latched_pending |= 1 << register;
                // EL2 must see the end: an enable looks only for interrupts that no vCPU holds.
                entry |= if self.is_physical(index, bit) { 0 } else { Entry::REPORT_END };
            }
        } else if (entry ^ next) & Entry::RANK == 0 {
            entry |= Entry::PENDING;
        } else {
            // A list register has one priority and one group: the present ones wait for the end.
            self.delivery.active_latched_pending |= 1 << register;
            entry |= Entry::REPORT_END;
        }
        self.list(register, intid, entry);
    }

    /// [`Self::enlist`] of an SGI with sources: one that is active and also pending again, from any
    /// vCPU, waits for its end.
    fn enlist_sgi(&mut self, register: usize, sgi: u32, flags: u64) {
        let entry = if flags & Entry::ACTIVE == 0 {
            let entry = Entry(self.entry(sgi, flags | Entry::PENDING));
            self.next_source(sgi, entry)
        } else {
            let source = self.delivery.source[sgi as usize % 16];
            let waits = self.gic.sources(self.own, sgi).get() != 0;
            let entry = self.with_acknowledged_rank(Entry(self.entry(sgi, flags)));
            entry.sent_by(source.into(), waits)
        };
        self.list(register, sgi, entry.0);
    }
}
