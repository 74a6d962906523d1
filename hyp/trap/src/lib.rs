//! Traps to EL2, in types and words: `ESR_EL2` decoded, emulated accesses, the ID registers a guest
//! may see.
//!
//! Source for all encodings: Arm Architecture Reference Manual, DDI 0487, D24.2 `ESR_EL2`. Every
//! function is total: any bit pattern has an answer, since a guest chooses most of them.
//!
//! A guest's `strb w3, [x0]` to an emulated device, as `ESR_EL2` describes it:
//!
//! ```
//! use bulkhead_trap::{access, class, ec, fault_ipa};
//!
//! // EC 0x24, IL, ISV, SAS 0 (byte), SRT 3, WnR, translation fault at level 3.
//! let esr = 0x24 << 26 | 1 << 25 | 1 << 24 | 3 << 16 | 1 << 6 | 0b00_0111;
//! assert_eq!(class(esr), ec::DATA_ABORT);
//! let store = access(esr).expect("a plain store");
//! assert!(store.is_write());
//! assert_eq!((store.size(), store.rt()), (1, 3));
//! assert_eq!(store.stored(0x1234_5641), 0x41);
//! assert_eq!(fault_ipa(0x09_0000, 0xffff_0018), 0x0900_0018);
//!
//! let without_isv = esr & !(1 << 24); // a pair, or an access with write-back: not emulated
//! assert!(access(without_isv).is_none());
//! ```
#![no_std]
#![forbid(unsafe_code)]

mod abort;
mod cause;
mod common;
mod sysreg;
#[cfg(test)]
mod tests;
mod words;

pub use abort::{Answer, answer, syndrome, walk_level};
pub use cause::Cause;
pub use common::Common;
pub use sysreg::{IdRegister, Policy, op, sysreg};
pub use words::cause;

/// Exception classes (`ESR_EL2.EC`, bits 31:26) that EL2 has an answer or words for.
pub mod ec {
    /// Access to SVE, Advanced SIMD or floating point.
    pub const FP: u8 = 0x07;
    /// Pointer authentication instruction.
    pub const PAUTH: u8 = 0x09;
    /// LD64B, ST64B, ST64BV or ST64BV0.
    pub const LS64: u8 = 0x0a;
    /// HVC in AArch64.
    pub const HVC64: u8 = 0x16;
    /// SMC in AArch64, trapped by `HCR_EL2.TSC`. `ELR_EL2` is the SMC itself, not the instruction
    /// after it.
    pub const SMC64: u8 = 0x17;
    /// MSR, MRS or a system instruction in AArch64.
    pub const SYSREG: u8 = 0x18;
    /// SVE.
    pub const SVE: u8 = 0x19;
    /// SME.
    pub const SME: u8 = 0x1d;
    /// Instruction abort from a lower exception level.
    pub const INSTRUCTION_ABORT: u8 = 0x20;
    /// Data abort from a lower exception level.
    pub const DATA_ABORT: u8 = 0x24;
    /// SError.
    pub const SERROR: u8 = 0x2f;
}

/// A trapped MSR or MRS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SysReg {
    /// The register, as [`op`] packs it.
    pub op: u16,
    /// Number of the general register, 31 for XZR.
    pub rt: u8,
    /// MSR or a system instruction; otherwise MRS.
    pub write: bool,
}

/// The `ESR_EL2` of a load or store of one general register that EL2 can carry out for the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access(u64);

/// Returns the general register whose value is written to `ICC_SGI1R_EL1`, if `esr` describes such
/// a write.
pub fn sgi1r_source(esr: u64) -> Option<u8> {
    const RT: u64 = 0x1f << 5;
    // EC, IL, op0 3, op2 5, op1 0, CRn 12, CRm 11, and a write.
    const WRITE: u64 = (ec::SYSREG as u64) << 26 | 1 << 25 | 3 << 20 | 5 << 17 | 12 << 10 | 11 << 1;
    (esr & !RT == WRITE).then(|| field(esr, 5, 5))
}

