//! The console at EL2: a guest's PL011, telling the console core, and joining rings and UART there.

use core::sync::atomic::Ordering::Relaxed;

use console::{After, LINE, Line, Output, PREFIX, Pace, Partitions, Typed, Waiting, published};
use vgic::{Bank, Physical};

use crate::cpu::core::Core;
use crate::cpu::timer;
use crate::power;
use crate::shared::{Global, Shared, Terminal, control};
use crate::uart::{RECEIVE, TRANSMIT, Uart};

/// Most bytes of one drain: with what it takes to find them, what the console core's guest has to wait for at once.
const BYTES: u32 = 10;
/// A begun line that has nothing to add keeps the terminal for this part of a second.
const PATIENCE_HZ: u64 = 1000;
/// Bytes that nobody gets, taken from the UART in one drain.
const DROPPED: u32 = 4;
/// A guest's core looks again so often whether its full ring has room, and the console core whether what is typed has.
const LOOKS_HZ: u64 = 50;
/// Offsets of the registers of a guest's PL011 that are used most: DR, FR.
pub const DATA: u64 = 0;
pub const FLAGS: u64 = 0x18;
/// In `Global::focus`: the partition has the terminal too.
const ALONE: u32 = 1 << 8;

/// Whether `intid` is the console UART's, which is routed to the core that drains it.
pub fn owns(core: &Core, intid: u32) -> bool {
    intid == core.plan.header.machine.uart_intid
}

/// Makes the console core's UART ready; the first partition has the input. After the barrier: the distributor is set up.
pub fn init(core: &mut Core) {
    let header = core.plan.header;
    if core.index != header.console_core as usize {
        return;
    }
    let frequency = timer::frequency();
    core.pace = Pace::new(header.console_share, frequency);
    core.mux.set_patience(frequency / PATIENCE_HZ);
    for (index, partition) in core.plan.partitions().iter().enumerate() {
        core.mux.set_name(index, &partition.name, partition.colour);
    }
    command(core, b'1');
    // It is not live until somebody asks for it.
    core.shared.global().focus.store(0, Relaxed);
    // SAFETY: the machine check saw the PL011 there; this core alone maps it, and drives it from here on.
    let uart = unsafe { Uart::new(header.machine.uart.base) };
    // What was typed before, as much as the hardware keeps: a command among it counts.
    for _ in 0..64 {
        if receive(core, uart).is_none() {
            break;
        }
    }
    uart.enable();
    uart.interrupt_on(RECEIVE);
    core.uart = Some(uart);
    let intid = header.machine.uart_intid;
    core.lists
        .write_bank(Bank::SetEnable, intid as usize / 32, 1 << (intid % 32));
    // It was awake so far, and nobody told it what came in.
    wake(core);
}

/// A guest reads its PL011's flags.
#[inline(always)]
pub fn flags(core: &Core) -> u64 {
    let terminal = core.terminal;
    let flags = core.state.uart.flags(&terminal.output, &terminal.input);
    flags.into()
}

/// A guest reads its PL011.
#[inline(never)]
pub fn guest_read(core: &mut Core, offset: u64) -> u64 {
    let terminal = core.terminal;
    let value = core
        .state
        .uart
        .read(offset, &terminal.output, &terminal.input);
    // The flags alone change nothing.
    if offset != FLAGS {
        update(core);
    }
    value.into()
}

/// A guest writes its PL011.
#[inline(never)]
pub fn guest_write(core: &mut Core, offset: u64, value: u64) {
    if offset == DATA {
        send(core, value as u8);
        return;
    }
    let terminal = core.terminal;
    let uart = &core.state.uart;
    uart.write(offset, value as u32, &terminal.output, &terminal.input);
    update(core);
}

/// A guest writes `byte` to its PL011's data register. Answers true, as whoever carries out an access does.
#[inline(never)]
pub fn send(core: &mut Core, byte: u8) -> bool {
    let (uart, output) = (&core.state.uart, &core.terminal.output);
    let mut changed = true;
    if let Some(used) = uart.send(byte, output) {
        published();
        let own = core.row.partition + 1;
        let is_live = core.shared.global().focus.load(Relaxed) & !ALONE == own;
        if is_live || byte == b'\n' || used >= LINE {
            mark(core);
        }
        changed = uart.changed_by(used, output);
    }
    if changed {
        update(core);
    }
    // As in `settle`.
    core::hint::black_box(true)
}

