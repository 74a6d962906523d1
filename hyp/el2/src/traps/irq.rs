//! Physical interrupts, and the one loop that carries out what a handler returned. All waits of a
//! running system are here.

use aarch64_cpu::asm::barrier;
use abi::Reason;
use psci::Start;

use crate::arch::{cache, el1_context, registers, timer, unreachable_state};
use crate::drivers::Gic;
use crate::drivers::gic::{self, GicDriver};
use crate::services::supervision::orders;
use crate::services::{
    board_watchdog, console, doorbell, ipi, ivshmem, lifecycle, record, restart, shutdown, vgic,
    watchdog,
};
use crate::state::deadlines::Deadline;
use crate::state::frame::Frame;
use crate::state::next::{Next, Stop, Until};
use crate::state::percpu::PerCpu;
use crate::state::shared::control;

unsafe extern "C" {
    /// Drops everything on this core's stack, restores `frame` and returns to the guest
    /// (`vectors/save_restore.rs`).
    fn enter_guest(frame: *const Frame) -> !;
    /// Saves all registers and goes on at [`guest_stopped`] (`vectors/table.rs`).
    static guest_left: u8;
}

/// Takes a physical interrupt in builds whose vectors have no fast paths for it.
pub extern "C" fn take_interrupt(cpu: &mut PerCpu) {
    interrupt(acknowledge(), cpu);
}

/// Handles physical interrupt `intid`, which the vectors have acknowledged: [`gic::SPECIAL`] and up
/// if it was withdrawn meanwhile. They have already ended a doorbell SGI, on GICv2 every SGI. The
/// INTID is first, here and below, because it is in x0 there.
#[inline(always)]
pub extern "C" fn interrupt(intid: u32, cpu: &mut PerCpu) {
    if !deliver(cpu, intid) {
        own_interrupt(intid, cpu);
    }
}

/// Handles an interrupt of EL2's own. It is a separate function so that [`interrupt`] saves no
/// registers for it.
#[inline(never)]
fn own_interrupt(intid: u32, cpu: &mut PerCpu) {
    let next = own(intid, cpu);
    follow(cpu, next);
}

/// Carries out `next`. Returns once the guest continues where it was, or has to be left for ever.
#[inline(always)]
pub fn follow(cpu: &mut PerCpu, next: Next) {
    if !matches!(next, Next::Resume) {
        leave(cpu, next);
    }
}

/// Carries out all but `Resume`. If the partition stops, this returns like any other visit, so that
/// all of the guest's registers are restored; the exception return then goes to `guest_left`, which
/// saves them.
#[cold]
fn leave(cpu: &mut PerCpu, next: Next) {
    if let Some(stop) = carry_out(cpu, next) {
        cpu.stop = stop;
        cpu.left = el1_context::divert(&raw const guest_left as u64);
    }
}

/// Goes on at `guest_left`: stops the partition.
pub extern "C" fn guest_stopped(frame: &Frame, cpu: &mut PerCpu) -> ! {
    stop(cpu, cpu.stop, Some(frame))
}

/// Stops the partition of this core, which does not return to its guest. `frame` has the guest's
/// registers, or EL2's if EL2 failed.
pub fn stop(cpu: &mut PerCpu, stop: Stop, frame: Option<&Frame>) -> ! {
    lifecycle::stop_partition(cpu, stop, frame);
    run(cpu, Next::Idle(Until::Restarted))
}

/// Carries out `next` on a core that has no guest to return to.
pub fn run(cpu: &mut PerCpu, next: Next) -> ! {
    let mut next = next;
    while let Some(stop) = carry_out(cpu, next) {
        lifecycle::stop_partition(cpu, stop, None);
        next = Next::Idle(Until::Restarted);
    }
    unreachable_state()
}

/// Carries out `next` and what follows from it, until the guest continues or its partition stops.
fn carry_out(cpu: &mut PerCpu, mut next: Next) -> Option<Stop> {
    loop {
        next = match next {
            Next::Resume => return None,
            Next::Idle(until) => idle(cpu, until),
            Next::Start => enter(&cpu.start),
            Next::Stop(stop) => return Some(stop),
            Next::Reload => reload(cpu),
            Next::Off => shutdown::shut_down(cpu),
        }
    }
}

/// Waits at EL2, taking interrupts, until the event that ends the wait.
fn idle(cpu: &mut PerCpu, until: Until) -> Next {
    loop {
        if let Some(next) = lifecycle::ends_wait(cpu, until) {
            return next;
        }
        cache::wait_for_interrupt();
        match take(cpu) {
            Next::Resume => {}
            next => return next,
        }
    }
}

/// Loads this core's partition again, together with its other cores. Takes interrupts meanwhile:
/// the core may be the one that drains the console.
fn reload(cpu: &mut PerCpu) -> Next {
    let mut step = Some(restart::begin(cpu));
    while let Some(now) = step {
        step = restart::step(cpu, now);
        // A stop shows in the partition's state: one of the last life may still come, and one of
        // the next life is for `finish`.
        if registers::is_interrupt_pending()
            && let off @ Next::Off = take(cpu)
        {
            return off;
        }
        if let Some(next) = restart::interrupted(cpu) {
            return next;
        }
    }
    restart::finish(cpu);
    if cpu.row.vcpu == 0
        && let stop @ Next::Stop(_) = orders::obey(cpu)
    {
        return stop;
    }
    restart::begin_life(cpu)
}

/// Starts the vCPU at `start` with the registers of a core out of reset.
fn enter(start: &Start) -> ! {
    el1_context::reset();
    Gic::reset_guest_interface();
    el1_context::set_entry(start.entry);
    let mut frame = Frame::ZERO;
    frame.set(0, start.context);
    // SAFETY: `enter_guest` copies the frame before it drops the stack that the frame is on.
    // Nothing else on that stack is used again, since this never returns.
    unsafe { enter_guest(&frame) }
}

