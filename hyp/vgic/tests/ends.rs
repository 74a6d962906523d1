// SPDX-License-Identifier: MIT OR Apache-2.0
//! EOImode = 1: what a write of ICC_DIR_EL1 or GICC_DIR ends; and levels that are withdrawn before
//! anybody took them.

mod machine;

use bulkhead_vgic::{Entry, control};
use machine::{DISK, DOORBELL, Face, Machine, TIMER, UART, partition, row};
use plan::{INTERRUPT_EDGE as EDGE, INTERRUPT_PHYSICAL as PHYSICAL};

/// Acknowledges `intid` as the guest on `core`, and drops its priority.
fn take(machine: &mut Machine, core: usize, intid: u32) {
    machine.settle();
    assert_eq!(machine.cores[core].acknowledge(), Some(intid));
    machine.cores[core].drop_priority();
}

fn is_active(machine: &mut Machine, intid: u32) -> bool {
    let offset = 0x300 + u64::from(intid / 32) * 4;
    machine.gicd(0, offset);
    machine.settle();
    machine.gicd(0, offset) >> (intid % 32) & 1 != 0
}

#[test]
fn an_spi_ends_on_another_vcpu_than_the_one_that_took_it() {
    let mut machine = partition(2, 4);
    for core in &mut machine.cores {
        core.split = true;
    }
    for _ in 0..2 {
        machine.set_line(0, DISK, true);
        take(&mut machine, 0, DISK);
        machine.set_line(0, DISK, false);
        assert!(is_active(&mut machine, DISK));
        machine.vcpu(1).deactivate(DISK);
        machine.settle();
        assert!(!is_active(&mut machine, DISK));
        assert_eq!(machine.physical.borrow().active[0][1], 0);
    }
}

#[test]
fn of_more_than_there_are_list_registers_the_named_one_ends() {
    let mut machine = partition(1, 2);
    machine.cores[0].split = true;
    let intids = [3, 4, 5, 6, 7];
    for &intid in &intids {
        machine.vcpu(0).inject(intid);
        take(&mut machine, 0, intid);
    }
    let mut left = 0xf8;
    for intid in [5, 3, 7, 4, 6] {
        machine.vcpu(0).deactivate(intid);
        left &= !(1 << intid);
        assert_eq!(machine.gicr(0, 0, 0x1_0300), left, "after the end of {intid}");
    }
}

#[test]
fn deactivation_with_one_step_ends_and_beyond_the_last_interrupt_changes_nothing() {
    let mut machine = partition(1, 4);
    machine.vcpu(0).inject(DOORBELL);
    assert_eq!(machine.cores[0].acknowledge(), Some(DOORBELL));
    machine.vcpu(0).deactivate(DOORBELL);
    assert!(is_active(&mut machine, DOORBELL), "EOImode = 0");
    machine.cores[0].split = true;
    for intid in [TIMER, UART, 47, 287, 288, 1023, u32::MAX] {
        machine.vcpu(0).deactivate(intid);
    }
    assert!(is_active(&mut machine, DOORBELL));
    machine.vcpu(0).deactivate(DOORBELL);
    assert!(!is_active(&mut machine, DOORBELL));
}

#[test]
fn the_priority_of_the_acknowledgement_stays_until_the_end() {
    let mut machine = partition(1, 1);
    let priority = |machine: &mut Machine, value| {
        machine.vcpu(0).gicr_write(0x1_0401, 1, value);
    };
    priority(&mut machine, 0x80);
    machine.vcpu(0).inject(1);
    assert_eq!(machine.cores[0].acknowledge(), Some(1));
    priority(&mut machine, 0x40);
    machine.vcpu(0).inject(1);
    let entry = Entry(machine.cores[0].registers[0]);
    assert!(entry.has(Entry::ACTIVE) && entry.priority() == 0x80);
    machine.cores[0].end(1);
    machine.settle();
    let entry = Entry(machine.cores[0].registers[0]);
    assert!(entry.is_only_pending() && entry.priority() == 0x40);
}

