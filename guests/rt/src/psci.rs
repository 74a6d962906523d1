//! Power calls: PSCI 1.1 (Arm DEN 0022), by HVC.

use crate::hv::hvc;

/// `CPU_SUSPEND`.
pub const CPU_SUSPEND: u32 = 0xc400_0001;
/// `CPU_OFF`.
pub const CPU_OFF: u32 = 0x8400_0002;
/// `CPU_ON`.
pub const CPU_ON: u32 = 0xc400_0003;
/// `SYSTEM_OFF`.
pub const SYSTEM_OFF: u32 = 0x8400_0008;

/// `SYSTEM_RESET2`.
pub const SYSTEM_RESET2: u32 = 0x8400_0012;
/// `SYSTEM_RESET`.
pub const SYSTEM_RESET: u32 = 0x8400_0009;

/// Starts the core with affinity `mpidr` at `entry` with `context` in x0; returns 0 or a (negative)
/// PSCI error.
pub fn cpu_on(mpidr: u64, entry: u64, context: u64) -> i64 {
    // PSCI error codes are 32-bit values.
    hvc(CPU_ON.into(), [mpidr, entry, context])[0] as i32 as i64
}

/// Sleeps until an interrupt is pending (standby state, which keeps everything); returns 0 or a
/// PSCI error.
pub fn suspend() -> i64 {
    hvc(CPU_SUSPEND.into(), [0, 0, 0])[0] as i32 as i64
}

/// Switches the calling vCPU off.
pub fn cpu_off() -> ! {
    hvc(CPU_OFF.into(), [0; 3]);
    halt()
}

/// Switches the partition off.
pub fn system_off() -> ! {
    hvc(SYSTEM_OFF.into(), [0; 3]);
    halt()
}

/// Resets the partition, which starts again if its policy says so.
pub fn system_reset() -> ! {
    hvc(SYSTEM_RESET.into(), [0; 3]);
    halt()
}

fn halt() -> ! {
    loop {
        aarch64_cpu::asm::wfi();
    }
}