/// Something was typed for this core's partition.
pub fn typed(core: &mut Core) {
    update(core);
}

/// Brings the PL011's interrupt in line with its registers, and looks again later if that may change with the ring: the
/// drain does not tell the producer.
#[inline(never)]
fn update(core: &mut Core) {
    // What the registers hold now is seen by whoever changes the level after this look at it.
    published();
    // Twice: between a sibling's look at the registers and what it makes of them something may have been typed, and
    // whoever comes last must have seen the last state.
    let looks = [set_level(core), set_level(core)];
    if looks == [false; 2] {
        return;
    }
    say_lost(core, false);
    let at = timer::now() + timer::frequency() / LOOKS_HZ;
    core.look_at = core.look_at.min(at);
    core.rearm();
}

/// Says how many bytes of the guest's were lost, once that is over or `at_end`.
#[cold]
#[inline(never)]
pub fn say_lost(core: &Core, at_end: bool) {
    let lost = core.state.uart.lost(&core.terminal.output, at_end);
    if lost == 0 {
        return;
    }
    let mut line = power::about(core);
    line.dec(lost.into())
        .str(" bytes lost: written while its UART was full (TXFF)");
    say(core, &line);
}

/// Whether to look again.
#[inline(always)]
fn set_level(core: &mut Core) -> bool {
    let terminal = core.terminal;
    let (level, look) = core.state.uart.line(&terminal.output, &terminal.input);
    let intid = core.partition.uart_intid;
    core.vgic().set_level(intid, level);
    look
}

/// EL2's timer: the next drain is due, a full ring may have room. True if this core drained, which is its neighbours'
/// doing. The caller rearms the timer.
pub fn on_timer(core: &mut Core) -> bool {
    let now = timer::now();
    if core.look_at <= now {
        core.look_at = timer::NEVER;
        if !core.stopped {
            update(core);
        }
    }
    let due = core.drain_at <= now;
    if due {
        drain(core);
    }
    due
}

/// Prints a line of EL2's own.
pub fn say(core: &Core, line: &Line) {
    // A ring without room for it holds 768 bytes of such lines already.
    core.terminal
        .output
        .say(&[PREFIX.as_bytes(), line.as_bytes(), b"\r\n"]);
    kick(core);
}

/// This core's partition has stopped, and no guest code runs on this core any more.
pub fn end(core: &Core) {
    core.terminal.output.end();
    kick(core);
}

/// Tells the console core that this core's partition has something for it.
pub fn kick(core: &Core) {
    published();
    mark(core);
}

#[inline(always)]
fn mark(core: &Core) {
    if core.shared.global().waiting.mark(core.row.partition) {
        wake(core);
    }
}

/// The console core sleeps.
#[inline(never)]
pub fn wake(core: &Core) {
    let console = core.plan.header.console_core as usize;
    power::tell(core, console, control::CONSOLE);
}

/// The partitions as the console core sees them.
struct View {
    global: &'static Global,
    terminals: &'static [Terminal],
}

impl View {
    #[inline(always)]
    fn new(shared: &Shared) -> Self {
        Self {
            global: shared.global(),
            terminals: shared.terminals(),
        }
    }
}

impl Partitions for View {
    #[inline(always)]
    fn waiting(&self) -> &Waiting {
        &self.global.waiting
    }

    #[inline(always)]
    fn output(&self, index: usize) -> Option<&Output> {
        Some(&self.terminals.get(index)?.output)
    }

    #[inline(always)]
    fn live(&self, index: usize) -> (bool, bool) {
        let focus = self.global.focus.load(Relaxed);
        let own = index as u32 + 1;
        (focus & !ALONE == own, focus == own | ALONE)
    }

    #[inline(always)]
    fn stopped(&self, index: usize) -> bool {
        // Nobody prints before it runs.
        self.global.state(index) != abi::state::RUNNING
    }
}

