//! Words for the console line that says why a partition was halted.

use crate::{class, ec, field, is_walk, is_write};

/// Returns in plain words why EL2 stopped a guest. The console line shows them with `ESR_EL2`,
/// which has all details.
///
/// Exceptions of other classes than aborts go to EL1, are trapped and answered, or are never taken
/// (`HCR_EL2` and the other controls in the plan), so they need no words of their own.
pub fn cause(esr: u64) -> &'static str {
    let (outside, refused) = match class(esr) {
        ec::DATA_ABORT if is_write(esr) => {
            ("write outside its memory", "write to memory it may not write")
        }
        ec::DATA_ABORT => ("read outside its memory", "read of memory it may not read"),
        ec::INSTRUCTION_ABORT => {
            ("execution outside its memory", "execution of memory it may not execute")
        }
        ec::SERROR => return "SError (asynchronous external abort)",
        _ => return "exception of an unexpected class",
    };
    // DDI 0487, D24.2 `ESR_EL2`, tables of DFSC and IFSC.
    match field(esr, 0, 6) {
        0x00..=0x0f if is_walk(esr) => "translation tables outside its memory",
        0x00..=0x07 => outside,
        0x0c..=0x0f => refused,
        0x10 | 0x14..=0x17 => "external abort",
        _ => "memory fault",
    }
}
