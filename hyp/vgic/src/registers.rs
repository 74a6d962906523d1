//! The GICv3 face: what a guest reads and writes in the distributor and the redistributors (IHI 0069, sections 12.8 to 12.11).
//!
//! One security state (GICD_CTLR.DS = 1), affinity routing only (GICD_CTLR.ARE = 1), no LPIs, no extended ranges, no message-based SPIs.
//! Sections 12.1.3 to 12.1.5: registers are accessed as words, IPRIORITYR also by the byte, 64-bit ones also as a whole. Any other size, a misaligned
//! offset, a reserved register and the bit of an INTID that the partition does not own read as zero and ignore writes.

use core::sync::atomic::Ordering::{Relaxed, SeqCst};

use crate::hardware::Hardware;
use crate::state::{RESYNC, WORDS, bits};
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

/// What a register of the interrupt register file does.
#[derive(Clone, Copy)]
enum Kind {
    Group,
    SetEnable,
    ClearEnable,
    SetPending,
    ClearPending,
    SetActive,
    ClearActive,
}

/// The one-bit register at `offset` and its word.
fn one_bit(offset: u64) -> Option<(Kind, usize)> {
    let kind = match offset >> 7 {
        1 => Kind::Group,
        2 => Kind::SetEnable,
        3 => Kind::ClearEnable,
        4 => Kind::SetPending,
        5 => Kind::ClearPending,
        6 => Kind::SetActive,
        7 => Kind::ClearActive,
        _ => return None,
    };
    Some((kind, (offset as usize & 0x7f) / 4))
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
        let lines = (self.gic.intids.load(Relaxed) / 32).saturating_sub(1);
        match (offset, size) {
            (0x6000..0x8000, 4 | 8) => part(self.router((offset - 0x6000) / 8), offset, size),
            (_, 8) => 0,
            (0x0000, 4) => u64::from(self.gic.enable_groups.load(Relaxed) | CTLR_FIXED),
            (0x0004, 4) => u64::from(TYPER_FIXED | lines),
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
                self.set_router((offset - 0x6000) / 8, value as u32);
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

    /// The vCPU whose word `index` a frame shows, if it shows it: the distributor has no private words when affinity routing is on.
    fn owner(&self, frame: Frame, index: usize) -> Option<usize> {
        let words = self.gic.intids.load(Relaxed) as usize / 32;
        match (frame, index) {
            (Frame::Redistributor(vcpu), 0) => Some(vcpu),
            (Frame::Distributor, 1..WORDS) if index < words => Some(self.own),
            _ => None,
        }
    }

    /// Reads the interrupt register file, which distributor and SGI frame lay out alike.
    fn file_read(&mut self, frame: Frame, offset: u64, size: u64) -> u64 {
        let value = match (offset, size) {
            (0x080..0x400, 4) => {
                let Some((kind, index)) = one_bit(offset) else {
                    return 0;
                };
                let Some(vcpu) = self.owner(frame, index) else {
                    return 0;
                };
                let word = self.gic.word(vcpu, index);
                match kind {
                    Kind::Group => word.group.load(Relaxed),
                    Kind::SetEnable | Kind::ClearEnable => word.enable.load(Relaxed),
                    Kind::SetPending | Kind::ClearPending => self.state(vcpu, index).0,
                    Kind::SetActive | Kind::ClearActive => self.state(vcpu, index).1,
                }
            }
            (0x400..0x800, _) => {
                let first = (offset - 0x400) as u32;
                let mut value = 0;
                for byte in 0..size as u32 {
                    let intid = first + byte;
                    let index = intid as usize / 32;
                    if let Some(vcpu) = self.owner(frame, index) {
                        let priority = self.gic.word(vcpu, index).priority(intid % 32);
                        value |= u32::from(priority) << (8 * byte);
                    }
                }
                value
            }
            (0xc00..0xd00, 4) => {
                // Two bits an interrupt, the upper one set if it is edge-triggered. The plan programs hardware: writes change nothing.
                let first = (offset - 0xc00) as usize * 4;
                let Some(vcpu) = self.owner(frame, first / 32) else {
                    return 0;
                };
                let edge = self.gic.word(vcpu, first / 32).edge.load(Relaxed);
                bits(edge >> (first % 32) & 0xffff).fold(0, |value, bit| value | 2 << (2 * bit))
            }
            _ => 0,
        };
        u64::from(value)
    }

    /// Writes the interrupt register file.
    fn file_write(&mut self, frame: Frame, offset: u64, size: u64, value: u32) {
        match (offset, size) {
            (0x080..0x400, 4) => {
                let Some((kind, index)) = one_bit(offset) else {
                    return;
                };
                let Some(vcpu) = self.owner(frame, index) else {
                    return;
                };
                let word = self.gic.word(vcpu, index);
                let owned = word.owned.load(Relaxed);
                let mask = value & owned;
                match kind {
                    Kind::Group => {
                        let changed = word.group.swap(mask, SeqCst) ^ mask;
                        self.changed(vcpu, index, changed);
                    }
                    Kind::SetEnable => {
                        let changed = mask & !word.enable.fetch_or(mask, SeqCst);
                        self.changed(vcpu, index, changed);
                    }
                    Kind::ClearEnable => {
                        let changed = mask & word.enable.fetch_and(!mask, SeqCst);
                        self.changed(vcpu, index, changed);
                    }
                    Kind::SetPending => self.set_pending(vcpu, index, mask),
                    Kind::ClearPending => self.clear_pending(vcpu, index, mask),
                    Kind::SetActive => self.set_active(vcpu, index, mask),
                    Kind::ClearActive => self.clear_active(vcpu, index, mask),
                }
            }
            (0x400..0x800, _) => {
                for byte in 0..size as u32 {
                    let intid = (offset - 0x400) as u32 + byte;
                    let index = intid as usize / 32;
                    let Some(vcpu) = self.owner(frame, index) else {
                        return;
                    };
                    self.set_priority(vcpu, intid, (value >> (8 * byte)) as u8 & PRIORITY_MASK);
                }
            }
            _ => {}
        }
    }

    fn set_priority(&mut self, vcpu: usize, intid: u32, priority: u8) {
        let (index, bit) = (intid as usize / 32, 1 << (intid % 32));
        let word = self.gic.word(vcpu, index);
        let Some(byte) = word.priority.get(intid as usize % 32) else {
            return;
        };
        if word.owned.load(Relaxed) & bit != 0 && byte.swap(priority, SeqCst) != priority {
            self.reconsider(vcpu, index, bit);
        }
    }

    /// Enables or groups of `mask` changed: hardware and list registers follow.
    fn changed(&mut self, vcpu: usize, index: usize, mask: u32) {
        if index != 0 || vcpu == self.own {
            self.apply(index, mask);
        }
        self.reconsider(vcpu, index, mask);
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
        if self.gic.enable_groups.swap(groups, SeqCst) == groups {
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

    fn router(&self, intid: u64) -> u64 {
        match self.owned_spi(intid) {
            Some(intid) => u64::from(self.gic.route(intid)),
            None => 0,
        }
    }

    fn owned_spi(&self, intid: u64) -> Option<u32> {
        let index = intid as usize / 32;
        self.owner(Frame::Distributor, index)?;
        (self.word(index).owned.load(Relaxed) >> (intid % 32) & 1 != 0).then_some(intid as u32)
    }

    /// Routes an SPI, unless it is fixed. An affinity that no vCPU has leaves the interrupt pending until it is routed again.
    fn set_router(&mut self, intid: u64, value: u32) {
        let Some(intid) = self.owned_spi(intid) else {
            return;
        };
        let (index, bit) = (intid as usize / 32, 1 << (intid % 32));
        let word = self.word(index);
        if word.fixed.load(Relaxed) & bit != 0 {
            return;
        }
        let route = if value & ANY != 0 {
            0
        } else {
            value & AFFINITY
        };
        if (route as usize) < self.gic.vcpus() {
            self.gic.set_route(intid, route);
            word.unrouted.fetch_and(!bit, SeqCst);
        } else {
            word.unrouted.fetch_or(bit, SeqCst);
            self.gic.set_route(intid, route);
        }
        if word.physical.load(Relaxed) & bit != 0 {
            self.apply_route(intid);
            self.apply(index, bit);
        }
        self.look(index, bit);
    }
}
