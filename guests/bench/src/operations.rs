//! The operations of the budget table, one span each. There are two partitions: `lead` does them,
//! `answer` takes doorbells and messages; the lead's second vCPU takes its SGIs.

use alloc::sync::Arc;
use alloc::vec;
use core::sync::atomic::{AtomicU32, Ordering};

use aarch64_cpu::asm::{self, barrier};
use aarch64_cpu::registers::{CNTP_CTL_EL0, CNTP_CVAL_EL0, Writeable};
use bench::rendezvous::{Rendezvous, pause};
use rt::link::Link;
use rt::{Tree, fail, hv, interrupt, mmio, mmu, psci, smp, timer};

use crate::meter::Meter;

/// Repetitions of each operation: all cost the same, as a trace shows, so few are enough.
const COUNT: u32 = 64;
/// Repetitions before an operation is measured.
const WARM: u32 = 4;
/// Bytes of a message.
const MESSAGE: usize = 4096;
/// The SGI among the lead's own vCPUs.
const SGI: u32 = 1;
/// The physical EL1 timer's interrupt: it belongs to the guest like the virtual timer's, but guests
/// rarely use it.
const CNTP: u32 = 30;
/// The board's second PL011, which the system passes through: registers and interrupt.
const UART: (u64, u32) = (0x0904_0000, 40);
/// First of the interrupts that the system passes through and that are enabled once each, and their
/// number.
const SPARE: (u32, u32) = (48, 16);

/// `PSCI_VERSION` (DEN 0022).
const PSCI_VERSION: u64 = 0x8400_0000;
/// A call of the range for silicon vendors (DEN 0028, 6), of which EL2 has none.
const UNKNOWN: u64 = 0x8200_0001;
const GICD_CTLR: u64 = 0x000;
const GICD_TYPER: u64 = 0x004;
const GICD_ISENABLER0: u64 = 0x100;
const GICD_ISENABLER1: u64 = 0x104;
const GICD_ICENABLER1: u64 = 0x184;
const GICR_TYPER: u64 = 0x0008;
/// In a redistributor; with a GICv2 it is the distributor's [`GICD_ISENABLER0`].
const GICR_ISENABLER0: u64 = 0x1_0100;
/// The SGIs after [`SGI`], which are enabled once each, one bit each.
const SPARE_SGIS: u32 = 0xfffc;

const UARTDR: u64 = 0x00;
const UARTFR: u64 = 0x18;
const UARTIMSC: u64 = 0x38;
const UARTICR: u64 = 0x44;
const UART_TX: u32 = 1 << 5;

/// Time for the console to drain and other cores to be asleep, milliseconds.
const SETTLE: u64 = 5;
/// Time for the console to print crash records, milliseconds.
const PRINT: u64 = 200;

/// Sends doorbells only over the channel `last`, which is one of many in a system of many
/// partitions, and then wakes the others.
pub fn ring(tree: &'static Tree) {
    let rendezvous = Rendezvous::open(tree, "last");
    rendezvous.meet(1);
    settle();
    let mut meter = Meter::new();
    doorbells(&mut meter, &rendezvous);
    rendezvous.meet(2);
    meter.print();
    for node in tree.channels().filter(|node| node.name.starts_with("wake")) {
        if hv::ring(node.handle) != Ok(0) {
            fail!("{} was not rung", node.name);
        }
    }
}

/// Takes the doorbells of `ring`.
pub fn rung(tree: &'static Tree) {
    let rendezvous = Rendezvous::open(tree, "last");
    interrupt::enable(rendezvous.intid);
    rendezvous.meet(1);
    let mut meter = Meter::new();
    take_doorbells(&mut meter, &rendezvous);
    rendezvous.meet(2);
    meter.print();
}

/// Sleeps until it is woken.
pub fn sleep(tree: &'static Tree) {
    for node in tree.channels() {
        node.intid.into_iter().for_each(interrupt::enable);
    }
    interrupt::wait();
}

/// Runs and measures every operation.
pub fn lead(tree: &'static Tree) {
    let rendezvous = Rendezvous::open(tree, "board");
    begin(tree, &rendezvous);
    let mut link = open(tree);
    let (taken, done) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    sibling(&taken, &done);
    rendezvous.meet(1);
    settle();
    let mut meter = Meter::new();
    calls(&mut meter);
    registers(tree, &mut meter);
    timers(&mut meter);
    device(&mut meter);
    console(tree, &mut meter);
    sgis(&mut meter, &taken);
    doorbells(&mut meter, &rendezvous);
    messages(&mut meter, &mut link);

    // Draining the console enters EL2 on the console core, so no partition prints before all have
    // measured.
    rendezvous.meet(2);
    meter.print();
    done.store(1, Ordering::Release);
    await_count(&done, 2);
}

/// Runs the other partition.
pub fn answer(tree: &'static Tree) {
    let rendezvous = Rendezvous::open(tree, "board");
    begin(tree, &rendezvous);
    interrupt::enable(rendezvous.intid);
    let mut link = open(tree);
    rendezvous.meet(1);
    // The other end has rung when it opened.
    while interrupt::take().is_some() {}
    let mut meter = Meter::new();
    take_doorbells(&mut meter, &rendezvous);
    take_messages(&mut meter, &mut link);
    rendezvous.meet(2);
    meter.print();
}

