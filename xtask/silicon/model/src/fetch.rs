// SPDX-License-Identifier: MIT OR Apache-2.0
//! Instructions: execution, and instruction cache maintenance.

use crate::core::{SCTLR_I, SCTLR_M};
use crate::event::{At, Ic};
use crate::lines::{CLEANING, EXECUTED, LINE, Line, NOT_UNIFIED};
use crate::model::Model;
use crate::rules::{FETCH_NOT_CLEANED, FETCH_NOT_INVALIDATED, FETCH_STALE};

/// Prefetch with the MMU off stays within the page of an executed instruction and the next one (DDI
/// 0487, D8.2.12).
const PREFETCH: u64 = 2 * 4096;

impl Model {
    /// Handles the start of a core's execution of `size` bytes at `pa`. Returns whether no rule was
    /// broken: then the call need not be repeated until [`Model::code_epoch`] changes.
    pub fn fetch(&mut self, at: At, pa: u64, size: u64) -> bool {
        let site = self.site_of(at.site);
        if site.firmware {
            return true;
        }
        let core = self.core(at.core);
        let control = if site.el == 2 { core.sctlr_el2 } else { core.sctlr_el1 };
        let cached = control & SCTLR_I != 0;
        if cached && control & SCTLR_M == 0 {
            self.prefetch(at.core, pa);
        }
        let mut good = true;
        let mut start = pa & !(LINE - 1);
        while start < pa + size {
            if let Some(line) = self.line(start) {
                line.flags |= EXECUTED;
                let seen = *line;
                if seen.written != 0 {
                    good &= self.fetch_line(at, start, &seen, cached);
                }
            }
            start += LINE;
        }
        good
    }

    /// With the MMU off and instruction caches on, unified caches may hold what is near the code.
    fn prefetch(&mut self, core: usize, pa: u64) {
        let page = pa & !4095;
        let (now, epoch) = (self.now, self.invalidations);
        let known = &mut self.core(core).fetch_page;
        if *known == Some((page, epoch)) {
            return;
        }
        *known = Some((page, epoch));
        for near in (page..page + PREFETCH).step_by(LINE as usize) {
            if let Some(line) = self.line(near) {
                line.cached = now;
            }
        }
    }

    fn fetch_line(&mut self, at: At, pa: u64, line: &Line, cached: bool) -> bool {
        let cause = At { core: line.writer.into(), site: line.site };
        let cause = Some((cause, line.when));
        // A missing invalidation shows at every block, so there is one report per core and writer.
        let key = at.core as u64;
        let core = &self.cores[at.core];
        let ready = line.written.max(line.unified);
        let by_line = line.ivau.0 > ready && core.synced >= line.ivau.1;
        let invalidated = core.ic_synced > ready || by_line;
        let complete = core.ic_complete > ready || line.ivau.0 > ready;
        let issued = core.ic_issued.is_some_and(|(time, ..)| time > ready);
        if line.flags & NOT_UNIFIED != 0 || !cached && line.flags & CLEANING != 0 {
            self.broke_once(FETCH_NOT_CLEANED, key, at, Some(pa), cause, || {
                "written through the data cache, and not cleaned to the point of unification"
                    .to_string()
            });
            return false;
        }
        if !invalidated {
            self.broke_once(FETCH_NOT_INVALIDATED, key, at, Some(pa), cause, || {
                let missing = match (complete, issued) {
                    (true, _) => "an IC and DSB followed, and no ISB on this core",
                    (false, true) => "an IC followed, and no DSB",
                    (false, false) => "no IC that reaches this core followed",
                };
                missing.to_string()
            });
            return false;
        }
        if cached && line.newer != 0 {
            self.broke_once(FETCH_STALE, key, at, Some(pa), cause, || {
                "written with caches off, and a unified cache may hold what was there before"
                    .to_string()
            });
            return false;
        }
        true
    }

    /// Handles `IC`.
    pub(crate) fn invalidate_instructions(&mut self, at: At, ic: Ic, pa: u64) {
        let now = self.now;
        match ic {
            Ic::Ivau => {
                if let Some(line) = self.line(pa) {
                    // The invalidation is complete at the DSB.
                    line.ivau = (now, u32::MAX);
                }
                self.core(at.core).ivau.push(pa);
            }
            Ic::Iallu | Ic::Ialluis => {
                let broadcast = ic == Ic::Ialluis;
                self.core(at.core).ic_issued = Some((now, broadcast, at.site));
            }
        }
    }

    /// Handles a DSB, which completes this core's instruction cache maintenance; a `local` one
    /// completes only what affects only this core.
    pub(crate) fn complete_invalidation(&mut self, core: usize, local: bool) {
        let now = self.now;
        if !local {
            for pa in std::mem::take(&mut self.core(core).ivau) {
                if let Some(line) = self.line(pa) {
                    line.ivau.1 = now;
                }
            }
        }
        match self.core(core).ic_issued {
            Some((_, true, _)) if local => {}
            Some((time, true, _)) => {
                self.core(core).ic_issued = None;
                for core in &mut self.cores {
                    core.ic_complete = core.ic_complete.max(time);
                }
                // This also holds for cores that the model has not seen yet.
                self.ic_everywhere = self.ic_everywhere.max(time);
            }
            Some((time, false, _)) => {
                let core = self.core(core);
                core.ic_issued = None;
                core.ic_complete = core.ic_complete.max(time);
            }
            None => {}
        }
    }
}
