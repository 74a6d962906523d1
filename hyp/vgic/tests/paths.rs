// SPDX-License-Identifier: MIT OR Apache-2.0
//! Single paths: what delivery costs, and the corners that random tests seldom meet.

mod machine;

use bulkhead_vgic::{Gic, control};
use machine::{DISK, DOORBELL, Face, Machine, TIMER, UART, partition, row};
use plan::{
    GuestGic, INTERRUPT_EDGE as EDGE, INTERRUPT_FIXED as FIXED, INTERRUPT_PHYSICAL as PHYSICAL,
};
use std::rc::Rc;
use zerocopy::FromZeros;

#[test]
fn a_doorbell_costs_one_list_register_write_and_no_maintenance() {
    let mut machine = partition(1, 4);
    for _ in 0..10 {
        machine.cores[0].writes.set(0);
        machine.vcpu(0).inject(DOORBELL);
        assert_eq!(machine.cores[0].writes.get(), 1);
        machine.vcpu(0).inject(DOORBELL);
        assert_eq!(machine.cores[0].acknowledge(), Some(DOORBELL), "two coalesce");
        assert_eq!(machine.cores[0].acknowledge(), None);
        machine.cores[0].end(DOORBELL);
        assert_eq!(machine.cores[0].acknowledge(), None);
    }
    machine.settle();
    assert_eq!(machine.maintenances, 0);
    assert_eq!(machine.cores[0].control, control::EN | control::TDIR);
}

#[test]
fn an_edge_while_active_comes_again_after_the_end() {
    let mut machine = partition(1, 4);
    machine.vcpu(0).inject(DOORBELL);
    assert_eq!(machine.cores[0].acknowledge(), Some(DOORBELL));
    machine.vcpu(0).inject(DOORBELL);
    machine.cores[0].end(DOORBELL);
    assert_eq!(machine.cores[0].acknowledge(), Some(DOORBELL));
    machine.cores[0].end(DOORBELL);
    assert_eq!(machine.maintenances, 0);
}

/// Checks that a doorbell comes again if its handler masks it, the peer rings, and the handler ends
/// and unmasks it, in both orders, also where EL2 answers the enable on its fast path.
#[test]
fn a_doorbell_rung_while_active_and_disabled_comes_with_its_enable() {
    let (enable, disable) =
        (0x100 + 4 * (DOORBELL as u64 / 32), 0x180 + 4 * (DOORBELL as u64 / 32));
    for ends_first in [true, false] {
        let mut machine = partition(1, 4);
        machine.vcpu(0).inject(DOORBELL);
        assert_eq!(machine.cores[0].acknowledge(), Some(DOORBELL));
        machine.set_gicd(0, disable, 1 << (DOORBELL % 32));
        machine.vcpu(0).inject(DOORBELL);
        if ends_first {
            machine.cores[0].end(DOORBELL);
            machine.settle();
            assert_eq!(machine.cores[0].acknowledge(), None);
        }
        machine.set_gicd(0, enable, 1 << (DOORBELL % 32));
        if !ends_first {
            machine.cores[0].end(DOORBELL);
        }
        machine.settle();
        assert_eq!(machine.cores[0].acknowledge(), Some(DOORBELL), "{ends_first}");
    }
}

#[test]
fn a_timer_costs_one_list_register_write_linked_to_hardware() {
    let mut machine = partition(1, 4);
    machine.set_line(0, TIMER, true);
    machine.cores[0].writes.set(0);
    machine.settle();
    assert_eq!(machine.cores[0].writes.get(), 1);
    assert_eq!(machine.cores[0].acknowledge(), Some(TIMER));
    machine.set_line(0, TIMER, false);
    machine.cores[0].end(TIMER);
    assert_eq!(machine.physical.borrow().active[0][0], 0);
    assert!(!machine.entry(0));
    assert!(!machine.vcpu(0).physical(28), "not owned");
    assert!(!machine.vcpu(0).physical(DOORBELL), "not physical");
    assert!(!machine.vcpu(0).physical(5000));
}

