//! The console at EL2: the emulation of a guest's PL011, the wake-up of the console core, and there
//! the transfers between rings and UART.

use core::sync::atomic::Ordering::Relaxed;

use ::console::{
    After, KEPT, LINE, LineBuffer, Monitor, Output, PREFIX, Pace, Partitions, SLOTS, Typed,
    Waiting, published,
};
use ::vgic::{Bank, Physical};
use trap::Access;

use super::supervision::monitor;
use super::{ipi, vgic};
use crate::arch::{opaque_true, timer};
use crate::drivers::pl011::{RECEIVE, TRANSMIT, Uart};
use crate::state::deadlines::Deadline;
use crate::state::percpu::PerCpu;
use crate::state::shared::{Shared, control};

/// Most bytes of one drain. The console core's guest waits for them and for the search for them
/// without a pause.
const BYTES: u32 = 10;
/// A begun line that has nothing to add keeps the terminal for one period of this rate, Hz.
const PATIENCE_HZ: u64 = 1000;
/// Most bytes taken from the UART in one drain if no partition gets them.
const DROPPED: u32 = 4;
/// Rate, Hz, at which a guest's core checks its full output ring for room, and the console core a
/// full input ring.
const LOOKS_HZ: u64 = 50;
/// Offsets of the most used registers of a guest's PL011: DR, FR.
pub const DATA: u64 = 0;
pub const FLAGS: u64 = 0x18;
/// Bit of `Global::focus`: the partition has the terminal too.
const ALONE: u32 = 1 << 8;

/// Returns whether `intid` is the console UART's, which is routed to the core that drains it.
pub fn owns(cpu: &PerCpu, intid: u32) -> bool {
    intid == cpu.plan.header.machine.uart_intid
}

/// Makes the UART ready on the console core and gives the first partition the input. It is called
/// after the barrier, when the distributor is set up.
pub fn init(cpu: &mut PerCpu) {
    let header = cpu.plan.header;
    if cpu.index != header.console_core as usize {
        return;
    }
    let frequency = timer::frequency();
    cpu.console.pace = Pace::new(header.console_share, frequency);
    cpu.console.mux.set_patience(frequency / PATIENCE_HZ);
    for (index, partition) in cpu.plan.partitions().iter().enumerate() {
        cpu.console.mux.set_name(index, &partition.name, partition.colour);
    }
    command(cpu, b'1');
    // The partition is not live until a command makes it live.
    cpu.shared.global.focus.store(0, Relaxed);
    // SAFETY: the machine check saw the PL011 there; only this core maps it and, from now on,
    // drives it.
    let uart = unsafe { Uart::new(header.machine.uart.base) };
    // Take earlier input, as much as the hardware keeps, with the commands in it.
    for _ in 0..64 {
        if receive(cpu, uart).is_none() {
            break;
        }
    }
    uart.enable();
    uart.interrupt_on(RECEIVE);
    cpu.console.uart = Some(uart.0);
    let intid = header.machine.uart_intid;
    cpu.vgic.backend.write_bank(Bank::SetEnable, intid as usize / 32, 1 << (intid % 32));
    // This core counted as awake until now: others may have filled rings without sending the SGI.
    wake_console_core(cpu);
}

/// Returns the flags of the guest's PL011.
pub fn flags(cpu: &PerCpu) -> u64 {
    let terminal = cpu.terminal;
    let flags = cpu.state.uart.flags(&terminal.output, &terminal.input);
    flags.into()
}

/// Carries out a guest's access to its PL011: a store of `stored`, or a load, whose value it
/// returns.
#[inline(never)]
pub fn guest_access(cpu: &mut PerCpu, offset: u64, access: Access, stored: u64) -> u64 {
    let terminal = cpu.terminal;
    let uart = &cpu.state.uart;
    let mut value = 0;
    match (access.is_write(), offset) {
        (true, DATA) => {
            send(cpu, stored as u8);
            return 0;
        }
        (true, _) => uart.write(offset, stored as u32, &terminal.output, &terminal.input),
        (false, _) => value = uart.read(offset, &terminal.output, &terminal.input),
    }
    // A read of the flags does not change the interrupt.
    if access.is_write() || offset != FLAGS {
        update(cpu);
    }
    access.stored(value.into())
}

