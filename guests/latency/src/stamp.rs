// SPDX-License-Identifier: MIT OR Apache-2.0
//! Times of events: an interrupt's first instruction, and a word that another core writes.
//!
//! Interrupts are masked in PSTATE, as in the whole runtime. So an interrupt's first instruction is
//! the first one after WFI, or in a loop, that finds it pending in ISR_EL1.

use core::arch::asm;
use core::sync::atomic::{AtomicU64, Ordering};

use aarch64_cpu::asm::{barrier, wfi};
use rt::{Wait, console, interrupt, timer};

/// Whether an interrupt is pending at this vCPU.
fn is_pending() -> bool {
    let pending: u64;
    // SAFETY: reads ISR_EL1, which has no effect.
    unsafe { asm!("mrs {}, isr_el1", out(reg) pending, options(nomem, nostack)) };
    pending != 0
}

/// Waits for interrupt `intid`, takes it, and returns the time of its first instruction. Asleep, it
/// waits in WFI; otherwise it looks again and again. `quieten` ends the interrupt's cause.
pub fn interrupt(intid: u32, is_asleep: bool, quieten: impl Fn()) -> u64 {
    loop {
        if is_asleep && !is_pending() {
            barrier::dsb(barrier::SY);
            wfi();
        }
        if !is_pending() {
            continue;
        }
        let now = timer::now();
        let Some(taken) = interrupt::acknowledge() else { continue };
        let is_it = taken.intid() == intid;
        if is_it {
            quieten();
        } else {
            // Of the others, only the UART's stays pending until its bytes are read.
            while console::read().is_some() {}
        }
        barrier::dsb(barrier::SY);
        barrier::isb(barrier::SY);
        taken.end();
        if is_it {
            return now;
        }
    }
}

/// Waits until `word` differs from `seen`; returns its value, and the time at which it was seen.
pub fn word(word: &AtomicU64, seen: u64, way: Wait) -> (u64, u64) {
    loop {
        let value = word.load(Ordering::Acquire);
        if value != seen {
            return (value, timer::now());
        }
        way.nap(word, seen, u64::MAX);
    }
}
