//! Overflow: filling list registers from the latches, most important first, and making room.
//!
//! The most important pending interrupts are in list registers, the rest is latched. If even one waits, NPIE asks for a maintenance interrupt once no
//! list register is pending, and arrivals go through the latches so that none overtakes. A more important
//! interrupt displaces the least important pending one. Only if no list register is pending is an active one displaced: so whenever one waits,
//! some list register is pending, and NPIE can neither be missed nor fire without there being something to do.
//! A displaced active interrupt stays active in a latch; its end shows in EOIcount (LRENPIE).

use core::sync::atomic::Ordering::Relaxed;

use crate::hardware::{Entry, Hardware, control};
use crate::state::{ACTIVE, EDGE, LEVEL, PENDING, PHYSICAL, SOFT, WORDS, bits};
use crate::vcpu::{Vcpu, place};

/// Control bits that this file decides.
const MANAGED: u32 = control::EN | control::LRENPIE | control::NPIE | control::TDIR;
/// Most list registers, and so most rounds of filling and of displacing.
const ROUNDS: usize = 2 * 16;

impl<H: Hardware> Vcpu<'_, H> {
    /// Moves what list register `register` holds to the latches.
    pub(crate) fn unlist(&mut self, register: usize) {
        let entry = Entry(self.hardware.read(register));
        self.hardware.write(register, 0);
        if entry.is_over() {
            return;
        }
        let (index, bit) = place(entry.intid());
        let word = self.word(index);
        let physical = word.get(PHYSICAL) & bit != 0;
        if entry.has(Entry::ACTIVE) {
            word.set(ACTIVE, bit);
            self.delivery.unlisted = true;
        }
        if entry.has(Entry::PENDING) {
            let lasting = word.get(EDGE) | word.get(SOFT);
            let stays = if physical { u32::MAX } else { lasting };
            word.set(PENDING, bit & stays);
        }
        if !physical && entry.is_only_pending() {
            self.release(index, bit);
        }
    }

    /// Fills list registers from the latches, most important first.
    pub(crate) fn refill(&mut self) {
        let was_unlisted = self.delivery.unlisted;
        let mut waits = false;
        for round in 0..=ROUNDS {
            let Some(intid) = self.best(Kind::Pending) else {
                break;
            };
            let (index, bit) = place(intid);
            let priority = self.gic.priority(self.own, intid).load(Relaxed);
            waits = round == ROUNDS;
            let Some(register) = self.room_for(priority) else {
                waits = self.delivery.usable != 0;
                break;
            };
            if index != 0 && !self.gic.claim(intid, self.own) {
                continue;
            }
            self.word(index).clear(PENDING, bit);
            self.enlist(register, intid, Entry::PENDING | self.flags(index, bit));
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
        let mut control = self.hardware.control();
        if !was_unlisted {
            // Ends that were counted before there was one to count.
            control &= !control::EOI_COUNT;
        }
        wanted |= control & !MANAGED;
        if self.hardware.control() != wanted {
            self.hardware.set_control(wanted);
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
                    word.clear(PENDING, bit);
                    self.return_pending(index, bit);
                }
            } else if self.merge(index, bit) {
                flags |= Entry::PENDING;
            }
            word.clear(ACTIVE, bit);
            self.enlist(free.trailing_zeros() as usize, intid, flags);
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
    #[inline(never)]
    pub(crate) fn best(&self, kind: Kind) -> Option<u32> {
        let empty = self.hardware.empty();
        let mut best = None;
        for index in 0..WORDS {
            let word = self.word(index);
            let physical = word.get(PHYSICAL);
            let active = word.get(ACTIVE);
            let candidates = match kind {
                Kind::Active => active,
                Kind::Pending => {
                    (word.get(PENDING) | word.get(LEVEL) & !physical) & self.gic.on(word) & !active
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
                    let rank = (self.gic.priority(self.own, intid).load(Relaxed), intid);
                    best = Some(best.map_or(rank, |other| rank.min(other)));
                }
            }
        }
        best.map(|(_, intid)| intid)
    }
}

/// What [`Vcpu::best`] looks for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Pending,
    Active,
}
