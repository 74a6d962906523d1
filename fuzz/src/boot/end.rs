//! The end of a refused machine that has neither UART nor power-off: the line unwinds to the
//! caller.

use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, AtomicU64};

use console::LineBuffer;

/// Address of the UART where EL2 would print the line.
pub static UART: AtomicU64 = AtomicU64::new(0);
/// Whether EL2 could power off by PSCI.
pub static PSCI: AtomicBool = AtomicBool::new(false);

/// Whether EL2 would use HVC, from EL1.
pub static HVC: AtomicBool = AtomicBool::new(false);

/// A refusal's line.
pub struct Refused(pub Vec<u8>);

/// Ends boot with `line`.
pub fn refused(line: &mut LineBuffer) -> ! {
    resume_unwind(Box::new(Refused(line.as_bytes().to_vec())))
}