/// Acknowledges this core's most urgent physical interrupt, and ends it if it is the doorbell SGI.
#[inline(always)]
fn acknowledge() -> u32 {
    let intid = Gic::acknowledge();
    if intid == gic::DOORBELL {
        Gic::end_sgi(intid);
    }
    intid
}

/// Takes a physical interrupt at EL2.
fn take(cpu: &mut PerCpu) -> Next {
    let intid = acknowledge();
    if deliver(cpu, intid) { Next::Resume } else { own(intid, cpu) }
}

/// Handles an interrupt that becomes one of the guest's: a doorbell, or an interrupt that its
/// partition owns. Returns false, with nothing done, for all others.
#[inline(always)]
fn deliver(cpu: &mut PerCpu, intid: u32) -> bool {
    match intid {
        gic::DOORBELL if cpu.stopped => {}
        gic::DOORBELL => doorbell::handle_doorbell_sgi(cpu),
        gic::CONTROL | gic::MAINTENANCE | timer::INTID | gic::SPECIAL.. => return false,
        _ if console::owns(cpu, intid) => return false,
        _ => owned_interrupt(intid, cpu),
    }
    true
}

/// Handles an interrupt that the partition owns.
#[inline(never)]
fn owned_interrupt(intid: u32, cpu: &mut PerCpu) {
    cpu.count(Reason::Interrupt);
    Gic::drop_priority(intid);
    vgic::vcpu(cpu).physical(intid);
}

/// Handles an interrupt of EL2's own that is not a doorbell. All but the control SGI are
/// level-sensitive: they end after their source is silent.
fn own(intid: u32, cpu: &mut PerCpu) -> Next {
    let next = match intid {
        gic::CONTROL => {
            Gic::end_sgi(intid);
            vgic::sample(cpu);
            return control(cpu);
        }
        gic::SPECIAL.. => {
            cpu.count(Reason::Other);
            return Next::Resume;
        }
        gic::MAINTENANCE => {
            cpu.count(Reason::Maintenance);
            vgic::vcpu(cpu).sync();
            Next::Resume
        }
        timer::INTID => {
            vgic::sample(cpu);
            on_timer(cpu)
        }
        _ => {
            vgic::sample(cpu);
            cpu.count(Reason::Console);
            drain(cpu)
        }
    };
    end_level(intid);
    next
}

/// Handles EL2's timer: deferred doorbells, the console, crash records and the watchdog.
fn on_timer(cpu: &mut PerCpu) -> Next {
    let now = timer::now();
    if cpu.deadlines.is_due(Deadline::Doorbell, now) {
        doorbell::retry_deferred(cpu, now);
    }
    if console::on_timer(cpu, now) {
        cpu.count(Reason::Console);
        return drain(cpu);
    }
    other_deadlines(cpu, now)
}

/// Does the rest of [`on_timer`]. It is a separate function so that draining saves no registers for
/// it.
#[inline(never)]
fn other_deadlines(cpu: &mut PerCpu, now: u64) -> Next {
    cpu.count(Reason::Deferred);
    if cpu.deadlines.is_due(Deadline::Record, now) {
        record::tell(cpu, false);
    }
    let mut next = Next::Resume;
    // These come after a drain, which puts off the next one: the timer fires once more.
    if cpu.deadlines.is_due(Deadline::BoardWatchdog, now) {
        board_watchdog::on_deadline(cpu, now);
    }
    if cpu.deadlines.is_due(Deadline::Watchdog, now) {
        next = watchdog::on_deadline(cpu, now);
    }
    cpu.deadlines.arm();
    next
}

/// Handles the control SGI: requests of other cores to this one.
#[inline(never)]
fn control(cpu: &mut PerCpu) -> Next {
    let bits = ipi::take_control(cpu);
    if bits == control::CONSOLE {
        cpu.count(Reason::Console);
        return drain(cpu);
    }
    cpu.count(Reason::Control);
    requests(cpu, bits)
}

/// Handles the requests in `bits`, which are not only for the console. It is a separate function so
/// that a drain saves no registers for it.
#[inline(never)]
fn requests(cpu: &mut PerCpu, bits: u32) -> Next {
    let next = if bits & control::CONSOLE != 0 { drain(cpu) } else { Next::Resume };
    if bits & control::INPUT != 0 && !cpu.stopped {
        console::update(cpu);
    }
    if bits & control::FUNCTION != 0 && !cpu.stopped {
        ivshmem::take_requests(cpu);
    }
    // The end of the system comes before an order and a stop, since the bit for it is already
    // taken.
    if matches!(next, Next::Off) {
        return next;
    }
    if let stop @ Next::Stop(_) = orders::requests(cpu, bits) {
        return stop;
    }
    // The loop that waits for a start takes it.
    if bits & control::STOP != 0 {
        return Next::Stop(Stop::BySibling);
    }
    next
}

/// Drains the console, or ends the system if every partition has stopped.
#[inline(always)]
fn drain(cpu: &mut PerCpu) -> Next {
    if shutdown::is_due(cpu) {
        return Next::Off;
    }
    console::drain(cpu);
    cpu.deadlines.arm();
    Next::Resume
}

/// Ends a level-sensitive interrupt of EL2's own, after the write that silenced its source has
/// taken effect.
fn end_level(intid: u32) {
    barrier::dsb(barrier::SY);
    barrier::isb(barrier::SY);
    Gic::drop_priority(intid);
    Gic::deactivate(intid);
}
