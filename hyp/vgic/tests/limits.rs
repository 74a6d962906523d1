// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a guest sees where this GIC differs from one without list registers. The header of the
//! crate names these tests.

mod machine;

use bulkhead_vgic::{Entry, Vcpu};
use machine::{DISK, DOORBELL, Machine, TIMER, partition, row};
use plan::{INTERRUPT_EDGE as EDGE, INTERRUPT_PHYSICAL as PHYSICAL};

/// A private edge-triggered interrupt.
const EDGE_PPI: u32 = 24;
/// An edge-triggered SPI.
const EDGE_SPI: u32 = 46;

/// Checks that the first read shows the state of the holder's last fold, and makes the holder fold
/// again.
#[test]
fn a_sibling_reads_the_state_of_the_last_fold_and_the_next_read_is_exact() {
    let mut machine = partition(2, 4);
    machine.vcpu(0).inject(DOORBELL);
    assert_eq!(machine.cores[0].acknowledge(), Some(DOORBELL));
    assert_eq!(machine.gicd(1, 0x310), 0, "GICD_ISACTIVER4: not active");
    machine.settle();
    assert_eq!(machine.gicd(1, 0x310), 1, "active");
    machine.cores[0].end(DOORBELL);
    assert_eq!(machine.gicd(1, 0x310), 1, "still active");
    machine.settle();
    assert_eq!(machine.gicd(1, 0x310), 0, "ended");
}

/// Checks that an edge that comes after the write, and before the sibling's core has handled the
/// kick, is lost.
#[test]
fn a_write_of_a_siblings_icpendr0_also_takes_an_edge_before_its_kick() {
    let mut machine = <Machine>::new(2, 4, &[row(EDGE_PPI as u16, PHYSICAL | EDGE, 0)]);
    machine.set_gicd(0, 0, 3);
    machine.set_gicr(0, 0, 0x1_0100, 1 << EDGE_PPI);
    machine.settle();
    machine.set_gicr(1, 0, 0x1_0280, 1 << EDGE_PPI);
    machine.set_line(0, EDGE_PPI, true);
    machine.settle();
    assert_eq!(machine.cores[0].signalled(), None);
    machine.set_line(0, EDGE_PPI, false);
    machine.set_line(0, EDGE_PPI, true);
    machine.settle();
    assert_eq!(machine.cores[0].acknowledge(), Some(EDGE_PPI), "the next");
}

/// Checks that an edge that a sibling clears after EL2 has acknowledged it, and before EL2 has
/// listed it, is signalled, as if it had come after the write.
#[test]
fn an_edge_that_el2_acknowledged_before_a_siblings_icpendr_is_signalled() {
    let mut machine = partition(2, 4);
    machine.set_line(0, EDGE_SPI, true);
    machine.physical.borrow_mut().acknowledge(0, EDGE_SPI);
    machine.set_gicd(1, 0x284, 1 << 14);
    assert!(machine.vcpu(0).physical(EDGE_SPI));
    machine.settle();
    assert_eq!(machine.cores[0].acknowledge(), Some(EDGE_SPI));
}

#[test]
fn one_of_n_routing_selects_vcpu_0() {
    let mut machine = partition(2, 4);
    let router = 0x6000 + u64::from(DISK) * 8;
    machine.vcpu(0).write(None, router, 8, 1);
    machine.vcpu(0).write(None, router, 8, 1 << 31 | 1);
    assert_eq!(machine.vcpu(0).read(None, router, 8), 0);
    assert_ne!(machine.gicd(0, 0x4) & 1 << 25, 0, "GICD_TYPER.No1N");
}

/// Returns the machine after EL2 has handled a write of vCPU 0 to ISENABLER1, while vCPU 1 disables
/// and enables the disk's interrupt by turns: `changes` times in all, each between EL2's read of
/// the words and its write to hardware.
fn enabled_while_a_sibling_writes(changes: usize) -> Machine {
    let mut machine = partition(2, 4);
    machine.set_gicd(0, 0x184, 1 << 13);
    let (mut delivery, mut hardware) = (machine.deliveries.remove(1), machine.cores.remove(1));
    let gic = machine.gic.clone();
    let mut offsets = [0x184, 0x104].into_iter().cycle().take(changes);
    machine.cores[0].meanwhile = Some(Box::new(move || {
        if let Some(offset) = offsets.next() {
            Vcpu::new(&gic, 1, &mut delivery, &mut hardware).write(None, offset, 4, 1 << 13);
        }
    }));
    // Not the fast path, which writes once more.
    machine.vcpu(0).write(None, 0x104, 4, 1 << 13);
    machine.cores[0].meanwhile = None;
    machine
}

