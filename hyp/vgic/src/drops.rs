//! Ends and withdrawals: an interrupt that this core holds stops being active or pending other than by the guest's list register.

use crate::hardware::{Entry, Hardware, control};
use crate::overflow::Kind;
use crate::state::{ACTIVE, EDGE, LEVEL, PENDING, PHYSICAL, RESYNC, SOFT, bits};
use crate::sync::intid;
use crate::vcpu::{Vcpu, place};

impl<H: Hardware> Vcpu<'_, H> {
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
            let physical = word.get(PHYSICAL) & bit != 0;
            if physical && self.is_held(index, bit) {
                word.clear(PENDING, bit);
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
            let physical = word.get(PHYSICAL) & bit != 0;
            if word.clear(ACTIVE, bit) & bit != 0 {
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
    pub(crate) fn ended(&mut self, index: usize, bit: u32) {
        let word = self.word(index);
        if (word.get(EDGE) | word.get(PENDING)) & bit == 0 {
            word.clear(SOFT, bit);
        }
        self.release(index, bit);
    }

    pub(crate) fn release(&mut self, index: usize, bit: u32) {
        if index == 0 || !self.gic.release(intid(index, bit), self.own) {
            return;
        }
        let word = self.word(index);
        let waiting = word.get(PENDING) | word.get(LEVEL) | word.get(ACTIVE);
        let route = self.gic.route(intid(index, bit)) as usize;
        if waiting & bit != 0 && route != self.own && route < self.gic.vcpus() {
            self.post(route, RESYNC);
        }
    }
}
