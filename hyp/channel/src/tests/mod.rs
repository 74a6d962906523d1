//! Tests of the ring against a queue, against a peer that writes anything, in every shape, and as a
//! stream.

mod hostile;
mod lives;
mod queue;
mod shapes;
// These tests are long, and about rates, not memory.
#[cfg(not(miri))]
mod stream;

use super::*;
use core::sync::atomic::Ordering::Relaxed;
use proptest::prelude::*;

/// Number of cases: fewer if Miri runs them.
const CASES: u32 = if cfg!(miri) { 3 } else { 256 };
/// Factor on the length of a case: longer if Miri does not run it.
const LENGTH: usize = if cfg!(miri) { 1 } else { 20 };

/// A region's memory.
pub struct Memory {
    page: Vec<AtomicU64>,
    data: Vec<AtomicU64>,
}

impl Memory {
    /// Returns cleared memory with `words` of data and all indices at `start` (a multiple of 8).
    pub fn new(words: usize, start: u32) -> Self {
        let page: Vec<AtomicU64> = (0..64).map(|_| AtomicU64::new(0)).collect();
        for offset in [layout::PRODUCED, layout::CONSUMED] {
            page[offset / 8].store(start.into(), Relaxed);
        }
        let data = (0..words).map(|_| AtomicU64::new(0)).collect();
        Self { page, data }
    }

    pub fn region(&self) -> Region<'_> {
        Region::new(Indices::new(&self.page).unwrap(), &self.data).unwrap()
    }

    fn index(&self, offset: usize) -> &AtomicU64 {
        &self.page[offset / 8]
    }
}

/// Opens an end as in a ring within a partition.
fn open<'a>(own: Region<'a>, peer: Region<'a>) -> (Producer<'a>, Consumer<'a>) {
    super::open(own, peer, Pair::default())
}

/// Index values to start from: zero, or one that wraps soon.
fn start() -> impl Strategy<Value = u32> {
    prop_oneof![Just(0), (0_u32..64).prop_map(|n| 0_u32.wrapping_sub(n * 8))]
}

fn message(n: u64, len: usize) -> Vec<u8> {
    (0..len).map(|i| (n as usize * 31 + i) as u8).collect()
}
