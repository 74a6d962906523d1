//! What the guest has acknowledged and not ended yet, once list registers no longer say it.

use plan::INTIDS;

use crate::hardware::{Entry, Hardware, control, interface};
use crate::state::{ACTIVE, CLEAR_ACTIVE, bits};
use crate::sync::IS_ACTIVE;
use crate::vcpu::{Vcpu, place};

impl<H: Hardware> Vcpu<'_, H> {
    /// Ends of interrupts that had no list register: EOIcount of them, of those that the guest has acknowledged the most important first,
    /// for priorities drop in that order (IHI 0069, section 4.8.2). With EOImode = 1 nothing ends so.
    pub(crate) fn count_ends(&mut self) {
        let count = self.hardware.control() >> control::EOI_COUNT.trailing_zeros();
        if count == 0 || self.hardware.interface() & interface::EOI_MODE != 0 {
            return;
        }
        for _ in 0..count {
            let ends = (0..INTIDS as u32).filter_map(|intid| self.end_rank(intid));
            let Some(first) = ends.min().map(|rank| rank & 0xffff) else {
                return;
            };
            let (index, bit) = place(first);
            // It may be active once more by now, on another vCPU: that one ends it then.
            let is_mine = index == 0 || self.gic.holder(first) == Some(self.own);
            if is_mine && self.word(index).get(ACTIVE) & bit != 0 {
                self.word(index).set(CLEAR_ACTIVE, bit);
                self.obey(index, bit);
                self.gic.release(first, self.own);
            }
            self.note_taken(first, 0);
        }
    }

    /// Of several interrupts the lowest is the one that the guest ends first, `None` is one that it cannot end so: acknowledged
    /// ones by the priority they had then, before those that a register write made active. Of one that a register write has
    /// deactivated meanwhile the priority is still to be dropped.
    fn end_rank(&self, intid: u32) -> Option<u32> {
        let (index, bit) = place(intid);
        let is_active = self.word(index).get(ACTIVE) & bit != 0;
        if is_active && self.delivery.find(intid).is_some() {
            return None;
        }
        let is_mine = index == 0 || self.gic.holder(intid) == Some(self.own);
        match u32::from(*self.delivery.taken.get(intid as usize)?) {
            0 => (is_active && is_mine).then(|| IS_ACTIVE | self.rank(intid)),
            taken => Some((taken & 0xf8) << 20 | intid),
        }
    }

    /// Forgets what list registers were given as active and what has come again since, into other ones: hardware has seen its
    /// end. What the guest has acknowledged there is noted when those are read.
    pub(crate) fn forget_ended(&mut self) {
        for register in bits(self.delivery.active & self.delivery.usable) {
            let register = register as usize;
            if let Some(intid) = self.delivery.noted(register)
                && self.delivery.find(intid) != Some(register)
            {
                self.note_taken(intid, 0);
            }
        }
    }

    /// The guest's CPU interface was reset: no priority is left to be dropped.
    pub fn forget_priorities(&mut self) {
        self.delivery.taken = [0; INTIDS];
    }

    /// Notes what [`Delivery::taken`](crate::Delivery) says of `intid`.
    pub(crate) fn note_taken(&mut self, intid: u32, taken: u8) {
        if let Some(last) = self.delivery.taken.get_mut(intid as usize) {
            *last = taken;
        }
    }

    /// `entry`, if it is active, with the priority and group that the guest acknowledged it with: its end
    /// drops that priority, whatever registers say now.
    pub(crate) fn as_taken(&self, entry: u64) -> u64 {
        let taken = self.delivery.taken.get(entry as usize & 0xffff);
        match taken.copied().unwrap_or(0) {
            0 => entry,
            _ if entry & Entry::ACTIVE == 0 => entry,
            taken => Entry(entry & !Entry::RANK).ranked(taken & 0xf8, taken & 1).0,
        }
    }
}