/// Checks that a timer that was listed as active, ended, and came again into another list register
/// is not the one that a later end without a list register is about.
#[test]
fn an_interrupt_that_came_again_and_ended_does_not_take_anothers_end() {
    let mut machine = partition(1, 4);
    machine.set_line(0, TIMER, true);
    machine.settle();
    assert_eq!(machine.cores[0].acknowledge(), Some(TIMER));
    machine.set_line(0, TIMER, false);
    machine.vcpu(0).sync();
    machine.cores[0].end(TIMER);
    machine.set_line(0, TIMER, true);
    machine.settle();
    assert_eq!(machine.cores[0].acknowledge(), Some(TIMER));
    machine.set_line(0, TIMER, false);
    machine.cores[0].end(TIMER);
    machine.vcpu(0).sync();

    machine.set_line(0, DISK, true);
    machine.settle();
    assert_eq!(machine.cores[0].acknowledge(), Some(DISK));
    machine.set_line(0, DISK, false);
    for sgi in 1..=4 {
        machine.vcpu(0).inject(sgi);
    }
    machine.cores[0].end(DISK);
    machine.settle();
    assert!(!is_active(&mut machine, DISK));
    assert_eq!(machine.physical.borrow().active[0][1], 0);
}

/// Checks that every way in which a core enters EL2 withdraws what its device has withdrawn.
#[test]
fn a_level_withdrawn_before_it_is_taken_is_gone_at_the_next_entry() {
    let entries: [fn(&mut Machine); 4] = [
        |machine| machine.vcpu(0).sample(),
        |machine| _ = machine.gicr(0, 0, 0x1_0200),
        |machine| machine.vcpu(0).sync(),
        // Another interrupt of the core's.
        |machine| {
            machine.set_line(0, DISK, true);
            machine.settle();
            assert_eq!(machine.cores[0].acknowledge(), Some(DISK));
            machine.set_line(0, DISK, false);
            machine.cores[0].end(DISK);
        },
    ];
    for enter in entries {
        let mut machine = partition(1, 4);
        machine.set_line(0, TIMER, true);
        machine.settle();
        assert!(machine.cores[0].pends(TIMER));
        machine.set_line(0, TIMER, false);
        enter(&mut machine);
        assert_eq!(machine.cores[0].signalled(), None);
        assert_eq!(machine.gicr(0, 0, 0x1_0200), 0);
        assert_eq!(machine.physical.borrow().active[0][0], 0);
        machine.set_line(0, TIMER, true);
        machine.settle();
        assert_eq!(machine.cores[0].acknowledge(), Some(TIMER), "it comes again");
    }
}

#[test]
fn a_sibling_reads_at_once_that_a_level_is_withdrawn() {
    let mut machine = partition(2, 4);
    machine.set_line(0, DISK, true);
    machine.settle();
    assert_eq!(machine.gicd(1, 0x204) >> 13 & 1, 1);
    machine.set_line(0, DISK, false);
    assert_eq!(machine.gicd(1, 0x204) >> 13 & 1, 0);
    machine.settle();
    assert_eq!(machine.cores[0].signalled(), None);
}

#[test]
fn a_level_made_pending_by_a_write_has_no_line_to_follow() {
    let mut machine = partition(1, 4);
    for _ in 0..2 {
        machine.set_gicd(0, 0x204, 1 << 13);
        machine.settle();
        machine.vcpu(0).sample();
        assert_eq!(machine.gicd(0, 0x204) >> 13 & 1, 1);
        assert_eq!(machine.cores[0].acknowledge(), Some(DISK));
        machine.cores[0].end(DISK);
        // The next one is a device's again.
        machine.set_line(0, DISK, true);
        machine.settle();
        machine.set_line(0, DISK, false);
        machine.vcpu(0).sample();
        assert_eq!(machine.cores[0].signalled(), None);
    }
}