/// Returns the access that `esr` describes, if EL2 can carry it out: nothing is mapped there, the
/// address is known, and the hardware described a plain load or store. Any other access to an
/// emulated device is an external abort.
pub fn access(esr: u64) -> Option<Access> {
    /// `EC`, `ISV`, `FnV`, `CM`, `S1PTW` and the kind of fault, without its level.
    const SHAPE: u64 = 0x3f << 26 | 1 << 24 | 1 << 10 | 1 << 8 | 1 << 7 | 0x3c;
    /// The hardware described the access (`ISV`), and it is a translation fault.
    const PLAIN: u64 = (ec::DATA_ABORT as u64) << 26 | 1 << 24 | 0x04;
    (esr & SHAPE == PLAIN).then_some(Access(esr))
}

/// Returns `ESR_EL2.EC`: one of [`ec`], or another.
pub const fn class(esr: u64) -> u8 {
    field(esr, 26, 6)
}

/// Returns the trapped MSR or MRS that `esr`, of class [`ec::SYSREG`], describes.
pub const fn sysreg_access(esr: u64) -> SysReg {
    SysReg {
        op: op(
            field(esr, 20, 2),
            field(esr, 14, 3),
            field(esr, 10, 4),
            field(esr, 1, 4),
            field(esr, 17, 3),
        ),
        rt: field(esr, 5, 5),
        write: !bit(esr, 0),
    }
}

/// Returns whether `HPFAR_EL2` holds the address of the abort that `esr` describes (D24.2
/// `HPFAR_EL2`): for address size, translation and access flag faults, and for a permission fault
/// on a walk of the guest's own tables.
pub const fn ipa_known(esr: u64) -> bool {
    let status = field(esr, 0, 6);
    status < 0x0c || is_walk(esr) && status < 0x10
}

/// Returns whether the fault was on the walk of the guest's own tables (`S1PTW`).
const fn is_walk(esr: u64) -> bool {
    bit(esr, 7)
}

/// Returns whether the abort was of a store, or of cache maintenance (`WnR`).
const fn is_write(esr: u64) -> bool {
    bit(esr, 6)
}

const fn bit(value: u64, at: u32) -> bool {
    value >> at & 1 != 0
}

/// Returns at most eight bits of `value`.
const fn field(value: u64, at: u32, bits: u32) -> u8 {
    (value >> at) as u8 & (0xff >> (8 - bits))
}

/// Returns the guest address of a fault: the page from `HPFAR_EL2`, the offset in it from
/// `FAR_EL2`.
pub const fn fault_ipa(hpfar: u64, far: u64) -> u64 {
    // FIPA is bits 43:4 and holds IPA bits 51:12.
    (hpfar & 0xfff_ffff_fff0) << 8 | far & 0xfff
}

impl Access {
    /// Bytes: 1, 2, 4 or 8.
    pub const fn size(self) -> u64 {
        1 << (self.0 >> 22 & 3)
    }

    /// Number of the general register, 31 for XZR.
    pub const fn rt(self) -> u8 {
        field(self.0, 16, 5)
    }

    /// Returns whether it is a store.
    pub const fn is_write(self) -> bool {
        is_write(self.0)
    }

    /// Returns what a load that read `value`, not wider than the access, puts into its register:
    /// zero- or sign-extended.
    #[inline(always)]
    pub const fn loaded(self, value: u64) -> u64 {
        let (is_signed, is_wide) = (bit(self.0, 21), bit(self.0, 15));
        if !is_signed {
            return value;
        }
        let unused = 64 - 8 * self.size();
        let extended = ((value << unused) as i64 >> unused) as u64;
        if is_wide { extended } else { extended as u32 as u64 }
    }

    /// Returns what a store of register value `value` writes: its low bytes.
    pub const fn stored(self, value: u64) -> u64 {
        value & u64::MAX >> (64 - 8 * self.size())
    }
}
