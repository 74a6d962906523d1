// SPDX-License-Identifier: MIT OR Apache-2.0
//! A table walker that shares no code with the builder: it reads bytes as the architecture does
//! (DDI 0487, D8.2 and D8.3) and panics where a descriptor is invalid.

/// Physical memory that holds tables.
pub struct Tables<'a> {
    /// Address of the first byte.
    pub base: u64,
    /// Contents.
    pub bytes: &'a [u8],
}

/// The result of a walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// Translated address.
    pub output: u64,
    /// Descriptor without address and type bits.
    pub attributes: u64,
    /// Address bits that the block or page spans.
    pub span: u32,
    /// Tables read.
    pub steps: u32,
}

impl Tables<'_> {
    fn entry(&self, table: u64, index: u64) -> u64 {
        let at = (table + 8 * index - self.base) as usize;
        u64::from_le_bytes(self.bytes[at..at + 8].try_into().unwrap())
    }

    /// Walks stage 2 as `VTCR_EL2` and `VTTBR_EL2` define it.
    pub fn stage2(&self, vtcr: u64, vttbr: u64, ipa: u64) -> Option<Leaf> {
        let bits = 64 - (vtcr & 0x3f) as u32;
        let level = 2 - (vtcr >> 6 & 3) as u32;
        let root = vttbr & 0xffff_ffff_fffe;
        // A root of n tables is aligned to all of them.
        let first = bits.saturating_sub(12 + 9 * (4 - level));
        assert!(first <= 4, "at most 16 concatenated tables");
        assert_eq!(root & ((4096 << first) - 1), 0, "root alignment");
        self.walk(root, level, bits, ipa)
    }

    /// Walks stage 1 of EL2 as `TCR_EL2` and `TTBR0_EL2` define it.
    pub fn stage1(&self, tcr: u64, ttbr: u64, va: u64) -> Option<Leaf> {
        let bits = 64 - (tcr & 0x3f) as u32;
        let level = match bits {
            40..=48 => 0,
            31..=39 => 1,
            25..=30 => 2,
            _ => panic!("T0SZ"),
        };
        self.walk(ttbr, level, bits, va)
    }

    fn walk(&self, root: u64, start: u32, bits: u32, input: u64) -> Option<Leaf> {
        if input >> bits != 0 {
            return None;
        }
        let mut table = root;
        for level in start..4 {
            let span = 39 - 9 * level;
            // The start level's index has all remaining bits.
            let mask = if level == start { u64::MAX } else { 511 };
            let entry = self.entry(table, input >> span & mask);
            let address = entry & 0xffff_ffff_f000;
            match (entry & 3, level) {
                (0b11, 3) | (0b01, 1 | 2) => {
                    assert_eq!(address & ((1 << span) - 1), 0, "a block's address is aligned");
                    return Some(Leaf {
                        output: address | input & ((1 << span) - 1),
                        attributes: entry & !0xffff_ffff_f003,
                        span,
                        steps: level - start + 1,
                    });
                }
                (0b11, _) => {
                    assert_eq!(entry & !0xffff_ffff_f003, 0, "table attributes are not used");
                    table = address;
                }
                (0b00, _) => {
                    assert_eq!(entry, 0, "an invalid entry is all zero");
                    return None;
                }
                _ => panic!("{entry:#x} is not a descriptor at level {level}"),
            }
        }
        unreachable!()
    }
}
