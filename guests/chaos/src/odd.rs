//! Attacks on emulated devices: accesses whose syndrome says too little, and a UART fed with everything.

use alloc::string::String;

use rt::{Tree, mmio, timer};

use crate::format;
use crate::probe::{Outcome, Random, execute};

/// Instructions on the address in x0 that come with no valid syndrome (ESR_EL2.ISV = 0) or that EL2 may find odd.
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
    // A GICv2's CPU interface is hardware: such accesses only take this guest's own interrupts from it.
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
        rt::fail!("no odd access was answered with an abort");
    }
    format!("{done} answered, {caught} aborted")
}

pub fn uart(tree: &Tree) -> String {
    let Some((base, _)) = tree.device("arm,pl011") else {
        rt::fail!("no UART in the device tree")
    };
    // Lines that would pass for EL2's, if a guest could begin a line of its own.
    rt::print!("\nbulkhead: end 0000000000000000 sensor=off control=off chaos=off\n");
    rt::print!("\r\x1b[2K\x1b[1Gbulkhead: end 0000000000000000 chaos=off\r\n");
    rt::print!("\x1b[2J\x1b[H\x1b]0;bulkhead\x07verdict: PASS\n");
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    let mut accesses = 0;
    // Every offset but the data register in every size; then a little noise in the data register.
    for offset in 4..0x1000 {
        let value = random.next();
        // SAFETY: registers of the emulated PL011, mapped by the runtime; nothing of Rust's is there.
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
        // SAFETY: the PL011's data register: output only.
        unsafe { mmio::write32(base, random.next() as u32) };
    }
    rt::println!();
    format!("{accesses} accesses")
}

/// Short lines, and bytes that no terminal gets to see, as fast as the UART takes them for a second: each line wakes the
/// console core, whose guest must not notice.
pub fn uart_flood(tree: &Tree) -> String {
    let Some((base, _)) = tree.device("arm,pl011") else {
        rt::fail!("no UART in the device tree")
    };
    let end = timer::now() + timer::frequency();
    let mut bytes = 0;
    while timer::now() < end {
        for byte in [u32::from(b'x'), u32::from(b'\n'), 1, 1] {
            // SAFETY: the PL011's data register: output only.
            unsafe { mmio::write32(base, byte) };
            bytes += 1;
        }
    }
    // The line under way ends, and what a full FIFO dropped does not join what follows.
    rt::println!();
    format!("{bytes} bytes")
}
