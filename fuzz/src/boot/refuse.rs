//! Refusing to boot, where there is neither UART nor power: the line unwinds to whoever asked.

use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, AtomicU64};

use console::Line;

use crate::planned::Plan;

/// Where EL2 would complain.
pub static UART: AtomicU64 = AtomicU64::new(0);
/// Whether EL2 could power off.
pub static PSCI: AtomicBool = AtomicBool::new(false);

/// A refusal's line.
pub struct Refused(pub Vec<u8>);

/// As EL2's.
macro_rules! refuse {
    ($($part:ident $value:expr),+ $(,)?) => {{
        let mut line = $crate::boot::refuse::refusal();
        $(line.$part($value);)+
        $crate::boot::refuse::power_off_with(&mut line)
    }};
}
pub(crate) use refuse;

/// As EL2's.
pub fn refusal() -> Line {
    let mut line = Line::default();
    line.str("bulkhead: refused: ");
    line
}

/// Ends boot with `line`.
pub fn power_off_with(line: &mut Line) -> ! {
    resume_unwind(Box::new(Refused(line.as_bytes().to_vec())))
}

/// As EL2's.
pub fn if_damaged(plan: &Plan) {
    if plan.crc() != plan.header.crc {
        refuse!(str "plan: the image is damaged")
    }
}
