//! The end of a refused machine: EL2 prints a line on the UART that the plan or the device tree
//! names, then powers off.
//!
//! Boot may wait for the UART: no partition runs yet.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use console::LineBuffer;

use crate::arch::{registers, unreachable_state};
use crate::drivers::pl011::Uart;
use crate::state::plan_view::PlanView;

/// Address of the PL011 for refusals, or 0: the plan's, or one of the device tree's if the plan's
/// is missing there.
pub static UART: AtomicU64 = AtomicU64::new(0);
/// Whether firmware answers PSCI by SMC. If it does not, an SMC never returns.
pub static PSCI: AtomicBool = AtomicBool::new(false);

/// Whether a hypervisor answers PSCI by HVC and the loader entered at EL1, which boot refuses.
pub static HVC: AtomicBool = AtomicBool::new(false);

/// Prints `line`, then powers off.
pub fn power_off_with(line: &mut LineBuffer) -> ! {
    power_off_on(UART.load(Relaxed), line)
}

/// Prints `line` on the PL011 at `base`, if there is one, then powers off.
pub fn power_off_on(base: u64, line: &LineBuffer) -> ! {
    if base != 0 {
        // SAFETY: the device tree or the plan says a PL011 is there, the MMU is off, and no other
        // core drives it yet.
        let uart = unsafe { Uart::new(base) };
        uart.enable();
        for &byte in line.as_bytes().iter().chain(b"\r\n") {
            uart.write(byte);
        }
        uart.flush();
    }
    machine_off(&PlanView::here());
    unreachable_state()
}

/// Switches the machine off, by PSCI or by the board's register writes. Returns if neither works.
pub fn machine_off(plan: &PlanView) {
    if HVC.load(Relaxed) {
        registers::hvc(psci::fid::SYSTEM_OFF.into());
    }
    if PSCI.load(Relaxed) {
        registers::smc(psci::fid::SYSTEM_OFF.into(), [0; 3]);
    }
    // A damaged plan may name any address.
    if plan.crc() == plan.header.crc {
        for write in plan.slice::<plan::Write>(plan.header.machine.off) {
            // SAFETY: the board's data says what the write does; the MMU is off, or the console's
            // core maps the register.
            unsafe { (write.address as *mut u32).write_volatile(write.value) };
        }
    }
}
