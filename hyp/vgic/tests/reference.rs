//! Random register accesses, arrivals, acknowledgements and ends, against a plain model of the GIC that knows no list registers.
//!
//! Whenever all entries to EL2 are done, each vCPU must see exactly the interrupt that the model would signal: as
//! important as the most important one that may be signalled (which of equals is free), and none if the model has none.
//! Registers must read as the model says; a second read may be needed for what a sibling's list registers hold.
//!
//! Both faces are driven; with GICv2's an SGI is pending once for each vCPU that sent it, and each must be signalled. A GICv2 lists
//! physical interrupts with HW = 1, or with HW = 0 on hardware that forgets what QEMU's does.
//!
//! Not driven, because stated as approximate: a second edge of a physical interrupt that EL2 has acknowledged and the guest has not; with too few list
//! registers, writes that make interrupts active, and priority and group changes of active ones; an edge that meets a sibling's write of
//! ICPENDR on its way.

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
