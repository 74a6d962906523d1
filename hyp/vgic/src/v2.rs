// SPDX-License-Identifier: MIT OR Apache-2.0
//! The GICv2 face: the distributor as a guest sees it (IHI 0048B.b, 4.3). Its CPU interface is the
//! hardware's GICV.
//!
//! No Security Extensions, both groups (GICD_IGROUPR can be written, as 4.3.4 allows), vCPU n is
//! CPU interface n. Registers are accessed as words, IPRIORITYR, ITARGETSR, CPENDSGIR and SPENDSGIR
//! also by the byte (4.1.4). Accesses of another size, reserved registers and the bits of INTIDs
//! that the partition does not own read as zero and ignore writes.
//!
//! An SGI is pending once per vCPU that sent it (3.2.2). A list register shows one source
//! (`GICH_LR<n>.CPUID`, 5.3.10), so the sources go through it one after another, lowest first, each
//! when the one before has ended; those that wait are in [`Gic::sources`].

use crate::hardware::{Entry, Hardware};
use crate::registers::{File, IIDR, Place, offset};
use crate::state::{Gic, Request, SGIS};
use crate::vcpu::Vcpu;
use crate::words::Bits;

/// ICPIDR2: architecture version 2 (4.3.18).
const PIDR2: u32 = 0x20;
/// Offset of a vCPU's own enable bits.
pub const GICD_ISENABLER0: u64 = offset::GICD_ISENABLER;
/// Offsets of the registers that only a GICv2 has.
const GICD_SGIR: u64 = 0xf00;
const GICD_CPENDSGIR: u64 = 0xf10;
const GICD_SPENDSGIR: u64 = 0xf20;
const GICD_SPENDSGIR_END: u64 = 0xf30;
const GICD_ICPIDR2: u64 = 0xfe8;

impl Gic {
    /// Returns what reading the word at `offset` shows to vCPU `vcpu`, for the registers whose
    /// value is in the shared state only: GICD_TYPER, GICD_CTLR, and enable bits.
    #[inline(always)]
    pub fn distributor_state_v2(&self, vcpu: usize, offset: u64) -> Option<u32> {
        if let Some(enabled) = self.enabled_spis(offset) {
            return Some(enabled);
        }
        match offset {
            // ITLinesNumber and CPUNumber; SecurityExtn = 0 (4.3.2).
            offset::GICD_TYPER => Some(
                (self.visible().wrapping_sub(1) as u32 & 0x1f)
                    | (self.vcpus().wrapping_sub(1) as u32 & 7) << 5,
            ),
            offset::GICD_CTLR => Some(self.enable_groups.get()),
            offset::GICD_ISENABLER | offset::GICD_ICENABLER => {
                Some(self.word(vcpu, 0).enable.get())
            }
            _ => None,
        }
    }
}

