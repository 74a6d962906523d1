//! The GICv3 face: what a guest reads and writes in the distributor and the redistributors (IHI 0069, sections 12.8 to 12.11).
//!
//! One security state (GICD_CTLR.DS = 1), affinity routing only (GICD_CTLR.ARE = 1), no LPIs, no extended ranges, no message-based SPIs.
//! Sections 12.1.3 to 12.1.5: registers are accessed as words, IPRIORITYR also by the byte, 64-bit ones also as a whole. Any other size, a misaligned
//! offset, a reserved register and the bit of an INTID that the partition does not own read as zero and ignore writes.

use core::sync::atomic::Ordering::{Relaxed, SeqCst};

use crate::hardware::{Bank, Hardware};
use crate::state::{
    ACTIVE, AWAKE, CLEAR_ACTIVE, CLEAR_PENDING, EDGE, ENABLE, FIXED, GROUP, Gic, LEVEL, MAIL,
    OWNED, PENDING, PHYSICAL, SET_ACTIVE, SET_PENDING, SGIS, SHOWN, UNROUTED, WORDS, bits,
};
use crate::vcpu::Vcpu;

/// GICD_IIDR and GICR_IIDR: product 'B', no JEP106 code.
const IIDR: u32 = 0x42 << 24;
/// PIDR2: architecture revision 3.
const PIDR2: u32 = 0x30;
/// GICD_CTLR: DS and ARE read as one.
const CTLR_FIXED: u32 = 1 << 6 | 1 << 4;
/// GICD_TYPER: No1N, and 10 bits of INTID.
const TYPER_FIXED: u32 = 1 << 25 | 9 << 19;
/// GICR_WAKER: ProcessorSleep and ChildrenAsleep.
const WAKER_ASLEEP: u32 = 1 << 2 | 1 << 1;
/// Bits of a priority that are implemented: 32 levels, what every virtual CPU interface has.
const PRIORITY_MASK: u8 = 0xf8;
/// IROUTER: Aff2 to Aff0.
const AFFINITY: u32 = 0x00ff_ffff;
/// IROUTER.Interrupt_Routing_Mode.
const ANY: u32 = 1 << 31;
/// Offset of a redistributor's SGI frame, which follows its RD frame.
const SGI_FRAME: u64 = 0x1_0000;

/// The register files, by offset / 128: 32 words of one bit an interrupt each.
mod file {
    pub const GROUP: u64 = 1;
    pub const SET_ENABLE: u64 = 2;
    pub const CLEAR_ENABLE: u64 = 3;
    pub const SET_PENDING: u64 = 4;
    pub const CLEAR_PENDING: u64 = 5;
    pub const SET_ACTIVE: u64 = 6;
    pub const CLEAR_ACTIVE: u64 = 7;
    /// IPRIORITYR: a byte each.
    pub const PRIORITY: u64 = 8;
    pub const PRIORITY_LAST: u64 = 15;
    /// ICFGR: two bits each, the upper one set if it is edge-triggered. The plan programs hardware: writes change nothing.
    pub const CONFIGURATION: u64 = 24;
    pub const CONFIGURATION_LAST: u64 = 25;
    /// IROUTER: 8 bytes each.
    pub const ROUTE: u64 = 192;
    pub const ROUTE_LAST: u64 = 255;
}

/// What an access to a register file is about: the vCPU whose it is, the file, the word, and the first INTID.
struct Place {
    vcpu: usize,
    file: u64,
    index: usize,
    first: u32,
}

