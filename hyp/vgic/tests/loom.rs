// SPDX-License-Identifier: MIT OR Apache-2.0
//! Every interleaving of what the cores of a partition do to one SPI that changes hands. Run with
//! `RUSTFLAGS="--cfg loom" cargo test -p bulkhead-vgic --release --test loom`.
#![cfg(loom)]

mod machine;

use bulkhead_vgic::{Delivery, Entry, Gic, Vcpu};
use loom::thread::{Builder, JoinHandle};
use machine::{Hardware, Machine, row};
use plan::{INTERRUPT_EDGE as EDGE, INTERRUPT_PHYSICAL as PHYSICAL};
use std::cell::RefCell;
use std::rc::Rc;

/// A physical level-sensitive SPI, which the guest routes from vCPU 0 to vCPU 1.
const DISK: u32 = 45;
/// A software edge-triggered SPI.
const SOFTWARE: u32 = 40;

/// GICD_IROUTER of `intid`.
fn router(intid: u32) -> u64 {
    0x6000 + 8 * u64::from(intid)
}

/// One core, owned by the thread that runs it.
struct Core {
    gic: Rc<Gic>,
    delivery: Delivery,
    hardware: Hardware,
}

impl Core {
    fn vcpu(&mut self) -> Vcpu<'_, Hardware> {
        Vcpu::new(&self.gic, self.hardware.core, &mut self.delivery, &mut self.hardware)
    }

    /// Enters EL2 for the physical interrupt that is signalled to this core, if any.
    fn interrupt(&mut self) {
        let core = self.hardware.core;
        let signalled = self.hardware.physical.borrow().signalled(core);
        if let Some(intid) = signalled {
            self.hardware.physical.borrow_mut().acknowledge(core, intid);
            machine::barrier();
            assert!(self.vcpu().physical(intid));
        }
    }

    /// Enters EL2 for the doorbell SGI, if one was sent.
    fn kicked(&mut self) {
        let core = self.hardware.core;
        if std::mem::take(&mut self.hardware.kicks.borrow_mut()[core]) != 0 {
            self.vcpu().take_requests();
        }
    }
}

std::thread_local! {
    /// The cores whose threads have not started or have ended. Loom's threads share one of the
    /// system's.
    static CORES: RefCell<Vec<Core>> = const { RefCell::new(Vec::new()) };
}

/// Lets the cores of `machine` do `acts` at once, each on its own thread.
fn at_once(machine: &mut Machine, acts: &[(usize, fn(&mut Core))]) {
    let deliveries = machine.deliveries.drain(..);
    for (hardware, delivery) in machine.cores.drain(..).zip(deliveries) {
        let gic = machine.gic.clone();
        CORES.with_borrow_mut(|cores| {
            cores.push(Core { gic, delivery, hardware });
        });
    }
    let start = |&(at, act): &(usize, fn(&mut Core))| {
        let run = move || {
            let mut core = CORES.with_borrow_mut(|cores| {
                let at = cores.iter().position(|core| core.hardware.core == at);
                cores.swap_remove(at.unwrap())
            });
            act(&mut core);
            CORES.with_borrow_mut(|cores| cores.push(core));
        };
        spawn(run)
    };
    let threads: Vec<_> = acts.iter().map(start).collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let mut cores = CORES.take();
    cores.sort_by_key(|core| core.hardware.core);
    for core in cores {
        machine.deliveries.push(core.delivery);
        machine.cores.push(core.hardware);
    }
}

/// A thread with room for the machine on its stack: loom's own are of 32 KiB.
fn spawn(run: impl FnOnce() + Send + 'static) -> JoinHandle<()> {
    let builder = Builder::new().stack_size(0x2_0000);
    builder.spawn(run).unwrap()
}

/// Tries the interleavings of `run`.
fn model(run: fn()) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(2);
    builder.max_branches = 100_000;
    builder.check(move || spawn(run).join().unwrap());
}

/// Three vCPUs with one list register each; all interrupts are in Group 1 and routed to vCPU 0.
fn partition() -> Machine {
    let rows = [row(SOFTWARE as u16, EDGE, 0), row(DISK as u16, PHYSICAL, 0)];
    let mut machine = Machine::new(3, 1, &rows);
    machine.set_gicd(0, 0, 3);
    machine.set_gicd(0, 0x84, u32::MAX);
    machine.set_gicd(0, 0x104, u32::MAX);
    for vcpu in 0..3 {
        machine.set_gicr(vcpu, vcpu, 0x1_0080, u32::MAX);
        machine.set_gicr(vcpu, vcpu, 0x1_0100, u32::MAX);
    }
    machine.settle();
    machine
}

/// Latches the SPI at vCPU 0, whose guest takes and ends it: EL2 does not know of the end yet.
fn ended_at_vcpu_0(machine: &mut Machine) {
    machine.vcpu(0).park();
    machine.set_line(0, DISK, true);
    machine.settle();
    machine.vcpu(0).unpark();
    machine.settle();
    assert_eq!(machine.cores[0].acknowledge(), Some(DISK));
    machine.cores[0].end(DISK);
}

