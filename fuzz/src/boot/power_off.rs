//! The end of a refused machine where there is neither UART nor power: the line unwinds to whoever
//! asked.

use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, AtomicU64};

use console::LineBuffer;

/// Where EL2 would complain.
pub static UART: AtomicU64 = AtomicU64::new(0);
/// Whether EL2 could power off.
pub static PSCI: AtomicBool = AtomicBool::new(false);

/// Whether EL2 would, from EL1.
pub static HVC: AtomicBool = AtomicBool::new(false);

/// A refusal's line.
pub struct Refused(pub Vec<u8>);

/// Ends boot with `line`.
pub fn power_off_with(line: &mut LineBuffer) -> ! {
    resume_unwind(Box::new(Refused(line.as_bytes().to_vec())))
}
