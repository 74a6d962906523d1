//! Restarts: each life reads EL2's counter when it begins, prints it, and ends right after a second
//! reading, in a way of its own. `cargo xtask bench` takes a restart's parts from the trace between
//! the second reading of a life and the first of the next one.

use core::arch::asm;

use abi::{call, supervise};
use rt::{Tree, fail, hv, interrupt, mmu, println, psci, timer};

/// Time-out of the watchdog that is missed, microseconds.
const WATCHDOG: u64 = 1000;
/// Time for the console to drain, milliseconds.
const SETTLE: u64 = 20;

/// Ends five lives; the sixth one switches the partition off.
pub fn restart(tree: &Tree) {
    let value = read();
    let Ok(own) = hv::query(abi::query::PARTITION) else { fail!("no number of this partition") };
    let Ok(partition) = hv::partition(own) else { fail!("this partition is not a supervisor") };
    println!("figure reading {value}");
    let base = 0x7000_0000;
    mmu::map(base, 8, mmu::Kind::Device);
    let settled = timer::now() + timer::milliseconds(SETTLE);
    while interrupt::wait_until(settled).is_some() {}
    read();
    match partition.generation {
        1 => drop(hv::hvc(psci::SYSTEM_RESET.into(), [0; 3])),
        2 => drop(hv::hvc(psci::SYSTEM_RESET2.into(), [0; 3])),
        // SAFETY: no memory is there; reading it ends the program.
        3 => drop(unsafe { rt::mmio::read64(base) }),
        4 => {
            let _ = hv::watchdog(WATCHDOG);
            // SAFETY: the program ends here: everything is masked, and nothing follows.
            unsafe { asm!("msr DAIFSet, #0xf", "1: b 1b", options(noreturn)) };
        }
        5 => drop(hv::supervise(own, supervise::RESTART)),
        _ => return,
    }
    fail!("life {} survived; {}", partition.generation, tree.command_line());
}

/// Reads EL2's counter of this core.
fn read() -> u64 {
    let [value, ..] = hv::hvc(call::EL2_INSTRUCTIONS.into(), [0; 3]);
    u32::try_from(value).unwrap_or_else(|_| fail!("this core has no PMU that EL2 can use")).into()
}
