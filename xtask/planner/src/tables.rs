// SPDX-License-Identifier: MIT OR Apache-2.0
//! Translation tables with the 4 KiB granule, stage 1 of EL2 and stage 2 (DDI 0487, D8 "The AArch64
//! Virtual Memory System Architecture": D8.2 table walks and start levels, D8.3 descriptors, D8.4
//! and D8.5 their attributes).
//!
//! Blocks are used where both addresses allow, equal tables are stored once, and a walk starts at
//! the last level that the input size permits.

use std::collections::HashMap;

use anyhow::{Result, ensure};
use manifest::system::Memory;
use plan::PAGE;

use super::pages::check_pages;

/// The permissions of a mapping and its memory type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Normal Write-Back: read.
    Read,
    /// Normal Write-Back: read and execute.
    ReadExecute,
    /// Normal Write-Back: read and write.
    ReadWrite,
    /// Normal Write-Back: read, write and execute.
    ReadWriteExecute,
    /// Normal Non-cacheable: read.
    ReadNonCacheable,
    /// Normal Non-cacheable: read and write.
    ReadWriteNonCacheable,
    /// Device-nGnRE: read and write.
    Device,
}

/// AF: no access flag faults.
const AF: u64 = 1 << 10;
/// SH: Inner Shareable.
const INNER_SHAREABLE: u64 = 0b11 << 8;
/// SH: Outer Shareable, which Non-cacheable memory always is.
const OUTER_SHAREABLE: u64 = 0b10 << 8;
/// XN: execute never.
const XN: u64 = 1 << 54;

impl Access {
    /// Returns the access that a guest has to a piece of its memory.
    #[must_use]
    pub fn of(memory: &Memory) -> Self {
        match memory.rom {
            true => Self::ReadExecute,
            false => Self::ReadWriteExecute,
        }
    }

    /// Returns the access that a guest has to channel pages.
    #[must_use]
    pub fn to_channel(write: bool, cacheable: bool) -> Self {
        match (write, cacheable) {
            (false, false) => Self::ReadNonCacheable,
            (false, true) => Self::Read,
            (true, false) => Self::ReadWriteNonCacheable,
            (true, true) => Self::ReadWrite,
        }
    }

    /// Returns the attributes of a stage-1 descriptor of EL2 without VHE. `AP[1]` (bit 6) is RES1
    /// there.
    #[must_use]
    pub fn stage1(self) -> u64 {
        const AP_1: u64 = 1 << 6;
        const AP_READ_ONLY: u64 = 1 << 7;
        const DEVICE: u64 = 0 << 2; // AttrIndx, fields of plan::MAIR_EL2
        const NORMAL: u64 = 1 << 2 | INNER_SHAREABLE;
        const NON_CACHEABLE: u64 = 2 << 2 | OUTER_SHAREABLE;
        AF | AP_1
            | match self {
                Self::Read => NORMAL | AP_READ_ONLY | XN,
                Self::ReadExecute => NORMAL | AP_READ_ONLY,
                Self::ReadWrite => NORMAL | XN,
                Self::ReadWriteExecute => NORMAL,
                Self::ReadNonCacheable => NON_CACHEABLE | AP_READ_ONLY | XN,
                Self::ReadWriteNonCacheable => NON_CACHEABLE | XN,
                Self::Device => DEVICE | XN,
            }
    }

    /// Returns the attributes of a stage-2 descriptor. `XN[1:0]` = 10 is execute-never with and
    /// without FEAT_XNX.
    #[must_use]
    pub fn stage2(self) -> u64 {
        const S2AP_READ: u64 = 0b01 << 6;
        const S2AP_WRITE: u64 = 0b10 << 6;
        const DEVICE_NGNRE: u64 = 0b0001 << 2;
        const NORMAL: u64 = 0b1111 << 2 | INNER_SHAREABLE;
        const NON_CACHEABLE: u64 = 0b0101 << 2 | OUTER_SHAREABLE;
        AF | S2AP_READ
            | match self {
                Self::Read => NORMAL | XN,
                Self::ReadExecute => NORMAL,
                Self::ReadWrite => NORMAL | S2AP_WRITE | XN,
                Self::ReadWriteExecute => NORMAL | S2AP_WRITE,
                Self::ReadNonCacheable => NON_CACHEABLE | XN,
                Self::ReadWriteNonCacheable => NON_CACHEABLE | S2AP_WRITE | XN,
                Self::Device => DEVICE_NGNRE | S2AP_WRITE | XN,
            }
    }