/// Carries out a guest's write of `byte` to its PL011's data register. Returns true, as all
/// functions that carry out an access do.
pub fn send(cpu: &mut PerCpu, byte: u8) -> bool {
    let (uart, output) = (&cpu.state.uart, &cpu.terminal.output);
    let used = uart.send(byte, output);
    if let Some(used) = used {
        published();
        let is_live = cpu.shared.global.focus.load(Relaxed) & !ALONE == cpu.focus;
        let shows = is_live || byte == b'\n' || used >= LINE;
        if !shows && !uart.changed_by(used, output) {
            return opaque_true();
        }
        if shows {
            return send_shown(cpu, used);
        }
    }
    send_changed(cpu)
}

/// Does the rest of [`send`] if the console core has something to print. It is a separate function
/// so that [`send`] saves no registers for it.
#[inline(never)]
fn send_shown(cpu: &mut PerCpu, used: u32) -> bool {
    mark(cpu);
    if cpu.state.uart.changed_by(used, &cpu.terminal.output) {
        update(cpu);
    }
    opaque_true()
}

/// Does the rest of [`send`] if the interrupt may have changed.
#[inline(never)]
fn send_changed(cpu: &mut PerCpu) -> bool {
    update(cpu);
    opaque_true()
}

/// Sets the PL011's interrupt by its registers, and arms a later look if the ring's drain may
/// change it: the drain does not notify the producer.
pub fn update(cpu: &mut PerCpu) {
    // A core that changes the level after this look at it sees what the registers hold now.
    published();
    // This is done twice: input may arrive between a sibling's look at the registers and its change
    // of the level, and the last core to set the level must have seen the last state.
    let looks = [set_level(cpu), set_level(cpu)];
    if looks == [false; 2] {
        return;
    }
    say_lost(cpu, false);
    let at = timer::now() + timer::frequency() / LOOKS_HZ;
    cpu.deadlines.advance(Deadline::ConsoleLook, at);
    cpu.deadlines.arm();
}

/// Prints how many bytes of the guest's were lost, once the burst of them is over or `at_end`.
#[cold]
pub fn say_lost(cpu: &PerCpu, at_end: bool) {
    let lost = cpu.state.uart.lost(&cpu.terminal.output, at_end);
    if lost == 0 {
        return;
    }
    let mut line = partition_line(cpu);
    line.dec(lost.into()).str(" bytes lost: written while its UART was full (TXFF)");
    print_line(cpu, &line);
}

/// Sets the level of the PL011's interrupt. Returns whether to look again later.
#[inline(always)]
fn set_level(cpu: &mut PerCpu) -> bool {
    let terminal = cpu.terminal;
    let (level, look) = cpu.state.uart.line(&terminal.output, &terminal.input);
    let intid = cpu.partition.uart_intid;
    vgic::vcpu(cpu).set_level(intid, level);
    look
}

/// Handles EL2's timer at tick `now`: checks a full ring for room if that is due. Returns whether
/// the next drain is due, which the core's neighbours caused.
pub fn on_timer(cpu: &mut PerCpu, now: u64) -> bool {
    if cpu.deadlines.is_due(Deadline::ConsoleLook, now) {
        cpu.deadlines.set(Deadline::ConsoleLook, timer::NEVER);
        if !cpu.stopped {
            update(cpu);
        }
    }
    cpu.deadlines.is_due(Deadline::ConsoleDrain, now)
}

/// Returns the start of a line about this core's partition.
pub fn partition_line(cpu: &PerCpu) -> LineBuffer {
    let mut line = LineBuffer::default();
    line.name(&cpu.partition.name).str(": ");
    line
}

