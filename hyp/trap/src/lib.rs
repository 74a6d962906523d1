//! What trapped to EL2, in types and words: `ESR_EL2` decoded, emulated accesses, the ID registers a guest may see.
//!
//! Source for all encodings: Arm Architecture Reference Manual, DDI 0487, D24.2 `ESR_EL2`. Every function is total: any
//! bit pattern has an answer, since a guest chooses most of them.
#![no_std]
#![forbid(unsafe_code)]

mod sysreg;
#[cfg(test)]
mod tests;
mod words;

pub use sysreg::{IdRegister, Policy, Sgi, op, sysreg};
pub use words::cause;

/// Exception classes (`ESR_EL2.EC`, bits 31:26) that EL2 tells apart by more than their words.
pub mod ec {
    /// WFI, WFE, WFIT, WFET.
    pub const WFX: u32 = 0x01;
    /// HVC in AArch64.
    pub const HVC64: u32 = 0x16;
    /// SMC in AArch64.
    pub const SMC64: u32 = 0x17;
    /// MSR, MRS or a system instruction in AArch64.
    pub const SYSREG: u32 = 0x18;
    /// Instruction abort from a lower exception level.
    pub const INSTRUCTION_ABORT: u32 = 0x20;
    /// Data abort from a lower exception level.
    pub const DATA_ABORT: u32 = 0x24;
    /// SError.
    pub const SERROR: u32 = 0x2f;
}

/// Why a guest entered EL2 synchronously.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trap {
    /// WFI (`event` false) or WFE.
    Wfx {
        /// It was a WFE.
        event: bool,
    },
    /// HVC from AArch64.
    Hvc {
        /// Its immediate.
        imm: u16,
    },
    /// SMC from AArch64, trapped by `HCR_EL2.TSC`. `ELR_EL2` is the SMC itself, not the instruction after it.
    Smc {
        /// Its immediate.
        imm: u16,
    },
    /// MSR, MRS or a system instruction.
    SysReg(SysReg),
    /// Load, store or cache maintenance that a translation refused.
    DataAbort(DataAbort),
    /// Instruction fetch that a translation refused.
    InstructionAbort(Fault),
    /// Anything else, by exception class: nothing that EL2 emulates.
    Other {
        /// `ESR_EL2.EC`.
        ec: u8,
    },
}

/// A trapped MSR or MRS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SysReg {
    /// The register, as [`op`] packs it.
    pub op: u16,
    /// General register, 31 for XZR.
    pub rt: u8,
    /// MSR or a system instruction; otherwise MRS.
    pub write: bool,
}

/// What aborts have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Fault status code (`DFSC` or `IFSC`).
    pub status: u8,
    /// The fault was on the walk of the guest's own tables.
    pub walk: bool,
    /// `FAR_EL2` does not hold the address.
    pub far_invalid: bool,
}

/// A data abort.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataAbort {
    /// What failed.
    pub fault: Fault,
    /// It was a store, or cache maintenance.
    pub write: bool,
    /// It was cache maintenance or an address translation instruction.
    pub maintenance: bool,
    /// The access, if the hardware described it (`ISV`).
    pub access: Option<Access>,
}

/// A load or store of one general register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// Bytes: 1, 2, 4 or 8.
    pub size: u8,
    /// The load extends the sign.
    pub signed: bool,
    /// The register is 64 bits wide.
    pub wide: bool,
    /// General register, 31 for XZR.
    pub rt: u8,
    /// Acquire or release semantics.
    pub ordered: bool,
}

/// Decodes `ESR_EL2` of a synchronous exception.
pub fn decode(esr: u64) -> Trap {
    let class = (esr >> 26) as u32 & 0x3f;
    let imm = esr as u16;
    match class {
        ec::WFX => Trap::Wfx { event: bit(esr, 0) },
        ec::HVC64 => Trap::Hvc { imm },
        ec::SMC64 => Trap::Smc { imm },
        ec::SYSREG => Trap::SysReg(SysReg {
            op: op(
                field(esr, 20, 2),
                field(esr, 14, 3),
                field(esr, 10, 4),
                field(esr, 1, 4),
                field(esr, 17, 3),
            ),
            rt: field(esr, 5, 5),
            write: !bit(esr, 0),
        }),
        ec::INSTRUCTION_ABORT => Trap::InstructionAbort(fault(esr)),
        ec::DATA_ABORT => Trap::DataAbort(DataAbort {
            fault: fault(esr),
            write: bit(esr, 6),
            maintenance: bit(esr, 8),
            access: bit(esr, 24).then(|| Access {
                size: 1 << field(esr, 22, 2),
                signed: bit(esr, 21),
                wide: bit(esr, 15),
                rt: field(esr, 16, 5),
                ordered: bit(esr, 14),
            }),
        }),
        _ => Trap::Other { ec: class as u8 },
    }
}

