//! Keeping list registers, latches and the physical GIC in step: retraction, overflow, requests of siblings.

use crate::hardware::{Entry, Hardware};
use crate::state::{
    ACTIVE, EDGE, FIXED, LEVEL, OWNED, PENDING, PHYSICAL, RESYNC, SOFT, WORDS, Words, bits,
};
use crate::vcpu::{Vcpu, place};

impl<H: Hardware> Vcpu<'_, H> {
    /// Brings everything of this vCPU up to date with the shared words.
    #[cold]
    pub(crate) fn sync(&mut self) {
        self.count_ends();
        self.review_registers();
        self.give_back_latched();
        self.refill();
    }

    /// Does what siblings asked for beside SGIs, and publishes what the list registers hold.
    #[cold]
    pub(crate) fn resync(&mut self) {
        let bank = self.bank();
        self.count_ends();
        for index in 0..WORDS {
            let pending = take(&bank.drop_pending, index);
            let active = take(&bank.drop_active, index);
            if index == 0 {
                let physical = self.word(0).get(PHYSICAL);
                self.hardware.clear_pending(0, pending & physical);
                self.hardware
                    .set_pending(0, take(&bank.set_pending, 0) & physical);
            }
            self.drop_pending(index, pending);
            self.drop_active(index, active);
        }
        self.apply(0, u32::MAX);
        self.sync();
        self.publish();
    }

    /// Stores for siblings what only this core can see: the state in its list registers and its redistributor.
    pub(crate) fn publish(&self) {
        for index in 0..WORDS {
            let (mut pending, active) = self.listed(index);
            if index == 0 {
                pending |= self.hardware.pending(0) & self.word(0).get(PHYSICAL);
            }
            self.bank().shown_pending.swap(index, pending);
            self.bank().shown_active.swap(index, active);
        }
    }

    /// Which interrupts of word `index` the list registers hold pending, and active.
    pub(crate) fn listed(&self, index: usize) -> (u32, u32) {
        let (mut pending, mut active) = (0, 0);
        for register in bits(self.delivery.usable) {
            let entry = Entry(self.hardware.read(register as usize));
            let (word, bit) = place(entry.intid());
            if word == index {
                pending |= if entry.has(Entry::PENDING) { bit } else { 0 };
                active |= if entry.has(Entry::ACTIVE) { bit } else { 0 };
            }
        }
        (pending, active)
    }

    /// Makes the interrupts `mask` pending in the latches: software ones only.
    #[cold]
    pub(crate) fn latch(&mut self, index: usize, mask: u32) {
        let word = self.word(index);
        let mask = mask & word.get(OWNED) & !word.get(PHYSICAL);
        word.set(SOFT, mask & !word.get(EDGE));
        word.set(PENDING, mask);
        self.look(index, mask);
    }

    /// A physical interrupt that EL2 acknowledged and cannot list at once waits, physically active, or goes back if it is not to be signalled here.
    #[cold]
    pub(crate) fn hold(&mut self, index: usize, bit: u32) {
        if index != 0 {
            self.gic.set_holder(intid(index, bit), self.own);
        }
        self.word(index).set(PENDING, bit);
        self.sync();
    }

    /// Makes the cores concerned look at the interrupts `mask` again: those that may hold one, and those that may deliver one.
    pub(crate) fn look(&mut self, index: usize, mask: u32) {
        let word = self.word(index);
        let waiting =
            word.get(ACTIVE) | (word.get(PENDING) | word.get(LEVEL)) & !word.get(PHYSICAL);
        let mut cores = 0;
        for bit in bits(mask) {
            let intid = index as u32 * 32 + bit;
            if index == 0 {
                cores |= 1 << self.own;
                break;
            }
            if let Some(holder) = self.gic.holder(intid) {
                cores |= 1 << holder;
            }
            let route = self.gic.route(intid);
            if waiting >> bit & 1 != 0 && (route as usize) < self.gic.vcpus() {
                cores |= 1 << route;
            }
        }
        for core in bits(cores & !(1 << self.own)) {
            self.post(core as usize, RESYNC);
        }
        if cores >> self.own & 1 != 0 {
            self.sync();
        }
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
            if on != 0 {
                self.hardware.set_enable(index, on);
            }
            if on != mask {
                self.hardware.clear_enable(index, mask & !on);
            }
            if self.gic.on(word) & mask == on {
                break;
            }
        }
    }

    /// Routes a physical SPI in hardware as the shared words say, with the same care.
    pub(crate) fn apply_route(&mut self, intid: u32) {
        for _ in 0..2 {
            let route = self.gic.route(intid);
            if route as usize >= self.gic.vcpus() {
                break;
            }
            self.hardware.route(intid, route as usize);
            if self.gic.route(intid) == route {
                break;
            }
        }
    }

    /// List registers: forgets those that are over, retracts what may no longer be signalled here, renews priority and group.
    fn review_registers(&mut self) {
        for register in bits(self.delivery.usable) {
            let register = register as usize;
            let entry = Entry(self.hardware.read(register));
            if entry.0 == 0 {
                continue;
            }
            let (index, bit) = place(entry.intid());
            if entry.is_over() {
                self.hardware.write(register, 0);
                // It may have come again since, into another list register or a latch.
                if self.delivery.was_last_in(entry.intid(), register) && !self.is_held(index, bit) {
                    self.ended(index, bit);
                }
                continue;
            }
            let word = self.word(index);
            let physical = word.get(PHYSICAL) & bit != 0;
            let lasting = word.get(EDGE) | word.get(SOFT);
            let may_stay = self.deliverable(index, bit)
                && (physical || (lasting | word.get(LEVEL)) & bit != 0);
            if entry.has(Entry::PENDING) && !may_stay {
                let rest = Entry(entry.0 & !Entry::PENDING);
                self.hardware
                    .write(register, if rest.is_over() { 0 } else { rest.0 });
                if physical {
                    self.give_back(index, bit);
                } else {
                    word.set(PENDING, lasting & bit);
                    if rest.is_over() {
                        self.release(index, bit);
                    }
                }
                continue;
            }
            let mut state = entry.0 & (Entry::PENDING | Entry::ACTIVE);
            if word.clear(ACTIVE, bit) & bit != 0 {
                state |= Entry::ACTIVE;
                if physical && entry.has(Entry::PENDING) {
                    // A linked list register cannot be both: hardware keeps the pending half.
                    state = Entry::ACTIVE;
                    self.return_pending(index, bit);
                }
            }
            if !physical && self.merge(index, bit) {
                state |= Entry::PENDING;
            }
            if state & Entry::ACTIVE != 0 {
                let rest = entry.0 & !(Entry::PENDING | Entry::ACTIVE);
                self.hardware.write(register, rest | state);
            } else {
                self.enlist(register, entry.intid(), state | self.flags(index, bit));
            }
        }
    }

    /// [`Vcpu::list`], out of line: it is written out once for all but the hot paths.
    #[inline(never)]
    pub(crate) fn enlist(&mut self, register: usize, intid: u32, flags: u64) {
        self.list(register, intid, flags);
    }

    /// Takes the pending latch of a software interrupt that is in a list register already, or gets there as active.
    pub(crate) fn merge(&mut self, index: usize, bit: u32) -> bool {
        let word = self.word(index);
        self.deliverable(index, bit) && word.clear(PENDING, bit) & bit != 0
    }

    /// Flags of a list register for the interrupt. The end of a software interrupt is reported where EL2 has to act on it:
    /// its line may still be high, or it may have been routed away meanwhile.
    #[inline(never)]
    pub(crate) fn flags(&self, index: usize, bit: u32) -> u64 {
        let word = self.word(index);
        let silent = word.get(EDGE) & (word.get(FIXED) | if index == 0 { u32::MAX } else { 0 });
        if word.get(PHYSICAL) & bit != 0 {
            Entry::LINKED
        } else if silent & bit != 0 {
            0
        } else {
            Entry::REPORT_END
        }
    }

    /// Returns a physical interrupt that EL2 acknowledged to the physical GIC, which signals it again where and when it may.
    fn give_back(&mut self, index: usize, bit: u32) {
        self.apply(index, bit);
        if index != 0 {
            self.apply_route(intid(index, bit));
        }
        self.return_pending(index, bit);
        self.release(index, bit);
        self.hardware.clear_active(index, bit);
    }

    /// Makes a physical interrupt pending in hardware, unless its line says what it is.
    pub(crate) fn return_pending(&mut self, index: usize, bit: u32) {
        let word = self.word(index);
        if (word.get(EDGE) | word.get(SOFT)) & bit != 0 {
            self.hardware.set_pending(index, bit);
        }
    }

    /// Whether this core has the physical interrupt acknowledged and latched.
    #[inline(never)]
    pub(crate) fn is_held(&self, index: usize, bit: u32) -> bool {
        let word = self.word(index);
        word.get(PENDING) & word.get(PHYSICAL) & bit != 0
            && (index == 0 || self.gic.holder(intid(index, bit)) == Some(self.own))
    }

    /// Latched physical interrupts that may no longer be signalled here go back to hardware.
    fn give_back_latched(&mut self) {
        for index in 0..WORDS {
            let word = self.word(index);
            let latched = word.get(PENDING) & word.get(PHYSICAL);
            for number in bits(latched) {
                let bit = 1 << number;
                if self.is_held(index, bit) && !self.deliverable(index, bit) {
                    word.clear(PENDING, bit);
                    self.give_back(index, bit);
                }
            }
        }
    }
}

/// INTID of `bit` of word `index`.
pub(crate) fn intid(index: usize, bit: u32) -> u32 {
    index as u32 * 32 + bit.trailing_zeros()
}

/// Takes a word of requests, without a write where there is none.
fn take<const N: usize>(words: &Words<N>, index: usize) -> u32 {
    match words.get(index) {
        0 => 0,
        _ => words.swap(index, 0),
    }
}
