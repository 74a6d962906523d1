//! The console at EL2: a guest's PL011 accesses, telling the console core, and draining there.

use core::sync::atomic::Ordering::SeqCst;

use console::{Line, Progress, Rings, Source};
use log::{LevelFilter, Log, Metadata, Record};
use spin::Once;
use vgic::{Bank, Physical};

use crate::cpu::core::Core;
use crate::cpu::timer;
use crate::power;
use crate::shared::control;
use crate::uart::Uart;

/// Steps (about a byte each) of one drain: what the console core's guest may have to wait for.
const BUDGET: u32 = 64;
/// Drains a second at most, whatever the others print: with [`BUDGET`] a bound on what printing takes of the console core.
const DRAINS_HZ: u64 = 1000;
/// How long an unfinished line, or a guest whose ring is full, waits: a 20th of a second.
const PATIENCE_HZ: u64 = 20;

/// Whether `intid` is the console UART's, and this the core that drains it.
pub fn owns(core: &Core, intid: u32) -> bool {
    core.uart.is_some() && intid == core.plan.header.machine.uart_intid
}

/// Makes the console core's UART ready. After the barrier: the distributor is set up.
pub fn init(core: &mut Core) {
    let header = core.plan.header;
    if core.index == header.console_core as usize {
        // SAFETY: the machine check saw the PL011 there; this core alone maps it, and drives it from here on.
        let uart = unsafe { Uart::new(header.machine.uart.base) };
        uart.enable();
        core.uart = Some(uart);
        let intid = header.machine.uart_intid;
        core.lists
            .write_bank(Bank::SetEnable, intid as usize / 32, 1 << (intid % 32));
    }
}

/// A guest reads its PL011.
pub fn guest_read(core: &mut Core, offset: u64) -> u64 {
    core.state.uart.read(offset, &core.mine.rings.guest).into()
}

/// A guest writes its PL011.
pub fn guest_write(core: &mut Core, offset: u64, value: u64) {
    let ring = &core.mine.rings.guest;
    let notify = core.state.uart.write(offset, value as u32, ring);
    if ring.is_full() {
        // The drain does not tell the producer; it looks again itself.
        wait(core, PATIENCE_HZ, true);
    }
    update_level(core);
    if notify {
        kick(core);
    }
}

/// Brings the PL011's interrupt in line with its registers.
fn update_level(core: &mut Core) {
    let level = core.state.uart.level(&core.mine.rings.guest);
    let intid = core.partition.uart_intid;
    core.vgic().set_level(intid, level);
}

/// Looks again a `hz`th of a second from now, unless sooner already.
fn wait(core: &mut Core, hz: u64, patient: bool) {
    let at = timer::now() + timer::frequency() / hz;
    if core.console_at.is_none_or(|(earlier, _)| at < earlier) {
        core.console_at = Some((at, patient));
    }
    core.rearm();
}

/// EL2's timer: the next drain is due, unfinished lines have waited enough, a full ring may have room. True if this core
/// drained, which is its neighbours' doing. The caller rearms the timer.
pub fn tick(core: &mut Core) -> bool {
    let Some((_, patient)) = core.console_at.filter(|&(at, _)| timer::now() >= at) else {
        return false;
    };
    core.console_at = None;
    drain(core, patient);
    if core.mine.rings.guest.is_full() {
        wait(core, PATIENCE_HZ, true);
    }
    update_level(core);
    core.uart.is_some()
}

/// Puts a line of EL2's own into this core's ring. A ring that is full has 1 KiB of this core's lines in it already.
pub fn say(core: &mut Core, line: &Line) {
    core.mine.rings.el2.push_line(line.as_bytes());
    kick(core);
}

/// Tells the console core that rings hold something, unless it knows.
pub fn kick(core: &mut Core) {
    let global = core.shared.global();
    if global.console_busy.swap(1, SeqCst) == 0 {
        power::tell(
            core,
            core.plan.header.console_core as usize,
            control::CONSOLE,
        );
    }
}

/// The UART's interrupt: there is room again.
pub fn room(core: &mut Core) {
    if let Some(uart) = core.uart {
        uart.acknowledge();
        drain(core, true);
    }
}

/// Writes what waits in the rings to the UART, as much as it takes and the budget allows. With `patient`, unfinished lines
/// wait a little longer. Does nothing on other cores than the console's.
///
/// `console_busy` stays set, so that nobody sends an SGI, until a whole period has found nothing to do.
pub fn drain(core: &mut Core, patient: bool) {
    let Some(uart) = core.uart else { return };
    let found = rings_hold(core);
    let progress = step(core, uart, patient, BUDGET);
    uart.interrupt_on_room(progress == Progress::Full);
    match progress {
        Progress::Full => {}
        Progress::Held => wait(core, PATIENCE_HZ, false),
        Progress::Idle if power::all_stopped(core) && !rings_hold(core) => finish(core, uart),
        Progress::Idle if !found => {
            // Whoever puts something in from here on tells us; what came in before that is seen here.
            core.shared.global().console_busy.store(0, SeqCst);
            if rings_hold(core) {
                kick(core);
            }
        }
        Progress::Idle | Progress::More => wait(core, DRAINS_HZ, true),
    }
}

fn rings_hold(core: &Core) -> bool {
    core.shared
        .cores()
        .any(|other| !other.rings.guest.is_empty() || !other.rings.el2.is_empty())
}

fn step(core: &mut Core, uart: Uart, patient: bool, budget: u32) -> Progress {
    let (plan, shared) = (core.plan, core.shared);
    let source = |index: usize| {
        let partition = plan
            .partitions()
            .get(plan.cores().get(index)?.partition as usize)?;
        Some(Source {
            rings: &shared.core(index)?.rings,
            name: &partition.name,
            colour: partition.colour,
        })
    };
    core.mux
        .drain(plan.cores().len(), source, patient, budget, |byte| {
            uart.write(byte)
        })
}

/// Every partition has stopped and every line is out: says so and switches off. Nobody is left to be kept waiting.
fn finish(core: &mut Core, uart: Uart) -> ! {
    core.mine
        .rings
        .el2
        .push_line(power::last_line(core).as_bytes());
    while step(core, uart, false, BUDGET) != Progress::Idle {}
    uart.flush_blocking();
    power::machine_off(core)
}

/// `log`'s way to the console, for boot. Text without arguments alone: formatting would bring indirect calls along.
struct BootLog;

/// The rings of the core that logs.
static RINGS: Once<&'static Rings> = Once::new();

impl Log for BootLog {
    fn enabled(&self, _: &Metadata) -> bool {
        true
    }

    fn log(&self, record: &Record) {
        if let (Some(rings), Some(text)) = (RINGS.get(), record.args().as_str()) {
            rings.el2.push_line(text.as_bytes());
        }
    }

    fn flush(&self) {}
}

/// Boot is over on the core that led it: says so.
pub fn log_start(core: &mut Core) {
    static LOG: BootLog = BootLog;
    RINGS.call_once(|| &core.mine.rings);
    if log::set_logger(&LOG).is_ok() {
        log::set_max_level(LevelFilter::Info);
        log::info!("the machine covers the plan, every core is ready: partitions start");
        kick(core);
    }
}
