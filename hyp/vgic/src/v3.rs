// SPDX-License-Identifier: MIT OR Apache-2.0
//! The GICv3 face: distributor, redistributors and SGI registers as a guest sees them (IHI 0069,
//! 12.2 and 12.8 to 12.11).
//!
//! One security state (GICD_CTLR.DS = 1), affinity routing only (GICD_CTLR.ARE = 1), no LPIs, no
//! extended ranges, no message-based SPIs. Registers are accessed as words, IPRIORITYR also by the
//! byte, 64-bit registers also as a whole (12.1.3 to 12.1.5). Accesses of another size, misaligned
//! offsets, reserved registers and the bits of INTIDs that the partition does not own read as zero
//! and ignore writes.

use crate::hardware::Hardware;
use crate::registers::{File, IIDR, Place, offset};
use crate::state::Gic;
use crate::vcpu::Vcpu;
use crate::words::Bits;

/// GICD_PIDR2 and GICR_PIDR2: architecture revision 3.
const PIDR2: u32 = 0x30;
/// GICD_CTLR: DS and ARE read as one.
const CTLR_FIXED: u32 = 1 << 6 | 1 << 4;
/// GICD_TYPER: No1N, and 10 bits of INTID.
const TYPER_FIXED: u32 = 1 << 25 | 9 << 19;
/// GICR_WAKER.ProcessorSleep.
const PROCESSOR_SLEEP: u32 = 1 << 1;
/// GICR_WAKER: ProcessorSleep and ChildrenAsleep.
const WAKER_ASLEEP: u32 = 1 << 2 | PROCESSOR_SLEEP;
/// GICD_IROUTER: Aff2 to Aff0.
const AFFINITY: u32 = 0x00ff_ffff;
/// GICD_IROUTER.Interrupt_Routing_Mode.
const ROUTING_MODE: u32 = 1 << 31;
/// Offsets of registers in the frames of distributor and redistributor.
const GICR_IIDR: u64 = 0x0004;
const GICR_TYPER: u64 = 0x0008;
const GICR_TYPER_UPPER: u64 = 0x000c;
const GICR_WAKER: u64 = 0x0014;
/// Offsets of a redistributor's enable bits.
pub const GICR_ISENABLER0: u64 = SGI_FRAME + offset::GICD_ISENABLER;
const GICR_ICENABLER0: u64 = GICR_ISENABLER0 + 0x80;
/// GICD_PIDR2, GICR_PIDR2.
const PIDR2_OFFSET: u64 = 0xffe8;
/// Offset of a redistributor's SGI frame, which follows its RD frame.
const SGI_FRAME: u64 = 0x1_0000;

impl Gic {
    /// Returns what reading the word at `offset` of the distributor shows, for the registers whose
    /// value is in the shared state only: GICD_TYPER, GICD_CTLR, and enable bits except those of
    /// word 0, which are the redistributors'.
    #[inline(always)]
    pub fn distributor_state(&self, offset: u64) -> Option<u32> {
        match offset {
            offset::GICD_TYPER => {
                Some(TYPER_FIXED | (self.visible().wrapping_sub(1) as u32 & 0x1f))
            }
            offset::GICD_CTLR => Some(self.enable_groups.get() | CTLR_FIXED),
            _ => self.enabled_spis(offset),
        }
    }

    /// Returns what reading `size` bytes at `offset` of vCPU `vcpu`'s redistributor shows, for the
    /// registers that guests read most: GICR_TYPER as a whole, and the enable bits.
    #[inline(always)]
    pub fn redistributor_state(&self, vcpu: usize, offset: u64, size: u64) -> Option<u64> {
        match offset {
            GICR_TYPER if size == 8 => Some(u64::from(self.typer(vcpu)) | (vcpu as u64) << 32),
            GICR_ISENABLER0 | GICR_ICENABLER0 if size == 4 => {
                Some(self.word(vcpu, 0).enable.get().into())
            }
            _ => None,
        }
    }

    /// Returns the lower half of GICR_TYPER: Processor_Number and Last.
    fn typer(&self, vcpu: usize) -> u32 {
        (vcpu as u32) << 8 | u32::from(vcpu + 1 == self.vcpus()) << 4
    }
}

