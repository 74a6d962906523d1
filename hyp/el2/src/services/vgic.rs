//! This core's vCPU in its partition's vGIC.

use vgic::Vcpu;

use crate::state::percpu::{PerCpu, VgicBackend};

/// Returns this core's vCPU.
#[inline(always)]
pub fn vcpu(cpu: &mut PerCpu) -> Vcpu<'_, VgicBackend> {
    Vcpu::new(&cpu.state.gic, cpu.row.vcpu as usize, &mut cpu.vgic.delivery, &mut cpu.vgic.backend)
}

/// Samples the levels of listed interrupts (see [`Vcpu::sample`]): what every entry does but those
/// that the vectors answer themselves, doorbells and the commonest traps.
#[inline(never)]
pub fn sample(cpu: &mut PerCpu) {
    vcpu(cpu).sample();
}
