//! Attacks on emulated devices: accesses with an incomplete syndrome, and a UART that gets all
//! kinds of data.

use alloc::string::String;

use core::sync::atomic::{AtomicU32, Ordering};

use rt::{Tree, interrupt, mmio, smp, timer};

use crate::probe::{Outcome, Random, execute};
use crate::{format, number, vcpus};

/// Instructions on the address in x0 that have no valid syndrome (ESR_EL2.ISV = 0) or that EL2 may
/// not support.
const INSTRUCTIONS: [(&str, u32); 13] = [
    ("ldp x2, x3, [x0]", 0xa940_0c02),
    ("stp x2, x3, [x0]", 0xa900_0c02),
    ("ldr x2, [x0], #8", 0xf840_8402),
    ("str w2, [x0, #4]!", 0xb800_4c02),
    ("ldxr x2, [x0]", 0xc85f_7c02),
    ("stxr w3, x2, [x0]", 0xc803_7c02),
    ("ldar w2, [x0]", 0x88df_fc02),
    ("ldadd x2, x3, [x0]", 0xf822_0003),
    ("ldr x2, [x0, #4]", 0xf840_4002),
    ("dc zva, x0", 0xd50b_7420),
    ("dc civac, x0", 0xd50b_7e20),
    ("ic ivau, x0", 0xd50b_7520),
    ("prfm pldl1keep, [x0]", 0xf980_0000),
];

pub fn mmio_odd(tree: &Tree) -> String {
    let gic = tree.gic_node();
    // A GICv2's CPU interface is hardware: such accesses only take this guest's own interrupts from
    // it.
    let emulated = gic.map_or(0, |gic| gic.version as usize - 1);
    let gic = gic.map(|gic| gic.regs).into_iter().flatten().take(emulated);
    let pages = gic.chain(tree.device("arm,pl011"));
    let (mut done, mut caught) = (0, 0);
    for (base, _) in pages {
        for (_, word) in INSTRUCTIONS {
            match execute(word, [base, 0, 0, 0]) {
                Outcome::Done(_) => done += 1,
                Outcome::Caught(_) => caught += 1,
            }
        }
    }
    // A load pair can never be emulated from its syndrome.
    if caught == 0 {
        rt::fail!("no unemulatable access was aborted");
    }
    format!("{done} answered, {caught} aborted")
}

pub fn uart(tree: &Tree) -> String {
    let Some((base, _)) = tree.device("arm,pl011") else { rt::fail!("no UART in the device tree") };
    // These lines would pass for EL2's, if a guest could begin its own line.
    rt::print!("\nbulkhead: end 0000000000000000 sensor=off control=off chaos=off\n");
    rt::print!("\r\x1b[2K\x1b[1Gbulkhead: end 0000000000000000 chaos=off\r\n");
    rt::print!("\x1b[2J\x1b[H\x1b]0;bulkhead\x07verdict: PASS\n");
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    let mut accesses = 0;
    // Every offset except the data register is accessed in every size; then some random bytes go to
    // the data register.
    for offset in 4..0x1000 {
        let value = random.next();
        // SAFETY: registers of the emulated PL011, mapped by the runtime; no memory of Rust's is
        // there.
        unsafe {
            mmio::write8(base + offset, value as u8);
            mmio::read8(base + offset);
            if offset % 2 == 0 {
                mmio::write16(base + offset, value as u16);
                mmio::read16(base + offset);
            }
            if offset % 4 == 0 {
                mmio::write32(base + offset, value as u32);
                mmio::read32(base + offset);
            }
            if offset % 8 == 0 {
                mmio::write64(base + offset, value);
                mmio::read64(base + offset);
            }
        }
        accesses += 4;
    }
    for _ in 0..200 {
        // SAFETY: the PL011's data register takes only output.
        unsafe { mmio::write32(base, random.next() as u32) };
    }
    rt::println!();
    format!("{accesses} accesses")
}

/// Writes short lines, and bytes that are not shown on a terminal, as fast as the UART takes them
/// for a second. Each line wakes the console core, whose guest must not be affected.
pub fn uart_flood(tree: &Tree) -> String {
    let Some((base, _)) = tree.device("arm,pl011") else { rt::fail!("no UART in the device tree") };
    let end = timer::now() + timer::frequency();
    let mut bytes = 0;
    while timer::now() < end {
        for byte in [u32::from(b'x'), u32::from(b'\n'), 1, 1] {
            // SAFETY: the PL011's data register takes only output.
            unsafe { mmio::write32(base, byte) };
            bytes += 1;
        }
    }
    // This ends the current line, so that bytes dropped by a full FIFO do not affect the next one.
    rt::println!();
    format!("{bytes} bytes")
}

