//! This core's vCPU in its partition's vGIC.

use vgic::{ListRegisters, Vcpu};

use crate::state::percpu::{PerCpu, VgicBackend};

/// Returns this core's vCPU.
pub fn vcpu(cpu: &mut PerCpu) -> Vcpu<'_, VgicBackend> {
    Vcpu::new(&cpu.state.gic, cpu.row.vcpu as usize, &mut cpu.vgic.delivery, &mut cpu.vgic.backend)
}

/// Samples the levels of listed interrupts (see [`Vcpu::sample`]). Every entry does this except
/// those that the vectors answer themselves, doorbells and the most frequent traps.
#[inline(always)]
pub fn sample(cpu: &mut PerCpu) {
    if cpu.vgic.delivery.to_sample(cpu.vgic.backend.empty()) != 0 {
        sample_lines(cpu);
    }
}

#[cold]
#[inline(never)]
fn sample_lines(cpu: &mut PerCpu) {
    vcpu(cpu).sample();
}
