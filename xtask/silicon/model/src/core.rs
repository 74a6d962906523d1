// SPDX-License-Identifier: MIT OR Apache-2.0
//! The model's state of one core.

use std::sync::Arc;

use crate::event::{Dc, SiteId};
use crate::lines::Ranges;
use crate::register::Register;

/// `SCTLR_ELx`: MMU, data cache and instruction cache on.
pub const SCTLR_M: u64 = 1 << 0;
/// Data cache on.
pub const SCTLR_C: u64 = 1 << 2;
/// Instruction cache on.
pub const SCTLR_I: u64 = 1 << 12;
/// `HCR_EL2`: stage 2 on.
pub const HCR_VM: u64 = 1 << 0;

/// The progress of a translation regime's TLB maintenance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tlb {
    /// The contents of the TLB are unknown: after reset, or after the tables changed.
    #[default]
    Unknown,
    /// A TLBI was issued.
    Issued {
        /// DSB NSH does not complete it.
        broadcast: bool,
    },
    /// A DSB followed.
    Done,
    /// A context synchronization event followed.
    Clean,
}

/// Data cache maintenance that has no DSB yet; adjacent lines are one entry.
#[derive(Clone, Copy, Debug)]
pub struct Pending {
    /// First line.
    pub first: u64,
    /// The line after the last.
    pub end: u64,
    /// The operation.
    pub dc: Dc,
    /// The instruction that issued it.
    pub site: SiteId,
}

/// An acknowledged interrupt, without a DSB since.
#[derive(Clone, Copy, Debug)]
pub struct Acknowledged {
    /// The instruction that acknowledged it.
    pub site: SiteId,
    /// Whether its end showed that it is an SGI.
    pub sgi: bool,
}

/// One core.
pub struct Core {
    /// Whether firmware has handed it over.
    pub entered: bool,
    /// Registers, as last written.
    pub sctlr_el2: u64,
    pub sctlr_el1: u64,
    pub hcr: u64,
    pub ttbr: u64,
    pub tcr: u64,
    pub mair: u64,
    pub vttbr: u64,
    pub vtcr: u64,
    /// Registers that were written without a context synchronization event since, each with the
    /// instruction.
    pub unsynced: [Option<SiteId>; Register::COUNT],
    /// Whether there are such registers.
    pub any_unsynced: bool,
    /// EL2's regime.
    pub el2_tlb: Tlb,
    /// Whether EL2's tables changed since its regime was `Tlb::Clean` the last time.
    pub el2_changed: bool,
    /// The guest's: stages 1 and 2.
    pub guest_tlb: Tlb,
    /// The last TLBI.
    pub tlbi: SiteId,
    /// The last instruction cache invalidation of everything without a DSB yet: time, whether
    /// broadcast, instruction.
    pub ic_issued: Option<(u32, bool, SiteId)>,
    /// Issue time of the last one that is complete for this core.
    pub ic_complete: u32,
    /// Issue time of the last one that the core has synchronized with.
    pub ic_synced: u32,
    /// Lines of `IC IVAU` with no DSB yet.
    pub ivau: Vec<u64>,
    /// Time of the last context synchronization event.
    pub synced: u32,
    /// Data cache maintenance with no DSB yet.
    pub dc: Vec<Pending>,
    /// Time of the last DSB or DMB that orders this core's loads.
    pub ordered: u32,
    /// The last store to a register of a GIC that changes the state of interrupts, without a DSB
    /// since.
    pub gic_store: Option<SiteId>,
    /// The last store to GICH, without a DSB since.
    pub gich_store: Option<SiteId>,
    /// The last store to a device other than the GIC, without a DSB since.
    pub device_store: Option<SiteId>,
    /// Lines that EL2 stored to since the last DSB that waits for stores.
    pub stores: Vec<u64>,
    /// Lines that EL2 stored to since the last such DSB or DMB.
    pub stores_unordered: Vec<u64>,
    /// Ranges that EL2's tables map Normal, Write-Back: base and size.
    pub el2_ranges: Ranges,
    /// Ranges of earlier tables that the TLB may still hold.
    pub el2_leaving: Vec<Ranges>,
    /// Ranges of both that are in use with the data cache on.
    pub el2_open: Vec<Ranges>,
    /// Ranges that stage 2 maps Normal, Write-Back.
    pub guest_ranges: Ranges,
    /// Whether the guest's caches are on, so that those ranges are in use.
    pub guest_cached: bool,
    /// Stage 2: IPA, physical address, size.
    pub stage_2: Vec<(u64, u64, u64)>,
    /// The page whose next instructions may be prefetched with the MMU off.
    pub fetch_page: Option<(u64, u32)>,
    /// The interrupt that was acknowledged last, without a DSB since.
    pub acknowledged: Option<Acknowledged>,
    /// Addresses that EL2 read since the last WFE, each with the instruction.
    pub polled: Vec<(u64, SiteId)>,
    /// Whether there was an exclusive load since the last WFE, without an exclusive store after it.
    pub armed: bool,
    /// Whether the event stream ends each WFE after a while.
    pub events: bool,
    /// Addresses that EL2 waits for with WFE without an armed monitor, each with the instruction.
    pub waits_for: Vec<(u64, SiteId)>,
    /// A store of this core to an address that another core waits for, without an SEV since:
    /// address, instruction, waiting core, its instruction.
    pub owes_event: Option<(u64, SiteId, usize, SiteId)>,
}

