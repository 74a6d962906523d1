//! Single paths: what each register reads and takes, what delivery costs, and what threads do to the mail.

mod machine;

use bulkhead_vgic::{
    Delivery, Entry, Gic, ListRegisters, Physical, SgiRegister, Siblings, Vcpu, control,
};
use machine::{Machine, row};
use plan::{
    GuestGic, INTERRUPT_EDGE as EDGE, INTERRUPT_FIXED as FIXED, INTERRUPT_PHYSICAL as PHYSICAL,
};
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

const DOORBELL: u32 = 128;
const UART: u32 = 33;
const TIMER: u32 = 27;
const DISK: u32 = 45;

fn machine(vcpus: usize, registers: usize) -> Machine {
    let rows = [
        row(27, PHYSICAL, 0),
        row(33, 0, 0),
        row(45, PHYSICAL, 0),
        row(46, PHYSICAL | EDGE, 0),
        row(128, EDGE | FIXED, 0),
        row(129, EDGE | FIXED, 0),
    ];
    let mut machine = Machine::new(vcpus, registers, &rows);
    machine.set_gicd(0, 0, 3);
    for word in 1..9 {
        machine.set_gicd(0, 0x80 + word * 4, u32::MAX);
        machine.set_gicd(0, 0x100 + word * 4, u32::MAX);
    }
    for vcpu in 0..vcpus {
        machine.set_gicr(vcpu, vcpu, 0x1_0080, u32::MAX);
        machine.set_gicr(vcpu, vcpu, 0x1_0100, u32::MAX);
    }
    machine.settle();
    machine
}

#[test]
fn identification_registers_describe_the_partition() {
    let mut machine = Machine::new(3, 4, &[]);
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
    let mut machine = Machine::new(2, 4, &[]);
    assert_eq!(machine.gicr(0, 0, 0x14), 6);
    machine.set_gicr(0, 0, 0x14, 0);
    assert_eq!(machine.gicr(0, 0, 0x14), 0);
    assert_eq!(machine.gicr(0, 1, 0x14), 6);
    machine.set_gicr(0, 0, 0x14, 2);
    assert_eq!(machine.gicr(0, 0, 0x14), 6);
}

#[test]
fn registers_show_owned_interrupts_alone() {
    let mut machine = machine(2, 4);
    assert_eq!(machine.gicd(0, 0x104), 1 << 1 | 1 << 13 | 1 << 14);
    assert_eq!(machine.gicd(0, 0x110), 3);
    assert_eq!(
        machine.gicd(0, 0x100),
        0,
        "private words are the redistributor's"
    );
    assert_eq!(machine.gicr(0, 1, 0x1_0100), 0xffff | 1 << 27);
    assert_eq!(
        machine.gicr(0, 1, 0x1_0104),
        0,
        "the SGI frame has one word"
    );
    for offset in (0x400..0x520).step_by(4) {
        machine.set_gicd(0, offset, u32::MAX);
    }
    assert_eq!(machine.gicd(0, 0x420), 0xf800, "33 alone, five bits of it");
    assert_eq!(machine.vcpu(0).gicd_read(0x421, 1), 0xf8);
    assert_eq!(machine.vcpu(0).gicd_read(0x420, 1), 0);
    assert_eq!(machine.gicd(0, 0x404), 0);
    assert_eq!(machine.gicr(0, 0, 0x1_0c00), 0xaaaa_aaaa, "SGIs are edges");
    assert_eq!(machine.gicr(0, 0, 0x1_0c04), 0);
    machine.set_gicd(0, 0xc08, u32::MAX);
    assert_eq!(
        machine.gicd(0, 0xc08),
        2 << 28,
        "the plan says what is an edge: 46"
    );
    assert_eq!(machine.gicd(0, 0xc20), 0xa);
    for offset in [0xd04, 0xe08, 0x40, 0xf00, 0x8000] {
        machine.set_gicd(0, offset, u32::MAX);
        assert_eq!(machine.gicd(0, offset), 0, "{offset:#x}");
    }
}

