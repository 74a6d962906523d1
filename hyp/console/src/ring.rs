//! Byte rings in the shared region: one core puts in, the console core takes out. All bytes zero is an empty ring.

use core::sync::atomic::{AtomicU8, AtomicU32, Ordering::*};

/// Where producer and consumer are, counted modulo 2^32, each on its own cache line.
#[derive(Default)]
#[repr(C, align(64))]
struct Cursor {
    /// Bytes put in or taken out.
    bytes: AtomicU32,
    /// How many of them ended a line.
    lines: AtomicU32,
}

/// A ring of `N` bytes, a power of two. One core calls [`Ring::push`] and [`Ring::push_line`], one the rest.
#[repr(C)]
pub struct Ring<const N: usize> {
    produced: Cursor,
    consumed: Cursor,
    bytes: [AtomicU8; N],
}

/// What [`Ring::push`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// Nothing: the ring is full.
    Full,
    /// The byte is in, and the console core knows already that it has work.
    Quiet,
    /// The byte is in; the console core should look now: a line is complete, or the ring was empty, or it is half full.
    Notify,
}

impl<const N: usize> Default for Ring<N> {
    fn default() -> Self {
        Self {
            produced: Cursor::default(),
            consumed: Cursor::default(),
            bytes: [const { AtomicU8::new(0) }; N],
        }
    }
}

impl<const N: usize> Ring<N> {
    const MASK: u32 = {
        assert!(N.is_power_of_two() && N <= 1 << 16);
        N as u32 - 1
    };

    /// Bytes waiting.
    pub fn len(&self) -> u32 {
        let consumed = self.consumed.bytes.load(SeqCst);
        self.produced.bytes.load(SeqCst).wrapping_sub(consumed)
    }

    /// Whether no byte waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether there is no room for another byte.
    pub fn is_full(&self) -> bool {
        self.len() > Self::MASK
    }

    /// Whether a whole line waits, or so much of one that it cannot wait for its end.
    pub fn is_ready(&self) -> bool {
        let taken = self.consumed.lines.load(Relaxed);
        self.produced.lines.load(Acquire) != taken || self.len() > Self::MASK / 2
    }

    /// Puts in one byte.
    pub fn push(&self, byte: u8) -> Pushed {
        if !append(&self.produced, self.len(), &self.bytes, &[], byte) {
            return Pushed::Full;
        }
        // Read after the byte is out, as the consumer reads `produced` after it has taken its last byte: in the one order
        // of sequentially consistent accesses, at least one of the two sees the other.
        let waiting = self.len();
        if byte == b'\n' || waiting == 1 || waiting == N as u32 / 2 + 1 {
            Pushed::Notify
        } else {
            Pushed::Quiet
        }
    }

    /// Puts in a whole line and its end, or nothing if there is no room for both (false). Notify the console core afterwards.
    pub fn push_line(&self, line: &[u8]) -> bool {
        append(&self.produced, self.len(), &self.bytes, line, b'\n')
    }

    /// Takes out the oldest byte.
    pub fn pop(&self) -> Option<u8> {
        if self.is_empty() {
            return None;
        }
        let consumed = self.consumed.bytes.load(Relaxed);
        // Masked, an index is always below `N`.
        let byte = self.bytes[(consumed & Self::MASK) as usize].load(Relaxed);
        if byte == b'\n' {
            let lines = self.consumed.lines.load(Relaxed);
            self.consumed.lines.store(lines.wrapping_add(1), Relaxed);
        }
        self.consumed.bytes.store(consumed.wrapping_add(1), SeqCst);
        Some(byte)
    }
}

/// Puts in `text` and `last` at once behind the `waiting` bytes, or nothing if there is no room for them (false).
// One copy for rings of all sizes.
#[inline(never)]
fn append(produced: &Cursor, waiting: u32, bytes: &[AtomicU8], text: &[u8], last: u8) -> bool {
    if text.len() + waiting as usize >= bytes.len() {
        return false;
    }
    let mut at = produced.bytes.load(Relaxed);
    let mut lines = produced.lines.load(Relaxed);
    for &byte in text.iter().chain([&last]) {
        if let Some(place) = bytes.get(at as usize & (bytes.len() - 1)) {
            place.store(byte, Relaxed);
        }
        at = at.wrapping_add(1);
        lines = lines.wrapping_add(u32::from(byte == b'\n'));
    }
    // The line count goes first, so that it never lags behind a line end already taken.
    produced.lines.store(lines, Release);
    produced.bytes.store(at, SeqCst);
    true
}

/// A core's rings. The core puts in, the console core takes out.
#[derive(Default)]
#[repr(C)]
pub struct Rings {
    /// What its guest prints.
    pub guest: Ring<8192>,
    /// EL2's own lines on that core, without [`crate::PREFIX`] and line end.
    pub el2: Ring<1024>,
}

// Of the 16 KiB a core has in the shared region, one page is kept for its counters and records.
const _: () = assert!(size_of::<Rings>() <= 3 * 4096);
