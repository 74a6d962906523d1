// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a sync leaves for the arrivals after it: list register 0, which the vectors' fast path
//! takes, and a request word of zero. Without either, each arrival until the next sync costs more.

mod machine;

use bulkhead_vgic::Gic;
use machine::{DISK, DOORBELL, Machine, TIMER, partition};
use std::sync::atomic::Ordering::Relaxed;

/// The doorbells in their word of ISENABLER and ICENABLER, and those words.
const BELLS: u32 = 3;
const ENABLE: u64 = 0x110;
const DISABLE: u64 = 0x190;

/// Returns whether the vectors list the next physical interrupt of vCPU 0 themselves, as far as the
/// list registers are concerned.
fn has_room(machine: &Machine) -> bool {
    machine.deliveries[0].free_for_arrival & 1 != 0
}

fn requests(gic: &Gic, vcpus: usize) -> Vec<u32> {
    (0..vcpus).map(|vcpu| gic.requests(vcpu).load(Relaxed)).collect()
}

#[test]
fn a_sync_leaves_list_register_0_to_the_next_physical_interrupt() {
    let mut machine = partition(1, 4);
    for pending in [&[DOORBELL][..], &[DOORBELL, DOORBELL + 1], &[DOORBELL, DOORBELL + 1, 1]] {
        for &intid in pending {
            machine.vcpu(0).inject(intid);
        }
        machine.vcpu(0).sync();
        assert!(has_room(&machine), "with {pending:?} pending");
        for _ in 0..3 {
            machine.set_line(0, TIMER, true);
            machine.settle();
            assert_eq!(machine.deliveries[0].lr_intid[0], TIMER as u16 + 1);
            for _ in 0..4 {
                if let Some(intid) = machine.cores[0].acknowledge() {
                    if intid == TIMER {
                        machine.set_line(0, TIMER, false);
                    }
                    machine.cores[0].end(intid);
                }
            }
            assert!(has_room(&machine), "once {pending:?} has ended");
        }
    }
    assert_eq!(machine.maintenances, 0);
}

/// Checks it where every list register is needed: no arrival overtakes what waits then, and the
/// first one after that makes room.
#[test]
fn list_register_0_is_free_again_after_all_were_needed() {
    let mut machine = partition(1, 2);
    for intid in [DOORBELL, DOORBELL + 1] {
        machine.vcpu(0).inject(intid);
    }
    machine.vcpu(0).sync();
    assert_eq!(machine.deliveries[0].free_for_arrival, 0);
    for _ in 0..2 {
        let intid = machine.cores[0].acknowledge().unwrap();
        machine.cores[0].end(intid);
    }
    for intid in [DISK, DISK] {
        machine.set_line(0, intid, true);
        machine.settle();
        machine.set_line(0, intid, false);
        assert_eq!(machine.cores[0].acknowledge(), Some(intid));
        machine.cores[0].end(intid);
    }
    assert!(has_room(&machine));
}

/// Checks that doorbells do not stay in the only list register that a fill has left free, which the
/// vectors do not list them in, once those that were filled are empty.
#[test]
fn a_doorbell_finds_a_list_register_of_its_own_again() {
    let mut machine = partition(1, 4);
    for intid in [DOORBELL, 1, 2] {
        machine.vcpu(0).inject(intid);
    }
    machine.vcpu(0).sync();
    assert_eq!(machine.deliveries[0].free_for_arrival, 1);
    while let Some(intid) = machine.cores[0].acknowledge() {
        machine.cores[0].end(intid);
    }
    for _ in 0..2 {
        machine.vcpu(0).inject(DOORBELL);
        assert_eq!(machine.cores[0].acknowledge(), Some(DOORBELL));
        machine.cores[0].end(DOORBELL);
    }
    assert_ne!(machine.deliveries[0].last_lr[DOORBELL as usize], 0);
    assert_ne!(machine.deliveries[0].free_for_arrival & !1, 0);
}

/// Checks that a doorbell that is pending but disabled, as the ones that EL2 rings after a restart
/// often are, costs nothing at a sync but being looked at.
#[test]
fn a_pending_disabled_doorbell_leaves_cached_entries_valid() {
    let mut machine = partition(2, 4);
    machine.set_gicd(0, DISABLE, BELLS);
    machine.vcpu(0).inject(DOORBELL);
    machine.settle();
    for core in 0..2 {
        machine.vcpu(core).take_requests();
        machine.vcpu(core).sync();
    }
    assert_eq!(requests(&machine.gic, 2), [0, 0]);
    assert_eq!(machine.cores[0].signalled(), None);
    assert_ne!(machine.gicd(1, 0x210) & 1, 0, "it is pending");
    assert_eq!(machine.gic.holders[DOORBELL as usize - 32].load(Relaxed), 0);
    machine.set_gicd(1, ENABLE, BELLS);
    machine.settle();
    assert_eq!(machine.cores[0].acknowledge(), Some(DOORBELL));
}