#[test]
fn odd_sizes_and_offsets_read_as_zero_and_change_nothing() {
    let mut machine = machine(1, 4);
    for (offset, size) in [
        (0x104, 1),
        (0x104, 2),
        (0x104, 8),
        (0x106, 4),
        (0x104, 0),
        (0x104, 3),
        (u64::MAX, 1),
        (u64::MAX - 3, 4),
    ] {
        assert_eq!(
            machine.vcpu(0).gicd_read(offset, size),
            0,
            "{offset:#x} {size}"
        );
        assert_eq!(
            machine.vcpu(0).gicr_read(offset, size),
            0,
            "{offset:#x} {size}"
        );
        machine
            .vcpu(0)
            .gicd_write(offset + 0x80 * u64::from(offset < 0x200), size, u64::MAX);
        machine.vcpu(0).gicr_write(offset, size, u64::MAX);
    }
    assert_eq!(machine.gicd(0, 0x104), 1 << 1 | 1 << 13 | 1 << 14);
}

#[test]
fn router_takes_affinities_and_leaves_fixed_interrupts_alone() {
    let mut machine = machine(2, 4);
    let router = |intid: u32| 0x6000 + u64::from(intid) * 8;
    machine.vcpu(0).gicd_write(router(DISK), 8, 0xff_8800_0001);
    assert_eq!(
        machine.vcpu(0).gicd_read(router(DISK), 8),
        0,
        "IRM: vCPU 0, and no Aff3"
    );
    machine.set_gicd(0, router(DISK), 1);
    machine.set_gicd(0, router(DISK) + 4, 0xff);
    assert_eq!(machine.vcpu(1).gicd_read(router(DISK), 8), 1);
    assert_eq!(machine.gicd(1, router(DISK)), 1);
    assert_eq!(machine.physical.borrow().route[DISK as usize], 1);
    machine.set_gicd(0, router(DOORBELL), 1);
    machine.set_gicd(0, router(47), 1);
    assert_eq!(machine.gicd(0, router(DOORBELL)), 0);
    assert_eq!(machine.gicd(0, router(47)), 0);
    // To nobody: hardware must not signal it, or no core could be rid of it.
    machine.set_gicd(0, router(DISK), 0x10000);
    machine.set_line(0, DISK, true);
    machine.settle();
    assert_eq!(machine.gicd(0, 0x204) >> 13 & 1, 1);
    assert!((0..2).all(|core| machine.cores[core].signalled().is_none()));
    machine.set_gicd(0, router(DISK), 1);
    machine.settle();
    assert_eq!(machine.cores[1].acknowledge(), Some(DISK));
}

#[test]
fn a_doorbell_costs_one_list_register_write_and_no_maintenance() {
    let mut machine = machine(1, 4);
    for _ in 0..10 {
        machine.cores[0].writes.set(0);
        machine.vcpu(0).inject(DOORBELL);
        assert_eq!(machine.cores[0].writes.get(), 1);
        machine.vcpu(0).inject(DOORBELL);
        assert_eq!(
            machine.cores[0].acknowledge(),
            Some(DOORBELL),
            "two coalesce"
        );
        assert_eq!(machine.cores[0].acknowledge(), None);
        machine.cores[0].end(DOORBELL);
        assert_eq!(machine.cores[0].acknowledge(), None);
    }
    machine.settle();
    assert_eq!(machine.maintenances, 0);
    assert_eq!(machine.cores[0].control, control::EN);
}

#[test]
fn an_edge_while_active_comes_again_after_the_end() {
    let mut machine = machine(1, 4);
    machine.vcpu(0).inject(DOORBELL);
    assert_eq!(machine.cores[0].acknowledge(), Some(DOORBELL));
    machine.vcpu(0).inject(DOORBELL);
    machine.cores[0].end(DOORBELL);
    assert_eq!(machine.cores[0].acknowledge(), Some(DOORBELL));
    machine.cores[0].end(DOORBELL);
    assert_eq!(machine.maintenances, 0);
}

