// SPDX-License-Identifier: MIT OR Apache-2.0
//! The console's PL011 (Arm DDI 0183), polled.

use loader_protocol::{Board, FIRST_RATE, divisor};

/// Registers, bytes from the base.
const DR: u64 = 0x00;
const FR: u64 = 0x18;
const IBRD: u64 = 0x24;
const FBRD: u64 = 0x28;
const LCR_H: u64 = 0x2c;
const CR: u64 = 0x30;
const IMSC: u64 = 0x38;
/// FR: the receive FIFO is empty, the transmit FIFO is full, a byte is being sent.
const RXFE: u32 = 1 << 4;
const TXFF: u32 = 1 << 5;
const BUSY: u32 = 1 << 3;
/// LCR_H: 8 bits, no parity, FIFOs.
const EIGHT_BITS: u32 = 0x70;
/// CR: UART, transmitter, receiver.
const ON: u32 = 0x301;
/// Reads of FR after which a transmitter is taken as stuck: more than 16 bytes take at 115200 baud.
const PATIENCE: u32 = 1_000_000;

/// A PL011.
pub struct Uart {
    base: u64,
    clock: u32,
}

impl Uart {
    /// Brings up the board's UART at the first rate.
    pub fn start(board: &Board) -> Self {
        for &(address, value) in board.init.iter().filter(|(address, _)| *address != 0) {
            write(address, value);
        }
        let mut uart = Self::at(board.uart, board.clock);
        uart.set_rate(FIRST_RATE);
        uart
    }

    /// Returns the UART at `base`, which is set up.
    pub fn at(base: u64, clock: u32) -> Self {
        Self { base, clock }
    }

    /// Sends what waits, and changes the rate; a rate that the clock does not give changes nothing.
    pub fn set_rate(&mut self, baud: u32) {
        let Some((whole, parts)) = divisor(self.clock, baud) else { return };
        self.drain();
        self.put(CR, 0);
        // The FIFOs are emptied; the last write of LCR_H takes over the divisor (3.3.7).
        self.put(LCR_H, 0);
        self.put(IMSC, 0);
        self.put(IBRD, whole);
        self.put(FBRD, parts);
        self.put(LCR_H, EIGHT_BITS);
        self.put(CR, ON);
        // QEMU's PL011 takes no more input after a FIFO that was full is emptied by LCR_H, until
        // DR is read. On hardware this reads nothing.
        self.get(DR);
    }

    /// Waits until everything is sent.
    pub fn drain(&self) {
        for _ in 0..PATIENCE {
            if self.get(FR) & BUSY == 0 {
                return;
            }
        }
    }

    /// Returns a byte that came.
    pub fn receive(&mut self) -> Option<u8> {
        // The error bits say nothing that the frame's CRC does not.
        (self.get(FR) & RXFE == 0).then(|| self.get(DR) as u8)
    }

    /// Sends a byte.
    pub fn send(&mut self, byte: u8) {
        for _ in 0..PATIENCE {
            if self.get(FR) & TXFF == 0 {
                break;
            }
        }
        self.put(DR, u32::from(byte));
    }

    fn get(&self, register: u64) -> u32 {
        // SAFETY: the board's file says that a PL011 is at this address.
        unsafe { ((self.base + register) as *const u32).read_volatile() }
    }

    fn put(&self, register: u64, value: u32) {
        write(self.base + register, value);
    }
}

impl core::fmt::Write for Uart {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        text.bytes().for_each(|byte| self.send(byte));
        Ok(())
    }
}

/// Writes a device's register.
fn write(address: u64, value: u32) {
    // SAFETY: the board's file has these writes, or says that a PL011 is there: none is to RAM.
    unsafe { (address as *mut u32).write_volatile(value) }
}
