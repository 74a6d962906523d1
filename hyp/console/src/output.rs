//! The ring of a partition's output, in the shared region: its vCPUs put bytes in, the console core
//! takes them out in the order in which they were put in. All bytes zero is an empty ring.
//!
//! A producer reserves slots by compare-and-swap and then fills them. The console core stops at a
//! slot that is reserved and not filled yet, so the order is that of the reservations. No core
//! waits: a producer that finds no room gets that as its result.

use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst};

#[cfg(not(loom))]
use core::sync::atomic::{AtomicU16, AtomicU32, fence};
#[cfg(loom)]
use loom::sync::atomic::{AtomicU16, AtomicU32, fence};

/// Slots of a partition's ring.
pub const SLOTS: usize = 4096;
/// Slots of it that are kept free of a guest's bytes, so that EL2's lines find room: when only
/// these are free, the guest finds its transmitter full. It may still use a quarter of them, for
/// bytes that the flags promised room for before.
pub const KEPT: u32 = 1024;

/// Bit of a slot: it is filled. Bits 7:0 are the byte.
const FILLED: u16 = 1 << 8;
/// Bit of a slot: the byte is EL2's, of a whole line.
const EL2: u16 = 1 << 9;
/// Bit of a slot without a byte: the partition has stopped, so an unfinished line ends here.
const END: u16 = 1 << 10;

/// A counter modulo 2^32, on a cache line of its own.
#[cfg_attr(not(loom), derive(zerocopy::FromZeros))]
#[repr(C, align(64))]
struct Place(AtomicU32);

/// A ring of `N` slots, a power of two.
#[cfg_attr(not(loom), derive(zerocopy::FromZeros))]
#[repr(C)]
pub struct Output<const N: usize = SLOTS> {
    /// Slots reserved so far.
    put: Place,
    /// Slots taken so far.
    taken: Place,
    /// Lines ended so far: line feeds and ends in filled slots.
    lines: Place,
    slots: [AtomicU16; N],
}

/// What the console core finds first in a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Front {
    /// Nothing.
    Empty,
    /// A slot that a vCPU has reserved and not filled yet.
    Unfilled,
    /// A guest's byte.
    Guest(u8),
    /// A byte of EL2's.
    El2(u8),
    /// The end of an unfinished line.
    End,
}

impl<const N: usize> Output<N> {
    /// Returns an empty ring.
    #[cfg(loom)]
    pub fn new() -> Self {
        let place = || Place(AtomicU32::new(0));
        Self {
            put: place(),
            taken: place(),
            lines: place(),
            slots: core::array::from_fn(|_| AtomicU16::new(0)),
        }
    }

    /// Returns how many slots were reserved so far, modulo 2^32.
    #[inline(always)]
    pub fn put_in(&self) -> u32 {
        self.put.0.load(Acquire)
    }

    /// Returns how many slots are in use. If several vCPUs print, the result may be out of date
    /// when the caller looks at it; it is never too low if only the caller prints.
    #[inline(always)]
    pub fn used(&self) -> u32 {
        let taken = self.taken.0.load(Acquire);
        self.put_in().wrapping_sub(taken)
    }

    /// Returns how many lines ended so far, modulo 2^32.
    pub fn lines(&self) -> u32 {
        self.lines.0.load(Acquire)
    }

    /// Puts in a guest's byte, if less than `limit` slots are in use. Returns how many are in use
    /// now.
    pub fn put(&self, byte: u8, limit: u32) -> Option<u32> {
        let (at, used) = self.reserve(1, limit)?;
        self.fill(at, FILLED | u16::from(byte));
        if byte == b'\n' {
            self.lines.0.fetch_add(1, Release);
        }
        Some(used)
    }

    /// Puts in a line of EL2's, all of it or nothing (false). Its last byte is a line feed, and no
    /// other byte is.
    pub fn say(&self, parts: &[&[u8]]) -> bool {
        self.say_within(parts, N as u32)
    }

    /// Puts in a line of EL2's, like [`Output::say`], if at most `limit` slots are in use with it.
    #[inline(never)]
    pub fn say_within(&self, parts: &[&[u8]], limit: u32) -> bool {
        let bytes = parts.iter().copied().flatten();
        let Some((mut at, _)) = self.reserve(bytes.clone().count() as u32, limit) else {
            return false;
        };
        for &byte in bytes {
            self.fill(at, FILLED | EL2 | u16::from(byte));
            at = at.wrapping_add(1);
        }
        self.lines.0.fetch_add(1, Release);
        true
    }

    /// Ends the line that is unfinished at this place in the ring, if there is one: this vCPU
    /// prints nothing more.
    pub fn end(&self) {
        if let Some((at, _)) = self.reserve(1, N as u32) {
            self.fill(at, FILLED | END);
            self.lines.0.fetch_add(1, Release);
        }
    }

