// SPDX-License-Identifier: MIT OR Apache-2.0
//! Stack traces through honest and hostile tables.

use std::collections::BTreeMap;

use bulkhead_record::trace::{FRAMES, Stage1, frames};
use proptest::prelude::*;

/// TCR_EL1 fields: 4 KiB, 16 KiB and 64 KiB granules of TTBR0, then of TTBR1.
const GRANULES: [[u64; 3]; 2] = [[0b00, 0b10, 0b01], [0b10, 0b01, 0b11]];

/// Reads of a sparse memory, counted.
struct Memory {
    words: BTreeMap<u64, u64>,
    reads: usize,
}

impl Memory {
    fn new(words: impl IntoIterator<Item = (u64, u64)>) -> Self {
        Self { words: words.into_iter().collect(), reads: 0 }
    }

    fn read(&mut self, ipa: u64) -> Option<u64> {
        self.reads += 1;
        self.words.get(&ipa).copied()
    }

    fn trace(&mut self, stage1: &Stage1, frame: u64) -> Vec<u64> {
        let mut trace = [0; FRAMES];
        let count = frames(stage1, frame, &mut trace, |ipa| self.read(ipa));
        trace[..count].to_vec()
    }
}

/// The MMU is off: addresses are IPAs.
const OFF: Stage1 = Stage1 { sctlr: 0, tcr: 0, ttbr: [0; 2] };

#[test]
fn frames_are_followed_to_the_last() {
    let mut memory = Memory::new([
        (0x100, 0x200),
        (0x108, 11),
        (0x200, 0x300),
        (0x208, 22),
        (0x300, 0),
        (0x308, 33),
    ]);
    assert_eq!(memory.trace(&OFF, 0x100), [11, 22, 33]);
    assert_eq!(memory.trace(&OFF, 0), [0; 0]);
    assert_eq!(memory.trace(&OFF, 0x101), [0; 0], "a misaligned frame");
    assert_eq!(memory.trace(&OFF, 1 << 60), [0; 0], "beyond 48 bits");
}

#[test]
fn a_chain_in_a_circle_ends() {
    let mut memory = Memory::new([(0x100, 0x100), (0x108, 11)]);
    assert_eq!(memory.trace(&OFF, 0x100), [11; FRAMES]);
    assert_eq!(memory.reads, 2 * FRAMES);
}

#[test]
fn a_chain_that_leaves_the_memory_ends() {
    let mut memory = Memory::new([(0x100, 0x7000_0000), (0x108, 11)]);
    assert_eq!(memory.trace(&OFF, 0x100), [11]);
    let mut memory = Memory::new([(0x100, 0x200)]);
    assert_eq!(memory.trace(&OFF, 0x100), [0; 0], "half a record");
}

/// Returns tables that map `va` to `ipa` by the smallest pages, from `root` on.
fn mapped(va: u64, ipa: u64, root: u64, bits: u32, page: u32) -> Vec<(u64, u64)> {
    let stride = page - 3;
    let levels = (bits - page).div_ceil(stride);
    let input = va & (u64::MAX >> (64 - bits));
    let mut words = Vec::new();
    let mut table = root;
    for level in (0..levels).rev() {
        let shift = page + stride * level;
        let width = if level == levels - 1 { bits - shift } else { stride };
        let index = input >> shift & ((1 << width) - 1);
        let next = root + ((u64::from(level) + 1) << 20);
        words.push((table + 8 * index, if level == 0 { ipa >> page << page } else { next } | 0b11));
        table = next;
    }
    words
}

proptest! {
    #[test]
    fn every_granule_and_size_translates(
        bits in 25u32..=48, granule in 0usize..3, upper: bool, low: u64, ipa in 0u64..1 << 47,
        ignored: bool,
    ) {
        let page = [12, 14, 16][granule];
        let field = GRANULES[usize::from(upper)][granule];
        let side = 16 * u32::from(upper);
        let mut tcr = (u64::from(64 - bits) | field << 14) << side;
        tcr |= u64::from(ignored) << (37 + u32::from(upper));
        let mut va = low & (u64::MAX >> (64 - bits));
        if upper {
            va |= u64::MAX << bits;
        }
        let root = 0x10_0000_0000;
        let stage1 = Stage1 { sctlr: 1, tcr, ttbr: [root | 1, root] };
        let mut memory = Memory::new(mapped(va, ipa, root, bits, page));
        let offset = va & ((1 << page) - 1);
        let expected = Some(ipa >> page << page | offset);
        prop_assert_eq!(stage1.translate(va, &mut |at| memory.read(at)), expected);
        prop_assert!(memory.reads <= 4);
        // Other top bytes count only if they are not ignored.
        let tagged = va ^ 1 << 60;
        let found = stage1.translate(tagged, &mut |at| memory.read(at));
        prop_assert_eq!(found, expected.filter(|_| ignored));
        // A hole in the tables ends the walk.
        let mut empty = Memory::new([]);
        prop_assert_eq!(stage1.translate(va, &mut |at| empty.read(at)), None);
    }

    /// Tables and frames of any contents, everywhere: the walk ends after a bounded number of
    /// reads.
    #[test]
    fn hostile_memory_is_bounded(
        sctlr: u64, tcr: u64, ttbr: [u64; 2], frame: u64, words: Vec<u64>,
    ) {
        let mut reads = 0;
        let mut trace = [0; FRAMES];
        let stage1 = Stage1 { sctlr, tcr, ttbr };
        let count = frames(&stage1, frame, &mut trace, |ipa| {
            reads += 1;
            match words.len() {
                0 => None,
                len => Some(words[(ipa / 8) as usize % len]),
            }
        });
        prop_assert!(count <= FRAMES && reads <= FRAMES * 2 * 5);
    }

    /// The same with registers that enable a walk, and descriptors that are mostly tables.
    #[test]
    fn hostile_tables_are_bounded(size in 16u64..40, frame in 1u64..1 << 24, words: Vec<u64>) {
        let mut reads = 0;
        let mut trace = [0; FRAMES];
        let stage1 = Stage1 { sctlr: 1, tcr: size, ttbr: [0x4000_0000; 2] };
        let count = frames(&stage1, frame << 3, &mut trace, |ipa| {
            reads += 1;
            Some(words.get((ipa / 8) as usize % words.len().max(1)).copied().unwrap_or(0) | 0b11)
        });
        prop_assert!(count <= FRAMES && reads <= FRAMES * 2 * 5);
    }
}

#[test]
fn blocks_translate() {
    // Two levels from T0SZ = 25: a 1 GiB block, and a 2 MiB block of a table.
    let stage1 = Stage1 { sctlr: 1, tcr: 25, ttbr: [0x1000, 0] };
    let mut memory = Memory::new([
        (0x1008, 0x4000_0401),
        (0x1010, 0x2003),
        (0x2008, 0x8020_0401),
        (0x2010, 0x0),
    ]);
    let mut at = |va| stage1.translate(va, &mut |ipa| memory.read(ipa));
    assert_eq!(at(0x4123_4568), Some(0x4123_4568));
    assert_eq!(at(0x8030_0008), Some(0x8030_0008));
    assert_eq!(at(0x8040_0008), None);
    assert_eq!(at(1 << 39), None, "beyond the tables' size");
}
