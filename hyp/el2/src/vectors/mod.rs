//! The exception vectors (DDI 0487, D1.3): save what the path clobbers, call one Rust function,
//! restore, return.
//!
//! The most frequent entries have a fast path in assembly (`fast_paths.rs`), since a Rust
//! function would save eighteen registers first: the doorbell call, the doorbell SGI, a private
//! interrupt of the guest's. Each path does what the Rust function it names does in the usual case.
//! It makes all checks before it changes anything, and leaves all other cases to that function.
//! `docs/performance.md` has their lengths. The vector answers `VERSION` itself, and an access that
//! `traps::trapped` can answer returns to the guest before x20 to x29 are saved.
//!
//! All of this is the feature `fast-paths`, on by default. Without it every entry saves its frame
//! and calls the Rust function for all cases. A guest sees no difference, and EL2 counts the same
//! entries: `cargo xtask test fast-paths/` compares both builds.
//!
//! A frame holds x0 to x30. Rust keeps x19 to x29 across calls, so the interrupt and hypercall
//! paths save only the others; only emulation, which may name any register, saves all. When the
//! partition stops, these paths return to `guest_left` instead of the guest, which saves all too: a
//! crash record has every register, and no other path pays for it. EL2 cannot
//! be interrupted, so ELR and SPSR stay in their registers. `TPIDR_EL2` points to the core's state:
//! the vector hands it out once per entry, as an exclusive borrow.

mod fast_paths;
mod save_restore;
mod table;

use core::arch::global_asm;
use core::mem::offset_of;

use abi::{Reason, call, state};
use doorbell::{Bucket, Counters, PendingWord};
use plan::INTIDS;
use trap::ec;

use crate::drivers::{IS_V3, gic};
use crate::state::percpu::{ChannelEnd, PerCpu};
use crate::state::shared::SharedPerCpu;

/// Returns the offset in [`SharedPerCpu`] of the count of entries for `reason`.
const fn entries(reason: Reason) -> usize {
    offset_of!(SharedPerCpu, entries) + 8 * reason as usize
}

/// `ESR_EL2` of HVC #0 from AArch64: the class, and IL for an instruction of 32 bits.
const HVC_0: u64 = (ec::HVC64 as u64) << 26 | 1 << 25;
/// Offset of the channel ends in [`PerCpu`].
const BELLS: usize = offset_of!(PerCpu, doorbell.ends);
// The vectors assume these offsets, in addition to those they are given.
const _: () = assert!(offset_of!(SharedPerCpu, word) == 0 && offset_of!(PendingWord, pending) == 0);
const _: () = assert!(offset_of!(ChannelEnd, bit) == offset_of!(ChannelEnd, word) + 8);
const _: () = assert!(offset_of!(Bucket, interval) == offset_of!(Bucket, arrival) + 8);
const _: () = assert!(offset_of!(PendingWord, masked) == 8);
const _: () = assert!(size_of::<Counters>() == 32);

global_asm!(
    save_restore::save_macros!(),
    fast_paths::fast_macros!(),
    table::table!(),
    save_restore::restore!(),
    fast_paths::fast_paths!(),
    fast = const cfg!(feature = "fast-paths") as u32,
    is_v3 = const IS_V3 as u32,
    take_interrupt = sym crate::traps::irq::take_interrupt,
    fault = sym crate::traps::fault::fault,
    hypercall = sym crate::traps::hypercall,
    trapped = sym crate::traps::trapped,
    synchronous = sym crate::traps::synchronous,
    interrupt = sym crate::traps::irq::interrupt,
    aarch32 = sym crate::traps::aarch32,
    guest_stopped = sym crate::traps::irq::guest_stopped,
    hvc = const HVC_0,
    doorbell = const gic::DOORBELL,
    special = const gic::SPECIAL,
    intids = const INTIDS,
    holders = const offset_of!(PerCpu, vgic.holders),
    holder = const offset_of!(PerCpu, vgic.holder),
    version = const call::VERSION,
    ring = const call::RING - call::VERSION,
    major = const abi::REVISION_MAJOR,
    minor = const abi::REVISION_MINOR,
    running = const state::RUNNING,
    ring_sent = const abi::ring::SENT,
    gicd = const offset_of!(PerCpu, vgic.backend.gicd),
    gicc = const offset_of!(PerCpu, vgic.backend.gicc),
    gich = const offset_of!(PerCpu, vgic.backend.gich),
    mine = const offset_of!(PerCpu, mine),
    senders = const offset_of!(PerCpu, vgic.senders),
    report_end = const vgic::Entry::REPORT_END,
    requests = const offset_of!(PerCpu, vgic.requests),
    bell_count = const offset_of!(PerCpu, doorbell.count),
    free_for_arrival = const offset_of!(PerCpu, vgic.delivery.free_for_arrival),
    last_lr = const offset_of!(PerCpu, vgic.delivery.last_lr),
    lr_intid = const offset_of!(PerCpu, vgic.delivery.lr_intid),
    cached_entry = const offset_of!(PerCpu, vgic.delivery.cached_entry),
    bells = const BELLS,
    peer = const offset_of!(ChannelEnd, peer),
    peer_word = const offset_of!(ChannelEnd, word),
    sgi = const offset_of!(ChannelEnd, sgi),
    bell_intids = const offset_of!(PerCpu, doorbell.intids),
    arrival = const offset_of!(ChannelEnd, bucket) + offset_of!(Bucket, arrival),
    tolerance = const offset_of!(ChannelEnd, bucket) + offset_of!(Bucket, tolerance),
    counters = const offset_of!(ChannelEnd, counters),
    sent = const offset_of!(Counters, sent),
    received = const offset_of!(SharedPerCpu, doorbells) + offset_of!(Counters, received),
    masked = const offset_of!(PendingWord, masked),
    count_hvc = const entries(Reason::Hvc),
    count_interrupt = const entries(Reason::Interrupt),
    count_sibling = const entries(Reason::Sibling),
    count_doorbell = const entries(Reason::Doorbell),
);
