//! The PL011 a guest sees (Arm DDI 0183G, chapter 3), one for all vCPUs of its partition.
//!
//! Its transmit FIFO is the last part of the partition's ring: the bytes in front of that part have
//! left the FIFO. So a guest that prints less than the ring holds finds its FIFO empty, and one
//! that prints more finds it as full as the hardware's would be, with the flags and the interrupt
//! level of the hardware. Input waits in a ring too, of which the receive FIFO is the front; its
//! timeout passes at once. Baud rate, format, modem lines and DMA have no effect. Registers that
//! are not listed read as zero and ignore writes.

use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

use crate::output::{KEPT, SLOTS};
use crate::{Output, Ring};

/// Register offsets (table 3-1).
mod reg {
    pub const DR: u64 = 0x00;
    pub const RSR: u64 = 0x04;
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

/// FR: BUSY, RXFE, TXFF, RXFF, TXFE.
const BUSY: u32 = 1 << 3;
const RX_EMPTY: u32 = 1 << 4;
const TX_FULL: u32 = 1 << 5;
const RX_FULL: u32 = 1 << 6;
const TX_EMPTY: u32 = 1 << 7;
/// In IMSC, RIS, MIS and ICR: the interrupts of reception, transmission, receive timeout and
/// overrun.
const RX: u32 = 1 << 4;
const TX: u32 = 1 << 5;
const RT: u32 = 1 << 6;
const OE: u32 = 1 << 10;
/// Overrun in RSR, and in DR beside a byte.
const RSR_OE: u32 = 1 << 3;
const DR_OE: u32 = 1 << 11;
/// LCR_H.FEN: the FIFOs are on.
const FEN: u32 = 1 << 4;
/// Bytes of each FIFO, and how many make its interrupt, by IFLS.TXIFLSEL and RXIFLSEL (3.3.9).
const FIFO: u32 = 32;
const TRIGGERS: [u8; 5] = [4, 8, 16, 24, 28];
/// Slots of the ring that the guest uses. The transmit FIFO is full when this many are in use.
const ROOM: u32 = SLOTS as u32 - KEPT;
/// Slots that a guest may use beyond [`ROOM`]: a line of EL2's, or a sibling's byte, may come
/// between a read of the flags and the byte that they promised room for.
const PROMISED: u32 = KEPT / 4;
/// The transmit FIFO is empty when at most this many slots are in use.
const SENT: u32 = ROOM - FIFO;
/// A burst of lost bytes is over when at most this many slots are in use.
const OVER: u32 = SENT / 2;

/// Bits that exist of the registers from ILPR to DMACR. They hold what was written, except RIS, MIS
/// and ICR.
const BITS: [u16; 11] = [0xff, 0xffff, 0x3f, 0xff, 0xff87, 0x3f, 0x7ff, 0, 0, 0, 7];
/// Values of these registers at reset; those of CR and IFLS are not zero.
const RESET: [u16; 11] = [0, 0, 0, 0, 0x300, 0x12, 0, 0, 0, 0, 0];
/// UARTPeriphID0 to 3 (part 0x011, Arm, revision r1p5) and UARTPCellID0 to 3, a byte each from the
/// lowest.
const IDS: u64 = 0xb105_f00d_0034_1011;

/// A PL011. All bytes zero is one after reset.
#[derive(Default)]
#[repr(C)]
pub struct Pl011 {
    /// Each register of [`BITS`], XORed with its value at reset.
    plain: [AtomicU32; BITS.len()],
    /// Count of sent bytes when the guest cleared the transmit interrupt: it stays off until
    /// another byte is sent.
    cleared_at: AtomicU32,
    /// Receive interrupts that the guest cleared, and the count of received bytes then: the next
    /// byte raises them again.
    cleared: AtomicU32,
    received: AtomicU32,
    /// Count of overruns that RSR and DR, and the interrupt, no longer report.
    overrun_read: AtomicU32,
    overrun_cleared: AtomicU32,
    /// Count of bytes that were lost, since the transmitter was full when they were written.
    lost: AtomicU32,
}

impl Pl011 {
    /// Makes this zeroed PL011 one after reset, with its FIFOs empty, whatever the rings have held.
    pub fn reset(&self, output: &Output, input: &Ring) {
        while input.pop().is_some() {}
        self.cleared_at.store(output.put_in(), Relaxed);
        self.overrun_read.store(input.overruns(), Relaxed);
        self.overrun_cleared.store(input.overruns(), Relaxed);
    }