/// Prints a line of EL2's own.
pub fn print_line(cpu: &PerCpu, line: &LineBuffer) {
    // A ring without room for the line already holds 768 bytes of such lines.
    cpu.terminal.output.say(&[PREFIX.as_bytes(), line.as_bytes(), b"\r\n"]);
    kick(cpu);
}

/// Prints a line of EL2's own if that leaves the room that is kept for other lines of EL2's.
/// Returns false if it does not.
pub fn print_if_room(cpu: &PerCpu, line: &LineBuffer) -> bool {
    let parts = [PREFIX.as_bytes(), line.as_bytes(), b"\r\n"];
    let is_said = cpu.terminal.output.say_within(&parts, SLOTS as u32 - KEPT);
    if is_said {
        kick(cpu);
    }
    is_said
}

/// Ends the partition's unfinished line. The partition has stopped, and this core runs no guest
/// code any more.
pub fn end_partition(cpu: &PerCpu) {
    cpu.terminal.output.end();
    kick(cpu);
}

/// Tells the console core that this core's partition has something for it.
pub fn kick(cpu: &PerCpu) {
    published();
    mark(cpu);
}

#[inline(always)]
fn mark(cpu: &PerCpu) {
    if cpu.shared.global.waiting.mark(cpu.row.partition) {
        wake_console_core(cpu);
    }
}

/// Wakes the console core by its control SGI.
pub fn wake_console_core(cpu: &PerCpu) {
    let console = cpu.plan.header.console_core as usize;
    ipi::send_control(cpu, console, control::CONSOLE);
}

/// The partitions as the console core sees them.
impl Partitions for Shared {
    fn waiting(&self) -> &Waiting {
        &self.global.waiting
    }

    fn output(&self, index: usize) -> Option<&Output> {
        Some(&self.terminals.get(index)?.output)
    }

    #[inline(always)]
    fn live(&self, index: usize) -> (bool, bool) {
        let focus = self.global.focus.load(Relaxed);
        let own = index as u32 + 1;
        (focus & !ALONE == own, focus == own | ALONE)
    }

    fn stopped(&self, index: usize) -> bool {
        // A partition prints nothing before it runs.
        self.state(index) != abi::state::RUNNING
    }
}

/// Moves one input byte to its ring, or a few output bytes to the UART, and not again before the
/// pause that the console's share asks for. Does nothing on other cores than the console core. The
/// caller arms the timer.
pub fn drain(cpu: &mut PerCpu) -> After {
    let Some(uart) = cpu.console.uart.map(Uart) else {
        return After::Nothing;
    };
    let start = timer::now();
    if let Some(at) = cpu.console.pace.wait(start) {
        cpu.deadlines.set(Deadline::ConsoleDrain, at);
        uart.interrupt_on(0);
        return After::More;
    }
    // Input and output take turns, so that neither keeps the other waiting.
    cpu.console.listens = !cpu.console.listens;
    // The monitor takes a key once it has answered the one before.
    let typed =
        match cpu.console.listens && uart.has_received() && !cpu.console.monitor.has_output() {
            true => receive(cpu, uart),
            false => None,
        };
    let waits = typed == Some(Typed::Waits);
    let after = match typed {
        None | Some(Typed::Waits) => {
            let monitors = match cpu.console.monitor.is_active() {
                true => monitor::drain(cpu, uart),
                false => None,
            };
            match monitors {
                Some(after) => after,
                None => cpu.console.mux.drain(BYTES, start, &uart, &cpu.shared),
            }
        }
        Some(_) => After::More,
    };
    let end = timer::now();
    let next = cpu.console.pace.charge(start, end);
    let receive = if waits { 0 } else { RECEIVE };
    let look = match waits {
        true => end + timer::frequency() / LOOKS_HZ,
        false => timer::NEVER,
    };
    let (at, interrupts) = match after {
        After::Full => (look, receive | TRANSMIT),
        After::Nothing if !cpu.console.monitor.has_output() && (waits || !uart.has_received()) => {
            // A partition that waits, with an unfinished line or for another's begun one, does not
            // wake this core again.
            let at = match cpu.shared.global.waiting.next(0) {
                Some(_) => end + timer::frequency() / PATIENCE_HZ,
                None => look,
            };
            (at, receive)
        }
        _ => (next, 0),
    };
    cpu.deadlines.set(Deadline::ConsoleDrain, at);
    uart.interrupt_on(interrupts);
    after
}