impl<H: Hardware> Vcpu<'_, H> {
    /// Reads `size` bytes at `offset`, a multiple of `size`, of the distributor for the guest.
    pub fn read_v2(&mut self, offset: u64, size: u64) -> u64 {
        let byte = 8 * (offset & 3);
        match size {
            4 => self.word_read_v2(offset).into(),
            1 if has_bytes(offset) => (u64::from(self.word_read_v2(offset & !3)) >> byte) & 0xff,
            _ => 0,
        }
    }

    /// Writes for the guest: see [`Self::read_v2`].
    pub fn write_v2(&mut self, offset: u64, size: u64, value: u64) {
        let value = value as u32;
        if size != 4 && !(size == 1 && has_bytes(offset)) {
            return;
        }
        match offset {
            offset::GICD_CTLR => self.set_groups(value & 3),
            GICD_SGIR => self.send_sgi_v2(value),
            GICD_CPENDSGIR..GICD_SPENDSGIR_END => {
                for byte in 0..size {
                    let sources = (value >> (8 * byte)) & 0xff;
                    let sgi = (offset + byte) as usize % 16;
                    let clears = offset < GICD_SPENDSGIR;
                    let (clear, set) = if clears { (sources, 0) } else { (0, sources) };
                    self.sources(sgi, clear, set);
                }
            }
            _ => {
                if let Some(place) = self.locate_v2(offset) {
                    self.place_write_v2(&place, size as u32, value);
                }
            }
        }
    }

    fn word_read_v2(&mut self, offset: u64) -> u32 {
        match offset {
            offset::GICD_IIDR => IIDR,
            GICD_ICPIDR2 => PIDR2,
            GICD_CPENDSGIR..GICD_SPENDSGIR_END => (0..4).fold(0, |value, byte| {
                value | self.sources((offset + byte) as usize % 16, 0, 0) << (8 * byte)
            }),
            _ => match self.locate_v2(offset) {
                Some(place) if matches!(place.file, File::Target) => (0..4)
                    .fold(0, |value, byte| {
                        value | self.target_v2(place.first + byte) << (8 * byte)
                    }),
                Some(place) => self.file_read(&place),
                None => self.gic.distributor_state_v2(self.own, offset).unwrap_or(0),
            },
        }
    }

    /// Returns what `offset` is in the register files. Word 0 is the accessing vCPU's own (4.1.3,
    /// banked registers).
    fn locate_v2(&self, offset: u64) -> Option<Place> {
        Place::at(self.own, offset)
            .filter(|place| place.index < self.gic.visible() && !matches!(place.file, File::Route))
    }

    fn place_write_v2(&mut self, place: &Place, size: u32, value: u32) {
        if matches!(place.file, File::Target) {
            for byte in 0..size {
                self.set_target_v2(place.first + byte, (value >> (8 * byte)) & 0xff);
            }
            return;
        }
        let value = match place.file {
            // Only SGIR and SPENDSGIR make SGIs pending (4.3.7, 4.3.8).
            File::State(Request::SetPending | Request::ClearPending) if place.index == 0 => {
                value & !SGIS
            }
            _ => value,
        };
        self.file_write(place, size, value);
    }

    /// Returns ITARGETSR's byte of `intid` (4.3.12): for a private interrupt the reader's own bit;
    /// zero if there is one vCPU, and so nothing to choose.
    fn target_v2(&self, intid: u32) -> u32 {
        let owned = (self.word(intid as usize / 32).owned.get() >> (intid % 32)) & 1;
        match (self.gic.vcpus(), intid) {
            (..=1, _) => 0,
            (_, 0..32) => 1 << self.own,
            _ => owned * self.gic.targets(intid),
        }
    }

    /// Routes `intid` to the lowest of `targets`; hardware may choose any of them (1.4.2, 1-N
    /// model). Without a target the SPI stays pending (4.3.12).
    fn set_target_v2(&mut self, intid: u32, targets: u32) {
        let vcpus = self.gic.vcpus();
        if intid >= 32 && vcpus > 1 {
            let targets = targets & ((1 << vcpus) - 1);
            // With no target this is 32, which is not a vCPU.
            self.set_route(intid, targets.trailing_zeros() | targets << 24);
        }
    }

    /// Sends what was written to SGIR (4.3.15): to the listed vCPUs, to all but the writer, or to
    /// the writer. NSATT has no effect without Security Extensions.
    fn send_sgi_v2(&mut self, value: u32) {
        let all = (1u32 << self.gic.vcpus()) - 1;
        let own = 1 << self.own;
        let targets = match (value >> 24) & 3 {
            0 => (value >> 16) & all,
            1 => all & !own,
            2 => own,
            _ => 0,
        };
        let sgi = value & 15;
        for target in Bits(targets) {
            let target = target as usize;
            self.gic.sources(target, sgi).set(own);
            if target == self.own {
                self.inject(sgi);
            } else {
                self.post(target, 1 << sgi);
            }
        }
    }

    /// [`Self::write_v2`] for what guests write most: SGIR with one other vCPU. Returns false, with
    /// nothing done, for everything else.
    pub fn fast_send_sgi_v2(&mut self, offset: u64, value: u32) -> bool {
        let targets = (value >> 16) & 0x3ff;
        let target = targets.trailing_zeros() as usize;
        if offset != GICD_SGIR
            || targets & targets.wrapping_sub(1) != 0
            || target == self.own
            || target >= self.gic.vcpus()
        {
            return false;
        }
        let sgi = value & 15;
        self.gic.sources(target, sgi).fast_set(1 << self.own);
        self.fast_post(target, 1 << sgi);
        true
    }

    /// Changes which sources of `sgi` are pending at this vCPU. Returns those that are then.
    fn sources(&mut self, sgi: usize, clear: u32, set: u32) -> u32 {
        let set = set & ((1 << self.gic.vcpus()) - 1);
        let sources = self.gic.sources(self.own, sgi as u32);
        // The source that a list register shows joins the others first.
        self.fold_list_registers();
        sources.clear(clear);
        sources.set(set);
        let left = sources.get();
        self.latches(0).pending.put(1 << sgi, left != 0);
        self.fill_list_registers();
        left
    }

    /// [`Self::inject`] of an SGI: puts its first source into a free list register. A source that
    /// cannot be listed at once is latched, or follows when the one in the list register has ended.
    pub(crate) fn inject_sgi(&mut self, sgi: u32) {
        let sources = self.gic.sources(self.own, sgi);
        if sources.get() == 0 {
            return;
        }
        let entry = self.cached_entry(sgi);
        let empty = self.hardware.empty();
        let free = self.delivery.free_for_software(empty);
        let listed = self.delivery.find(sgi).filter(|&at| empty >> at & 1 == 0);
        if let Some(register) = listed {
            let entry = Entry(self.hardware.read(register));
            if entry.is_only_pending() {
                // Pending already from this source.
                sources.clear(1 << entry.source());
            }
            if sources.get() != 0 {
                self.hardware.write(register, entry.0 | Entry::REPORT_END);
            }
        } else if entry != 0 && free != 0 {
            let entry = self.next_source(sgi, Entry(entry));
            self.list(free.trailing_zeros() as usize, sgi, entry.0);
        } else {
            self.latches(0).pending.put(1 << sgi, true);
            self.sync();
        }
    }

    /// Returns `entry`, of a pending SGI, as sent by its first source, which no longer waits. If
    /// other sources wait, its end is reported.
    pub(crate) fn next_source(&mut self, sgi: u32, entry: Entry) -> Entry {
        let sources = self.gic.sources(self.own, sgi);
        let first = sources.get().trailing_zeros() & 7;
        sources.clear(1 << first);
        entry.sent_by(first, sources.get() != 0)
    }
}

/// Returns whether the register at `offset` can be accessed by the byte.
fn has_bytes(offset: u64) -> bool {
    (offset::GICD_IPRIORITYR..offset::GICD_ICFGR).contains(&offset)
        || (GICD_CPENDSGIR..GICD_SPENDSGIR_END).contains(&offset)
}