    /// Returns the permission in letters, like `ls` prints them.
    #[must_use]
    pub fn letters(self) -> &'static str {
        match self {
            Self::Read | Self::ReadNonCacheable => "r--",
            Self::ReadExecute => "r-x",
            Self::ReadWrite | Self::ReadWriteNonCacheable | Self::Device => "rw-",
            Self::ReadWriteExecute => "rwx",
        }
    }
}

/// A range of input addresses and its output address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// A name for the report.
    pub what: String,
    /// First input address.
    pub input: u64,
    /// First output address.
    pub output: u64,
    /// Bytes.
    pub size: u64,
    /// Its permissions and memory type.
    pub access: Access,
}

impl Mapping {
    fn end(&self) -> u64 {
        self.input + self.size
    }
}

/// The two kinds of translation EL2 sets up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// EL2's own, without VHE.
    One,
    /// A guest's IPA to PA.
    Two,
}

/// Shape of a walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Its stage.
    pub stage: Stage,
    /// Input address bits: 64 - T0SZ.
    pub bits: u32,
}

impl Shape {
    /// Returns the smallest shape for input addresses below `end`.
    ///
    /// # Errors
    /// If `end` needs more than 48 bits.
    pub fn covering(stage: Stage, end: u64) -> Result<Self> {
        let bits = 64 - end.saturating_sub(1).leading_zeros();
        ensure!(bits <= 48, "addresses up to {end:#x} need more than 48 bits");
        // T0SZ is at most 39 without FEAT_TTST.
        Ok(Self { stage, bits: bits.max(25) })
    }

    /// Returns the level at which a walk starts. Stage 2 may concatenate up to 16 tables; this is
    /// done only where it saves a level.
    #[must_use]
    pub fn start_level(self) -> u32 {
        let concatenated = if self.stage == Stage::Two { 4 } else { 0 };
        (0..=2).rev().find(|&level| self.bits <= span_bits(level) + 9 + concatenated).unwrap_or(0)
    }

    /// Number of concatenated tables of the root.
    #[must_use]
    pub fn root_tables(self) -> usize {
        1 << self.bits.saturating_sub(span_bits(self.start_level()) + 9)
    }

    /// `T0SZ` of `TCR_EL2` or `VTCR_EL2`.
    #[must_use]
    pub fn t0sz(self) -> u64 {
        u64::from(64 - self.bits)
    }
}

/// Address bits that one entry of a table at `level` spans.
const fn span_bits(level: u32) -> u32 {
    12 + 9 * (3 - level)
}

/// A translation table.
type Table = [u64; 512];
/// Descriptor bits 1:0 of a table, and of a page at level 3.
const TABLE: u64 = 0b11;
/// Descriptor bits 1:0 of a block at levels 1 and 2.
const BLOCK: u64 = 0b01;

/// Descriptor bits 47:12 of a table: its address.
const ADDRESS: u64 = 0xffff_ffff_f000;

/// Translation tables, adjacent from one physical address on.
#[derive(Clone, Debug)]
pub struct Pool {
    base: u64,
    tables: Vec<Table>,
    known: HashMap<Table, usize>,
    spare: Vec<usize>,
}

impl Pool {
    /// Returns an empty pool whose first table will be at `base`.
    #[must_use]
    pub fn new(base: u64) -> Self {
        Self { base, tables: Vec::new(), known: HashMap::new(), spare: Vec::new() }
    }

    /// Returns the physical address of the first table.
    #[must_use]
    pub fn base(&self) -> u64 {
        self.base
    }

