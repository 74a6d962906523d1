//! How a partition's cores divide the work of loading it: chunks that they take one after the
//! other, and what fills a chunk.

use crate::{Load, Memory, Range};

/// Most bytes of a chunk.
pub const CHUNK: u64 = 4 << 20;

/// Returns what is loaded of a partition: its memory, and the channel pages that it clears.
pub fn ranges<'a>(memory: &'a [Memory], clears: &'a [Range]) -> impl Iterator<Item = Range> + 'a {
    let memory = memory.iter().map(|piece| Range { base: piece.base.0, size: piece.size });
    memory.chain(clears.iter().copied())
}

/// Returns how many chunks and bytes `ranges` have.
pub fn total(ranges: impl Iterator<Item = Range>) -> (u64, u64) {
    ranges.fold((0, 0), |(chunks, bytes), range| {
        (chunks + range.size.div_ceil(CHUNK), bytes + range.size)
    })
}

/// Returns chunk `number` of the ranges, in their order, or `None` if there are fewer.
pub fn chunk(ranges: impl Iterator<Item = Range>, number: u64) -> Option<Range> {
    let mut left = number;
    for range in ranges {
        let chunks = range.size.div_ceil(CHUNK);
        if left < chunks {
            let before = left * CHUNK;
            return Some(Range { base: range.base + before, size: CHUNK.min(range.size - before) });
        }
        left -= chunks;
    }
    None
}

/// Returns the end of the first part of `base..end` that is filled in one way, and the address it
/// is copied from. A part that no load fills is cleared. Loads may be in any order; no two fill the
/// same byte.
pub fn first_part(loads: &[Load], base: u64, end: u64) -> (u64, Option<u64>) {
    let mut until = end;
    for load in loads {
        let inside = base.wrapping_sub(load.target);
        if inside < load.size {
            return (end.min(load.target + load.size), Some(load.source + inside));
        }
        if load.target > base {
            until = until.min(load.target);
        }
    }
    (until, None)
}
