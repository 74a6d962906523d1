//! Time: the virtual counter, and the virtual timer as a one-shot alarm (DDI 0487, D12). Times are
//! counter ticks.

use aarch64_cpu::registers::{
    CNTFRQ_EL0, CNTV_CTL_EL0, CNTV_CVAL_EL0, CNTVCT_EL0, Readable, Writeable,
};

/// INTID of the virtual timer (PPI 11, as in the device tree's timer node).
pub const INTID: u32 = 27;

/// Returns the counter, in ticks since an unspecified start. It is the same on all vCPUs, and at
/// both ends of a channel.
pub fn now() -> u64 {
    // Without the barrier the counter may be read before earlier instructions (DDI 0487, D12.1.2).
    aarch64_cpu::asm::barrier::isb(aarch64_cpu::asm::barrier::SY);
    CNTVCT_EL0.get()
}

/// Returns the ticks per second.
pub fn frequency() -> u64 {
    CNTFRQ_EL0.get()
}

/// Converts milliseconds to ticks.
pub fn milliseconds(count: u64) -> u64 {
    count * frequency() / 1000
}

/// Raises [`INTID`] on this vCPU once, at `deadline` or immediately if that has passed.
pub fn arm(deadline: u64) {
    CNTV_CVAL_EL0.set(deadline);
    CNTV_CTL_EL0.write(CNTV_CTL_EL0::ENABLE::SET + CNTV_CTL_EL0::IMASK::CLEAR);
}

/// Cancels the alarm.
pub fn disarm() {
    CNTV_CTL_EL0.set(0);
    aarch64_cpu::asm::barrier::isb(aarch64_cpu::asm::barrier::SY);
}
