//! The console's PL011 (Arm DDI 0183): what EL2 needs of it.
//!
//! Baud rate and format are firmware's. The running system never waits for it: the console core writes until the FIFO is
//! full and lets the transmit interrupt call it again. Boot refusals and the very last line, when nothing else runs, wait.

use tock_registers::interfaces::{Readable, Writeable};
use tock_registers::registers::{ReadOnly, ReadWrite, WriteOnly};
use tock_registers::{register_bitfields, register_structs};

register_bitfields! { u32,
    FR [BUSY OFFSET(3) NUMBITS(1) [], TXFF OFFSET(5) NUMBITS(1) [], TXFE OFFSET(7) NUMBITS(1) []],
    CR [UARTEN OFFSET(0) NUMBITS(1) [], TXE OFFSET(8) NUMBITS(1) [], RXE OFFSET(9) NUMBITS(1) []],
    INT [TX OFFSET(5) NUMBITS(1) []],
}

register_structs! {
    Registers {
        (0x000 => dr: ReadWrite<u32>),
        (0x004 => _reserved0),
        (0x018 => fr: ReadOnly<u32, FR::Register>),
        (0x01c => _reserved1),
        (0x030 => cr: ReadWrite<u32, CR::Register>),
        (0x034 => _reserved2),
        (0x038 => imsc: ReadWrite<u32, INT::Register>),
        (0x03c => _reserved3),
        (0x044 => icr: WriteOnly<u32, INT::Register>),
        (0x048 => @END),
    }
}

/// A PL011.
#[derive(Clone, Copy)]
pub struct Uart(&'static Registers);

impl Uart {
    /// # Safety
    /// A PL011 is at `base`, mapped as Device memory or with the MMU off, and the caller's core alone drives it.
    pub unsafe fn new(base: u64) -> Self {
        // SAFETY: the caller says so.
        Self(unsafe { &*(base as *const Registers) })
    }

    /// Switches transmission on; interrupts stay off.
    pub fn enable(self) {
        self.0.imsc.set(0);
        self.0
            .cr
            .write(CR::UARTEN::SET + CR::TXE::SET + CR::RXE::SET);
    }

    /// Writes a byte, or says that the FIFO is full.
    pub fn write(self, byte: u8) -> bool {
        let room = !self.0.fr.is_set(FR::TXFF);
        if room {
            self.0.dr.set(byte.into());
        }
        room
    }

    /// Lets the transmit interrupt through when the FIFO has emptied far enough, or holds it back.
    pub fn interrupt_on_room(self, on: bool) {
        self.0.imsc.write(INT::TX.val(on.into()));
    }

    /// Withdraws the transmit interrupt.
    pub fn acknowledge(self) {
        self.0.icr.write(INT::TX::SET);
    }

    /// Writes a byte, waiting for room.
    pub fn write_blocking(self, byte: u8) {
        while !self.write(byte) {
            core::hint::spin_loop();
        }
    }

    /// Waits until every byte has left.
    pub fn flush_blocking(self) {
        while self.0.fr.is_set(FR::BUSY) {
            core::hint::spin_loop();
        }
    }
}
