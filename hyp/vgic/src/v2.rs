//! The GICv2 face: the distributor as a guest sees it (IHI 0048B.b, section 4.3); its CPU interface is the hardware's GICV.
//!
//! No Security Extensions, both groups (GICD_IGROUPR can be written, as section 4.3.4 allows), vCPU n is CPU interface n. Registers are accessed as words,
//! IPRIORITYR, ITARGETSR, CPENDSGIR and SPENDSGIR also by the byte (4.1.4). Any other size, a reserved register and the bit of an INTID that the partition does
//! not own read as zero and ignore writes.
//!
//! An SGI is pending once for each vCPU that sent it (3.2.2). A list register shows one source (`GICH_LR<n>.CPUID`, 5.3.10), so the sources go through it one
//! after another, lowest first, each when the one before has ended; those that wait are in [`Gic::sources`].

use crate::hardware::{Entry, Hardware};
use crate::registers::{IIDR, Place, file, is_priority};
use crate::state::{Gic, MAIL, OWNED, PENDING, SGIS, bits};
use crate::vcpu::Vcpu;

/// ICPIDR2: architecture version 2 (4.3.18).
const PIDR2: u32 = 0x20;

/// Where registers are that no file of [`file`] holds.
mod at {
    pub const CTLR: u64 = 0x000;
    pub const TYPER: u64 = 0x004;
    pub const IIDR: u64 = 0x008;
    pub const SGIR: u64 = 0xf00;
    pub const CPENDSGIR: u64 = 0xf10;
    pub const SPENDSGIR: u64 = 0xf20;
    pub const SPENDSGIR_END: u64 = 0xf30;
    pub const PIDR2: u64 = 0xfe8;
}

impl Gic {
    /// What reading the word at `offset` shows, for those registers whose value is in the state alone: GICD_TYPER, and enable
    /// bits of SPIs.
    #[inline(always)]
    pub fn distributor_state_v2(&self, offset: u64) -> Option<u32> {
        match offset {
            // ITLinesNumber and CPUNumber; SecurityExtn = 0 (4.3.2).
            at::TYPER => Some(
                self.visible().wrapping_sub(1) as u32 & 0x1f
                    | (self.vcpus().wrapping_sub(1) as u32 & 7) << 5,
            ),
            _ => self.enabled_spis(offset),
        }
    }
}

