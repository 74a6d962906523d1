// SPDX-License-Identifier: MIT OR Apache-2.0
//! The registers that both faces have in common: the files of one bit, one byte or two bits per
//! interrupt, and GICD_CTLR's group enables. IHI 0069 (12.9, 12.11) and IHI 0048 (4.3) give them
//! the same offsets.

use crate::atomic::Ordering::{Relaxed, SeqCst};
use crate::hardware::{Bank, Hardware};
use crate::state::{ALL_STALE, Gic, Request, SGIS, WORDS};
use crate::vcpu::{Vcpu, place};
use crate::words::Bits;

/// GICD_IIDR and GICR_IIDR: product 'B', no JEP106 code.
pub(crate) const IIDR: u32 = 0x42 << 24;
/// Bits of a priority that are implemented: 32 levels, which every virtual CPU interface has.
const PRIORITY_MASK: u8 = 0xf8;

/// Offsets of registers in the distributor. The SGI frame of a redistributor has the same files.
pub(crate) mod offset {
    pub const GICD_CTLR: u64 = 0x0000;
    pub const GICD_TYPER: u64 = 0x0004;
    pub const GICD_IIDR: u64 = 0x0008;
    pub const GICD_IGROUPR: u64 = 0x0080;
    pub const GICD_ISENABLER: u64 = 0x0100;
    /// GICv2: as a whole file it is found by its place among the files of one bit.
    pub const GICD_ICENABLER: u64 = 0x0180;
    pub const GICD_ISPENDR: u64 = 0x0200;
    pub const GICD_IPRIORITYR: u64 = 0x0400;
    /// GICv2.
    pub const GICD_ITARGETSR: u64 = 0x0800;
    pub const GICD_ICFGR: u64 = 0x0c00;
    pub const GICD_ICFGR_END: u64 = 0x0d00;
    /// GICv3.
    pub const GICD_IROUTER: u64 = 0x6000;
    pub const GICD_IROUTER_END: u64 = 0x8000;
    /// Mask of the offset inside a file of one bit per interrupt.
    pub const IN_BIT_FILE: u64 = 0x7f;
}

/// A register file.
#[derive(Clone, Copy)]
pub(crate) enum File {
    /// IGROUPR.
    Group,
    /// ISENABLER.
    SetEnable,
    /// ICENABLER.
    ClearEnable,
    /// ISPENDR, ICPENDR, ISACTIVER, ICACTIVER.
    State(Request),
    /// IPRIORITYR: a byte per interrupt.
    Priority,
    /// ITARGETSR (GICv2): a byte per interrupt.
    Target,
    /// ICFGR: two bits per interrupt, the upper one set if it is edge-triggered. The plan programs
    /// hardware: writes have no effect.
    Configuration,
    /// IROUTER (GICv3): 8 bytes per interrupt, of which the lower word is shown.
    Route,
}

/// The files of one bit per interrupt, in the order of their offsets from GICD_IGROUPR on: 128
/// bytes each.
const BIT_FILES: [File; 7] = [
    File::Group,
    File::SetEnable,
    File::ClearEnable,
    File::State(Request::SetPending),
    File::State(Request::ClearPending),
    File::State(Request::SetActive),
    File::State(Request::ClearActive),
];

/// What an access to a register file is about.
pub(crate) struct Place {
    /// The vCPU whose frame is accessed.
    pub vcpu: usize,
    pub file: File,
    /// The word of interrupts.
    pub index: usize,
    /// The first INTID.
    pub first: u32,
}

impl Place {
    /// Returns the place at `offset` of a frame of vCPU `vcpu` that is laid out as a distributor.
    pub(crate) fn at(vcpu: usize, offset: u64) -> Option<Self> {
        use offset::*;
        let (file, first) = match offset {
            GICD_IGROUPR..GICD_IPRIORITYR => {
                let file = BIT_FILES.get((offset - GICD_IGROUPR) as usize / 0x80)?;
                (*file, (offset & IN_BIT_FILE) * 8)
            }
            GICD_IPRIORITYR..GICD_ITARGETSR => (File::Priority, offset & 0x3ff),
            GICD_ITARGETSR..GICD_ICFGR => (File::Target, offset & 0x3ff),
            GICD_ICFGR..GICD_ICFGR_END => (File::Configuration, (offset & 0xff) * 4),
            GICD_IROUTER..GICD_IROUTER_END if offset & 4 == 0 => {
                (File::Route, (offset & 0x1fff) / 8)
            }
            _ => return None,
        };
        Some(Self { vcpu, file, index: first as usize / 32, first: first as u32 })
    }
}

impl Gic {
    /// Returns the word at `offset` of the distributor, if that is ISENABLER or ICENABLER of SPIs.
    #[inline(always)]
    pub(crate) fn enabled_spis(&self, offset: u64) -> Option<u32> {
        let index = (offset & offset::IN_BIT_FILE) as usize / 4;
        ((offset::GICD_ISENABLER..offset::GICD_ISPENDR).contains(&offset)
            && (1..self.visible()).contains(&index))
        .then(|| self.word(0, index).enable.get())
    }
}

