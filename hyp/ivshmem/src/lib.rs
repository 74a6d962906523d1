//! A channel end as a PCI function: ivshmem version 2, by the specification in Jailhouse's
//! `Documentation/ivshmem-v2-specification.md`, so that an unmodified kernel's driver for PCI
//! functions reaches the channel.
//!
//! [`Function`] answers accesses to configuration space ([`config`]) and to the registers of BAR0
//! ([`registers`]). It is made of a [`View`], which the plan fixes, and a [`State`], which any
//! vCPU of the partition may change. What an access asks of EL2 is returned as bits of [`action`].
//!
//! **The interrupt is an edge.** A function with an INTx pin usually holds a level; here each
//! doorbell is one pulse, as it is for every other channel end, so that no level has to be
//! withdrawn. All bits that decide about a pulse are in one word, [`State::control`], and change
//! together by one read-modify-write:
//!
//! - A doorbell that arrives while Interrupt Control is off is dropped.
//! - Otherwise it sets Interrupt Status. If INTx Disable is off, it is also delivered: one pulse.
//! - The write that sets INTx Disable clears Interrupt Status. Reading does not.
//! - The write that clears INTx Disable delivers a doorbell that has arrived meanwhile.
//! - A delivery in one-shot mode turns Interrupt Control off.
//!
//! In the specification Interrupt Status is never set. Linux's uio_pci_generic takes an interrupt
//! for its own only if that bit is set, and answers by setting INTx Disable; drivers that look at
//! neither bit see no difference.
//!
//! **No wake-up is lost** to a guest that turns interrupts on (Interrupt Control, or INTx Disable
//! off) and *then* looks at the channel's pages. The read-modify-writes of [`Function::arrive`] and
//! of that register write have one order. If the arrival is first, the write acquires what the peer
//! wrote before it rang, and the guest sees it. If the write is first, the arrival finds
//! interrupts on, and delivers. So an arrival writes the word even if it changes no bit. A test
//! with loom holds this.
//!
//! ```
//! use bulkhead_ivshmem::{Function, State, action, config, registers};
//! use plan::View;
//!
//! let view = View { id: 1, registers: 0x2010_0000, shared: 0x2020_0000, size: 0x10_0000,
//!     section: 0x11000, ..View::default() };
//! let state = State::default();
//! let function = Function { view: &view, state: &state };
//! assert_eq!(function.read_config(config::VENDOR, 2), 0x110a);
//!
//! // Interrupts are off.
//! assert!(!function.arrive());
//! function.write_register(registers::INTERRUPT_CONTROL, 4, 1);
//! assert!(function.arrive());
//! let status = function.read_config(config::STATUS, 2);
//! assert_ne!(status & config::status::INTERRUPT, 0);
//!
//! // A doorbell to the peer, whose ID is 0.
//! assert_eq!(function.write_register(registers::DOORBELL, 4, 0 << 16), action::RING);
//! ```
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

pub mod config;
pub mod registers;
#[cfg(all(test, not(loom)))]
mod tests;

use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};

#[cfg(not(loom))]
use core::sync::atomic::AtomicU32;
#[cfg(loom)]
use loom::sync::atomic::AtomicU32;
use plan::View;

/// Bytes of the state table at the start of the shared memory: one page.
pub const TABLE_SIZE: u64 = 4096;
/// Bytes of BAR0, and of a function's configuration space.
pub const PAGE: u64 = 4096;
/// Functions of a bus: one for each of its 32 devices.
pub const FUNCTIONS: usize = 32;
/// log2 of the bytes of configuration space of one bus (PCI Express Enhanced Configuration Access
/// Mechanism): 32 devices of 8 functions.
pub const BUS_SIZE: u32 = 20;

/// What the guest changes of a function. All zero is the state after a reset.
#[derive(Debug, Default)]
#[repr(C)]
pub struct State {
    /// Bits of [`control`].
    pub control: AtomicU32,
    /// The State register.
    pub state: AtomicU32,
    /// Bits of [`action`] that the core of the end has been asked for.
    pub requests: AtomicU32,
}