/// Registers and bits of the PL011 (DDI 0183).
const FR: u64 = 0x18;
const LCR_H: u64 = 0x2c;
const IFLS: u64 = 0x34;
const IMSC: u64 = 0x38;
const TXFF: u32 = 1 << 5;
const TXIM: u32 = 1 << 5;
/// LCR_H: FIFOs and words of 8 bits; IFLS: interrupts at half a FIFO.
const FIFOS: u32 = 0x70;
const HALF: u32 = 0x12;
/// Bytes of half a FIFO, for which there is room at each transmit interrupt.
const BURST: u32 = 16;
/// First of the numbers in the stream, one per line, and bytes of a line.
const FIRST: u32 = 100_000;
const LINE: u32 = 7;

/// The vCPU whose turn it is to write, or none at the end. Bytes written so far.
static TURN: AtomicU32 = AtomicU32::new(0);
static WRITTEN: AtomicU32 = AtomicU32::new(0);
const OVER: u32 = 2;

/// Writes numbers, one per line, like Linux's driver: half a FIFO at each transmit interrupt
/// without a read of FR. If there is a second vCPU, it writes the second half of each burst.
pub fn uart_stream(tree: &Tree) -> String {
    let Some(((base, _), intid)) = tree.device("arm,pl011").zip(tree.device_spi("arm,pl011"))
    else {
        rt::fail!("no UART in the device tree")
    };
    let lines = tree.option("lines").and_then(number).unwrap_or(1000) as u32;
    let bytes = lines * LINE;
    let shared = vcpus() > 1;
    if shared && smp::start(1, move || second_half(base, bytes)).is_err() {
        rt::fail!("vCPU 1 does not start");
    }
    // SAFETY: registers of the emulated PL011, mapped by the runtime; no memory of Rust's is there.
    let write = |register, value| unsafe { mmio::write32(base + register, value) };
    // SAFETY: as above.
    let is_full = || unsafe { mmio::read32(base + FR) & TXFF != 0 };
    write(LCR_H, FIFOS);
    write(IFLS, HALF);
    interrupt::enable(intid);
    while !is_full() && WRITTEN.load(Ordering::Relaxed) < bytes {
        burst(base, 1, bytes);
    }
    write(IMSC, TXIM);
    let mut interrupts = 0;
    while WRITTEN.load(Ordering::Acquire) < bytes {
        if interrupt::wait_until(timer::now() + 20 * timer::frequency()) != Some(intid) {
            rt::fail!("no transmit interrupt");
        }
        interrupts += 1;
        if shared {
            burst(base, BURST / 2, bytes);
            TURN.store(1, Ordering::Release);
            while TURN.load(Ordering::Acquire) != 0 {
                core::hint::spin_loop();
            }
        } else {
            burst(base, BURST, bytes);
        }
    }
    write(IMSC, 0);
    TURN.store(OVER, Ordering::Release);
    if interrupts == 0 {
        rt::fail!("all output fit without an interrupt");
    }
    format!("{lines} lines on {} vCPUs", vcpus())
}

/// Runs the second vCPU's part.
fn second_half(base: u64, bytes: u32) {
    loop {
        match TURN.load(Ordering::Acquire) {
            0 => core::hint::spin_loop(),
            1 => {
                burst(base, BURST / 2, bytes);
                TURN.store(0, Ordering::Release);
            }
            _ => return,
        }
    }
}

/// Writes the next `count` bytes of `bytes`.
fn burst(base: u64, count: u32, bytes: u32) {
    let from = WRITTEN.load(Ordering::Relaxed);
    let to = bytes.min(from + count);
    for at in from..to {
        let (line, column) = (FIRST + at / LINE, at % LINE);
        let byte = match column {
            6 => u32::from(b'\n'),
            _ => u32::from(b'0') + line / 10_u32.pow(5 - column) % 10,
        };
        // SAFETY: the PL011's data register takes only output.
        unsafe { mmio::write32(base, byte) };
    }
    WRITTEN.store(to, Ordering::Release);
}