#[test]
fn a_level_withdrawn_while_disabled_is_gone_and_one_still_high_comes_back() {
    let mut machine = partition(2, 4);
    let (set, clear) = (0x104, 0x184);
    for core in 0..2 {
        machine.set_line(0, DISK, true);
        machine.settle();
        machine.set_gicd(core, clear, 1 << 13);
        machine.settle();
        assert!(machine.cores[0].signalled().is_none());
        assert_eq!(machine.physical.borrow().active[0][1], 0);
        machine.set_gicd(core, set, 1 << 13);
        machine.settle();
        assert!(machine.cores[0].signalled().is_some());
        machine.set_gicd(core, clear, 1 << 13);
        machine.settle();
        machine.set_line(0, DISK, false);
        machine.set_gicd(core, set, 1 << 13);
        machine.settle();
        assert!(machine.cores[0].signalled().is_none());
    }
}

#[test]
fn a_uart_line_still_high_at_the_end_signals_again() {
    let mut machine = partition(2, 4);
    machine.vcpu(1).set_level(UART, true);
    machine.settle();
    for _ in 0..3 {
        assert_eq!(machine.cores[0].acknowledge(), Some(UART));
        machine.cores[0].end(UART);
        machine.settle();
    }
    machine.vcpu(1).set_level(UART, false);
    machine.settle();
    assert_eq!(machine.cores[0].acknowledge(), None);
}

#[test]
fn a_level_made_pending_by_a_write_survives_being_disabled() {
    let mut machine = partition(1, 4);
    machine.vcpu(0).set_level(UART, true);
    assert_eq!(machine.cores[0].acknowledge(), Some(UART));
    machine.vcpu(0).set_level(UART, false);
    machine.set_gicd(0, 0x184, 1 << 1);
    machine.set_gicd(0, 0x204, 1 << 1);
    machine.cores[0].end(UART);
    for _ in 0..3 {
        machine.settle();
        machine.set_gicd(0, 0x184, 1 << 1);
        assert_eq!(machine.cores[0].signalled(), None);
        machine.set_gicd(0, 0x104, 1 << 1);
        assert!(machine.cores[0].signalled().is_some());
    }
}

#[test]
fn a_sibling_reads_its_own_write_at_once() {
    let mut machine = partition(2, 4);
    machine.vcpu(0).inject(DOORBELL);
    assert_eq!(machine.cores[0].acknowledge(), Some(DOORBELL));
    machine.gicd(1, 0x310);
    machine.settle();
    assert_eq!(machine.gicd(1, 0x310), 1, "the second read shows it");
    machine.set_gicd(1, 0x390, 1);
    assert_eq!(machine.gicd(1, 0x310), 0, "not handled there yet");
    machine.settle();
    assert_eq!(machine.gicd(0, 0x310), 0);
}

#[test]
fn active_list_registers_make_room_for_the_more_important() {
    let mut machine = partition(1, 2);
    for intid in 0..8 {
        machine.vcpu(0).gicr_write(0x1_0400 + intid, 1, 0x80 - 0x10 * intid);
    }
    for intid in 0..8 {
        machine.vcpu(0).send_sgi(1 | u64::from(intid) << 24, false);
        machine.settle();
        assert_eq!(machine.cores[0].acknowledge(), Some(intid), "each preempts the last");
    }
    assert_eq!(machine.gicr(0, 0, 0x1_0300), 0xff);
    for intid in (0..8u32).rev() {
        machine.cores[0].end(intid);
        machine.settle();
        assert_eq!(machine.gicr(0, 0, 0x1_0300), (1 << intid) - 1);
    }
    assert_eq!(machine.cores[0].control, control::EN | control::TDIR);
}

fn prioritise_sgis(machine: &mut Machine, priorities: &[u8]) {
    for (intid, &priority) in priorities.iter().enumerate() {
        let offset = 0x1_0400 + intid as u64;
        machine.vcpu(0).gicr_write(offset, 1, priority.into());
    }
}

#[test]
fn an_arrival_does_not_overtake_what_waits_for_room() {
    let mut machine = partition(1, 2);
    prioritise_sgis(&mut machine, &[0x10, 0x20, 0x30, 0x40]);
    for intid in 0..3 {
        machine.vcpu(0).inject(intid);
    }
    assert_eq!(machine.cores[0].acknowledge(), Some(0));
    machine.cores[0].end(0);
    machine.vcpu(0).inject(3);
    for intid in 1..4 {
        machine.settle();
        assert_eq!(machine.cores[0].acknowledge(), Some(intid));
        machine.cores[0].end(intid);
    }
}

