// SPDX-License-Identifier: MIT OR Apache-2.0
//! Barriers, and the operations that they must precede: SGIs, SEV, a core's release, an exception
//! return.

use crate::core::{Core, HCR_VM, Tlb};
use crate::event::{At, Barrier};
use crate::lines::BY_CACHE;
use crate::model::Model;
use crate::register::Register;
use crate::rules::{
    ACKNOWLEDGE_BEFORE_DSB, BEFORE_ISB, GIC_WRITE_BEFORE_DSB, NOT_COMPLETE, RELEASE_BEFORE_DSB,
    Rule, SEV_BEFORE_DSB, TLB_STALE, WFE_WITHOUT_EVENT,
};

/// PSCI `CPU_ON` (DEN 0022), without the bit that says SMC64.
const CPU_ON: u64 = 0x8400_0003;
const SMC64: u64 = 1 << 30;

impl Model {
    /// Handles a context synchronization event: ISB, an exception, or its return.
    pub(crate) fn synchronize(&mut self, at: At) {
        let (now, everywhere) = (self.now, self.ic_everywhere);
        let core = self.core(at.core);
        if core.any_unsynced {
            core.unsynced.fill(None);
            core.any_unsynced = false;
        }
        for tlb in [&mut core.el2_tlb, &mut core.guest_tlb] {
            if *tlb == Tlb::Done {
                *tlb = Tlb::Clean;
            }
        }
        core.el2_changed &= core.el2_tlb != Tlb::Clean;
        core.ic_complete = core.ic_complete.max(everywhere);
        core.ic_synced = core.ic_complete;
        core.synced = now;
    }

    pub(crate) fn dsb(&mut self, at: At, barrier: Barrier) {
        let now = self.now;
        let core = self.core(at.core);
        // The GIC is outside the Inner Shareable domain, and an acknowledgement by a system
        // register is neither a load nor a store.
        if barrier.outer && barrier.completes_maintenance() {
            core.acknowledged = None;
        }
        if barrier.outer && barrier.stores {
            core.gic_store = None;
            core.gich_store = None;
            core.device_store = None;
        }
        if barrier.loads && !barrier.local {
            core.ordered = now;
        }
        if barrier.stores && !barrier.local {
            core.stores.clear();
            core.stores_unordered.clear();
        }
        if barrier.completes_maintenance() {
            self.complete_maintenance(at.core, barrier.outer);
            self.complete_invalidation(at.core, barrier.local);
            self.complete_tlbi(at.core, barrier.local);
        }
    }

    pub(crate) fn dmb(&mut self, at: At, barrier: Barrier) {
        if barrier.loads && !barrier.local {
            self.core(at.core).ordered = self.now;
        }
        if barrier.stores && !barrier.local {
            self.core(at.core).stores_unordered.clear();
        }
    }

    /// Reports maintenance without a DSB after it, when `what` happens.
    fn require_complete(&mut self, at: At, what: &'static str) {
        let core = &self.cores[at.core];
        let issued = |tlb| matches!(tlb, Tlb::Issued { .. });
        let pending = [
            core.dc.first().map(|pending| (pending.site, "DC")),
            core.ic_issued.map(|(_, _, site)| (site, "IC")),
            (issued(core.el2_tlb) || issued(core.guest_tlb)).then_some((core.tlbi, "TLBI")),
        ];
        let block = self.block;
        for (site, name) in pending.into_iter().flatten() {
            let cause = At { core: at.core, site };
            self.broke(NOT_COMPLETE, at, None, Some((cause, block)), || {
                format!("{name} was issued, and no DSB that completes it came before {what}")
            });
        }
    }

    /// Handles an `ERET` of EL2 to a guest.
    pub(crate) fn exception_return(&mut self, at: At, synchronizes: bool) {
        self.require_complete(at, "ERET");
        let core = self.core(at.core);
        let (hcr, tlb) = (core.hcr, core.guest_tlb);
        core.acknowledged = None;
        if hcr & HCR_VM != 0 && tlb == Tlb::Unknown {
            self.broke(TLB_STALE, at, None, None, || {
                "the guest's tables or its MMU changed at EL2, and no TLBI of its VMID followed"
                    .to_string()
            });
        }
        self.owed_event(at);
        if synchronizes {
            self.synchronize(at);
        } else {
            self.rely_on_return(at);
        }
    }

    /// Records what an ERET that is not a context synchronization event would break.
    fn rely_on_return(&mut self, at: At) {
        let block = self.block;
        let core = self.core(at.core);
        let tlb = [core.el2_tlb, core.guest_tlb].contains(&Tlb::Done);
        let stale = [(tlb, "TLB"), (core.ic_complete > core.ic_synced, "instruction cache")];
        for (site, name) in core.unsynced_registers() {
            let cause = At { core: at.core, site };
            self.broke(BEFORE_ISB, at, None, Some((cause, block)), || {
                format!("{name} was written, and only ERET synchronizes it")
            });
        }
        for (_, name) in stale.into_iter().filter(|(stale, _)| *stale) {
            self.broke(BEFORE_ISB, at, None, None, || {
                format!("the {name} was invalidated, and only ERET synchronizes that")
            });
        }
    }

    /// Handles an `SMC` of EL2.
    pub(crate) fn firmware_call(&mut self, at: At, function: u64) {
        self.require_complete(at, "SMC");
        if function & !SMC64 & 0xffff_ffff == CPU_ON {
            self.release(at, "CPU_ON");
        }
    }

