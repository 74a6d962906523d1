//! Aborts and undefined instructions that a guest takes from EL2: for what is not there, or not its to do.
//!
//! A guest that faults for ever has only its own core for it. One that faults again at the very vector is beyond helping
//! itself, and is halted with the first cause.

use aarch64_cpu::registers::*;
use abi::Reason;
use plan::PARTITION_HALT_OUTSIDE;
use trap::Answer;

use super::mmio;
use crate::cpu::core::Core;
use crate::cpu::guest;
use crate::power;

/// The last abort that EL2 made this core's guest take.
pub struct Given {
    /// Address of the vector.
    vector: u64,
    /// `ESR_EL2`, `ELR_EL2`, `FAR_EL2` and `HPFAR_EL2` of its cause.
    cause: [u64; 4],
}

impl Given {
    /// There was none: no instruction has this address.
    pub const NONE: Self = Self {
        vector: !0,
        cause: [0; 4],
    };
}

/// An access that no emulated device answers, a fetch, or a walk of the guest's own tables.
pub fn abort(core: &mut Core, esr: u64) {
    let (far, hpfar) = (FAR_EL2.get(), HPFAR_EL2.get());
    let ipa = trap::fault_ipa(hpfar, far);
    match trap::answer(esr) {
        Answer::Halt => return super::halt(core, esr),
        Answer::Maintained => {
            core.count(Reason::Abort);
            return guest::skip_instruction();
        }
        Answer::Abort => {}
    }
    // Of an emulated device a page is there, though it has no answer to pairs, exclusives, fetches and walks.
    let emulated = trap::ipa_known(esr) && mmio::device(core, ipa).is_some();
    if core.partition.flags & PARTITION_HALT_OUTSIDE != 0 && !emulated {
        return super::halt(core, esr);
    }
    let elr = ELR_EL2.get();
    if elr == core.given.vector && ELR_EL1.get() == core.given.cause[1] {
        let cause = core.given.cause;
        stuck(core, trap::cause(cause[0]), cause);
    }
    let vector = give_up_at_vector(core);
    core.given = Given {
        vector,
        cause: [esr, elr, far, hpfar],
    };
    core.count(Reason::Abort);
    let level = trap::walk_level(far, ipa, [TTBR0_EL1.get(), TTBR1_EL1.get()], TCR_EL1.get());
    FAR_EL1.set(far);
    guest::inject(vector, trap::syndrome(esr, guest::is_el0(), level));
}

/// Makes the guest take an Undefined Instruction exception at the instruction that trapped (DDI 0487, D1.3.2).
pub fn undefined(core: &mut Core) {
    const EC_UNKNOWN_IL: u64 = 1 << 25;
    let vector = give_up_at_vector(core);
    guest::inject(vector, EC_UNKNOWN_IL);
}

/// The vector of an exception that the guest takes now. Halts it if it is there already, with what EL1 was told of the
/// exception that brought it there.
fn give_up_at_vector(core: &mut Core) -> u64 {
    let vector = guest::vector();
    if ELR_EL2.get() == vector {
        let told = [ESR_EL1.get(), ELR_EL1.get(), FAR_EL1.get(), HPFAR_EL2.get()];
        stuck(core, "exception", told);
    }
    vector
}

#[cold]
#[inline(never)]
fn stuck(core: &mut Core, cause: &str, registers: [u64; 4]) -> ! {
    core.count(Reason::Other);
    power::halt(core, cause, ", and its vector faults", registers)
}
