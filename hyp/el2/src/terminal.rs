//! The console at EL2: a guest's PL011, telling the console core, and joining rings and UART there.

use core::sync::atomic::Ordering::{Relaxed, SeqCst};

use console::{Line, Typed};
use vgic::{Bank, Physical};

use crate::cpu::core::Core;
use crate::cpu::timer;
use crate::power;
use crate::shared::control;
use crate::uart::Uart;

/// Steps (a byte in, a byte out) of one drain: what the console core's guest may have to wait for.
const STEPS: u32 = 64;
/// Drains a second at most, whatever is printed and typed: with [`STEPS`] a bound on what that takes of the console core.
const DRAINS_HZ: u64 = 1000;
/// A guest's core looks again so often whether its full ring has room.
const LOOKS_HZ: u64 = 20;
/// In `Global::focus`: the partition has the terminal too.
const ALONE: u32 = 1 << 8;

/// Whether `intid` is the console UART's, which is routed to the core that drains it.
pub fn owns(core: &Core, intid: u32) -> bool {
    intid == core.plan.header.machine.uart_intid
}

/// Makes the console core's UART ready; the first partition has the input. After the barrier: the distributor is set up.
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
        command(core, b'1');
        // It is not live until somebody asks for it.
        core.shared.global().focus.store(0, Relaxed);
    }
}

/// A guest reads its PL011.
#[inline(never)]
pub fn guest_read(core: &mut Core, offset: u64) -> u64 {
    let value = core.state.uart.read(offset, &core.printer, core.input);
    update(core);
    value.into()
}

/// A guest writes its PL011.
#[inline(never)]
pub fn guest_write(core: &mut Core, offset: u64, value: u64) {
    core.state.uart.write(offset, value as u32, core.input);
    if offset == 0 {
        let focus = core.shared.global().focus.load(Relaxed);
        let own = core.row.partition + 1;
        let (live, alone) = (focus & !ALONE == own, focus == own | ALONE);
        if core.printer.print(value as u8, live, alone) {
            kick(core);
        }
    }
    update(core);
}

/// Something was typed for this core's partition, or it has the input now: an unfinished line is shown.
pub fn typed(core: &mut Core) {
    core.printer.show();
    kick(core);
    update(core);
}

/// Brings the PL011's interrupt in line with its registers, and looks again later if its ring is full: the drain does not
/// tell the producer.
fn update(core: &mut Core) {
    // Twice: between a sibling's look at the registers and what it makes of them something may have been typed, and
    // whoever comes last must have seen the last state.
    set_level(core);
    set_level(core);
    if !core.printer.has_room() {
        wait(core, LOOKS_HZ);
    }
}

#[inline(never)]
fn set_level(core: &mut Core) {
    let level = core.state.uart.level(&core.printer, core.input);
    let intid = core.partition.uart_intid;
    core.vgic().set_level(intid, level);
}

/// Looks again a `hz`th of a second from now, unless sooner already.
fn wait(core: &mut Core, hz: u64) {
    let at = timer::now() + timer::frequency() / hz;
    core.console_at = Some(core.console_at.map_or(at, |earlier| earlier.min(at)));
    core.rearm();
}

/// EL2's timer: the next drain is due, a full ring may have room. True if this core drained, which is its neighbours'
/// doing. The caller rearms the timer.
pub fn tick(core: &mut Core) -> bool {
    if core.console_at.is_none_or(|at| timer::now() < at) {
        return false;
    }
    core.console_at = None;
    drain(core);
    if !core.stopped {
        update(core);
    }
    core.uart.is_some()
}

/// Prints a line of EL2's own.
pub fn say(core: &mut Core, line: &Line) {
    core.printer.say(line);
    kick(core);
}

/// Tells the console core that there is work for it, unless it knows.
pub fn kick(core: &Core) {
    if core.shared.global().console_busy.swap(1, SeqCst) == 0 {
        let console = core.plan.header.console_core as usize;
        power::tell(core, console, control::CONSOLE);
    }
}

/// Brings what was typed to its ring and what is printed to the UART, for one round. Does nothing on other cores than the
/// console's. `console_busy` stays set, so that nobody sends an SGI, until a whole period has found nothing to do.
pub fn drain(core: &mut Core) {
    let Some(uart) = core.uart else { return };
    let all_stopped = power::all_stopped(core);
    let steps = (0..STEPS).take_while(|&step| {
        let typed = !all_stopped && receive(core, uart);
        uart.has_room() && transmit(core, uart, step == 0) || typed
    });
    let mut idle = steps.count() == 0;
    if idle {
        // Whoever puts something in from here on tells us; what came in before that is seen here.
        core.shared.global().console_busy.store(0, SeqCst);
        idle = waiting(core) == 0;
    }
    // While it is busy the timer is what wakes it.
    uart.interrupt_on_input(idle);
    if !idle {
        wait(core, DRAINS_HZ);
    } else if all_stopped {
        finish(core, uart);
    }
}

/// The cores whose output waits, a bit each.
#[inline(never)]
fn waiting(core: &Core) -> u32 {
    let cores = core.shared.cores().rev();
    cores.fold(0, |mask, core| {
        mask << 1 | u32::from(core.output.waiting() != 0)
    })
}

/// Takes a byte from the UART. False: there is none.
fn receive(core: &mut Core, uart: Uart) -> bool {
    let ring = core.shared.core(core.listener).map(|core| &core.input);
    let Some(typed) = core.keys.take(ring, || uart.read()) else {
        return false;
    };
    if let Typed::Command(key) = typed {
        let line = command(core, key);
        say(core, &line);
    }
    if typed != Typed::Nothing {
        power::tell(core, core.listener, control::INPUT);
    }
    true
}

/// Does what Ctrl-A and `key` ask for, and what is to be said then: who has the input, who could. A digit gives it to that
/// partition, counted from 1 in the manifest's order, or to nobody; again, it has the terminal too.
fn command(core: &mut Core, key: u8) -> Line {
    let number = u32::from(key.wrapping_sub(b'0'));
    let is_first = |row: &plan::Core| row.partition + 1 == number && row.vcpu == 0;
    let listener = core.cores.iter().position(is_first);
    if listener.is_some() || number == 0 {
        let focus = &core.shared.global().focus;
        let again = focus.load(Relaxed) == number;
        focus.store(if again { number | ALONE } else { number }, Relaxed);
        core.listener = listener.unwrap_or(usize::MAX);
    }
    let partitions = core.plan.partitions();
    let row = core.cores.get(core.listener);
    let partition = row.and_then(|row| partitions.get(row.partition as usize));
    let mut line = Line::default();
    line.str("input goes to ");
    line.name(partition.map_or(b"nobody", |partition| &partition.name));
    line.str("; 0 nobody");
    for (number, partition) in (1..).zip(partitions) {
        line.str(", ").dec(number).byte(b' ').name(&partition.name);
    }
    line
}

/// Gives the UART what waits. False: nothing does.
fn transmit(core: &mut Core, uart: Uart, first: bool) -> bool {
    let (waiting, shared) = (waiting(core), core.shared);
    let byte = core
        .mux
        .next(first, waiting, |index| shared.core(index)?.output.pop());
    byte.map(|byte| uart.write(byte)).is_some()
}

/// Every partition has stopped and every line is out: says so and switches off. Nobody is left to be kept waiting.
fn finish(core: &mut Core, uart: Uart) -> ! {
    core.printer.say(&power::last_line(core));
    while transmit(core, uart, true) {}
    uart.flush();
    power::machine_off(core)
}