    /// Handles the release of another core: earlier stores must be complete.
    fn release(&mut self, at: At, how: &str) {
        let stores = &self.core(at.core).stores;
        let (count, first) = (stores.len(), stores.first().copied());
        if let Some(first) = first {
            self.broke(RELEASE_BEFORE_DSB, at, Some(first), None, || {
                format!("stores to {count} lines have no DSB after them before {how}")
            });
        }
    }

    /// Handles a store of EL2 that may be a spin-table release.
    pub(crate) fn store_releases(&mut self, at: At, pa: u64) {
        if self.config.release.contains(&pa) {
            self.require_complete(at, "the store that releases a core");
            self.release(at, "the store that releases a core");
        }
    }

    /// Checks the stores before an operation that makes another core read them: `rule` says what
    /// must precede it.
    pub(crate) fn publish(&mut self, at: At, rule: &'static Rule, ordered: bool) {
        let core = self.core(at.core);
        let stores = if ordered { &core.stores_unordered } else { &core.stores };
        let own = 1 << (at.core & 15);
        let mut shared = None;
        for start in stores.clone() {
            let Some(line) = self.line(start) else {
                continue;
            };
            if line.cores & !own != 0 {
                let cause = At { core: at.core, site: line.site };
                shared.get_or_insert((start, (cause, line.when)));
            } else {
                self.exposed.insert(start, (at, rule));
            }
        }
        if let Some((start, cause)) = shared {
            self.broke(rule, at, Some(start), Some(cause), || {
                "the line is used by other cores, and the store has no barrier after it".to_string()
            });
        }
    }

    /// Handles an access to a line that was stored before an SGI, SEV or the like.
    pub(crate) fn see_exposed(&mut self, at: At, start: u64, store: bool) {
        let Some(&(by, rule)) = self.exposed.get(&start) else {
            return;
        };
        if by.core != at.core {
            self.exposed.remove(&start);
            let block = self.block;
            self.broke(rule, by, Some(start), Some((at, block)), || {
                "the other core used what was stored before, with no barrier".to_string()
            });
        } else if store {
            self.exposed.remove(&start);
        }
    }

    /// Handles an `SEV` of EL2.
    pub(crate) fn send_event(&mut self, at: At) {
        self.require_complete(at, "SEV");
        self.publish(at, SEV_BEFORE_DSB, false);
        self.core(at.core).owes_event = None;
    }

    /// Handles a `WFE` of EL2.
    pub(crate) fn wait_for_event(&mut self, at: At) {
        self.owed_event(at);
        self.use_registers(at, &[Register::IccSgi1r], "WFE");
        let core = self.core(at.core);
        let polled = std::mem::take(&mut core.polled);
        core.waits_for = if core.armed || core.events { Vec::new() } else { polled };
        core.armed = false;
    }

    /// Handles a `WFI` of EL2.
    pub(crate) fn wait_for_interrupt(&mut self, at: At) {
        self.require_complete(at, "WFI");
        self.owed_event(at);
        self.use_registers(at, &[Register::IccSgi1r], "WFI");
    }

    /// Handles a store of EL2 that another core may wait for with WFE.
    pub(crate) fn store_wakes(&mut self, at: At, pa: u64) {
        self.core(at.core).waits_for.clear();
        let waits = |core: &Core| core.waits_for.iter().find(|(word, _)| *word == pa).copied();
        let waiter = self
            .cores
            .iter()
            .enumerate()
            .find_map(|(index, core)| waits(core).map(|(_, site)| (index, site)));
        if let Some((core, site)) = waiter {
            self.core(at.core).owes_event = Some((pa, at.site, core, site));
        }
    }

    /// Reports an event that this core owes and will not send, because it goes on to something
    /// else.
    fn owed_event(&mut self, at: At) {
        let core = self.core(at.core);
        core.waits_for.clear();
        let Some((word, site, waiter, polls)) = core.owes_event.take() else {
            return;
        };
        let store = At { core: at.core, site };
        let waiter = At { core: waiter, site: polls };
        let block = self.block;
        self.broke(WFE_WITHOUT_EVENT, store, Some(word), Some((waiter, block)), || {
            format!(
                "core {} waits for it with WFE after a plain load, and no SEV followed",
                waiter.core
            )
        });
    }

    /// Handles a read of EL2: after an SGI or a change of interrupts' state, memory that another
    /// core wrote may be read only after a DSB.
    pub(crate) fn read_after_gic(&mut self, at: At, pa: u64) {
        let core = &self.cores[at.core];
        let acknowledged = core.acknowledged.filter(|one| one.sgi).map(|one| one.site);
        let causes = [
            (ACKNOWLEDGE_BEFORE_DSB, acknowledged, "the acknowledgement of the SGI"),
            (GIC_WRITE_BEFORE_DSB, core.gic_store, "the write to the GIC"),
        ];
        if causes.iter().all(|(_, cause, _)| cause.is_none()) {
            return;
        }
        let Some(line) = self.lines.known(pa) else {
            return;
        };
        if line.flags & BY_CACHE == 0 || usize::from(line.writer) == at.core {
            return;
        }
        let core = self.core(at.core);
        core.acknowledged = core.acknowledged.filter(|one| !one.sgi);
        core.gic_store = None;
        let block = self.block;
        for (rule, cause, name) in causes {
            let Some(site) = cause else { continue };
            let cause = At { core: at.core, site };
            self.broke(rule, at, Some(pa), Some((cause, block)), || {
                format!("another core wrote it, and no DSB followed {name}")
            });
        }
    }
}