impl Default for Core {
    fn default() -> Self {
        Self {
            entered: false,
            sctlr_el2: 0,
            sctlr_el1: 0,
            hcr: 0,
            ttbr: 0,
            tcr: 0,
            mair: 0,
            vttbr: 0,
            vtcr: 0,
            unsynced: [None; Register::COUNT],
            any_unsynced: false,
            el2_tlb: Tlb::Unknown,
            el2_changed: false,
            guest_tlb: Tlb::Unknown,
            tlbi: 0,
            ic_issued: None,
            ic_complete: 0,
            ic_synced: 0,
            ivau: Vec::new(),
            synced: 0,
            dc: Vec::new(),
            ordered: 0,
            gic_store: None,
            gich_store: None,
            device_store: None,
            stores: Vec::new(),
            stores_unordered: Vec::new(),
            el2_ranges: Arc::new([]),
            el2_leaving: Vec::new(),
            el2_open: Vec::new(),
            guest_ranges: Arc::new([]),
            guest_cached: false,
            stage_2: Vec::new(),
            fetch_page: None,
            acknowledged: None,
            polled: Vec::new(),
            armed: false,
            events: false,
            waits_for: Vec::new(),
            owes_event: None,
        }
    }
}

impl Core {
    /// Whether EL2's MMU is on.
    #[must_use]
    pub fn el2_translates(&self) -> bool {
        self.sctlr_el2 & SCTLR_M != 0
    }

    /// Whether EL2's MMU and data cache are on.
    #[must_use]
    pub fn el2_cached(&self) -> bool {
        self.sctlr_el2 & (SCTLR_M | SCTLR_C) == SCTLR_M | SCTLR_C
    }

    /// Notes that `register` was written.
    pub fn wrote(&mut self, register: Register, site: SiteId) {
        self.unsynced[register as usize] = Some(site);
        self.any_unsynced = true;
    }

    /// Returns the registers that were written without a context synchronization event since:
    /// instruction and names.
    pub fn unsynced_registers(&self) -> Vec<(SiteId, &'static str)> {
        let all = Register::ALL.iter();
        all.filter_map(|&register| Some((self.unsynced[register as usize]?, register.name())))
            .collect()
    }

    /// Records a read of EL2. A core that waits with WFE reads only the same addresses again.
    pub fn read(&mut self, pa: u64, site: SiteId) {
        const ENOUGH: usize = 32;
        let is_it = |(known, _): &(u64, SiteId)| *known == pa;
        if !self.waits_for.iter().any(is_it) {
            self.waits_for.clear();
        }
        if !self.polled.iter().any(is_it) && self.polled.len() < ENOUGH {
            self.polled.push((pa, site));
        }
    }

    /// Records a store of EL2 to the line at `line`. Only a few hundred lines are kept.
    pub fn stored(&mut self, line: u64) {
        const ENOUGH: usize = 512;
        for list in [&mut self.stores, &mut self.stores_unordered] {
            if list.last() != Some(&line) && list.len() < ENOUGH {
                list.push(line);
            }
        }
    }

    /// Returns the physical address of `ipa`, by the stage 2 that is in use.
    #[must_use]
    pub fn translate(&self, ipa: u64) -> Option<u64> {
        if self.hcr & HCR_VM == 0 {
            return Some(ipa);
        }
        let range = self.stage_2.iter().find(|&&(base, _, size)| ipa.wrapping_sub(base) < size);
        range.map(|&(base, pa, _)| pa + (ipa - base))
    }
}
