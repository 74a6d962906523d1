//! A channel end's ways of waiting for the other: by doorbells, by WFE or by polling, as the device
//! tree gives them.

use core::arch::asm;
use core::sync::atomic::AtomicU64;

use aarch64_cpu::registers::{CNTKCTL_EL1, ReadWriteable};
use channel::wait;

use crate::{interrupt, timer};

/// A way of waiting: `channel::wait`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Wait {
    /// WFI until the doorbell's interrupt.
    Doorbell = wait::DOORBELL,
    /// WFE on the peer's index.
    Wfe = wait::WFE,
    /// Reading the peer's index, with YIELD in between.
    Poll = wait::POLL,
}

/// Events per second of the event stream, which ends a WFE that has no other event.
const EVENTS: u64 = 10_000;
/// Reads of the word per read of the clock.
const LOOKS: u32 = 64;

impl Wait {
    /// Returns the way that the device tree calls `word`.
    pub fn named(word: &str) -> Option<Self> {
        let all = [Self::Doorbell, Self::Wfe, Self::Poll];
        all.into_iter().find(|wait| wait.word() == word)
    }

    /// Returns its word in device trees.
    pub fn word(self) -> &'static str {
        wait::NAMES[self as usize]
    }

    /// Makes the calling vCPU ready to wait in this way.
    pub(crate) fn prepare(self) {
        if self == Self::Wfe {
            // As a fallback, there is an event whenever bit EVNTI of the virtual count becomes 1
            // (DDI 0487, D12.2.4).
            let period = (timer::frequency() / EVENTS).max(2).ilog2();
            let bit = u64::from(period - 1).min(15);
            CNTKCTL_EL1.modify(CNTKCTL_EL1::EVNTI.val(bit) + CNTKCTL_EL1::EVNTEN::SET);
        }
    }

    /// Waits until `word`, which the peer writes, may differ from `seen`, or for a while; check
    /// again after it. Returns `false` once `deadline` has passed. With doorbells it takes one
    /// pending interrupt of any kind.
    pub fn nap(self, word: &AtomicU64, seen: u64, deadline: u64) -> bool {
        match self {
            Self::Doorbell => return interrupt::wait_until(deadline).is_some(),
            Self::Wfe => wait_for_event(word, seen),
            Self::Poll => {
                for _ in 0..LOOKS {
                    if word.load(core::sync::atomic::Ordering::Relaxed) != seen {
                        return true;
                    }
                    // SAFETY: the instruction is a hint, which has no effect on registers or
                    // memory.
                    unsafe { asm!("yield", options(nomem, nostack, preserves_flags)) };
                }
            }
        }
        timer::now() < deadline
    }
}

/// Sleeps until `word` is written or some other event, unless it already differs from `seen`.
///
/// The load marks the word in this core's exclusive monitor; a write by any other core then is an
/// event (DDI 0487, B2.12 and D1.6.1). So a write between the load and the WFE ends the WFE
/// immediately, and is not lost. This is one block of assembly, because a store that the compiler
/// inserts may clear the mark.
fn wait_for_event(word: &AtomicU64, seen: u64) {
    // SAFETY: loads an aligned word that the reference keeps mapped, and writes nothing.
    unsafe {
        asm!(
            "ldaxr {value}, [{word}]",
            "cmp {value}, {seen}",
            "b.ne 2f",
            "wfe",
            "2:",
            value = out(reg) _,
            word = in(reg) word.as_ptr(),
            seen = in(reg) seen,
            options(nostack),
        );
    }
}