#[test]
fn a_timer_costs_one_list_register_write_linked_to_hardware() {
    let mut machine = machine(1, 4);
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
    let mut machine = machine(2, 4);
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
    let mut machine = machine(2, 4);
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
fn active_list_registers_make_room_for_the_more_important() {
    let mut machine = machine(1, 2);
    for intid in 0..8 {
        machine
            .vcpu(0)
            .gicr_write(0x1_0400 + intid, 1, 0x80 - 0x10 * intid);
    }
    for intid in 0..8 {
        machine
            .vcpu(0)
            .send_sgi(SgiRegister::Sgi1r, 1 | u64::from(intid) << 24);
        machine.settle();
        assert_eq!(
            machine.cores[0].acknowledge(),
            Some(intid),
            "each preempts the last"
        );
    }
    assert_eq!(machine.gicr(0, 0, 0x1_0300), 0xff);
    for intid in (0..8u32).rev() {
        machine.cores[0].end(intid);
        machine.settle();
        assert_eq!(machine.gicr(0, 0, 0x1_0300), (1 << intid) - 1);
    }
    assert_eq!(machine.cores[0].control, control::EN);
}

fn prioritise_sgis(machine: &mut Machine, priorities: &[u8]) {
    for (intid, &priority) in priorities.iter().enumerate() {
        let offset = 0x1_0400 + intid as u64;
        machine.vcpu(0).gicr_write(offset, 1, priority.into());
    }
}

#[test]
fn an_arrival_does_not_overtake_what_waits_for_room() {
    let mut machine = machine(1, 2);
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
    let mut machine = machine(1, 2);
    for intid in [3, 4] {
        machine.vcpu(0).inject(intid);
    }
    let before = machine.cores[0].registers.clone();
    machine.vcpu(0).inject(1);
    assert_eq!(machine.cores[0].registers, before);
}

#[test]
fn a_trapped_deactivation_finds_what_left_its_list_register() {
    let mut machine = machine(1, 1);
    machine.cores[0].split = true;
    machine.set_line(0, TIMER, true);
    machine.settle();
    assert_eq!(machine.cores[0].acknowledge(), Some(TIMER));
    machine.cores[0].running.clear();
    machine.vcpu(0).inject(DOORBELL);
    machine.settle();
    assert_eq!(machine.cores[0].acknowledge(), Some(DOORBELL));
    assert_ne!(machine.cores[0].control & control::TDIR, 0);
    machine.set_line(0, TIMER, false);
    machine.vcpu(0).deactivate(TIMER);
    assert_eq!(machine.physical.borrow().active[0][0], 0);
    assert_eq!(machine.cores[0].control & control::TDIR, 0);
    machine.vcpu(0).deactivate(4000);
}

#[test]
fn sgis_reach_own_vcpus_alone_and_kick_each_once() {
    let mut machine = machine(3, 4);
    let send = |machine: &mut Machine, value| machine.vcpu(1).send_sgi(SgiRegister::Sgi1r, value);
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
    machine.vcpu(1).send_sgi(SgiRegister::Sgi0r, 7 | 6 << 24);
    assert_eq!(machine.gicr(1, 1, 0x1_0200), 0, "they are in group 1");
}

#[test]
fn a_parked_vcpu_keeps_what_it_gets_for_later() {
    let mut machine = machine(2, 4);
    machine.vcpu(1).park();
    machine.set_line(1, TIMER, true);
    machine.vcpu(0).send_sgi(SgiRegister::Sgi1r, 2 | 9 << 24);
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
    let mut machine = machine(1, 1);
    machine.set_line(0, TIMER, true);
    machine.settle();
    machine.vcpu(0).inject(DOORBELL);
    let rows = [row(27, PHYSICAL, 0), row(128, EDGE | FIXED, 0)];
    machine.gic.init(
        1,
        &GuestGic {
            version: 3,
            intids: 160,
            gicd_ipa: 0,
            gicr_ipa: 0,
        },
        &rows,
    );
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

/// One core of the thread test: every list register is consumed as soon as it is written.
struct Sink<'a> {
    kicks: &'a [AtomicU32],
    seen: [u32; 16],
}

impl ListRegisters for Sink<'_> {
    fn count(&self) -> usize {
        4
    }
    fn read(&self, _: usize) -> u64 {
        0
    }
    fn write(&mut self, _: usize, value: u64) {
        let entry = Entry(value);
        if entry.has(Entry::PENDING) {
            self.seen[entry.intid() as usize] += 1;
        }
    }
    fn empty(&self) -> u32 {
        u32::MAX
    }
    fn control(&self) -> u32 {
        0
    }
    fn set_control(&mut self, _: u32) {}
    fn split_deactivation(&self) -> bool {
        false
    }
}