/// Bits of [`State::control`]. Those below bit 24 are the Command and Status registers, as the
/// doubleword at [`config::COMMAND`] has them.
pub mod control {
    /// Command: Memory Space.
    pub const MEMORY: u32 = 1 << 1;
    /// Command: Bus Master.
    pub const MASTER: u32 = 1 << 2;
    /// Command: INTx Disable.
    pub const INTX_DISABLE: u32 = 1 << 10;
    /// Status: Interrupt Status.
    pub const STATUS: u32 = 1 << 19;
    /// BAR0 was written for its size.
    pub const SIZING_0: u32 = 1 << 24;
    /// BAR2 was written for its size.
    pub const SIZING_2: u32 = 1 << 25;
    /// BAR3, the upper half of BAR2, was written for its size.
    pub const SIZING_3: u32 = 1 << 26;
    /// Privileged Control: one-shot mode.
    pub const ONE_SHOT: u32 = 1 << 28;
    /// Interrupt Control: interrupts are on.
    pub const ENABLE: u32 = 1 << 29;
}

/// What EL2 does after an access, on the core of the channel's end.
pub mod action {
    /// Make the function's interrupt pending: one pulse.
    pub const PULSE: u32 = 1 << 0;
    /// Ring the peer.
    pub const RING: u32 = 1 << 1;
    /// Copy the State register to the state table, then ring the peer.
    pub const STATE: u32 = 1 << 2;
}

/// What only EL2 knows at the time of an access.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Generations of the own and of the peer's partition.
    pub generations: [u32; 2],
    /// State of the peer's partition.
    pub peer_state: u32,
}

/// A function.
#[derive(Clone, Copy, Debug)]
pub struct Function<'a> {
    /// What the plan fixes.
    pub view: &'a View,
    /// What the guest changes.
    pub state: &'a State,
}

impl Function<'_> {
    /// Handles a doorbell of the peer's. Returns whether it is delivered: the caller then makes the
    /// interrupt pending.
    pub fn arrive(&self) -> bool {
        self.change(|old| match old & control::ENABLE != 0 {
            true => deliver(old | control::STATUS),
            false => (old, false),
        })
    }

    /// Adds `actions` to those that the core of the end has been asked for. The caller kicks that
    /// core afterwards.
    pub fn request(&self, actions: u32) {
        self.state.requests.fetch_or(actions, AcqRel);
    }

    /// Takes what other cores have asked for. To be called on the core of the end, after the kick.
    pub fn take_requests(&self) -> u32 {
        self.state.requests.swap(0, AcqRel)
    }

    /// Changes the control word by one read-modify-write, even if no bit changes, and returns what
    /// `next` returned with the new word.
    fn change<T>(&self, next: impl Fn(u32) -> (u32, T)) -> T {
        let word = &self.state.control;
        let mut old = word.load(Relaxed);
        loop {
            let (new, result) = next(old);
            match word.compare_exchange(old, new, AcqRel, Acquire) {
                Ok(_) => return result,
                Err(now) => old = now,
            }
        }
    }
}

/// Delivers a doorbell that Interrupt Status in `word` shows, if it may be: returns the word after
/// it, and whether it was.
fn deliver(word: u32) -> (u32, bool) {
    use control::{ENABLE, INTX_DISABLE, ONE_SHOT, STATUS};
    if word & (STATUS | ENABLE | INTX_DISABLE) != STATUS | ENABLE {
        return (word, false);
    }
    (if word & ONE_SHOT != 0 { word & !ENABLE } else { word }, true)
}

/// Returns a value's lowest `size` bytes.
fn low(value: u64, size: u64) -> u64 {
    match size {
        1 | 2 | 4 => value & ((1 << (8 * size)) - 1),
        _ => value,
    }
}
