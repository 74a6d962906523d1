//! EL2's own timer, CNTHP. Each core arms it only for deadlines of its own. The guest owns CNTV and
//! CNTP.

use aarch64_cpu::registers::{CNTFRQ_EL0, CNTHP_CTL_EL2, CNTPCT_EL0, Readable, Writeable};

use super::registers;

/// INTID of CNTHP's interrupt (Server Base System Architecture, PPI assignments).
pub const INTID: u32 = 26;

/// Returns the counter's frequency, Hz.
pub fn frequency() -> u64 {
    CNTFRQ_EL0.get()
}

/// Returns how many ticks `microseconds` are.
pub fn ticks(microseconds: u64) -> u64 {
    const SECOND: u64 = 1_000_000;
    let part = microseconds % SECOND * frequency() / SECOND;
    (microseconds / SECOND).saturating_mul(frequency()).saturating_add(part)
}

/// Waits for `microseconds`, during boot.
pub fn wait(microseconds: u64) {
    let start = now();
    while now().wrapping_sub(start) < ticks(microseconds) {}
}

/// Returns the physical count now.
pub fn now() -> u64 {
    // No ISB is needed: a count that is a few ticks old only delays a doorbell by these ticks.
    CNTPCT_EL0.get()
}

/// A tick that never comes.
pub const NEVER: u64 = u64::MAX;

/// Asks for an interrupt at `tick`.
pub fn arm(tick: u64) {
    registers::set_cnthp_cval(tick);
    CNTHP_CTL_EL2.set(u64::from(tick != NEVER));
}