    /// Returns the tables' bytes.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let entries = self.tables.iter().flatten();
        entries.flat_map(|entry| entry.to_le_bytes()).collect()
    }

    /// Adds the tables that translate `mappings` and nothing else, and returns the root's physical
    /// address.
    ///
    /// # Errors
    /// If mappings overlap, are not whole pages, or are outside the shape.
    pub fn root(&mut self, shape: Shape, mappings: &[Mapping]) -> Result<u64> {
        let mappings = joined(mappings)?;
        for mapping in &mappings {
            ensure!(
                mapping.end() <= 1 << shape.bits,
                "{}: {:#x} is outside {} address bits",
                mapping.what,
                mapping.input,
                shape.bits
            );
        }
        let level = shape.start_level();
        let span = 1u64 << (span_bits(level) + 9);
        let root: Vec<Table> = (0..shape.root_tables() as u64)
            .map(|n| self.table(shape.stage, level, n * span, &mappings))
            .collect();
        let index = match root.as_slice() {
            [table] => self.store(table),
            tables => self.store_aligned(tables),
        };
        Ok(self.address(index))
    }

    /// Counts the 1 GiB blocks, 2 MiB blocks and pages of the translation at `root`.
    #[must_use]
    pub fn leaves(&self, shape: Shape, root: u64) -> [usize; 3] {
        let mut count = [0; 3];
        for n in 0..shape.root_tables() as u64 {
            self.count(shape.start_level(), root + n * PAGE, &mut count);
        }
        count
    }

    fn count(&self, level: u32, table: u64, count: &mut [usize; 3]) {
        for entry in self.tables[((table - self.base) / PAGE) as usize] {
            match (entry & TABLE, level) {
                (BLOCK, 1 | 2) | (TABLE, 3) => count[level as usize - 1] += 1,
                (TABLE, _) => self.count(level + 1, entry & ADDRESS, count),
                _ => {}
            }
        }
    }

    /// Physical address of a table.
    fn address(&self, index: usize) -> u64 {
        self.base + index as u64 * PAGE
    }

    /// Returns the index of `table`, which is stored if no equal one is.
    fn store(&mut self, table: &Table) -> usize {
        if let Some(&index) = self.known.get(table) {
            return index;
        }
        let index = self.spare.pop().unwrap_or_else(|| {
            self.tables.push([0; 512]);
            self.tables.len() - 1
        });
        self.tables[index] = *table;
        self.known.insert(*table, index);
        index
    }

    /// Stores adjacent tables, aligned to their whole size (DDI 0487, D8.2 "Concatenated
    /// translation tables"). Later single tables use the gap before them.
    fn store_aligned(&mut self, tables: &[Table]) -> usize {
        while !self.address(self.tables.len()).is_multiple_of(tables.len() as u64 * PAGE) {
            self.spare.push(self.tables.len());
            self.tables.push([0; 512]);
        }
        self.tables.extend_from_slice(tables);
        self.tables.len() - tables.len()
    }

    /// The table at `level` for input addresses from `base` on.
    fn table(&mut self, stage: Stage, level: u32, base: u64, mappings: &[Mapping]) -> Table {
        let span = 1u64 << span_bits(level);
        let mut table = [0; 512];
        for (entry, first) in table.iter_mut().zip((base..).step_by(span as usize)) {
            *entry = self.entry(stage, level, first, span, mappings);
        }
        table
    }

    /// The descriptor at `level` for the `span` input addresses from `first` on.
    fn entry(
        &mut self,
        stage: Stage,
        level: u32,
        first: u64,
        span: u64,
        mappings: &[Mapping],
    ) -> u64 {
        let from = mappings.partition_point(|m| m.end() <= first);
        let to = mappings.partition_point(|m| m.input < first + span);
        let here = &mappings[from..to];
        let Some(one) = here.first() else {
            return 0;
        };
        let output = one.output.wrapping_add(first.wrapping_sub(one.input));
        let whole = one.input <= first && first + span <= one.end();
        if whole && level > 0 && output.is_multiple_of(span) {
            let attributes = match stage {
                Stage::One => one.access.stage1(),
                Stage::Two => one.access.stage2(),
            };
            return output | attributes | if level == 3 { TABLE } else { BLOCK };
        }
        let table = self.table(stage, level + 1, first, here);
        let index = self.store(&table);
        self.address(index) | TABLE
    }
}

/// Returns the mappings in order of input. Neighbours that continue each other are merged so that
/// blocks may span them.
fn joined(mappings: &[Mapping]) -> Result<Vec<Mapping>> {
    let mut sorted = mappings.to_vec();
    sorted.sort_by_key(|m| m.input);
    let mut result: Vec<Mapping> = Vec::new();
    for mapping in sorted {
        check_pages(&mapping.what, mapping.input, mapping.size)?;
        check_pages(&mapping.what, mapping.output, mapping.size)?;
        if let Some(last) = result.last_mut() {
            ensure!(
                last.end() <= mapping.input,
                "{} ({:#x}, {:#x} bytes) overlaps {} ({:#x}, {:#x} bytes)",
                mapping.what,
                mapping.input,
                mapping.size,
                last.what,
                last.input,
                last.size
            );
            if last.end() == mapping.input
                && last.output + last.size == mapping.output
                && last.access == mapping.access
                // A block must not span both what each root maps and what only one of them maps: a
                // switch would change its size.
                && last.what == mapping.what
            {
                last.size += mapping.size;
                continue;
            }
        }
        result.push(mapping);
    }
    Ok(result)
}
