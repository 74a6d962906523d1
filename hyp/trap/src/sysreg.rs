//! Trapped system registers: which a guest may read, and what it sees of them.
//!
//! The ID registers of group 3 (`HCR_EL2.TID3`) say what the guest may use, so they hide what EL2
//! does not switch, save or isolate. A register that is not listed is undefined, as on a machine
//! without it: the PMU (`MDCR_EL2.TPM`), trace, RAS, LORegions, implementation-defined registers
//! (`HCR_EL2.TIDCP`), and any that a later architecture adds.

use crate::common::Common;

/// Returns a system register as one number: the operands of MRS in the order of its encoding (DDI
/// 0487, C5.1.2).
pub const fn op(op0: u8, op1: u8, crn: u8, crm: u8, op2: u8) -> u16 {
    (op0 as u16) << 14 | (op1 as u16) << 11 | (crn as u16) << 7 | (crm as u16) << 3 | op2 as u16
}

/// What EL2 does about a trapped access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// Read the machine's register and give the guest [`IdRegister::visible`] of it.
    Id(IdRegister),
    /// Read as zero, ignore writes.
    Zero,
    /// Send a virtual SGI: `ICC_SGI1R_EL1`; or with `ICC_SGI0R_EL1` and `ICC_ASGI1R_EL1`, which
    /// name Group 0 and the Group 1 of a Security state that a guest does not have, only to vCPUs
    /// that have it in Group 0.
    Sgi {
        /// The register was one of the latter two.
        only_group0: bool,
    },
    /// Deactivate a virtual interrupt: `ICC_DIR_EL1`, which the vGIC traps.
    Deactivate,
    /// Emulate one of the registers that trap together with `ICC_DIR_EL1` on cores where it cannot
    /// trap by itself (`ICH_HCR_EL2.TC`).
    Common(Common),
    /// The guest takes an Undefined Instruction exception.
    Undefined,
}

/// ID registers of which a guest sees some fields. All others of their space read as zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum IdRegister {
    /// `ID_AA64PFR0_EL1`.
    Pfr0,
    /// `ID_AA64PFR1_EL1`.
    Pfr1,
    /// `ID_AA64DFR0_EL1`.
    Dfr0,
    /// `ID_AA64ISAR0_EL1`.
    Isar0,
    /// `ID_AA64ISAR1_EL1`.
    Isar1,
    /// `ID_AA64ISAR2_EL1`.
    Isar2,
    /// `ID_AA64MMFR0_EL1`.
    Mmfr0,
    /// `ID_AA64MMFR1_EL1`.
    Mmfr1,
    /// `ID_AA64MMFR2_EL1`.
    Mmfr2,
}

/// A visible ID register and its ceiling: the highest value each of its sixteen 4-bit fields may
/// show, so 0 hides a field and `f` shows it unchanged. Each field with its reason is in
/// `docs/id-registers.md`, which a test compares with `fields`.
pub(crate) type Row = (IdRegister, u16, u64);

pub(crate) const VISIBLE: [Row; 9] = [
    (IdRegister::Pfr0, op(3, 0, 0, 4, 0), 0xf10f_0000_01ff_0111),
    (IdRegister::Pfr1, op(3, 0, 0, 4, 1), 0x0000_0000_0000_00ff),
    (IdRegister::Dfr0, op(3, 0, 0, 5, 0), 0x0000_00f0_f0f0_f009),
    (IdRegister::Isar0, op(3, 0, 0, 6, 0), 0xffff_ffff_f0ff_fff0),
    (IdRegister::Isar1, op(3, 0, 0, 6, 1), 0x0fff_ffff_00ff_f00f),
    (IdRegister::Isar2, op(3, 0, 0, 6, 2), 0x0fff_0f00_f0f0_00ff),
    (IdRegister::Mmfr0, op(3, 0, 0, 7, 0), 0x1000_f000_fff0_00ff),
    (IdRegister::Mmfr1, op(3, 0, 0, 7, 1), 0xf00f_f0f0_00f0_f002),
    (IdRegister::Mmfr2, op(3, 0, 0, 7, 2), 0xf0ff_00ff_f0ff_0fff),
];

/// `ID_AA64PFR0_EL1.GIC`: the CPU interface is in system registers.
const PFR0_GIC: u64 = 0xf << 24;

impl IdRegister {
    /// Returns what a guest with a GICv2 (`gicv2`), or a GICv3, sees of the machine's value `raw`.
    pub fn visible(self, raw: u64, gicv2: bool) -> u64 {
        let ceiling = VISIBLE.get(self as usize).map_or(0, |(_, _, ceiling)| *ceiling);
        // A core may have a GICv3's CPU interface where the machine has a GICv2; software that sees
        // it would use it.
        let ceiling = match self {
            IdRegister::Pfr0 if gicv2 => ceiling & !PFR0_GIC,
            _ => ceiling,
        };
        let mut seen = 0;
        for shift in (0..64).step_by(4) {
            let field = (raw >> shift & 0xf).min(ceiling >> shift & 0xf);
            seen |= field << shift;
        }
        seen
    }
}

const ACTLR_EL1: u16 = op(3, 0, 1, 0, 1);
const ICC_PMR_EL1: u16 = op(3, 0, 4, 6, 0);
const ICC_RPR_EL1: u16 = op(3, 0, 12, 11, 3);
const ICC_CTLR_EL1: u16 = op(3, 0, 12, 12, 4);
const ICC_DIR_EL1: u16 = op(3, 0, 12, 11, 1);
const ICC_SGI1R_EL1: u16 = op(3, 0, 12, 11, 5);
const ICC_ASGI1R_EL1: u16 = op(3, 0, 12, 11, 6);
const ICC_SGI0R_EL1: u16 = op(3, 0, 12, 11, 7);
/// First and last of the ID space that `HCR_EL2.TID3` traps, AArch32's and reserved ones included
/// (D24.2 `HCR_EL2`).
const ID_FIRST: u16 = op(3, 0, 0, 1, 0);
const ID_LAST: u16 = op(3, 0, 0, 7, 7);

/// Returns what EL2 does about a trapped MSR (`write`) or MRS of register `op`.
pub fn sysreg(op: u16, write: bool) -> Policy {
    match (op, write) {
        (ICC_SGI1R_EL1, true) => Policy::Sgi { only_group0: false },
        (ICC_ASGI1R_EL1 | ICC_SGI0R_EL1, true) => Policy::Sgi { only_group0: true },
        (ICC_DIR_EL1, true) => Policy::Deactivate,
        (ICC_PMR_EL1, _) => Policy::Common(Common::PriorityMask),
        (ICC_RPR_EL1, false) => Policy::Common(Common::RunningPriority),
        (ICC_CTLR_EL1, _) => Policy::Common(Common::Control),
        // HCR_EL2.TACR: a guest may not use implementation-defined controls of the core.
        (ACTLR_EL1, _) => Policy::Zero,
        (ID_FIRST..=ID_LAST, false) => VISIBLE
            .iter()
            .find(|(_, id, _)| *id == op)
            .map_or(Policy::Zero, |(register, _, _)| Policy::Id(*register)),
        _ => Policy::Undefined,
    }
}