impl<H: Hardware> Vcpu<'_, H> {
    /// Reads `size` bytes at `offset`, a multiple of `size`, for the guest: of the distributor
    /// (64 KiB), or of the redistributor of vCPU `frame` (128 KiB).
    pub fn read(&mut self, frame: Option<usize>, offset: u64, size: u64) -> u64 {
        let word = u64::from(self.word_read(frame, offset & !3));
        match (size, frame, offset) {
            (4, ..) => word,
            // The same in both frames; the RD frame has no register there.
            (1, ..) if is_priority(offset) => (word >> (8 * (offset & 3))) & 0xff,
            // Upper halves: Aff3 is zero, as GICD_TYPER.A3V = 0 says; GICR_TYPER has the vCPU's
            // affinity.
            (8, None, offset::GICD_IROUTER..offset::GICD_IROUTER_END) => word,
            (8, Some(vcpu), GICR_TYPER) => word | (vcpu as u64) << 32,
            _ => 0,
        }
    }

    /// Writes for the guest: see [`Self::read`].
    pub fn write(&mut self, frame: Option<usize>, offset: u64, size: u64, value: u64) {
        match (size, frame, offset) {
            (4, None, offset::GICD_CTLR) => self.set_groups(value as u32 & 3),
            // ChildrenAsleep follows ProcessorSleep at once. Delivery does not depend on it: a
            // guest that sleeps has its groups disabled (IHI 0069, 11.1).
            (4, Some(vcpu), GICR_WAKER) if vcpu < self.gic.vcpus() => {
                let is_awake = value as u32 & PROCESSOR_SLEEP == 0;
                self.gic.word(vcpu, 0).awake.swap(u32::from(is_awake));
            }
            _ => {
                if let Some(place) = self.locate(frame, offset) {
                    match (size, place.file) {
                        (4 | 8, File::Route) => self.set_router(place.first, value as u32),
                        (4, _) | (1, File::Priority) => {
                            self.file_write(&place, size as u32, value as u32);
                        }
                        _ => {}
                    }
                }
            }
        }
    }

    fn word_read(&mut self, frame: Option<usize>, offset: u64) -> u32 {
        let vcpus = self.gic.vcpus();
        match (frame, offset) {
            (Some(vcpu), _) if vcpu >= vcpus => 0,
            (
                None,
                offset::GICD_CTLR
                | offset::GICD_TYPER
                | offset::GICD_ISENABLER..offset::GICD_ISPENDR,
            ) => self.gic.distributor_state(offset).unwrap_or(0),
            (None, offset::GICD_IIDR) | (Some(_), GICR_IIDR) => IIDR,
            (Some(vcpu), GICR_TYPER) => self.gic.typer(vcpu),
            (Some(vcpu), GICR_TYPER_UPPER) => vcpu as u32,
            (Some(vcpu), GICR_WAKER) if self.gic.word(vcpu, 0).awake.get() == 0 => WAKER_ASLEEP,
            (_, PIDR2_OFFSET) => PIDR2,
            _ => match self.locate(frame, offset) {
                Some(place) if matches!(place.file, File::Route) => {
                    let owned = (self.word(place.index).owned.get() >> (place.first % 32)) & 1;
                    owned * self.gic.route(place.first)
                }
                Some(place) => self.file_read(&place),
                None => 0,
            },
        }
    }

    /// Returns what `offset` is in the register files, which distributor and SGI frame lay out
    /// alike. The distributor does not show private words, because affinity routing is on.
    fn locate(&self, frame: Option<usize>, offset: u64) -> Option<Place> {
        let offset = match frame {
            Some(vcpu) if vcpu < self.gic.vcpus() => offset.checked_sub(SGI_FRAME)?,
            Some(_) => return None,
            None => offset,
        };
        let place = Place::at(frame.unwrap_or(self.own), offset)?;
        let is_there = place.index < self.gic.visible()
            && (place.index == 0) == frame.is_some()
            && (frame.is_none() || !matches!(place.file, File::Route))
            && !matches!(place.file, File::Target);
        is_there.then_some(place)
    }

    /// Writes IROUTER. An affinity that no vCPU has leaves the interrupt pending until it is routed
    /// again. One-of-N routing selects vCPU 0 (GICD_TYPER.No1N = 1).
    fn set_router(&mut self, intid: u32, value: u32) {
        let is_one_of_n = value & ROUTING_MODE != 0;
        self.set_route(intid, if is_one_of_n { 0 } else { value & AFFINITY });
    }

    /// Sends what the guest wrote to an SGI register. vCPU n has affinity 0.0.0.n; SGIs to any
    /// other affinity are ignored.
    ///
    /// With a single security state (GICD_CTLR.DS = 1), `ICC_SGI1R_EL1` sends SGIs of both groups,
    /// `ICC_SGI0R_EL1` and `ICC_ASGI1R_EL1` those that the target has in Group 0 (`only_group0`;
    /// IHI 0069, 12.1, SGI forwarding).
    pub fn send_sgi(&mut self, value: u64, only_group0: bool) {
        const AFFINITY3_TO_1_AND_RS: u64 = 0x00ff_f0ff_00ff_0000;
        const BROADCAST: u64 = 1 << 40;
        let intid = (value >> 24) as u32 & 15;
        let all = (1u32 << self.gic.vcpus()) - 1;
        let targets = if value & BROADCAST != 0 {
            all & !(1 << self.own)
        } else if value & AFFINITY3_TO_1_AND_RS != 0 {
            0
        } else {
            all & value as u32 & 0xffff
        };
        for target in Bits(targets) {
            let target = target as usize;
            let group = self.gic.word(target, 0).group.get();
            if only_group0 && group >> intid & 1 != 0 {
                continue;
            }
            if target == self.own {
                self.inject(intid);
            } else {
                self.post(target, 1 << intid);
            }
        }
    }

    /// [`Self::send_sgi`] for what guests write most: `ICC_SGI1R_EL1` with one other vCPU. Returns
    /// false, with nothing done, for everything else.
    pub fn fast_send_sgi(&mut self, value: u64) -> bool {
        const AFFINITY3_TO_1_RS_AND_BROADCAST: u64 = 0x00ff_ffff_00ff_0000;
        let targets = value as u32 & 0xffff;
        let target = targets.trailing_zeros() as usize;
        if value & AFFINITY3_TO_1_RS_AND_BROADCAST != 0
            || targets & targets.wrapping_sub(1) != 0
            || target == self.own
            || target >= self.gic.vcpus()
        {
            return false;
        }
        self.fast_post(target, 1 << ((value >> 24) & 15));
        true
    }
}

/// Returns whether `offset`, of either kind of frame, is in IPRIORITYR.
fn is_priority(offset: u64) -> bool {
    (offset::GICD_IPRIORITYR..offset::GICD_ITARGETSR).contains(&(offset & 0xffff))
}