impl<H: Hardware> Vcpu<'_, H> {
    /// The guest reads `size` bytes at `offset`, a multiple of `size`, of the distributor.
    pub fn read_v2(&mut self, offset: u64, size: u64) -> u64 {
        let byte = 8 * (offset & 3);
        match size {
            4 => self.word_read_v2(offset).into(),
            1 if has_bytes(offset) => u64::from(self.word_read_v2(offset & !3)) >> byte & 0xff,
            _ => 0,
        }
    }

    /// The guest writes: see [`Self::read_v2`].
    pub fn write_v2(&mut self, offset: u64, size: u64, value: u64) {
        let value = value as u32;
        if size != 4 && !(size == 1 && has_bytes(offset)) {
            return;
        }
        match offset {
            at::CTLR => self.set_groups(value & 3),
            at::SGIR => self.send_sgi_v2(value),
            at::CPENDSGIR..at::SPENDSGIR_END => {
                for byte in 0..size {
                    let sources = value >> (8 * byte) & 0xff;
                    let sgi = (offset + byte) as usize % 16;
                    match offset < at::SPENDSGIR {
                        true => self.sources(sgi, sources, 0),
                        false => self.sources(sgi, 0, sources),
                    };
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
            at::CTLR => self.gic.enable_groups.get(0),
            at::IIDR => IIDR,
            at::PIDR2 => PIDR2,
            at::CPENDSGIR..at::SPENDSGIR_END => (0..4).fold(0, |value, byte| {
                value | self.sources((offset + byte) as usize % 16, 0, 0) << (8 * byte)
            }),
            _ => match self.locate_v2(offset) {
                Some(place) if is_target(&place) => (0..4).fold(0, |value, byte| {
                    value | self.target_v2(place.first + byte) << (8 * byte)
                }),
                Some(place) => self.file_read(&place),
                None => self.gic.distributor_state_v2(offset).unwrap_or(0),
            },
        }
    }

    /// What `offset` is in the register files. Word 0 is the accessing vCPU's own (4.1.3, banked registers).
    fn locate_v2(&self, offset: u64) -> Option<Place> {
        Place::at(self.own, offset)
            .filter(|place| place.index < self.gic.visible() && place.file < file::ROUTE)
    }

    fn place_write_v2(&mut self, place: &Place, size: u32, value: u32) {
        if is_target(place) {
            for byte in 0..size {
                self.set_target_v2(place.first + byte, value >> (8 * byte) & 0xff);
            }
            return;
        }
        let value = match place.file {
            // SGIs become pending by SGIR and SPENDSGIR alone (4.3.7, 4.3.8).
            file::SET_PENDING | file::CLEAR_PENDING if place.index == 0 => value & !SGIS,
            _ => value,
        };
        self.file_write(place, size, value);
    }

    /// ITARGETSR's byte of `intid` (4.3.12): of a private one the reader's own bit; with one vCPU there is nothing to choose, and it reads as zero.
    fn target_v2(&self, intid: u32) -> u32 {
        let owned = self.word(intid as usize / 32).get(OWNED) >> (intid % 32) & 1;
        match (self.gic.vcpus(), intid) {
            (..=1, _) => 0,
            (_, 0..32) => 1 << self.own,
            _ => owned * self.gic.targets(intid),
        }
    }

    /// Of several targets hardware may choose any (1.4.2, 1-N model): here it is the lowest. Without one the SPI stays pending (4.3.12).
    fn set_target_v2(&mut self, intid: u32, targets: u32) {
        let vcpus = self.gic.vcpus();
        if intid >= 32 && vcpus > 1 {
            let targets = targets & ((1 << vcpus) - 1);
            // 32 where none is named, which is no vCPU.
            self.set_route(intid, targets.trailing_zeros() | targets << 24);
        }
    }

    /// SGIR (4.3.15): the listed vCPUs, all but the writer, or the writer. NSATT has no effect without Security Extensions.
    fn send_sgi_v2(&mut self, value: u32) {
        let all = (1u32 << self.gic.vcpus()) - 1;
        let own = 1 << self.own;
        let targets = match value >> 24 & 3 {
            0 => value >> 16 & all,
            1 => all & !own,
            2 => own,
            _ => 0,
        };
        let sgi = value & 15;
        for target in bits(targets) {
            let target = target as usize;
            self.gic.sources(target, sgi as usize).set(own);
            match target == self.own {
                true => self.inject(sgi),
                false => self.post(target, 1 << sgi),
            }
        }
    }

    /// [`Self::write_v2`] for what guests write most: SGIR with one other vCPU. False, with nothing done, for all else.
    #[inline(always)]
    pub fn send_sgi_to_one_v2(&mut self, offset: u64, value: u32) -> bool {
        let targets = value >> 16 & 0x3ff;
        let target = targets.trailing_zeros() as usize;
        if offset != at::SGIR
            || targets & targets.wrapping_sub(1) != 0
            || target == self.own
            || target >= self.gic.vcpus()
        {
            return false;
        }
        let sgi = value & 15;
        let sources = self.gic.sources(target, sgi as usize);
        sources.set_at_once(1 << self.own);
        self.post_at_once(target, 1 << sgi);
        true
    }

    /// Changes which sources of `sgi` are pending at this vCPU. Answers those that are then.
    fn sources(&mut self, sgi: usize, clear: u32, set: u32) -> u32 {
        let set = set & ((1 << self.gic.vcpus()) - 1);
        let sources = self.gic.sources(self.own, sgi);
        // What a list register shows goes back to the others first.
        self.unload();
        sources.clear(clear);
        sources.set(set);
        let left = sources.get();
        self.word(0).put(PENDING, 1 << sgi, left != 0);
        self.load();
        left
    }

    /// [`Self::inject`] of an SGI: its first source goes into a free list register. What cannot go there at once is latched, or
    /// follows when the one that is there has ended.
    pub(crate) fn inject_sgi(&mut self, sgi: u32) {
        let sources = self.gic.sources(self.own, sgi as usize);
        if sources.get() == 0 {
            return;
        }
        let entry = self.ready(sgi);
        let empty = self.hardware.empty();
        let free = empty & self.delivery.open;
        let listed = self.delivery.find(sgi).filter(|&at| empty >> at & 1 == 0);
        if let Some(register) = listed {
            let entry = Entry(self.hardware.read(register));
            if entry.is_only_pending() {
                // Pending already from this one.
                sources.clear(1 << entry.source());
            }
            if sources.get() != 0 {
                self.hardware.write(register, entry.0 | Entry::REPORT_END);
            }
        } else if entry != 0 && free != 0 {
            // List register 0 is for physical ones as long as there is another.
            let free = if free > 1 { free & !1 } else { free };
            let entry = self.next_source(sgi, Entry(entry));
            self.list(free.trailing_zeros() as usize, sgi, entry.0);
        } else {
            self.word(0).put(PENDING, 1 << sgi, true);
            self.sync();
        }
    }

    /// [`Self::inbox`] for what siblings ask most: one SGI of one of them, whose list register of last time is free. False, with nothing
    /// done, for all else.
    #[inline(always)]
    pub fn take_sgi(&mut self) -> bool {
        let word = self.word(0);
        let mail = word.get(MAIL);
        let sgi = mail.trailing_zeros();
        let Some(&entry) = self.delivery.ready.get(sgi as usize) else {
            return false;
        };
        let Some(register) = self.delivery.find_at_once(sgi) else {
            return false;
        };
        let sources = self.gic.sources(self.own, sgi as usize);
        let waiting = sources.get();
        let source = waiting.trailing_zeros();
        let free = self.hardware.empty() & self.delivery.open;
        if sgi >= 16
            || mail != 1 << sgi
            || !waiting.is_power_of_two()
            || entry == 0
            || free >> register & 1 == 0
        {
            return false;
        }
        // The mail before the sources: who adds one after this finds no mail and kicks anew.
        let before = word.clear_at_once(MAIL, mail);
        sources.clear_at_once(waiting);
        let entry = Entry(entry).sent_by(source, sources.get() != 0);
        self.hardware.write(register, entry.0);
        // Who added something to that mail did not kick.
        if before != mail {
            self.inbox();
        }
        true
    }

    /// `entry`, of a pending SGI, from its first source, which waits no longer. If others do, its end is reported.
    pub(crate) fn next_source(&mut self, sgi: u32, entry: Entry) -> Entry {
        let sources = self.gic.sources(self.own, sgi as usize);
        let first = sources.get().trailing_zeros() & 7;
        sources.clear(1 << first);
        entry.sent_by(first, sources.get() != 0)
    }
}

fn is_target(place: &Place) -> bool {
    (file::TARGET..=file::TARGET_LAST).contains(&place.file)
}

/// Whether the register at `offset` can be accessed by the byte.
fn has_bytes(offset: u64) -> bool {
    let file = offset >> 7;
    is_priority(file)
        || (file::TARGET..=file::TARGET_LAST).contains(&file)
        || (at::CPENDSGIR..at::SPENDSGIR_END).contains(&offset)
}