    /// Reserves `count` slots, if at most `limit` are in use with them. Returns the first one's
    /// place, and how many are in use with them.
    #[inline(always)]
    fn reserve(&self, count: u32, limit: u32) -> Option<(u32, u32)> {
        loop {
            // The loads are in this order so that `taken` is never more than `put`.
            let taken = self.taken.0.load(Acquire);
            let at = self.put.0.load(Acquire);
            let used = at.wrapping_sub(taken).wrapping_add(count);
            if used > limit {
                return None;
            }
            // It fails only if a sibling has reserved a slot meanwhile, and there is less room each
            // time.
            let next = at.wrapping_add(count);
            if self.put.0.compare_exchange_weak(at, next, AcqRel, Relaxed).is_ok() {
                return Some((at, used));
            }
        }
    }

    /// Reserves `count` slots and never fills them, as a vCPU that fails in between.
    #[cfg(test)]
    pub(crate) fn reserve_only(&self, count: u32) {
        assert!(self.reserve(count, N as u32).is_some());
    }

    fn slot(&self, at: u32) -> &AtomicU16 {
        // The index is a remainder, so it is always below `N`.
        &self.slots[at as usize % N]
    }

    fn fill(&self, at: u32, slot: u16) {
        self.slot(at).store(slot, Release);
    }

    /// Returns what is first in the ring. Only the console core calls this and [`Output::take`].
    #[inline(always)]
    pub fn front(&self) -> Front {
        let at = self.taken.0.load(Relaxed);
        let slot = self.slot(at).load(Acquire);
        match slot & (FILLED | EL2 | END) {
            FILLED => Front::Guest(slot as u8),
            0 if self.put_in() == at => Front::Empty,
            0 => Front::Unfilled,
            _ if slot & END != 0 => Front::End,
            _ => Front::El2(slot as u8),
        }
    }

    /// Takes out at most `most` printable characters of a guest's that are first, and gives each to
    /// `send`. Returns how many they are, and the last.
    #[inline(always)]
    pub fn take_text(&self, most: u32, mut send: impl FnMut(u8)) -> (u32, u8) {
        let at = self.taken.0.load(Relaxed);
        let (mut count, mut last) = (0, 0);
        while count < most {
            let place = self.slot(at.wrapping_add(count));
            let slot = place.load(Acquire);
            if !(FILLED | 0x20..=FILLED | 0x7e).contains(&slot) {
                break;
            }
            place.store(0, Relaxed);
            last = slot as u8;
            send(last);
            count += 1;
        }
        // The order is as in `take`.
        self.taken.0.store(at.wrapping_add(count), Release);
        (count, last)
    }

    /// Takes out what is first.
    pub fn take(&self) {
        let at = self.taken.0.load(Relaxed);
        self.slot(at).store(0, Relaxed);
        // The producer that reserves the slot next has seen this store, and so sees the slot empty.
        self.taken.0.store(at.wrapping_add(1), Release);
    }
}

/// The partitions that have something for the console core, one bit per partition. The core sleeps
/// while no bit is set.
#[cfg_attr(not(loom), derive(zerocopy::FromZeros))]
#[repr(C, align(64))]
pub struct Waiting(AtomicU32);

impl Waiting {
    /// Returns an empty set.
    #[cfg(loom)]
    pub fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    /// Marks that partition `index` has put something in. Returns true if the console core sleeps
    /// and has to be woken.
    ///
    /// The caller executes a fence ([`published`]) before this and before it decides that there is
    /// something for the console core. Then the console core sees what was put in when it looks
    /// after [`Waiting::clear`], or this sees that the bit is clear.
    #[inline(always)]
    pub fn mark(&self, index: u32) -> bool {
        let bit = 1 << (index % 32);
        self.0.load(Relaxed) & bit == 0 && self.0.fetch_or(bit, AcqRel) == 0
    }

    /// Returns the next partition after `index` that has something.
    #[inline(always)]
    pub fn next(&self, index: usize) -> Option<usize> {
        let from = (index as u32 + 1) % 32;
        match self.0.load(Acquire) {
            0 => None,
            mask => Some((mask.rotate_right(from).trailing_zeros() + from) as usize % 32),
        }
    }

    /// Clears the bit of partition `index`, where the console core found nothing, and looks once
    /// more after that.
    pub fn clear(&self, index: usize, has_something: impl FnOnce() -> bool) {
        let bit = 1 << (index % 32);
        self.0.fetch_and(!bit, AcqRel);
        fence(SeqCst);
        if has_something() {
            self.0.fetch_or(bit, AcqRel);
        }
    }
}

/// Orders what was put in before the reads of what depends on the console core: see
/// [`Waiting::mark`].
pub fn published() {
    fence(SeqCst);
}