fn fault(esr: u64) -> Fault {
    Fault {
        status: field(esr, 0, 6),
        walk: bit(esr, 7),
        far_invalid: bit(esr, 10),
    }
}

const fn bit(value: u64, at: u32) -> bool {
    value >> at & 1 != 0
}

/// At most eight bits of `value`.
const fn field(value: u64, at: u32, bits: u32) -> u8 {
    (value >> at) as u8 & (0xff >> (8 - bits))
}

/// Kinds of fault status codes that say where `HPFAR_EL2` and the words come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// Address beyond what the tables can describe, levels 0 to 3.
    AddressSize,
    /// Nothing mapped there.
    Translation,
    /// Access flag clear.
    AccessFlag,
    /// Mapped, without this right.
    Permission,
    /// External abort, on the access or on a table walk.
    External,
    /// Misaligned for its memory type.
    Alignment,
    /// Any other.
    Other,
}

impl Fault {
    /// The kind of fault. Statuses of level -1 (52-bit addresses) have their own numbers; this EL2 does not use them.
    pub const fn kind(&self) -> FaultKind {
        match self.status {
            0x00..=0x03 => FaultKind::AddressSize,
            0x04..=0x07 => FaultKind::Translation,
            0x08..=0x0b => FaultKind::AccessFlag,
            0x0c..=0x0f => FaultKind::Permission,
            0x10 | 0x14..=0x17 => FaultKind::External,
            0x21 => FaultKind::Alignment,
            _ => FaultKind::Other,
        }
    }

    /// Whether `HPFAR_EL2` holds the address (D24.2 `HPFAR_EL2`): a permission fault sets it only on a table walk.
    pub const fn ipa_known(&self) -> bool {
        let recorded = matches!(
            self.kind(),
            FaultKind::AddressSize | FaultKind::Translation | FaultKind::AccessFlag
        );
        recorded || (self.walk && matches!(self.kind(), FaultKind::Permission))
    }
}

impl DataAbort {
    /// The access, if EL2 can carry it out in the guest's stead: nothing is mapped there, the address is known, and
    /// the hardware described a plain load or store. Otherwise an access to an emulated device is an external abort.
    pub fn emulable(&self) -> Option<Access> {
        let plain = !self.maintenance && !self.fault.walk && !self.fault.far_invalid;
        match self.fault.kind() {
            FaultKind::Translation if plain => self.access,
            _ => None,
        }
    }
}

/// The guest address of a fault: the page from `HPFAR_EL2`, the offset in it from `FAR_EL2`.
pub const fn fault_ipa(hpfar: u64, far: u64) -> u64 {
    // FIPA is bits 43:4 and holds IPA bits 51:12.
    (hpfar & 0xfff_ffff_fff0) << 8 | far & 0xfff
}

impl Access {
    const fn mask(&self) -> u64 {
        match self.size {
            1 => 0xff,
            2 => 0xffff,
            4 => 0xffff_ffff,
            _ => u64::MAX,
        }
    }

    /// What a load that read `value` puts into its register: the low bytes, zero- or sign-extended.
    pub const fn loaded(&self, value: u64) -> u64 {
        let unused = self.mask().leading_zeros();
        let low = value & self.mask();
        match (self.signed, self.wide) {
            (false, _) => low,
            (true, true) => ((low << unused) as i64 >> unused) as u64,
            (true, false) => ((low << unused) as i64 >> unused) as u32 as u64,
        }
    }

    /// What a store of register value `value` writes: its low bytes.
    pub const fn stored(&self, value: u64) -> u64 {
        value & self.mask()
    }
}
