//! The exception vectors (DDI 0487, D1.3): save what the path clobbers, call one Rust function, restore, return.
//!
//! On GICv3 what happens most has a short path in assembly (`short.rs`), for a Rust function would save eighteen registers first: the doorbell
//! call, the doorbell SGI, a private interrupt of the guest's. Each does what the Rust function it names does in the usual
//! case, looks at everything before it changes anything, and leaves all other cases to that function. `docs/performance.md`
//! has their lengths.
//!
//! A frame holds x0 to x30. Rust keeps x19 to x29 across calls, so the interrupt and hypercall paths save the others
//! alone; only emulation, which may name any register, saves all. Nothing at EL2 is interruptible, so ELR and SPSR stay
//! in their registers. `TPIDR_EL2` is the core's state: the vector hands it out once an entry, as an exclusive borrow.

mod short;
mod table;

use core::arch::global_asm;
use core::mem::offset_of;

use abi::{Reason, call, state};
use doorbell::{Bucket, End, Line};
use plan::INTIDS;
use vgic::Delivery;

use crate::cpu::core::{Bell, Core};
use crate::gic;
use crate::shared::PerCore;

/// Where the count of entries for `reason` is in [`PerCore`].
const fn entries(reason: Reason) -> usize {
    offset_of!(PerCore, entries) + 8 * reason as usize
}

/// Where the channel ends are in [`Core`].
const BELLS: usize = offset_of!(Core, bells);
// What the vectors take for granted beside the offsets they are given.
const _: () = assert!(offset_of!(PerCore, line) == 0 && offset_of!(Line, pending) == 0);
const _: () = assert!(offset_of!(Bell, bit) == offset_of!(Bell, line) + 8);
const _: () = assert!(offset_of!(Bucket, interval) == offset_of!(Bucket, arrival) + 8);
const _: () = assert!(offset_of!(Line, masked) == 8);

/// The guest's general registers, and XZR: of x20 to x29, which Rust keeps, only a synchronous exception other than HVC has
/// them, and not at first.
#[repr(C)]
pub struct Frame([u64; 32]);

/// The registers a frame has at first, one bit each.
pub const AT_FIRST: u32 = !(0x3ff << 20);
/// All registers.
pub const ALL: u32 = !0;

impl Frame {
    /// A frame of zeros.
    pub const ZERO: Self = Self([0; 32]);

    /// Register `index` as an instruction names it: 31 is XZR.
    #[inline(always)]
    pub fn get(&self, index: u8) -> u64 {
        self.0[usize::from(index) & 31]
    }

    /// Sets register `index`; 31 discards the value.
    #[inline(always)]
    pub fn set(&mut self, index: u8, value: u64) {
        if index != 31 {
            self.0[usize::from(index) & 31] = value;
        }
    }
}

global_asm!(
    short::short_macros!(),
    table::table!(),
    short::short_paths!(),
    is_v3 = const gic::IS_V3 as u32,
    take_interrupt = sym crate::exits::take_interrupt,
    fault = sym crate::exits::fault,
    hypercall = sym crate::exits::hypercall,
    trapped = sym crate::exits::trapped,
    synchronous = sym crate::exits::synchronous,
    interrupt = sym crate::exits::interrupt,
    aarch32 = sym crate::exits::aarch32,
    hvc = const 0x5a00_0000,            // ESR_EL2 of HVC #0 from AArch64
    doorbell = const gic::DOORBELL,
    special = const gic::SPECIAL,
    intids = const INTIDS,
    holders = const offset_of!(Core, holders),
    holder = const offset_of!(Core, holder),
    version = const call::VERSION,
    ring = const call::RING - call::VERSION,
    major = const abi::REVISION_MAJOR,
    minor = const abi::REVISION_MINOR,
    running = const state::RUNNING,
    ring_sent = const abi::ring::SENT,
    mine = const offset_of!(Core, mine),
    mail = const offset_of!(Core, mail),
    bell_count = const offset_of!(Core, bell_count),
    open = const offset_of!(Core, delivery) + offset_of!(Delivery, open),
    register = const offset_of!(Core, delivery) + offset_of!(Delivery, register),
    noted = const offset_of!(Core, delivery) + offset_of!(Delivery, noted),
    ready = const offset_of!(Core, delivery) + offset_of!(Delivery, ready),
    bells = const BELLS,
    peer = const offset_of!(Bell, peer),
    line = const offset_of!(Bell, line),
    sgi = const offset_of!(Bell, sgi),
    intid = const BELLS + offset_of!(Bell, intid),
    arrival = const offset_of!(Bell, end) + offset_of!(End, bucket) + offset_of!(Bucket, arrival),
    tolerance = const offset_of!(Bell, end) + offset_of!(End, bucket) + offset_of!(Bucket, tolerance),
    sent = const offset_of!(Bell, end) + offset_of!(End, sent),
    received = const BELLS + offset_of!(Bell, end) + offset_of!(End, received),
    masked = const offset_of!(Line, masked),
    count_hvc = const entries(Reason::Hvc),
    count_interrupt = const entries(Reason::Interrupt),
    count_sibling = const entries(Reason::Sibling),
    count_doorbell = const entries(Reason::Doorbell),
);
