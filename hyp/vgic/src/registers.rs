//! The GICv3 face: what a guest reads and writes in the distributor and the redistributors (IHI 0069, sections 12.8 to 12.11).
//!
//! One security state (GICD_CTLR.DS = 1), affinity routing only (GICD_CTLR.ARE = 1), no LPIs, no extended ranges, no message-based SPIs.
//! Sections 12.1.3 to 12.1.5: registers are accessed as words, IPRIORITYR also by the byte, 64-bit ones also as a whole. Any other size, a misaligned
//! offset, a reserved register and the bit of an INTID that the partition does not own read as zero and ignore writes.

use core::sync::atomic::Ordering::{Relaxed, SeqCst};

use crate::hardware::Hardware;
use crate::state::{EDGE, ENABLE, FIXED, GROUP, OWNED, PHYSICAL, RESYNC, UNROUTED, WORDS, bits};
use crate::vcpu::{Vcpu, place};

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
/// Bytes of a redistributor: the RD frame, then the SGI frame.
const REDISTRIBUTOR: u64 = 0x2_0000;
/// Offset of the SGI frame.
const SGI_FRAME: u64 = 0x1_0000;

/// Whose interrupt registers an access is for.
#[derive(Clone, Copy)]
enum Frame {
    /// SPIs.
    Distributor,
    /// Private interrupts of this vCPU.
    Redistributor(usize),
}

/// The one-bit registers, by offset / 128: 32 words each.
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
    pub const PRIORITY_END: u64 = 16;
}

/// `value` of the register at `offset & !7`, as an access of `size` bytes at `offset` sees it.
fn part(value: u64, offset: u64, size: u64) -> u64 {
    match (size, offset & 4) {
        (8, _) => value,
        (4, 0) => value & 0xffff_ffff,
        (4, _) => value >> 32,
        _ => 0,
    }
}

