// SPDX-License-Identifier: MIT OR Apache-2.0
//! Data: accesses through caches and past them, and cache maintenance.

use crate::core::Tlb;
use crate::core::{Pending, SCTLR_C, SCTLR_M};
use crate::event::{Access, At, Dc};
use crate::lines::{
    BY_CACHE, CLEANING, EXECUTED, FIRMWARE, LINE, Line, NOT_UNIFIED, TABLE, mask, within,
};
use crate::model::{Memory, Model};
use crate::register::Register;
use crate::rules::{
    CLEAN_NOT_COMPLETE, DC_BEFORE_BARRIER, EXCLUSIVE_UNCACHED, INVALIDATE_DIRTY, READ_UNDER_DIRTY,
    STALE_READ, TLB_STALE, WRITE_UNDER_DIRTY,
};

/// Returns who wrote a line last.
fn writer(line: &Line) -> Option<(At, u32)> {
    let at = At { core: line.writer.into(), site: line.site };
    Some((at, line.when))
}

/// Returns who wrote to a line past the caches last. Others may have written other bytes of it
/// since.
fn past_writer(line: &Line) -> Option<(At, u32)> {
    let at = At { core: line.past_writer.into(), site: line.past_site };
    Some((at, line.past_when))
}

impl Model {
    /// Whether an access of this core at EL2, or of its guest, goes through the caches.
    fn is_cacheable(&self, core: usize, el2: bool, pa: u64) -> bool {
        let core = &self.cores[core];
        if el2 {
            core.el2_cached() && within(&core.el2_ranges, pa)
        } else {
            core.sctlr_el1 & (SCTLR_M | SCTLR_C) == SCTLR_M | SCTLR_C
        }
    }

    pub(crate) fn access(&mut self, memory: &mut dyn Memory, at: At, access: Access) {
        let Access { pa, size, store, .. } = access;
        let site = self.site_of(at.site);
        let el2 = site.el == 2;
        let cacheable = !site.firmware && self.is_cacheable(at.core, el2, pa);
        if el2 && !site.firmware {
            self.el2_access(at, access, cacheable);
        }
        if site.firmware && site.el >= 2 && !store {
            // It may poll its spin table.
            self.core(at.core).read(pa, at.site);
        }
        let bytes = mask(pa, size);
        let start = pa & !(LINE - 1);
        let Some(line) = self.line(pa) else { return };
        let seen = *line;
        if !self.exposed.is_empty() {
            self.see_exposed(at, start, store);
        }
        if cacheable {
            if !store && seen.newer & bytes != 0 {
                self.broke(STALE_READ, at, Some(pa), past_writer(&seen), || {
                    "written with caches off, and read with caches on".to_string()
                });
            }
        } else {
            self.past_caches(at, access, &seen, bytes);
        }
        let may_be_cached = store && !cacheable && self.may_be_cached(start, &seen);
        let (now, block, code) = (self.now, self.block, seen.flags & EXECUTED != 0);
        let Some(line) = self.line(pa) else { return };
        line.cores |= 1 << (at.core & 15);
        if cacheable {
            line.cached = now;
        }
        if !store {
            return;
        }
        if cacheable {
            line.newer &= !bytes;
            line.dirty |= bytes;
            line.flags |= NOT_UNIFIED | BY_CACHE;
        } else {
            line.dirty = 0;
            line.flags &= !(NOT_UNIFIED | BY_CACHE | FIRMWARE);
            if may_be_cached {
                line.newer |= bytes;
                line.past_site = at.site;
                line.past_when = block;
                line.past_writer = at.core as u8;
            }
        }
        line.written = now;
        line.site = at.site;
        line.when = block;
        line.writer = at.core as u8;
        let table = line.flags & TABLE != 0;
        if code {
            self.code_epoch += 1;
        }
        if el2 {
            self.core(at.core).stored(start);
        }
        if table {
            self.table_stored(memory, at, start);
        }
    }

    /// Rules about an access with caches off.
    fn past_caches(&mut self, at: At, access: Access, line: &Line, bytes: u64) {
        let Access { pa, store, .. } = access;
        let firmware = self.site_of(at.site).firmware;
        // A core that polls a spin table reads the line while EL2 cleans it. Values that firmware
        // left there are firmware's until another program writes the line.
        if firmware && line.written == 0 {
            return;
        }
        if line.flags & CLEANING != 0 && line.dirty == 0 {
            self.broke(CLEAN_NOT_COMPLETE, at, Some(pa), writer(line), || {
                "its clean was issued, and no DSB followed on that core".to_string()
            });
        }
        let by_firmware = line.flags & FIRMWARE != 0 && line.written == 0;
        let detail = || match by_firmware {
            true => "the loader may have left the line dirty".to_string(),
            false => "written with caches on, and not cleaned since".to_string(),
        };
        if store && line.dirty != 0 {
            self.broke(WRITE_UNDER_DIRTY, at, Some(pa), writer(line), detail);
        }
        if !store && line.dirty & bytes != 0 {
            self.broke(READ_UNDER_DIRTY, at, Some(pa), writer(line), detail);
        }
    }