/// With `life=2`, resets the partition in its first life, and waits until the peer's second life
/// has begun.
fn begin(tree: &Tree, rendezvous: &Rendezvous) {
    let Some(life) = tree.option("life").and_then(|life| life.parse::<u16>().ok()) else {
        return;
    };
    let peer = || hv::peer(rendezvous.handle).unwrap_or_default();
    if peer().own_generation < life {
        hv::hvc(psci::SYSTEM_RESET.into(), [0; 3]);
    }
    let runs = |peer: hv::Peer| peer.generation == life && peer.state == abi::state::RUNNING;
    while !runs(peer()) {
        pause();
    }
    // The console core prints what the restarts have left.
    let printed = timer::now() + timer::milliseconds(PRINT);
    while interrupt::wait_until(printed).is_some() {}
}

/// Sleeps until no other core runs: under `-icount` all cores share one count of instructions, so
/// EL2's counter of this core also moves by what another core runs while this one is in EL2.
fn settle() {
    let settled = timer::now() + timer::milliseconds(SETTLE);
    while interrupt::wait_until(settled).is_some() {}
}

fn open(tree: &Tree) -> Link {
    Link::open(tree, "ring").unwrap_or_else(|| fail!("no channel named \"ring\" at this vCPU"))
}

/// Measures `operation` after a few unmeasured ones.
fn warm(meter: &mut Meter, name: &'static str, mut operation: impl FnMut()) {
    (0..WARM).for_each(|_| operation());
    meter.span(name, COUNT, |_| operation());
}

fn calls(meter: &mut Meter) {
    warm(meter, "call-version", || {
        let _ = hv::version();
    });
    warm(meter, "psci-version", || {
        hv::hvc(PSCI_VERSION, [0; 3]);
    });
    warm(meter, "psci-version-smc", || {
        hv::smc(PSCI_VERSION, [0; 3]);
    });
    warm(meter, "unknown-call", || {
        hv::hvc(UNKNOWN, [0; 3]);
    });
}

fn registers(tree: &Tree, meter: &mut Meter) {
    let Some([(gicd, _), _]) = tree.gic() else { fail!("the device tree has no GIC") };
    // SAFETY: the distributor of the device tree, which the runtime mapped. Reading it has no
    // effect.
    let read = |register| unsafe { mmio::read32(gicd + register) };
    // SAFETY: as above; the write enables and disables interrupts that no device raises.
    let write = |register, value| unsafe { mmio::write32(gicd + register, value) };
    warm(meter, "gicd-typer-read", || {
        read(GICD_TYPER);
    });
    warm(meter, "gicd-isenabler-read", || {
        read(GICD_ISENABLER1);
    });
    let (first, count) = SPARE;
    let bit = |number: u32| 1 << ((first + number) % 32);
    for (name, register) in [
        ("gicd-isenabler-write", GICD_ISENABLER1),
        ("gicd-isenabler-again", GICD_ISENABLER1),
        ("gicd-icenabler-write", GICD_ICENABLER1),
    ] {
        meter.span(name, count, |number| write(register, bit(number)));
    }
    warm(meter, "gicd-ctlr-read", || {
        read(GICD_CTLR);
    });
    private(tree, meter);
}

/// Measures the registers that a redistributor has. A GICv2 has ISENABLER0 in its distributor, and
/// no `GICR_TYPER`.
fn private(tree: &Tree, meter: &mut Meter) {
    let Some(node) = tree.gic_node() else { fail!("the device tree has no GIC") };
    let [(gicd, _), (gicr, _)] = node.regs;
    let enable = if node.version == 3 { gicr + GICR_ISENABLER0 } else { gicd + GICD_ISENABLER0 };
    if node.version == 3 {
        warm(meter, "gicr-typer-read", || {
            // SAFETY: the redistributor of the device tree, which the runtime mapped. Reading it
            // has no effect.
            unsafe { mmio::read64(gicr + GICR_TYPER) };
        });
    }
    // SAFETY: as above.
    let read = || unsafe { mmio::read32(enable) };
    warm(meter, "isenabler0-read", || {
        read();
    });
    // SAFETY: as above; no such interrupt is sent, and its timer is off.
    let write = |bit| unsafe { mmio::write32(enable, bit) };
    let mut spare = SPARE_SGIS;
    meter.span("isenabler0-write", spare.count_ones(), |_| {
        write(spare & spare.wrapping_neg());
        spare &= spare - 1;
    });
    meter.span("isenabler0-write-timer", 1, |_| write(1 << CNTP));
}

/// Takes the next interrupt, which must be `intid`. `quieten` ends its cause before the interrupt
/// is ended: a level that is still high would raise it again.
fn take(intid: u32, quieten: impl FnOnce()) {
    loop {
        let Some(taken) = interrupt::acknowledge() else {
            barrier::dsb(barrier::SY);
            asm::wfi();
            continue;
        };
        if taken.intid() != intid {
            fail!("received interrupt {}, expected {intid}", taken.intid());
        }
        quieten();
        barrier::dsb(barrier::SY);
        barrier::isb(barrier::SY);
        return taken.end();
    }
}