#[test]
fn equals_do_not_displace_each_other() {
    let mut machine = partition(1, 2);
    for intid in [3, 4] {
        machine.vcpu(0).inject(intid);
    }
    let listed = |machine: &Machine| {
        let mut registers = machine.cores[0].registers.clone();
        registers.sort_unstable();
        registers
    };
    let before = listed(&machine);
    machine.vcpu(0).inject(1);
    assert_eq!(listed(&machine), before);
}

#[test]
fn a_deactivation_finds_what_left_its_list_register() {
    let mut machine = partition(1, 1);
    machine.cores[0].split = true;
    machine.set_line(0, TIMER, true);
    machine.settle();
    assert_eq!(machine.cores[0].acknowledge(), Some(TIMER));
    machine.cores[0].running.clear();
    machine.vcpu(0).inject(DOORBELL);
    machine.settle();
    assert_eq!(machine.cores[0].acknowledge(), Some(DOORBELL));
    machine.set_line(0, TIMER, false);
    machine.vcpu(0).deactivate(TIMER);
    assert_eq!(machine.physical.borrow().active[0][0], 0);
    machine.vcpu(0).deactivate(4000);
}

#[test]
fn sgis_reach_only_own_vcpus_and_kick_each_once() {
    let mut machine = partition(3, 4);
    let send = |machine: &mut Machine, value| machine.vcpu(1).send_sgi(value, false);
    send(&mut machine, 0xffff | 3 << 24);
    send(&mut machine, 0xffff | 4 << 24);
    assert_eq!(*machine.kicks.borrow(), [1, 0, 1]);
    machine.settle();
    for core in 0..3 {
        assert_eq!(machine.cores[core].acknowledge(), Some(3));
        machine.cores[core].end(3);
        assert_eq!(machine.cores[core].acknowledge(), Some(4));
        machine.cores[core].end(4);
    }
    send(&mut machine, 1 << 40 | 5 << 24);
    machine.settle();
    assert_eq!(machine.cores[1].acknowledge(), None, "all but self");
    for core in [0, 2] {
        assert_eq!(machine.cores[core].acknowledge(), Some(5));
        machine.cores[core].end(5);
    }
    for elsewhere in [1 << 16, 1 << 32, 1 << 44, 1 << 48] {
        send(&mut machine, elsewhere | 7 | 6 << 24);
        machine.settle();
        assert!((0..3).all(|core| machine.cores[core].signalled().is_none()));
    }
    machine.vcpu(1).send_sgi(7 | 6 << 24, true);
    assert_eq!(machine.gicr(1, 1, 0x1_0200), 0, "they are in group 1");
}

#[test]
fn a_parked_vcpu_keeps_what_it_gets_for_later() {
    let mut machine = partition(2, 4);
    machine.vcpu(1).park();
    machine.set_line(1, TIMER, true);
    machine.vcpu(0).send_sgi(2 | 9 << 24, false);
    machine.settle();
    assert_eq!(machine.cores[1].signalled(), None);
    assert!(!machine.vcpu(1).is_pending());
    machine.vcpu(1).unpark();
    assert!(machine.vcpu(1).is_pending());
    assert_eq!(machine.cores[1].acknowledge(), Some(9));
    machine.cores[1].end(9);
    assert_eq!(machine.cores[1].acknowledge(), Some(TIMER));
}

#[test]
fn reset_leaves_nothing_behind() {
    let mut machine = partition(1, 1);
    machine.set_line(0, TIMER, true);
    machine.settle();
    machine.vcpu(0).inject(DOORBELL);
    let rows = [row(27, PHYSICAL, 0), row(128, EDGE | FIXED, 0)];
    machine.gic = Rc::new(Gic::new_zeroed());
    machine.gic.init(1, &GuestGic { version: 3, intids: 160 }, &rows);
    machine.vcpu(0).reset();
    assert_eq!(machine.cores[0].control, 0);
    assert_eq!(machine.cores[0].registers, [0]);
    assert_eq!(machine.physical.borrow().active[0][0], 0);
    assert_eq!(machine.physical.borrow().enable[0][0], 0);
    machine.vcpu(0).unpark();
    assert_eq!(machine.gicd(0, 0x4) & 31, 4);
    assert_eq!(machine.gicd(0, 0x210), 0);
    assert!(machine.cores[0].signalled().is_none());
}

