//! EL2's own timer, CNTHP: the one event it ever waits for is a moment this core chose itself. The
//! guest owns CNTV and CNTP.

use aarch64_cpu::registers::{CNTFRQ_EL0, CNTHP_CTL_EL2, CNTPCT_EL0, Readable, Writeable};

use super::registers;

/// INTID of CNTHP's interrupt (Server Base System Architecture, PPI assignments).
pub const INTID: u32 = 26;

/// Counter frequency, Hz.
pub fn frequency() -> u64 {
    CNTFRQ_EL0.get()
}

/// The physical count now.
pub fn now() -> u64 {
    // No ISB: a count that is a few ticks old only sends a doorbell as late as that.
    CNTPCT_EL0.get()
}

/// A tick that never comes.
pub const NEVER: u64 = u64::MAX;

/// Asks for an interrupt at `tick`.
pub fn arm(tick: u64) {
    registers::set_cnthp_cval(tick);
    CNTHP_CTL_EL2.set(u64::from(tick != NEVER));
}
