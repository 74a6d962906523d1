// SPDX-License-Identifier: MIT OR Apache-2.0
//! The options that this EL2 was built with, which must be the plan's.

use plan::options;

use super::refuse::refuse;

/// The options of this EL2.
const OPTIONS: u64 = (options::CRASH_RECORDS * cfg!(feature = "crash-records") as u64)
    | (options::SUPERVISION * cfg!(feature = "supervision") as u64);

/// Refuses a plan that is for an EL2 with other options than this one: `needed` are the plan's.
pub fn check(needed: u64) {
    let differing = needed ^ OPTIONS;
    if differing == 0 {
        return;
    }
    let bit = differing.trailing_zeros();
    let name = options::NAMES.get(bit as usize).copied().unwrap_or("another option");
    let (plan, here) = match needed >> bit & 1 {
        0 => ("without ", "has"),
        _ => ("with ", "lacks"),
    };
    refuse!(str "plan: for an EL2 ", str plan, str name, str ", which this EL2 ", str here)
}
