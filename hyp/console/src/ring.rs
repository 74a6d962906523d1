//! Byte rings in the shared region: at each the console core is at one end, one partition's cores are at the other. All
//! bytes zero is an empty ring.

use core::sync::atomic::{AtomicU8, AtomicU32, Ordering::*};

use zerocopy::FromZeros;

/// Bytes of a ring, a power of two.
pub(crate) const SIZE: u32 = 4096;

/// A place in the stream of bytes, modulo 2^32, on a cache line of its own.
#[derive(FromZeros)]
#[repr(C, align(64))]
struct Place(AtomicU32);

/// A ring of bytes. One core puts in. Of several cores that take out at once each byte goes to one.
#[derive(FromZeros)]
#[repr(C)]
pub struct Ring {
    put: Place,
    taken: Place,
    bytes: [AtomicU8; SIZE as usize],
}

impl Ring {
    /// Bytes put in so far, modulo 2^32.
    pub fn put_in(&self) -> u32 {
        self.put.0.load(SeqCst)
    }

    /// Bytes waiting.
    #[inline(never)]
    pub fn waiting(&self) -> u32 {
        let taken = self.taken.0.load(SeqCst);
        self.put_in().wrapping_sub(taken)
    }

    /// Bytes there is room for.
    pub fn room(&self) -> u32 {
        SIZE.saturating_sub(self.waiting())
    }

    /// Puts in `parts`, all at once, or nothing if there is no room for them (false).
    #[inline(never)]
    pub fn put(&self, parts: &[&[u8]]) -> bool {
        let mut at = self.put_in();
        let end = at.wrapping_add(self.room());
        for &byte in parts.iter().copied().flatten() {
            if at == end {
                return false;
            }
            // A remainder, so an index is always below `SIZE`.
            self.bytes[(at % SIZE) as usize].store(byte, Relaxed);
            at = at.wrapping_add(1);
        }
        // Sequentially consistent, as is the flag by which the console core says that it sleeps: it looks here once more
        // after it set that, the producer looks there after this, and at least one of the two sees the other.
        self.put.0.store(at, SeqCst);
        true
    }

    /// Takes out the oldest byte.
    #[inline(never)]
    pub fn pop(&self) -> Option<u8> {
        let at = self.taken.0.load(SeqCst);
        if at == self.put_in() {
            return None;
        }
        let byte = self.bytes[(at % SIZE) as usize].load(Relaxed);
        // Another core of the partition may have taken it meanwhile: then there is nothing, and it may look again.
        let next = at.wrapping_add(1);
        let result = self.taken.0.compare_exchange(at, next, SeqCst, Relaxed);
        result.is_ok().then_some(byte)
    }
}