/// Returns whether the timer and an edge arrive once more on QEMU's GICv2, if the timer's line
/// falls and rises again, and the edge comes, before the guest's end.
fn comes_again(linked: bool) -> [bool; 2] {
    [(TIMER, true), (46, false)].map(|(intid, is_level)| {
        let mut machine =
            Machine::<true>::new(1, 4, &[row(27, PHYSICAL, 0), row(46, PHYSICAL | EDGE, 0)]);
        machine.as_qemu(linked);
        machine.set_gicd(0, 0, 1);
        for word in 0..2 {
            machine.set_gicd(0, 0x100 + 4 * word, u32::MAX);
        }
        machine.set_line(0, intid, true);
        machine.settle();
        assert_eq!(machine.cores[0].acknowledge(), Some(intid));
        machine.set_line(0, intid, false);
        machine.set_line(0, intid, true);
        machine.settle();
        machine.cores[0].end(intid);
        machine.settle();
        let again = machine.cores[0].acknowledge() == Some(intid);
        if again {
            machine.set_line(0, intid, false);
            machine.cores[0].end(intid);
            machine.settle();
            assert_eq!(machine.cores[0].acknowledge(), None, "once");
            let (word, bit) = (intid as usize / 32, 1 << (intid % 32));
            assert_eq!(machine.physical.borrow().active[0][word] & bit, 0);
        } else {
            assert_eq!(
                machine.physical.borrow().pending(0, intid as usize / 32).count_ones(),
                1,
                "{is_level}"
            );
        }
        again
    })
}

#[test]
fn an_interrupt_that_comes_again_before_its_end_is_signalled_on_qemus_gicv2() {
    assert_eq!(comes_again(false), [true, true]);
    assert_eq!(comes_again(true), [false, false], "QEMU loses it; why HW = 0 is needed there");
}

#[test]
fn without_link_the_physical_interrupt_ends_with_the_guests_deactivation() {
    let mut machine =
        Machine::<true>::new(1, 1, &[row(27, PHYSICAL, 0), row(128, EDGE | FIXED, 0)]);
    machine.as_qemu(false);
    machine.set_gicd(0, 0, 1);
    machine.set_gicd(0, 0x100, u32::MAX);
    machine.set_gicd(0, 0x110, u32::MAX);
    let active = |machine: &Machine<true>| machine.physical.borrow().active[0][0] >> TIMER & 1;
    machine.set_line(0, TIMER, true);
    machine.settle();
    assert_eq!(machine.maintenances, 0);
    assert_eq!(machine.cores[0].acknowledge(), Some(TIMER));
    // Only dropping the priority (EOImode = 1) does not end it.
    let running = std::mem::take(&mut machine.cores[0].running);
    machine.settle();
    assert_eq!(active(&machine), 1);
    // Nor does leaving its only list register for something else.
    machine.vcpu(0).inject(DOORBELL);
    machine.settle();
    assert_eq!(machine.cores[0].acknowledge(), Some(DOORBELL));
    assert_eq!(active(&machine), 1);
    machine.cores[0].end(DOORBELL);
    machine.settle();
    assert_eq!(active(&machine), 1);
    machine.cores[0].running = running;
    machine.set_line(0, TIMER, false);
    machine.cores[0].end(TIMER);
    assert!(machine.entry(0), "its end is reported");
    assert_eq!(active(&machine), 0);
    assert!(!machine.entry(0), "once");
    machine.vcpu(0).park();
    machine.set_line(0, TIMER, true);
    machine.settle();
    assert_eq!(active(&machine), 1);
    machine.vcpu(0).unpark();
    assert_eq!(machine.cores[0].acknowledge(), Some(TIMER));
}