impl<H: Hardware> Vcpu<'_, H> {
    /// Writes `value` to the word at `offset` of the distributor for the guest, if that is
    /// ISENABLER of SPIs; otherwise returns `None` and does nothing. Returns the interrupts for
    /// which [`Self::settle`] has something to do.
    #[inline(always)]
    pub fn enable_spis(&mut self, offset: u64, value: u32) -> Option<u32> {
        let index = (offset & offset::IN_BIT_FILE) as usize / 4;
        if offset & !offset::IN_BIT_FILE != offset::GICD_ISENABLER
            || !(1..self.gic.visible()).contains(&index)
        {
            return None;
        }
        Some(self.enable(index, value))
    }

    /// Writes `value` to ISENABLER of this vCPU's word `index`, as
    /// [`Self::enable_spis`].
    #[inline(always)]
    pub fn enable(&mut self, index: usize, value: u32) -> u32 {
        let word = self.word(index);
        let mask = value & word.owned.get();
        let changed = mask & !word.enable.fast_set(mask);
        if changed == 0 {
            return 0;
        }
        // A software interrupt that waited to be enabled is for its core: a private one is latched
        // here.
        let held = if index == 0 { &self.latches(0).pending } else { &word.unheld };
        let waits = (held.get() | word.line_level.get() | word.set_pending.get()) & changed;
        let physical = word.physical.get() & changed;
        if physical == 0 {
            return waits;
        }
        // Hardware signals a physical one by itself, unless its group, route or enable changed
        // meanwhile.
        let on = self.gic.on(word) & physical;
        self.hardware.write_bank(Bank::SetEnable, index, on);
        waits | (on & !self.gic.on(word))
    }

    /// Does what [`Self::enable`] left to do for the interrupts `waits` of the word at `offset` of
    /// a frame.
    pub fn settle(&mut self, offset: u64, waits: u32) {
        let index = (offset & offset::IN_BIT_FILE) as usize / 4;
        self.apply_enable(index, waits);
        self.request_resync(self.own, index, waits, false);
    }

    /// Reads the word at `place`, which is not a route or target.
    pub(crate) fn file_read(&mut self, place: &Place) -> u32 {
        let word = self.gic.word(place.vcpu, place.index);
        match place.file {
            File::Group => word.group.get(),
            File::SetEnable | File::ClearEnable => word.enable.get(),
            File::State(Request::SetPending | Request::ClearPending) => {
                self.pending(place.vcpu, place.index)
            }
            File::State(_) => {
                self.request_resync(place.vcpu, place.index, word.owned.get(), false);
                let (_, active) = self.gic.latched(place.vcpu, place.index);
                (active & !word.clear_active.get()) | word.set_active.get()
            }
            File::Priority => (0..4).fold(0, |value, byte| {
                let priority = self.gic.priority(place.vcpu, place.first + byte);
                value | u32::from(priority.load(Relaxed)) << (8 * byte)
            }),
            File::Configuration | File::Target | File::Route => {
                Bits((word.edge.get() >> (place.first % 32)) & 0xffff)
                    .fold(0, |value, bit| value | 2 << (2 * bit))
            }
        }
    }

    /// Returns the pending bits of a word, wherever the state is, and requests of the vCPUs that
    /// hold its interrupts to latch theirs, so that the next read shows it.
    fn pending(&mut self, vcpu: usize, index: usize) -> u32 {
        let word = self.gic.word(vcpu, index);
        self.request_resync(vcpu, index, word.owned.get(), false);
        let hardware = if index == 0 && vcpu != self.own {
            word.published_ppis.get()
        } else {
            self.hardware.pending(index) & word.physical.get()
        };
        let (latched, _) = self.gic.latched(vcpu, index);
        ((hardware | latched) & !word.clear_pending.get())
            | word.set_pending.get()
            | word.line_level.get()
            | (word.requests.get() & SGIS)
    }

    /// Writes `size` bytes at `place`, which is not a route or target.
    pub(crate) fn file_write(&mut self, place: &Place, size: u32, value: u32) {
        let (vcpu, index, first) = (place.vcpu, place.index, place.first);
        let word = self.gic.word(vcpu, index);
        let mask = value & word.owned.get();
        let changed = match place.file {
            File::Group => word.group.swap(mask) ^ mask,
            File::SetEnable => mask & !word.enable.set(mask),
            File::ClearEnable => mask & word.enable.clear(mask),
            File::State(request) => return self.request(request, vcpu, index, mask),
            File::Priority => {
                let written = (1u32 << size).wrapping_sub(1);
                for byte in Bits((word.owned.get() >> (first % 32)) & written) {
                    let priority = (value >> (8 * byte)) as u8 & PRIORITY_MASK;
                    let store = self.gic.priority(vcpu, first + byte);
                    store.store(priority, SeqCst);
                }
                written << (first % 32)
            }
            File::Configuration | File::Target | File::Route => return,
        };
        if changed == 0 {
            return;
        }
        self.gic.mark_stale(vcpu, index);
        if index != 0 || vcpu == self.own {
            self.apply_enable(index, changed);
        }
        self.request_resync(vcpu, index, changed, !matches!(place.file, File::SetEnable));
    }

    /// Writes GICD_CTLR's group enables.
    pub(crate) fn set_groups(&mut self, groups: u32) {
        if self.gic.enable_groups.swap(groups) == groups {
            return;
        }
        for vcpu in 0..self.gic.vcpus() {
            self.gic.word(vcpu, 0).requests.set(ALL_STALE);
        }
        for index in 0..WORDS {
            self.apply_enable(index, u32::MAX);
        }
        self.wake((1 << self.gic.vcpus()) - 1);
    }

    /// Routes an SPI, unless it is fixed, to the vCPU in bits 23:0 of `route` ([`Gic::targets`] are
    /// above). If there is no such vCPU it stays pending until it is routed again.
    pub(crate) fn set_route(&mut self, intid: u32, route: u32) {
        let (index, bit) = place(intid);
        if self.word(index).owned.get() & !self.word(index).fixed.get() & bit == 0 {
            return;
        }
        let last = self.gic.set_route(intid, route);
        self.gic.mark_stale(0, index);
        self.route(index, bit);
        // It may be arriving there at this moment.
        if last < self.gic.vcpus() as u32 {
            self.wake(1 << last);
        }
        self.request_resync(self.own, index, bit, false);
    }
}
