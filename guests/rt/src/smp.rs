//! More vCPUs: each runs one function on its own stack.

use alloc::boxed::Box;

use spin::Mutex;

use crate::{MAX_VCPUS, boot, psci};

type Work = Box<dyn FnOnce() + Send>;

static WORK: [Mutex<Option<Work>>; MAX_VCPUS] = [const { Mutex::new(None) }; MAX_VCPUS];

/// Returns the number of the calling vCPU: its affinity level 0.
pub fn vcpu() -> usize {
    use aarch64_cpu::registers::{MPIDR_EL1, Readable};
    (MPIDR_EL1.get() & 0xff) as usize
}

/// Starts `vcpu` with `work`; when that returns the vCPU is off, and may be started again.
///
/// # Errors
///
/// The PSCI error of `CPU_ON`.
///
/// # Panics
///
/// If `vcpu` is not less than [`MAX_VCPUS`].
pub fn start(vcpu: usize, work: impl FnOnce() + Send + 'static) -> Result<(), i64> {
    *WORK[vcpu].lock() = Some(Box::new(work));
    match psci::cpu_on(vcpu as u64, boot::secondary_start as *const () as u64, 0) {
        0 => Ok(()),
        error => Err(error),
    }
}

pub(crate) fn run() {
    let work = WORK[vcpu()].lock().take();
    if let Some(work) = work {
        work();
    }
}
