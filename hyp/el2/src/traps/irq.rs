//! Physical interrupts, and the one loop that carries out what a handler returned. All waits of a
//! running system are here.

use aarch64_cpu::asm::barrier;
use abi::Reason;
use psci::Start;

use crate::arch::{cache, el1_context, registers, timer};
use crate::drivers::Gic;
use crate::drivers::gic::{self, GicDriver};
use crate::services::{
    board_watchdog, console, doorbell, ipi, lifecycle, restart, shutdown, vgic, watchdog,
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

/// Carries out `next`. Returns once the guest continues where it was.
#[inline(always)]
pub fn follow(cpu: &mut PerCpu, next: Next) {
    if !matches!(next, Next::Resume) {
        leave(cpu, next);
    }
}

/// Carries out all but `Resume`: the core leaves its guest for a time, or for ever.
#[cold]
fn leave(cpu: &mut PerCpu, mut next: Next) {
    loop {
        next = match next {
            Next::Resume => return,
            Next::Idle(until) => idle(cpu, until),
            Next::Start => enter(&cpu.start),
            Next::Stop(stop) => {
                lifecycle::stop_partition(cpu, stop);
                Next::Idle(Until::Restarted)
            }
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
    restart::finish(cpu)
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

/// Handles EL2's timer: deferred doorbells, the console and the watchdog.
fn on_timer(cpu: &mut PerCpu) -> Next {
    let now = timer::now();
    if cpu.deadlines.is_due(Deadline::Doorbell, now) {
        doorbell::retry_deferred(cpu, now);
    }
    if console::on_timer(cpu, now) {
        cpu.count(Reason::Console);
        return drain(cpu);
    }
    cpu.count(Reason::Deferred);
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
fn control(cpu: &mut PerCpu) -> Next {
    let bits = ipi::take_control(cpu);
    let only_console = bits == control::CONSOLE;
    cpu.count(if only_console { Reason::Console } else { Reason::Control });
    let next = if bits & control::CONSOLE != 0 { drain(cpu) } else { Next::Resume };
    if bits & control::INPUT != 0 && !cpu.stopped {
        console::update(cpu);
    }
    // The loop that waits for a start takes it. The end of the system comes before a stop, since
    // the bit for it is already taken.
    if bits & control::STOP != 0 && !matches!(next, Next::Off) {
        return Next::Stop(Stop::BySibling);
    }
    next
}

/// Drains the console, or ends the system if every partition has stopped.
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
