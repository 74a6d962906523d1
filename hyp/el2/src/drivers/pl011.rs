//! The console's PL011 (Arm DDI 0183): what EL2 needs of it.
//!
//! Baud rate and format are firmware's. The running system never waits for it: the console core
//! writes a few bytes at a time, and when the FIFO is full its transmit interrupt says when there
//! is room again. Boot refusals and the very last line, when nothing else runs, wait.

use console::Port;
use tock_registers::interfaces::{Readable, Writeable};

use crate::state::percpu::Pl011Registers;

/// Registers (table 3-1), by word.
const DR: usize = 0;
const FR: usize = 6;
const LCR_H: usize = 11;
const CR: usize = 12;
const IFLS: usize = 13;
const IMSC: usize = 14;
const RIS: usize = 15;
/// FR: it sends, nothing was received, the transmit FIFO is full, or empty.
const BUSY: u32 = 1 << 3;
const RXFE: u32 = 1 << 4;
const TXFF: u32 = 1 << 5;
const TXFE: u32 = 1 << 7;
/// LCR_H: the FIFOs are on.
const FEN: u32 = 1 << 4;
/// CR: UARTEN, TXE, RXE.
const ON: u32 = 1 << 9 | 1 << 8 | 1 << 0;
/// IFLS: an interrupt when the receive FIFO is half full, and when the transmit FIFO is down to an
/// eighth.
const LEVELS: u32 = 2 << 3;
/// IMSC: receive and receive timeout interrupts, transmit interrupt.
pub const RECEIVE: u32 = 1 << 6 | 1 << 4;
pub const TRANSMIT: u32 = 1 << 5;

/// A PL011.
#[derive(Clone, Copy)]
pub struct Uart(pub &'static Pl011Registers);

impl Uart {
    /// Drives the PL011 at `base`.
    ///
    /// # Safety
    /// A PL011 is at `base`, mapped as Device memory or with the MMU off, and the caller's core
    /// alone drives it.
    pub unsafe fn new(base: u64) -> Self {
        // SAFETY: the caller says so.
        Self(unsafe { &*(base as *const _) })
    }

    /// Switches it on; interrupts stay off. Where the FIFOs were off, the one byte that is received
    /// is lost: read it first.
    pub fn enable(self) {
        self.interrupt_on(0);
        self.0[IFLS].set(LEVELS);
        let format = self.0[LCR_H].get();
        if format & FEN == 0 {
            self.0[LCR_H].set(format | FEN);
        }
        self.switch_on();
    }

    /// Switches it on as firmware set it up: a byte that was received stays.
    pub fn switch_on(self) {
        self.0[CR].set(ON);
    }

    /// Lets these interrupts through, bits of IMSC, and no others.
    pub fn interrupt_on(self, which: u32) {
        self.0[IMSC].set(which);
    }

    /// Writes a byte, waiting for room if there is none.
    pub fn write(self, byte: u8) {
        while self.0[FR].get() & TXFF != 0 {}
        self.send(byte);
    }

    /// Whether a byte was received.
    pub fn has_received(self) -> bool {
        self.0[FR].get() & RXFE == 0
    }

    /// Takes a byte that was received, if there is one.
    pub fn read(self) -> Option<u8> {
        self.has_received().then(|| self.0[DR].get() as u8)
    }

    /// Waits until every byte has left.
    pub fn flush(self) {
        while self.0[FR].get() & BUSY != 0 {}
    }
}

impl console::Port for Uart {
    fn room(&self) -> u32 {
        let flags = self.0[FR].get();
        if flags & TXFE != 0 {
            // Revisions before r1p5 have so many.
            16
        } else if flags & TXFF != 0 {
            0
        } else if self.is_low() {
            // All but its level, an eighth.
            14
        } else {
            1
        }
    }

    fn is_low(&self) -> bool {
        self.0[RIS].get() & TRANSMIT != 0
    }

    fn send(&self, byte: u8) {
        self.0[DR].set(byte.into());
    }
}
