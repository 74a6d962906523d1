// SPDX-License-Identifier: MIT OR Apache-2.0
//! What one core keeps for itself: which interrupt is in which list register.

use plan::INTIDS;
use zerocopy::FromZeros;

/// Which interrupt is in which list register of one core; private to that core. All bytes zero:
/// nothing is delivered, the vCPU is parked.
///
/// EL2's vectors read and write the public fields in the same way as [`Vcpu::physical`] and
/// [`Vcpu::inject`].
///
/// [`Vcpu::physical`]: crate::Vcpu::physical
/// [`Vcpu::inject`]: crate::Vcpu::inject
#[derive(FromZeros)]
#[repr(C)]
pub struct Delivery {
    /// List registers in use, one bit each; none while the vCPU is parked.
    pub(crate) usable: u32,
    /// List registers that an arrival may take at once: none while others wait for room, because
    /// it would overtake them.
    pub free_for_arrival: u32,
    /// List registers with an active interrupt whose pending half stays in the latch, because it
    /// must not be signalled now.
    pub(crate) active_latched_pending: u32,
    /// List registers that may hold a physical interrupt, whose line is to be sampled. The vectors
    /// list them in register 0 only, which always counts.
    pub(crate) physical: u32,
    /// List registers that were given an interrupt as active.
    pub(crate) active: u32,
    /// The list register that each INTID was last in. Valid only where `lr_intid` agrees.
    pub last_lr: [u8; INTIDS],
    /// 1 + the INTID that each list register was last given, 0 for none.
    pub lr_intid: [u16; 16],
    /// The list register content of each INTID's next arrival, 0 if it has to be computed. Valid
    /// only while [`Gic::requests`](crate::Gic::requests) has no bit for its word.
    pub cached_entry: [u64; INTIDS],
    /// GICv2: the sender of each SGI that is latched as active.
    pub(crate) source: [u8; 16],
    /// Per INTID that the guest has acknowledged and not ended, as far as EL2 knows:
    /// [`ACKNOWLEDGED`], with the priority and group it had then.
    pub(crate) acknowledged: [u8; INTIDS],
}

/// In [`Delivery::acknowledged`]: the guest has acknowledged it. Bit 0 is the group, bits 7:3 are
/// the priority.
pub(crate) const ACKNOWLEDGED: u8 = 1 << 1;

impl Delivery {
    /// Returns the list registers that are not `empty` (`ICH_ELRSR_EL2`) and may hold a physical
    /// interrupt: [`Vcpu::sample`](crate::Vcpu::sample) compares their lines.
    #[inline(always)]
    pub fn to_sample(&self, empty: u32) -> u32 {
        !empty & self.usable & (self.physical | 1)
    }

    /// Returns the list register that was given `intid` last, unless it was given another since.
    /// The guest may have ended `intid` there.
    pub(crate) fn find(&self, intid: u32) -> Option<usize> {
        self.fast_find(intid)
    }

    /// [`Self::find`], inlined for the fast paths.
    #[inline(always)]
    pub(crate) fn fast_find(&self, intid: u32) -> Option<usize> {
        let register = usize::from(*self.last_lr.get(intid as usize)?) & 15;
        (u32::from(self.lr_intid[register]) == intid + 1).then_some(register)
    }

    /// Returns the INTID that list register `register` was last given.
    pub(crate) fn lr_intid(&self, register: usize) -> Option<u32> {
        u32::from(self.lr_intid[register & 15]).checked_sub(1)
    }

    /// Records that list register `register` is given `intid`.
    pub(crate) fn record(&mut self, register: usize, intid: u32) {
        if let Some(last) = self.last_lr.get_mut(intid as usize) {
            *last = register as u8;
        }
        self.lr_intid[register & 15] = intid as u16 + 1;
    }
}
