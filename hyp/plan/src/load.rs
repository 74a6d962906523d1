//! How a partition's cores divide the work of loading it: chunks that they take one after the
//! other, and what fills a chunk.

use crate::{Load, Memory, Range};

/// Most bytes of a chunk.
pub const CHUNK: u64 = 4 << 20;

/// What is loaded of a partition: its memory, and the channel pages that it clears.
pub fn ranges<'a>(memory: &'a [Memory], clears: &'a [Range]) -> impl Iterator<Item = Range> + 'a {
    let memory = memory.iter().map(|piece| Range { base: piece.base, size: piece.size });
    memory.chain(clears.iter().copied())
}

/// How many chunks and bytes there are.
pub fn total(ranges: impl Iterator<Item = Range>) -> (u64, u64) {
    ranges.fold((0, 0), |(chunks, bytes), range| {
        (chunks + range.size.div_ceil(CHUNK), bytes + range.size)
    })
}

/// Chunk `number` of the ranges, in their order; none if there are fewer.
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

/// How `base..end` begins: the end of its first part that is filled in one way, and where that is
/// copied from. A part that no load fills is cleared. Loads come in any order; no two fill the same
/// byte.
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
