//! The PL011 a guest sees (Arm DDI 0183G, chapter 3), shared by its partition's vCPUs.
//!
//! A byte counts as sent once it is in the ring of the core that wrote it: the transmitter is busy only while that is
//! full, and a guest never waits for the real UART. Nothing is received yet. What is not listed reads as zero and
//! ignores writes.

use crate::{Ring, ring::Pushed};
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// Register offsets (table 3-1).
mod reg {
    pub const DR: u64 = 0x00;
    pub const FR: u64 = 0x18;
    pub const ILPR: u64 = 0x20;
    pub const RIS: u64 = 0x3c;
    pub const MIS: u64 = 0x40;
    pub const ICR: u64 = 0x44;
    pub const PERIPH_ID: u64 = 0xfe0;
}

/// FR while there is no room: TXFF, RXFE, BUSY.
const FULL: u32 = 1 << 5 | 1 << 4 | 1 << 3;
/// FR otherwise: TXFE, RXFE.
const READY: u32 = 1 << 7 | 1 << 4;
/// Transmit interrupt in IMSC, RIS, MIS and ICR.
const TX: u32 = 1 << 5;

/// The registers from ILPR on that hold what was written: bits that exist, value at reset.
const PLAIN: [(u32, u32); 11] = [
    (0xff, 0),       // ILPR
    (0xffff, 0),     // IBRD
    (0x3f, 0),       // FBRD
    (0xff, 0),       // LCR_H
    (0xff87, 0x300), // CR
    (0x3f, 0x12),    // IFLS
    (0x7ff, 0),      // IMSC
    (0, 0),          // RIS
    (0, 0),          // MIS
    (0, 0),          // ICR
    (0x7, 0),        // DMACR
];
/// Where IMSC is in [`PLAIN`].
const IMSC: usize = 6;
/// UARTPeriphID0 to 3 (part 0x011, Arm, revision r1p5) and UARTPCellID0 to 3, a byte each from the lowest.
const IDS: u64 = 0xb105_f00d_0034_1011;

/// A PL011. All bytes zero is one after reset.
#[derive(Default)]
#[repr(C)]
pub struct Pl011 {
    /// Each register of [`PLAIN`], exclusive-or its value at reset.
    plain: [AtomicU32; PLAIN.len()],
    /// Raw transmit interrupt: something was sent since the guest cleared it (or [`TX`] is clear).
    sent: AtomicU32,
}

impl Pl011 {
    /// What a load from `offset` reads, in the low bits. `ring` is the guest ring of the reading core.
    pub fn read<const N: usize>(&self, offset: u64, ring: &Ring<N>) -> u32 {
        let value = match offset & !3 {
            reg::FR if ring.is_full() => FULL,
            reg::FR => READY,
            reg::RIS => self.raw(ring),
            reg::MIS => self.raw(ring) & self.mask(),
            reg::PERIPH_ID..0x1000 => (IDS >> (offset << 1 & 0x38)) as u32 & 0xff,
            other => self
                .plain(other)
                .map_or(0, |(register, _, reset)| register.load(Relaxed) ^ reset),
        };
        value >> (8 * (offset & 3))
    }

    /// A store of `value` to `offset`. True: tell the console core that `ring`, the writing core's, wants draining.
    /// The interrupt's level may have changed.
    pub fn write<const N: usize>(&self, offset: u64, value: u32, ring: &Ring<N>) -> bool {
        match offset {
            reg::DR => {
                self.sent.store(TX, Relaxed);
                // A full ring drops the byte, as the hardware's FIFO does: FR said so.
                return ring.push(value as u8) == Pushed::Notify;
            }
            reg::ICR if value & TX != 0 => self.sent.store(0, Relaxed),
            other => {
                if let Some((register, bits, reset)) = self.plain(other) {
                    register.store((value & bits) ^ reset, Relaxed);
                }
            }
        }
        false
    }

    /// The interrupt line, as the vCPU whose core has `ring` makes it. While that ring is full the transmit interrupt
    /// waits: look again when the core next enters EL2.
    pub fn level<const N: usize>(&self, ring: &Ring<N>) -> bool {
        self.raw(ring) & self.mask() != 0
    }

    /// The register at `offset`, if it is one of [`PLAIN`].
    fn plain(&self, offset: u64) -> Option<(&AtomicU32, u32, u32)> {
        // Rotated, the low bits of an offset between registers make the index too great.
        let index = offset.wrapping_sub(reg::ILPR).rotate_right(2) as usize;
        let (bits, reset) = PLAIN.get(index)?;
        Some((self.plain.get(index)?, *bits, *reset))
    }

    fn mask(&self) -> u32 {
        self.plain[IMSC].load(Relaxed)
    }

    fn raw<const N: usize>(&self, ring: &Ring<N>) -> u32 {
        let room = if ring.is_full() { 0 } else { TX };
        self.sent.load(Relaxed) & room
    }
}
