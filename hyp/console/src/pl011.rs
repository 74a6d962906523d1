//! The PL011 a guest sees (Arm DDI 0183G, chapter 3), shared by its partition's vCPUs.
//!
//! A byte counts as sent once it is in the ring of the core that wrote it: the transmitter is busy only while that is
//! full, and a guest never waits for the real UART. What was typed waits in one ring for all vCPUs, of which the receive
//! FIFO is the front. Its timeout passes at once. What is not listed reads as zero and ignores writes.

use crate::{Printer, Ring};
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// Register offsets (table 3-1).
mod reg {
    pub const DR: u64 = 0x00;
    pub const FR: u64 = 0x18;
    pub const ILPR: u64 = 0x20;
    pub const LCR_H: u64 = 0x2c;
    pub const IFLS: u64 = 0x34;
    pub const IMSC: u64 = 0x38;
    pub const RIS: u64 = 0x3c;
    pub const MIS: u64 = 0x40;
    pub const ICR: u64 = 0x44;
    pub const PERIPH_ID: u64 = 0xfe0;
}

/// FR of the transmitter while there is no room: TXFF, BUSY.
const FULL: u32 = 1 << 5 | 1 << 3;
/// FR of the transmitter otherwise: TXFE.
const READY: u32 = 1 << 7;
/// FR of the receiver: RXFF and RXFE.
const RX_FULL: u32 = 1 << 6;
const RX_EMPTY: u32 = 1 << 4;
/// Transmit interrupt in IMSC, RIS, MIS and ICR.
const TX: u32 = 1 << 5;
/// Receive interrupt there.
const RX: u32 = 1 << 4;
/// Receive timeout interrupt there.
const RT: u32 = 1 << 6;
/// LCR_H.FEN: the FIFOs are on.
const FEN: u32 = 1 << 4;
/// Bytes of the receive FIFO, and how many make the receive interrupt, by IFLS.RXIFLSEL (3.3.9).
const FIFO: u32 = 32;
const TRIGGERS: [u8; 5] = [4, 8, 16, 24, 28];

/// The registers from ILPR to DMACR hold what was written, except RIS, MIS and ICR: the bits that exist,
const BITS: [u16; 11] = [0xff, 0xffff, 0x3f, 0xff, 0xff87, 0x3f, 0x7ff, 0, 0, 0, 7];
/// and their values at reset: CR, IFLS.
const RESET: [u16; 11] = [0, 0, 0, 0, 0x300, 0x12, 0, 0, 0, 0, 0];
/// UARTPeriphID0 to 3 (part 0x011, Arm, revision r1p5) and UARTPCellID0 to 3, a byte each from the lowest.
const IDS: u64 = 0xb105_f00d_0034_1011;

/// A PL011. All bytes zero is one after reset.
#[derive(Default)]
#[repr(C)]
pub struct Pl011 {
    /// Each register of [`BITS`], exclusive-or its value at reset.
    plain: [AtomicU32; BITS.len()],
    /// Raw transmit interrupt: something was sent since the guest cleared it (or [`TX`] is clear).
    sent: AtomicU32,
    /// Receive interrupts that the guest cleared, and how much had been received then: with the next byte they are back.
    cleared: AtomicU32,
    received: AtomicU32,
}

impl Pl011 {
    /// What a load from `offset` reads, in the low bits, on a core that prints to `output`. `input` is the partition's.
    pub fn read(&self, offset: u64, output: &Printer<'_>, input: &Ring) -> u32 {
        let value = match offset & !3 {
            reg::DR => input.pop().unwrap_or(0).into(),
            reg::FR => self.flags(output, input.waiting()),
            reg::RIS => self.raw(output, input),
            reg::MIS => self.raw(output, input) & self.get(reg::IMSC),
            reg::PERIPH_ID..0x1000 => (IDS >> (offset << 1 & 0x38)) as u32 & 0xff,
            other => self.get(other),
        };
        value >> (8 * (offset & 3))
    }

    /// A store of `value` to `offset`. What is stored to DR, at offset 0, the caller prints.
    pub fn write(&self, offset: u64, value: u32, input: &Ring) {
        if offset == reg::DR {
            self.sent.store(TX, Relaxed);
        } else if offset == reg::ICR {
            self.sent.fetch_and(!value, Relaxed);
            self.cleared.store(self.cleared(input) | value, Relaxed);
            self.received.store(input.put_in(), Relaxed);
        } else if let Some((index, register)) = self.plain(offset) {
            register.store(
                value & u32::from(BITS[index]) ^ u32::from(RESET[index]),
                Relaxed,
            );
        }
    }

    /// The interrupt line, as the vCPU whose core prints to `output` makes it. While that is full the transmit interrupt
    /// waits: look again when the core next enters EL2.
    pub fn level(&self, output: &Printer<'_>, input: &Ring) -> bool {
        self.raw(output, input) & self.get(reg::IMSC) != 0
    }

    /// The register at `offset`, and its place in [`BITS`], if it is one of them.
    fn plain(&self, offset: u64) -> Option<(usize, &AtomicU32)> {
        // Rotated, the low bits of an offset between registers make the index too great.
        let index = offset.wrapping_sub(reg::ILPR).rotate_right(2) as usize;
        Some((index, self.plain.get(index)?))
    }

    /// What was last written to `offset`, if it keeps that.
    fn get(&self, offset: u64) -> u32 {
        self.plain(offset).map_or(0, |(index, register)| {
            register.load(Relaxed) ^ u32::from(RESET[index])
        })
    }

    /// How many bytes fill the receive FIFO, and how many are enough for the receive interrupt.
    fn depth(&self) -> [u32; 2] {
        let level = self.get(reg::IFLS) >> 3 & 7;
        match self.get(reg::LCR_H) & FEN {
            0 => [1, 1],
            _ => [FIFO, TRIGGERS[level.min(4) as usize].into()],
        }
    }

    fn flags(&self, output: &Printer<'_>, waiting: u32) -> u32 {
        let receiver = match waiting {
            0 => RX_EMPTY,
            _ if waiting >= self.depth()[0] => RX_FULL,
            _ => 0,
        };
        receiver | if output.has_room() { READY } else { FULL }
    }

    /// Which receive interrupts the guest cleared since something was received last.
    fn cleared(&self, input: &Ring) -> u32 {
        match self.received.load(Relaxed) == input.put_in() {
            true => self.cleared.load(Relaxed) & (RX | RT),
            false => 0,
        }
    }

    #[inline(never)]
    fn raw(&self, output: &Printer<'_>, input: &Ring) -> u32 {
        let sent = if output.has_room() { TX } else { 0 };
        let received = match input.waiting() {
            0 => 0,
            waiting if waiting < self.depth()[1] => RT,
            _ => RX | RT,
        };
        self.sent.load(Relaxed) & sent | received & !self.cleared(input)
    }
}