    /// Returns what a load from `offset` reads, in the low bits.
    #[inline(never)]
    pub fn read(&self, offset: u64, output: &Output, input: &Ring) -> u32 {
        let value = match offset & !3 {
            reg::DR => {
                let overrun = if self.overrun(input) { DR_OE } else { 0 };
                input.pop().map_or(0, |byte| u32::from(byte) | overrun)
            }
            reg::RSR if self.overrun(input) => RSR_OE,
            reg::FR => self.flags(output, input),
            reg::RIS => self.raw(self.is_low(output.used()), output, input),
            reg::MIS => self.raw(self.is_low(output.used()), output, input) & self.get(reg::IMSC),
            reg::PERIPH_ID..0x1000 => (IDS >> (offset << 1 & 0x38)) as u32 & 0xff,
            other => self.get(other),
        };
        value >> (8 * (offset & 3))
    }

    /// Stores `value` to `offset`, for all registers but DR, which [`Pl011::send`] handles.
    #[inline(never)]
    pub fn write(&self, offset: u64, value: u32, output: &Output, input: &Ring) {
        if offset == reg::RSR {
            self.overrun_read.store(input.overruns(), Relaxed);
        } else if offset == reg::ICR {
            if value & TX != 0 {
                self.clear_sent(output);
            }
            if value & OE != 0 {
                self.overrun_cleared.store(input.overruns(), Relaxed);
            }
            self.cleared.store(self.cleared(input) | value, Relaxed);
            self.received.store(input.put_in(), Relaxed);
        } else if let Some((index, register)) = self.plain(offset) {
            register.store(value & u32::from(BITS[index]) ^ u32::from(RESET[index]), Relaxed);
        }
    }

    /// Stores `byte` to DR. Returns how many slots of the ring are in use now, or `None` if the
    /// transmitter is full: then the byte is lost, as the hardware's FIFO loses it, and counted.
    pub fn send(&self, byte: u8, output: &Output) -> Option<u32> {
        let used = output.put(byte, ROOM + PROMISED);
        if used.is_none() {
            self.lost.fetch_add(1, Relaxed);
        }
        used
    }

    /// Returns whether a byte that was sent, after which `used` slots are in use, may have changed
    /// the interrupt line.
    #[inline(always)]
    pub fn changed_by(&self, used: u32, output: &Output) -> bool {
        self.get(reg::IMSC) & TX != 0
            && (used > SENT || output.put_in().wrapping_sub(self.cleared_at.load(Relaxed)) <= FIFO)
    }

    /// Returns how many bytes were lost, once the burst of them is over or `at_end`. Each lost byte
    /// is returned once.
    pub fn lost(&self, output: &Output, at_end: bool) -> u32 {
        match self.lost.load(Relaxed) {
            0 => 0,
            _ if output.used() > OVER && !at_end => 0,
            _ => self.lost.swap(0, Relaxed),
        }
    }

    /// Returns the interrupt line, and whether something changes as the ring drains: the transmit
    /// interrupt waits for room, or a burst of lost bytes for its end. The drain does not report
    /// that, so the caller has to call this again.
    #[inline(always)]
    pub fn line(&self, output: &Output, input: &Ring) -> (bool, bool) {
        let enabled = self.get(reg::IMSC);
        let lost = self.lost.load(Relaxed) != 0;
        if enabled == 0 {
            return (false, lost);
        }
        // Both results are from one read of the ring: a byte that leaves before a second read would
        // be in neither.
        let is_low = self.is_low(output.used());
        let high = self.raw(is_low, output, input) & enabled != 0;
        (high, lost || enabled & TX != 0 && !is_low)
    }

