//! The two kinds of address that meet in the plan. Only [`translate`] makes one of the other.

use core::fmt::{Formatter, LowerHex, Result};

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::Memory;

/// An intermediate physical address: what a guest takes for a physical one.
#[repr(transparent)]
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    FromBytes,
    IntoBytes,
    Immutable,
    KnownLayout,
)]
pub struct Ipa(pub u64);

/// A physical address.
#[repr(transparent)]
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    FromBytes,
    IntoBytes,
    Immutable,
    KnownLayout,
)]
pub struct Pa(pub u64);

impl Ipa {
    /// Returns the bytes from `base` to this address, modulo 2^64: less than a size exactly if the
    /// address is among that many bytes from `base` on.
    #[must_use]
    #[inline(always)]
    pub const fn offset_from(self, base: Self) -> u64 {
        self.0.wrapping_sub(base.0)
    }

    /// Whether the address is a multiple of `size`, a power of two.
    #[must_use]
    #[inline(always)]
    pub const fn is_aligned(self, size: u64) -> bool {
        self.0 & (size - 1) == 0
    }
}

impl LowerHex for Ipa {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        LowerHex::fmt(&self.0, f)
    }
}

impl LowerHex for Pa {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        LowerHex::fmt(&self.0, f)
    }
}

/// Returns the physical address of a guest's `ipa` if it is in one of the pieces of `memory`.
#[must_use]
pub fn translate(memory: &[Memory], ipa: Ipa) -> Option<Pa> {
    let piece = memory.iter().find(|piece| ipa.offset_from(piece.ipa) < piece.size)?;
    Some(Pa(piece.base.0.wrapping_add(ipa.offset_from(piece.ipa))))
}
