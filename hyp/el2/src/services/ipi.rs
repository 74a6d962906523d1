//! The control SGI: requests from one core of EL2 to another.

use core::sync::atomic::Ordering::AcqRel;

use crate::drivers::{
    Gic,
    gic::{CONTROL, GicDriver},
};
use crate::state::percpu::PerCpu;

/// Sets `bit` (see [`control`](mod@crate::state::shared::control)) for core `index` of the plan and
/// sends the control SGI.
pub fn send_control(cpu: &PerCpu, index: usize, bit: u32) {
    // If the bit is already set, its SGI was already sent.
    if let Some(other) = cpu.shared.core(index)
        && other.control.fetch_or(bit, AcqRel) & bit == 0
        && let Some(row) = cpu.cores.get(index)
    {
        Gic::send(Gic::sgi(row.mpidr, CONTROL));
    }
}

/// Takes the bits that other cores have set for this core.
pub fn take_control(cpu: &PerCpu) -> u32 {
    cpu.mine.control.swap(0, AcqRel)
}

/// Returns the plan index of the core of this partition's vCPU `vcpu`.
pub fn vcpu_core(cpu: &PerCpu, vcpu: usize) -> Option<usize> {
    cpu.vcpus.get(vcpu).map(|&index| index as usize)
}