impl Physical for Sink<'_> {
    fn set_enable(&mut self, _: usize, _: u32) {}
    fn clear_enable(&mut self, _: usize, _: u32) {}
    fn pending(&self, _: usize) -> u32 {
        0
    }
    fn set_pending(&mut self, _: usize, _: u32) {}
    fn clear_pending(&mut self, _: usize, _: u32) {}
    fn set_active(&mut self, _: usize, _: u32) {}
    fn clear_active(&mut self, _: usize, _: u32) {}
    fn route(&mut self, _: u32, _: usize) {}
}

impl Siblings for Sink<'_> {
    fn kick(&self, vcpu: usize) {
        self.kicks[vcpu].fetch_add(1, SeqCst);
    }
}

#[test]
fn threads_lose_no_sgi() {
    const ROUNDS: u32 = 2000;
    let gic = Gic::new();
    gic.init(
        4,
        &GuestGic {
            version: 3,
            intids: 288,
            gicd_ipa: 0,
            gicr_ipa: 0,
        },
        &[],
    );
    let kicks: Vec<AtomicU32> = (0..4).map(|_| AtomicU32::new(0)).collect();
    let answered: Vec<AtomicU32> = (0..4).map(|_| AtomicU32::new(0)).collect();
    std::thread::scope(|scope| {
        for core in 0..4usize {
            let (gic, kicks, answered) = (&gic, &kicks, &answered);
            scope.spawn(move || {
                let mut delivery = Delivery::new();
                let mut sink = Sink {
                    kicks,
                    seen: [0; 16],
                };
                let mut vcpu = Vcpu::new(gic, core, &mut delivery, &mut sink);
                vcpu.reset();
                vcpu.unpark();
                vcpu.gicd_write(0, 4, 3);
                vcpu.gicr_write(core as u64 * 0x2_0000 + 0x1_0100, 4, 0xffff);
                if core != 0 {
                    // Each sends its own SGI to vCPU 0 and waits until it is seen there: a lost one hangs, so there is a limit.
                    for round in 1..=ROUNDS {
                        vcpu.send_sgi(SgiRegister::Sgi0r, 1 | (core as u64) << 24);
                        let start = std::time::Instant::now();
                        while answered[core].load(SeqCst) < round {
                            assert!(start.elapsed().as_secs() < 30, "SGI {core} is lost");
                            std::thread::yield_now();
                        }
                    }
                    return;
                }
                let start = std::time::Instant::now();
                loop {
                    assert!(start.elapsed().as_secs() < 60, "SGIs are lost");
                    if kicks[0].swap(0, SeqCst) != 0 {
                        Vcpu::new(gic, 0, &mut delivery, &mut sink).inbox();
                        for (seen, answered) in sink.seen.iter().zip(answered) {
                            answered.store(*seen, SeqCst);
                        }
                    }
                    if (1..4).all(|from| sink.seen[from] >= ROUNDS) {
                        return;
                    }
                    std::thread::yield_now();
                }
            });
        }
    });
}