/// Raises the line of the SPI while no vCPU holds it and vCPU 0 has a list register for it.
fn rises_unheld(machine: &mut Machine) {
    ended_at_vcpu_0(machine);
    machine.set_line(0, DISK, false);
    machine.vcpu(0).sync();
    machine.set_line(0, DISK, true);
}

/// Checks that `intid` is signalled only to the guest of vCPU `core`, once, and is over after its
/// end.
fn comes_once(machine: &mut Machine, intid: u32, core: usize) {
    machine.settle();
    for (other, hardware) in machine.cores.iter().enumerate() {
        let expected = (other == core).then_some(intid);
        let signalled = hardware.signalled().map(|at| Entry(hardware.registers[at]).intid());
        assert_eq!(signalled, expected, "at vCPU {other}");
    }
    assert_eq!(machine.cores[core].acknowledge(), Some(intid));
    machine.set_line(0, DISK, false);
    machine.cores[core].end(intid);
    comes_not(machine);
}

/// Checks that no interrupt is signalled any more, and none is left active.
fn comes_not(machine: &mut Machine) {
    machine.settle();
    for core in &machine.cores {
        assert_eq!(core.signalled(), None, "at vCPU {}", core.core);
    }
    assert_eq!(machine.physical.borrow().active[0][1], 0);
}

/// Checks that the SPI comes if it arrives at vCPU 1 and finds no free list register while vCPU 0,
/// whose guest has ended it, empties its list registers.
#[test]
fn an_arrival_is_kept_while_the_last_holder_folds() {
    model(|| {
        let mut machine = partition();
        ended_at_vcpu_0(&mut machine);
        // SGI 1 occupies vCPU 1's list register.
        machine.vcpu(1).inject(1);
        machine.vcpu(1).write(None, router(DISK), 8, 1);
        at_once(&mut machine, &[(0, Core::kicked), (1, Core::interrupt)]);
        machine.settle();
        assert_eq!(machine.cores[1].acknowledge(), Some(1));
        machine.cores[1].end(1);
        comes_once(&mut machine, DISK, 1);
    });
}

/// Checks the same with a free list register: the guest takes and ends it before the last holder is
/// done.
#[test]
fn an_arrival_ends_while_the_last_holder_folds() {
    model(|| {
        let mut machine = partition();
        ended_at_vcpu_0(&mut machine);
        machine.vcpu(1).write(None, router(DISK), 8, 1);
        let take = |core: &mut Core| {
            core.interrupt();
            assert_eq!(core.hardware.acknowledge(), Some(DISK));
            core.vcpu().sync();
        };
        at_once(&mut machine, &[(0, Core::kicked), (1, take)]);
        machine.settle();
        assert_eq!(machine.gicd(1, 0x304) >> 13 & 1, 1, "active at vCPU 1");
        machine.set_line(0, DISK, false);
        machine.cores[1].end(DISK);
        comes_not(&mut machine);
    });
}

/// Lets EL2 acknowledge the SPI on vCPU 0 while another vCPU routes it away.
#[test]
fn an_arrival_that_is_routed_away_follows_its_route() {
    model(|| {
        let mut machine = partition();
        rises_unheld(&mut machine);
        let route = |core: &mut Core| core.vcpu().write(None, router(DISK), 8, 1);
        at_once(&mut machine, &[(0, Core::interrupt), (2, route)]);
        comes_once(&mut machine, DISK, 1);
    });
}

/// Lets EL2 acknowledge the SPI on vCPU 0 while another vCPU disables it.
#[test]
fn an_arrival_that_is_disabled_is_retracted() {
    model(|| {
        let mut machine = partition();
        rises_unheld(&mut machine);
        let disable = |core: &mut Core| core.vcpu().write(None, 0x184, 4, 1 << 13);
        at_once(&mut machine, &[(0, Core::interrupt), (2, disable)]);
        comes_not(&mut machine);
        machine.set_gicd(2, 0x104, 1 << 13);
        comes_once(&mut machine, DISK, 0);
    });
}

/// Lets EL2 acknowledge the SPI on vCPU 0 while another vCPU raises its priority.
#[test]
fn an_arrival_gets_the_priority_that_is_written_meanwhile() {
    model(|| {
        let mut machine = partition();
        rises_unheld(&mut machine);
        let write = |core: &mut Core| core.vcpu().write(None, 0x400 + u64::from(DISK), 1, 0x80);
        at_once(&mut machine, &[(0, Core::interrupt), (2, write)]);
        machine.settle();
        let at = machine.cores[0].signalled().unwrap();
        assert_eq!(Entry(machine.cores[0].registers[at]).priority(), 0x80);
        comes_once(&mut machine, DISK, 0);
    });
}

