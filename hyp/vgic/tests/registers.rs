// SPDX-License-Identifier: MIT OR Apache-2.0
//! What each register of the GICv3 face reads and takes.

mod machine;

use machine::{DISK, DOORBELL, Face, Machine, partition, row};
use plan::{INTERRUPT_EDGE as EDGE, INTERRUPT_FIXED as FIXED, INTERRUPT_PHYSICAL as PHYSICAL};

#[test]
fn identification_registers_describe_the_partition() {
    let mut machine = <Machine>::new(3, 4, &[]);
    assert_eq!(machine.gicd(0, 0x0), 0x50, "DS and ARE, nothing enabled");
    machine.set_gicd(0, 0x0, u32::MAX);
    assert_eq!(machine.gicd(1, 0x0), 0x53);
    assert_eq!(machine.gicd(0, 0x4), 1 << 25 | 9 << 19 | 8, "288 INTIDs");
    assert_eq!(machine.gicd(0, 0xffe8) >> 4 & 15, 3);
    for of in 0..3 {
        let typer = machine.vcpu(0).gicr_read(of * 0x2_0000 + 8, 8);
        let last = u64::from(of == 2);
        assert_eq!(typer, of << 32 | of << 8 | last << 4);
        assert_eq!(machine.gicr(0, of as usize, 0xc), of as u32);
        assert_eq!(machine.gicr(0, of as usize, 0x8), typer as u32);
        assert_eq!(machine.gicr(0, of as usize, 0xffe8) >> 4 & 15, 3);
    }
    assert_eq!(machine.gicr(0, 3, 0x8), 0, "no fourth vCPU");
}

#[test]
fn waker_answers_at_once() {
    let mut machine = <Machine>::new(2, 4, &[]);
    assert_eq!(machine.gicr(0, 0, 0x14), 6);
    machine.set_gicr(0, 0, 0x14, 0);
    assert_eq!(machine.gicr(0, 0, 0x14), 0);
    assert_eq!(machine.gicr(0, 1, 0x14), 6);
    machine.set_gicr(0, 0, 0x14, 2);
    assert_eq!(machine.gicr(0, 0, 0x14), 6);
}

#[test]
fn registers_show_only_owned_interrupts() {
    let mut machine = partition(2, 4);
    assert_eq!(machine.gicd(0, 0x104), 1 << 1 | 1 << 13 | 1 << 14);
    assert_eq!(machine.gicd(0, 0x110), 3);
    assert_eq!(machine.gicd(0, 0x100), 0, "private words are the redistributor's");
    assert_eq!(machine.gicr(0, 1, 0x1_0100), 0xffff | 1 << 27);
    assert_eq!(machine.gicr(0, 1, 0x1_0104), 0, "the SGI frame has one word");
    for offset in (0x400..0x520).step_by(4) {
        machine.set_gicd(0, offset, u32::MAX);
    }
    assert_eq!(machine.gicd(0, 0x420), 0xf800, "only 33, five bits of it");
    assert_eq!(machine.vcpu(0).read(None, 0x421, 1), 0xf8);
    assert_eq!(machine.vcpu(0).read(None, 0x420, 1), 0);
    assert_eq!(machine.gicd(0, 0x404), 0);
    assert_eq!(machine.gicr(0, 0, 0x1_0c00), 0xaaaa_aaaa, "SGIs are edges");
    assert_eq!(machine.gicr(0, 0, 0x1_0c04), 0);
    machine.set_gicd(0, 0xc08, u32::MAX);
    assert_eq!(machine.gicd(0, 0xc08), 2 << 28, "the plan says what is an edge: 46");
    assert_eq!(machine.gicd(0, 0xc20), 0xa);
    for offset in [0xd04, 0xe08, 0x40, 0xf00, 0x8000] {
        machine.set_gicd(0, offset, u32::MAX);
        assert_eq!(machine.gicd(0, offset), 0, "{offset:#x}");
    }
}

#[test]
fn odd_sizes_and_offsets_read_as_zero_and_change_nothing() {
    let mut machine = partition(1, 4);
    for (offset, size) in [
        (0x104, 1),
        (0x104, 2),
        (0x104, 8),
        (0x104, 0),
        (0x104, 3),
        (u64::MAX, 1),
        (u64::MAX - 3, 4),
    ] {
        assert_eq!(machine.vcpu(0).read(None, offset, size), 0, "{offset:#x} {size}");
        assert_eq!(machine.vcpu(0).gicr_read(offset, size), 0, "{offset:#x} {size}");
        machine.vcpu(0).write(None, offset + 0x80 * u64::from(offset < 0x200), size, u64::MAX);
        machine.vcpu(0).gicr_write(offset, size, u64::MAX);
    }
    assert_eq!(machine.gicd(0, 0x104), 1 << 1 | 1 << 13 | 1 << 14);
}

#[test]
fn router_takes_affinities_and_leaves_fixed_interrupts_alone() {
    let mut machine = partition(2, 4);
    let router = |intid: u32| 0x6000 + u64::from(intid) * 8;
    machine.vcpu(0).write(None, router(DISK), 8, 0xff_8800_0001);
    assert_eq!(machine.vcpu(0).read(None, router(DISK), 8), 0, "IRM: vCPU 0, and no Aff3");
    machine.set_gicd(0, router(DISK), 1);
    machine.set_gicd(0, router(DISK) + 4, 0xff);
    assert_eq!(machine.vcpu(1).read(None, router(DISK), 8), 1);
    assert_eq!(machine.gicd(1, router(DISK)), 1);
    assert_eq!(machine.physical.borrow().route[DISK as usize], 1);
    machine.set_gicd(0, router(DOORBELL), 1);
    machine.set_gicd(0, router(47), 1);
    assert_eq!(machine.gicd(0, router(DOORBELL)), 0);
    assert_eq!(machine.gicd(0, router(47)), 0);
    // To no vCPU: it waits, and EL2 is not entered again and again for it.
    machine.set_gicd(0, router(DISK), 0x10000);
    machine.set_line(0, DISK, true);
    machine.settle();
    assert_eq!(machine.gicd(0, 0x204) >> 13 & 1, 1);
    assert!((0..2).all(|core| machine.cores[core].signalled().is_none()));
    machine.set_gicd(0, router(DISK), 1);
    machine.settle();
    assert_eq!(machine.cores[1].acknowledge(), Some(DISK));
}

/// Checks that ITARGETSR keeps every interface that there is (IHI 0048, 4.3.12), and that hardware
/// gets one of them.
#[test]
fn targets_read_back_as_they_were_written() {
    let rows = [row(45, PHYSICAL, 0), row(128, EDGE | FIXED, 2)];
    let mut machine = Machine::<true>::new(3, 4, &rows);
    assert_eq!(machine.read(0, 0x800 + 45, 1), 1);
    for (written, route) in [(0x06, 1), (0x04, 2), (0xff, 0), (0xfa, 1)] {
        machine.write(1, 0x800 + 45, 1, written);
        assert_eq!(machine.read(2, 0x800 + 45, 1), written & 7);
        assert_eq!(machine.gicd(0, 0x82c), (written as u32 & 7) << 8);
        assert_eq!(machine.physical.borrow().route[45], route);
    }
    machine.write(0, 0x800 + 45, 1, 0xf8);
    assert_eq!(machine.read(0, 0x800 + 45, 1), 0);
    // Fixed, not owned, and private: the reader's own.
    for (intid, shown) in [(128, 4), (47, 0), (20, 2)] {
        machine.write(1, 0x800 + intid, 1, 0x7);
        assert_eq!(machine.read(1, 0x800 + intid, 1), shown);
    }
}
