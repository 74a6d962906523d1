// SPDX-License-Identifier: MIT OR Apache-2.0
//! Translation tables: what they map cacheable, whether their walker sees them, and changes to live
//! ones.

use std::sync::Arc;

use crate::core::SCTLR_C;
use crate::event::{At, Tlbi};
use crate::lines::{LINE, TABLE};
use crate::live_tables::{Broken, WORDS};
use crate::model::{Memory, Model};
use crate::rules::{TABLE_CHANGED, WALK_STALE};

/// Descriptor bits that hardware leaves to software, and the access flag (DDI 0487, D8.3): free to
/// change.
const FREE: u64 = 0xf << 55 | 1 << 10;
/// Address bits of a descriptor or table register, with the 4 KiB granule.
const ADDRESS: u64 = 0x0000_ffff_ffff_f000;
/// TCR_EL2 and VTCR_EL2: walks are cacheable (IRGN0).
const WALK: u64 = 3 << 8;
const VALID: u64 = 1 << 0;
const TABLE_OR_PAGE: u64 = 1 << 1;

/// One walk's parameters.
struct Walk {
    at: At,
    stage_2: bool,
    mair: u64,
    /// Whether the walker reads through the caches.
    cacheable: bool,
    /// IPA or VA, physical address, and size of ranges that are mapped Normal, Write-Back.
    found: Vec<(u64, u64, u64)>,
}

impl Model {
    /// Reads EL2's tables as the core's walker does.
    pub(crate) fn walk_el2(&mut self, memory: &mut dyn Memory, at: At) {
        let core = self.core(at.core);
        // With the data cache off, walks are not cacheable either (DDI 0487, SCTLR_EL2.C).
        let attributes = if core.sctlr_el2 & SCTLR_C != 0 { !0 } else { !WALK };
        let (tcr, ttbr, mair) = (core.tcr & attributes, core.ttbr & ADDRESS, core.mair);
        let bits = 64 - (tcr & 0x3f) as u32;
        let level = 4 - bits.saturating_sub(12).div_ceil(9).clamp(1, 4);
        let found = self.walk(memory, at, (ttbr, level, bits), tcr, Some(mair));
        self.core(at.core).el2_ranges = ranges(&found);
        self.el2_caches(at.core);
    }

    /// Reads the guest's stage 2.
    pub(crate) fn walk_stage_2(&mut self, memory: &mut dyn Memory, at: At) {
        let core = self.core(at.core);
        let (vtcr, vttbr) = (core.vtcr, core.vttbr & ADDRESS);
        let bits = 64 - (vtcr & 0x3f) as u32;
        let level = 2 - ((vtcr >> 6) & 3).min(2) as u32;
        let found = self.walk(memory, at, (vttbr, level, bits), vtcr, None);
        let now = self.now;
        let core = &mut self.cores[at.core];
        if core.guest_cached {
            self.mappings.end(&core.guest_ranges, now);
        }
        core.guest_cached = false;
        core.guest_ranges = ranges(&found);
        core.stage_2 = found;
        self.guest_caches(at.core);
    }

    /// Walks from a root: its address, level and the width of input addresses. `control` is TCR_EL2
    /// or VTCR_EL2, `mair` is none for stage 2.
    fn walk(
        &mut self,
        memory: &mut dyn Memory,
        at: At,
        (root, level, bits): (u64, u32, u32),
        control: u64,
        mair: Option<u64>,
    ) -> Vec<(u64, u64, u64)> {
        let mut walk = Walk {
            at,
            stage_2: mair.is_none(),
            mair: mair.unwrap_or(0),
            cacheable: control & WALK != 0,
            found: Vec::new(),
        };
        let entries = 1 << bits.saturating_sub(12 + 9 * (3 - level)).min(13);
        self.walk_table(memory, &mut walk, root, level, entries, 0);
        walk.found
    }