    /// Returns the place in [`BITS`] of the register at `offset`, and the register, if it is one of
    /// them.
    #[inline(always)]
    fn plain(&self, offset: u64) -> Option<(usize, &AtomicU32)> {
        // The rotation makes the index of an offset between registers too great.
        let index = offset.wrapping_sub(reg::ILPR).rotate_right(2) as usize;
        Some((index, self.plain.get(index)?))
    }

    /// Returns what was last written to `offset`, or 0 if no register there keeps that.
    fn get(&self, offset: u64) -> u32 {
        self.plain(offset)
            .map_or(0, |(index, register)| register.load(Relaxed) ^ u32::from(RESET[index]))
    }

    /// Returns how many bytes fill a FIFO, and how many are its interrupt's level by `select`, a
    /// field of IFLS.
    #[inline(always)]
    fn depth(&self, select: u32) -> [u32; 2] {
        match self.get(reg::LCR_H) & FEN {
            0 => [1, 1],
            _ => [FIFO, TRIGGERS[(select & 7).min(4) as usize].into()],
        }
    }

    /// Returns whether the transmit FIFO, with `used` slots of the ring in use, holds so little
    /// that it asks for more.
    #[inline(always)]
    fn is_low(&self, used: u32) -> bool {
        let level = used.saturating_sub(SENT);
        // Without FIFOs the one byte must have left (3.4.3).
        level == 0 || self.get(reg::LCR_H) & FEN != 0 && level <= self.depth(self.get(reg::IFLS))[1]
    }

    /// Returns what a load from FR reads.
    #[inline(always)]
    pub fn flags(&self, output: &Output, input: &Ring) -> u32 {
        let level = output.used().saturating_sub(SENT);
        let transmitter = match level {
            0 => TX_EMPTY,
            _ if level >= self.depth(0)[0] => TX_FULL | BUSY,
            _ => BUSY,
        };
        transmitter
            | match input.waiting() {
                0 => RX_EMPTY,
                waiting if waiting >= self.depth(0)[0] => RX_FULL,
                _ => 0,
            }
    }

    /// Clears the transmit interrupt, if it is asserted. An interrupt that waits for room still
    /// comes when there is some.
    fn clear_sent(&self, output: &Output) {
        // The loads are in this order so that a byte that a sibling sends meanwhile raises the
        // interrupt again.
        let put = output.put_in();
        if self.is_low(output.used()) {
            self.cleared_at.store(put, Relaxed);
        }
    }

    /// Returns whether an input byte was dropped since the guest last read or cleared the overrun:
    /// the ring was full for too long.
    fn overrun(&self, input: &Ring) -> bool {
        input.overruns() != self.overrun_read.load(Relaxed)
    }

    /// Returns which receive interrupts the guest cleared since the last byte was received.
    fn cleared(&self, input: &Ring) -> u32 {
        if self.received.load(Relaxed) == input.put_in() {
            self.cleared.load(Relaxed) & (RX | RT)
        } else {
            0
        }
    }

    fn raw(&self, is_low: bool, output: &Output, input: &Ring) -> u32 {
        let sent = is_low && output.put_in() != self.cleared_at.load(Relaxed);
        let received = match input.waiting() {
            0 => 0,
            waiting if waiting < self.depth(self.get(reg::IFLS) >> 3)[1] => RT,
            _ => RX | RT,
        };
        let overrun = input.overruns() != self.overrun_cleared.load(Relaxed);
        received & !self.cleared(input) | if sent { TX } else { 0 } | if overrun { OE } else { 0 }
    }
}
