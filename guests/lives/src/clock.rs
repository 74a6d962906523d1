// SPDX-License-Identifier: MIT OR Apache-2.0
//! A compute core that no other partition may disturb.

use abi::Reason;
use rt::log::info;
use rt::{console, fail, figures, interrupt, timer};

/// Periods per second.
const RATE: u64 = 1000;

/// Wakes once per period until a key is typed, and checks that no period had an interrupt too much
/// and no neighbour caused an entry into EL2.
pub fn run() {
    let period = timer::frequency() / RATE;
    let mut due = timer::now() + period;
    let mut periods = 0_u64;
    let before = figures::entries(0, &Reason::FOREIGN);
    while console::read().is_none() {
        if let Some(intid) = interrupt::wait_until(due) {
            fail!("interrupt {intid} in period {periods}");
        }
        due += period;
        periods += 1;
    }
    match figures::entries(0, &Reason::FOREIGN) - before {
        0 => info!("{periods} periods at {RATE} Hz: no foreign entry"),
        count => fail!("{count} foreign entries in {periods} periods"),
    }
}
