//! The GICv3 face: distributor, redistributors and SGI registers as a guest sees them (IHI 0069, sections 12.2 and 12.8 to 12.11).
//!
//! One security state (GICD_CTLR.DS = 1), affinity routing only (GICD_CTLR.ARE = 1), no LPIs, no extended ranges, no message-based SPIs.
//! Sections 12.1.3 to 12.1.5: registers are accessed as words, IPRIORITYR also by the byte, 64-bit ones also as a whole. Any other size, a misaligned
//! offset, a reserved register and the bit of an INTID that the partition does not own read as zero and ignore writes.

use crate::hardware::Hardware;
use crate::registers::{IIDR, Place, file, is_priority};
use crate::state::{AWAKE, GROUP, Gic, OWNED, bits};
use crate::vcpu::Vcpu;

/// PIDR2: architecture revision 3.
const PIDR2: u32 = 0x30;
/// GICD_CTLR: DS and ARE read as one.
const CTLR_FIXED: u32 = 1 << 6 | 1 << 4;
/// GICD_TYPER: No1N, and 10 bits of INTID.
const TYPER_FIXED: u32 = 1 << 25 | 9 << 19;
/// GICR_WAKER: ProcessorSleep and ChildrenAsleep.
const WAKER_ASLEEP: u32 = 1 << 2 | 1 << 1;
/// IROUTER: Aff2 to Aff0.
const AFFINITY: u32 = 0x00ff_ffff;
/// IROUTER.Interrupt_Routing_Mode.
const ANY: u32 = 1 << 31;
/// Offset of a redistributor's SGI frame, which follows its RD frame.
const SGI_FRAME: u64 = 0x1_0000;

impl Gic {
    /// What reading the word at `offset` of the distributor shows, for those registers whose value is in the state alone:
    /// GICD_TYPER, and enable bits beyond word 0, which is the redistributors'.
    #[inline(always)]
    pub fn distributor_state(&self, offset: u64) -> Option<u32> {
        match offset {
            0x4 => Some(TYPER_FIXED | self.visible().wrapping_sub(1) as u32 & 0x1f),
            _ => self.enabled_spis(offset),
        }
    }
}

impl<H: Hardware> Vcpu<'_, H> {
    /// The guest reads `size` bytes at `offset`, a multiple of `size`, of the distributor (64 KiB), or of the redistributor of
    /// vCPU `frame` (128 KiB).
    pub fn read(&mut self, frame: Option<usize>, offset: u64, size: u64) -> u64 {
        let word = u64::from(self.word_read(frame, offset & !3));
        match (size, frame, offset >> 7) {
            (4, ..) => word,
            // The same in both frames; the RD frame has nothing there.
            (1, _, file) if is_priority(file & 0x1ff) => word >> (8 * (offset & 3)) & 0xff,
            // Upper halves: Aff3, which GICD_TYPER.A3V = 0 says is not there; the vCPU's affinity in GICR_TYPER.
            (8, None, file::ROUTE..=file::ROUTE_LAST) => word,
            (8, Some(vcpu), 0) if offset == 0x8 => word | (vcpu as u64) << 32,
            _ => 0,
        }
    }

    /// The guest writes: see [`Self::read`].
    pub fn write(&mut self, frame: Option<usize>, offset: u64, size: u64, value: u64) {
        match (size, frame, offset) {
            (4, None, 0) => self.set_groups(value as u32 & 3),
            // ChildrenAsleep follows ProcessorSleep at once. Delivery does not depend on it: a guest that sleeps has its groups disabled
            // (IHI 0069, section 11.1).
            (4, Some(vcpu), 0x14) if vcpu < self.gic.vcpus() => {
                let word = self.gic.word(vcpu, 0);
                word.swap(AWAKE, u32::from(value & 2 == 0));
            }
            _ => {
                if let Some(place) = self.locate(frame, offset)
                    && (size == 4
                        || size == 1 && is_priority(place.file)
                        || size == 8 && place.file >= file::ROUTE)
                {
                    match place.file {
                        file::ROUTE.. => self.set_router(place.first, value as u32),
                        _ => self.file_write(&place, size as u32, value as u32),
                    }
                }
            }
        }
    }

    fn word_read(&mut self, frame: Option<usize>, offset: u64) -> u32 {
        let vcpus = self.gic.vcpus();
        match (frame, offset) {
            (Some(vcpu), _) if vcpu >= vcpus => 0,
            (None, 0x0) => self.gic.enable_groups.get(0) | CTLR_FIXED,
            (None, 0x4 | 0x100..0x200) => self.gic.distributor_state(offset).unwrap_or(0),
            (None, 0x8) | (Some(_), 0x4) => IIDR,
            (Some(vcpu), 0x8) => (vcpu as u32) << 8 | u32::from(vcpu + 1 == vcpus) << 4,
            (Some(vcpu), 0xc) => vcpu as u32,
            (Some(vcpu), 0x14) if self.gic.word(vcpu, 0).get(AWAKE) == 0 => WAKER_ASLEEP,
            (_, 0xffe8) => PIDR2,
            _ => match self.locate(frame, offset) {
                Some(place) if place.file >= file::ROUTE => {
                    let owned = self.word(place.index).get(OWNED) >> (place.first % 32) & 1;
                    owned * self.gic.route(place.first)
                }
                Some(place) => self.file_read(&place),
                None => 0,
            },
        }
    }

    /// What `offset` is in the register files, which distributor and SGI frame lay out alike. The distributor shows no private words:
    /// affinity routing is on.
    fn locate(&self, frame: Option<usize>, offset: u64) -> Option<Place> {
        let offset = match frame {
            Some(vcpu) if vcpu < self.gic.vcpus() => offset.checked_sub(SGI_FRAME)?,
            Some(_) => return None,
            None => offset,
        };
        let place = Place::at(frame.unwrap_or(self.own), offset)?;
        let is_there = place.index < self.gic.visible()
            && (place.index == 0) == frame.is_some()
            && (frame.is_none() || place.file < file::ROUTE)
            && !(file::TARGET..=file::TARGET_LAST).contains(&place.file);
        is_there.then_some(place)
    }

    /// IROUTER: an affinity that no vCPU has leaves the interrupt pending until it is routed again.
    fn set_router(&mut self, intid: u32, value: u32) {
        let route = match value & ANY {
            0 => value & AFFINITY,
            _ => 0,
        };
        self.set_route(intid, route);
    }

    /// The guest wrote `value` to an SGI register. vCPU n has affinity 0.0.0.n; SGIs to any other affinity go nowhere.
    ///
    /// With a single security state (GICD_CTLR.DS = 1), `ICC_SGI1R_EL1` sends SGIs of both groups, `ICC_SGI0R_EL1` and
    /// `ICC_ASGI1R_EL1` those that the target has in Group 0 (`only_group0`; IHI 0069, section 12.1, SGI forwarding).
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
        for target in bits(targets) {
            let target = target as usize;
            let group1 = self.gic.word(target, 0).get(GROUP) >> intid & 1 != 0;
            if group1 && only_group0 {
                continue;
            }
            if target == self.own {
                self.inject(intid);
            } else {
                self.post(target, 1 << intid);
            }
        }
    }

    /// [`Self::send_sgi`] for what guests write most: `ICC_SGI1R_EL1` with one other vCPU. False, with nothing done, for all else.
    #[inline(always)]
    pub fn send_sgi_to_one(&mut self, value: u64) -> bool {
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
        self.post_at_once(target, 1 << (value >> 24 & 15));
        true
    }
}
