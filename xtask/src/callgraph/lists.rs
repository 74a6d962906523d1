// SPDX-License-Identifier: MIT OR Apache-2.0
//! The exceptions that the check allows, each with its reason: indirect branches, and recursion
//! that is still to be removed. An entry without a match fails the check.

/// A branch whose target is not in the instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Branch {
    /// `BR`.
    Jump,
    /// `BLR`.
    Call,
    /// `RET` by a register other than x30.
    Return,
    /// `ERET`.
    ExceptionReturn,
}

impl std::fmt::Display for Branch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Jump => "BR",
            Self::Call => "BLR",
            Self::Return => "RET by another register",
            Self::ExceptionReturn => "ERET",
        })
    }
}

/// The target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Does {
    /// Into a table of sixteen pairs of instructions, by an index masked to four bits.
    JumpsByTable,
    /// To an address within the function, which `ADR` computed there.
    JumpsToTaken,
    /// Back to the caller, whose address is in that register.
    ReturnsToCaller,
    /// Into the guest, with an empty stack.
    EntersGuest,
}

/// Indirect branches of EL2.
#[derive(Clone, Copy, Debug)]
pub struct Indirect {
    /// The function or label that has them.
    pub symbol: &'static str,
    /// Their kind.
    pub branch: Branch,
    /// Their number.
    pub count: usize,
    /// GIC versions whose EL2 has them.
    pub gic: &'static [u32],
    /// Their target.
    pub does: Does,
    /// Why they are needed.
    pub why: &'static str,
}

/// A call that should not be there.
#[derive(Clone, Copy, Debug)]
pub struct Open {
    /// The caller.
    pub from: &'static str,
    /// The callee.
    pub to: &'static str,
    /// Why it is still there, and what removes it.
    pub why: &'static str,
}

const BOTH: &[u32] = &[3, 2];
const V3: &[u32] = &[3];

const fn enters_guest(symbol: &'static str, gic: &'static [u32]) -> Indirect {
    Indirect {
        symbol,
        branch: Branch::ExceptionReturn,
        count: 1,
        gic,
        does: Does::EntersGuest,
        why: "the end of a visit to EL2",
    }
}

/// All indirect branches of EL2.
pub const INDIRECT: &[Indirect] = &[
    Indirect {
        symbol: "move_image",
        branch: Branch::Jump,
        count: 1,
        gic: BOTH,
        does: Does::JumpsToTaken,
        why: "boot: the loop that moves the image goes on in the copy of itself",
    },
    Indirect {
        symbol: "image_moved",
        branch: Branch::Jump,
        count: 1,
        gic: BOTH,
        does: Does::JumpsToTaken,
        why: "boot: goes on in the moved image",
    },
    Indirect {
        symbol: "clean_invalidate_unmapped",
        branch: Branch::Return,
        count: 1,
        gic: BOTH,
        does: Does::ReturnsToCaller,
        why: "the data cache is off, so the return address is kept in a register",
    },
    Indirect {
        symbol: "read_list_register",
        branch: Branch::Jump,
        count: 1,
        gic: V3,
        does: Does::JumpsByTable,
        why: "the number of a list register is part of the instruction",
    },
    Indirect {
        symbol: "write_list_register",
        branch: Branch::Jump,
        count: 1,
        gic: V3,
        does: Does::JumpsByTable,
        why: "the number of a list register is part of the instruction",
    },
    Indirect {
        symbol: "write_list_register",
        branch: Branch::Return,
        count: 16,
        gic: V3,
        does: Does::JumpsToTaken,
        why: "the vectors have not saved x30 yet, so the return address is in x7",
    },
    enters_guest("call_done", BOTH),
    enters_guest("owned_interrupt", BOTH),
    enters_guest("return_clobbered", BOTH),
    enters_guest("bell_listable", BOTH),
];

/// Recursion that EL2 still has.
pub const OPEN: &[Open] = &[];

/// Calls of a panic that are left.
pub const PANICS: &[Open] = &[];
