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
    pub const IBRD: u64 = 0x24;
    pub const FBRD: u64 = 0x28;
    pub const LCR_H: u64 = 0x2c;
    pub const CR: u64 = 0x30;
    pub const IFLS: u64 = 0x34;
    pub const IMSC: u64 = 0x38;
    pub const RIS: u64 = 0x3c;
    pub const MIS: u64 = 0x40;
    pub const ICR: u64 = 0x44;
    pub const DMACR: u64 = 0x48;
    pub const PERIPH_ID: u64 = 0xfe0;
}

const FR_BUSY: u32 = 1 << 3;
const FR_RXFE: u32 = 1 << 4;
const FR_TXFF: u32 = 1 << 5;
const FR_TXFE: u32 = 1 << 7;
/// Transmit interrupt in IMSC, RIS, MIS and ICR.
const TX: u32 = 1 << 5;

/// Registers that hold what was written: offset, bits that exist, value at reset.
const PLAIN: [(u64, u32, u32); 8] = [
    (reg::ILPR, 0xff, 0),
    (reg::IBRD, 0xffff, 0),
    (reg::FBRD, 0x3f, 0),
    (reg::LCR_H, 0xff, 0),
    (reg::CR, 0xff87, 0x300),
    (reg::IFLS, 0x3f, 0x12),
    (reg::IMSC, 0x7ff, 0),
    (reg::DMACR, 0x7, 0),
];
/// Where IMSC is in [`PLAIN`].
const IMSC: usize = 6;
/// UARTPeriphID0 to 3 (part 0x011, Arm, revision r1p5) and UARTPCellID0 to 3.
const IDS: [u8; 8] = [0x11, 0x10, 0x34, 0x00, 0x0d, 0xf0, 0x05, 0xb1];

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
            reg::FR if ring.is_full() => FR_BUSY | FR_TXFF | FR_RXFE,
            reg::FR => FR_TXFE | FR_RXFE,
            reg::RIS => self.raw(ring),
            reg::MIS => self.raw(ring) & self.mask(),
            id @ reg::PERIPH_ID..0x1000 => IDS
                .get(((id - reg::PERIPH_ID) / 4) as usize)
                .map_or(0, |&id| u32::from(id)),
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

    fn plain(&self, offset: u64) -> Option<(&AtomicU32, u32, u32)> {
        let rows = PLAIN.iter().zip(&self.plain);
        rows.filter(|((at, _, _), _)| *at == offset)
            .map(|((_, bits, reset), register)| (register, *bits, *reset))
            .next()
    }

    fn mask(&self) -> u32 {
        self.plain
            .get(IMSC)
            .map_or(0, |register| register.load(Relaxed))
    }

    fn raw<const N: usize>(&self, ring: &Ring<N>) -> u32 {
        if ring.is_full() {
            0
        } else {
            self.sent.load(Relaxed)
        }
    }
}
