//! The driver of the console's PL011 (Arm DDI 0183).
//!
//! Firmware or the board's writes set pins and baud rate. The running system never waits for the
//! UART: the console core writes a few bytes at a time, and when the FIFO is full its transmit
//! interrupt says when there is room again. Only boot and the last line, when no guest runs, wait.

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
const ICR: usize = 17;
/// DR: the byte was received with a break, or with an error of parity or framing.
const ERRORS: u32 = 1 << 10 | 1 << 9 | 1 << 8;
/// FR: the UART sends, the receive FIFO is empty, the transmit FIFO is full, it is empty.
const BUSY: u32 = 1 << 3;
const RXFE: u32 = 1 << 4;
const TXFF: u32 = 1 << 5;
const TXFE: u32 = 1 << 7;
/// LCR_H: 8 bits, no parity, one stop bit (WLEN), and the FIFOs are on (FEN).
const FORMAT: u32 = 3 << 5 | 1 << 4;
/// ICR: every interrupt.
const ALL: u32 = 0x7ff;
/// CR: the UART is on, hardware flow control by CTS; UARTEN, TXE, RXE.
const UARTEN: u32 = 1 << 0;
const CTSEN: u32 = 1 << 15;
const ON: u32 = 1 << 9 | 1 << 8 | UARTEN;
/// IFLS: the UART interrupts when the receive FIFO is half full, and when the transmit FIFO is down
/// to an eighth.
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
    /// A PL011 is at `base`, mapped as Device memory or with the MMU off, and only the caller's
    /// core drives it.
    pub unsafe fn new(base: u64) -> Self {
        // SAFETY: the caller says so.
        Self(unsafe { &*(base as *const _) })
    }

    /// Switches the UART on, at 8N1; interrupts stay off. If the FIFOs were off, the one byte that
    /// was received is lost: read it first. LCR_H may be written only while the UART is off
    /// (3.3.7).
    pub fn enable(self) {
        // A UART that is off, or waits for the other end (CTS), may stay busy for ever.
        if self.0[CR].get() & (UARTEN | CTSEN) == UARTEN {
            self.flush();
        }
        self.0[CR].set(0);
        self.0[LCR_H].set(FORMAT);
        self.0[IFLS].set(LEVELS);
        self.interrupt_on(0);
        self.0[ICR].set(ALL);
        self.switch_on();
    }

    /// Switches the UART on as firmware set it up: a byte that was received stays.
    pub fn switch_on(self) {
        self.0[CR].set(ON);
    }

    /// Enables the interrupts `which` (bits of IMSC) and disables all others.
    pub fn interrupt_on(self, which: u32) {
        self.0[IMSC].set(which);
    }

    /// Writes a byte, waiting for room if there is none.
    pub fn write(self, byte: u8) {
        while self.0[FR].get() & TXFF != 0 {}
        self.send(byte);
    }

    /// Returns whether a byte was received.
    pub fn has_received(self) -> bool {
        self.0[FR].get() & RXFE == 0
    }

    /// Takes a byte that was received, if there is one. A break or noise is taken, and is not a
    /// byte.
    pub fn read(self) -> Option<u8> {
        let data = self.has_received().then(|| self.0[DR].get());
        data.filter(|data| data & ERRORS == 0).map(|data| data as u8)
    }

    /// Waits until every byte has left.
    pub fn flush(self) {
        while self.0[FR].get() & BUSY != 0 {}
    }
}

impl console::Port for Uart {
    #[inline(always)]
    fn room(&self) -> u32 {
        let flags = self.0[FR].get();
        if flags & TXFE != 0 {
            // The FIFO of revisions before r1p5 has 16 bytes.
            16
        } else if flags & TXFF != 0 {
            0
        } else if self.is_low() {
            // A FIFO of 16 bytes that is down to its level, an eighth, has room for 14.
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
