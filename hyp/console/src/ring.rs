//! The ring of a partition's console input, in the shared region: the console core puts bytes in,
//! the partition's cores take them out. All bytes zero is an empty ring.

use core::sync::atomic::{AtomicU8, AtomicU32, Ordering::*};

use zerocopy::FromZeros;

/// Bytes of a ring, a power of two.
pub(crate) const SIZE: u32 = 4096;

/// A place in the stream of bytes, modulo 2^32, on a cache line of its own.
#[derive(FromZeros)]
#[repr(C, align(64))]
struct Place(AtomicU32);

/// A ring of bytes. One core puts bytes in. If several cores take bytes out at once, each byte goes
/// to one of them.
#[derive(FromZeros)]
#[repr(C)]
pub struct Ring {
    put: Place,
    taken: Place,
    overruns: Place,
    bytes: [AtomicU8; SIZE as usize],
}

impl Ring {
    /// Returns how many bytes were put in so far, modulo 2^32.
    pub fn put_in(&self) -> u32 {
        self.put.0.load(Acquire)
    }

    /// Returns how many bytes wait.
    pub fn waiting(&self) -> u32 {
        // The loads are in this order so that `taken` is never more than `put`.
        let taken = self.taken.0.load(Acquire);
        self.put_in().wrapping_sub(taken)
    }

    /// Returns how many bytes there is room for.
    pub fn room(&self) -> u32 {
        SIZE.saturating_sub(self.waiting())
    }

    /// Returns how many bytes were dropped so far, modulo 2^32.
    pub fn overruns(&self) -> u32 {
        self.overruns.0.load(Relaxed)
    }

    /// Puts in `byte`. Returns false if there is no room: then the byte is dropped.
    pub fn put(&self, byte: u8) -> bool {
        let at = self.put_in();
        if self.room() == 0 {
            let overruns = self.overruns.0.load(Relaxed);
            self.overruns.0.store(overruns.wrapping_add(1), Relaxed);
            return false;
        }
        // The index is a remainder, so it is always below `SIZE`.
        self.bytes[(at % SIZE) as usize].store(byte, Relaxed);
        self.put.0.store(at.wrapping_add(1), Release);
        true
    }

    /// Takes out the oldest byte.
    #[inline(never)]
    pub fn pop(&self) -> Option<u8> {
        let at = self.taken.0.load(Acquire);
        if at == self.put_in() {
            return None;
        }
        let byte = self.bytes[(at % SIZE) as usize].load(Relaxed);
        // Another core of the partition may have taken it meanwhile: then the result is `None`, and
        // the caller may try again.
        let next = at.wrapping_add(1);
        let result = self.taken.0.compare_exchange(at, next, AcqRel, Relaxed);
        result.is_ok().then_some(byte)
    }
}
