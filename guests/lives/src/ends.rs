// SPDX-License-Identifier: MIT OR Apache-2.0
//! The ways in which a life ends. Four kinds alternate: a fault, a reset, a missed watchdog, and a
//! supervisor's order.

use core::arch::asm;

use rt::log::info;
use rt::{Tree, fail, hv, psci};

use crate::fresh::{self, Mess};

/// Time-out of a watchdog that is going to be missed, microseconds.
const WATCHDOG: u64 = 20_000;
/// The ways, of which each life takes the next one.
const WAYS: [&str; 12] = [
    "fault", "reset", "spin", ORDER, "fault", "reset2", "suspend", ORDER, "fault", "reset",
    "tables", ORDER,
];
/// The way that needs a supervisor; without one there is a fault instead.
const ORDER: &str = "order";

/// Returns the way in which a life ends: by its number, or as `end=` on the command line says.
pub fn way(tree: &Tree, life: u16) -> &'static str {
    let way = WAYS[usize::from(life) % WAYS.len()];
    match tree.option("end") {
        Some(way) => way,
        None if way == ORDER && tree.option("orders").is_none() => "fault",
        None => way,
    }
}

/// Returns whether a life ends only by an order.
pub fn is_ordered(tree: &Tree, life: u16) -> bool {
    way(tree, life) == ORDER
}

/// Ends this life.
pub fn end(tree: &Tree, mess: &Mess, life: u16) -> ! {
    let way = way(tree, life);
    info!("life {life} ends: {way}");
    mess.mark(life);
    // A pending interrupt ends CPU_SUSPEND.
    if way != "suspend" {
        fresh::leave_interrupts();
    }
    let watchdog = || {
        let set = hv::watchdog(WATCHDOG);
        set.unwrap_or_else(|error| fail!("the watchdog was refused with {error}"));
    };
    match way {
        "reset" => {
            hv::hvc(psci::SYSTEM_RESET.into(), [0; 3]);
        }
        "reset2" => {
            hv::hvc(psci::SYSTEM_RESET2.into(), [0; 3]);
        }
        "off" => psci::system_off(),
        "suspend" => {
            watchdog();
            // Doorbells of the witness end each one early.
            loop {
                hv::hvc(psci::CPU_SUSPEND.into(), [0, 0, 0]);
            }
        }
        "spin" => {
            watchdog();
            // SAFETY: the program ends here: everything is masked, and nothing follows.
            unsafe { asm!("msr DAIFSet, #0xf", "1: b 1b", options(noreturn)) };
        }
        "tables" => {
            watchdog();
            // SAFETY: the program ends here: it has no translations, no vectors and no stack.
            unsafe {
                asm!(
                    "msr VBAR_EL1, xzr",
                    "msr TTBR0_EL1, {empty}",
                    "tlbi vmalle1",
                    "dsb ish",
                    "isb",
                    "1: b 1b",
                    empty = in(reg) mess.memory,
                    options(noreturn)
                );
            }
        }
        _ => {
            let outside = 0x7000_0000 as *mut u64;
            rt::mmu::map(outside as u64, 8, rt::mmu::Kind::Device);
            // SAFETY: an address outside the program: reading it cannot touch Rust's memory.
            unsafe { outside.read_volatile() };
        }
    }
    fail!("life {life} survived: {way}")
}
