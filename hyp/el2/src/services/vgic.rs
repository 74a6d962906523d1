//! This core's vCPU in its partition's vGIC.

use trap::Access;
use vgic::{ListRegisters, Vcpu};

use crate::drivers::{Gic, gic::GicDriver};
use crate::state::percpu::{PerCpu, VgicBackend};

/// Returns this core's vCPU.
pub fn vcpu(cpu: &mut PerCpu) -> Vcpu<'_, VgicBackend> {
    Vcpu::new(&cpu.state.gic, cpu.row.vcpu as usize, &mut cpu.vgic.delivery, &mut cpu.vgic.backend)
}

/// Carries out a guest's access to its emulated distributor (`part` is `None`), or to the
/// redistributor of vCPU `part` (GICv2: the page of `GICC_DIR`): a store of `stored`, or a load,
/// whose value it returns.
#[inline(always)]
pub fn guest_access(
    cpu: &mut PerCpu,
    part: Option<usize>,
    offset: u64,
    access: Access,
    stored: u64,
) -> u64 {
    if access.is_write() {
        Gic::guest_write(vcpu(cpu), part, offset, access.size(), stored);
        return 0;
    }
    sample(cpu);
    Gic::guest_read(vcpu(cpu), part, offset, access.size())
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