/// Checks that EL2 writes hardware again as often as a sibling has changed the words, at most 7
/// times. After that hardware has an earlier state than the register, which the next change
/// corrects.
#[test]
fn eight_changes_during_one_enable_may_reach_hardware_with_the_next() {
    for changes in 0..9 {
        let mut machine = enabled_while_a_sibling_writes(changes);
        let register = machine.gicd(0, 0x104) >> 13 & 1;
        assert_eq!(register as usize, (changes + 1) % 2);
        let hardware = machine.physical.borrow().enable[0][1] >> 13 & 1;
        assert_eq!(hardware == register, changes < 8, "{changes} changes");
    }
    let mut machine = enabled_while_a_sibling_writes(8);
    machine.set_line(0, DISK, true);
    machine.settle();
    assert_eq!(machine.cores[0].signalled(), None, "enabled in the register only");
    machine.set_gicd(0, 0x184, 1 << 13);
    machine.set_gicd(0, 0x104, 1 << 13);
    machine.settle();
    assert_eq!(machine.cores[0].acknowledge(), Some(DISK));
}

/// Checks a level that is withdrawn when there is no entry to EL2 before the guest's
/// acknowledgement.
#[test]
fn a_withdrawn_level_is_signalled_once_to_a_guest_that_makes_no_entry() {
    let mut machine = partition(1, 4);
    machine.set_line(0, TIMER, true);
    machine.settle();
    machine.set_line(0, TIMER, false);
    assert_eq!(machine.cores[0].acknowledge(), Some(TIMER));
    machine.cores[0].end(TIMER);
    machine.settle();
    assert_eq!(machine.cores[0].signalled(), None, "once");
}

/// Checks that two edges before the guest acknowledges the first do not coalesce, if there is no
/// entry to EL2 between them.
#[test]
fn a_second_edge_is_signalled_to_a_guest_that_makes_no_entry() {
    let mut machine = partition(1, 4);
    for _ in 0..2 {
        machine.set_line(0, EDGE_SPI, true);
        machine.settle();
        machine.set_line(0, EDGE_SPI, false);
    }
    for _ in 0..2 {
        assert_eq!(machine.cores[0].acknowledge(), Some(EDGE_SPI));
        machine.cores[0].end(EDGE_SPI);
        machine.settle();
    }
    assert_eq!(machine.cores[0].signalled(), None);
}

/// Checks GICC_CTLR.EOImode = 1: after the priority drop the SGI is still active, and one from
/// another vCPU waits for its deactivation.
#[test]
fn gicv2_an_active_sgi_sent_again_waits_for_its_deactivation() {
    let mut machine = Machine::<true>::new(3, 4, &[]);
    machine.set_gicd(0, 0, 1);
    machine.set_gicd(0, 0x100, 0xffff);
    machine.cores[0].split = true;
    machine.set_gicd(1, 0xf00, 1 << 16 | 3);
    machine.settle();
    assert_eq!(machine.cores[0].acknowledge(), Some(3));
    machine.set_gicd(2, 0xf00, 1 << 16 | 3);
    machine.settle();
    machine.cores[0].drop_priority();
    machine.settle();
    assert_eq!(machine.cores[0].signalled(), None);
    machine.vcpu(0).deactivate(3);
    machine.settle();
    assert_eq!(machine.cores[0].acknowledge(), Some(3));
    assert_eq!(machine.cores[0].source, 2);
}

/// Checks two interrupts in list registers: the hardware's virtual CPU interface decides whether
/// the more important one, whose group is disabled, blocks the other.
#[test]
fn gicv2_lists_a_pending_interrupt_of_a_group_that_is_off() {
    let mut machine = Machine::<true>::new(2, 4, &[]);
    machine.set_gicd(0, 0, 3);
    machine.set_gicd(0, 0x80, 1 << 5);
    machine.set_gicd(0, 0x100, 0xffff);
    machine.write(0, 0x405, 1, 0x80);
    machine.cores[0].groups = 2;
    for sgi in [4, 5] {
        machine.set_gicd(1, 0xf00, 1 << 16 | sgi);
        machine.settle();
    }
    let listed = |intid| {
        let mut entries = machine.cores[0].registers.iter().map(|&raw| Entry(raw));
        entries.any(|entry| entry.intid() == intid && entry.is_only_pending())
    };
    assert!(listed(4) && listed(5));
}
