// SPDX-License-Identifier: MIT OR Apache-2.0
//! Rows that need only the lead: calls, registers, own interrupts, copies.

use alloc::vec;
use core::hint::black_box;

use report::Histogram;
use rt::{Tree, fail, hv, interrupt, mmio, timer};

use crate::output::Output;
use crate::pairs::Ends;
use crate::plan::{Kind, Row};
use crate::stamp;

/// `PSCI_VERSION` (DEN 0022).
const PSCI_VERSION: u64 = 0x8400_0000;
const GICD_TYPER: u64 = 0x004;
const GICD_ISENABLER1: u64 = 0x104;
/// The SGI that the lead sends to itself.
const SGI: u32 = 1;
/// Values that are not recorded, before those that are.
const WARM: u64 = 16;

/// Measures the row and reports it.
pub fn measure(tree: &Tree, row: &Row, ends: &mut Ends, output: &mut Output) {
    let mut values = Histogram::new();
    match row.kind {
        Kind::Clock => repeat(row, &mut values, || span(|| ())),
        Kind::Call => repeat(row, &mut values, || {
            span(|| {
                let _ = hv::version();
            })
        }),
        Kind::PsciHvc => repeat(row, &mut values, || {
            span(|| {
                hv::hvc(PSCI_VERSION, [0; 3]);
            })
        }),
        Kind::PsciSmc => repeat(row, &mut values, || span(|| _ = hv::smc(PSCI_VERSION, [0; 3]))),
        Kind::TyperRead | Kind::EnableRead | Kind::EnableWrite => {
            distributor(tree, row, &mut values)
        }
        Kind::Sgi => {
            interrupt::enable(SGI);
            repeat(row, &mut values, || {
                let start = timer::now();
                interrupt::send(SGI, 0);
                stamp::interrupt(SGI, false, || ()) - start
            });
        }
        Kind::TimerAsleep | Kind::TimerAwake => {
            // Long enough for the core to be asleep when the interrupt comes.
            let delay = timer::frequency() / 20_000;
            repeat(row, &mut values, || {
                let due = timer::now() + delay;
                timer::arm(due);
                let is_asleep = row.kind == Kind::TimerAsleep;
                stamp::interrupt(timer::INTID, is_asleep, timer::disarm).saturating_sub(due)
            });
        }
        Kind::Copy => {
            let source = vec![0x5a_u8; row.bytes];
            let mut target = vec![0_u8; row.bytes];
            repeat(row, &mut values, || {
                span(|| {
                    black_box(&mut target).copy_from_slice(black_box(&source));
                })
            });
        }
        Kind::Push => ends.push(row, &mut values),
        Kind::Bell | Kind::Message | Kind::Stream | Kind::Restart => {
            fail!("{row:?} needs another partition")
        }
    }
    output.row(row, "", &values);
}

/// Records a row's values, after a few others.
fn repeat(row: &Row, values: &mut Histogram, mut value: impl FnMut() -> u64) {
    for _ in 0..WARM.min(row.count) {
        value();
    }
    for _ in 0..row.count {
        values.record(value());
    }
}

/// Returns the time of an operation, with that of one reading of the counter.
pub fn span(operation: impl FnOnce()) -> u64 {
    let start = timer::now();
    operation();
    timer::now() - start
}

fn distributor(tree: &Tree, row: &Row, values: &mut Histogram) {
    let Some([(gicd, _), _]) = tree.gic() else { fail!("the device tree has no GIC") };
    repeat(row, values, || {
        span(|| {
            // SAFETY: the distributor of the device tree, which the runtime mapped. Reading these
            // registers, and writing 0 to a set-enable register, has no effect.
            unsafe {
                match row.kind {
                    Kind::TyperRead => {
                        mmio::read32(gicd + GICD_TYPER);
                    }
                    Kind::EnableRead => {
                        mmio::read32(gicd + GICD_ISENABLER1);
                    }
                    _ => mmio::write32(gicd + GICD_ISENABLER1, 0),
                }
            }
        })
    });
}