#[test]
fn a_second_edge_before_the_first_is_taken_is_the_same() {
    let mut machine = <Machine>::new(1, 4, &[row(46, PHYSICAL | EDGE, 0)]);
    machine.set_gicd(0, 0, 3);
    machine.set_gicd(0, 0x104, 1 << 14);
    for _ in 0..2 {
        machine.set_line(0, 46, true);
        machine.settle();
        machine.set_line(0, 46, false);
    }
    machine.vcpu(0).sample();
    assert_eq!(machine.cores[0].acknowledge(), Some(46));
    machine.cores[0].end(46);
    machine.settle();
    assert_eq!(machine.cores[0].signalled(), None);
}

/// Checks that interrupts of a group that the guest has disabled leave the list registers to
/// others, and come when it is enabled.
#[test]
fn a_group_that_is_off_holds_no_list_register_that_the_other_needs() {
    let mut machine = partition(1, 2);
    machine.set_gicr(0, 0, 0x1_0080, !0xf);
    for intid in 0..4 {
        machine.vcpu(0).gicr_write(0x1_0400 + intid, 1, 8 * intid);
    }
    machine.vcpu(0).gicr_write(0x1_0408, 1, 0x80);
    machine.cores[0].groups = 2;
    for intid in [0, 1, 2, 3, 8] {
        machine.vcpu(0).inject(intid);
    }
    assert_eq!(machine.cores[0].acknowledge(), Some(8));
    machine.cores[0].end(8);
    machine.set_line(0, TIMER, true);
    machine.settle();
    assert_eq!(machine.cores[0].acknowledge(), Some(TIMER));
    machine.set_line(0, TIMER, false);
    machine.cores[0].end(TIMER);
    assert_eq!(machine.gicr(0, 0, 0x1_0200), 0xf);
    machine.cores[0].groups = 3;
    for intid in 0..4 {
        machine.settle();
        assert_eq!(machine.cores[0].acknowledge(), Some(intid));
        machine.cores[0].end(intid);
    }
    machine.settle();
    assert_eq!(machine.cores[0].control, control::EN | control::TDIR);
}

/// Checks that a group that is disabled makes room for interrupts that wait for it.
#[test]
fn a_group_that_is_switched_off_makes_room() {
    let mut machine = partition(1, 2);
    machine.set_gicr(0, 0, 0x1_0080, !3);
    machine.vcpu(0).gicr_write(0x1_0408, 1, 0x80);
    for intid in [0, 1, 8] {
        machine.vcpu(0).inject(intid);
    }
    machine.cores[0].groups = 2;
    machine.settle();
    assert_eq!(machine.cores[0].acknowledge(), Some(8));
}

/// Checks the same where physical interrupts are not linked, as on QEMU's GICv2: DIR also ends the
/// physical one, once.
#[test]
fn without_link_dir_ends_the_physical_interrupt() {
    let mut machine =
        Machine::<true>::new(2, 1, &[row(45, PHYSICAL, 0), row(46, PHYSICAL | EDGE, 0)]);
    machine.as_qemu(false);
    machine.set_gicd(0, 0, 1);
    machine.set_gicd(0, 0x104, 3 << 13);
    for core in &mut machine.cores {
        core.split = true;
    }
    let active = |machine: &Machine<true>| machine.physical.borrow().active[0][1] >> 13;
    for by in [0, 1] {
        machine.set_line(0, 45, true);
        for intid in [45, 46] {
            machine.settle();
            assert_eq!(machine.cores[0].acknowledge(), Some(intid));
            machine.cores[0].drop_priority();
            machine.set_line(0, 46, true);
        }
        machine.set_line(0, 46, false);
        machine.set_line(0, 45, false);
        assert_eq!(active(&machine), 3);
        // The first one has left the only list register, the second has it.
        for (intid, left) in [(45, 2), (46, 0)] {
            machine.vcpu(by).deactivate(intid);
            machine.settle();
            assert_eq!(active(&machine), left, "{intid} by {by}");
            assert_eq!(machine.gicd(by, 0x304) >> 13, left);
        }
        assert_eq!(machine.cores[0].signalled(), None);
    }
    // Withdrawn before it is taken.
    machine.set_line(0, 45, true);
    machine.settle();
    machine.set_line(0, 45, false);
    machine.vcpu(0).sample();
    machine.settle();
    assert_eq!((machine.cores[0].signalled(), active(&machine)), (None, 0));
}
