//! Why a guest entered EL2, and who answers. The vectors call these functions and nothing else.
//!
//! Nothing here waits, locks, allocates, formats or panics: whatever the guest did, there is an answer of bounded length.

mod abort;
mod calls;
mod mmio;
mod sysreg;

pub use abort::Given;

use aarch64_cpu::asm::barrier;
use aarch64_cpu::registers::{ELR_EL2, ESR_EL2, FAR_EL2, HPFAR_EL2, Readable};
use abi::Reason;
use trap::ec;

use crate::cpu::core::Core;
use crate::cpu::{guest, timer};
use crate::vectors::{ALL, AT_FIRST, Frame};
use crate::{bell, boot, gic, power, terminal};

/// HVC #0 from AArch64, counted, that the vectors did not answer themselves.
pub extern "C" fn hypercall(frame: &mut Frame, core: &mut Core) {
    // What guests measure a hypervisor by first: not worth a walk through all calls.
    if frame.get(0) as u32 == psci::fid::VERSION {
        return frame.set(0, psci::ret::VERSION_1_1 as u64);
    }
    calls::call(frame, core);
}

/// What a guest's everyday work traps for: SGIs and emulated devices. False, with nothing done, for all else, and if the
/// access names a register that the frame has not yet.
#[unsafe(link_section = ".text.hot")]
pub extern "C" fn trapped(frame: &mut Frame, core: &mut Core, esr: u64) -> bool {
    // `send_sgi` does all others, from `synchronous`.
    if gic::IS_V3
        && let Some(rt) = trap::sgi1r_source(esr)
        && AT_FIRST >> rt & 1 != 0
        && core.vgic().send_sgi_to_one(frame.get(rt))
    {
        core.count(Reason::Sysreg);
        guest::skip_instruction();
        return true;
    }
    match mmio::quick(frame, core, esr) {
        mmio::Quick::All => true,
        mmio::Quick::Settle(offset, waits) => mmio::settle(core, offset, waits),
        mmio::Quick::Send(byte) => terminal::send(core, byte),
        mmio::Quick::Nothing => mmio::emulate(frame, core, esr, AT_FIRST),
    }
}

/// Any other synchronous exception from the guest, and SError while it ran.
pub extern "C" fn synchronous(frame: &mut Frame, core: &mut Core) {
    let esr = ESR_EL2.get();
    core.sample();
    match trap::class(esr) {
        ec::SMC64 => {
            core.count(Reason::Smc);
            // A trapped SMC is not stepped over by hardware, unlike HVC (DDI 0487, D1.3.4.2).
            guest::skip_instruction();
            match esr as u16 {
                0 => calls::call(frame, core),
                _ => frame.set(0, abi::error::NOT_SUPPORTED as u64),
            }
        }
        // SMCCC uses immediate 0 alone; the others name interfaces of other hypervisors (DEN 0028, 2.9).
        ec::HVC64 => {
            core.count(Reason::Hvc);
            frame.set(0, abi::error::NOT_SUPPORTED as u64);
        }
        ec::SYSREG => {
            core.count(Reason::Sysreg);
            sysreg::access(frame, core, trap::sysreg_access(esr));
        }
        ec::DATA_ABORT if mmio::emulate(frame, core, esr, ALL) => {}
        ec::DATA_ABORT | ec::INSTRUCTION_ABORT => abort::abort(core, esr),
        // What the core has and the guest was told it has not (TID3), or a wait that nothing trapped: undefined.
        0x07 | 0x09 | 0x0a | 0x19 | 0x1d => {
            core.count(Reason::Sysreg);
            abort::undefined(core);
        }
        // SError too: without RAS nobody can tell whose access it was, but this core accesses its own partition's memory
        // and devices alone.
        _ => halt(core, esr),
    }
}

/// Takes a physical interrupt: on a core that waits at EL2, and where the vectors have no short paths for it.
pub extern "C" fn take_interrupt(core: &mut Core) {
    let intid = gic::acknowledge();
    if intid == gic::DOORBELL {
        gic::end_sgi(intid);
    }
    interrupt(core, intid);
}

/// Handles physical interrupt `intid`, acknowledged, or none if it was withdrawn meanwhile. The vectors have ended a doorbell.
pub extern "C" fn interrupt(core: &mut Core, intid: u32) {
    match intid {
        gic::SPECIAL.. => core.count(Reason::Other),
        gic::DOORBELL if core.stopped => {}
        gic::DOORBELL => bell::take(core),
        gic::CONTROL => {
            gic::end_sgi(intid);
            core.sample();
            power::control(core);
        }
        // The others are levels: they end after their source is quiet.
        timer::INTID => {
            core.sample();
            bell::retry_deferred(core);
            let drained = terminal::on_timer(core);
            core.count(if drained {
                Reason::Console
            } else {
                Reason::Deferred
            });
            core.rearm();
            end_level(intid);
        }
        gic::MAINTENANCE => {
            core.count(Reason::Maintenance);
            core.vgic().sync();
            end_level(intid);
        }
        _ if terminal::owns(core, intid) => {
            core.count(Reason::Console);
            core.sample();
            terminal::drain(core);
            core.rearm();
            end_level(intid);
        }
        _ => {
            core.count(Reason::Interrupt);
            gic::drop_priority(intid);
            core.vgic().physical(intid);
        }
    }
}

/// Ends a level-sensitive interrupt of EL2's own once what quietened it has taken effect.
fn end_level(intid: u32) {
    barrier::dsb(barrier::SY);
    barrier::isb(barrier::SY);
    gic::drop_priority(intid);
    gic::deactivate(intid);
}

/// An exception from AArch32: partitions are AArch64 at every level.
pub extern "C" fn aarch32(_: &mut Frame, core: &mut Core) {
    stop(core, "AArch32 code, which no partition may run");
}

/// Halts the partition for what `esr` says.
#[cold]
#[inline(never)]
fn halt(core: &mut Core, esr: u64) {
    stop(core, trap::cause(esr));
}

#[cold]
#[inline(never)]
fn stop(core: &mut Core, cause: &'static str) {
    core.count(Reason::Other);
    let registers = [ESR_EL2.get(), ELR_EL2.get(), FAR_EL2.get(), HPFAR_EL2.get()];
    power::halt(core, cause, "", registers)
}

/// An exception of EL2 itself: a defect of Bulkhead's. The core says so and its partition is halted; the others
/// run on. `core` is null before the core has its state: then it waits for a watchdog.
pub extern "C" fn fault(core: *mut Core) -> ! {
    let registers = [ESR_EL2.get(), ELR_EL2.get(), FAR_EL2.get(), HPFAR_EL2.get()];
    // SAFETY: TPIDR_EL2 is this core's state once it has one, and whoever held the borrow does not go on.
    match unsafe { core.as_mut() } {
        Some(core) => power::halt(core, "fault in EL2", "", registers),
        None => boot::off::fault(registers),
    }
}

/// What the plan's checks rule out: nothing is left to do but wait for a watchdog.
pub fn unreachable_state() -> ! {
    loop {
        aarch64_cpu::asm::wfe();
    }
}

#[panic_handler]
fn panic(_: &::core::panic::PanicInfo) -> ! {
    use aarch64_cpu::registers::TPIDR_EL2;
    // SAFETY: TPIDR_EL2 is this core's state once it has one, and whoever held the borrow does not go on.
    match unsafe { (TPIDR_EL2.get() as *mut Core).as_mut() } {
        Some(core) => power::halt(core, "panic in EL2", "", [0; 4]),
        None => unreachable_state(),
    }
}
