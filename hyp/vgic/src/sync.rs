//! Keeping list registers, latches and the physical GIC in step: retraction, overflow, requests of siblings.
//!
//! # Overflow
//! The most important pending interrupts are in list registers, the rest is latched. If even one waits, NPIE asks for a maintenance interrupt once no
//! list register is pending, and arrivals go through the latches so that none overtakes. A more important
//! interrupt displaces the least important pending one. Only if no list register is pending is an active one displaced: so whenever one waits,
//! some list register is pending, and NPIE can neither be missed nor fire without there being something to do.
//! A displaced active interrupt stays active in a latch; its end shows in EOIcount (LRENPIE).

use core::sync::atomic::AtomicU32;
use core::sync::atomic::Ordering::{Relaxed, SeqCst};

use crate::hardware::{Entry, Hardware, control};
use crate::state::{RESYNC, WORDS, bits};
use crate::vcpu::{Vcpu, place};

/// Control bits that this file decides.
const MANAGED: u32 = control::EN | control::LRENPIE | control::NPIE | control::TDIR;
/// Most list registers, and so most rounds of filling and of displacing.
const ROUNDS: usize = 2 * 16;

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
            let take = |word: &AtomicU32| match word.load(Relaxed) {
                0 => 0,
                _ => word.swap(0, SeqCst),
            };
            let pending = bank.drop_pending.get(index).map_or(0, take);
            let active = bank.drop_active.get(index).map_or(0, take);
            if index == 0 {
                let physical = self.word(0).physical.load(Relaxed);
                self.hardware.clear_pending(0, pending & physical);
                self.hardware
                    .set_pending(0, take(&bank.set_pending) & physical);
            }
            self.drop_pending(index, pending);
            self.drop_active(index, active);
        }
        self.apply(0, u32::MAX);
        self.sync();
        self.publish();
    }

    /// Stores for siblings which interrupts the list registers hold pending and active.
    pub(crate) fn publish(&self) {
        for index in 0..WORDS {
            let (pending, active) = self.listed(index);
            if let (Some(shown_pending), Some(shown_active)) = (
                self.bank().shown_pending.get(index),
                self.bank().shown_active.get(index),
            ) {
                shown_pending.store(pending, Relaxed);
                shown_active.store(active, Relaxed);
            }
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
        let mask = mask & word.owned.load(Relaxed) & !word.physical.load(Relaxed);
        word.soft.fetch_or(mask & !word.edge.load(Relaxed), SeqCst);
        word.pending.fetch_or(mask, SeqCst);
        self.look(index, mask);
    }

    /// A physical interrupt that EL2 acknowledged and cannot list at once waits, physically active, or goes back if it is not to be signalled here.
    #[cold]
    pub(crate) fn hold(&mut self, index: usize, bit: u32) {
        if index != 0 {
            self.gic.set_holder(intid(index, bit), self.own);
        }
        self.word(index).pending.fetch_or(bit, SeqCst);
        self.sync();
    }

    /// Makes the cores concerned look at the interrupts `mask` again: those that may hold one, and those that may deliver one.
    pub(crate) fn look(&mut self, index: usize, mask: u32) {
        let word = self.word(index);
        let waiting = word.active.load(SeqCst)
            | (word.pending.load(SeqCst) | word.level.load(SeqCst)) & !word.physical.load(Relaxed);
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
        let mask = mask & word.physical.load(Relaxed);
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

    /// Ends of interrupts that had no list register: EOIcount of them, most important first, for priorities drop in that order
    /// (IHI 0069, section 4.8.2). With EOImode = 1 the count says nothing, and `ICC_DIR_EL1` traps instead.
    pub(crate) fn count_ends(&mut self) {
        if !self.delivery.unlisted {
            return;
        }
        let control = self.hardware.control();
        let count = (control & control::EOI_COUNT) >> control::EOI_COUNT.trailing_zeros();
        if count == 0 {
            return;
        }
        self.hardware.set_control(control & !control::EOI_COUNT);
        if self.hardware.split_deactivation() {
            return;
        }
        for _ in 0..count {
            let Some(intid) = self.best(Kind::Active) else {
                break;
            };
            let (index, bit) = place(intid);
            self.drop_active(index, bit);
        }
    }

    /// The interrupts `mask`, if this core holds them, are no longer pending.
    pub(crate) fn drop_pending(&mut self, index: usize, mask: u32) {
        let word = self.word(index);
        for number in bits(mask) {
            let (bit, intid) = (1 << number, index as u32 * 32 + number);
            let physical = word.physical.load(Relaxed) & bit != 0;
            if physical && self.is_held(index, bit) {
                word.pending.fetch_and(!bit, SeqCst);
                self.hardware.clear_active(index, bit);
                self.ended(index, bit);
            }
            self.strip(intid, Entry::PENDING, physical);
        }
    }

    /// The interrupts `mask`, if this core holds them, are no longer active.
    pub(crate) fn drop_active(&mut self, index: usize, mask: u32) {
        let word = self.word(index);
        for number in bits(mask) {
            let (bit, intid) = (1 << number, index as u32 * 32 + number);
            let physical = word.physical.load(Relaxed) & bit != 0;
            if word.active.fetch_and(!bit, SeqCst) & bit != 0 {
                if !physical {
                    self.release(index, bit);
                } else if !self.is_held(index, bit) {
                    self.hardware.clear_active(index, bit);
                    self.ended(index, bit);
                }
            }
            self.strip(intid, Entry::ACTIVE, physical);
        }
    }

    /// Takes `state` away from the list register that holds `intid`, if one does.
    fn strip(&mut self, intid: u32, state: u64, physical: bool) {
        let Some(register) = self.delivery.find(intid, self.hardware.empty()) else {
            return;
        };
        let entry = Entry(self.hardware.read(register));
        if !entry.has(state) {
            return;
        }
        let rest = Entry(entry.0 & !state);
        self.hardware
            .write(register, if rest.is_over() { 0 } else { rest.0 });
        let (index, bit) = place(intid);
        if physical {
            self.hardware.clear_active(index, bit);
        }
        if rest.is_over() {
            self.ended(index, bit);
        }
    }

    /// This core no longer holds the interrupt: if it is to go elsewhere now, tell the core there.
    fn ended(&mut self, index: usize, bit: u32) {
        let word = self.word(index);
        if (word.edge.load(Relaxed) | word.pending.load(SeqCst)) & bit == 0 {
            word.soft.fetch_and(!bit, SeqCst);
        }
        self.release(index, bit);
    }

    fn release(&mut self, index: usize, bit: u32) {
        if index == 0 || !self.gic.release(intid(index, bit), self.own) {
            return;
        }
        let word = self.word(index);
        let waiting =
            word.pending.load(SeqCst) | word.level.load(SeqCst) | word.active.load(SeqCst);
        let route = self.gic.route(intid(index, bit)) as usize;
        if waiting & bit != 0 && route != self.own && route < self.gic.vcpus() {
            self.post(route, RESYNC);
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
                self.ended(index, bit);
                continue;
            }
            let word = self.word(index);
            let physical = word.physical.load(Relaxed) & bit != 0;
            let lasting = word.edge.load(Relaxed) | word.soft.load(SeqCst);
            let may_stay = self.deliverable(index, bit)
                && (physical || (lasting | word.level.load(SeqCst)) & bit != 0);
            if entry.has(Entry::PENDING) && !may_stay {
                let rest = Entry(entry.0 & !Entry::PENDING);
                self.hardware
                    .write(register, if rest.is_over() { 0 } else { rest.0 });
                if physical {
                    self.give_back(index, bit);
                } else {
                    word.pending.fetch_or(lasting & bit, SeqCst);
                    if rest.is_over() {
                        self.release(index, bit);
                    }
                }
                continue;
            }
            let mut state = entry.0 & (Entry::PENDING | Entry::ACTIVE);
            if word.active.fetch_and(!bit, SeqCst) & bit != 0 {
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
                self.list(register, entry.intid(), state | self.flags(index, bit));
            }
        }
    }

    /// Takes the pending latch of a software interrupt that is in a list register already, or gets there as active.
    fn merge(&mut self, index: usize, bit: u32) -> bool {
        let word = self.word(index);
        self.deliverable(index, bit) && word.pending.fetch_and(!bit, SeqCst) & bit != 0
    }

    /// Flags of a list register for the interrupt. The end of a software interrupt is reported where EL2 has to act on it:
    /// its line may still be high, or it may have been routed away meanwhile.
    fn flags(&self, index: usize, bit: u32) -> u64 {
        let word = self.word(index);
        let silent = word.edge.load(Relaxed)
            & (word.fixed.load(Relaxed) | if index == 0 { u32::MAX } else { 0 });
        if word.physical.load(Relaxed) & bit != 0 {
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
    fn return_pending(&mut self, index: usize, bit: u32) {
        let word = self.word(index);
        if (word.edge.load(Relaxed) | word.soft.load(SeqCst)) & bit != 0 {
            self.hardware.set_pending(index, bit);
        }
    }

    /// Whether this core has the physical interrupt acknowledged and latched.
    fn is_held(&self, index: usize, bit: u32) -> bool {
        let word = self.word(index);
        word.pending.load(SeqCst) & word.physical.load(Relaxed) & bit != 0
            && (index == 0 || self.gic.holder(intid(index, bit)) == Some(self.own))
    }

    /// Latched physical interrupts that may no longer be signalled here go back to hardware.
    fn give_back_latched(&mut self) {
        for index in 0..WORDS {
            let word = self.word(index);
            let latched = word.pending.load(SeqCst) & word.physical.load(Relaxed);
            for number in bits(latched) {
                let bit = 1 << number;
                if self.is_held(index, bit) && !self.deliverable(index, bit) {
                    word.pending.fetch_and(!bit, SeqCst);
                    self.give_back(index, bit);
                }
            }
        }
    }

    /// Moves what list register `register` holds to the latches.
    pub(crate) fn unlist(&mut self, register: usize) {
        let entry = Entry(self.hardware.read(register));
        self.hardware.write(register, 0);
        if entry.is_over() {
            return;
        }
        let (index, bit) = place(entry.intid());
        let word = self.word(index);
        let physical = word.physical.load(Relaxed) & bit != 0;
        if entry.has(Entry::ACTIVE) {
            word.active.fetch_or(bit, SeqCst);
            self.delivery.unlisted = true;
        }
        if entry.has(Entry::PENDING) {
            let lasting = word.edge.load(Relaxed) | word.soft.load(SeqCst);
            let stays = if physical { u32::MAX } else { lasting };
            word.pending.fetch_or(bit & stays, SeqCst);
        }
        if !physical && entry.is_only_pending() {
            self.release(index, bit);
        }
    }

    /// Fills list registers from the latches, most important first.
    fn refill(&mut self) {
        let mut waits = false;
        for round in 0..=ROUNDS {
            let Some(intid) = self.best(Kind::Pending) else {
                break;
            };
            let (index, bit) = place(intid);
            let priority = self.word(index).priority(intid % 32);
            waits = round == ROUNDS;
            let Some(register) = self.room_for(priority) else {
                waits = self.delivery.usable != 0;
                break;
            };
            if index != 0 && !self.gic.claim(intid, self.own) {
                continue;
            }
            self.word(index).pending.fetch_and(!bit, SeqCst);
            self.list(register, intid, Entry::PENDING | self.flags(index, bit));
        }
        self.relist_active();
        let mut wanted = 0;
        if self.delivery.usable != 0 {
            wanted |= control::EN;
        }
        if waits {
            wanted |= control::NPIE;
        }
        if self.delivery.unlisted {
            wanted |= control::LRENPIE | control::TDIR;
        }
        self.delivery.open = match waits || self.delivery.unlisted {
            true => 0,
            false => self.delivery.usable,
        };
        let control = self.hardware.control();
        if control & MANAGED != wanted {
            self.hardware.set_control(control & !MANAGED | wanted);
        }
    }

    /// Latched active interrupts return to list registers that are still free, where the guest ends them without EL2.
    fn relist_active(&mut self) {
        self.delivery.unlisted = false;
        for _ in 0..ROUNDS {
            let Some(intid) = self.best(Kind::Active) else {
                return;
            };
            let (index, bit) = place(intid);
            let word = self.word(index);
            let free = self.hardware.empty() & self.delivery.usable;
            if free == 0 || index != 0 && !self.gic.claim(intid, self.own) {
                break;
            }
            let mut flags = self.flags(index, bit) | Entry::ACTIVE;
            if flags & Entry::LINKED != 0 {
                self.hardware.set_active(index, bit);
                if self.is_held(index, bit) {
                    word.pending.fetch_and(!bit, SeqCst);
                    self.return_pending(index, bit);
                }
            } else if self.merge(index, bit) {
                flags |= Entry::PENDING;
            }
            word.active.fetch_and(!bit, SeqCst);
            self.list(free.trailing_zeros() as usize, intid, flags);
        }
        self.delivery.unlisted = true;
    }

    /// A list register for an interrupt of `priority`: a free one, or that of a less important pending one, or, if none is pending, that of the least
    /// important active one. None: it must wait.
    fn room_for(&mut self, priority: u8) -> Option<usize> {
        let free = self.hardware.empty() & self.delivery.usable;
        if free != 0 {
            return Some(free.trailing_zeros() as usize);
        }
        let (mut pending, mut active) = (None, None);
        for register in bits(self.delivery.usable) {
            let entry = Entry(self.hardware.read(register as usize));
            let worst = match entry.is_only_pending() {
                true => &mut pending,
                false => &mut active,
            };
            *worst = (*worst).max(Some((entry.priority(), register as usize)));
        }
        let victim = match pending {
            Some((worst, _)) if worst <= priority => return None,
            Some((_, register)) => register,
            None => active?.1,
        };
        self.unlist(victim);
        Some(victim)
    }

    /// The most important latched interrupt that this vCPU may put into a list register now, the lowest INTID among equals.
    fn best(&self, kind: Kind) -> Option<u32> {
        let empty = self.hardware.empty();
        let mut best = None;
        for index in 0..WORDS {
            let word = self.word(index);
            let physical = word.physical.load(Relaxed);
            let active = word.active.load(SeqCst);
            let candidates = match kind {
                Kind::Active => active,
                Kind::Pending => {
                    (word.pending.load(SeqCst) | word.level.load(SeqCst) & !physical)
                        & self.gic.on(word)
                        & !active
                }
            };
            for number in bits(candidates) {
                let intid = index as u32 * 32 + number;
                let holder = self.gic.holder(intid);
                let held = holder == Some(self.own);
                let routed = self.gic.route(intid) == self.own as u32;
                let linked = kind == Kind::Pending && physical >> number & 1 != 0;
                let is_own = index == 0
                    || match linked {
                        true => held,
                        false => {
                            held && (routed || kind == Kind::Active) || holder.is_none() && routed
                        }
                    };
                if is_own && self.delivery.find(intid, empty).is_none() {
                    let rank = (word.priority(number), intid);
                    best = Some(best.map_or(rank, |other| rank.min(other)));
                }
            }
        }
        best.map(|(_, intid)| intid)
    }
}

/// What [`Vcpu::best`] looks for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Pending,
    Active,
}

/// INTID of `bit` of word `index`.
fn intid(index: usize, bit: u32) -> u32 {
    index as u32 * 32 + bit.trailing_zeros()
}