fn timers(meter: &mut Meter) {
    // The delay is long enough for the core to be asleep when the interrupt comes.
    let ticks = timer::frequency() / 50_000;
    warm(meter, "virtual-timer", || {
        timer::arm(timer::now() + ticks);
        take(timer::INTID, timer::disarm);
    });
    interrupt::enable(CNTP);
    warm(meter, "physical-timer", || {
        CNTP_CVAL_EL0.set(timer::now() + ticks);
        CNTP_CTL_EL0.set(1);
        take(CNTP, || CNTP_CTL_EL0.set(0));
    });
}

fn device(meter: &mut Meter) {
    let (base, intid) = UART;
    mmu::map(base, 0x1000, mmu::Kind::Device);
    interrupt::enable(intid);
    // SAFETY: the PL011 that the system passes through; its registers are not memory.
    let write = |register, value| unsafe { mmio::write32(base + register, value) };
    write(UARTIMSC, UART_TX);
    warm(meter, "device-interrupt", || {
        write(UARTDR, 0);
        take(intid, || write(UARTICR, UART_TX));
    });
}

/// Measures the emulated PL011. The bytes do not end a line, so the console core is not woken and
/// does not show them.
fn console(tree: &Tree, meter: &mut Meter) {
    let Some((base, _)) = tree.device("arm,pl011") else { fail!("the device tree has no PL011") };
    // SAFETY: the PL011 that the runtime mapped; its registers are not memory.
    let read = |register| unsafe { mmio::read32(base + register) };
    // SAFETY: as above.
    let write = |register, value: u8| unsafe { mmio::write32(base + register, value.into()) };
    warm(meter, "uart-fr-read", || {
        read(UARTFR);
    });
    warm(meter, "uart-dr-write", || write(UARTDR, 0));
}

/// Starts the second vCPU: it takes SGIs, counts them in `taken`, and prints their cost once the
/// lead sets `done`.
fn sibling(taken: &Arc<AtomicU32>, done: &Arc<AtomicU32>) {
    let (taken, done) = (Arc::clone(taken), Arc::clone(done));
    let started = smp::start(1, move || {
        interrupt::enable(SGI);
        let mut meter = Meter::new();
        taken.store(1, Ordering::Release);
        let mut serve = |_| {
            take(SGI, || ());
            taken.fetch_add(1, Ordering::Release);
        };
        (0..WARM).for_each(&mut serve);
        meter.span("sgi-receive", COUNT, &mut serve);
        while done.load(Ordering::Acquire) == 0 {
            pause();
        }
        meter.print();
        done.store(2, Ordering::Release);
    });
    started.unwrap_or_else(|error| fail!("vCPU 1 does not start: {error}"));
}

fn await_count(word: &AtomicU32, value: u32) {
    while word.load(Ordering::Acquire) < value {
        pause();
    }
}

fn sgis(meter: &mut Meter, taken: &AtomicU32) {
    await_count(taken, 1);
    let mut sent = 1;
    warm(meter, "sgi-send", || {
        interrupt::send(SGI, 1);
        sent += 1;
        await_count(taken, sent);
    });
}

fn doorbells(meter: &mut Meter, rendezvous: &Rendezvous) {
    let mut sent = 0;
    warm(meter, "doorbell-send", || {
        if hv::ring(rendezvous.handle) != Ok(0) {
            fail!("a doorbell was not sent");
        }
        sent += 1;
        rendezvous.await_word(1, sent);
    });
}

fn take_doorbells(meter: &mut Meter, rendezvous: &Rendezvous) {
    let mut taken = 0;
    warm(meter, "doorbell-receive", || {
        take(rendezvous.intid, || ());
        taken += 1;
        rendezvous.tell(1, taken);
    });
}

/// Sends a message and takes a short one back, each with a doorbell because the other side sleeps.
fn messages(meter: &mut Meter, link: &mut Link) {
    let message = vec![0x5a; MESSAGE];
    let mut answer = [0; 8];
    warm(meter, "message-send", || {
        let sent = link.push(&message, u64::MAX).and_then(|()| link.flush());
        let answered = sent.and_then(|()| link.wait(u64::MAX));
        match answered.and_then(|()| link.receive(&mut answer)) {
            Ok(Some(8)) => {}
            other => fail!("no answer to a message: {other:?}"),
        }
    });
}

fn take_messages(meter: &mut Meter, link: &mut Link) {
    let mut buffer = vec![0; MESSAGE];
    warm(meter, "message-receive", || {
        let there = link.wait(u64::MAX);
        match there.and_then(|()| link.receive(&mut buffer)) {
            Ok(Some(MESSAGE)) => {}
            other => fail!("no message: {other:?}"),
        }
        let answered = link.push(&[0; 8], u64::MAX).and_then(|()| link.flush());
        answered.unwrap_or_else(|error| fail!("no answer: {error}"));
    });
}
