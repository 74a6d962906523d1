// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which vCPU an SPI is routed to, and which one holds it.
//!
//! The holder is the vCPU that acts on requests for an SPI. A physical SPI's arrival makes its vCPU
//! the holder: hardware has it active then, so that it arrives nowhere else until it has ended, and
//! whatever an earlier holder still has of it is over. A software SPI is claimed, from no holder
//! only, and released by its holder.

use crate::atomic::{AtomicU8, Ordering::AcqRel, Ordering::Relaxed, Ordering::SeqCst, fence};
use crate::state::{Gic, SPIS};

impl Gic {
    /// Returns the affinity that SPI `intid` is routed to: IROUTER bits 23:0.
    pub(crate) fn route(&self, intid: u32) -> u32 {
        self.route[spi(intid)].get() & 0x00ff_ffff
    }

    /// Returns ITARGETSR's byte of SPI `intid`.
    pub(crate) fn targets(&self, intid: u32) -> u32 {
        self.route[spi(intid)].get() >> 24
    }

    /// Routes SPI `intid`. Returns the affinity that it was routed to.
    pub(crate) fn set_route(&self, intid: u32, route: u32) -> u32 {
        self.route[spi(intid)].swap(route) & 0x00ff_ffff
    }

    /// Returns the vCPU that SPI `intid` is routed to.
    pub(crate) fn target(&self, intid: u32) -> Option<usize> {
        Some(self.route(intid) as usize).filter(|&vcpu| vcpu < self.vcpus())
    }

    /// Returns, per SPI, 1 + the vCPU that holds it, 0 for none. A core that lists an SPI writes
    /// its own number here.
    pub fn holders(&self) -> &[AtomicU8; SPIS] {
        &self.holder
    }

    /// Returns the vCPU that holds SPI `intid`. Of a physical interrupt, or one that cannot be
    /// routed, this may be a vCPU whose guest has ended it since.
    pub(crate) fn holder(&self, intid: u32) -> Option<usize> {
        usize::from(self.holder[spi(intid)].load(Relaxed)).checked_sub(1)
    }

    /// Makes `vcpu` the holder of `intid`, if that is an SPI.
    pub(crate) fn set_holder(&self, intid: u32, vcpu: usize) {
        if intid >= 32 {
            let byte = &self.holder[spi(intid)];
            #[cfg(not(loom))]
            byte.store(vcpu as u8 + 1, Relaxed);
            // Loom may order a read-modify-write of an older value after a plain store, which
            // coherence forbids.
            #[cfg(loom)]
            byte.swap(vcpu as u8 + 1, Relaxed);
        }
    }

    /// Makes `vcpu` the holder of SPI `intid`, unless another vCPU holds it. Returns the holder.
    pub(crate) fn claim(&self, intid: u32, vcpu: usize) -> usize {
        let claimed = self.change_holder(intid, 0, vcpu as u8 + 1);
        claimed.map_or_else(|holder| usize::from(holder) - 1, |_| vcpu)
    }

    /// Ends `vcpu`'s hold on `intid`, if that is an SPI that it holds.
    pub(crate) fn release(&self, intid: u32, vcpu: usize) {
        if intid >= 32 {
            let _ = self.change_holder(intid, vcpu as u8 + 1, 0);
        }
    }

    #[inline(never)]
    fn change_holder(&self, intid: u32, old: u8, new: u8) -> Result<u8, u8> {
        let changed = self.holder[spi(intid)].compare_exchange(old, new, AcqRel, Relaxed);
        fence(SeqCst);
        changed
    }
}

/// Returns the index of SPI `intid`.
fn spi(intid: u32) -> usize {
    (intid as usize).wrapping_sub(32) % SPIS
}
