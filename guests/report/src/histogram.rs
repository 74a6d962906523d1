// SPDX-License-Identifier: MIT OR Apache-2.0
//! A distribution in fixed buckets: 32 per power of two, so that a value's bucket is at most 3 %
//! wide. Values below 64 have buckets of their own.

/// Buckets per power of two.
const STEPS: u64 = 32;
/// Bits of the largest value; larger ones go to the last bucket.
const BITS: u32 = 36;
/// Number of buckets.
pub const BUCKETS: usize = ((BITS - 5) as usize + 1) * STEPS as usize;

/// Returns the bucket of a value.
#[must_use]
pub fn bucket(value: u64) -> usize {
    let value = value.min((1 << BITS) - 1);
    if value < STEPS {
        return value as usize;
    }
    // The power of two below the value is 2^(5 + shift), and STEPS is 2^5.
    let shift = value.ilog2() - STEPS.ilog2();
    ((u64::from(shift) + 1) * STEPS + (value >> shift) - STEPS) as usize
}

/// Returns the least and the largest value of a bucket.
#[must_use]
pub fn range(bucket: usize) -> (u64, u64) {
    let (shift, step) = (bucket as u64 / STEPS, bucket as u64 % STEPS);
    match shift {
        0 => (step, step),
        _ => {
            let low = (STEPS + step) << (shift - 1);
            (low, low + (1 << (shift - 1)) - 1)
        }
    }
}

/// A distribution of times in counter ticks.
#[derive(Clone, Debug)]
pub struct Histogram {
    counts: [u32; BUCKETS],
    /// Number of values.
    pub count: u64,
    /// The least value.
    pub min: u64,
    /// The largest value.
    pub max: u64,
    /// Sum of all values.
    pub sum: u64,
}

impl Histogram {
    /// Returns a distribution of no value.
    #[must_use]
    pub const fn new() -> Self {
        Self { counts: [0; BUCKETS], count: 0, min: u64::MAX, max: 0, sum: 0 }
    }

    /// Adds a value.
    pub fn record(&mut self, value: u64) {
        let count = &mut self.counts[bucket(value)];
        *count = count.saturating_add(1);
        self.count += 1;
        self.min = self.min.min(value);
        self.max = self.max.max(value);
        self.sum = self.sum.saturating_add(value);
    }

    /// Forgets every value.
    pub fn clear(&mut self) {
        *self = Self::new();
    }

    /// Returns bucket and count of every bucket that has values.
    pub fn buckets(&self) -> impl Iterator<Item = (usize, u32)> {
        let counts = self.counts.iter().copied().enumerate();
        counts.filter(|(_, count)| *count != 0)
    }
}

impl Default for Histogram {
    fn default() -> Self {
        Self::new()
    }
}
