// SPDX-License-Identifier: MIT OR Apache-2.0
//! Words that the cores of a partition share, and the bits of a word.
//!
//! Every change is an atomic read-modify-write followed by a full barrier; every read is plain. Of
//! two cores that each change one word and then read the other's, at least one sees the other's
//! change. The core that sees a change acts on it. `tests/races.rs` fails without any of these
//! barriers.

use crate::Zeroed;
use crate::atomic::{
    AtomicU8, AtomicU32, Ordering::AcqRel, Ordering::Relaxed, Ordering::SeqCst, fence,
};

/// A word that cores share.
#[derive(Zeroed)]
#[repr(transparent)]
pub(crate) struct Shared(pub AtomicU32);

impl Shared {
    #[inline(always)]
    pub fn get(&self) -> u32 {
        self.0.load(Relaxed)
    }

    /// Sets the bits `mask`. Returns the previous value.
    #[inline(never)]
    pub fn set(&self, mask: u32) -> u32 {
        self.fast_set(mask)
    }

    /// [`Self::set`] without a call, for the fast paths.
    #[inline(always)]
    pub fn fast_set(&self, mask: u32) -> u32 {
        let old = self.0.fetch_or(mask, AcqRel);
        fence(SeqCst);
        old
    }

    /// Clears the bits `mask`. Returns the previous value.
    #[inline(never)]
    pub fn clear(&self, mask: u32) -> u32 {
        self.fast_clear(mask)
    }

    /// [`Self::clear`] without a call, for the fast paths.
    pub fn fast_clear(&self, mask: u32) -> u32 {
        let old = self.0.fetch_and(!mask, AcqRel);
        fence(SeqCst);
        old
    }

    /// Clears the bits `mask`. Returns whether any of them was set.
    pub fn take(&self, mask: u32) -> bool {
        self.get() & mask != 0 && self.fast_clear(mask) & mask != 0
    }

    /// Sets or clears the bits `mask`.
    #[inline(never)]
    pub fn put(&self, mask: u32, on: bool) {
        if on {
            self.fast_set(mask);
        } else {
            self.fast_clear(mask);
        }
    }

    /// Writes the word. Returns the previous value.
    #[inline(never)]
    pub fn swap(&self, value: u32) -> u32 {
        let old = self.0.swap(value, AcqRel);
        fence(SeqCst);
        old
    }
}

/// Writes `new` to a byte that cores share, if it is `old`; otherwise returns its value as an
/// error.
#[inline(always)]
pub(crate) fn exchange(byte: &AtomicU8, old: u8, new: u8) -> Result<u8, u8> {
    let changed = byte.compare_exchange(old, new, AcqRel, Relaxed);
    fence(SeqCst);
    changed
}

/// Iterates over the numbers of the bits that are set in a word, lowest first.
pub(crate) struct Bits(pub u32);

impl Iterator for Bits {
    type Item = u32;

    #[inline(always)]
    fn next(&mut self) -> Option<u32> {
        let bit = (self.0 != 0).then(|| self.0.trailing_zeros());
        self.0 &= self.0.wrapping_sub(1);
        bit
    }
}
