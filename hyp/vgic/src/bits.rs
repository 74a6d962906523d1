//! Pending and active bits as registers read and write them: the same for both faces.
//!
//! `vcpu` is the vCPU whose private interrupts are meant where the word is 0.

use core::sync::atomic::Ordering::{Relaxed, SeqCst};

use crate::hardware::Hardware;
use crate::state::{ACTIVE, EDGE, LEVEL, OWNED, PENDING, PHYSICAL, RESYNC, SGIS, SOFT, bits};
use crate::vcpu::Vcpu;

impl<H: Hardware> Vcpu<'_, H> {
    /// Pending and active bits of a word, wherever the state is.
    pub(crate) fn state(&mut self, vcpu: usize, index: usize) -> (u32, u32) {
        self.count_ends();
        let word = self.gic.word(vcpu, index);
        let (owned, physical) = (word.get(OWNED), word.get(PHYSICAL));
        let mut pending = word.get(PENDING) | word.get(LEVEL);
        let mut active = word.get(ACTIVE);
        if index == 0 {
            let bank = self.gic.bank(vcpu);
            pending |= bank.mail.load(Relaxed) & SGIS | bank.set_pending.get(0);
        }
        if index != 0 || vcpu == self.own {
            let (listed_pending, listed_active) = self.listed(index);
            pending |= self.hardware.pending(index) & physical | listed_pending;
            active |= listed_active;
        }
        for sibling in 0..self.gic.vcpus() {
            let bank = self.gic.bank(sibling);
            let held = match index {
                _ if sibling == self.own => 0,
                0 if sibling == vcpu => u32::MAX,
                0 => 0,
                _ => self.held_by(sibling, index, owned),
            };
            if held == 0 {
                continue;
            }
            pending |= bank.shown_pending.get(index) & held;
            active |= bank.shown_active.get(index) & held;
            pending &= !(bank.drop_pending.get(index) & held);
            active &= !(bank.drop_active.get(index) & held);
            self.post(sibling, RESYNC);
        }
        (pending & owned, active & owned)
    }

    /// The SPIs of word `index` that vCPU `vcpu` holds, of those in `mask`.
    fn held_by(&self, vcpu: usize, index: usize, mask: u32) -> u32 {
        bits(mask)
            .filter(|bit| self.gic.holder(index as u32 * 32 + bit) == Some(vcpu))
            .fold(0, |held, bit| held | 1 << bit)
    }

    pub(crate) fn set_pending(&mut self, vcpu: usize, index: usize, mask: u32) {
        let word = self.gic.word(vcpu, index);
        let physical = mask & word.get(PHYSICAL);
        if index == 0 && vcpu != self.own {
            let bank = self.gic.bank(vcpu);
            word.set(SOFT, mask & !word.get(EDGE));
            word.set(PENDING, mask & !physical);
            bank.set_pending.set(0, physical);
            self.reconsider(vcpu, index, mask);
            return;
        }
        // An interrupt that is pending already stays so. In hardware it would become pending a second time: EL2 has acknowledged the first.
        let (listed, _) = self.listed(index);
        let fresh = physical & !listed & !word.get(PENDING);
        word.set(SOFT, fresh & !word.get(EDGE));
        if fresh != 0 {
            self.hardware.set_pending(index, fresh);
        }
        self.latch(index, mask);
    }

    pub(crate) fn clear_pending(&mut self, vcpu: usize, index: usize, mask: u32) {
        let word = self.gic.word(vcpu, index);
        let physical = mask & word.get(PHYSICAL);
        word.clear(SOFT, mask);
        word.clear(PENDING, mask & !physical);
        if index == 0 && vcpu != self.own {
            let bank = self.gic.bank(vcpu);
            bank.mail.fetch_and(!(mask & SGIS), SeqCst);
            bank.set_pending.clear(0, mask);
            self.request(vcpu, index, mask, false);
            return;
        }
        if index == 0 {
            self.bank().mail.fetch_and(!(mask & SGIS), SeqCst);
        }
        if physical != 0 {
            self.hardware.clear_pending(index, physical);
        }
        self.each_holder(index, mask, false);
        self.drop_pending(index, mask);
        self.look(index, mask);
    }

    pub(crate) fn set_active(&mut self, vcpu: usize, index: usize, mask: u32) {
        let word = self.gic.word(vcpu, index);
        word.set(ACTIVE, mask);
        self.reconsider(vcpu, index, mask);
    }

    /// Makes the interrupts `mask` inactive, wherever they are active.
    pub(crate) fn clear_active(&mut self, vcpu: usize, index: usize, mask: u32) {
        let word = self.gic.word(vcpu, index);
        let mask = mask & word.get(OWNED);
        if index == 0 && vcpu != self.own {
            word.clear(ACTIVE, mask & !word.get(PHYSICAL));
            self.request(vcpu, index, mask, true);
            return;
        }
        self.count_ends();
        let others = self.each_holder(index, mask, true);
        self.drop_active(index, mask & !others);
        self.look(index, mask);
    }

    /// Asks each sibling that holds an SPI of `mask` to drop its state. Returns the SPIs that siblings hold.
    fn each_holder(&mut self, index: usize, mask: u32, active: bool) -> u32 {
        let mut all = 0;
        for sibling in 0..self.gic.vcpus() {
            if index == 0 || sibling == self.own {
                continue;
            }
            let held = self.held_by(sibling, index, mask);
            if held != 0 {
                self.request(sibling, index, held, active);
            }
            all |= held;
        }
        all
    }

    fn request(&mut self, vcpu: usize, index: usize, mask: u32, active: bool) {
        let bank = self.gic.bank(vcpu);
        match active {
            true => bank.drop_active.set(index, mask),
            false => bank.drop_pending.set(index, mask),
        };
        self.post(vcpu, RESYNC);
    }
}
