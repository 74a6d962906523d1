// SPDX-License-Identifier: MIT OR Apache-2.0
//! Random register accesses, arrivals, acknowledgements and ends, against a plain model of the GIC
//! that knows no list registers.
//!
//! Whenever all entries to EL2 are done, each vCPU must see exactly the interrupt that the model
//! would signal: as important as the most important one that may be signalled (which of equals is
//! free), and none if the model has none. Registers must read as the model says; a second read may
//! be needed for what a sibling's list registers hold.
//!
//! Both faces are driven; with GICv2's an SGI is pending once for each vCPU that sent it, and each
//! must be signalled. A GICv2 lists physical interrupts with HW = 1, or with HW = 0 on hardware
//! that forgets what QEMU's does.
//!
//! One thing may be signalled that the model does not: once, a level that was withdrawn, or a
//! second edge, while its interrupt was pending in a list register, if that core has not entered
//! EL2 since. Each entry to EL2 looks at the line, and after that none of these may be signalled.
//! Two things come one after the other here, as on a core: a register write for a sibling's private
//! interrupts is handled there before a device raises one; and so is the maintenance interrupt of
//! an end, before the guest changes EOImode.

mod machine;
mod model;

use model::pair::Pair;
use model::{INTIDS, Op, op};
use proptest::prelude::*;

fn run<const V2: bool>(
    vcpus: usize,
    registers: usize,
    priorities: &[u8],
    linked: bool,
    ops: Vec<(Op, bool)>,
) {
    let mut pair = Pair::<V2>::new(vcpus, registers, priorities);
    if !linked {
        pair.machine.as_qemu(false);
    }
    for (op, settles) in ops {
        pair.apply(op);
        if settles {
            pair.settle();
        }
    }
    pair.drain();
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_vcpu_sees_what_the_plain_model_signals(
        vcpus in 1..5usize,
        registers in prop::sample::select(&[1usize, 2, 4, 16][..]),
        priorities in prop::collection::vec(any::<u8>(), INTIDS.len()),
        ops in prop::collection::vec((op(), any::<bool>()), 1..150),
    ) {
        run::<false>(vcpus, registers, &priorities, true, ops);
    }

    #[test]
    fn every_vcpu_of_a_gicv2_sees_what_the_plain_model_signals(
        vcpus in 1..5usize,
        registers in prop::sample::select(&[1usize, 2, 4, 16][..]),
        priorities in prop::collection::vec(any::<u8>(), INTIDS.len()),
        linked in any::<bool>(),
        ops in prop::collection::vec((op(), any::<bool>()), 1..150),
    ) {
        run::<true>(vcpus, registers, &priorities, linked, ops);
    }
}

/// Checks that a read of the pending bits looks at the line, not before it.
#[test]
fn a_withdrawn_level_may_be_seen_until_the_read() {
    for linked in [false, true] {
        let line = |high| Op::Line { core: 0, intid: 45, high };
        let read = Op::Read { by: 0, of: 0, register: 2, intid: 45 };
        let ops = vec![(line(true), true), (line(false), false), (read, true)];
        run::<true>(1, 1, &[0; INTIDS.len()], linked, ops.clone());
        run::<false>(1, 1, &[0; INTIDS.len()], true, ops);
    }
}

/// Checks that a sequence ends in which vCPU 1 acknowledges an SPI again that vCPU 0 has not ended,
/// and only drops its priority: vCPU 0's end is then open.
#[test]
fn an_spi_that_two_vcpus_acknowledged_is_ended_on_both() {
    let bit = |register, intid| Op::Bit { by: 0, of: 0, register, intid, extra: 0 };
    let ops = [
        Op::Mode { core: 1, split: true },
        Op::Route { by: 0, intid: 40, to: 0 },
        bit(2, 40),
        Op::Acknowledge { core: 0 },
        bit(2, 128),
        Op::Acknowledge { core: 0 },
        bit(5, 40),
        Op::Route { by: 0, intid: 40, to: 1 },
        bit(2, 40),
    ];
    let priorities = INTIDS.map(|intid| if intid == 128 { 0 } else { 0x80 });
    run::<false>(2, 4, &priorities, true, ops.map(|op| (op, true)).into());
}

/// Checks that a register write that makes a level in a list register pending has no further effect
/// once the guest took it, also if it came again before its core folded.
#[test]
fn a_written_pending_bit_ends_with_its_acknowledgement() {
    let ops = [
        (Op::Line { core: 0, intid: 64, high: true }, true),
        (Op::Bit { by: 0, of: 0, register: 2, intid: 64, extra: 0 }, false),
        (Op::Acknowledge { core: 1 }, false),
        (Op::End { core: 1 }, false),
        (Op::Park { core: 1, on: true }, false),
    ];
    run::<true>(2, 1, &[0; INTIDS.len()], true, ops.to_vec());
    run::<false>(2, 1, &[0; INTIDS.len()], true, ops.to_vec());
}
