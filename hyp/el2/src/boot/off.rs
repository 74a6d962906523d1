//! How a machine that is refused ends: EL2's line on the UART that the plan or the device tree names, then power off.
//!
//! Boot may wait for the UART: no partition runs yet.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use console::Line;

use crate::cpu::regs;
use crate::planned::Plan;
use crate::uart::Uart;

/// The PL011 to complain on: the plan's, or the device tree's where it says another.
pub static UART: AtomicU64 = AtomicU64::new(0);
/// Whether firmware answers PSCI by SMC: where it does not, an SMC never returns.
pub static PSCI: AtomicBool = AtomicBool::new(false);

/// Prints `line`, then powers off.
pub fn power_off_with(line: &mut Line) -> ! {
    line.str("\r\n");
    let base = UART.load(Relaxed);
    if base != 0 {
        // SAFETY: the device tree or the plan says a PL011 is there, the MMU is off, and no other core drives it yet.
        let uart = unsafe { Uart::new(base) };
        uart.enable();
        for &byte in line.as_bytes() {
            uart.write(byte);
        }
        uart.flush();
    }
    machine_off(&Plan::here());
    loop {
        aarch64_cpu::asm::wfe();
    }
}

/// Switches the machine off, by firmware or as the board does it. Returns if there is no way.
pub fn machine_off(plan: &Plan) {
    if PSCI.load(Relaxed) {
        regs::smc(psci::fid::SYSTEM_OFF.into(), [0; 3]);
    }
    // A damaged plan may name any address.
    if plan.crc() == plan.header.crc {
        for write in plan.slice::<plan::Write>(plan.header.machine.off) {
            // SAFETY: the board's data says what the write does; the MMU is off, or the console's core maps the register.
            unsafe { (write.address as *mut u32).write_volatile(write.value) };
        }
    }
}
