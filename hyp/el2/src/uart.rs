//! The console's PL011 (Arm DDI 0183): what EL2 needs of it.
//!
//! Baud rate and format are firmware's. The running system never waits for it: the console core writes until the FIFO is
//! full and looks again a little later. Boot refusals and the very last line, when nothing else runs, wait.

use tock_registers::interfaces::{Readable, Writeable};
use tock_registers::registers::ReadWrite;

/// Registers (table 3-1), by word.
const DR: usize = 0;
const FR: usize = 6;
const LCR_H: usize = 11;
const CR: usize = 12;
const IMSC: usize = 14;
/// FR: it sends, nothing was received, the transmit FIFO is full.
const BUSY: u32 = 1 << 3;
const RXFE: u32 = 1 << 4;
const TXFF: u32 = 1 << 5;
/// LCR_H: the FIFOs are on.
const FEN: u32 = 1 << 4;
/// CR: UARTEN, TXE, RXE.
const ON: u32 = 1 << 9 | 1 << 8 | 1 << 0;
/// IMSC: receive and receive timeout interrupts.
const RECEIVE: u32 = 1 << 6 | 1 << 4;

/// A PL011.
#[derive(Clone, Copy)]
pub struct Uart(&'static [ReadWrite<u32>; 16]);

impl Uart {
    /// # Safety
    /// A PL011 is at `base`, mapped as Device memory or with the MMU off, and the caller's core alone drives it.
    pub unsafe fn new(base: u64) -> Self {
        // SAFETY: the caller says so.
        Self(unsafe { &*(base as *const _) })
    }

    /// Switches it on; interrupts stay off.
    pub fn enable(self) {
        self.interrupt_on_input(false);
        self.0[LCR_H].set(self.0[LCR_H].get() | FEN);
        self.0[CR].set(ON);
    }

    /// Lets the interrupts of received bytes through, or holds them back.
    pub fn interrupt_on_input(self, on: bool) {
        self.0[IMSC].set(if on { RECEIVE } else { 0 });
    }

    /// Whether a byte can be written.
    pub fn has_room(self) -> bool {
        self.0[FR].get() & TXFF == 0
    }

    /// Writes a byte, waiting for room if there is none.
    pub fn write(self, byte: u8) {
        while !self.has_room() {}
        self.0[DR].set(byte.into());
    }

    /// Takes a byte that was received, if there is one.
    pub fn read(self) -> Option<u8> {
        (self.0[FR].get() & RXFE == 0).then(|| self.0[DR].get() as u8)
    }

    /// Waits until every byte has left.
    pub fn flush(self) {
        while self.0[FR].get() & BUSY != 0 {}
    }
}