impl<H: Hardware> Vcpu<'_, H> {
    /// The guest reads `size` bytes at `offset` of the distributor (64 KiB).
    pub fn gicd_read(&mut self, offset: u64, size: u64) -> u64 {
        if !matches!(size, 1 | 4 | 8) || !offset.is_multiple_of(size) {
            return 0;
        }
        let lines = self.gic.words().saturating_sub(1);
        match (offset, size) {
            (0x6000..0x8000, 4 | 8) => self
                .router(offset, size)
                .map_or(0, |intid| part(self.gic.route(intid).into(), offset, size)),
            (_, 8) => 0,
            (0x0000, 4) => u64::from(self.gic.enable_groups.get(0) | CTLR_FIXED),
            (0x0004, 4) => u64::from(TYPER_FIXED) | lines as u64,
            (0x0008, 4) => u64::from(IIDR),
            (0xffe8, 4) => u64::from(PIDR2),
            _ => self.file_read(Frame::Distributor, offset, size),
        }
    }

    /// The guest writes `size` bytes at `offset` of the distributor.
    pub fn gicd_write(&mut self, offset: u64, size: u64, value: u64) {
        if !matches!(size, 1 | 4 | 8) || !offset.is_multiple_of(size) {
            return;
        }
        match (offset, size) {
            // The upper half holds Aff3 alone, which GICD_TYPER.A3V = 0 says is not there.
            (0x6000..0x8000, 4 | 8) if offset.is_multiple_of(8) => {
                if let Some(intid) = self.router(offset, size) {
                    self.set_router(intid, value as u32);
                }
            }
            (_, 8) => {}
            (0x0000, 4) => self.set_groups(value as u32 & 3),
            _ => self.file_write(Frame::Distributor, offset, size, value as u32),
        }
    }

    /// The guest reads `size` bytes at `offset` from the first redistributor: 128 KiB a vCPU.
    pub fn gicr_read(&mut self, offset: u64, size: u64) -> u64 {
        let vcpu = (offset / REDISTRIBUTOR) as usize;
        let offset = offset % REDISTRIBUTOR;
        if vcpu >= self.gic.vcpus() || !matches!(size, 1 | 4 | 8) || !offset.is_multiple_of(size) {
            return 0;
        }
        match (offset, size) {
            (0x0008 | 0x000c, 4 | 8) => {
                let last = u64::from(vcpu + 1 == self.gic.vcpus());
                let vcpu = vcpu as u64;
                part(vcpu << 32 | vcpu << 8 | last << 4, offset, size)
            }
            (_, 8) => 0,
            (0x0004, 4) => u64::from(IIDR),
            (0x0014, 4) => match self.gic.bank(vcpu).awake.load(Relaxed) {
                0 => u64::from(WAKER_ASLEEP),
                _ => 0,
            },
            (0xffe8, 4) => u64::from(PIDR2),
            (SGI_FRAME.., _) => {
                self.file_read(Frame::Redistributor(vcpu), offset - SGI_FRAME, size)
            }
            _ => 0,
        }
    }

    /// The guest writes `size` bytes at `offset` from the first redistributor.
    pub fn gicr_write(&mut self, offset: u64, size: u64, value: u64) {
        let vcpu = (offset / REDISTRIBUTOR) as usize;
        let offset = offset % REDISTRIBUTOR;
        if vcpu >= self.gic.vcpus() || !matches!(size, 1 | 4) || !offset.is_multiple_of(size) {
            return;
        }
        match (offset, size) {
            // ChildrenAsleep follows ProcessorSleep at once. Delivery does not depend on it: a guest that sleeps has its groups disabled
            // (IHI 0069, section 11.1).
            (0x0014, 4) => {
                let awake = u32::from(value & 2 == 0);
                self.gic.bank(vcpu).awake.store(awake, Relaxed);
            }
            (SGI_FRAME.., _) => self.file_write(
                Frame::Redistributor(vcpu),
                offset - SGI_FRAME,
                size,
                value as u32,
            ),
            _ => {}
        }
    }

    /// What the interrupt register file has at `offset`, which distributor and SGI frame lay out alike: the vCPU whose it
    /// is, the word, and the first INTID. The distributor shows no private words when affinity routing is on.
    fn locate(&self, frame: Frame, offset: u64, size: u64) -> Option<(usize, usize, u32)> {
        let first = match (offset, size) {
            (0x080..0x400, 4) => (offset & 0x7f) * 8,
            (0x400..0x800, 1 | 4) => offset - 0x400,
            (0xc00..0xd00, 4) => (offset - 0xc00) * 4,
            (0x6000..0x8000, _) => (offset - 0x6000) / 8,
            _ => return None,
        };
        let index = first as usize / 32;
        let vcpu = match (frame, index) {
            (Frame::Redistributor(vcpu), 0) => vcpu,
            (Frame::Distributor, 1..) if index < self.gic.words() => self.own,
            _ => return None,
        };
        Some((vcpu, index, first as u32))
    }

    /// Reads the interrupt register file.
    fn file_read(&mut self, frame: Frame, offset: u64, size: u64) -> u64 {
        let Some((vcpu, index, first)) = self.locate(frame, offset, size) else {
            return 0;
        };
        let word = self.gic.word(vcpu, index);
        let value = match offset >> 7 {
            file::GROUP => word.get(GROUP),
            file::SET_ENABLE | file::CLEAR_ENABLE => word.get(ENABLE),
            file::SET_PENDING | file::CLEAR_PENDING => self.state(vcpu, index).0,
            file::SET_ACTIVE | file::CLEAR_ACTIVE => self.state(vcpu, index).1,
            file::PRIORITY..file::PRIORITY_END => (0..size as u32).fold(0, |value, byte| {
                let priority = self.gic.priority(vcpu, first + byte).load(Relaxed);
                value | u32::from(priority) << (8 * byte)
            }),
            // ICFGR: two bits an interrupt, the upper one set if it is edge-triggered. The plan programs hardware: writes change nothing.
            _ => bits(word.get(EDGE) >> (first % 32) & 0xffff)
                .fold(0, |value, bit| value | 2 << (2 * bit)),
        };
        u64::from(value)
    }

    /// Writes the interrupt register file.
    fn file_write(&mut self, frame: Frame, offset: u64, size: u64, value: u32) {
        let Some((vcpu, index, first)) = self.locate(frame, offset, size) else {
            return;
        };
        let word = self.gic.word(vcpu, index);
        let mask = value & word.get(OWNED);
        let changed = match offset >> 7 {
            file::GROUP => word.swap(GROUP, mask) ^ mask,
            file::SET_ENABLE => mask & !word.set(ENABLE, mask),
            file::CLEAR_ENABLE => mask & word.clear(ENABLE, mask),
            file::SET_PENDING => return self.set_pending(vcpu, index, mask),
            file::CLEAR_PENDING => return self.clear_pending(vcpu, index, mask),
            file::SET_ACTIVE => return self.set_active(vcpu, index, mask),
            file::CLEAR_ACTIVE => return self.clear_active(vcpu, index, mask),
            file::PRIORITY..file::PRIORITY_END => {
                let mut changed = 0;
                for byte in 0..size as u32 {
                    let bit = 1 << ((first + byte) % 32);
                    let priority = (value >> (8 * byte)) as u8 & PRIORITY_MASK;
                    let store = self.gic.priority(vcpu, first + byte);
                    if word.get(OWNED) & bit != 0 && store.swap(priority, SeqCst) != priority {
                        changed |= bit;
                    }
                }
                return self.reconsider(vcpu, index, changed);
            }
            _ => return,
        };
        if index != 0 || vcpu == self.own {
            self.apply(index, changed);
        }
        self.reconsider(vcpu, index, changed);
    }

    /// Makes the cores concerned look at `mask` again.
    pub(crate) fn reconsider(&mut self, vcpu: usize, index: usize, mask: u32) {
        if index == 0 && vcpu != self.own {
            if mask != 0 {
                self.post(vcpu, RESYNC);
            }
        } else {
            self.look(index, mask);
        }
    }

    fn set_groups(&mut self, groups: u32) {
        if self.gic.enable_groups.swap(0, groups) == groups {
            return;
        }
        for index in 0..WORDS {
            self.apply(index, u32::MAX);
        }
        for vcpu in 0..self.gic.vcpus() {
            if vcpu != self.own {
                self.post(vcpu, RESYNC);
            }
        }
        self.sync();
    }

    /// The owned SPI whose IROUTER is at `offset`.
    fn router(&self, offset: u64, size: u64) -> Option<u32> {
        let (_, index, intid) = self.locate(Frame::Distributor, offset, size)?;
        (self.word(index).get(OWNED) >> (intid % 32) & 1 != 0).then_some(intid)
    }

    /// Routes an SPI, unless it is fixed. An affinity that no vCPU has leaves the interrupt pending until it is routed again.
    fn set_router(&mut self, intid: u32, value: u32) {
        let (index, bit) = place(intid);
        let word = self.word(index);
        if word.get(FIXED) & bit != 0 {
            return;
        }
        let route = if value & ANY != 0 {
            0
        } else {
            value & AFFINITY
        };
        if (route as usize) < self.gic.vcpus() {
            self.gic.set_route(intid, route);
            word.clear(UNROUTED, bit);
        } else {
            word.set(UNROUTED, bit);
            self.gic.set_route(intid, route);
        }
        if word.get(PHYSICAL) & bit != 0 {
            self.apply_route(intid);
            self.apply(index, bit);
        }
        self.look(index, bit);
    }
}
