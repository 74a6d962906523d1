//! Faults whose crash records are decoded, with honest and with hostile frames and tables.

use alloc::string::String;
use core::arch::asm;
use core::hint::black_box;

use rt::Tree;
use rt::log::info;

use crate::memory::outside;
use crate::{format, number};

/// A frame record (Procedure Call Standard for the Arm 64-bit Architecture, 6.4.6).
#[repr(C, align(16))]
struct Frame([u64; 2]);

/// The return address of hostile frames.
const RETURN: u64 = 0x1111_2222;

/// Faults two calls deep. The case names the functions, and the line of the fault. `print=LINES`
/// lines on the console come first, as fast as it takes them.
pub fn deep(tree: &Tree) -> String {
    for line in 0..tree.option("print").and_then(number).unwrap_or(0) {
        info!("{line:060}");
    }
    format!("came back with {}", outer(outside(tree)))
}

#[inline(never)]
fn outer(at: *mut u64) -> u64 {
    black_box(inner(at)) + 1
}

#[inline(never)]
fn inner(at: *mut u64) -> u64 {
    // SAFETY: an address outside the program: writing it cannot touch Rust's memory.
    unsafe { at.write_volatile(1) };
    black_box(2)
}

/// Returns the first address after the guest's own memory.
fn end(tree: &Tree) -> u64 {
    let (start, size) = tree.memory_at(tree.address()).unwrap_or_default();
    (start + size) as u64
}

/// Faults with a frame pointer that `chain=NAME` chooses.
pub fn frames(tree: &Tree) -> String {
    let end = end(tree);
    let mut frame = Frame([0, RETURN]);
    let own = &raw mut frame;
    let at = match tree.option("chain").unwrap_or("") {
        "loop" => {
            frame.0[0] = own as u64;
            own as u64
        }
        // The next frame is where another partition or EL2 may be.
        "outside" => {
            frame.0[0] = end;
            own as u64
        }
        // The last word of the memory, and the first after it.
        "end" => end - 8,
        "odd" => own as u64 + 1,
        "none" => 0,
        "high" => u64::MAX - 7,
        "device" => 0x0900_0000,
        other => rt::fail!("no chain {other:?}"),
    };
    black_box(&frame);
    let outside = outside(tree);
    // SAFETY: an address outside the program: writing it cannot touch Rust's memory. Code after it
    // never runs.
    unsafe {
        asm!("mov x29, {frame}", "str xzr, [{outside}]", "b .", frame = in(reg) at,
            outside = in(reg) outside, options(noreturn))
    }
}

/// Faults with translation tables that `tables=NAME` chooses.
pub fn tables(tree: &Tree) -> String {
    let end = end(tree);
    let root = match tree.option("tables").unwrap_or("") {
        // The walk itself faults at stage 2.
        "outside" => end,
        // The last page of the memory is a table whose every entry is that table. All of it is
        // translated to that page, which has no code.
        "loop" => {
            let page = end - 4096;
            for word in 0..512 {
                // SAFETY: the end of the heap, and this guest allocates nothing any more.
                unsafe { ((page + 8 * word) as *mut u64).write_volatile(page | 0x403) };
            }
            page
        }
        other => rt::fail!("no tables {other:?}"),
    };
    // SAFETY: there is no code left to run.
    unsafe {
        asm!("dsb sy", "msr TTBR0_EL1, {0}", "isb", "tlbi vmalle1", "dsb nsh", "isb", "b .",
            in(reg) root, options(noreturn))
    }
}

/// Loops with every interrupt masked, until the watchdog that the manifest starts.
pub fn spin(_: &Tree) -> String {
    endless()
}

#[inline(never)]
fn endless() -> ! {
    // SAFETY: masks this core's own exceptions and never goes on.
    unsafe { asm!("msr DAIFSet, #15", "b .", options(noreturn)) }
}
