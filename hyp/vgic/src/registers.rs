//! What both faces have alike: the register files of one bit, byte or pair of bits an interrupt, and GICD_CTLR's groups.
//! IHI 0069 (12.9, 12.11) and IHI 0048 (4.3) lay them out at the same offsets.

use core::sync::atomic::Ordering::{Relaxed, SeqCst};

use crate::hardware::{Bank, Hardware};
use crate::state::{
    ACTIVE, CLEAR_ACTIVE, CLEAR_PENDING, EDGE, ENABLE, FIXED, GROUP, Gic, LEVEL, MAIL, OWNED,
    PENDING, PHYSICAL, SET_ACTIVE, SET_PENDING, SGIS, SHOWN, SOFT, UNROUTED, WORDS, bits,
};
use crate::vcpu::{Vcpu, place};

/// GICD_IIDR and GICR_IIDR: product 'B', no JEP106 code.
pub(crate) const IIDR: u32 = 0x42 << 24;
/// Bits of a priority that are implemented: 32 levels, what every virtual CPU interface has.
const PRIORITY_MASK: u8 = 0xf8;

/// The register files, by offset / 128: 32 words of one bit an interrupt each.
pub(crate) mod file {
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
    /// ITARGETSR (GICv2): a byte each.
    pub const TARGET: u64 = 16;
    pub const TARGET_LAST: u64 = 23;
    /// ICFGR: two bits each, the upper one set if it is edge-triggered. The plan programs hardware: writes change nothing.
    pub const CONFIGURATION: u64 = 24;
    pub const CONFIGURATION_LAST: u64 = 25;
    /// IROUTER: 8 bytes each.
    pub const ROUTE: u64 = 192;
    pub const ROUTE_LAST: u64 = 255;
}

/// What an access to a register file is about: the vCPU whose it is, the file, the word, and the first INTID.
pub(crate) struct Place {
    pub vcpu: usize,
    pub file: u64,
    pub index: usize,
    pub first: u32,
}

impl Place {
    /// The place at `offset` of a frame of vCPU `vcpu` that is laid out as a distributor.
    pub(crate) fn at(vcpu: usize, offset: u64) -> Option<Self> {
        let file = offset >> 7;
        let first = match file {
            file::GROUP..=file::CLEAR_ACTIVE => (offset & 0x7f) * 8,
            file::PRIORITY..=file::TARGET_LAST => offset & 0x3ff,
            file::CONFIGURATION..=file::CONFIGURATION_LAST => (offset & 0xff) * 4,
            file::ROUTE..=file::ROUTE_LAST if offset & 4 == 0 => (offset & 0x1fff) / 8,
            _ => return None,
        };
        Some(Self { vcpu, file, index: first as usize / 32, first: first as u32 })
    }
}

impl Gic {
    /// What reading the word at `offset` of the distributor shows, if those are enable bits of SPIs.
    #[inline(always)]
    pub(crate) fn enabled_spis(&self, offset: u64) -> Option<u32> {
        let index = (offset & 0x7f) as usize / 4;
        (offset >> 8 == 1 && (1..self.visible()).contains(&index))
            .then(|| self.word(0, index).get(ENABLE))
    }
}

impl<H: Hardware> Vcpu<'_, H> {
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

    fn priorities(&self, place: &Place, size: u32) -> u32 {
        (0..size).fold(0, |value, byte| {
            let priority = self.gic.priority(place.vcpu, place.first + byte);
            value | u32::from(priority.load(Relaxed)) << (8 * byte)
        })
    }

    /// Reads the word at `place`, which is no route or target.
    pub(crate) fn file_read(&mut self, place: &Place) -> u32 {
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
        // Of a level that is latched its line says more than the latch, which may be a sibling's.
        let level = word.get(PHYSICAL) & !word.get(EDGE) & !word.get(SOFT);
        let latched = (hardware | word.get(PENDING) & !level) & !word.get(CLEAR_PENDING);
        latched | word.get(SET_PENDING) | word.get(LEVEL) | word.get(MAIL) & SGIS
    }

    /// Writes `size` bytes at `place`, which is no route or target.
    pub(crate) fn file_write(&mut self, place: &Place, size: u32, value: u32) {
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

    /// GICD_CTLR: which groups are enabled.
    pub(crate) fn set_groups(&mut self, groups: u32) {
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

    /// Routes an SPI, unless it is fixed, to the vCPU in bits 23:0 of `route` ([`Gic::targets`] are above); with a number that no
    /// vCPU has it stays pending until it is routed again.
    pub(crate) fn set_route(&mut self, intid: u32, route: u32) {
        let (index, bit) = place(intid);
        let word = self.word(index);
        if word.get(OWNED) & !word.get(FIXED) & bit == 0 {
            return;
        }
        self.gic.set_route(intid, route);
        word.put(UNROUTED, bit, self.gic.target(intid).is_none());
        self.gic.outdate(0, index);
        self.apply_route(index, bit);
        self.apply(index, bit);
        self.look(self.own, index, bit);
    }
}

/// Whether `file` is IPRIORITYR.
pub(crate) fn is_priority(file: u64) -> bool {
    (file::PRIORITY..=file::PRIORITY_LAST).contains(&file)
}
