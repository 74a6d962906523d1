//! Physical interrupts, and the one loop that carries out what a handler returned. Every wait of a
//! running system is here.

use aarch64_cpu::asm::barrier;
use abi::Reason;
use psci::Start;

use crate::arch::{cache, el1_context, timer};
use crate::drivers::Gic;
use crate::drivers::gic::{self, GicDriver};
use crate::services::{console, doorbell, ipi, lifecycle, shutdown, vgic};
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

/// Takes a physical interrupt where the vectors have no fast paths for it.
pub extern "C" fn take_interrupt(cpu: &mut PerCpu) {
    interrupt(cpu, acknowledge());
}

/// Handles physical interrupt `intid`, which the vectors have acknowledged: [`gic::SPECIAL`] and up
/// if it was withdrawn meanwhile. They have ended a doorbell's.
#[inline(always)]
pub extern "C" fn interrupt(cpu: &mut PerCpu, intid: u32) {
    if !deliver(cpu, intid) {
        own_interrupt(cpu, intid);
    }
}

/// Outside, so that [`deliver`] saves no registers for it.
#[inline(never)]
fn own_interrupt(cpu: &mut PerCpu, intid: u32) {
    let next = own(cpu, intid);
    follow(cpu, next);
}

/// Carries out `next`. Returns once the guest goes on where it was.
#[inline(always)]
pub fn follow(cpu: &mut PerCpu, next: Next) {
    if !matches!(next, Next::Resume) {
        leave(cpu, next);
    }
}

/// What takes a core away from its guest: for a time, or for good.
#[cold]
fn leave(cpu: &mut PerCpu, mut next: Next) {
    loop {
        next = match next {
            Next::Resume => return,
            Next::Idle(until) => idle(cpu, until),
            Next::Start => enter(&cpu.start),
            Next::Stop(stop) => {
                lifecycle::stop_partition(cpu, stop);
                Next::Idle(Until::Never)
            }
            Next::Off => shutdown::shut_down(cpu),
        }
    }
}

/// Waits at EL2, taking interrupts, until what ends the wait has come.
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

/// Starts the vCPU at `start` with the registers of a core out of reset.
fn enter(start: &Start) -> ! {
    el1_context::reset();
    Gic::reset_guest_interface();
    el1_context::set_entry(start.entry);
    let mut frame = Frame::ZERO;
    frame.set(0, start.context);
    // SAFETY: the frame is copied before the stack that it is on is dropped, and nothing else there
    // is used again: this never returns.
    unsafe { enter_guest(&frame) }
}

/// Acknowledges this core's most urgent physical interrupt, and ends a doorbell's.
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
    if deliver(cpu, intid) { Next::Resume } else { own(cpu, intid) }
}

/// Handles what becomes an interrupt of the guest's: a doorbell, or an interrupt that its partition
/// owns. False, with nothing done, for all others.
#[inline(always)]
fn deliver(cpu: &mut PerCpu, intid: u32) -> bool {
    match intid {
        gic::DOORBELL if cpu.stopped => {}
        gic::DOORBELL => doorbell::handle_doorbell_sgi(cpu),
        gic::CONTROL | gic::MAINTENANCE | timer::INTID | gic::SPECIAL.. => return false,
        _ if console::owns(cpu, intid) => return false,
        _ => owned_interrupt(cpu, intid),
    }
    true
}

/// Handles an interrupt that the partition owns.
#[inline(never)]
fn owned_interrupt(cpu: &mut PerCpu, intid: u32) {
    cpu.count(Reason::Interrupt);
    Gic::drop_priority(intid);
    vgic::vcpu(cpu).physical(intid);
}

/// Handles an interrupt of EL2's own that is not a doorbell. All but the control SGI are levels:
/// they end after their source is quiet.
fn own(cpu: &mut PerCpu, intid: u32) -> Next {
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

/// EL2's timer: deferred doorbells, the console.
fn on_timer(cpu: &mut PerCpu) -> Next {
    let now = timer::now();
    if cpu.deadlines.is_due(Deadline::Doorbell, now) {
        doorbell::retry_deferred(cpu, now);
    }
    if console::on_timer(cpu, now) {
        cpu.count(Reason::Console);
        drain(cpu)
    } else {
        cpu.count(Reason::Deferred);
        cpu.deadlines.arm();
        Next::Resume
    }
}

/// The control SGI: what others want of this core.
fn control(cpu: &mut PerCpu) -> Next {
    let bits = ipi::take_control(cpu);
    let only_console = bits == control::CONSOLE;
    cpu.count(if only_console { Reason::Console } else { Reason::Control });
    let next = if bits & control::CONSOLE != 0 { drain(cpu) } else { Next::Resume };
    if bits & control::INPUT != 0 && !cpu.stopped {
        console::update(cpu);
    }
    // A start is taken by the loop that waits for one. The end of the system comes before a stop:
    // the bit that said so is taken.
    if bits & control::STOP != 0 && !matches!(next, Next::Off) {
        return Next::Stop(Stop::BySibling);
    }
    next
}

/// Drains the console, or ends the system where nobody is left to print.
fn drain(cpu: &mut PerCpu) -> Next {
    if shutdown::is_due(cpu) {
        return Next::Off;
    }
    console::drain(cpu);
    cpu.deadlines.arm();
    Next::Resume
}

/// Ends a level-sensitive interrupt of EL2's own once what quietened it has taken effect.
fn end_level(intid: u32) {
    barrier::dsb(barrier::SY);
    barrier::isb(barrier::SY);
    Gic::drop_priority(intid);
    Gic::deactivate(intid);
}
