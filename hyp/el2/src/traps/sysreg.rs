//! Trapped system registers: `trap::sysreg` is the policy; this module carries it out.

use aarch64_cpu::registers::*;
use trap::{IdRegister, Policy, SysReg};

use crate::arch::{el1_context, registers};
use crate::drivers::{Gic, IS_V3, gic::GicDriver};
use crate::services::vgic;
use crate::state::frame::Frame;
use crate::state::next::Next;
use crate::state::percpu::PerCpu;

/// Answers one access and steps over it, or makes it undefined.
pub fn access(frame: &mut Frame, cpu: &mut PerCpu, access: SysReg) -> Next {
    let value = match trap::sysreg(access.op, access.write) {
        Policy::Undefined => return super::abort::undefined(cpu),
        Policy::Id(register) => register.visible(raw(register), !IS_V3),
        Policy::Zero => 0,
        // GICv2 has no such registers.
        Policy::Deactivate | Policy::Common(_) | Policy::Sgi { .. } if !IS_V3 => {
            return super::abort::undefined(cpu);
        }
        Policy::Common(register) if access.write => {
            Gic::write_common(register, frame.get(access.rt));
            0
        }
        Policy::Common(register) => Gic::read_common(register),
        Policy::Deactivate => {
            vgic::vcpu(cpu).deactivate(frame.get(access.rt) as u32 & 0xff_ffff);
            0
        }
        Policy::Sgi { only_group0 } => {
            vgic::vcpu(cpu).send_sgi(frame.get(access.rt), only_group0);
            0
        }
    };
    if !access.write {
        frame.set(access.rt, value);
    }
    el1_context::skip_instruction();
    Next::Resume
}

/// Returns the machine's value of `register`.
fn raw(register: IdRegister) -> u64 {
    match register {
        IdRegister::Pfr0 => ID_AA64PFR0_EL1.get(),
        IdRegister::Pfr1 => ID_AA64PFR1_EL1.get(),
        IdRegister::Dfr0 => ID_AA64DFR0_EL1.get(),
        IdRegister::Isar0 => ID_AA64ISAR0_EL1.get(),
        IdRegister::Isar1 => ID_AA64ISAR1_EL1.get(),
        IdRegister::Isar2 => registers::id_aa64isar2(),
        IdRegister::Mmfr0 => ID_AA64MMFR0_EL1.get(),
        IdRegister::Mmfr1 => ID_AA64MMFR1_EL1.get(),
        IdRegister::Mmfr2 => ID_AA64MMFR2_EL1.get(),
    }
}