/// Carries out the command `key` after Ctrl-A, and answers it.
#[inline(never)]
fn answer(cpu: &mut PerCpu, key: u8) {
    if key == b'm' && cpu.console.monitor.open() {
        return;
    }
    cpu.console.monitor.close();
    let line = command(cpu, key);
    print_line(cpu, &line);
}

/// Takes a byte from the UART, if there is one and the ring of the partition with the input has
/// room for it.
fn receive(cpu: &mut PerCpu, uart: Uart) -> Option<Typed> {
    let is_open = cpu.console.monitor.is_open();
    let listener = if is_open { None } else { cpu.console.listener };
    let ring = listener.and_then(|index| Some(&cpu.shared.terminals.get(index)?.input));
    // A partition that reads nothing can delay a command for one second.
    let patience = timer::frequency();
    let keys = &mut cpu.console.keys;
    let mut take = || keys.take(ring, timer::now(), patience, || uart.read());
    let mut typed = take()?;
    // Bytes that no partition gets are taken faster, so that a command after them is not delayed
    // long.
    for _ in 1..DROPPED {
        if !matches!(typed, Typed::Nothing | Typed::Key(_)) || is_open {
            break;
        }
        match take() {
            Some(next) => typed = next,
            None => break,
        }
    }
    match typed {
        Typed::Command(key) => answer(cpu, key),
        Typed::Key(key) if is_open => cpu.console.monitor.press(key),
        Typed::Text | Typed::Nothing => {
            let to = listener.and_then(|index| cpu.plan.partitions().get(index));
            let vcpus = to.map_or(&[][..], |to| cpu.plan.slice::<u32>(to.vcpus));
            if let Some(&first) = vcpus.first() {
                ipi::send_control(cpu, first as usize, control::INPUT);
            }
        }
        Typed::Waits | Typed::Key(_) => {}
    }
    Some(typed)
}

/// Carries out the command `key` after Ctrl-A. Returns the line to print: which partition has the
/// input, and which can have it. A digit gives the input to that partition, counted from 1 in the
/// manifest's order, or to nobody (0); the same digit again gives it the terminal too.
fn command(cpu: &mut PerCpu, key: u8) -> LineBuffer {
    let number = u32::from(key.wrapping_sub(b'0'));
    let partitions = cpu.plan.partitions();
    if number as usize <= partitions.len() {
        let focus = &cpu.shared.global.focus;
        let again = focus.load(Relaxed) == number;
        focus.store(if again { number | ALONE } else { number }, Relaxed);
        cpu.console.listener = (number as usize).checked_sub(1);
        // A line that it has begun is shown.
        if number != 0 {
            cpu.shared.global.waiting.mark(number - 1);
        }
    }
    let partition = cpu.console.listener.and_then(|index| partitions.get(index));
    let mut line = LineBuffer::default();
    line.str("input goes to ");
    line.name(partition.map_or(b"nobody", |partition| &partition.name));
    line.str("; 0 nobody");
    for (number, partition) in (1..).zip(partitions) {
        line.str(", ").dec(number).byte(b' ').name(&partition.name);
    }
    line.str(Monitor::KEY);
    line
}

/// Sends all output that waits, on the console core, and waits until it has left the UART. All
/// partitions have stopped, so no guest waits.
pub fn flush(cpu: &mut PerCpu) {
    cpu.console.pace = Pace::new(100, timer::frequency());
    loop {
        // Input stays in the UART: no guest is left to read it.
        cpu.console.listens = true;
        if drain(cpu) == After::Nothing && cpu.shared.global.waiting.next(0).is_none() {
            return cpu.console.uart.map_or((), |uart| Uart(uart).flush());
        }
    }
}
