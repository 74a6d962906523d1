// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where in RAM things go: the loader at the top, the image where it belongs.

/// A range of addresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Range {
    /// First address.
    pub base: u64,
    /// Bytes.
    pub size: u64,
}

impl Range {
    /// Whether two ranges share an address.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.base < other.base.saturating_add(other.size)
            && other.base < self.base.saturating_add(self.size)
    }

    /// Whether another range is inside this one.
    pub fn holds(&self, other: &Self) -> bool {
        other.base >= self.base
            && other
                .base
                .checked_add(other.size)
                .zip(self.base.checked_add(self.size))
                .is_some_and(|(end, limit)| end <= limit)
    }
}

/// Most ranges of either kind: an 8 GB Raspberry Pi 4 has three of RAM.
const MOST: usize = 32;

/// Some ranges.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ranges {
    all: [Range; MOST],
    used: usize,
}

impl Ranges {
    /// Adds a range, if it is not empty; returns whether there was room.
    pub fn add(&mut self, base: u64, size: u64) -> bool {
        if size == 0 {
            return true;
        }
        let Some(place) = self.all.get_mut(self.used) else { return false };
        *place = Range { base, size };
        self.used += 1;
        true
    }

    /// Returns the ranges.
    pub fn all(&self) -> &[Range] {
        &self.all[..self.used]
    }
}

/// RAM, and what in it must stay.
#[derive(Clone, Copy, Debug, Default)]
pub struct Memory {
    /// RAM.
    pub ram: Ranges,
    /// What firmware keeps, and what is in use.
    pub kept: Ranges,
}

/// Why an image cannot be at its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misplaced {
    /// It is not all in one range of RAM.
    NoRam,
    /// It would be over this range.
    Kept(Range),
}

impl Memory {
    /// Returns the highest address below `limit` that has `size` bytes of free RAM, a multiple of
    /// `align`, which is a power of two.
    pub fn highest(&self, size: u64, align: u64, limit: u64) -> Option<u64> {
        let fit = |ram: &Range| {
            let mut end = ram.base.saturating_add(ram.size).min(limit);
            // Each kept range moves it down at most once.
            for _ in 0..=MOST {
                let base = end.checked_sub(size)? & !(align - 1);
                if base < ram.base {
                    return None;
                }
                let found = Range { base, size };
                match self.kept.all().iter().find(|kept| kept.overlaps(&found)) {
                    Some(kept) => end = kept.base,
                    None => return Some(base),
                }
            }
            None
        };
        self.ram.all().iter().filter_map(fit).max()
    }

    /// Checks that `range` is free RAM.
    ///
    /// # Errors
    /// If it is not.
    pub fn check(&self, range: &Range) -> Result<(), Misplaced> {
        if range.base == 0 || !self.ram.all().iter().any(|ram| ram.holds(range)) {
            return Err(Misplaced::NoRam);
        }
        match self.kept.all().iter().find(|kept| kept.overlaps(range)) {
            Some(kept) => Err(Misplaced::Kept(*kept)),
            None => Ok(()),
        }
    }
}
