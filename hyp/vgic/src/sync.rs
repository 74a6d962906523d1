//! Bringing list registers, latches and the physical GIC into step: the one slow path for whatever does not fit at once.
//!
//! [`Vcpu::unload`] empties the list registers into the latches; [`Vcpu::load`] does what siblings and the guest's
//! register writes ask for, gives back what may no longer be signalled here, and fills the list registers with what matters most.
//!
//! Pending interrupts come before active ones, each by priority, and last are pending ones whose group the guest has disabled in its
//! CPU interface. If one of the first waits, NPIE asks for a maintenance interrupt once no list register is pending: then every list
//! register holds a pending one, so NPIE can neither be missed nor fire without there being something to do, unless the guest disables a
//! group, which VGrpDIE reports. The end of an active interrupt that has no list register shows in EOIcount (LRENPIE), that a disabled group
//! is enabled in VGrpEIE.

use core::sync::atomic::Ordering::Relaxed;

use crate::hardware::{Bank, Entry, Hardware, control, interface};
use crate::state::{
    ACTIVE, CLEAR_ACTIVE, CLEAR_PENDING, EDGE, FIXED, GROUP, LEVEL, PENDING, PHYSICAL, RESYNC,
    SET_ACTIVE, SET_PENDING, SOFT, SOFT_AHEAD, TAKEN, WORDS, bits,
};
use crate::vcpu::{Vcpu, intid, place};

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
/// In a rank: pending, of a group that the guest has disabled in its CPU interface, and so after all others.
const IS_OFF: u32 = 3 << 30;