/// Checks that an interrupt that arrives while a sibling makes it active is signalled at most once,
/// and ends with ICACTIVER.
#[test]
fn an_arrival_that_a_register_makes_active_ends() {
    model(|| {
        let mut machine = partition();
        rises_unheld(&mut machine);
        let activate = |core: &mut Core| core.vcpu().write(None, 0x304, 4, 1 << 13);
        at_once(&mut machine, &[(0, Core::interrupt), (2, activate)]);
        machine.settle();
        if machine.cores[0].acknowledge().is_some() {
            machine.cores[0].end(DISK);
        }
        machine.set_line(0, DISK, false);
        machine.set_gicd(2, 0x384, 1 << 13);
        comes_not(&mut machine);
        machine.set_line(0, DISK, true);
        comes_once(&mut machine, DISK, 0);
    });
}

/// Runs three cores at once: vCPU 0 folds, the SPI arrives at vCPU 1, and vCPU 2 routes it back.
#[test]
fn an_spi_that_is_routed_back_while_it_changes_hands_follows_its_route() {
    model(|| {
        let mut machine = partition();
        ended_at_vcpu_0(&mut machine);
        machine.vcpu(1).write(None, router(DISK), 8, 1);
        let back = |core: &mut Core| core.vcpu().write(None, router(DISK), 8, 0);
        at_once(&mut machine, &[(0, Core::kicked), (1, Core::interrupt), (2, back)]);
        comes_once(&mut machine, DISK, 0);
    });
}

/// Lets two vCPUs route it at once: hardware and state agree on one of them.
#[test]
fn two_routes_at_once_end_in_one() {
    model(|| {
        let mut machine = partition();
        machine.set_line(0, DISK, true);
        machine.settle();
        let one = |core: &mut Core| core.vcpu().write(None, router(DISK), 8, 1);
        let two = |core: &mut Core| core.vcpu().write(None, router(DISK), 8, 2);
        at_once(&mut machine, &[(1, one), (2, two)]);
        machine.settle();
        let target = machine.gicd(0, router(DISK)) as usize;
        comes_once(&mut machine, DISK, target);
    });
}

/// Lets one vCPU disable it while another enables it: hardware has the state that the register
/// shows.
#[test]
fn a_disable_and_an_enable_at_once_end_in_one_state() {
    model(|| {
        let mut machine = partition();
        let disable = |core: &mut Core| core.vcpu().write(None, 0x184, 4, 1 << 13);
        let enable = |core: &mut Core| core.vcpu().write(None, 0x104, 4, 1 << 13);
        at_once(&mut machine, &[(1, disable), (2, enable)]);
        machine.settle();
        let register = machine.gicd(0, 0x104) >> 13 & 1;
        assert_eq!(machine.physical.borrow().enable[0][1] >> 13 & 1, register);
    });
}

/// Makes a software interrupt pending while another vCPU routes it away.
#[test]
fn a_software_spi_that_is_routed_away_follows_its_route() {
    model(|| {
        let mut machine = partition();
        let set = |core: &mut Core| core.vcpu().write(None, 0x204, 4, 1 << 8);
        let route = |core: &mut Core| core.vcpu().write(None, router(SOFTWARE), 8, 1);
        at_once(&mut machine, &[(0, set), (2, route)]);
        comes_once(&mut machine, SOFTWARE, 1);
    });
}

/// Routes an interrupt away that is pending at vCPU 0, and routes it back while it moves.
#[test]
fn a_software_spi_that_is_routed_back_is_not_lost() {
    model(|| {
        let mut machine = partition();
        machine.set_gicd(0, 0x204, 1 << 8);
        machine.set_gicd(2, router(SOFTWARE), 1);
        let back = |core: &mut Core| core.vcpu().write(None, router(SOFTWARE), 8, 0);
        at_once(&mut machine, &[(0, Core::kicked), (2, back)]);
        comes_once(&mut machine, SOFTWARE, 0);
    });
}

/// Lets vCPU 0 return an SPI that is disabled while a sibling enables it by EL2's fast path.
#[test]
fn an_enable_while_a_disabled_spi_is_let_go_is_not_lost() {
    model(|| {
        let mut machine = partition();
        machine.set_gicd(0, 0x184, 1 << (SOFTWARE % 32));
        let enable = |core: &mut Core| {
            let waits = core.vcpu().enable_spis(0x104, 1 << (SOFTWARE % 32)).unwrap();
            if waits != 0 {
                core.vcpu().settle(0x104, waits);
            }
        };
        at_once(&mut machine, &[(0, |core| core.vcpu().inject(SOFTWARE)), (1, enable)]);
        comes_once(&mut machine, SOFTWARE, 0);
    });
}

/// Lets vCPU 0 hand it over while vCPU 1 clears it and makes it pending again: no request is lost.
#[test]
fn a_request_to_a_software_spi_that_moves_is_not_lost() {
    model(|| {
        let mut machine = partition();
        machine.set_gicd(0, 0x204, 1 << 8);
        machine.set_gicd(2, router(SOFTWARE), 1);
        let set = |core: &mut Core| {
            core.vcpu().write(None, 0x284, 4, 1 << 8);
            core.vcpu().write(None, 0x204, 4, 1 << 8);
        };
        at_once(&mut machine, &[(0, Core::kicked), (1, set)]);
        comes_once(&mut machine, SOFTWARE, 1);
    });
}
