//! Handling of EL2's own faults before a core has its state.

use core::sync::atomic::Ordering::Relaxed;

use aarch64_cpu::registers::{Readable, SCTLR_EL2};

use super::end::{UART, refused_on};
use super::refuse::refusal;
use crate::arch::unreachable_state;

/// Refuses the machine for a fault of boot's own, such as a device tree where there is no memory.
/// `registers` are `ESR_EL2`, `ELR_EL2`, `FAR_EL2` and `HPFAR_EL2`. Once the MMU is on the UART may
/// not be mapped; then, and if printing the line faults, the core waits for a watchdog.
pub fn fault(registers: [u64; 4]) -> ! {
    let [esr, elr, far, _] = registers;
    let base = UART.load(Relaxed);
    UART.store(0, Relaxed);
    if base == 0 || SCTLR_EL2.is_set(SCTLR_EL2::M) {
        unreachable_state();
    }
    let mut line = refusal();
    line.str("EL2 faults at boot: ESR ").hex(esr);
    line.str(" ELR ").hex(elr).str(" FAR ").hex(far);
    refused_on(base, &line)
}
