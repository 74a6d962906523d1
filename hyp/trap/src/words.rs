//! Words for the line that says why a partition was halted.

use crate::{Trap, ec};

/// Why a guest that EL2 does not let go on was stopped, in plain words. Next to them stands `ESR_EL2`, which says it all.
///
/// Exceptions of other classes than aborts go to EL1, are trapped and answered, or are never taken (`HCR_EL2` and its
/// like in the plan), so they need no words of their own.
// Inlined next to `decode`, half of either folds away.
#[inline(always)]
pub fn cause(trap: &Trap) -> &'static str {
    let (fault, outside, refused) = match trap {
        Trap::DataAbort(abort) if abort.write => (
            &abort.fault,
            "write outside its memory",
            "write to memory it may not write",
        ),
        Trap::DataAbort(abort) => (
            &abort.fault,
            "read outside its memory",
            "read of memory it may not read",
        ),
        Trap::InstructionAbort(fault) => (
            fault,
            "execution outside its memory",
            "execution of memory it may not execute",
        ),
        Trap::Other { ec } if u32::from(*ec) == ec::SERROR => {
            return "SError (asynchronous external abort)";
        }
        _ => return "exception of a class that no guest should cause",
    };
    // DDI 0487, D24.2 `ESR_EL2`, tables of DFSC and IFSC.
    match fault.status {
        0x00..=0x0f if fault.walk => "translation tables outside its memory",
        0x00..=0x07 => outside,
        0x0c..=0x0f => refused,
        0x10 | 0x14..=0x17 => "external abort",
        _ => "memory fault",
    }
}