    /// Rules about EL2's own accesses.
    fn el2_access(&mut self, at: At, access: Access, cacheable: bool) {
        let Access { pa, store, exclusive, .. } = access;
        self.use_translation(at, pa, "an access of EL2's");
        if exclusive && !cacheable {
            self.broke(EXCLUSIVE_UNCACHED, at, Some(pa), None, || {
                "an atomic access with caches off".to_string()
            });
        }
        if store {
            self.store_releases(at, pa);
            self.store_wakes(at, pa);
        } else {
            self.read_after_gic(at, pa);
            self.core(at.core).read(pa, at.site);
        }
        if exclusive {
            self.core(at.core).armed = !store;
        }
    }

    /// Rules about the use of EL2's translation of `pa` by an access or by `DC`.
    fn use_translation(&mut self, at: At, pa: u64, what: &str) {
        let translates = self.core(at.core).el2_translates();
        if self.core(at.core).any_unsynced {
            self.use_registers(at, &[Register::SctlrEl2], what);
            if translates {
                let translation = [Register::Ttbr0El2, Register::TcrEl2, Register::MairEl2];
                self.use_registers(at, &translation, what);
            }
        }
        let core = self.core(at.core);
        let missing = match core.el2_tlb {
            _ if !translates => return,
            Tlb::Unknown => "and no TLBI followed",
            Tlb::Issued { .. } if core.el2_changed => "and a TLBI without DSB followed",
            Tlb::Done if core.el2_changed => "and a TLBI and DSB without ISB followed",
            _ => return,
        };
        self.broke_once(TLB_STALE, at.core as u64, at, Some(pa), None, || {
            format!("EL2's tables changed, {missing} before {what}")
        });
    }

    /// Handles `DC` of the line at `pa`.
    pub(crate) fn maintain(&mut self, at: At, dc: Dc, pa: u64, el2: bool) {
        let start = pa & !(LINE - 1);
        // A guest's DC IVAC cleans too where stage 2 is on (DDI 0487, D7.5: effects of
        // virtualization).
        let dc = match dc {
            Dc::Ivac if !el2 => Dc::Civac,
            other => other,
        };
        if el2 {
            self.use_translation(at, pa, "DC");
        }
        let Some(line) = self.line(pa) else { return };
        let seen = *line;
        let unordered =
            seen.dirty != 0 && seen.written != 0 && seen.written >= self.core(at.core).ordered;
        if el2 && unordered && usize::from(seen.writer) != at.core {
            self.broke(DC_BEFORE_BARRIER, at, Some(pa), writer(&seen), || {
                "another core wrote the line, and this core had no barrier since".to_string()
            });
        }
        if dc == Dc::Ivac && seen.dirty != 0 {
            self.broke(INVALIDATE_DIRTY, at, Some(pa), writer(&seen), || {
                "the line is dirty".to_string()
            });
        }
        if dc != Dc::Cvau
            && let Some(line) = self.line(pa)
        {
            if line.dirty != 0 {
                line.flags |= CLEANING;
            }
            line.dirty = 0;
            line.flags &= !FIRMWARE;
        }
        let pending = &mut self.core(at.core).dc;
        match pending.last_mut() {
            Some(last) if last.end == start && last.dc == dc && last.site == at.site => {
                last.end += LINE
            }
            _ => pending.push(Pending { first: start, end: start + LINE, dc, site: at.site }),
        }
    }

    /// A DSB completes this core's data cache maintenance.
    ///
    /// Accesses with caches off are to Outer Shareable memory. Only an `outer` barrier completes
    /// maintenance to the point of coherency for them.
    pub(crate) fn complete_maintenance(&mut self, core: usize, outer: bool) {
        let now = self.now;
        let all = std::mem::take(&mut self.core(core).dc);
        let (done, left) = all.into_iter().partition(|one| outer || one.dc == Dc::Cvau);
        self.core(core).dc = left;
        let done: Vec<Pending> = done;
        for pending in done {
            let invalidates = matches!(pending.dc, Dc::Civac | Dc::Ivac);
            let mut pa = pending.first;
            while pa < pending.end {
                if let Some(line) = self.line(pa) {
                    // The line was written again since, so it is not clean.
                    if pending.dc == Dc::Cvau || line.dirty == 0 {
                        if line.flags & NOT_UNIFIED != 0 {
                            line.unified = now;
                        }
                        line.flags &= !NOT_UNIFIED;
                    }
                    if line.dirty == 0 {
                        line.flags &= !CLEANING;
                    }
                    if invalidates {
                        line.invalidated = now;
                        line.newer = 0;
                    }
                }
                pa += LINE;
            }
            self.invalidations += u32::from(invalidates);
        }
    }
}