impl<H: Hardware> Vcpu<'_, H> {
    /// Brings everything of this vCPU up to date: also what the maintenance interrupt asks for, when list registers have room
    /// or an interrupt ended that EL2 must know of.
    #[inline(never)]
    pub fn sync(&mut self) {
        self.unload();
        self.load();
    }

    /// A physical interrupt that EL2 acknowledged and cannot list at once waits, physically active, or goes back if it is not to be signalled here.
    #[cold]
    pub(crate) fn hold(&mut self, index: usize, bit: u32) {
        // Before, lest the last holder forget what is latched here; after, because this core may have been the last holder.
        self.gic.set_holder(intid(index, bit), self.own);
        let word = self.word(index);
        let soft = word.get(SOFT) & bit;
        self.unload();
        self.gic.set_holder(intid(index, bit), self.own);
        word.put(SOFT, soft, true);
        word.put(PENDING, bit, true);
        // The last holder may not know yet that its guest ended it: it could not have arrived otherwise.
        word.put(ACTIVE, bit, false);
        self.load();
    }

    /// Makes the cores look again at those of the interrupts `mask` that are or may be somewhere: the one in charge of each.
    pub(crate) fn look(&mut self, vcpu: usize, index: usize, mask: u32) {
        let live = self.gic.word(vcpu, index).live();
        let mut cores = 0;
        for number in bits(mask) {
            let charged = match index {
                0 => Some(vcpu),
                _ => self.in_charge(intid(index, 1 << number), live >> number & 1 != 0),
            };
            cores |= charged.map_or(0, |core| 1 << core);
        }
        self.wake(cores);
    }

    /// Which core acts for SPI `intid`: the one that holds it; if none does and it `matters`, the one it is routed to.
    fn in_charge(&self, intid: u32, matters: bool) -> Option<usize> {
        let holder = self.gic.holder(intid);
        let target = || self.gic.target(intid).unwrap_or(self.own);
        holder.or_else(|| matters.then(target))
    }

    /// Makes the cores of the vCPUs `cores` synchronise.
    pub(crate) fn wake(&mut self, cores: u32) {
        for core in bits(cores & !(1 << self.own)) {
            self.post(core as usize, RESYNC);
        }
        if cores >> self.own & 1 != 0 {
            self.sync();
        }
    }

    /// Empties the list registers into the latches.
    pub(crate) fn unload(&mut self) {
        self.forget_ended();
        self.count_ends();
        for register in bits(self.delivery.usable) {
            let register = register as usize;
            let Some(intid) = self.delivery.noted(register) else {
                continue;
            };
            let entry = Entry(self.hardware.read(register));
            self.hardware.write(register, 0);
            // It may have come again since, into another list register or on another core.
            if self.delivery.find(intid).unwrap_or(register) != register {
                continue;
            }
            let (index, bit) = place(intid);
            let word = self.word(index);
            let elsewhere = intid >= 32 && self.gic.holder(intid) != Some(self.own);
            let was_active = self.delivery.active >> register & 1 != 0;
            let is_active = entry.has(Entry::ACTIVE);
            if is_active != was_active || elsewhere {
                let taken = entry.priority() | TAKEN | entry.group() as u8;
                self.note_taken(intid, if is_active { taken } else { 0 });
            }
            if elsewhere {
                continue;
            }
            let is_pending = entry.has(Entry::PENDING);
            if H::SGI_SOURCES && intid < 16 {
                let sources = self.gic.sources(self.own, intid as usize);
                if is_pending {
                    sources.set(1 << entry.source());
                }
                if let Some(source) = self.delivery.source.get_mut(intid as usize) {
                    *source = entry.source() as u8;
                }
                word.put(PENDING, bit, sources.get() != 0);
                word.put(ACTIVE, bit, entry.has(Entry::ACTIVE));
                continue;
            }
            if is_pending || self.delivery.partial >> register & 1 == 0 {
                let soft = word.get(SOFT);
                if !is_pending && soft & bit != 0 {
                    word.put(SOFT, bit, false);
                }
                let lasting = word.get(EDGE) | soft | word.get(PHYSICAL);
                word.put(PENDING, bit, is_pending && lasting & bit != 0);
            }
            word.put(ACTIVE, bit, entry.has(Entry::ACTIVE));
            if (word.get(PENDING) | word.get(ACTIVE)) & bit == 0 {
                self.gic.release(intid, self.own);
            }
            // Last: from here on it may arrive again, and on another core too.
            if !self.hardware.is_linked() && entry.is_reported() && word.get(PHYSICAL) & bit != 0 {
                self.hardware.deactivate(intid);
            }
        }
    }

    /// Priority, most important lowest, then INTID.
    pub(crate) fn rank(&self, intid: u32) -> u32 {
        u32::from(self.gic.priority(self.own, intid).load(Relaxed)) << 20 | intid
    }

    /// Does what is asked of the latches, and fills the list registers with the most important.
    pub(crate) fn load(&mut self) {
        let usable = self.delivery.usable;
        let off = !self.hardware.interface() & interface::GROUPS;
        let mut ranks = [u32::MAX; 16];
        // Of those that found no room: whether one is pending, one active, and what reports that the group of others is enabled.
        let (mut waits, mut unlisted, mut enabling) = (false, false, 0);
        for index in 0..WORDS {
            for number in bits(self.word(index).live()) {
                let mut rank = self.consider(index, 1 << number, off);
                for register in bits(usable) {
                    let other = &mut ranks[register as usize & 15];
                    if rank < *other {
                        core::mem::swap(&mut rank, other);
                    }
                }
                match rank {
                    u32::MAX => {}
                    IS_OFF.. => enabling |= control::VGRP0_EIE << (2 * self.group(rank & 0xffff)),
                    IS_ACTIVE.. => unlisted = true,
                    _ => waits = true,
                }
            }
        }
        self.delivery.forget();
        let mut free = usable;
        for register in bits(usable) {
            let rank = ranks[register as usize & 15];
            if rank != u32::MAX {
                self.enlist(register as usize, rank & 0xffff);
                free &= !(1 << register);
            }
        }
        let is_full = waits || unlisted || enabling != 0;
        self.delivery.open = if is_full { 0 } else { free };
        let mut wanted = 0;
        if usable != 0 {
            wanted |= control::EN | self.hardware.deactivation_trap() | enabling;
            if waits {
                wanted |= control::NPIE;
                for group in bits(!off & interface::GROUPS) {
                    wanted |= control::VGRP0_DIE << (2 * group);
                }
            }
            if unlisted {
                wanted |= control::LRENPIE;
            }
        }
        let control = self.hardware.control();
        wanted |= control & !MANAGED;
        if control != wanted {
            self.hardware.set_control(wanted);
        }
    }

    /// Puts a latched interrupt into list register `register`. The end of a software interrupt is reported where EL2 has to act on it:
    /// its line may still be high, or it may have been routed away meanwhile.
    fn enlist(&mut self, register: usize, intid: u32) {
        let (index, bit) = place(intid);
        let word = self.word(index);
        let silent = word.get(EDGE) & (word.get(FIXED) | if index == 0 { u32::MAX } else { 0 });
        let mut flags = match (word.get(PHYSICAL) & bit != 0, silent & bit != 0) {
            (true, _) => self.physical_flag(),
            (_, true) => 0,
            _ => Entry::REPORT_END,
        };
        if word.get(ACTIVE) & bit != 0 {
            flags |= Entry::ACTIVE;
            self.delivery.active |= 1 << register;
        }
        if H::SGI_SOURCES && intid < 16 {
            return self.enlist_sgi(register, intid, flags);
        }
        let next = self.entry(intid, flags);
        let mut entry = self.as_taken(next);
        if !self.signals(index, bit) || !self.deliverable(index, bit) {
            if word.get(PENDING) & bit != 0 {
                self.delivery.partial |= 1 << register;
            }
        } else if (entry ^ next) & Entry::RANK == 0 {
            entry |= Entry::PENDING;
        } else {
            // A list register has one priority and one group: what they are now waits for the end.
            self.delivery.partial |= 1 << register;
            entry |= Entry::REPORT_END;
        }
        self.list(register, intid, entry);
    }

    /// Its group, 0 or 1.
    fn group(&self, intid: u32) -> u32 {
        let (index, bit) = place(intid);
        u32::from(self.word(index).get(GROUP) & bit != 0)
    }

    /// [`Self::enlist`] of an SGI with sources: one that is active and also pending again, from whomever, waits for its end.
    fn enlist_sgi(&mut self, register: usize, sgi: u32, flags: u64) {
        let entry = match flags & Entry::ACTIVE {
            0 => {
                let entry = Entry(self.entry(sgi, flags | Entry::PENDING));
                self.next_source(sgi, entry)
            }
            _ => {
                let source = self.delivery.source.get(sgi as usize).copied();
                let waits = self.gic.sources(self.own, sgi as usize).get() != 0;
                let entry = self.as_taken(self.entry(sgi, flags));
                Entry(entry).sent_by(source.unwrap_or(0).into(), waits)
            }
        };
        self.list(register, sgi, entry.0);
    }

    /// One interrupt that is somewhere: does what is asked of it and gives it back if it may not be signalled here.
    /// Its rank if it belongs into a list register of this core, [`u32::MAX`] if not. The guest has the groups `off` disabled.
    fn consider(&mut self, index: usize, bit: u32, off: u32) -> u32 {
        let intid = intid(index, bit);
        let word = self.word(index);
        if index != 0 {
            let holder = self.gic.holder(intid);
            let core = self.in_charge(intid, true).unwrap_or(self.own);
            if core != self.own {
                let unseen = holder.is_none() && self.signals(index, bit);
                if unseen || word.asked() & bit != 0 {
                    self.post(core, RESYNC);
                }
                return u32::MAX;
            }
            if !self.gic.claim(intid, self.own) {
                return u32::MAX;
            }
        }
        self.obey(index, bit);
        let is_active = word.get(ACTIVE) & bit != 0;
        let mut deliverable = self.signals(index, bit) && self.deliverable(index, bit);
        if word.get(PHYSICAL) & word.get(PENDING) & bit != 0 {
            let outdated = self.is_outdated(intid);
            let is_gone = outdated && word.get(EDGE) & bit == 0;
            if outdated && !is_gone {
                self.hardware.write_bank(Bank::ClearPending, index, bit);
            }
            // A physical one cannot be both in a list register: hardware keeps the pending half.
            if is_active || !deliverable || is_gone {
                self.give_back(index, bit, is_active);
                deliverable = false;
            }
        }
        if is_active {
            let known = self.rank(intid);
            return IS_ACTIVE | known;
        }
        if deliverable {
            // Equals do not displace each other.
            let newcomer = u32::from(self.delivery.find(intid).is_none());
            let is_off = off >> self.group(intid) & 1 != 0;
            return self.rank(intid) | newcomer << 16 | if is_off { IS_OFF } else { 0 };
        }
        self.gic.release(intid, self.own);
        if index != 0
            && self.signals(index, bit)
            && let Some(target) = self.gic.target(intid)
            && target != self.own
        {
            self.post(target, RESYNC);
        }
        u32::MAX
    }

    /// Whether the latches say that the interrupt is pending and may be signalled to some vCPU.
    fn signals(&self, index: usize, bit: u32) -> bool {
        let word = self.word(index);
        (word.get(PENDING) | word.get(LEVEL)) & self.gic.on(word) & bit != 0
    }

    /// Does what register writes ask of one interrupt that this core is in charge of and that is in no list register.
    pub(crate) fn obey(&mut self, index: usize, bit: u32) {
        let word = self.word(index);
        if word.asked() & bit == 0 {
            return;
        }
        let is_physical = word.get(PHYSICAL) & bit != 0;
        if word.take(CLEAR_PENDING, bit) {
            word.take(SOFT, bit);
            word.take(SOFT_AHEAD, bit);
            let is_latched = word.take(PENDING, bit);
            // SPIs the writer has cleared in hardware at once.
            if is_physical && index == 0 {
                self.hardware.write_bank(Bank::ClearPending, index, bit);
            }
            if is_physical && is_latched {
                self.hardware.write_bank(Bank::ClearActive, index, bit);
            }
        }
        if word.take(CLEAR_ACTIVE, bit) && word.take(ACTIVE, bit) {
            if is_physical {
                self.hardware.write_bank(Bank::ClearActive, index, bit);
            }
            // Else its priority is still to be dropped.
            if self.hardware.interface() & interface::EOI_MODE != 0 {
                self.note_taken(intid(index, bit), 0);
            }
        }
        if word.take(SET_PENDING, bit) {
            // EL2 has acknowledged one that is latched: in hardware it would become pending a second time.
            if is_physical && word.get(PENDING) & bit == 0 {
                self.make_pending(index, bit);
            } else {
                word.put(SOFT, bit & !word.get(EDGE), true);
                // Its next arrival finds out anew what is behind it.
                self.gic.outdate(self.own, index);
                word.put(PENDING, bit, true);
            }
        }
        if word.take(SET_ACTIVE, bit) {
            word.put(ACTIVE, bit, true);
            if is_physical {
                self.hardware.write_bank(Bank::SetActive, index, bit);
            }
        }
    }

    /// Returns a latched physical interrupt to the physical GIC, which signals it again where and when it may. Its line says whether it is
    /// still pending, unless an edge or a register write made it so.
    fn give_back(&mut self, index: usize, bit: u32, stays_active: bool) {
        let word = self.word(index);
        word.put(PENDING, bit, false);
        // It came here although it may not: two cores may have changed enable or route at once, and the later lost.
        self.apply(index, bit);
        self.apply_route(index, bit);
        if word.take(SOFT, bit) || word.get(EDGE) & bit != 0 {
            self.make_pending(index, bit);
        }
        if !stays_active {
            self.hardware.write_bank(Bank::ClearActive, index, bit);
        }
    }

    /// Makes a physical interrupt pending in hardware, and if it is a level notes that its arrival may be of no line.
    fn make_pending(&mut self, index: usize, bit: u32) {
        let word = self.word(index);
        if word.get(EDGE) & bit == 0 {
            word.set(SOFT_AHEAD, bit);
            self.gic.outdate(self.own, index);
        }
        self.hardware.write_bank(Bank::SetPending, index, bit);
    }

    /// Enables in the physical GIC what may be signalled, disables what may not. Read again afterwards: a sibling may have
    /// changed it meanwhile, and whichever writes the hardware last must have seen the last state.
    pub(crate) fn apply(&mut self, index: usize, mask: u32) {
        let word = self.word(index);
        let mask = mask & word.get(PHYSICAL);
        if mask == 0 {
            return;
        }
        for _ in 0..2 {
            let on = self.gic.on(word) & mask;
            self.hardware.write_bank(Bank::SetEnable, index, on);
            self.hardware.write_bank(Bank::ClearEnable, index, mask & !on);
            if self.gic.on(word) & mask == on {
                break;
            }
        }
    }

    /// Routes a physical SPI in hardware as the shared words say.
    pub(crate) fn apply_route(&mut self, index: usize, bit: u32) {
        let intid = intid(index, bit);
        if index != 0
            && self.word(index).get(PHYSICAL) & bit != 0
            && let Some(target) = self.gic.target(intid)
        {
            self.hardware.route(intid, target);
        }
    }
}
