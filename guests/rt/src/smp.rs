//! More vCPUs: each runs one function on its own stack.

use spin::Once;

use crate::{MAX_VCPUS, boot, psci};

static WORK: [Once<fn()>; MAX_VCPUS] = [const { Once::new() }; MAX_VCPUS];

/// Number of the calling vCPU: its affinity level 0.
pub fn vcpu() -> usize {
    use aarch64_cpu::registers::{MPIDR_EL1, Readable};
    (MPIDR_EL1.get() & 0xff) as usize
}

/// Starts `vcpu` with `work`; when that returns the vCPU is off. Each vCPU may be started once.
///
/// # Errors
///
/// The PSCI error of `CPU_ON`.
pub fn start(vcpu: usize, work: fn()) -> Result<(), i64> {
    WORK[vcpu].call_once(|| work);
    match psci::cpu_on(vcpu as u64, boot::secondary_start as *const () as u64, 0) {
        0 => Ok(()),
        error => Err(error),
    }
}

pub(crate) fn run() {
    if let Some(work) = WORK[vcpu()].get() {
        work();
    }
}