    fn walk_table(
        &mut self,
        memory: &mut dyn Memory,
        walk: &mut Walk,
        table: u64,
        level: u32,
        entries: u64,
        input: u64,
    ) {
        let size = 1u64 << (12 + 9 * (3 - level));
        for first in (0..entries).step_by(WORDS) {
            let pa = table + first * 8;
            let mut words = [0; WORDS];
            if !memory.read(pa, &mut words) {
                continue;
            }
            self.walk_line(walk, pa, words);
            let count = (entries - first).min(WORDS as u64) as usize;
            for (index, &word) in (first..).zip(&words[..count]) {
                if word & VALID == 0 {
                    continue;
                }
                let (pa, input) = (word & ADDRESS, input + index * size);
                if level < 3 && word & TABLE_OR_PAGE != 0 {
                    self.walk_table(memory, walk, pa, level + 1, 512, input);
                } else if walk.is_write_back(word) {
                    walk.add(input, pa & !(size - 1), size);
                }
            }
        }
    }

    /// Handles the walker's read of a line of a table.
    fn walk_line(&mut self, walk: &Walk, pa: u64, words: [u64; WORDS]) {
        self.tables.lines.insert(pa & !(LINE - 1), words);
        let unfinished = self.core(walk.at.core).stores.contains(&(pa & !(LINE - 1)));
        let Some(line) = self.line(pa) else { return };
        line.flags |= TABLE;
        let wrong = if unfinished {
            Some("a store to the table has no DSB after it")
        } else if walk.cacheable && line.newer != 0 {
            Some("the table was written with caches off, and is walked through the caches")
        } else if !walk.cacheable && line.dirty != 0 {
            Some("the table is dirty in a cache, and is walked past the caches")
        } else {
            None
        };
        if let Some(wrong) = wrong {
            let cause = At { core: line.writer.into(), site: line.site };
            let cause = (cause, line.when);
            self.broke(WALK_STALE, walk.at, Some(pa), Some(cause), || wrong.to_string());
        }
    }

    /// Handles a store to a line of a live table.
    pub(crate) fn table_stored(&mut self, memory: &mut dyn Memory, at: At, start: u64) {
        let mut words = [0; WORDS];
        if !memory.read(start, &mut words) {
            return;
        }
        let Some(old) = self.tables.lines.insert(start, words) else {
            return;
        };
        for (index, (&old, &new)) in (0..).zip(old.iter().zip(&words)) {
            let pa = start + index * 8;
            let was_valid = old & VALID != 0;
            let is_valid = new & VALID != 0;
            if was_valid && !is_valid {
                self.tables.broken.insert(pa, Broken { by: at, issued: None });
            } else if was_valid && (old ^ new) & !FREE != 0 {
                self.broke(TABLE_CHANGED, at, Some(pa), None, || {
                    format!("{old:#x} became {new:#x} with no invalid descriptor in between")
                });
            } else if is_valid && let Some(broken) = self.tables.broken.remove(&pa) {
                let block = self.block;
                self.broke(TABLE_CHANGED, at, Some(pa), Some((broken.by, block)), || {
                    "made invalid before, and no complete TLBI followed".to_string()
                });
            }
        }
    }

    /// Handles a TLBI, which drops what was made invalid if its store is complete.
    pub(crate) fn table_tlbi(&mut self, at: At, tlbi: Tlbi) {
        if self.tables.broken.is_empty() {
            return;
        }
        let stores = self.core(at.core).stores.clone();
        for (pa, broken) in &mut self.tables.broken {
            if broken.by.core == at.core && !stores.contains(&(pa & !(LINE - 1))) {
                broken.issued = Some(tlbi.broadcast);
            }
        }
    }

    /// Handles a DSB, which completes this core's TLBI.
    pub(crate) fn table_complete(&mut self, core: usize, local: bool) {
        self.tables.broken.retain(|_, broken| {
            let done = broken.issued.is_some_and(|broadcast| !(broadcast && local));
            broken.by.core != core || !done
        });
    }
}

impl Walk {
    /// Whether a block or page is Normal memory, Write-Back (DDI 0487, D8.6).
    fn is_write_back(&self, word: u64) -> bool {
        if self.stage_2 {
            (word >> 2) & 0xf == 0xf
        } else {
            (self.mair >> (8 * ((word >> 2) & 7))) & 0xff == 0xff
        }
    }

    fn add(&mut self, input: u64, pa: u64, size: u64) {
        match self.found.last_mut() {
            Some(last) if last.0 + last.2 == input && last.1 + last.2 == pa => last.2 += size,
            _ => self.found.push((input, pa, size)),
        }
    }
}

fn ranges(found: &[(u64, u64, u64)]) -> Arc<[(u64, u64)]> {
    found.iter().map(|&(_, pa, size)| (pa, size)).collect()
}