impl Gic {
    /// What reading the word at `offset` of the distributor shows, for those registers whose value is in the state alone:
    /// GICD_TYPER, and enable bits beyond word 0, which is the redistributors'.
    #[inline(always)]
    pub fn distributor_state(&self, offset: u64) -> Option<u32> {
        let index = (offset & 0x7f) as usize / 4;
        match (offset, offset >> 8) {
            (0x4, _) => Some(TYPER_FIXED | self.visible().wrapping_sub(1) as u32 & 0x1f),
            (_, 0x1) if (1..self.visible()).contains(&index) => {
                Some(self.word(0, index).get(ENABLE))
            }
            _ => None,
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

    /// The guest writes `value` to the word at `offset` of the distributor. `None`, with nothing done, if that is no ISENABLER
    /// of SPIs; otherwise the interrupts for which [`Self::settle_spis`] has something to do.
    #[inline(always)]
    pub fn enable_spis(&mut self, offset: u64, value: u32) -> Option<u32> {
        let index = (offset & 0x7f) as usize / 4;
        if offset >> 7 != file::SET_ENABLE || !(1..self.gic.visible()).contains(&index) {
            return None;
        }
        let word = self.word(index);
        let mask = value & word.get(OWNED);
        let changed = mask & !word.set_at_once(ENABLE, mask);
        if changed == 0 {
            return Some(0);
        }
        let on = self.gic.on(word) & changed & word.get(PHYSICAL);
        self.hardware.write_bank(Bank::SetEnable, index, on);
        // What waited to be enabled is for its core; group, route or enable may have changed meanwhile.
        let waits = word.get(PENDING) | word.get(LEVEL) | word.get(SET_PENDING);
        Some(waits & changed | on & !self.gic.on(word))
    }

    /// What [`Self::enable_spis`] left to do.
    pub fn settle_spis(&mut self, offset: u64, waits: u32) {
        let index = (offset & 0x7f) as usize / 4;
        self.apply(index, waits);
        self.look(self.own, index, waits);
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
                    self.file_write(&place, size as u32, value as u32);
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
            _ => self
                .locate(frame, offset)
                .map_or(0, |place| self.file_read(&place)),
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
        let file = offset >> 7;
        let first = match file {
            file::GROUP..=file::CLEAR_ACTIVE => (offset & 0x7f) * 8,
            file::PRIORITY..=file::PRIORITY_LAST => offset & 0x3ff,
            file::CONFIGURATION..=file::CONFIGURATION_LAST => (offset & 0xff) * 4,
            file::ROUTE..=file::ROUTE_LAST if offset & 4 == 0 => (offset & 0x1fff) / 8,
            _ => return None,
        };
        let index = first as usize / 32;
        let is_there = index < self.gic.visible() && (index == 0) == frame.is_some();
        is_there.then_some(Place {
            vcpu: frame.unwrap_or(self.own),
            file,
            index,
            first: first as u32,
        })
    }

    fn priorities(&self, place: &Place, size: u32) -> u32 {
        (0..size).fold(0, |value, byte| {
            let priority = self.gic.priority(place.vcpu, place.first + byte);
            value | u32::from(priority.load(Relaxed)) << (8 * byte)
        })
    }

    fn file_read(&mut self, place: &Place) -> u32 {
        let word = self.gic.word(place.vcpu, place.index);
        match place.file {
            file::GROUP => word.get(GROUP),
            file::SET_ENABLE | file::CLEAR_ENABLE => word.get(ENABLE),
            file::SET_PENDING | file::CLEAR_PENDING => self.pending(place.vcpu, place.index),
            file::SET_ACTIVE | file::CLEAR_ACTIVE => {
                self.look(place.vcpu, place.index, word.get(OWNED));
                word.get(ACTIVE) & !word.get(CLEAR_ACTIVE) | word.get(SET_ACTIVE)
            }
            file::PRIORITY..=file::PRIORITY_LAST => self.priorities(place, 4),
            file::ROUTE.. => match word.get(OWNED) >> (place.first % 32) & 1 {
                0 => 0,
                _ => self.gic.route(place.first),
            },
            _ => bits(word.get(EDGE) >> (place.first % 32) & 0xffff)
                .fold(0, |value, bit| value | 2 << (2 * bit)),
        }
    }

    /// Pending bits, wherever the state is. Who has it in list registers is asked to look, so that the next read shows it.
    fn pending(&mut self, vcpu: usize, index: usize) -> u32 {
        let word = self.gic.word(vcpu, index);
        self.look(vcpu, index, word.get(OWNED));
        let hardware = if index == 0 && vcpu != self.own {
            word.get(SHOWN)
        } else {
            self.hardware.pending(index) & word.get(PHYSICAL)
        };
        let latched = (hardware | word.get(PENDING)) & !word.get(CLEAR_PENDING);
        latched | word.get(SET_PENDING) | word.get(LEVEL) | word.get(MAIL) & SGIS
    }

    fn file_write(&mut self, place: &Place, size: u32, value: u32) {
        let (vcpu, index, first) = (place.vcpu, place.index, place.first);
        let word = self.gic.word(vcpu, index);
        let mask = value & word.get(OWNED);
        let changed = match place.file {
            file::GROUP => word.swap(GROUP, mask) ^ mask,
            file::SET_ENABLE => mask & !word.set(ENABLE, mask),
            file::CLEAR_ENABLE => mask & word.clear(ENABLE, mask),
            file::SET_PENDING..=file::CLEAR_ACTIVE => {
                let request = (place.file - file::SET_PENDING) as usize + SET_PENDING;
                return self.ask(request, vcpu, index, mask);
            }
            file::PRIORITY..=file::PRIORITY_LAST => {
                for byte in 0..size {
                    if word.get(OWNED) >> ((first + byte) % 32) & 1 != 0 {
                        let priority = (value >> (8 * byte)) as u8 & PRIORITY_MASK;
                        let store = self.gic.priority(vcpu, first + byte);
                        store.store(priority, SeqCst);
                    }
                }
                (1u32 << size).wrapping_sub(1) << (first % 32)
            }
            file::ROUTE.. => return self.set_router(index, 1 << (first % 32), first, value),
            _ => return,
        };
        if changed == 0 {
            return;
        }
        self.gic.outdate(vcpu, index);
        if index != 0 || vcpu == self.own {
            self.apply(index, changed);
        }
        self.look(vcpu, index, changed);
    }

    fn set_groups(&mut self, groups: u32) {
        if self.gic.enable_groups.swap(0, groups) == groups {
            return;
        }
        for index in 0..WORDS {
            for vcpu in 0..self.gic.vcpus() {
                self.gic.outdate(vcpu, index);
            }
            self.apply(index, u32::MAX);
        }
        self.wake((1 << self.gic.vcpus()) - 1);
    }

    /// Routes an SPI, unless it is fixed. An affinity that no vCPU has leaves the interrupt pending until it is routed again.
    fn set_router(&mut self, index: usize, bit: u32, intid: u32, value: u32) {
        let word = self.word(index);
        if word.get(OWNED) & !word.get(FIXED) & bit == 0 {
            return;
        }
        let route = match value & ANY {
            0 => value & AFFINITY,
            _ => 0,
        };
        self.gic.set_route(intid, route);
        word.put(UNROUTED, bit, self.gic.target(intid).is_none());
        self.gic.outdate(0, index);
        self.apply_route(index, bit);
        self.apply(index, bit);
        self.look(self.own, index, bit);
    }
}

fn is_priority(file: u64) -> bool {
    (file::PRIORITY..=file::PRIORITY_LAST).contains(&file)
}