/// Brings a byte that was typed to its ring, or a few of what is printed to the UART: so little that the guest of this core
/// hardly notices, and not again before its share of time has passed. Does nothing on other cores than the console's. The
/// caller rearms the timer.
pub fn drain(core: &mut Core) {
    let Some(uart) = core.uart else { return };
    if power::all_stopped(core) {
        finish(core, uart);
    }
    let start = timer::now();
    if let Some(at) = core.pace.wait(start) {
        core.drain_at = at;
        return uart.interrupt_on(0);
    }
    let view = View::new(&core.shared);
    // By turns: neither who types nor who prints keeps the other waiting.
    core.listens = !core.listens;
    let typed = match core.listens && uart.has_received() {
        true => receive(core, uart),
        false => None,
    };
    let waits = typed == Some(Typed::Waits);
    let after = match typed {
        None | Some(Typed::Waits) => core.mux.drain(BYTES, start, &uart, &view),
        Some(_) => After::More,
    };
    let end = timer::now();
    let next = core.pace.charge(start, end);
    let receive = if waits { 0 } else { RECEIVE };
    let look = match waits {
        true => end + timer::frequency() / LOOKS_HZ,
        false => timer::NEVER,
    };
    let interrupts = match after {
        After::Full => {
            core.drain_at = look;
            receive | TRANSMIT
        }
        After::Nothing if waits || !uart.has_received() => {
            // Whoever waits, with a line that is not there yet or for one that is begun, tells nobody again.
            core.drain_at = match core.shared.global().waiting.next(0) {
                Some(_) => end + timer::frequency() / PATIENCE_HZ,
                None => look,
            };
            receive
        }
        _ => {
            core.drain_at = next;
            0
        }
    };
    uart.interrupt_on(interrupts);
}

/// Takes a byte from the UART, if there is one and its partition has room for it.
#[inline(never)]
fn receive(core: &mut Core, uart: Uart) -> Option<Typed> {
    let ring = core.shared.terminal(core.listener).map(|to| &to.input);
    // So long a partition that reads nothing can keep whoever types from a command.
    let patience = timer::frequency();
    let keys = &mut core.keys;
    let mut take = || keys.take(ring, timer::now(), patience, || uart.read());
    let mut typed = take()?;
    // What is for nobody goes faster, so that a command behind it is not long in coming.
    for _ in 1..DROPPED {
        if typed != Typed::Nothing {
            break;
        }
        match take() {
            Some(next) => typed = next,
            None => break,
        }
    }
    match typed {
        Typed::Command(key) => {
            let line = command(core, key);
            say(core, &line);
        }
        Typed::Text | Typed::Nothing => {
            let to = core.plan.partitions().get(core.listener);
            let vcpus = to.map_or(&[][..], |to| core.plan.slice::<u32>(to.vcpus));
            if let Some(&first) = vcpus.first() {
                power::tell(core, first as usize, control::INPUT);
            }
        }
        Typed::Waits => {}
    }
    Some(typed)
}

/// Does what Ctrl-A and `key` ask for, and what is to be said then: who has the input, who could. A digit gives it to that
/// partition, counted from 1 in the manifest's order, or to nobody; again, it has the terminal too.
fn command(core: &mut Core, key: u8) -> Line {
    let number = u32::from(key.wrapping_sub(b'0'));
    let partitions = core.plan.partitions();
    if number as usize <= partitions.len() {
        let focus = &core.shared.global().focus;
        let again = focus.load(Relaxed) == number;
        focus.store(if again { number | ALONE } else { number }, Relaxed);
        core.listener = (number as usize).wrapping_sub(1);
        // What it has begun is shown.
        if number != 0 {
            core.shared.global().waiting.mark(number - 1);
        }
    }
    let partition = partitions.get(core.listener);
    let mut line = Line::default();
    line.str("input goes to ");
    line.name(partition.map_or(b"nobody", |partition| &partition.name));
    line.str("; 0 nobody");
    for (number, partition) in (1..).zip(partitions) {
        line.str(", ").dec(number).byte(b' ').name(&partition.name);
    }
    line
}

/// Every partition has stopped: brings out what waits, says so and switches off. Nobody is left to be kept waiting.
fn finish(core: &mut Core, uart: Uart) -> ! {
    flush(core, uart);
    say(core, &power::last_line(core));
    flush(core, uart);
    uart.flush();
    power::machine_off(core)
}

fn flush(core: &mut Core, uart: Uart) {
    let view = View::new(&core.shared);
    loop {
        let send = |byte| uart.write(byte);
        let sent = core.mux.step(BYTES, timer::now(), send, &view);
        if sent.is_none() && view.global.waiting.next(0).is_none() {
            return;
        }
    }
}
